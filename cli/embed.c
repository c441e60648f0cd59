/* ocelli embed: pictures and texts as vectors of one space. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { TEXTS_AT_ONCE = 256 };

/* Vectors, one behind the other, until they are written. */
typedef struct rows {
    const char *name;                   /* "image_embeds", "text_embeds" */
    float *data;
    size_t count, width, room;          /* room in rows */
} rows;

typedef struct embedder {
    cli *c;
    const char *out, *text, *texts, *regions;
    oc_embed_options options;
    int64_t batch;
    const oc_model *model;
    rows images, lines;
    char *queue[TEXTS_AT_ONCE];         /* texts that wait for a batch; owned */
    int64_t numbers[TEXTS_AT_ONCE];     /* of their lines; 0: --text */
    size_t queued;
} embedder;

/* ---- what comes out ---------------------------------------------------------------- */

/* Nine digits are a float32 and no other. */
static void print_numbers(cli *c, const char *head, const float *x, size_t n,
                          const char *tail)
{
    enum { DIGITS = 18 };
    size_t size = strlen(head), room = size + n * DIGITS + strlen(tail) + 1;
    char *text = malloc(room);
    if (!text) {
        cli_error(c, "out of memory");
        c->status = CLI_LIMIT;
        return;
    }
    memcpy(text, head, size);
    for (size_t i = 0; i < n; i++)
        size += (size_t)snprintf(text + size, room - size, "%s%.9g",
                                 !i ? "" : *tail ? "," : " ", (double)x[i]);
    size += (size_t)snprintf(text + size, room - size, "%s", tail);
    cli_print_line(c, text, size);
    free(text);
}

/* {"file": …, "embedding": […]}, or, where the numbers go to a file, {"file":
 * …, "row": N}. */
static void print_json(const embedder *e, const char *kind, const char *what,
                       const float *x, size_t width, size_t row)
{
    json_t *name = cli_json_text(what, strlen(what));
    if (e->out) {
        cli_print_json(e->c, json_pack("{s:o, s:I}", kind, name, "row", (json_int_t)row));
        return;
    }
    char *quoted = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    size_t size = quoted ? strlen(quoted) + 64 : 0;
    char *head = quoted ? malloc(size) : NULL;
    if (head) {
        snprintf(head, size, "{\"%s\":%s,\"embedding\":[", kind, quoted);
        print_numbers(e->c, head, x, width, "]}");
    }
    free(head);
    free(quoted);
    json_decref(name);
}

/* The rows of a result: printed, or kept for the file. */
static void take_rows(embedder *e, rows *to, const oc_tensors *set, const char *kind,
                      const char *const *what)
{
    oc_tensor_view v;
    if (!oc_tensors_find(set, to->name, &v)) return;
    size_t count = (size_t)v.shape[0], width = (size_t)v.shape[1];
    if (e->out && to->count + count > to->room) {
        size_t room = 2 * (to->count + count);
        float *data = realloc(to->data, room * width * sizeof *data);
        if (!data) {
            cli_error(e->c, "out of memory");
            e->c->status = CLI_LIMIT;
            return;
        }
        to->data = data;
        to->room = room;
    }
    to->width = width;
    if (e->out) memcpy(to->data + to->count * width, v.data, v.bytes);
    for (size_t i = 0; i < count; i++) {
        const float *x = (const float *)v.data + i * width;
        if (e->c->json) print_json(e, kind, what[i], x, width, to->count + i);
        else if (!e->out) print_numbers(e->c, "", x, width, "");
    }
    to->count += count;
}

static void add_rows(cli *c, oc_tensors *set, const rows *r)
{
    const int64_t shape[] = { (int64_t)r->count, (int64_t)r->width };
    if (r->count) oc_tensors_add(c->cx, set, r->name, OC_F32, 2, shape, r->data);
}

static bool ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

static bool is_npy(const char *path) { return ends_in(path, ".npy"); }

/* One file for all; a .npy has room for one array. */
static void write_rows(embedder *e)
{
    cli *c = e->c;
    oc_tensors *set = oc_tensors_create(c->cx);
    add_rows(c, set, &e->images);
    add_rows(c, set, &e->lines);
    if (is_npy(e->out))
        oc_npy_save(c->cx, set, (e->images.count ? &e->images : &e->lines)->name, e->out);
    else
        oc_tensors_save(c->cx, set, e->out);
    if (!cli_failed(c)) cli_print_tensors(c, e->out, set);
    if (c->bad_inputs)
        cli_error(c, "%s: %d inputs have no row there", e->out, c->bad_inputs);
    oc_tensors_free(set);
}

/* ---- pictures, texts --------------------------------------------------------------- */

static bool embed_pictures(void *user, oc_image *const *images, const char *const *files,
                           size_t count)
{
    embedder *e = user;
    oc_tensors *set = oc_embed_images(e->c->cx, e->model, images, count, &e->options);
    take_rows(e, &e->images, set, "file", files);
    oc_tensors_free(set);
    return oc_context_status(e->c->cx) == OC_OK;
}

static bool embed_some(embedder *e, size_t first, size_t count)
{
    const char *const *texts = (const char *const *)e->queue + first;
    oc_tensors *set = oc_embed_texts(e->c->cx, e->model, texts, count, &e->options);
    take_rows(e, &e->lines, set, "text", texts);
    oc_tensors_free(set);
    return oc_context_status(e->c->cx) == OC_OK;
}

static void text_failed(embedder *e, size_t i)
{
    char what[64];
    if (e->numbers[i] == 0) snprintf(what, sizeof what, "--text");
    else snprintf(what, sizeof what, "--texts: line %lld", (long long)e->numbers[i]);
    cli_input_failed(e->c, what);
}

