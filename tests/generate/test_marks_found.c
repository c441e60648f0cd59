/* Whether emoji-chat finds what our own marks point at: scenes put together
 * of the objects on the shared ones, a mark on one of them, and the
 * question that it was trained on. */
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
#include <jansson.h>

#include "ocelli.h"

enum { SIDE = 384, SCENES = 200, OBJECTS = 64, MOST = 4 };

/* A cut-out: what differs from the plain ground that it stood on. */
typedef struct cutout {
    char name[64];
    int side;
    uint8_t *rgb;               /* [side, side, 3] */
    bool *solid;                /* [side, side] */
} cutout;

typedef struct placed {
    const cutout *what;
    int x, y, side;             /* scaled to this */
} placed;

static cutout objects[OBJECTS];
static int object_count;
static uint64_t state = 20240131;

static int below(int n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

/* ---- cut-outs ---------------------------------------------------------------------- */

static int inside(int at) { return at < 0 ? 0 : at >= SIDE ? SIDE - 1 : at; }

/* The object in box [4], which may stick out a little, if its ground is one colour. */
static void cut(const oc_image *image, const char *name, const int box[4])
{
    int side = box[2] - box[0];
    const uint8_t *p = oc_image_pixels(image);
    if (object_count == OBJECTS || box[0] < -8 || box[1] < -8 || box[2] > SIDE + 8 ||
        box[3] > SIDE + 8 || abs(side - box[3] + box[1]) > 2)
        return;
    /* A corner of the box is ground, as emoji are round. */
    const uint8_t *ground = p + 3 * (inside(box[1] + 1) * SIDE + inside(box[0] + 1));
    cutout *o = &objects[object_count];
    *o = (cutout){ .side = side };
    snprintf(o->name, sizeof o->name, "%s", name);
    o->rgb = calloc((size_t)(side * side), 3);
    o->solid = calloc((size_t)(side * side), sizeof *o->solid);
    int plain = 0;
    for (int i = 0; i < side * side; i++) {
        const uint8_t *from = p + 3 * (inside(box[1] + i / side) * SIDE +
                                       inside(box[0] + i % side));
        memcpy(o->rgb + 3 * i, from, 3);
        int far = abs(from[0] - ground[0]) + abs(from[1] - ground[1]) +
                  abs(from[2] - ground[2]);
        o->solid[i] = far > 24;
        plain += !o->solid[i];
    }
    /* An emoji leaves a good part of its box free. */
    if (plain > side * side / 8) object_count++;
    else {
        free(o->rgb);
        free(o->solid);
    }
}

static void cut_all(oc_context *cx, const char *folder)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/scenes.json", folder);
    json_t *scenes = json_load_file(path, 0, NULL), *scene, *object;
    size_t i, k;
    json_array_foreach(scenes, i, scene) {
        const json_t *marks = json_object_get(scene, "marks");
        snprintf(path, sizeof path, "%s/%s", folder,
                 json_string_value(json_object_get(scene, "file")));
        oc_image *image = oc_image_open(cx, path, NULL);
        assert_non_null(image);
        json_array_foreach(json_object_get(scene, "objects"), k, object) {
            int box[4];
            const char *name = json_string_value(json_object_get(object, "name"));
            bool marked = false;
            for (size_t n = 0; n < json_array_size(marks); n++)
                marked |= !strcmp(name, json_string_value(json_object_get(
                                            json_array_get(marks, n), "object")));
            for (size_t n = 0; n < 4; n++)
                box[n] = (int)json_integer_value(
                    json_array_get(json_object_get(object, "box"), n));
            if (!marked) cut(image, name, box);
        }
        oc_image_free(image);
    }
    json_decref(scenes);
}

/* ---- scenes ------------------------------------------------------------------------ */

static bool overlaps(const placed *a, const placed *b)
{
    int gap = 24;
    return a->x < b->x + b->side + gap && b->x < a->x + a->side + gap &&
           a->y < b->y + b->side + gap && b->y < a->y + a->side + gap;
}

static int place(placed *at, int wanted)
{
    int count = 0;
    for (int tries = 0; tries < 400 && count < wanted; tries++) {
        placed p = { .what = &objects[below(object_count)], .side = 90 + below(70) };
        p.x = 12 + below(SIDE - 24 - p.side);
        p.y = 12 + below(SIDE - 24 - p.side);
        bool fits = true;
        for (int i = 0; i < count; i++)
            fits = fits && !overlaps(&p, &at[i]) &&
                   strcmp(at[i].what->name, p.what->name);
        if (fits) at[count++] = p;
    }
    return count;
}

static oc_image *paint(oc_context *cx, const placed *at, int count)
{
    static const uint8_t grounds[][3] = {
        { 245, 245, 245 }, { 50, 90, 200 }, { 50, 150, 60 }, { 245, 220, 60 },
        { 120, 80, 45 }
    };
    static uint8_t rgb[SIDE * SIDE * 3];
    const uint8_t *ground = grounds[below(5)];
    for (int i = 0; i < SIDE * SIDE; i++) memcpy(rgb + 3 * i, ground, 3);
    for (int n = 0; n < count; n++) {
        const cutout *o = at[n].what;
        int side = at[n].side;
        for (int i = 0; i < side * side; i++) {
            int from = i / side * o->side / side * o->side + i % side * o->side / side;
            if (o->solid[from])
                memcpy(rgb + 3 * ((at[n].y + i / side) * SIDE + at[n].x + i % side),
                       o->rgb + 3 * from, 3);
        }
    }
    return oc_image_create(cx, SIDE, SIDE, rgb);
}

/* ---- marks ------------------------------------------------------------------------- */

