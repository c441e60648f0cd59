/* Visual prompts: what each shape covers and what it leaves alone, clipping, what is
 * refused, JSON, and pictures that are as they were. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/faults.h"
#include "ocelli.h"

enum { W = 120, H = 90 };

typedef struct notes {
    int count;
    char last[256];
} notes;

static void note(void *user, oc_log_level level, const char *message)
{
    notes *n = user;
    if (level != OC_LOG_WARNING) return;
    n->count++;
    snprintf(n->last, sizeof n->last, "%s", message);
}

static oc_context *context(notes *n)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1, .log = note,
                                      .log_user = n);
    oc_context *cx = oc_context_create(&o);
    assert_non_null(cx);
    return cx;
}

/* A picture of one grey. */
static oc_image *grey(oc_context *cx, int64_t width, int64_t height)
{
    uint8_t *rgb = malloc((size_t)(width * height * 3));
    assert_non_null(rgb);
    memset(rgb, 100, (size_t)(width * height * 3));
    oc_image *image = oc_image_create(cx, width, height, rgb);
    free(rgb);
    assert_non_null(image);
    return image;
}

/* What part of the pixel the colour has taken, 0..1, by a channel that it makes 255. */
static double taken(const oc_image *image, int64_t x, int64_t y, int channel)
{
    const uint8_t *p = oc_image_pixels(image) + 3 * (y * oc_image_width(image) + x);
    return (p[channel] - 100) / 155.0;
}

static void assert_fine(const oc_context *cx)
{
    if (oc_context_status(cx) != OC_OK) fail_msg("%s", oc_context_message(cx));
}

/* The mark on grey, in red, and the mass of it in pixels. */
static oc_image *draw(oc_context *cx, oc_mark mark, double *mass)
{
    oc_image *image = grey(cx, W, H);
    oc_image *out = oc_image_mark(cx, image, &mark);
    assert_fine(cx);
    assert_non_null(out);
    *mass = 0;
    for (int64_t y = 0; y < H; y++)
        for (int64_t x = 0; x < W; x++) {
            *mass += taken(out, x, y, 0);
            assert_int_equal(oc_image_pixels(image)[3 * (y * W + x)], 100);
        }
    oc_image_free(image);
    return out;
}

#define MARK(shape_, width_, ...)                                                        \
    ((oc_mark){ .size = sizeof(oc_mark), .shape = OC_MARK_##shape_, .width = width_,     \
                .points = (const double[]){ __VA_ARGS__ },                               \
                .count = sizeof((const double[]){ __VA_ARGS__ }) / (2 * sizeof(double)) })

/* ---- shapes ------------------------------------------------------------------------ */

typedef struct probe {
    int x, y;
    bool covered;
} probe;

