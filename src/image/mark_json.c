/* Marks as JSON: an array of objects, each with the fields of oc_mark. */
#include <string.h>

#include "base/context.h"
#include "image/overlay.h"
#include "io/file.h"
#include "io/json.h"

typedef struct reader {
    oc_context *cx;
    const oci_json *doc;
    const char *path;           /* of the file that the marks are in; NULL: a text, which
                                   may name no files */
    double *points;             /* [OCI_MARK_POINTS, 2] at most, grown as needed */
    size_t room;
} reader;

static bool read_shape(reader *r, const json_t *object, const char *field, oc_mark *mark)
{
    char place[64];
    snprintf(place, sizeof place, "%s.shape", field);
    const char *name = oci_json_text(r->cx, r->doc, object, place, "");
    for (int s = 0; !oci_failed(r->cx) && oci_mark_name((oc_mark_shape)s); s++) {
        if (strcmp(name, oci_mark_name((oc_mark_shape)s))) continue;
        mark->shape = (oc_mark_shape)s;
        return true;
    }
    if (!oci_failed(r->cx))
        oci_fail(r->cx, OC_E_MALFORMED,
                 "%s: %s: expected box, ellipse, arrow, point, scribble, triangle, "
                 "contour or mask, found \"%.50s\"",
                 r->doc->name, place, name);
    return false;
}

/* x, y, x, y, … */
static bool read_points(reader *r, const json_t *object, const char *field, oc_mark *mark)
{
    char place[64];
    snprintf(place, sizeof place, "%s.points", field);
    const json_t *list = oci_json_array(r->cx, r->doc, object, place);
    size_t count = json_array_size(list);
    if (oci_failed(r->cx)) return false;
    if (count % 2 || count > 2 * OCI_MARK_POINTS) {
        oci_fail(r->cx, count % 2 ? OC_E_MALFORMED : OC_E_LIMIT,
                 "%s: %s: expected pairs of x and y, %d at most, found %zu numbers",
                 r->doc->name, place, OCI_MARK_POINTS, count);
        return false;
    }
    if (count > r->room) {
        double *points = oci_realloc(r->cx, r->points, count * sizeof *points);
        if (!points) return false;
        r->points = points;
        r->room = count;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(list, i);
        if (!json_is_number(number)) {
            oci_json_expected(r->cx, r->doc, place, "numbers", number);
            return false;
        }
        r->points[i] = json_number_value(number);
    }
    mark->points = r->points;
    mark->count = count / 2;
    return true;
}

/* Unknown keys are errors: a misspelt colour would else be drawn in red unnoticed. */
static bool read_settings(reader *r, const json_t *object, const char *field,
                          oc_mark *mark)
{
    static const char *const known[] = { "shape", "points", "color", "width", "alpha",
                                         "file" };
    char place[64];
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(known[i], key)) i++;
        if (i < sizeof known / sizeof *known) continue;
        oci_fail(r->cx, OC_E_MALFORMED,
                 "%s: %s: expected shape, points, color, width, alpha or file, found "
                 "\"%.50s\"",
                 r->doc->name, field, key);
        return false;
    }
    snprintf(place, sizeof place, "%s.color", field);
    mark->color = oci_json_text(r->cx, r->doc, object, place, NULL);
    snprintf(place, sizeof place, "%s.width", field);
    mark->width = oci_json_real(r->cx, r->doc, object, place, 0, 0, 65536);
    snprintf(place, sizeof place, "%s.alpha", field);
    mark->alpha = oci_json_real(r->cx, r->doc, object, place, 0, 0, 1);
    return !oci_failed(r->cx);
}

/* The picture of a mask, beside the file that names it. */
static oc_image *open_mask(reader *r, const json_t *object, const char *field)
{
    char place[64];
    snprintf(place, sizeof place, "%s.file", field);
    const char *name = oci_json_text(r->cx, r->doc, object, place, NULL);
    if (!name) return NULL;
    if (!r->path) {
        oci_fail(r->cx, OC_E_ARGUMENT, "%s: %s: a text may name no files", r->doc->name,
                 place);
        return NULL;
    }
    const char *slash = strrchr(r->path, '/');
    size_t size = slash ? (size_t)(slash - r->path) : 1;
    char *folder = oci_alloc(r->cx, size + 1);
    if (!folder) return NULL;
    memcpy(folder, slash ? r->path : ".", size);
    folder[size] = '\0';
    bool absolute = *name == '/';
    char *path = oci_path_join(r->cx, absolute || !size ? "/" : folder, name + absolute);
    oc_image *mask = path ? oc_image_open(r->cx, path, NULL) : NULL;
    oci_free(path);
    oci_free(folder);
    return mask;
}

static bool draw_one(reader *r, const json_t *object, const char *field, oc_image *image)
{
    oc_mark mark = { .size = sizeof mark };
    if (!json_is_object(object)) {
        oci_json_expected(r->cx, r->doc, field, "an object", object);
        return false;
    }
    if (!read_settings(r, object, field, &mark) || !read_shape(r, object, field, &mark) ||
        !read_points(r, object, field, &mark))
        return false;
    oc_image *mask = open_mask(r, object, field);
    mark.mask = mask;
    if (!oci_failed(r->cx)) oci_mark_draw(r->cx, image, &mark);
    oc_image_free(mask);
    return !oci_failed(r->cx);
}

/* All of them, or none and NULL. */
static oc_image *draw_all(oc_context *cx, const oc_image *image, const oci_json *doc,
                          const char *path)
{
    reader r = { .cx = cx, .doc = doc, .path = path };
    size_t count = json_array_size(doc->root);
    if (!json_is_array(doc->root)) {
        oci_json_expected(cx, doc, "(top)", "an array of marks", doc->root);
        return NULL;
    }
    if (count > OCI_MARKS) {
        oci_fail(cx, OC_E_LIMIT, "%s: expected at most %d marks, found %zu", doc->name,
                 OCI_MARKS, count);
        return NULL;
    }
    oc_image *out = oci_image_copy(cx, image);
    for (size_t i = 0; out && i < count && !oci_failed(cx); i++) {
        char field[32];
        snprintf(field, sizeof field, "[%zu]", i);
        draw_one(&r, json_array_get(doc->root, i), field, out);
    }
    oci_free(r.points);
    if (!oci_failed(cx)) return out;
    oc_image_free(out);
    return NULL;
}

oc_image *oc_image_marks(oc_context *cx, const oc_image *image, const char *json,
                         size_t size)
{
    oci_json doc = { 0 };
    if (!oci_given(cx, image, __func__, "a picture") ||
        !oci_given(cx, json, __func__, "a text"))
        return NULL;
    oc_image *out = oci_json_parse(cx, &doc, "marks", json, size)
                        ? draw_all(cx, image, &doc, NULL) : NULL;
    oci_json_close(&doc);
    return out;
}

oc_image *oc_image_marks_open(oc_context *cx, const oc_image *image, const char *path)
{
    oci_json doc = { 0 };
    if (!oci_given(cx, image, __func__, "a picture") ||
        !oci_given(cx, path, __func__, "a path"))
        return NULL;
    oc_image *out = oci_json_open(cx, &doc, path) ? draw_all(cx, image, &doc, path)
                                                  : NULL;
    oci_json_close(&doc);
    return out;
}