static const struct {
    const char *shape, *question;
    oc_mark_shape kind;
    double width;
} shapes[] = {
    { "box", "What is inside the %s box?", OC_MARK_BOX, 5 },
    { "ellipse", "What is in the %s circle?", OC_MARK_ELLIPSE, 5 },
    { "arrow", "What object is the %s arrow pointing at?", OC_MARK_ARROW, 5 },
    { "point", "What is at the %s point?", OC_MARK_POINT, 0 },
    { "triangle", "What object is in the %s triangle?", OC_MARK_TRIANGLE, 5 },
    { "scribble", "Which object is under the %s scribble?", OC_MARK_SCRIBBLE, 6 },
    { "contour", "What is in the %s contour?", OC_MARK_CONTOUR, 5 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* The points of a mark on the object; returns their number. */
static size_t points_on(const placed *o, oc_mark_shape kind, double *p)
{
    double x = o->x, y = o->y, s = o->side, m = 8, cx = x + s / 2, cy = y + s / 2;
    switch (kind) {
    case OC_MARK_BOX:
        memcpy(p, (double[]){ x - m, y - m, x + s + m, y + s + m }, 4 * sizeof *p);
        return 2;
    case OC_MARK_ELLIPSE:
        memcpy(p, (double[]){ x - 0.2 * s, y - 0.2 * s, x + 1.2 * s, y + 1.2 * s },
               4 * sizeof *p);
        return 2;
    case OC_MARK_ARROW: {
        double dx = cx < SIDE / 2.0 ? 1 : -1, dy = cy < SIDE / 2.0 ? 1 : -1;
        memcpy(p, (double[]){ cx + dx * (0.05 * s + 60), cy + dy * (0.05 * s + 60),
                              cx + dx * 0.05 * s, cy + dy * 0.05 * s }, 4 * sizeof *p);
        return 2;
    }
    case OC_MARK_POINT:
        memcpy(p, (double[]){ cx, cy }, 2 * sizeof *p);
        return 1;
    case OC_MARK_TRIANGLE:
        memcpy(p, (double[]){ cx, y - 0.55 * s, x - 0.4 * s, y + s + m, x + 1.4 * s,
                              y + s + m }, 6 * sizeof *p);
        return 3;
    case OC_MARK_SCRIBBLE:      /* as the scenes have it */
        memcpy(p, (double[]){ x + 0.15 * s, y + 0.2 * s, x + 0.75 * s, y + 0.4 * s,
                              x + 0.3 * s, y + 0.7 * s, x + 0.85 * s, y + 0.8 * s },
               8 * sizeof *p);
        return 4;
    case OC_MARK_CONTOUR: case OC_MARK_MASK: break;
    }
    for (int i = 0; i < 16; i++) {
        double a = i * 3.14159265 / 8, r = s * (0.56 + 0.04 * (i % 2));
        p[2 * i] = cx + r * cos(a);
        p[2 * i + 1] = cy + r * sin(a);
    }
    return 16;
}

static bool found(oc_context *cx, const oc_model *model, int shape, char *told,
                  size_t size)
{
    static const char *const colors[] = { "red", "blue", "orange", "purple", "black" };
    placed at[MOST];
    double points[32];
    char question[128];
    int count = place(at, 2 + below(MOST - 1));
    const placed *target = &at[below(count)];
    const char *color = colors[below(5)];
    oc_image *scene = paint(cx, at, count);
    const oc_mark mark = { .size = sizeof mark, .shape = shapes[shape].kind,
                           .points = points,
                           .count = points_on(target, shapes[shape].kind, points),
                           .color = color, .width = shapes[shape].width };
    oc_image *marked = oc_image_mark(cx, scene, &mark);
    oc_chat *chat = oc_chat_create(cx, model, NULL);
    oc_chat_add_image(cx, chat, marked);
    snprintf(question, sizeof question, shapes[shape].question, color);
    const char *answer = oc_chat_say(cx, chat, question, NULL, NULL);
    if (oc_context_status(cx) != OC_OK) fail_msg("%s", oc_context_message(cx));
    bool right = strstr(answer, target->what->name) != NULL;
    snprintf(told, size, "%s (a %s): \"%s\"", question, target->what->name, answer);
    oc_chat_free(chat);
    oc_image_free(marked);
    oc_image_free(scene);
    return right;
}

static void marks_are_found(void **unused)
{
    (void)unused;
    const char *set = getenv("OCELLI_SHARED");
    char folder[4096], path[4200], told[512];
    snprintf(folder, sizeof folder, "%s/images/emoji", set ? set : "../shared");
    snprintf(path, sizeof path, "%s/scenes.json", folder);
    if (access(path, R_OK) || access("models/emoji-chat/config.json", R_OK)) {
        print_message("%s or models/emoji-chat is not there: skipped\n", path);
        skip();
    }
    oc_context *cx = oc_context_create(NULL);
    oc_model *model = oc_model_open(cx, "models/emoji-chat", NULL);
    cut_all(cx, folder);
    assert_true(object_count >= 6);
    int right[SHAPES] = { 0 }, asked[SHAPES] = { 0 }, all = 0;
    for (int i = 0; i < SCENES; i++) {
        bool good = found(cx, model, i % SHAPES, told, sizeof told);
        asked[i % SHAPES]++;
        right[i % SHAPES] += good;
        all += good;
        if (!good) print_message("%s\n", told);
    }
    for (int s = 0; s < SHAPES; s++)
        print_message("%s: %d of %d\n", shapes[s].shape, right[s], asked[s]);
    print_message("%d objects, %d of %d\n", object_count, all, SCENES);
    oc_model_close(model);
    oc_context_free(cx);
    for (int i = 0; i < object_count; i++) {
        free(objects[i].rgb);
        free(objects[i].solid);
    }
    assert_true(all >= SCENES * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(marks_are_found) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