static void shapes(void **state)
{
    (void)state;
    static const double pi = 3.14159265358979;
    struct {
        oc_mark mark;
        double mass;            /* by geometry */
        probe probes[5];
    } cases[] = {
        /* The line runs inside the box. */
        { MARK(BOX, 3, 20, 10, 80, 60), 60 * 50 - 54 * 44,
          { { 20, 10, true }, { 79, 59, true }, { 50, 12, true }, { 50, 13, false },
            { 19, 30, false } } },
        { MARK(BOX, 3, 80, 60, 20, 10), 60 * 50 - 54 * 44,
          { { 20, 10, true }, { 79, 59, true }, { 22, 30, true }, { 23, 30, false },
            { 80, 30, false } } },
        { MARK(BOX, 30, 20, 10, 60, 50), 40 * 40,           /* no room for a hole */
          { { 40, 30, true }, { 20, 10, true }, { 59, 49, true }, { 60, 49, false },
            { 19, 10, false } } },
        { MARK(ELLIPSE, 4, 20, 10, 80, 60), pi * (30 * 25 - 26 * 21),
          { { 21, 35, true }, { 78, 35, true }, { 50, 11, true }, { 50, 35, false },
            { 22, 12, false } } },
        { MARK(POINT, 10, 60, 45), pi * 100,
          { { 60, 45, true }, { 68, 45, true }, { 60, 37, true }, { 71, 45, false },
            { 68, 53, false } } },
        { MARK(SCRIBBLE, 4, 10, 20, 110, 20), 4 * 100 + pi * 4,     /* round ends */
          { { 10, 20, true }, { 60, 18, true }, { 109, 21, true }, { 60, 23, false },
            { 113, 20, false } } },
        { MARK(TRIANGLE, 2, 20, 80, 60, 10, 100, 80), 2 * (80 + 2 * hypot(40, 70)),
          { { 60, 80, true }, { 40, 45, true }, { 60, 50, false }, { 60, 70, false },
            { 20, 20, false } } },
        { MARK(CONTOUR, 2, 20, 20, 100, 20, 100, 70, 20, 70), 2 * 260,
          { { 20, 40, true }, { 100, 40, true }, { 60, 70, true }, { 60, 45, false },
            { 10, 10, false } } },
    };
    notes n = { 0 };
    oc_context *cx = context(&n);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double mass;
        oc_image *out = draw(cx, cases[i].mark, &mass);
        /* Corners and joins are not in the formulas. */
        if (fabs(mass - cases[i].mass) > 0.03 * cases[i].mass + 3)
            fail_msg("case %zu: covers %.1f pixels, not %.1f", i, mass, cases[i].mass);
        for (size_t k = 0; k < 5; k++) {
            probe p = cases[i].probes[k];
            double t = taken(out, p.x, p.y, 0);
            if (p.covered ? t < 0.7 : t > 0.02)
                fail_msg("case %zu: pixel %d, %d is covered by %.2f", i, p.x, p.y, t);
        }
        oc_image_free(out);
    }
    assert_int_equal(n.count, 0);
    oc_context_free(cx);
}

/* The tip is where the arrow ends, and there its head is. */
static void arrows(void **state)
{
    (void)state;
    static const double tips[][2] = {
        { 100, 45 }, { 20, 45 }, { 60, 80 }, { 60, 10 }, { 95, 75 }
    };
    notes n = { 0 };
    oc_context *cx = context(&n);
    for (size_t i = 0; i < sizeof tips / sizeof *tips; i++) {
        double x = tips[i][0], y = tips[i][1], mass;
        double dx = (x - 60) / hypot(x - 60, y - 45),
               dy = (y - 45) / hypot(x - 60, y - 45);
        oc_image *out = draw(cx, MARK(ARROW, 2, 60, 45, x, y), &mass);
        double head = 0, tail = 0, beyond = 0;
        for (int64_t py = 0; py < H; py++) {
            for (int64_t px = 0; px < W; px++) {
                double t = taken(out, px, py, 0);
                double along = ((double)px + 0.5 - x) * dx + ((double)py + 0.5 - y) * dy;
                if (along > 1) beyond += t;
                else if (along > -16) head += t;
                else tail += t;
            }
        }
        double length = hypot(x - 60, y - 45);
        assert_true(beyond < 0.5);
        assert_true(head > 20);
        assert_true(fabs(tail - 2 * (length - 16)) < 0.1 * length);
        oc_image_free(out);
    }
    oc_context_free(cx);
}

/* ---- colours, alpha, widths -------------------------------------------------------- */

static void colors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t rgb[3];
    } cases[] = { { NULL, { 255, 0, 0 } },         { "red", { 255, 0, 0 } },
                  { "lime", { 0, 255, 0 } },       { "blue", { 0, 0, 255 } },
                  { "yellow", { 255, 255, 0 } },   { "fuchsia", { 255, 0, 255 } },
                  { "aqua", { 0, 255, 255 } },     { "orange", { 255, 165, 0 } },
                  { "purple", { 128, 0, 128 } },   { "gold", { 255, 215, 0 } },
                  { "green", { 0, 128, 0 } },      { "#0a1B2c", { 10, 27, 44 } },
                  { "#ffffff", { 255, 255, 255 } } };
    notes n = { 0 };
    oc_context *cx = context(&n);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double mass;
        oc_mark mark = MARK(MASK, 0, 10, 10, 50, 10, 50, 50, 10, 50);
        mark.color = cases[i].name;
        mark.alpha = 1;
        oc_image *out = draw(cx, mark, &mass);
        assert_memory_equal(oc_image_pixels(out) + 3 * (30 * W + 30), cases[i].rgb, 3);
        oc_image_free(out);
    }
    static const char *const wrong[] = { "", "crimson", "#12345", "#1234567", "#12345g",
                                         "Red", "#", "123456" };
    oc_image *image = grey(cx, W, H);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        oc_mark mark = MARK(POINT, 0, 10, 10);
        mark.color = wrong[i];
        assert_null(oc_image_mark(cx, image, &mark));
        assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
        oc_context_clear(cx);
    }
    oc_image_free(image);
    oc_context_free(cx);
}

