/* --box, --arrow and the other marks: read off the command line, drawn on the picture. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char *const shapes[] = {
    [OC_MARK_BOX] = "box",           [OC_MARK_ELLIPSE] = "ellipse",
    [OC_MARK_ARROW] = "arrow",       [OC_MARK_POINT] = "point",
    [OC_MARK_SCRIBBLE] = "scribble", [OC_MARK_TRIANGLE] = "triangle",
    [OC_MARK_CONTOUR] = "contour",   [OC_MARK_MASK] = "mask"
};

/* Numbers with commas between, up to a colon or the end; false if they are none. */
static bool read_points(const char *text, cli_mark *mark, const char **end)
{
    for (;;) {
        char *after;
        double value = strtod(text, &after);
        if (after == text || mark->number_count == CLI_MARK_NUMBERS) return false;
        mark->numbers[mark->number_count++] = value;
        text = after;
        if (*text != ',') break;
        text++;
    }
    *end = text;
    return *text == '\0' || *text == ':';
}

/* ":COLOR:NUMBER", both of which may lack. `number` is a width, or a mask's alpha. */
static bool read_style(const char *text, cli_mark *mark, double *number)
{
    if (*text == '\0') return true;
    const char *color = text + 1, *second = strchr(color, ':');
    size_t size = second ? (size_t)(second - color) : strlen(color);
    if (size >= sizeof mark->color) return false;
    memcpy(mark->color, color, size);
    mark->color[size] = '\0';
    if (!second) return size > 0;
    char *after;
    *number = strtod(second + 1, &after);
    return after != second + 1 && *after == '\0';
}

/* The colon behind a file's name, unless there is a file of the whole name. */
static const char *end_of_path(const char *value)
{
    const char *slash = strrchr(value, '/'), *end = value + strlen(value);
    const char *colon = strchr(slash ? slash : value, ':');
    return colon && access(value, F_OK) != 0 ? colon : end;
}

bool cli_take_mark(cli *c, cli_marks *marks, const char *name, const char *value)
{
    const char *end = value;
    if (marks->count == CLI_MARKS_MOST) {
        cli_usage(c, "--%s: expected at most %d marks (--marks FILE has no such bound)",
                  name, CLI_MARKS_MOST);
        return false;
    }
    cli_mark *mark = &marks->at[marks->count++];
    *mark = (cli_mark){ .shape = OC_MARK_BOX };
    while (strcmp(shapes[mark->shape], name) != 0) mark->shape++;
    bool file = mark->shape == OC_MARK_MASK, good = true;
    if (file) {
        end = end_of_path(value);
        good = end > value && (size_t)(end - value) < sizeof mark->file;
        if (good) memcpy(mark->file, value, (size_t)(end - value));
    } else {
        good = read_points(value, mark, &end) && mark->number_count % 2 == 0;
    }
    if (good && read_style(end, mark, file ? &mark->alpha : &mark->width)) return true;
    cli_usage(c, "--%s: expected %s, found '%s'", name,
              file ? "FILE[:COLOR[:ALPHA]]" : "X,Y,...[:COLOR[:WIDTH]] in pixels", value);
    return false;
}

/* One mark; the picture before it is released. */
static oc_image *draw(cli *c, const cli_mark *m, oc_image *image)
{
    oc_image *mask = m->file[0] ? oc_image_open(c->cx, m->file, NULL) : NULL;
    const oc_mark mark = { .size = sizeof mark, .shape = m->shape, .points = m->numbers,
                           .count = m->number_count / 2, .width = m->width,
                           .alpha = m->alpha, .color = m->color[0] ? m->color : NULL,
                           .mask = mask };
    oc_image *out = oc_image_mark(c->cx, image, &mark);
    oc_image_free(mask);
    oc_image_free(image);
    return out;
}

oc_image *cli_draw_marks(cli *c, const cli_marks *marks, oc_image *image)
{
    if (marks->file) {
        oc_image *out = oc_image_marks_open(c->cx, image, marks->file);
        oc_image_free(image);
        image = out;
    }
    for (int i = 0; i < marks->count; i++) image = draw(c, &marks->at[i], image);
    if (marks->save && image) oc_image_save(c->cx, image, marks->save);
    return image;
}
