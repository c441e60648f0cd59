/* bench_quantisation MODEL PICTURE... [--json]
 *
 * What narrower weights cost in accuracy: each picture in many variants (turned about,
 * colours exchanged, cut), what the model makes of them with its weights as they are, and
 * the logits of the same tokens, position by position, with the weights in each other
 * type. A position is a token of a text that is forced on the model, an answer, or a
 * picture's label. Prints a row of docs/QUANTISATION.md for each type. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ocelli.h"

enum { VARIANTS = 96, POSITIONS = 1000, IDS_MOST = 512, OUTPUTS = 60 };

static const struct way { const char *name; oc_dtype weights, arithmetic; } ways[] = {
    { "as stored", (oc_dtype)0, OC_F32 },
    { "int8", OC_INT8, OC_F32 },
    { "int8-channel", OC_INT8_CHANNEL, OC_F32 },
    { "int4", OC_INT4, OC_F32 },
    { "int8, int8 arithmetic", OC_INT8, OC_INT8 },
    { "int8-channel, int8 arithmetic", OC_INT8_CHANNEL, OC_INT8 },
    { "int4, int8 arithmetic", OC_INT4, OC_INT8 },
    { "as stored, bf16 arithmetic", (oc_dtype)0, OC_BF16 },
};
enum { WAYS = sizeof ways / sizeof *ways };

/* One text that the model was made to say: the logits of its positions,
 * by the first way. */
typedef struct example {
    oc_image *image;
    const char *question;
    int64_t ids[IDS_MOST], count, given;    /* given: of the prompt */
    oc_tensors *regions;                    /* of VisualBERT: by another model, so
                                               the same */
    float *logits;                          /* [rows, width] */
    int64_t rows, width;
} example;

typedef struct tally {
    double most, sum, largest, divergence;
    int64_t numbers, positions, agreed, outputs, same;
} tally;

static void check(const oc_context *cx)
{
    if (oc_context_status(cx) == OC_OK) return;
    fprintf(stderr, "bench_quantisation: %s\n", oc_context_message(cx));
    exit(1);
}

/* ---- pictures ---------------------------------------------------------------------- */

/* k: flips (4), orders of the channels (6), cuts (4). */
static oc_image *variant(oc_context *cx, const oc_image *image, int k)
{
    static const int orders[6][3] = {
        { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 }
    };
    const int *order = orders[k / 4 % 6], cut = k / 24;
    const int64_t W = oc_image_width(image), H = oc_image_height(image);
    const int64_t w = W - cut * W / 20, h = H - cut * H / 20;
    const uint8_t *from = oc_image_pixels(image);
    uint8_t *to = malloc((size_t)(3 * w * h));
    if (!to) exit(1);
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            const int64_t sx = k & 1 ? w - 1 - x : x, sy = k & 2 ? h - 1 - y : y;
            for (int c = 0; c < 3; c++)
                to[3 * (y * w + x) + c] = from[3 * (sy * W + sx) + order[c]];
        }
    oc_image *made = oc_image_create(cx, w, h, to);
    free(to);
    return made;
}

/* ---- what each kind of model is given ---------------------------------------------- */

static const char *const labels[] = { "cat", "pig", "key", "dragon", "piano", "balloon",
    "rabbit", "elephant", "light bulb", "alarm clock", "peacock", "dog", "car", "tree",
    "book", "guitar" };
static const char *const questions[] = { "How many objects are there?",
    "What color is the background?", "What is in the picture?", "Where is the pig?" };
enum {
    LABELS = sizeof labels / sizeof *labels,
    QUESTIONS = sizeof questions / sizeof *questions
};

static const char prompt[] = "A chat between a curious human and an artificial "
                             "intelligence assistant. The assistant gives helpful, "
                             "detailed, and polite answers to the human's "
                             "questions.###Human: <image>\n%s###Assistant:";

static void add_ids(oc_context *cx, oc_tensors *in, const char *name, const int64_t *ids,
                    int64_t n)
{
    oc_tensors_add(cx, in, name, OC_I64, 2, (const int64_t[]){ 1, n }, ids);
}

static void add_ones(oc_context *cx, oc_tensors *in, int64_t n)
{
    int64_t ones[IDS_MOST];
    for (int64_t i = 0; i < n; i++) ones[i] = 1;
    add_ids(cx, in, "attention_mask", ones, n);
}

