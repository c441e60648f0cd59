/* ViP-LLaVA at 7B and 1.1B: random weights of real shapes, in every type
 * that weights can be kept in.
 *
 *     build/bench/bench_vipllava [--threads LIST] [--runs N] [--models DIR] [--isa NAME]
 *                                WORK …
 *     build/bench/bench_vipllava --serve                  answers on stdin: README.md
 *
 * A WORK is SHAPE/WEIGHTS/WHAT: SHAPE 1b or 7b; WEIGHTS f32, bf16, f16,
 * int8, int8-channel or int4, and behind a + the arithmetic, bf16 or int8,
 * where it is not f32; WHAT is
 *
 *     open       a folder of shards, until the first token of a prompt of one is there
 *     prefill    640 tokens, until the next one is there
 *     answer     a picture and 64 tokens (640 in all), until the first token is there
 *     decode     a step of one row; decodeN: of N rows at once
 *
 * Prints one JSON line a work: milliseconds, and beside them what the machine
 * reached just before. A model stays open until another one is asked for; its folder
 * below --models is vip-SHAPE, written when it is missing, or vip-SHAPE-WEIGHTS
 * where there is one (convert). */
#define _GNU_SOURCE             /* popen, sched_setaffinity */

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "checkpoint.h"
#include "ocelli.h"

enum {
    PROMPT = 640,
    QUESTION = 64,
    STEPS = 16,
    MOST_ROWS = 64,
    MOST_RUNS = 200,
    NAME = 64
};
enum { IMAGE_TOKEN = 32000, SIDE = 336, MOST_THREADS = 8 };

/* Bytes a weight: scales of blocks of 32 are f16, of int4 with a minimum. */
static const struct weight_type {
    const char *name;
    oc_dtype dtype;
    double bytes;
} weight_types[] = {
    { "f32", OC_F32, 4 }, { "bf16", OC_BF16, 2 }, { "f16", OC_F16, 2 },
    { "int8", OC_INT8, 1 + 2.0 / 32 }, { "int8-channel", OC_INT8_CHANNEL, 1 },
    { "int4", OC_INT4, 0.5 + 4.0 / 32 }
};
enum { WEIGHT_TYPES = sizeof weight_types / sizeof *weight_types };

typedef enum task { OPEN, PREFILL, ANSWER, DECODE } task;

typedef struct work {
    const checkpoint_llama *shape;
    const struct weight_type *weights;
    oc_dtype arithmetic;
    task task;
    int rows;                   /* DECODE */
} work;

typedef struct session {
    const char *models, *self;
    oc_isa isa;
    int threads;
    oc_context *cx;
    oc_model *model;            /* of `shape` and `weights` */
    const checkpoint_llama *shape;
    const struct weight_type *weights;
    double open_ms;
} session;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static cpu_set_t cores;             /* that the process may run on */

/* One core a thread: where others keep all of them busy, the system leaves
 * two threads of ours on one for whole runs. The folder lists threads in the
 * order in which they were made. */
static void pin_threads(void)
{
    DIR *threads = opendir("/proc/self/task");
    size_t core = CPU_SETSIZE - 1;
    for (struct dirent *e; threads && (e = readdir(threads));) {
        cpu_set_t one;
        if (e->d_name[0] == '.') continue;
        do core = (core + 1) % CPU_SETSIZE;
        while (!CPU_ISSET(core, &cores));
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        sched_setaffinity(atoi(e->d_name), sizeof one, &one);
    }
    if (threads) closedir(threads);
}

/* ---- what is asked for ------------------------------------------------------------- */

static const struct weight_type *find_weights(const char *name)
{
    for (int i = 0; i < WEIGHT_TYPES; i++)
        if (!strcmp(weight_types[i].name, name)) return &weight_types[i];
    return NULL;
}

