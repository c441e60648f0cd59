/* Marks: checked, brought into the picture, drawn tile by tile and blended in. Sizes of
 * lines follow visual_prompt_generator.py of ViP-LLaVA, which scales them with the longer
 * side of the picture: one of 336 pixels has them as they stand there. */
#include "image/overlay.h"

#include <math.h>
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"

enum { TILE = 1024 };           /* side: 1 MiB of coverage, and far below cairo's 32767 */

static const double anchor = 336;

/* ---- colours ----------------------------------------------------------------------- */

typedef struct rgb {
    uint8_t c[3];
} rgb;

/* ViP-LLaVA was trained on the first nine; values and names are those of CSS. */
static const struct {
    const char *name;
    rgb value;
} colors[] = {
    { "red", { { 255, 0, 0 } } },       { "lime", { { 0, 255, 0 } } },
    { "blue", { { 0, 0, 255 } } },      { "yellow", { { 255, 255, 0 } } },
    { "fuchsia", { { 255, 0, 255 } } }, { "aqua", { { 0, 255, 255 } } },
    { "orange", { { 255, 165, 0 } } },  { "purple", { { 128, 0, 128 } } },
    { "gold", { { 255, 215, 0 } } },    { "magenta", { { 255, 0, 255 } } },
    { "cyan", { { 0, 255, 255 } } },    { "green", { { 0, 128, 0 } } },
    { "pink", { { 255, 192, 203 } } },  { "brown", { { 165, 42, 42 } } },
    { "white", { { 255, 255, 255 } } }, { "black", { { 0, 0, 0 } } },
    { "gray", { { 128, 128, 128 } } },
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_color(oc_context *cx, const char *text, rgb *color)
{
    if (!text) text = "red";
    for (size_t i = 0; i < sizeof colors / sizeof *colors; i++) {
        if (strcmp(colors[i].name, text)) continue;
        *color = colors[i].value;
        return true;
    }
    bool hex = text[0] == '#' && strlen(text) == 7;
    for (int i = 1; hex && i < 7; i++) hex = hex_digit(text[i]) >= 0;
    for (int i = 0; hex && i < 3; i++)
        color->c[i] = (uint8_t)(hex_digit(text[1 + 2 * i]) * 16 +
                                hex_digit(text[2 + 2 * i]));
    if (!hex)
        oci_fail(cx, OC_E_ARGUMENT,
                 "color: expected #rrggbb, red, lime, blue, yellow, fuchsia, aqua, "
                 "orange, purple, gold, magenta, cyan, green, pink, brown, white, black "
                 "or gray, found \"%.50s\"",
                 text);
    return hex;
}

/* ---- shapes ------------------------------------------------------------------------ */

/* Points that a shape takes, and its line at the anchor's size. */
static const struct {
    const char *name;
    size_t least, most;
    const char *points;
    double width;
} shapes[] = {
    [OC_MARK_BOX] = { "box", 2, 2, "two corners", 3 },
    [OC_MARK_ELLIPSE] = { "ellipse", 2, 2, "two corners of the box around it", 3 },
    [OC_MARK_ARROW] = { "arrow", 2, 2, "its tail and its tip", 3 },
    [OC_MARK_POINT] = { "point", 1, 1, "one point", 12 },
    [OC_MARK_SCRIBBLE] = { "scribble", 2, OCI_MARK_POINTS, "two points or more", 4 },
    [OC_MARK_TRIANGLE] = { "triangle", 3, 3, "three corners", 3 },
    [OC_MARK_CONTOUR] = { "contour", 3, OCI_MARK_POINTS, "three corners or more", 3 },
    [OC_MARK_MASK] = { "mask", 3, OCI_MARK_POINTS, "three corners or more", 0 },
};

const char *oci_mark_name(oc_mark_shape shape)
{
    return (size_t)shape < sizeof shapes / sizeof *shapes ? shapes[shape].name : NULL;
}

static bool check_mark(oc_context *cx, const oc_mark *m)
{
    const char *name = oci_mark_name(m->shape);
    if (!name) {
        oci_fail(cx, OC_E_ARGUMENT, "mark: expected a shape, found %d", (int)m->shape);
        return false;
    }
    if (!(m->width >= 0 && m->width <= 65536) || !(m->alpha >= 0 && m->alpha <= 1)) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: expected a width of 0..65536 and an alpha of 0..1, found %g, %g",
                 name, m->width, m->alpha);
        return false;
    }
    if (m->shape == OC_MARK_MASK && m->mask && m->count == 0) return true;
    bool finite = m->points || m->count == 0;
    size_t count = m->count;
    if (count < shapes[m->shape].least || count > shapes[m->shape].most || m->mask) {
        oci_fail(cx, count > OCI_MARK_POINTS ? OC_E_LIMIT : OC_E_ARGUMENT,
                 "%s: expected %s, found %zu point%s%s", name, shapes[m->shape].points,
                 count, count == 1 ? "" : "s", m->mask ? " and a mask" : "");
        return false;
    }
    for (size_t i = 0; finite && i < 2 * count; i++) finite = isfinite(m->points[i]);
    if (!finite)
        oci_fail(cx, OC_E_ARGUMENT, "%s: expected numbers that are finite", name);
    return finite;
}