static void alpha(void **state)
{
    (void)state;
    static const struct {
        double alpha;
        int red;
    } cases[] = { { 0, 100 + 54 }, { 0.5, 100 + 78 }, { 1, 255 } };
    notes n = { 0 };
    oc_context *cx = context(&n);
    for (size_t i = 0; i < 3; i++) {
        double mass;
        oc_mark mark = MARK(MASK, 0, 10, 10, 50, 10, 50, 50, 10, 50);
        mark.alpha = cases[i].alpha;
        oc_image *out = draw(cx, mark, &mass);
        assert_in_range(oc_image_pixels(out)[3 * (30 * W + 30)], cases[i].red - 1,
                        cases[i].red + 1);
        assert_int_equal(oc_image_pixels(out)[3 * (30 * W + 51)], 100);
        oc_image_free(out);
    }
    oc_context_free(cx);
}

/* Rows of red from the top of a box's upper side. */
static int64_t line_width(oc_context *cx, int64_t width, int64_t height)
{
    oc_image *image = grey(cx, width, height);
    oc_mark mark = MARK(BOX, 0, 0, 0, 100, 100);
    oc_image *out = oc_image_mark(cx, image, &mark);
    assert_fine(cx);
    int64_t rows = 0;
    while (taken(out, 50, rows, 0) > 0.5) rows++;
    oc_image_free(image);
    oc_image_free(out);
    return rows;
}

static void widths_scale(void **state)
{
    (void)state;
    notes n = { 0 };
    oc_context *cx = context(&n);
    assert_int_equal(line_width(cx, 100, 101), 1);
    assert_int_equal(line_width(cx, 336, 200), 3);
    assert_int_equal(line_width(cx, 200, 336), 3);
    assert_int_equal(line_width(cx, 447, 200), 3);      /* as int() cuts 3.99 */
    assert_int_equal(line_width(cx, 448, 200), 4);
    assert_int_equal(line_width(cx, 1344, 1000), 12);
    oc_context_free(cx);
}

/* ---- the picture's edge ------------------------------------------------------------ */

static void clipping(void **state)
{
    (void)state;
    notes n = { 0 };
    oc_context *cx = context(&n);
    double mass, inside;
    oc_image *out = draw(cx, MARK(BOX, 3, -50, -7, 60, 40), &mass);
    oc_image *same = draw(cx, MARK(BOX, 3, 0, 0, 60, 40), &inside);
    assert_int_equal(n.count, 1);
    assert_non_null(strstr(n.last, "box: points outside the picture (120 x 90)"));
    assert_memory_equal(oc_image_pixels(out), oc_image_pixels(same), W * H * 3);
    oc_image_free(out);
    oc_image_free(same);
    out = draw(cx, MARK(POINT, 5, 500, 500), &mass);
    assert_true(mass > 15 && mass < 25);                /* a quarter of it */
    oc_image_free(out);
    assert_int_equal(n.count, 2);
    out = draw(cx, MARK(BOX, 3, 0, 0, W, H), &mass);    /* the edge itself is inside */
    assert_int_equal(n.count, 2);
    oc_image_free(out);
    oc_context_free(cx);
}

/* Larger than a tile: no seams. */
static void large(void **state)
{
    (void)state;
    notes n = { 0 };
    oc_context *cx = context(&n);
    oc_image *image = grey(cx, 2500, 1100);
    oc_mark mark = MARK(SCRIBBLE, 9, 100, 100, 2400, 1000);
    oc_image *out = oc_image_mark(cx, image, &mark);
    assert_fine(cx);
    double mass = 0;
    for (int64_t y = 0; y < 1100; y++)
        for (int64_t x = 0; x < 2500; x++) mass += taken(out, x, y, 0);
    double want = 9 * hypot(2300, 900) + 3.14159 * 4.5 * 4.5;
    assert_true(fabs(mass - want) < 0.005 * want);
    oc_image_free(image);
    oc_image_free(out);
    oc_context_free(cx);
}