static bool parse_task(const char *text, work *w)
{
    static const char *const names[] = { "open", "prefill", "answer", "decode" };
    int n = 0;
    w->rows = 1;
    for (int i = 0; i < DECODE; i++) {
        w->task = (task)i;
        if (!strcmp(text, names[i])) return true;
    }
    w->task = DECODE;
    if (!strcmp(text, names[DECODE])) return true;
    return sscanf(text, "decode%d%n", &w->rows, &n) == 1 && text[n] == '\0' &&
           w->rows > 0 && w->rows <= MOST_ROWS;
}

static bool parse_work(const char *text, work *w)
{
    char shape[NAME], weights[NAME], what[NAME];
    if (sscanf(text, "%63[^/]/%63[^/]/%63s", shape, weights, what) != 3) return false;
    char *plus = strchr(weights, '+');
    if (plus) *plus++ = '\0';
    *w = (work){ .shape = checkpoint_llama_find(shape), .weights = find_weights(weights),
                 .arithmetic = !plus ? OC_F32 : strcmp(plus,
                                                       "int8") ? OC_BF16 : OC_INT8 };
    return w->shape && w->weights &&
           (!plus || !strcmp(plus, "int8") || !strcmp(plus, "bf16")) &&
           parse_task(what, w);
}

/* ---- models ------------------------------------------------------------------------ */

/* The folder of the weights in their own type, if somebody has
 * converted it, or of bf16. */
static void folder_of(const session *s, const work *w, char folder[PATH_MAX])
{
    struct stat about;
    snprintf(folder, PATH_MAX, "%s/vip-%s-%s", s->models, w->shape->name,
             w->weights->name);
    if (stat(folder, &about) == 0) return;
    snprintf(folder, PATH_MAX, "%s/vip-%s", s->models, w->shape->name);
    checkpoint_make_vipllava(s->cx, w->shape, folder);
}

static void close_model(session *s)
{
    oc_model_close(s->model);
    s->model = NULL;
}

static void open_model(session *s, const work *w)
{
    char folder[PATH_MAX];
    if (s->model && s->shape == w->shape && s->weights == w->weights) return;
    close_model(s);
    folder_of(s, w, folder);
    double start = now_ms();
    s->model = oc_model_open(s->cx, folder,
                             &OC_OPTIONS(oc_model_options,
                                         .weights_dtype = w->weights->dtype));
    s->open_ms = now_ms() - start;
    s->shape = w->shape;
    s->weights = w->weights;
}

/* ---- prompts ----------------------------------------------------------------------- */

/* Words in no order, after one that is the place of a picture. */
static oc_tensors *make_prompt(oc_context *cx, int rows, int tokens, bool picture)
{
    oc_tensors *in = oc_tensors_create(cx);
    int64_t *ids = malloc(sizeof *ids * (size_t)rows * (size_t)tokens);
    float *pixels = picture ? malloc(sizeof *pixels * 3 * SIDE * SIDE) : NULL;
    for (int i = 0; ids && i < rows * tokens; i++)
        ids[i] = picture && i == 0 ? IMAGE_TOKEN
                                   : 1000 + (uint32_t)i * 2654435761u / 256 % 20000;
    for (int i = 0; pixels && i < 3 * SIDE * SIDE; i++)
        pixels[i] = (float)(int32_t)((uint32_t)i * 2654435761u) * 0x1p-31f;
    if (ids)
        oc_tensors_add(cx, in, "input_ids", OC_I64, 2, (int64_t[]){ rows, tokens }, ids);
    if (pixels)
        oc_tensors_add(cx, in, "pixel_values", OC_F32, 4, (int64_t[]){ 1, 3, SIDE, SIDE },
                       pixels);
    free(ids);
    free(pixels);
    return in;
}

typedef struct token_clock {
    double first, last;         /* when the first row's first and last tokens were
                                   there */
    int tokens;
} token_clock;

