/* bench_kv MODEL PICTURE...: what keeping keys and values in fewer bits changes in what a
 * model says, and what it saves.
 *
 * Every picture is described by greedy search (a ViP-LLaVA is asked what is in it) with
 * caches of f32, bf16 and int8. As long as a narrow cache has led to the same ids as f32,
 * the scores of its next step answer the same text; those are compared: largest and mean
 * difference of logits, Kullback-Leibler divergence, and how often the largest logit is
 * of the same id. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ocelli.h"

enum { STEPS = 24 };

static const oc_dtype dtypes[] = { OC_F32, OC_BF16, OC_INT8 };
static const char *const names[] = { "f32", "bf16", "int8" };

typedef struct error {
    double most, sum, divergence, range;
    long numbers, steps, agreed, ids, same_ids;
} error;

static void stop(const oc_context *cx)
{
    fprintf(stderr, "bench_kv: %s\n", oc_context_message(cx));
    exit(1);
}

/* The prompt of a ViP-LLaVA: a question about its one picture. */
static void add_question(oc_context *cx, const oc_model *model, oc_tensors *in)
{
    static const char text[] = "###Human: <image>\nWhat is in the picture?###Assistant:";
    oc_encoding *e = oc_encode(cx, oc_model_tokenizer(cx, model), text, strlen(text), NULL, 0,
                               NULL);
    if (!e) stop(cx);
    const int64_t shape[] = { 1, (int64_t)oc_encoding_count(e) };
    oc_tensors_add(cx, in, "input_ids", OC_I64, 2, shape, oc_encoding_ids(e));
    oc_encoding_free(e);
}

static double log_sum(const float *x, int64_t n)
{
    double most = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) most = fmax(most, x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - most);
    return most + log(sum);
}

static void compare_step(const float *want, const float *have, int64_t n, error *e)
{
    double a = log_sum(want, n), b = log_sum(have, n), low = want[0], high = want[0];
    int64_t first = 0, other = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)want[i] - have[i]);
        if (!(d < INFINITY)) continue;              /* barred ids */
        e->most = fmax(e->most, d);
        e->sum += d;
        e->numbers++;
        e->divergence += exp(want[i] - a) * ((want[i] - a) - (have[i] - b));
        low = fmin(low, want[i]);
        high = fmax(high, want[i]);
        if (want[i] > want[first]) first = i;
        if (have[i] > have[other]) other = i;
    }
    e->range += high - low;
    e->agreed += first == other;
    e->steps++;
}

/* Step after step until the ids part. */
static void compare(const oc_tensors *want, const oc_tensors *have, error *e)
{
    oc_tensor_view a, b, x, y;
    if (!oc_tensors_find(want, "sequences", &a) || !oc_tensors_find(have, "sequences", &b))
        return;
    const int64_t *p = a.data, *q = b.data;
    for (int step = 0;; step++) {
        char name[32];
        snprintf(name, sizeof name, "scores.%d", step);
        if (!oc_tensors_find(want, name, &x)) break;
        int64_t at = a.shape[1];
        for (int rest = step;; rest++) {            /* how many steps are behind this one */
            snprintf(name, sizeof name, "scores.%d", rest);
            if (!oc_tensors_find(want, name, &y)) break;
            at--;
        }
        e->ids++;
        snprintf(name, sizeof name, "scores.%d", step);
        bool same = at <= b.shape[1] && memcmp(p, q, (size_t)at * sizeof *p) == 0;
        if (!same || !oc_tensors_find(have, name, &y)) continue;
        compare_step(x.data, y.data, x.shape[1], e);
        e->same_ids += at < b.shape[1] && p[at] == q[at];
    }
}

int main(int argc, char **argv)
{
    oc_context *cx = oc_context_create(NULL);
    if (argc < 3) {
        fprintf(stderr, "usage: bench_kv MODEL PICTURE...\n");
        return 2;
    }
    oc_model *model = oc_model_open(cx, argv[1], NULL);
    if (!model) stop(cx);
    bool talks = strcmp(oc_model_type(model), "vipllava") == 0;
    error errors[3] = { 0 };
    for (int i = 2; i < argc; i++) {
        oc_tensors *out[3];
        oc_image *image = oc_image_open(cx, argv[i], NULL);
        oc_tensors *in = oc_preprocess(cx, model, &image, 1);
        if (talks && in) add_question(cx, model, in);
        for (int k = 0; k < 3; k++) {
            char config[64];
            snprintf(config, sizeof config, "{\"max_new_tokens\": %d, \"num_beams\": 1}", STEPS);
            oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = config,
                                               .output_scores = true, .kv_dtype = dtypes[k]);
            out[k] = oc_generate(cx, model, in, &o);
            if (!out[k]) stop(cx);
            compare(out[0], out[k], &errors[k]);
        }
        for (int k = 0; k < 3; k++) oc_tensors_free(out[k]);
        oc_tensors_free(in);
        oc_image_free(image);
    }
    for (int k = 0; k < 3; k++) {
        const error *e = &errors[k];
        double n = e->steps ? (double)e->steps : 1;
        printf("%-5s %ld steps: logits off by %.2e at most, %.2e in the mean (range %.1f), "
               "divergence %.2e, same largest %ld of %ld, same ids %ld of %ld\n", names[k],
               e->steps, e->most, e->numbers ? e->sum / (double)e->numbers : 0, e->range / n,
               e->divergence / n, e->agreed, e->steps, e->same_ids, e->ids);
    }
    oc_model_close(model);
    oc_context_free(cx);
    return 0;
}
