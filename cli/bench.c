/* ocelli bench: how fast a model reads, beside what the machine reaches at best. */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

enum { LARGEST_BATCH = 8, MOST_RUNS = 1000 };

typedef struct sample {             /* one run, or medians; times in ms, over the batch */
    double preprocess, encode, decode, total, tokens, steps;
} sample;

/* A picture of the size that the model takes: bands, nothing in it constant. */
static oc_image *make_image(cli *c, const json_t *about)
{
    const json_t *size = json_object_get(about, "image_size");
    int64_t height = json_integer_value(json_array_get(size, 0));
    int64_t width = json_integer_value(json_array_get(size, 1));
    if (height <= 0 || width <= 0 || height > 8192 || width > 8192) height = width = 384;
    uint8_t *rgb = malloc((size_t)(height * width * 3));
    for (int64_t i = 0; rgb && i < height * width; i++)
        memset(rgb + 3 * i, (int)((i % width * 8 + i / width * 16) & 255), 3);
    oc_image *image = rgb ? oc_image_create(c->cx, width, height, rgb) : NULL;
    free(rgb);
    return image;
}

static sample run_once(cli *c, const oc_model *model, oc_image *const *images,
                       size_t count, const char *config)
{
    oc_timings t = { 0 };
    sample s = { 0 };
    double start = cli_seconds();
    oc_texts *texts =
        oc_read(c->cx, model, images, count,
                &OC_OPTIONS(oc_read_options, .config = config, .timings = &t));
    s.total = 1000 * (cli_seconds() - start);
    s.preprocess = 1000 * t.preprocess;
    s.encode = 1000 * t.encode;
    s.decode = 1000 * t.decode;
    s.tokens = (double)t.tokens;
    /* Rows step together, so the longest says how often the weights were read. */
    for (size_t i = 0; i < oc_texts_count(texts); i++)
        if ((double)oc_texts_get(texts, i)->tokens > s.steps)
            s.steps = (double)oc_texts_get(texts, i)->tokens;
    oc_texts_free(texts);
    return s;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of the field at `offset` of every sample. */
static double median(const sample *samples, size_t count, size_t offset)
{
    static double values[MOST_RUNS];
    for (size_t i = 0; i < count; i++)
        memcpy(&values[i], (const char *)&samples[i] + offset, sizeof *values);
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2]
                     : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Medians of `runs` runs, after one that is not counted. */
static sample measure(cli *c, const oc_model *model, oc_image *const *images,
                      size_t batch, const char *config, size_t runs)
{
    static sample samples[MOST_RUNS];
    size_t done = 0;
    (void)run_once(c, model, images, batch, config);
    for (; done < runs && oc_context_status(c->cx) == OC_OK; done++) {
        cli_progress(c, (int64_t)done, (int64_t)runs, "runs");
        samples[done] = run_once(c, model, images, batch, config);
    }
    if (done == 0) return (sample){ 0 };
#define MEDIAN(field) .field = median(samples, done, offsetof(sample, field))
    return (sample){ MEDIAN(preprocess), MEDIAN(encode), MEDIAN(decode), MEDIAN(total),
                     MEDIAN(tokens), MEDIAN(steps) };
#undef MEDIAN
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void print_sample(cli *c, size_t batch, const sample *s, const workload *w,
                         const oc_machine *machine)
{
    double pictures = ratio(1000 * (double)batch, s->total);
    double tokens = ratio(1000 * s->tokens, s->decode);
    double gflops = ratio(1000 * w->encoder_gflop * (double)batch, s->encode);
    double gbps = ratio(1000 * w->decoder_gb * s->steps, s->decode);
    double of_fma = ratio(gflops, machine->fma_gflops);
    double of_memory = ratio(gbps, machine->read_gbps);
    if (!c->json) {
        cli_print(c,
                  "%5zu %9.1f %9.0f %10.2f %9.2f %9.2f %9.2f %9.1f %4.0f %% %7.2f "
                  "%4.0f %%",
                  batch, pictures, tokens, s->preprocess, s->encode, s->decode, s->total,
                  gflops, 100 * of_fma, gbps, 100 * of_memory);
        return;
    }
    json_t *o = json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                          "batch", (json_int_t)batch, "images_per_s", pictures,
                          "tokens_per_s", tokens, "tokens", s->tokens,
                          "preprocess_ms", s->preprocess, "encode_ms", s->encode,
                          "decode_ms", s->decode, "total_ms", s->total);
    if (gflops > 0) {
        json_object_set_new(o, "encoder_gflops", json_real(gflops));
        json_object_set_new(o, "encoder_share_of_fma", json_real(of_fma));
    }
    if (gbps > 0) {
        json_object_set_new(o, "decoder_gbps", json_real(gbps));
        json_object_set_new(o, "decoder_share_of_memory", json_real(of_memory));
    }
    cli_print_json(c, o);
}

static void print_machine(cli *c, const char *model, double load_ms,
                          const oc_machine *machine)
{
    if (c->json) {
        cli_print_json(c, json_pack("{s:o, s:s, s:i, s:f, s:f, s:f}", "model",
                                    cli_json_text(model, strlen(model)), "isa",
                                    oc_context_isa(c->cx), "threads",
                                    oc_context_threads(c->cx), "load_ms", load_ms,
                                    "fma_gflops", machine->fma_gflops, "read_gbps",
                                    machine->read_gbps));
        return;
    }
    cli_print(c, "model    %s, loaded in %.1f ms", model, load_ms);
    cli_print(c, "machine  %s, %d threads: %.1f GFLOP/s, %.2f GB/s from memory\n",
              oc_context_isa(c->cx), oc_context_threads(c->cx), machine->fma_gflops,
              machine->read_gbps);
    cli_print(c,
              "                          |-------- ms, medians, whole batch -------|   "
              "encoder         decoder");
    cli_print(c,
              "batch  images/s  tokens/s preprocess   encode    decode     total"
              "   GFLOP/s peak    GB/s memory");
}

/* Load time: the median of three, the first of which may have met a cold file cache. */
static oc_model *open_timed(cli *c, const char *name, double *ms)
{
    double times[3];
    oc_model *model = NULL;
    for (int i = 0; i < 3; i++) {
        oc_model_close(model);
        double start = cli_seconds();
        model = cli_open_model(c, name, NULL);
        times[i] = 1000 * (cli_seconds() - start);
    }
    qsort(times, 3, sizeof *times, compare);
    *ms = times[1];
    return model;
}

int command_bench(cli *c)
{
    int64_t runs = 7;
    const cli_option options[] = {
        { "runs", CLI_NUMBER, &runs, "N", "timed runs of each kind; 7", 5, MOST_RUNS, 0 },
        CLI_MODEL_OPTIONS(c),
        { 0 }
    };
    if (!cli_begin(c, options, 1, 2)) return c->status;

    const char *name = c->operands[0];
    const char *config = c->operand_count > 1 ? NULL :
                         "{\"min_new_tokens\": 32, \"max_new_tokens\": 32}";
    double load_ms;
    oc_machine machine = { 0 };
    char *text = oc_inspect(c->cx, name,
                            &OC_OPTIONS(oc_inspect_options, .tensors = true));
    json_t *about = text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;
    oc_model *model = open_timed(c, name, &load_ms);
    oc_image *image =
        config ? make_image(c, about) : oc_image_open(c->cx, c->operands[1], NULL);
    oc_measure_machine(c->cx, &machine);
    workload work = cli_count_work(about);
    bool go_on = !cli_failed(c);
    if (go_on) print_machine(c, name, load_ms, &machine);

    oc_image *images[LARGEST_BATCH];
    for (size_t i = 0; i < LARGEST_BATCH; i++) images[i] = image;
    for (size_t batch = 1; batch <= LARGEST_BATCH && go_on && cli_go_on(c);
         batch *= LARGEST_BATCH) {
        sample s = measure(c, model, images, batch, config, (size_t)runs);
        go_on = !cli_failed(c);
        if (go_on) print_sample(c, batch, &s, &work, &machine);
    }
    oc_image_free(image);
    oc_model_close(model);
    json_decref(about);
    oc_string_free(text);
    return cli_end(c);
}