static bool note_token(void *user, int64_t row, int64_t token, const char *text)
{
    token_clock *c = user;
    (void)token;
    (void)text;
    if (row != 0) return true;
    c->last = now_ms();
    if (c->tokens++ == 0) c->first = c->last;
    return true;
}

/* Milliseconds of the work, done once: of one step of decoding,
 * or up to the first token. */
static double run_once(session *s, const work *w)
{
    bool decode = w->task == DECODE, picture = w->task == ANSWER;
    int tokens = picture ? QUESTION + 1 : w->task == PREFILL ? PROMPT : 1;
    char config[128];
    token_clock c = { 0 };
    snprintf(config, sizeof config, "{\"min_new_tokens\": %d, \"max_new_tokens\": %d}",
             decode ? STEPS + 1 : 1, decode ? STEPS + 1 : 1);
    oc_tensors *in = make_prompt(s->cx, decode ? w->rows : 1, tokens, picture);
    if (w->task == OPEN) close_model(s);
    double start = now_ms();
    open_model(s, w);
    oc_tensors_free(
        oc_generate(s->cx, s->model, in,
                    &OC_OPTIONS(oc_generate_options, .config = config,
                                .callback = note_token, .callback_user = &c)));
    oc_tensors_free(in);
    return decode ? (c.last - c.first) / STEPS : c.first - start;
}

/* ---- what is printed --------------------------------------------------------------- */

/* Peak of what the process had in memory, MB. */
static double peak_mb(void)
{
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lf", &kb) == 1) break;
    if (f) fclose(f);
    return kb / 1024;
}

/* By a process of its own: what is read for the measure would count as ours. */
static json_t *measure_machine(const session *s)
{
    char command[PATH_MAX + 64], line[256] = "";
    snprintf(command, sizeof command, "'%s' --machine --threads %d", s->self, s->threads);
    sched_setaffinity(0, sizeof cores, &cores);         /* which it inherits */
    FILE *f = popen(command, "r");
    if (f && !fgets(line, sizeof line, f)) line[0] = '\0';
    if (f) pclose(f);
    pin_threads();
    return json_loads(line, 0, NULL);
}

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_REAL_PRECISION(5));
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}

static int print_machine(const session *s)
{
    oc_machine machine = { 0 };
    if (oc_measure_machine(s->cx, &machine) != OC_OK) return 1;
    print_json(json_pack("{s:s, s:s, s:s, s:i, s:f, s:f}", "who", "ocelli", "version",
                         oc_version(), "isa", oc_context_isa(s->cx), "threads",
                         s->threads, "fma_gflops", machine.fma_gflops, "read_gbps",
                         machine.read_gbps));
    return 0;
}

/* The work done `warm` times and then `repeat` times with the clock. */
static json_t *do_work(session *s, const char *name, int warm, int repeat)
{
    work w;
    if (!parse_work(name, &w)) return json_pack("{s:s}", "error", "no such work");
    oc_context_set_arithmetic(s->cx, w.arithmetic);
    open_model(s, &w);
    for (int i = 0; i < warm && oc_context_status(s->cx) == OC_OK; i++) run_once(s, &w);
    json_t *line = measure_machine(s), *ms = json_array();
    if (!line) line = json_object();
    for (int i = 0; i < repeat && oc_context_status(s->cx) == OC_OK; i++)
        json_array_append_new(ms, json_real(run_once(s, &w)));
    double gb = 1e-9 * checkpoint_llama_weights(w.shape) * w.weights->bytes;
    json_object_set_new(line, "work", json_string(name));
    json_object_set_new(line, "ms", ms);
    json_object_set_new(line, "open_ms", json_real(s->open_ms));
    json_object_set_new(line, "rss_mb", json_real(peak_mb()));
    if (w.task == DECODE) json_object_set_new(line, "gb", json_real(gb));
    if (oc_context_status(s->cx) != OC_OK)
        json_object_set_new(line, "error", json_string(oc_context_message(s->cx)));
    oc_context_clear(s->cx);
    return line;
}