static oc_tensors *prepare(oc_context *cx, const oc_model *model, const char *type,
                           example *e)
{
    oc_tensors *in = NULL;
    if (!strcmp(type, "visual_bert")) {
        static const char *const taken[] = { "visual_embeds", "visual_attention_mask",
                                             "visual_token_type_ids" };
        if (!e->regions) e->regions = oc_embed_regions(cx, model, e->image, NULL);
        in = oc_tensors_create(cx);
        for (int i = 0; e->regions && i < 3; i++) {
            oc_tensor_view v;
            if (oc_tensors_find(e->regions, taken[i], &v))
                oc_tensors_add(cx, in, v.name, v.dtype, v.rank, v.shape, v.data);
        }
    } else {
        in = oc_preprocess(cx, model, &e->image, 1);
    }
    return in;
}

/* The prompt's ids, and behind them what the model answers (not of VisualBERT). */
static void let_speak(oc_context *cx, const oc_model *model, const char *type, example *e)
{
    oc_tensors *in = prepare(cx, model, type, e);
    oc_tensor_view v;
    char text[1024] = "";
    if (!strcmp(type, "vipllava")) snprintf(text, sizeof text, prompt, e->question);
    else if (!strcmp(type, "visual_bert")) snprintf(text, sizeof text, "%s", e->question);
    if (*text) {
        oc_encoding *words = oc_encode(cx, oc_model_tokenizer(cx, model), text,
                                       strlen(text), NULL, 0, NULL);
        check(cx);
        e->given = e->count = (int64_t)oc_encoding_count(words);
        memcpy(e->ids, oc_encoding_ids(words), (size_t)e->count * sizeof *e->ids);
        oc_encoding_free(words);
        add_ids(cx, in, "input_ids", e->ids, e->count);
        add_ones(cx, in, e->count);
    }
    if (strcmp(type, "visual_bert") != 0) {
        oc_tensors *out = oc_generate(cx, model, in, &OC_OPTIONS(oc_generate_options,
                                      .config = "{\"max_new_tokens\": 60}"));
        check(cx);
        if (!oc_tensors_find(out, "sequences", &v) || v.shape[1] > IDS_MOST) exit(1);
        e->count = v.shape[1];
        memcpy(e->ids, v.data, (size_t)e->count * sizeof *e->ids);
        if (!e->given) e->given = 1;
        oc_tensors_free(out);
    }
    oc_tensors_free(in);
}

/* Logits of every position that decides a token of the text: the last rows. */
static const oc_tensors *force(oc_context *cx, const oc_model *model, const char *type,
                               example *e, oc_tensor_view *logits, int64_t *first)
{
    oc_tensors *in = prepare(cx, model, type, e);
    const bool talks = !strcmp(type, "vipllava"), asks = !strcmp(type, "visual_bert");
    if (talks || asks) {
        add_ids(cx, in, "input_ids", e->ids, e->count);
        add_ones(cx, in, e->count);
    } else {
        add_ids(cx, in, "decoder_input_ids", e->ids, e->count);
    }
    oc_tensors *out = oc_forward(cx, model, in, NULL);
    check(cx);
    oc_tensors_free(in);
    if (!oc_tensors_find(out, "logits", logits)) exit(1);
    const int64_t rows = logits->rank == 3 ? logits->shape[1] : 1;
    *first = asks ? 0 : rows - 1 - (e->count - e->given);
    return out;
}

/* ---- comparing --------------------------------------------------------------------- */

static int64_t largest_at(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static double log_sum(const float *x, int64_t n)
{
    double most = x[largest_at(x, n)], sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - most);
    return most + log(sum);
}

/* KL divergence of softmax(b) from softmax(a), and the rest. */
static void add_row(tally *t, const float *a, const float *b, int64_t n)
{
    const double za = log_sum(a, n), zb = log_sum(b, n);
    double divergence = 0;
    for (int64_t i = 0; i < n; i++) {
        const double far = fabs((double)a[i] - b[i]);
        t->most = fmax(t->most, far);
        t->largest = fmax(t->largest, fabs((double)a[i]));
        t->sum += far;
        divergence += exp(a[i] - za) * ((a[i] - za) - (b[i] - zb));
    }
    t->divergence += divergence;
    t->numbers += n;
    t->positions++;
    t->agreed += largest_at(a, n) == largest_at(b, n);
}

static void compare(example *e, tally *t, const float *x, int64_t rows, int64_t width,
                    bool reference)
{
    if (reference) {
        e->rows = rows;
        e->width = width;
        e->logits = malloc((size_t)(rows * width) * sizeof *e->logits);
        if (!e->logits) exit(1);
        memcpy(e->logits, x, (size_t)(rows * width) * sizeof *x);
    }
    for (int64_t r = 0; r < rows; r++)
        add_row(t, e->logits + r * width, x + r * width, width);
}

