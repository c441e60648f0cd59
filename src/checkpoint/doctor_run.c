/* The model at work: a text there and back, and a forward pass on seeded inputs, or on
 * those given, as a hash and beside a reference. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "base/size.h"
#include "checkpoint/doctor.h"

enum { TOKENS = 8, REGIONS = 4, CHOICES = 2, FEWEST_WORDS = 1000 };

/* Outputs agree with the reference's up to this part of its largest number
 * (docs/design.md). */
static const double tolerance = 1e-4;

/* ---- the tokenizer ----------------------------------------------------------------- */

static const char sample[] = "The quick brown fox jumps over 13 lazy dogs.";

/* Ids, their text, and the ids of that: the last must be the first again. Texts
 * may differ from the sample by what a tokenizer is meant to lose: case,
 * accents, what it does not know. */
static void round_trip(oci_doctor *d, const oc_tokenizer *tokenizer)
{
    oc_context *cx = d->cx;
    const oc_encode_options plain = OC_OPTIONS(oc_encode_options,
                                               .no_special_tokens = true);
    oc_encoding *first = oc_encode(cx, tokenizer, sample, sizeof sample - 1, NULL, 0,
                                   &plain);
    size_t count = first ? oc_encoding_count(first) : 0, size = 0;
    char *text = first ? oc_decode(cx, tokenizer, oc_encoding_ids(first), count, false,
                                   OC_CLEAN_UP_DEFAULT, &size) : NULL;
    oc_encoding *second = text ? oc_encode(cx, tokenizer, text, size, NULL, 0, &plain)
                               : NULL;
    if (second) {
        bool same = oc_encoding_count(second) == count &&
                    !memcmp(oc_encoding_ids(first), oc_encoding_ids(second),
                            count * sizeof(int64_t));
        bool exact = size == sizeof sample - 1 && !memcmp(text, sample, size);
        json_object_set_new(d->report, "tokenizer",
                            json_pack("{s:I, s:s%, s:b, s:b}", "tokens",
                                      (json_int_t)count, "text", text, size, "same_ids",
                                      same, "same_text", exact));
        if (!same)
            oci_doctor_find(d, "note", "tokenizer",
                            "\"%s\" comes back as \"%.200s\", which has other ids",
                            sample, text);
    }
    oc_encoding_free(second);
    oc_encoding_free(first);
    oc_string_free(text);
    oci_doctor_take_error(d, "error", "tokenizer");
}

static void check_vocabulary(oci_doctor *d, const oc_model *model,
                             const oc_tokenizer *tokenizer)
{
    const json_t *config = model->core.config.root,
                 *part = json_object_get(config, "decoder");
    if (!part) part = json_object_get(config, "text_config");
    const json_t *vocab = json_object_get(part ? part : config, "vocab_size");
    int64_t most = oc_tokenizer_vocab_size(tokenizer);
    if (!json_is_integer(vocab) || most <= json_integer_value(vocab)) return;
    const int64_t rows = json_integer_value(vocab);
    const char *first = oc_tokenizer_token(tokenizer, rows);
    /* A mask token that the class adds behind the vocabulary: no text comes to it. */
    const bool mask = most == rows + 1 && first && (!strcmp(first, "<mask>") ||
                                                    !strcmp(first, "[MASK]"));
    oci_doctor_find(d, mask ? "note" : "warning", "vocab_size",
                    "is %lld, but the tokenizer has ids up to %lld (from %.40s on): in "
                    "Transformers a text with one of them is an IndexError",
                    (long long)rows, (long long)most - 1, first ? first : "a gap");
}

static void check_tokenizer(oci_doctor *d, const oc_model *model)
{
    if (model->tokenizer) {
        check_vocabulary(d, model, model->tokenizer);
        round_trip(d, model->tokenizer);
    } else if (model->tokenizer_message) {
        bool lacks = model->tokenizer_status == OC_E_FILE;
        oci_doctor_find(d, lacks ? "note" : "error", "tokenizer", "%s",
                        model->tokenizer_message);
    }
    if (model->processor_message && model->processor_status != OC_E_FILE)
        oci_doctor_find(d, "error", "preprocessor_config.json", "%s",
                        model->processor_message);
}

