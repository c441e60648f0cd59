/* bench_sessions MODEL [THREADS]: what a step of several conversations costs, beside one
 * of a single conversation. MODEL is any ViP-LLaVA with a tokenizer; only the times of
 * steps are looked at, so that random weights do. Each conversation is a short question
 * without a picture, answered by 40 tokens; a step's time is the median over them. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ocelli.h"

enum { MOST = 8, STEPS = 40 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of a step of `count` conversations; < 0: failed. */
static double step_time(oc_context *cx, const oc_model *model, size_t count, oc_dtype kv_dtype)
{
    const oc_chat_options o = OC_OPTIONS(oc_chat_options, .kv_dtype = kv_dtype,
        .config = "{\"max_new_tokens\": 42, \"min_new_tokens\": 42}");
    oc_chat *chats[MOST];
    double times[STEPS];
    for (size_t i = 0; i < count; i++) {
        chats[i] = oc_chat_create(cx, model, &o);
        oc_chat_begin(cx, chats[i], "What is in the picture?", NULL, NULL);
    }
    int n = 0;
    for (; n < STEPS && oc_context_status(cx) == OC_OK; n++) {
        double start = seconds();
        oc_chat_step(cx, chats, count);
        times[n] = seconds() - start;
    }
    for (size_t i = 0; i < count; i++) oc_chat_free(chats[i]);
    if (oc_context_status(cx) != OC_OK) return -1;
    qsort(times, (size_t)n, sizeof *times, compare);
    return times[n / 2];
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_sessions MODEL [THREADS]\n");
        return 2;
    }
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options,
                                                   .threads = argc > 2 ? atoi(argv[2]) : 2));
    oc_model *model = oc_model_open(cx, argv[1], NULL);
    for (int round = 0; model && round < 3; round++)
        for (size_t count = 1; count <= MOST; count *= 2) {
            double time = step_time(cx, model, count, OC_F32);
            if (time < 0) break;
            printf("%zu conversations: %.1f ms a step, %.1f ms a token\n", count, time * 1e3,
                   time * 1e3 / (double)count);
        }
    bool good = oc_context_status(cx) == OC_OK;
    if (!good) fprintf(stderr, "bench_sessions: %s\n", oc_context_message(cx));
    oc_model_close(model);
    oc_context_free(cx);
    return !good;
}