static double clip(double value, double most, bool *clipped)
{
    double inside = fmin(fmax(value, 0), most);
    *clipped |= inside != value;
    return inside;
}

/* The shoelace formula; the direction does not matter. */
static double polygon_area(const oci_outline *o)
{
    double twice = 0;
    for (size_t i = 0; i < o->count; i++) {
        const double *a = o->xy + 2 * i, *b = o->xy + 2 * ((i + 1) % o->count);
        twice += a[0] * b[1] - b[0] * a[1];
    }
    return fabs(twice) / 2;
}

/* The box around the points: x0, y0, x1, y1. */
static void bounds(const oci_outline *o, double box[4])
{
    box[0] = box[1] = INFINITY;
    box[2] = box[3] = -INFINITY;
    for (size_t i = 0; i < o->count; i++) {
        box[0] = fmin(box[0], o->xy[2 * i]);
        box[1] = fmin(box[1], o->xy[2 * i + 1]);
        box[2] = fmax(box[2], o->xy[2 * i]);
        box[3] = fmax(box[3], o->xy[2 * i + 1]);
    }
}

/* What could not be seen, or not as what it is. */
static bool is_degenerate(const oci_outline *o)
{
    double box[4];
    bounds(o, box);
    double w = box[2] - box[0], h = box[3] - box[1];
    switch (o->shape) {
    case OC_MARK_POINT: return false;
    case OC_MARK_ARROW: case OC_MARK_SCRIBBLE: return w < 1 && h < 1;
    case OC_MARK_TRIANGLE: return w < 1 || h < 1 || polygon_area(o) < 0.5;
    case OC_MARK_BOX: case OC_MARK_ELLIPSE: break;
    case OC_MARK_CONTOUR: case OC_MARK_MASK: break;
    }
    return w < 1 || h < 1;
}

/* The mark with its points inside the picture; its xy is the caller's to free. */
static bool make_outline(oc_context *cx, const oc_image *image, const oc_mark *m,
                         oci_outline *o)
{
    bool clipped = false;
    double scale = (double)oci_max(image->width, image->height) / anchor;
    double width = m->width > 0 ? m->width
                                : fmax(floor(shapes[m->shape].width * scale), 1);
    *o = (oci_outline){ .shape = m->shape, .count = m->count, .width = width };
    o->xy = oci_calloc(cx, m->count, 2 * sizeof *o->xy);
    if (!o->xy) return false;
    for (size_t i = 0; i < m->count; i++) {
        o->xy[2 * i] = clip(m->points[2 * i], (double)image->width, &clipped);
        o->xy[2 * i + 1] = clip(m->points[2 * i + 1], (double)image->height, &clipped);
    }
    const char *name = shapes[m->shape].name;
    if (is_degenerate(o)) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: nothing is left of it%s: expected a size of 1 pixel or more", name,
                 clipped ? " inside the picture" : "");
        return false;
    }
    if (clipped)
        oci_log(cx, OC_LOG_WARNING,
                "%s: points outside the picture (%lld x %lld) were moved to its edge",
                name, (long long)image->width, (long long)image->height);
    if (m->shape == OC_MARK_ARROW) {
        double length = hypot(o->xy[2] - o->xy[0], o->xy[3] - o->xy[1]);
        /* A fifth to a half of the length there, and 6 at least; a
         * long arrow's stays small. */
        double head = fmin(0.4 * length, 40 * scale);
        o->head = fmin(fmax(head, fmax(6 * scale, 2 * width)), length);
    }
    return true;
}

/* ---- drawing ----------------------------------------------------------------------- */

/* In integers, rounded to the nearest: the same on every machine. */
static inline uint8_t blend(uint8_t under, uint8_t over, unsigned alpha)
{
    unsigned t = under * (255 - alpha) + over * alpha + 127;
    return (uint8_t)(t / 255);
}