/* ---- masks ------------------------------------------------------------------------- */

static oc_image *half_mask(oc_context *cx, int64_t width, int64_t height, uint8_t light)
{
    uint8_t *rgb = calloc((size_t)(width * height), 3);
    assert_non_null(rgb);
    for (int64_t i = 0; i < width * height; i++)
        if (i % width < width / 2) rgb[3 * i + 1] = light;
    oc_image *mask = oc_image_create(cx, width, height, rgb);
    free(rgb);
    return mask;
}

static void masks(void **state)
{
    (void)state;
    notes n = { 0 };
    oc_context *cx = context(&n);
    oc_image *mask = half_mask(cx, W, H, 128), *small = half_mask(cx, W - 1, H, 128);
    oc_image *dark = half_mask(cx, W, H, 127), *image = grey(cx, W, H);
    oc_mark mark = { .size = sizeof mark, .shape = OC_MARK_MASK, .mask = mask };
    double mass;
    oc_image *out = draw(cx, mark, &mass);
    assert_true(taken(out, W / 2 - 1, 5, 0) > 0.3 && taken(out, W / 2, 5, 0) == 0);
    const oc_image *const wrong[] = { small, dark };
    for (size_t i = 0; i < 2; i++) {
        mark.mask = wrong[i];
        assert_null(oc_image_mark(cx, image, &mark));
        assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
        oc_context_clear(cx);
    }
    oc_image_free(out);
    oc_image_free(mask);
    oc_image_free(small);
    oc_image_free(dark);
    oc_image_free(image);
    oc_context_free(cx);
}

/* ---- refused ----------------------------------------------------------------------- */

