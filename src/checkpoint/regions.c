#include "checkpoint/regions.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint/folder.h"
#include "io/file.h"
#include "io/quote.h"

enum { VERSION = 1, BOX = 4 };

/* A field that is not known may change what the others mean. */
static void check_fields(oc_context *cx, const oci_json *doc)
{
    static const char *const known[] = {
        "version", "feature_model", "feature", "normalize", "append_box", "regions",
        "visual_token_type"
    };
    const char *key;
    json_t *value;
    if (!json_is_object(doc->root))
        oci_json_expected(cx, doc, "file", "an object", doc->root);
    json_object_foreach(doc->root, key, value) {
        size_t i = 0;
        oci_quoted quoted;
        while (i < sizeof known / sizeof *known && strcmp(known[i], key)) i++;
        if (i == sizeof known / sizeof *known)
            oci_fail(cx, OC_E_MALFORMED, "%s: %s: no field of version %d", doc->name,
                     oci_quote(&quoted, key), VERSION);
    }
}

/* One box: four numbers in 0…1, with something between them. */
static bool read_box(const json_t *value, double *box)
{
    if (json_array_size(value) != BOX) return false;
    for (size_t k = 0; k < BOX; k++) {
        const json_t *number = json_array_get(value, k);
        box[k] = json_number_value(number);
        if (!json_is_number(number) || !(box[k] >= 0 && box[k] <= 1)) return false;
    }
    return box[0] < box[2] && box[1] < box[3];
}

static void read_boxes(oc_context *cx, oci_regions *r, const oci_json *doc)
{
    const json_t *list = oci_json_array(cx, doc, doc->root, "regions");
    const size_t count = json_array_size(list);
    if (oci_failed(cx)) return;
    if (count == 0) {
        oci_json_expected(cx, doc, "regions", "a list of boxes", list);
        return;
    }
    if (count > cx->limits.regions) {
        oci_fail(cx, OC_E_LIMIT, "%s: regions: expected at most %llu, found %zu",
                 doc->name, (unsigned long long)cx->limits.regions, count);
        return;
    }
    r->boxes = oci_calloc(cx, count, BOX * sizeof *r->boxes);
    for (r->count = 0; r->count < count && r->boxes && !oci_failed(cx); r->count++)
        if (!read_box(json_array_get(list, r->count), r->boxes + BOX * r->count))
            oci_fail(cx, OC_E_MALFORMED,
                     "%s: regions[%zu]: expected [x0, y0, x1, y1] with 0 <= x0 < x1 <= 1 "
                     "and 0 <= y0 < y1 <= 1, found something else",
                     doc->name, r->count);
}

/* ---- the feature model ---- */

/* The folder of `name`, inside or beside ours, or else the name itself, which is then a
 * bundled model's. `path` has room for OCI_MAX_PATH. */
static const char *find_model(oc_context *cx, const char *folder, const char *name,
                              char *path)
{
    static const char *const between[] = { "/", "/../" };
    for (size_t i = 0; i < sizeof between / sizeof *between; i++) {
        const int n = snprintf(path, OCI_MAX_PATH, "%s%s%s", folder, between[i], name);
        if (n < OCI_MAX_PATH && oci_folder_exists(cx, path)) return path;
    }
    return name;
}

/* A file from elsewhere must not lead to models anywhere on this machine, so that a name
 * is one part of a path, and "../" before it may only mean what is beside the folder. */
static void open_features(oc_context *cx, oci_regions *r, const oci_json *doc,
                          const char *folder)
{
    const char *name = oci_json_text(cx, doc, doc->root, "feature_model", NULL),
               *plain = name;
    if (oci_failed(cx)) return;
    if (name && !strncmp(name, "../", 3)) plain = name + 3;
    if (!plain || !plain[0] || plain[0] == '.' || strchr(plain, '/')) {
        oci_json_expected(cx, doc, "feature_model", "NAME or ../NAME",
                          json_object_get(doc->root, "feature_model"));
        return;
    }
    char path[OCI_MAX_PATH];
    r->features = oci_model_open_alone(cx, find_model(cx, folder, plain, path));
}

static void read_file(oc_context *cx, oci_regions *r, const oci_json *doc,
                      const char *folder)
{
    oci_quoted quoted;
    check_fields(cx, doc);
    if (oci_failed(cx)) return;
    const int64_t version = oci_json_int(cx, doc, doc->root, "version", VERSION, 0,
                                         INT64_MAX);
    const char *feature = oci_json_text(cx, doc, doc->root, "feature", "image_embeds");
    if (!oci_failed(cx) && version != VERSION)
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: version: expected %d, found %lld", doc->name,
                 VERSION, (long long)version);
    if (!oci_failed(cx) && strcmp(feature, "image_embeds"))
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: feature: expected image_embeds, found %s",
                 doc->name, oci_quote(&quoted, feature));
    r->normalize = oci_json_bool(cx, doc, doc->root, "normalize", false);
    r->append_box = oci_json_bool(cx, doc, doc->root, "append_box", false);
    r->visual_token_type = oci_json_int(cx, doc, doc->root, "visual_token_type", 1, 0,
                                        INT32_MAX);
    read_boxes(cx, r, doc);
    if (folder && !oci_failed(cx)) open_features(cx, r, doc, folder);
}

bool oci_regions_open(oc_context *cx, oci_regions *regions, const char *path,
                      const char *folder)
{
    oci_json doc;
    *regions = (oci_regions){ 0 };
    if (!oci_json_open(cx, &doc, path)) return false;
    read_file(cx, regions, &doc, folder);
    oci_json_close(&doc);
    if (oci_failed(cx)) oci_regions_close(regions);
    return !oci_failed(cx);
}

void oci_regions_close(oci_regions *regions)
{
    oc_model_close(regions->features);
    oci_free(regions->boxes);
    *regions = (oci_regions){ 0 };
}
