/* Image.resize of Pillow 13 for 8-bit RGB, bit for bit (src/libImaging/Resample.c and,
 * for nearest, Geometry.c): weights in double, fixed point of 22 bits, two passes with
 * rounding to 8 bits between them. A pass whose size does not change is left out.
 *
 * All arithmetic on pixels is in integers, so neither the order of the sum nor the number
 * of threads can change a result. */
#include <math.h>
#include <string.h>

#include "base/context.h"
#include "base/pool.h"
#include "base/size.h"
#include "image/decoder.h"

enum {
    PRECISION = 32 - 8 - 2,         /* 8 bits of pixel, 2 for negative lobes and sums over
                                       1 */
    HALF = 1 << (PRECISION - 1),
    MIN_PARALLEL_WORK = 1 << 19,    /* products; fewer are done before workers wake up */
    ROWS_AT_ONCE = 8                /* rows that a worker takes at a time */
};

static const double pi = 3.14159265358979323846;

/* ---- filters: weight of a distance, in the order of operations of Pillow ----------- */

static double box_weight(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

static double bilinear_weight(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming_weight(double x)
{
    x = fabs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x = x * pi;
    /* Pillow's constants are floats; their rounding is part of the result. */
    return sin(x) / x * ((double)0.54f + (double)0.46f * cos(x));
}

/* a = -0.5:
 * https://en.wikipedia.org/wiki/Bicubic_interpolation#Bicubic_convolution_algorithm */
static double bicubic_weight(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0) return 1.0;
    x = x * pi;
    return sin(x) / x;
}

static double lanczos_weight(double x)
{
    return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static const struct filter {
    double (*weight)(double x);
    double support;             /* weight is 0 further away, in source pixels at scale
                                   1 */
} filters[] = {
    [OCI_LANCZOS] = { lanczos_weight, 3.0 }, [OCI_BILINEAR] = { bilinear_weight, 1.0 },
    [OCI_BICUBIC] = { bicubic_weight, 2.0 }, [OCI_BOX] = { box_weight, 0.5 },
    [OCI_HAMMING] = { hamming_weight, 1.0 },
};

/* ---- weights of one axis ----------------------------------------------------------- */

typedef struct axis {
    int64_t out;
    int64_t room;               /* weights kept for each output pixel; the rest are 0 */
    int32_t *first, *count;     /* [out] source pixels that an output pixel is made of */
    int32_t *weights;           /* [out, room] fixed point */
} axis;

/* Accepts what axis_init left, done or not. */
static void axis_deinit(axis *a)
{
    oci_free(a->first);
    oci_free(a->count);
    oci_free(a->weights);
}

/* The weights of output pixel i, in double in `scratch`, then rounded into the axis. The
 * output covers [0, end) of `in` pixels. */
static void weigh_pixel(axis *a, const struct filter *filter, int64_t in, float end,
                        int64_t i, double *scratch)
{
    double scale = (double)end / (double)a->out;
    double stretch = scale < 1.0 ? 1.0 : scale, inverse = 1.0 / stretch;
    double support = filter->support * stretch;
    double center = ((double)i + 0.5) * scale;
    int64_t first = oci_max((int64_t)(center - support + 0.5), 0);
    int64_t count = oci_min((int64_t)(center + support + 0.5), in) - first;
    double sum = 0.0;
    for (int64_t j = 0; j < count; j++) {
        scratch[j] = filter->weight(((double)(j + first) - center + 0.5) * inverse);
        sum += scratch[j];
    }
    int32_t *weights = a->weights + i * a->room;
    for (int64_t j = 0; j < count; j++) {
        double w = sum != 0.0 ? scratch[j] / sum : scratch[j];
        weights[j] = (int32_t)((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION));
    }
    a->first[i] = (int32_t)first;
    a->count[i] = (int32_t)count;
}

/* Sides are at most image_side, so room * out is a few times the larger one: no overflow.
 * The caller calls axis_deinit, whatever the outcome. */
static bool axis_init(oc_context *cx, axis *a, const struct filter *filter, int64_t in,
                      float end, int64_t out)
{
    double stretch = fmax((double)end / (double)out, 1.0);
    *a = (axis){ .out = out, .room = (int64_t)ceil(filter->support * stretch) * 2 + 1 };
    a->first = oci_calloc(cx, (size_t)out, sizeof *a->first);
    a->count = oci_calloc(cx, (size_t)out, sizeof *a->count);
    a->weights = oci_calloc(cx, (size_t)(out * a->room), sizeof *a->weights);
    double *scratch = oci_calloc(cx, (size_t)a->room, sizeof *scratch);
    if (scratch)
        for (int64_t i = 0; i < out; i++) weigh_pixel(a, filter, in, end, i, scratch);
    oci_free(scratch);
    return !oci_failed(cx);
}

/* ---- the two passes ---------------------------------------------------------------- */

typedef struct pass {
    const axis *axis;
    const uint8_t *from;
    uint8_t *to;
    int64_t from_stride, to_stride;     /* bytes a row */
    int64_t top;                        /* vertical: the source row that `from` begins
                                           with */
} pass;

/* Sums carry HALF from the start, so the shift rounds; lobes can leave 0..255. */
static uint8_t clip8(int32_t sum)
{
    int32_t value = sum >> PRECISION;  /* arithmetic, as every compiler that we support */
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* One output pixel: the weighted sum of `count` RGB pixels. */
static void sum_pixels(const uint8_t *p, const int32_t *weights, int64_t count,
                       uint8_t *to)
{
    int32_t r = HALF, g = HALF, b = HALF;
    for (int64_t j = 0; j < count; j++, p += 3) {
        r += p[0] * weights[j];
        g += p[1] * weights[j];
        b += p[2] * weights[j];
    }
    to[0] = clip8(r);
    to[1] = clip8(g);
    to[2] = clip8(b);
}

/* Rows [first, last): for each output column its span of the source row. */
static void run_horizontal(void *user, int64_t first, int64_t last, int worker)
{
    const pass *p = user;
    const axis *a = p->axis;
    (void)worker;
    for (int64_t y = first; y < last; y++) {
        const uint8_t *from = p->from + y * p->from_stride;
        uint8_t *to = p->to + y * p->to_stride;
        for (int64_t x = 0; x < a->out; x++)
            sum_pixels(from + 3 * (int64_t)a->first[x], a->weights + x * a->room,
                       a->count[x], to + 3 * x);
    }
}

/* BLOCK bytes of an output row: the weighted sum of `count` rows. Rows of sums
 * that stay in the L1 cache are added one source row at a time, which
 * compilers turn into vector code. */
enum { BLOCK = 512 };

static void sum_rows(const uint8_t *from, int64_t stride, const int32_t *weights,
                     int64_t count, int64_t width, uint8_t *to)
{
    int32_t sums[BLOCK];
    for (int64_t x = 0; x < width; x++) sums[x] = HALF;
    for (int64_t j = 0; j < count; j++) {
        int32_t w = weights[j];
        const uint8_t *row = from + j * stride;
        for (int64_t x = 0; x < width; x++) sums[x] += w * row[x];
    }
    for (int64_t x = 0; x < width; x++) to[x] = clip8(sums[x]);
}

/* Output rows [first, last), a block of columns at a time. */
static void run_vertical(void *user, int64_t first, int64_t last, int worker)
{
    const pass *p = user;
    const axis *a = p->axis;
    (void)worker;
    for (int64_t y = first; y < last; y++) {
        const uint8_t *from = p->from + (a->first[y] - p->top) * p->from_stride;
        uint8_t *to = p->to + y * p->to_stride;
        for (int64_t x = 0; x < p->to_stride; x += BLOCK)
            sum_rows(from + x, p->from_stride, a->weights + y * a->room, a->count[y],
                     oci_min(BLOCK, p->to_stride - x), to + x);
    }
}

/* Rows in parallel when there is enough to do. */
static void run_rows(oc_context *cx, oci_task task, pass *p, int64_t rows,
                     int64_t products)
{
    if (products < MIN_PARALLEL_WORK) task(p, 0, rows, 0);
    else oci_parallel(cx, rows, ROWS_AT_ONCE, task, p);
}

/* Columns of the source rows [top, top + rows), resampled. */
static oc_image *resize_horizontal(oc_context *cx, const oc_image *image, const axis *a,
                                   int64_t top, int64_t rows)
{
    oc_image *out = oci_image_new(cx, "resized image", a->out, rows);
    if (!out) return NULL;
    pass p = { .axis = a, .from = image->buffer->data + top * image->width * 3,
               .to = out->buffer->data, .from_stride = image->width * 3,
               .to_stride = a->out * 3 };
    run_rows(cx, run_horizontal, &p, rows, rows * a->out * a->room * 3);
    return out;
}

/* Rows of `image`, resampled; its first row is row `top` of
 * what the axis was made for. */
static oc_image *resize_vertical(oc_context *cx, const oc_image *image, const axis *a,
                                 int64_t top)
{
    oc_image *out = oci_image_new(cx, "resized image", image->width, a->out);
    if (!out) return NULL;
    int64_t stride = image->width * 3;
    pass p = { .axis = a, .from = image->buffer->data, .to = out->buffer->data,
               .from_stride = stride, .to_stride = stride, .top = top };
    run_rows(cx, run_vertical, &p, a->out, a->out * a->room * stride);
    return out;
}

/* Pillow since 12 begins with the rows where their number falls by more than twice as
 * much as that of the columns; before, it always began with the columns. The order shows
 * in the rounding between the passes. */
static bool rows_first(const oc_image *image, int64_t width, int64_t height)
{
    int64_t fewer_rows = image->height - height, fewer_columns = image->width - width;
    return fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
}

/* Both passes; the picture between them is held to the same limits. An axis of which
 * nothing changes has weights NULL and is left out. */
static oc_image *run_passes(oc_context *cx, const oc_image *image, const axis *across,
                            const axis *down, bool down_first)
{
    if (!across->weights) return resize_vertical(cx, image, down, 0);
    if (!down->weights) return resize_horizontal(cx, image, across, 0, image->height);
    /* The vertical pass needs only these rows of the source. */
    int64_t top = down->first[0];
    int64_t end = down->first[down->out - 1] + down->count[down->out - 1];
    oc_image *between = down_first ? resize_vertical(cx, image, down, 0)
                                   : resize_horizontal(cx, image, across, top, end - top);
    if (!between) return NULL;
    oc_image *out = down_first ? resize_horizontal(cx, between, across, 0, down->out)
                               : resize_vertical(cx, between, down, top);
    oc_image_free(between);
    return out;
}

static bool check_target(oc_context *cx, int64_t width, int64_t height)
{
    int64_t side = (int64_t)cx->limits.image_side;
    if (width >= 1 && height >= 1 && width <= side && height <= side) return true;
    oci_fail(cx, width < 1 || height < 1 ? OC_E_ARGUMENT : OC_E_LIMIT,
             "resize: expected sides of 1 to %lld, found %lld x %lld", (long long)side,
             (long long)width, (long long)height);
    return false;
}

oc_image *oci_image_resample(oc_context *cx, const oc_image *image, float right,
                             float bottom, int64_t width, int64_t height,
                             oci_resample resample)
{
    if (!check_target(cx, width, height)) return NULL;
    const struct filter *filter = &filters[resample];
    axis across = { 0 }, down = { 0 };
    oc_image *out = NULL;
    if ((width == image->width ||
         axis_init(cx, &across, filter, image->width, right, width)) &&
        (height == image->height ||
         axis_init(cx, &down, filter, image->height, bottom, height)))
        out = run_passes(cx, image, &across, &down, rows_first(image, width, height));
    axis_deinit(&across);
    axis_deinit(&down);
    return out;
}

/* Source coordinates are summed up in double, not multiplied, as in
 * ImagingScaleAffine. */
static oc_image *resize_nearest(oc_context *cx, const oc_image *image, int64_t width,
                                int64_t height)
{
    oc_image *out = oci_image_new(cx, "resized image", width, height);
    int32_t *columns = oci_calloc(cx, (size_t)width, sizeof *columns);
    if (!columns) {
        oc_image_free(out);
        return NULL;
    }
    double step = (double)image->width / (double)width, at = step * 0.5;
    for (int64_t x = 0; x < width; x++, at += step)
        columns[x] = (int32_t)oci_min((int64_t)at, image->width - 1);
    uint8_t *to = out->buffer->data;
    step = (double)image->height / (double)height;
    at = step * 0.5;
    for (int64_t y = 0; y < height; y++, at += step) {
        int64_t row = oci_min((int64_t)at, image->height - 1);
        const uint8_t *from = image->buffer->data + row * image->width * 3;
        for (int64_t x = 0; x < width; x++, to += 3) memcpy(to, from + 3 * columns[x], 3);
    }
    oci_free(columns);
    return out;
}

oc_image *oci_image_resize(oc_context *cx, const oc_image *image, int64_t width,
                           int64_t height, oci_resample resample)
{
    if (oci_failed(cx) || !image || !check_target(cx, width, height)) return NULL;
    if (width == image->width && height == image->height)
        return oci_image_share(cx, image);
    if (resample == OCI_NEAREST) return resize_nearest(cx, image, width, height);
    return oci_image_resample(cx, image, (float)image->width, (float)image->height, width,
                              height, resample);
}