/* Empties the queue; if one of its texts is bad, the others are done one by one. */
static void embed_queue(embedder *e)
{
    cli *c = e->c;
    if (e->queued && !embed_some(e, 0, e->queued)) {
        bool each = cli_about_input(c);
        if (each) oc_context_clear(c->cx);
        else cli_failed(c);
        for (size_t i = 0; each && i < e->queued && cli_go_on(c); i++)
            if (!embed_some(e, i, 1)) text_failed(e, i);
    }
    while (e->queued > 0) free(e->queue[--e->queued]);
    cli_flush(c);
}

static bool queue_text(void *user, const cli_line *line)
{
    embedder *e = user;
    e->c->inputs++;
    if (memchr(line->text, '\0', line->size)) {
        cli_error(e->c, "--texts: line %lld: expected text, found U+0000",
                  (long long)line->number);
        cli_input_bad(e->c, oc_status_exit_code(OC_E_MALFORMED));
        return true;
    }
    char *text = malloc(line->size + 1);
    if (!text) {
        cli_error(e->c, "out of memory");
        e->c->status = CLI_LIMIT;
        return false;
    }
    memcpy(text, line->text, line->size);
    text[line->size] = '\0';
    e->numbers[e->queued] = line->number;
    e->queue[e->queued++] = text;
    if (e->queued == TEXTS_AT_ONCE) embed_queue(e);
    return true;
}

static void embed_all(embedder *e)
{
    cli *c = e->c;
    const cli_pictures pictures = { .first = 1, .batch = e->batch, .run = embed_pictures,
                                    .user = e, .model = e->model };
    if (!cli_each_picture(c, &pictures)) return;
    if (e->text) {
        char *text = (char *)(uintptr_t)e->text;        /* read only */
        queue_text(e, &(cli_line){ .text = text, .size = strlen(text) });
    }
    if (e->texts) cli_each_line(c, e->texts, queue_text, e);
    embed_queue(e);
    if (!e->out || !cli_go_on(c) || oc_context_status(c->cx) != OC_OK) return;
    if (e->images.count || e->lines.count) {
        write_rows(e);
    } else {
        cli_error(c, "%s: not written: there is nothing to write", e->out);
        if (!c->status) c->status = CLI_FAILED;
    }
}

/* Regions of one picture, as VisualBERTs take them (docs/MODEL-visual-bert.md). */
static void embed_regions(embedder *e)
{
    cli *c = e->c;
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    const oc_region_options o = { .size = sizeof o, .file = e->regions };
    oc_image *image = oc_image_open(c->cx, c->operands[1], &turned);
    oc_tensors *set = oc_embed_regions(c->cx, e->model, image, &o);
    if (set && is_npy(e->out)) oc_npy_save(c->cx, set, "visual_embeds", e->out);
    else oc_tensors_save(c->cx, set, e->out);
    if (!cli_failed(c)) cli_print_tensors(c, e->out, set);
    oc_tensors_free(set);
    oc_image_free(image);
}

static bool check_usage(embedder *e)
{
    cli *c = e->c;
    bool texts = e->text || e->texts;
    if (e->regions && (c->operand_count != 2 || texts || !e->out))
        cli_usage(c, "--regions takes one IMAGE, no text, and --out");
    else if (e->regions && (e->options.normalize || e->options.truncate))
        cli_usage(c, "--regions: the file says what becomes of the vectors, not "
                     "--normalize");
    else if (e->out && ends_in(e->out, ".npz"))
        cli_usage(c, "--out: expected a .safetensors or .npy file, found '%s'", e->out);
    else if (c->operand_count < 2 && !texts)
        cli_usage(c, "expected pictures, --text or --texts");
    else if (e->out && is_npy(e->out) && c->operand_count > 1 && texts)
        cli_usage(c, "--out: a .npy holds pictures or texts, not both; .safetensors "
                     "does");
    return c->status == CLI_DONE;
}

int command_embed(cli *c)
{
    embedder e = { .c = c, .options.size = sizeof e.options, .batch = 8,
                   .images.name = "image_embeds", .lines.name = "text_embeds" };
    const cli_option options[] = {
        { "out", CLI_OUT, &e.out, "OUT",
          "a .safetensors or .npy file; without it, stdout", 0, 0, 0 },
        { "text", CLI_TEXT, &e.text, "TEXT", "a text", 0, 0, 0 },
        { "texts", CLI_TEXT, &e.texts, "FILE",
          "texts, one a line; - is standard input", 0, 0, 0 },
        { "normalize", CLI_FLAG, &e.options.normalize, NULL,
          "vectors of length 1", 0, 0, 0 },
        { "truncate", CLI_FLAG, &e.options.truncate, NULL,
          "cut texts that are longer than the model's positions", 0, 0, 0 },
        { "regions", CLI_TEXT, &e.regions, "FILE",
          "a regions.json: embed its boxes of the picture", 0, 0, 0 },
        { "batch", CLI_NUMBER, &e.batch, "N", "pictures that are decoded together; 8", 1,
          CLI_BATCH_MOST, 0 },
        CLI_MODEL_OPTIONS(c),
        { 0 }
    };
    if (!cli_begin(c, options, 1, -1) || !check_usage(&e)) return c->status;
    c->inputs = c->operand_count - 1;

    oc_model *model = cli_open_model(c, c->operands[0], NULL);
    e.model = model;
    if (!cli_failed(c)) {
        if (e.regions) embed_regions(&e);
        else embed_all(&e);
    }
    while (e.queued > 0) free(e.queue[--e.queued]);     /* after an interruption */
    free(e.images.data);
    free(e.lines.data);
    oc_model_close(model);
    return cli_end(c);
}