/* *earlier: the labels as this model has them, which are the same for every picture. */
static void run_labels(oc_context *cx, const oc_model *model, example *e, tally *t,
                       oc_tensors **earlier, bool reference)
{
    oc_tensor_view v;
    oc_classify_options o = OC_OPTIONS(oc_classify_options, .pattern = "a picture of a "
                                                                       "{}");
    if (!*earlier) *earlier = oc_classify(cx, model, NULL, 0, labels, LABELS, &o);
    o.earlier = *earlier;
    oc_tensors *out = oc_classify(cx, model, &e->image, 1, labels, LABELS, &o);
    check(cx);
    if (!oc_tensors_find(out, "logits_per_image", &v)) exit(1);
    compare(e, t, v.data, 1, v.shape[1], reference);
    oc_tensors_free(out);
}

/* Text by text, and whether the model left alone says the same. */
static void run_text(oc_context *cx, const oc_model *model, const char *type, example *e,
                     tally *t, bool reference)
{
    oc_tensor_view v;
    int64_t first;
    if (reference) let_speak(cx, model, type, e);
    const oc_tensors *out = force(cx, model, type, e, &v, &first);
    const int64_t width = v.shape[v.rank - 1],
                  rows = v.rank == 3 ? v.shape[1] - 1 - first : 1;
    compare(e, t, (const float *)v.data + first * width, rows, width, reference);
    oc_tensors_free((oc_tensors *)(uintptr_t)out);
    if (!strcmp(type, "visual_bert") || reference || t->outputs == OUTPUTS) return;
    example alone = { .image = e->image, .question = e->question };
    let_speak(cx, model, type, &alone);
    t->outputs++;
    t->same += alone.count == e->count &&
               !memcmp(alone.ids, e->ids, (size_t)e->count * sizeof *e->ids);
}

static void print_row(const struct way *way, const tally *t)
{
    char same[32] = "-";
    if (t->outputs) snprintf(same, sizeof same, "%lld of %lld", (long long)t->same,
                             (long long)t->outputs);
    printf("| %s | %lld | %.3g | %.3g | %.3g | %.2e | %.2f %% | %s |\n", way->name,
           (long long)t->positions, t->most, t->sum / (double)t->numbers, t->largest,
           t->divergence / (double)t->positions,
           100.0 * (double)t->agreed / (double)t->positions, same);
}

/* Examples until there are enough positions: every picture,
 * then every picture turned, … */
static size_t make_examples(oc_context *cx, char **files, int count, size_t most,
                            example *list)
{
    size_t made = 0;
    for (int k = 0; k < VARIANTS && made < most; k++)
        for (int i = 0; i < count && made < most; i++) {
            oc_image *image = oc_image_open(cx, files[i], NULL);
            check(cx);
            list[made] = (example){ .image = variant(cx, image, k),
                                    .question = questions[made % QUESTIONS] };
            made++;
            oc_image_free(image);
        }
    return made;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_quantisation MODEL PICTURE...\n");
        return 2;
    }
    oc_context *cx = oc_context_create(NULL);
    example *list = calloc(2 * POSITIONS, sizeof *list);
    if (!list) return 1;
    size_t made = make_examples(cx, argv + 2, argc - 2, POSITIONS + 16, list), used = 0;
    printf("| %s | positions | max error | mean error | largest logit | KL | same best | "
           "same output |\n|---|---|---|---|---|---|---|---|\n", argv[1]);
    for (int w = 0; w < WAYS; w++) {
        tally t = { 0 };
        oc_tensors *earlier = NULL;
        oc_context_set_arithmetic(cx, ways[w].arithmetic);
        oc_model *model = oc_model_open(cx, argv[1],
                                        &OC_OPTIONS(oc_model_options,
                                                    .weights_dtype = ways[w].weights));
        check(cx);
        const char *type = oc_model_type(model);
        for (size_t i = 0; w == 0 ? i < made && t.positions < POSITIONS : i < used; i++) {
            if (!strcmp(type, "vision-text-dual-encoder"))
                run_labels(cx, model, &list[i], &t, &earlier, w == 0);
            else run_text(cx, model, type, &list[i], &t, w == 0);
            if (w == 0) used = i + 1;
        }
        if (w > 0) print_row(&ways[w], &t);
        fflush(stdout);
        oc_tensors_free(earlier);
        oc_model_close(model);
    }
    for (size_t i = 0; i < made; i++) {
        oc_image_free(list[i].image);
        oc_tensors_free(list[i].regions);
        free(list[i].logits);
    }
    free(list);
    oc_context_free(cx);
    return 0;
}
