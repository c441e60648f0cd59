/* ocelli read, caption, parse: pictures to lines, sentences, data. One loop serves all
 * three; they differ in the model that they take if none is named, and parse in what it
 * asks. And image-to-text, which is one of them by the model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { BATCH_MOST = 256 };
/* A batch also ends with the picture that makes it this large, decoded: 3 bytes each. */
static const int64_t batch_pixels = (int64_t)1 << 24;

typedef struct reader {
    cli *c;
    const char *model_name;         /* NULL: must be given */
    const char *note;               /* what is said if model_name stays as it was */
    const oc_model *model;
    oc_read_options options;
    bool parses;
    bool by_model;                  /* image-to-text: the model says whether it parses */
    oc_parse_options parse;         /* of `parse` */
    bool with_filename;
    int64_t batch;
    int64_t done;                   /* pictures of earlier batches */
    size_t count;                   /* pictures of the batch at hand */
    oc_image *images[BATCH_MOST];   /* owned */
    const char *files[BATCH_MOST];
    double ms[BATCH_MOST];          /* decoding alone, so far */
} reader;

/* {"file", "text" or "document", "confidence", "tokens", "ms"} */
static json_t *describe(const char *file, const oc_text *text, double ms)
{
    size_t size = strlen(text->text);
    json_t *confidence = json_real(text->confidence);       /* NULL for NaN */
    json_t *what = text->is_json ? json_loadb(text->text, size, JSON_ALLOW_NUL, NULL)
                                 : cli_json_text(text->text, size);
    return json_pack("{s:o, s:o, s:o, s:I, s:f}", "file",
                     cli_json_text(file, strlen(file)),
                     text->is_json ? "document" : "text", what, "confidence",
                     confidence ? confidence : json_null(), "tokens",
                     (json_int_t)text->tokens, "ms", ms);
}

static void print_text(const reader *r, size_t i, const oc_text *text, double ms)
{
    if (r->c->json) cli_print_json(r->c, describe(r->files[i], text, ms));
    else if (r->with_filename) cli_print(r->c, "%s: %s", r->files[i], text->text);
    else cli_print_line(r->c, text->text, strlen(text->text));
}

/* Reads `count` pictures of the batch from `first` on together; num_return_sequences can
 * make several texts of one. False: the context has an error. */
static bool read_some(reader *r, size_t first, size_t count)
{
    r->options.first_picture = r->parse.first_picture = r->done + (int64_t)first;
    double start = cli_seconds();
    oc_image *const *images = r->images + first;
    oc_texts *texts = r->parses ? oc_parse(r->c->cx, r->model, images, count, &r->parse)
                                : oc_read(r->c->cx, r->model, images, count, &r->options);
    double share = (cli_seconds() - start) * 1000 / (double)count;
    size_t each = oc_texts_count(texts) / count;
    for (size_t i = 0; i < oc_texts_count(texts); i++)
        print_text(r, first + i / each, oc_texts_get(texts, i),
                   r->ms[first + i / each] + share);
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
    r->done += (int64_t)r->count;
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

/* Whether a folder's encoder is that of Donut and Nougat, which write documents. */
static bool is_document_model(cli *c, const char *name)
{
    char *text = oc_inspect(c->cx, name,
                            &OC_OPTIONS(oc_inspect_options, .weights = c->weights,
                                        .revision = c->revision));
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    const char *type = json_string_value(json_object_get(json_object_get(root, "encoder"),
                                                         "model_type"));
    bool found = type && strcmp(type, "donut-swin") == 0;
    json_decref(root);
    oc_string_free(text);
    return found;
}

static int run(cli *c, reader *r)
{
    const char *own = r->model_name;
    const cli_option options[] = {
        { "task", CLI_TEXT, &r->parse.task, "TASK",
          "what to look for, a tag of the tokenizer: cord-v2", 0, 0, 0 },
        { "question", CLI_TEXT, &r->parse.question, "TEXT",
          "what to ask; the task is then docvqa", 0, 0, 0 },
        { "model", CLI_TEXT, &r->model_name, "MODEL", "a folder, or a bundled name", 0, 0,
          !own },
        { "with-filename", CLI_FLAG, &r->with_filename, NULL,
          "FILE: before each text", 0, 0, 0 },
        { "batch", CLI_NUMBER, &r->batch, "N",
          r->batch == 1 ? "pictures that are read together; 1"
                        : "pictures that are read together; 8", 1, BATCH_MOST, 0 },
        CLI_KV_OPTION(c),
        CLI_MODEL_OPTIONS(c),
        { 0 }
    };
    enum { OF_PARSE = 2 };              /* the first two are for parse alone */
    const bool may_parse = r->parses || r->by_model;
    c->config = json_object();
    if (!cli_begin(c, may_parse ? options : options + OF_PARSE, 1, -1)) return c->status;
    if (r->by_model) r->parses = is_document_model(c, r->model_name);
    if (!r->parses && (r->parse.task || r->parse.question))
        return cli_usage(c,
                         "--task and --question: expected a model of documents, found %s",
                         r->model_name);
    c->inputs = c->operand_count;
    if (r->note && r->model_name == own && !c->quiet) cli_error(c, "%s", r->note);

    char *config = cli_config_text(c);
    r->options.config = r->parse.config = config;
    r->options.kv_dtype = r->parse.kv_dtype = cli_kv_dtype(c);
    oc_model *model = cli_open_model(c, r->model_name, NULL);
    r->model = model;
    if (!cli_failed(c)) read_all(r);
    oc_model_close(model);
    free(config);
    return cli_end(c);
}

int command_read(cli *c)
{
    reader r = { .c = c,
                 .model_name = "printed-line-ocr",
                 .options.size = sizeof r.options,
                 .batch = 8 };
    return run(c, &r);
}

int command_caption(cli *c)
{
    reader r = { .c = c,
                 .model_name = "emoji-caption",
                 .options.size = sizeof r.options,
                 .batch = 8,
                 .note = "emoji-caption knows pictures of one to four emoji and the "
                         "colour behind them, nothing else; --model takes another" };
    return run(c, &r);
}

int command_image_to_text(cli *c)
{
    reader r = { .c = c, .model_name = "printed-line-ocr", .by_model = true,
                 .options.size = sizeof r.options,
                 .parse.size = sizeof r.parse,
                 .batch = 8 };
    return run(c, &r);
}

int command_parse(cli *c)
{
    reader r = { .c = c, .parses = true, .parse.size = sizeof r.parse, .batch = 1 };
    return run(c, &r);
}