static int serve(session *s)
{
    char request[256], name[NAME];
    print_json(measure_machine(s));
    while (fgets(request, sizeof request, stdin)) {
        int warm = 0, repeat = 1;
        if (sscanf(request, "%63s %d %d", name, &warm, &repeat) >= 1)
            print_json(do_work(s, name, warm, repeat));
    }
    return 0;
}

/* ---- command line ------------------------------------------------------------------ */

static int usage(void)
{
    fprintf(stderr, "usage: bench_vipllava [--threads LIST] [--runs N] [--models DIR] "
                    "[--isa NAME]\n"
                    "       SHAPE/WEIGHTS/WHAT … | --serve\n"
                    "  SHAPE 1b, 7b; WEIGHTS bf16, int8, int4, int4+int8, …;\n"
                    "  WHAT open, prefill, answer, decode, decode4\n");
    return 2;
}

static bool parse_number(const char *text, int most, int *number)
{
    char *end;
    long n = text ? strtol(text, &end, 10) : 0;
    *number = (int)n;
    return text && *end == '\0' && n >= 1 && n <= most;
}

/* Several numbers with commas between them; *count of them. */
static bool parse_threads(const char *text, int threads[MOST_THREADS], int *count)
{
    int n = 0;
    for (*count = 0; text && *count < MOST_THREADS; text += n + 1) {
        if (sscanf(text, "%d%n", &threads[*count], &n) != 1) return false;
        if (threads[*count] < 1 || threads[(*count)++] > 1024) return false;
        if (text[n] != ',') return text[n] == '\0';
    }
    return false;
}

static bool parse_isa(const char *text, oc_isa *isa)
{
    static const char *const names[] = { "auto", "generic", "avx2", "avx512" };
    for (int i = 0; text && i < 4; i++)
        if (!strcmp(names[i], text)) {
            *isa = (oc_isa)i;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    static char self[PATH_MAX], models[PATH_MAX + 16];
    sched_getaffinity(0, sizeof cores, &cores);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    snprintf(models, sizeof models, "%s", self);
    char *slash = strrchr(models, '/');
    snprintf(slash ? slash : models, 16, "/models");
    session s = { .models = models, .self = self };
    bool serves = false, measures = false;
    int runs = 5, first = 1, threads[MOST_THREADS] = { 1 }, counts = 1;
    for (; first < argc && argv[first][0] == '-'; first++) {
        const char *name = argv[first], *value = argv[first + 1];
        bool ok = true;
        serves = serves || !strcmp(name, "--serve");
        measures = measures || !strcmp(name, "--machine");
        if (!strcmp(name, "--serve") || !strcmp(name, "--machine")) continue;
        first++;
        if (!strcmp(name, "--threads")) ok = parse_threads(value, threads, &counts);
        else if (!strcmp(name, "--runs")) ok = parse_number(value, MOST_RUNS, &runs);
        else if (!strcmp(name, "--isa")) ok = parse_isa(value, &s.isa);
        else if (!strcmp(name, "--models") && value) s.models = value;
        else ok = false;
        if (!ok) return usage();
    }
    if (!serves && !measures && first >= argc) return usage();
    /* The model stays where it is, whatever the number of threads. */
    oc_context *contexts[MOST_THREADS];
    int status = 0;
    for (int i = 0; i < counts; i++) {
        s.threads = threads[i];
        s.cx = contexts[i] = oc_context_create(
            &OC_OPTIONS(oc_context_options, .isa = s.isa, .threads = s.threads));
        pin_threads();
        if (measures) status = print_machine(&s);
        else if (serves) status = serve(&s);
        for (int k = first; k < argc; k++) print_json(do_work(&s, argv[k], 1, runs));
    }
    close_model(&s);
    for (int i = 0; i < counts; i++) oc_context_free(contexts[i]);
    return status;
}
