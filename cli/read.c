/* ocelli read: pictures of printed lines to text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { BATCH_MOST = 256 };
/* A batch also ends with the picture that makes it this large, decoded: 3 bytes each. */
static const int64_t batch_pixels = (int64_t)1 << 24;

typedef struct reader {
    cli *c;
    const oc_model *model;
    oc_read_options options;
    bool with_filename;
    int64_t batch;
    size_t count;                   /* pictures of the batch at hand */
    oc_image *images[BATCH_MOST];   /* owned */
    const char *files[BATCH_MOST];
    double ms[BATCH_MOST];          /* decoding alone, so far */
} reader;

static void print_text(const reader *r, size_t i, const oc_text *text, double ms)
{
    size_t size = strlen(text->text);
    if (r->c->json) {
        json_t *confidence = json_real(text->confidence);       /* NULL for NaN */
        json_t *file = cli_json_text(r->files[i], strlen(r->files[i]));
        cli_print_json(r->c, json_pack("{s:o, s:o, s:o, s:I, s:f}", "file", file, "text",
                                       cli_json_text(text->text, size), "confidence",
                                       confidence ? confidence : json_null(), "tokens",
                                       (json_int_t)text->tokens, "ms", ms));
    } else if (r->with_filename) {
        cli_print(r->c, "%s: %s", r->files[i], text->text);
    } else {
        cli_print_line(r->c, text->text, size);
    }
}

/* Reads `count` pictures of the batch from `first` on together. False: the context has an
 * error. */
static bool read_some(const reader *r, size_t first, size_t count)
{
    double start = cli_seconds();
    oc_texts *texts = oc_read(r->c->cx, r->model, r->images + first, count, &r->options);
    double share = (cli_seconds() - start) * 1000 / (double)count;
    for (size_t i = 0; i < oc_texts_count(texts); i++)
        print_text(r, first + i, oc_texts_get(texts, i), r->ms[first + i] + share);
    oc_texts_free(texts);
    return oc_context_status(r->c->cx) == OC_OK;
}

/* Whether the context's error is about the pictures and not about the options. */
static bool is_about_input(const cli *c)
{
    oc_status status = oc_context_status(c->cx);
    return status != OC_E_ARGUMENT && status != OC_E_CANCELLED &&
           status != OC_E_UNSUPPORTED;
}

/* Reads the batch and empties it. One that fails is done again picture by picture, to
 * keep the good ones. False: the command should end. */
static bool read_batch(reader *r)
{
    cli *c = r->c;
    bool go_on = r->count == 0 || read_some(r, 0, r->count);
    if (!go_on && is_about_input(c)) {
        oc_context_clear(c->cx);
        go_on = true;
        for (size_t i = 0; i < r->count && go_on && cli_go_on(c); i++) {
            if (read_some(r, i, 1)) continue;
            if (is_about_input(c)) cli_input_failed(c, r->files[i]);
            else go_on = false;
        }
    }
    if (!go_on) cli_failed(c);
    for (size_t i = 0; i < r->count; i++) oc_image_free(r->images[i]);
    r->count = 0;
    cli_flush(c);
    return go_on && cli_go_on(c);
}

static void read_all(reader *r)
{
    cli *c = r->c;
    int64_t pixels = 0;
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    for (int i = 0; i < c->operand_count && cli_go_on(c); i++) {
        double start = cli_seconds();
        oc_image *image = oc_image_open(c->cx, c->operands[i], &turned);
        if (!cli_input_failed(c, NULL)) {
            r->images[r->count] = image;
            r->files[r->count] = c->operands[i];
            r->ms[r->count++] = (cli_seconds() - start) * 1000;
            pixels += oc_image_width(image) * oc_image_height(image);
        }
        bool last = i + 1 == c->operand_count;
        if (!last && (int64_t)r->count < r->batch && pixels < batch_pixels) continue;
        if (!read_batch(r)) break;
        pixels = 0;
        if (!last) cli_progress(c, i + 1, c->operand_count, "pictures");
    }
    /* What is left after an interruption. */
    for (size_t i = 0; i < r->count; i++) oc_image_free(r->images[i]);
}

int command_read(cli *c)
{
    const char *model_name = "printed-line-ocr";
    reader r = { .c = c, .options.size = sizeof r.options, .batch = 16 };
    const cli_option options[] = {
        { "model", CLI_TEXT, &model_name, "MODEL",
          "the reader: a folder, or a bundled name", 0, 0, 0 },
        { "with-filename", CLI_FLAG, &r.with_filename, NULL, "FILE: before each text",
          0, 0, 0 },
        { "batch", CLI_NUMBER, &r.batch, "N", "pictures that are read together; 16", 1,
          BATCH_MOST, 0 },
        { 0 }
    };
    c->config = json_object();
    if (!cli_begin(c, options, 1, -1)) return c->status;
    c->inputs = c->operand_count;

    char *config = cli_config_text(c);
    r.options.config = config;
    oc_model *model = oc_model_open(c->cx, model_name, NULL);
    r.model = model;
    if (!cli_failed(c)) read_all(&r);
    oc_model_close(model);
    free(config);
    return cli_end(c);
}