static void blend_tile(oc_image *image, const oci_tile *tile, rgb color, unsigned alpha)
{
    for (int64_t y = 0; y < tile->height; y++) {
        const uint8_t *cover = tile->coverage + y * tile->stride;
        uint8_t *to = image->buffer->data + 3 * ((tile->y + y) * image->width + tile->x);
        for (int64_t x = 0; x < tile->width; x++, to += 3) {
            unsigned a = (cover[x] * alpha + 127) / 255;
            if (a == 0) continue;
            for (int c = 0; c < 3; c++) to[c] = blend(to[c], color.c[c], a);
        }
    }
}

/* All tiles that the outline may reach; cairo forgets what lies outside of each. */
static oc_status draw_outline(oc_context *cx, oc_image *image, const oci_outline *o,
                              rgb color, unsigned alpha)
{
    double box[4], margin = fmax(o->width, o->head) + 2;
    bounds(o, box);
    int64_t x0 = (int64_t)fmax(box[0] - margin, 0),
            y0 = (int64_t)fmax(box[1] - margin, 0);
    int64_t x1 = (int64_t)fmin(ceil(box[2] + margin), (double)image->width);
    int64_t y1 = (int64_t)fmin(ceil(box[3] + margin), (double)image->height);
    uint8_t *coverage = oci_alloc(cx, (size_t)TILE * TILE);
    for (int64_t y = y0; coverage && y < y1 && !oci_failed(cx); y += TILE) {
        for (int64_t x = x0; x < x1 && !oci_failed(cx); x += TILE) {
            oci_tile tile = { x, y, oci_min(TILE, x1 - x), oci_min(TILE, y1 - y),
                              coverage, TILE };
            memset(coverage, 0, (size_t)(tile.height * TILE));
            if (oci_outline_cover(cx, o, &tile) == OC_OK)
                blend_tile(image, &tile, color, alpha);
        }
    }
    oci_free(coverage);
    return cx->status;
}

/* Where another picture is not dark. */
static oc_status draw_mask(oc_context *cx, oc_image *image, const oc_image *mask,
                           rgb color, unsigned alpha)
{
    if (mask->width != image->width || mask->height != image->height)
        return oci_fail(cx, OC_E_ARGUMENT,
                        "mask: expected the picture's size, %lld x %lld, found %lld x "
                        "%lld",
                        (long long)image->width, (long long)image->height,
                        (long long)mask->width, (long long)mask->height);
    const uint8_t *from = mask->buffer->data;
    uint8_t *to = image->buffer->data;
    size_t count = 0, pixels = image->buffer->size / 3;
    for (size_t i = 0; i < pixels; i++, from += 3, to += 3) {
        if (from[0] < 128 && from[1] < 128 && from[2] < 128) continue;
        for (int c = 0; c < 3; c++) to[c] = blend(to[c], color.c[c], alpha);
        count++;
    }
    if (count > 0) return cx->status;
    return oci_fail(cx, OC_E_ARGUMENT,
                    "mask: expected pixels of 128 or more, found none");
}

oc_status oci_mark_draw(oc_context *cx, oc_image *image, const oc_mark *mark)
{
    rgb color;
    if (oci_failed(cx) || !check_mark(cx, mark) || !read_color(cx, mark->color, &color))
        return cx->status;
    /* Masks were drawn at 48 to 128 of 255. */
    double most = mark->alpha > 0 ? mark->alpha : mark->shape == OC_MARK_MASK ? 0.35 : 1;
    unsigned alpha = (unsigned)(most * 255 + 0.5);
    if (mark->mask) return draw_mask(cx, image, mark->mask, color, alpha);
    oci_outline o = { 0 };
    if (make_outline(cx, image, mark, &o)) draw_outline(cx, image, &o, color, alpha);
    oci_free(o.xy);
    return cx->status;
}

oc_image *oci_image_copy(oc_context *cx, const oc_image *image)
{
    return oci_image_crop(cx, image, 0, 0, image->width, image->height);
}

oc_image *oc_image_mark(oc_context *cx, const oc_image *image, const oc_mark *mark)
{
    if (!oci_given(cx, image, __func__, "a picture") ||
        !oci_given(cx, mark, __func__, "a mark"))
        return NULL;
    oc_mark m = { .size = sizeof m };
    oci_take_options(&m, sizeof m, mark);
    oc_image *out = oci_image_copy(cx, image);
    if (out && oci_mark_draw(cx, out, &m) == OC_OK) return out;
    oc_image_free(out);
    return NULL;
}