static void refused(void **state)
{
    (void)state;
    const struct {
        oc_mark mark;
        const char *words;
    } cases[] = {
        { MARK(BOX, 0, 1, 2), "two corners, found 1 point" },
        { MARK(BOX, 0, 1, 2, 3, 4, 5, 6), "two corners, found 3 points" },
        { MARK(BOX, 0, 10, 10, 10.5, 80), "nothing is left" },
        { MARK(BOX, 0, 200, 10, 300, 80), "nothing is left of it inside" },
        { MARK(ELLIPSE, 0, 10, 10, 80, 10), "nothing is left" },
        { MARK(ARROW, 0, 10, 10, 10, 10), "nothing is left" },
        { MARK(POINT, 0, 10, 10, 20, 20), "one point" },
        { MARK(POINT, 0, NAN, 10), "finite" },
        { MARK(POINT, 0, INFINITY, 10), "finite" },
        { MARK(POINT, -1, 10, 10), "width" },
        { MARK(POINT, NAN, 10, 10), "width" },
        { MARK(SCRIBBLE, 0, 10, 10), "two points or more" },
        { MARK(TRIANGLE, 0, 10, 10, 50, 50, 90, 90), "triangle: nothing is left" },
        { MARK(CONTOUR, 0, 10, 10, 50, 50), "three corners" },
        { MARK(MASK, 0, 10, 10, 50, 10, 90, 10), "nothing is left" },
        { { .size = sizeof(oc_mark), .shape = (oc_mark_shape)77 }, "a shape, found 77" },
        { { .size = sizeof(oc_mark), .shape = OC_MARK_BOX, .count = 2 }, "finite" },
        { { .size = sizeof(oc_mark), .shape = OC_MARK_MASK }, "three corners" },
    };
    notes n = { 0 };
    oc_context *cx = context(&n);
    oc_image *image = grey(cx, W, H);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(oc_image_mark(cx, image, &cases[i].mark));
        if (oc_context_status(cx) != OC_E_ARGUMENT ||
            !strstr(oc_context_message(cx), cases[i].words))
            fail_msg("case %zu: no \"%s\" in \"%s\"", i, cases[i].words,
                     oc_context_message(cx));
        oc_context_clear(cx);
    }
    assert_null(oc_image_mark(cx, image, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_image_free(image);
    oc_context_free(cx);
}

/* ---- JSON -------------------------------------------------------------------------- */

static void json(void **state)
{
    (void)state;
#define BOX "{\"shape\":\"box\",\"points\":[20,10,80,60]"
    static const struct {
        const char *text;
        oc_status status;
        const char *words;
    } cases[] = {
        { "[" BOX "}]", OC_OK, NULL },
        { "[]", OC_OK, NULL },
        { "[" BOX ",\"color\":\"#00ff00\",\"width\":2.5,\"alpha\":0.5}," BOX "}]", OC_OK,
          NULL },
        { "", OC_E_MALFORMED, NULL },
        { "{}", OC_E_MALFORMED, "an array of marks" },
        { "[7]", OC_E_MALFORMED, "[0]: expected an object" },
        { "[{}]", OC_E_MALFORMED, "[0].shape" },
        { "[" BOX "},{\"shape\":\"star\"}]", OC_E_MALFORMED, "found \"star\"" },
        { "[" BOX ",\"colour\":\"red\"}]", OC_E_MALFORMED, "found \"colour\"" },
        { "[" BOX ",\"color\":7}]", OC_E_MALFORMED, "[0].color" },
        { "[" BOX ",\"color\":\"mud\"}]", OC_E_ARGUMENT, "mud" },
        { "[" BOX ",\"width\":-1}]", OC_E_MALFORMED, "[0].width" },
        { "[" BOX ",\"alpha\":1.5}]", OC_E_MALFORMED, "[0].alpha" },
        { "[{\"shape\":\"box\",\"points\":[1,2,3]}]", OC_E_MALFORMED,
          "pairs of x and y" },
        { "[{\"shape\":\"box\",\"points\":[1,2,\"3\",4]}]", OC_E_MALFORMED, "numbers" },
        { "[{\"shape\":\"box\",\"points\":{}}]", OC_E_MALFORMED, "[0].points" },
        { "[{\"shape\":\"box\"}]", OC_E_ARGUMENT, "found 0 points" },
        { "[{\"shape\":\"mask\",\"file\":\"x.png\"}]", OC_E_ARGUMENT, "no files" },
    };
    notes n = { 0 };
    oc_context *cx = context(&n);
    oc_image *image = grey(cx, W, H);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        oc_image *out = oc_image_marks(cx, image, cases[i].text, strlen(cases[i].text));
        const char *message = oc_context_message(cx);
        if (oc_context_status(cx) != cases[i].status ||
            !out == (cases[i].status == OC_OK) ||
            (cases[i].words && !strstr(message, cases[i].words)))
            fail_msg("%s: %s", cases[i].text, message);
        oc_image_free(out);
        oc_context_clear(cx);
    }
    oc_image_free(image);
    oc_context_free(cx);
}