/* ---- seeded inputs ----------------------------------------------------------------- */

static int64_t number(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

static const json_t *part_of(const json_t *config, const char *a, const char *b)
{
    const json_t *part = json_object_get(config, a);
    if (!part) part = json_object_get(config, b);
    return json_is_object(part) ? part : config;
}

/* Each input has a stream of its own: one more does not change the others. */
static void add_floats(oc_context *cx, oc_tensors *set, const char *name, int rank,
                       const int64_t *shape)
{
    oc_tensor_view view;
    oci_rng rng;
    oci_rng_init(&rng, 0, oci_hash_of(name, strlen(name)));
    oc_tensors_add(cx, set, name, OC_F32, rank, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(set, name, &view)) return;
    float *x = (float *)(uintptr_t)view.data;           /* our own set, just made */
    for (size_t i = 0; i < view.bytes / sizeof *x; i++) x[i] = oci_rng_normal(&rng);
}

static void add_ids(oc_context *cx, oc_tensors *set, const char *name, int rank,
                    const int64_t *shape, int64_t below)
{
    oc_tensor_view view;
    oci_rng rng;
    oci_rng_init(&rng, 0, oci_hash_of(name, strlen(name)));
    oc_tensors_add(cx, set, name, OC_I64, rank, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(set, name, &view)) return;
    int64_t *x = (int64_t *)(uintptr_t)view.data;
    for (size_t i = 0; i < view.bytes / sizeof *x; i++)
        x[i] = (int64_t)(oci_rng_u32(&rng) % (uint64_t)below);
}

static void add_ones(oc_context *cx, oc_tensors *set, const char *name, int rank,
                     const int64_t *shape)
{
    oc_tensor_view view;
    oc_tensors_add(cx, set, name, OC_I64, rank, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(set, name, &view)) return;
    int64_t *x = (int64_t *)(uintptr_t)view.data;
    for (size_t i = 0; i < view.bytes / sizeof *x; i++) x[i] = 1;
}

static void add_picture(oc_context *cx, oc_tensors *set, const json_t *config)
{
    const json_t *vision = part_of(config, "encoder", "vision_config");
    const json_t *side = json_object_get(vision, "image_size");
    int64_t height = number(vision, "image_size", 224), width = height;
    if (json_is_array(side)) {
        height = json_integer_value(json_array_get(side, 0));
        width = json_integer_value(json_array_get(side, 1));
    }
    const int64_t shape[] = { 1, number(vision, "num_channels", 3), height, width };
    add_floats(cx, set, "pixel_values", 4, shape);
}

/* VisualBERT's: words and regions together, of each choice if the class has choices; its
 * mask is no option (4.37.2 fails without it). */
static void add_regions(oc_context *cx, oc_tensors *set, const json_t *config,
                        bool choices)
{
    int64_t most = oci_min(number(config, "max_position_embeddings", TOKENS), TOKENS);
    const int64_t words[] = { 1, CHOICES, most }, pair[] = { 1, most };
    const int64_t shape[] = { 1, CHOICES, REGIONS,
                              number(config, "visual_embedding_dim", 512) };
    const int64_t one[] = { 1, REGIONS, shape[3] };
    add_floats(cx, set, "visual_embeds", choices ? 4 : 3, choices ? shape : one);
    add_ones(cx, set, "attention_mask", choices ? 3 : 2, choices ? words : pair);
}

static bool is_vipllava(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    return type && !strcmp(type, "vipllava");
}

/* ViP-LLaVA's picture stands where one word would; no other may mean it, nor padding. */
static void place_picture(oc_context *cx, const oc_tensors *set, const json_t *config,
                          int64_t words)
{
    const int64_t image = number(config, "image_token_index", 32000);
    const int64_t padding = number(config, "pad_token_id", -1);
    oc_tensor_view view;
    if (oci_failed(cx) || !oc_tensors_find(set, "input_ids", &view)) return;
    int64_t *ids = (int64_t *)(uintptr_t)view.data;
    for (size_t i = 0; i < view.bytes / sizeof *ids; i++)
        for (int step = 0; step < 2 && (ids[i] == image || ids[i] == padding); step++)
            ids[i] = (ids[i] + 1) % words;
    ids[0] = image;
}

/* What a class needs, of what it takes: a picture, words, regions;
 * the rest has defaults. */
static oc_tensors *seeded_inputs(oc_context *cx, const oci_model *model,
                                 const oci_class *class)
{
    const json_t *config = model->config.root,
                 *text = part_of(config, "decoder", "text_config");
    int64_t words = oci_min(number(text, "vocab_size", FEWEST_WORDS), FEWEST_WORDS);
    int64_t most = oci_min(number(text, "max_position_embeddings", TOKENS), TOKENS);
    const int64_t many[] = { 1, CHOICES, most }, pair[] = { 1, most };
    oc_tensors *set = oc_tensors_create(cx);
    for (const oci_input_spec *s = class->inputs; set && s->name && !oci_failed(cx);
         s++) {
        bool choices = class->inputs[0].rank == 3;
        if (!strcmp(s->name, "pixel_values"))
            add_picture(cx, set, config);
        else if (!strcmp(s->name, "input_ids") || !strcmp(s->name, "decoder_input_ids"))
            add_ids(cx, set, s->name, choices ? 3 : 2, choices ? many : pair, words);
        else if (!strcmp(s->name, "visual_embeds"))
            add_regions(cx, set, config, choices);
        else if (!strcmp(s->name, "region_to_phrase_position"))
            add_ids(cx, set, s->name, 2, pair, 2);
    }
    if (set && is_vipllava(config)) {
        add_ones(cx, set, "attention_mask", 2, pair);   /* no option where a picture is */
        place_picture(cx, set, config, words);
    }
    return set;
}

/* ---- the pass ---------------------------------------------------------------------- */

static void put_hash(oci_doctor *d, const oc_tensors *out)
{
    char text[24];
    oci_hash hash;
    oci_hash_init(&hash);
    for (size_t i = 0; i < oc_tensors_count(out); i++) {
        oc_tensor_view t = oc_tensors_get(out, i);
        oci_hash_add(&hash, t.name, strlen(t.name) + 1);
        oci_hash_add(&hash, t.shape, (size_t)t.rank * sizeof *t.shape);
        oci_hash_add(&hash, t.data, t.bytes);
    }
    snprintf(text, sizeof text, "%016llx", (unsigned long long)oci_hash_value(&hash));
    json_object_set_new(d->report, "forward",
                        json_pack("{s:s, s:s, s:I}", "hash", text, "isa",
                                  oc_context_isa(d->cx), "outputs",
                                  (json_int_t)oc_tensors_count(out)));
}

static void check_finite(oci_doctor *d, const oc_tensors *out)
{
    for (size_t i = 0; i < oc_tensors_count(out); i++) {
        oc_tensor_view t = oc_tensors_get(out, i);
        const float *x = t.data;
        for (size_t k = 0; t.dtype == OC_F32 && k < t.bytes / sizeof *x; k++) {
            if (isfinite(x[k])) continue;
            oci_doctor_find(d, "warning", t.name,
                            "the first output that is not finite: %g at place %zu",
                            (double)x[k], k);
            return;
        }
    }
}

/* ---- beside a reference ------------------------------------------------------------ */

/* The largest difference, and the reference's largest number; NaN must meet NaN. */
static void measure(oc_context *cx, oc_tensor_view a, oc_tensor_view b, double *most,
                    double *largest)
{
    size_t n = a.bytes / oci_dtype_size(a.dtype);
    float *x = oci_calloc(cx, n, sizeof *x), *y = oci_calloc(cx, n, sizeof *y);
    *most = *largest = 0;
    if (x && y) {
        oci_dtype_to_f32(a.dtype, a.data, x, n);
        oci_dtype_to_f32(b.dtype, b.data, y, n);
    }
    for (size_t i = 0; x && y && i < n; i++) {
        if (isnan(x[i]) != isnan(y[i])) *most = INFINITY;
        else if (x[i] != y[i] && !isnan(x[i]))
            *most = fmax(*most, fabs((double)x[i] - y[i]));
        if (isfinite(y[i])) *largest = fmax(*largest, fabs(y[i]));
    }
    oci_free(x);
    oci_free(y);
}

static bool is_float(oc_dtype t)
{
    return t == OC_F32 || t == OC_F16 || t == OC_BF16 || t == OC_F64;
}

/* One row of "against"; false if the two differ. */
static bool compare_one(oci_doctor *d, oc_tensor_view own, oc_tensor_view theirs,
                        json_t *rows)
{
    double most = INFINITY, largest = 0;
    bool alike = own.rank == theirs.rank &&
                 is_float(own.dtype) == is_float(theirs.dtype) &&
                 !memcmp(own.shape, theirs.shape, (size_t)own.rank * sizeof *own.shape);
    bool same;
    if (alike && is_float(own.dtype)) {
        measure(d->cx, own, theirs, &most, &largest);
        same = most <= tolerance * fmax(largest, 1e-6);
    } else {
        same = alike && own.dtype == theirs.dtype &&
               !memcmp(own.data, theirs.data, own.bytes);
    }
    json_t *row = json_pack("{s:s, s:b}", "name", own.name, "same", same);
    if (!alike) json_object_set_new(row, "shape", json_false());
    if (isfinite(most)) json_object_set_new(row, "difference", json_real(most));
    if (isfinite(most)) json_object_set_new(row, "largest", json_real(largest));
    json_array_append_new(rows, row);
    return same;
}

static void compare(oci_doctor *d, const oc_tensors *out, const oc_tensors *reference)
{
    json_t *rows = json_array();
    const char *first = NULL;
    size_t compared = 0, differ = 0;
    for (size_t i = 0; i < oc_tensors_count(out) && !oci_failed(d->cx); i++) {
        oc_tensor_view own = oc_tensors_get(out, i), theirs;
        if (!oc_tensors_find(reference, own.name, &theirs)) continue;
        compared++;
        if (compare_one(d, own, theirs, rows)) continue;
        if (!first) first = own.name;
        differ++;
    }
    if (first)
        oci_doctor_find(d, "error", first,
                        "is the first that differs from the reference; %zu of %zu do",
                        differ, compared);
    else if (!compared)
        oci_doctor_find(d, "error", "against",
                        "the reference has none of the outputs: names are those of "
                        "`ocelli forward --output-hidden-states`");
    json_object_set_new(d->report, "against", json_pack("{s:I, s:I, s:o}", "compared",
        (json_int_t)compared, "differ", (json_int_t)differ, "tensors", rows));
}

/* Outputs come in the order in which the model makes them, so the first that differs is
 * where to look. */
static void run_forward(oci_doctor *d, const oc_model *model)
{
    oc_context *cx = d->cx;
    const oc_doctor_options *o = d->options;
    const oc_forward_options all = OC_OPTIONS(oc_forward_options,
                                              .output_hidden_states = true,
                                              .class_name = o->class_name);
    const oci_class *class = oci_model_class(cx, &model->core, o->class_name);
    oc_tensors *in = !class ? NULL : o->in ? oc_tensors_open(cx, o->in)
                                           : seeded_inputs(cx, &model->core, class);
    if (in && o->save_inputs) oc_tensors_save(cx, in, o->save_inputs);
    oc_tensors *out = in ? oc_forward(cx, model, in, &all) : NULL;
    if (out) {
        put_hash(d, out);
        check_finite(d, out);
    }
    oci_doctor_take_error(d, o->in || o->against ? "error" : "note", "forward");
    oc_tensors *reference = out && o->against ? oc_tensors_open(cx, o->against) : NULL;
    if (reference) compare(d, out, reference);
    oci_doctor_take_error(d, "error", "against");
    oc_tensors_free(reference);
    oc_tensors_free(out);
    oc_tensors_free(in);
}

void oci_doctor_run(oci_doctor *d)
{
    const oc_model_options open = OC_OPTIONS(oc_model_options,
                                             .weights = d->options->weights,
                                             .class_name = d->options->class_name,
                                             .weights_dtype = d->options->weights_dtype);
    oc_model *model = oc_model_open(d->cx, d->folder, &open);
    /* What keeps it from opening was found by then, but for what only loading sees. */
    if (!oci_doctor_take_error(d, "error", "model") || !model) return;
    check_tokenizer(d, model);
    if (!oci_failed(d->cx)) run_forward(d, model);
    oc_model_close(model);
}
