/* Pictures of the command line, a batch at a time; and texts, one a line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* A batch also ends with the picture that makes it this large, decoded: 3 bytes each. */
static const int64_t batch_pixels = (int64_t)1 << 24;

typedef struct batch {
    const cli_pictures *of;
    size_t count;
    oc_image *images[CLI_BATCH_MOST];       /* owned */
    const char *files[CLI_BATCH_MOST];
} batch;

bool cli_about_input(const cli *c)
{
    oc_status status = oc_context_status(c->cx);
    return status != OC_E_ARGUMENT && status != OC_E_CANCELLED &&
           status != OC_E_UNSUPPORTED;
}

static bool run(const batch *b, size_t first, size_t count)
{
    return b->of->run(b->of->user, b->images + first, b->files + first, count);
}

/* A batch that fails is done again picture by picture, to keep the good ones. Empties it.
 * False: the command should end. */
static bool run_batch(cli *c, batch *b)
{
    bool go_on = b->count == 0 || run(b, 0, b->count);
    if (!go_on && cli_about_input(c)) {
        oc_context_clear(c->cx);
        go_on = true;
        for (size_t i = 0; i < b->count && go_on && cli_go_on(c); i++) {
            if (run(b, i, 1)) continue;
            if (cli_about_input(c)) cli_input_failed(c, b->files[i]);
            else go_on = false;
        }
    }
    if (!go_on) cli_failed(c);
    for (size_t i = 0; i < b->count; i++) oc_image_free(b->images[i]);
    b->count = 0;
    cli_flush(c);
    return go_on && cli_go_on(c);
}

/* What the model's folder lacks is told once, and not of every picture: with no pictures,
 * oc_preprocess gets as far as to ask for some. */
static bool has_processor(cli *c, const oc_model *model)
{
    oc_tensors_free(oc_preprocess(c->cx, model, NULL, 0));
    if (oc_context_status(c->cx) == OC_E_ARGUMENT) oc_context_clear(c->cx);
    return !cli_failed(c);
}

bool cli_each_picture(cli *c, const cli_pictures *pictures)
{
    if (pictures->first < c->operand_count && !has_processor(c, pictures->model))
        return false;
    batch b = { .of = pictures };
    int64_t pixels = 0;
    bool go_on = true;
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    for (int i = pictures->first; i < c->operand_count && go_on && cli_go_on(c); i++) {
        oc_image *image = oc_image_open(c->cx, c->operands[i], &turned);
        if (!cli_input_failed(c, NULL)) {
            b.images[b.count] = image;
            b.files[b.count++] = c->operands[i];
            pixels += oc_image_width(image) * oc_image_height(image);
        }
        bool last = i + 1 == c->operand_count;
        if (!last && (int64_t)b.count < pictures->batch && pixels < batch_pixels)
            continue;
        go_on = run_batch(c, &b);
        pixels = 0;
        if (!last)
            cli_progress(c, i + 1 - pictures->first, c->operand_count - pictures->first,
                         "pictures");
    }
    /* What is left after an interruption. */
    for (size_t i = 0; i < b.count; i++) oc_image_free(b.images[i]);
    return go_on && cli_go_on(c);
}

/* The line without the mark that some editors put before the first. */
static cli_line unmarked(const cli_line *line)
{
    static const char mark[3] = { '\xef', '\xbb', '\xbf' };
    cli_line rest = *line;
    if (line->number == 1 && line->size >= sizeof mark &&
        !memcmp(line->text, mark, sizeof mark)) {
        rest.text += sizeof mark;
        rest.size -= sizeof mark;
    }
    return rest;
}

bool cli_each_line(cli *c, const char *path,
                   bool (*take)(void *user, const cli_line *line), void *user)
{
    cli_line line = { .path = path };
    bool standard = strcmp(path, "-") == 0, go_on = true;
    line.file = standard ? stdin : fopen(path, "r");
    if (!line.file) {
        cli_error(c, "%s: %s", path, strerror(errno));
        c->status = oc_status_exit_code(OC_E_FILE);
        return false;
    }
    while (go_on && cli_go_on(c) && cli_read_line(c, &line)) {
        if (!line.too_long) {
            const cli_line rest = unmarked(&line);
            go_on = take(user, &rest);
            continue;
        }
        cli_error(c, "%s: line %lld: longer than a text may be", path,
                  (long long)line.number);
        cli_input_bad(c, CLI_LIMIT);
    }
    go_on = go_on && !ferror(line.file);
    if (!standard) fclose(line.file);
    free(line.text);
    return go_on && cli_go_on(c);
}