/* A file of marks, and a mask beside it. */
static void files(void **state)
{
    (void)state;
    notes n = { 0 };
    oc_context *cx = context(&n);
    char folder[] = "/tmp/ocelli-marks-XXXXXX", path[128], mask_path[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/marks.json", folder);
    snprintf(mask_path, sizeof mask_path, "%s/mask.png", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("[" BOX "},{\"shape\":\"mask\",\"file\":\"mask.png\",\"color\":\"lime\"}]",
          file);
    fclose(file);
    oc_image *image = grey(cx, W, H), *mask = half_mask(cx, W, H, 255);
    assert_null(oc_image_marks_open(cx, image, path));
    assert_int_equal(oc_context_status(cx), OC_E_FILE);
    assert_non_null(strstr(oc_context_message(cx), "mask.png"));
    oc_context_clear(cx);
    assert_int_equal(oc_image_save(cx, mask, mask_path), OC_OK);
    oc_image *out = oc_image_marks_open(cx, image, path);
    assert_fine(cx);
    assert_true(taken(out, 5, 5, 1) > 0.3 && taken(out, W - 5, 5, 1) == 0);
    assert_true(taken(out, 79, 40, 0) == 1);
    unlink(path);
    unlink(mask_path);
    rmdir(folder);
    oc_image_free(out);
    oc_image_free(image);
    oc_image_free(mask);
    oc_context_free(cx);
}

/* ---- pictures as they were --------------------------------------------------------- */

static const char picture_marks[] =
    "[{\"shape\":\"box\",\"points\":[4,4,26,26]},"
    "{\"shape\":\"ellipse\",\"points\":[34,4,62,26],\"color\":\"lime\"},"
    "{\"shape\":\"arrow\",\"points\":[94,4,70,26],\"color\":\"blue\",\"width\":2},"
    "{\"shape\":\"point\",\"points\":[15,45],\"color\":\"fuchsia\",\"width\":6},"
    "{\"shape\":\"scribble\",\"points\":[36,36,60,40,38,46,60,54],\"color\":\"orange\"},"
    "{\"shape\":\"triangle\",\"points\":[68,56,80,34,92,56],\"color\":\"purple\"},"
    "{\"shape\":\"contour\",\"points\":[6,64,20,70,28,64,24,90,8,88],\"color\":\"aqua\"},"
    "{\"shape\":\"mask\",\"points\":[36,64,60,70,52,92,34,88],\"color\":\"gold\"},"
    "{\"shape\":\"box\",\"points\":[70,64,200,200],\"color\":\"#404040\",\"alpha\":0.5}]";

/* Another cairo may cover the edge of a line otherwise by a little; nothing more. */
static void stored_picture(void **state)
{
    (void)state;
    notes n = { 0 };
    oc_context *cx = context(&n);
    oc_image *image = grey(cx, 96, 96);
    oc_image *have = oc_image_marks(cx, image, picture_marks, sizeof picture_marks - 1);
    assert_fine(cx);
    const char *make = getenv("OCELLI_MAKE_PICTURES");
    if (make) oc_image_save(cx, have, make);
    oc_image *want = oc_image_open(cx, "tests/data/image/marks.png", NULL);
    assert_fine(cx);
    const uint8_t *a = oc_image_pixels(have), *b = oc_image_pixels(want);
    double sum = 0;
    for (size_t i = 0; i < 96 * 96 * 3; i++) {
        int d = abs(a[i] - b[i]);
        if (d > 24) fail_msg("byte %zu: %d, not %d", i, a[i], b[i]);
        sum += d;
    }
    assert_true(sum / (96 * 96 * 3) < 0.2);
    oc_image_free(image);
    oc_image_free(have);
    oc_image_free(want);
    oc_context_free(cx);
}

static void fault_job(oc_context *cx, void *user)
{
    (void)user;
    static const uint8_t rgb[96 * 96 * 3];
    oc_image *image = oc_image_create(cx, 96, 96, rgb);
    oc_image *out = oc_image_marks(cx, image, picture_marks, sizeof picture_marks - 1);
    oc_image_free(out);
    oc_image_free(image);
}

static void every_fault(void **state)
{
    (void)state;
    fault_plan plan = { .job = fault_job };
    assert_true(fault_loop(&plan) > 10);
}

/* A build without cairo says so by name. */
static bool can_draw(void)
{
    notes n = { 0 };
    oc_context *cx = context(&n);
    oc_image *image = grey(cx, W, H);
    oc_mark mark = MARK(POINT, 0, 10, 10);
    oc_image *out = oc_image_mark(cx, image, &mark);
    bool without = oc_context_status(cx) == OC_E_UNSUPPORTED &&
                   strstr(oc_context_message(cx), "point: this ocelli was built without "
                                                  "cairo");
    if (without) print_message("built without cairo: skipped\n");
    oc_image_free(out);
    oc_image_free(image);
    oc_context_free(cx);
    return !without;
}

int main(void)
{
    if (!can_draw()) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),       cmocka_unit_test(arrows),
        cmocka_unit_test(colors),       cmocka_unit_test(alpha),
        cmocka_unit_test(widths_scale), cmocka_unit_test(clipping),
        cmocka_unit_test(large),        cmocka_unit_test(masks),
        cmocka_unit_test(refused),      cmocka_unit_test(json),
        cmocka_unit_test(files),        cmocka_unit_test(stored_picture),
        cmocka_unit_test(every_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
