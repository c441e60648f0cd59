/* ocelli classify: which of some labels fit a picture,
 * by a model that was never taught them. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct classifier {
    cli *c;
    const char *list;                   /* "a,b,c" or "@FILE" */
    oc_classify_options options;
    int64_t top, batch;
    const oc_model *model;
    char **labels;                      /* [count] owned */
    size_t count, room;
    oc_tensors *texts;                  /* the labels' vectors */
} classifier;

typedef struct score {
    float probability, logit;
    size_t label;
} score;

/* ---- labels ------------------------------------------------------------------------ */

/* White space around a label is none of its. */
static bool add_label(classifier *k, const char *text, size_t size)
{
    static const char blanks[] = " \t\r";
    while (size && strchr(blanks, text[size - 1])) size--;
    while (size && strchr(blanks, *text)) text++, size--;
    if (size == 0) return true;
    if (k->count == k->room) {
        size_t room = k->room ? 2 * k->room : 16;
        char **labels = realloc(k->labels, room * sizeof *labels);
        if (!labels) return false;
        k->labels = labels;
        k->room = room;
    }
    char *label = malloc(size + 1);
    if (!label) return false;
    memcpy(label, text, size);
    label[size] = '\0';
    k->labels[k->count++] = label;
    return true;
}

static bool take_line(void *user, const cli_line *line)
{
    classifier *k = user;
    if (!memchr(line->text, '\0', line->size))
        return add_label(k, line->text, line->size);
    cli_error(k->c, "--labels: %s: line %lld: expected text, found U+0000", line->path,
              (long long)line->number);
    k->c->status = oc_status_exit_code(OC_E_MALFORMED);
    return false;
}

static bool read_labels(classifier *k)
{
    const char *text = k->list;
    bool good = true;
    if (*text == '@') {
        good = cli_each_line(k->c, text + 1, take_line, k);
        if (!good && k->c->status != CLI_DONE) return false;    /* reported */
    } else {
        for (size_t n; good; text += n + 1) {
            n = strcspn(text, ",");
            good = add_label(k, text, n);
            if (!text[n]) break;
        }
    }
    if (good && k->count > 0) return true;
    if (good) cli_usage(k->c, "--labels: expected some, found none");
    else k->c->status = CLI_LIMIT;
    if (!good) cli_error(k->c, "out of memory");
    return false;
}

/* The labels' vectors, once for all pictures: a bad label is no picture's fault. */
static bool embed_labels(classifier *k)
{
    k->texts = oc_classify(k->c->cx, k->model, NULL, 0, (const char *const *)k->labels,
                           k->count, &k->options);
    k->options.earlier = k->texts;
    return !cli_input_failed(k->c, "--labels");
}

/* ---- what comes out ---------------------------------------------------------------- */

/* The most probable first; of equals the one that was named first. NaN comes last. */
static int by_probability(const void *a, const void *b)
{
    const score *x = a, *y = b;
    if (x->probability > y->probability) return -1;
    if (x->probability < y->probability) return 1;
    return x->label < y->label ? -1 : 1;
}

/* {"file", "label", "probability", "labels": [{"label", "probability", "logit"}, …]} */
static void print_json(const classifier *k, const char *file, const score *scores,
                       size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const char *label = k->labels[scores[i].label];
        json_t *p = json_real((double)scores[i].probability);       /* NULL for NaN */
        json_t *logit = json_real((double)scores[i].logit);
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "label",
                                              cli_json_text(label, strlen(label)),
                                              "probability", p ? p : json_null(), "logit",
                                              logit ? logit : json_null()));
    }
    const char *best = k->labels[scores[0].label];
    json_t *p = json_real((double)scores[0].probability);
    cli_print_json(k->c, json_pack("{s:o, s:o, s:o, s:o}", "file",
        cli_json_text(file, strlen(file)), "label", cli_json_text(best, strlen(best)),
        "probability", p ? p : json_null(), "labels", list));
}

static void print_table(const classifier *k, const char *file, const score *scores,
                        size_t count)
{
    bool several = k->c->operand_count > 2;
    if (several) cli_print(k->c, "%s", file);
    for (size_t i = 0; i < count; i++)
        cli_print(k->c, "%s%.4f  %s", several ? "  " : "", (double)scores[i].probability,
                  k->labels[scores[i].label]);
}

static void print_picture(const classifier *k, const char *file, const float *logits,
                          const float *probabilities)
{
    score *scores = malloc(k->count * sizeof *scores);
    if (!scores) {
        cli_error(k->c, "out of memory");
        k->c->status = CLI_LIMIT;
        return;
    }
    for (size_t i = 0; i < k->count; i++)
        scores[i] = (score){ probabilities[i], logits[i], i };
    qsort(scores, k->count, sizeof *scores, by_probability);
    size_t top = (size_t)k->top;
    if (top == 0 && !k->c->json) top = 5;
    if (top == 0 || top > k->count) top = k->count;
    if (k->c->json) print_json(k, file, scores, top);
    else print_table(k, file, scores, top);
    free(scores);
}

static bool classify_some(void *user, oc_image *const *images, const char *const *files,
                          size_t count)
{
    classifier *k = user;
    oc_tensor_view logits, p;
    oc_tensors *out = oc_classify(k->c->cx, k->model, images, count,
                                  (const char *const *)k->labels, k->count, &k->options);
    if (oc_tensors_find(out, "logits_per_image", &logits) &&
        oc_tensors_find(out, "probabilities", &p))
        for (size_t i = 0; i < count; i++)
            print_picture(k, files[i], (const float *)logits.data + i * k->count,
                          (const float *)p.data + i * k->count);
    oc_tensors_free(out);
    return oc_context_status(k->c->cx) == OC_OK;
}

int command_classify(cli *c)
{
    classifier k = { .c = c, .options.size = sizeof k.options, .batch = 8 };
    const cli_option options[] = {
        { "labels", CLI_TEXT, &k.list, "A,B,...",
          "what to look for; @FILE has one a line", 0, 0, true },
        { "template", CLI_TEXT, &k.options.pattern, "TEXT",
          "the text of a label, which goes where {} is", 0, 0, 0 },
        { "top", CLI_NUMBER, &k.top, "N", "labels to print; 5, with --json all", 1,
          1 << 24, 0 },
        { "batch", CLI_NUMBER, &k.batch, "N", "pictures that are done together; 8", 1,
          CLI_BATCH_MOST, 0 },
        CLI_MODEL_OPTIONS(c),
        { 0 }
    };
    if (!cli_begin(c, options, 2, -1)) return c->status;
    cli_pictures pictures = { .first = 1, .batch = k.batch, .run = classify_some,
                              .user = &k };
    if (read_labels(&k)) {
        oc_model *model = cli_open_model(c, c->operands[0], NULL);
        k.model = pictures.model = model;
        if (!cli_failed(c) && embed_labels(&k)) {
            c->inputs = c->operand_count - 1;
            cli_each_picture(c, &pictures);
        }
        oc_model_close(model);
    }
    for (size_t i = 0; i < k.count; i++) free(k.labels[i]);
    free(k.labels);
    oc_tensors_free(k.texts);
    return cli_end(c);
}
