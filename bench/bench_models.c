/* Whole models at the size of published ones (random weights),
 * and the bundled line reader.
 *
 *     build/bench/bench_models [--work LIST] [--threads LIST] [--runs N] [--isa NAME] …
 *
 * prints one JSON line a measurement; least and median times over the runs, in ms. Each
 * work runs in a process of its own, so that its peak memory (rss_mb) is its own, too.
 *
 *     build/bench/bench_models --serve
 *
 * keeps models open and answers requests on stdin, so that a driver (run.py) can
 * alternate with other programs run by run; README.md has the protocol. */
#define _DEFAULT_SOURCE         /* wait4 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "inputs.h"
#include "ocelli.h"

extern char **environ;

enum { MAX_RUNS = 200, MAX_LINES = 64, TOKENS = 32, FOLDER = 4096, MAX_THREADS = 8 };

typedef enum kind {
    FORWARD,
    IMAGES, TEXTS,              /* FORWARD of one side of a dual encoder */
    EMBED,                      /* texts of mixed lengths, from strings */
    GENERATE, READ, COLD
} kind;

typedef struct work {
    const char *name;
    kind kind;
    checkpoint_kind model;
    int batch;
    oc_dtype dtype;
    const char *folder;         /* below --models; NULL: the bundled reader */
    int beams;                  /* GENERATE: 0 is greedy */
} work;

static const work works[] = {
    { "vit-b1", FORWARD, CHECKPOINT_VIT, 1, OC_F32, "vit-b16-224", 0 },
    { "vit-b8", FORWARD, CHECKPOINT_VIT, 8, OC_F32, "vit-b16-224", 0 },
    { "clip-b1", FORWARD, CHECKPOINT_CLIP, 1, OC_F32, "clip-l14-336", 0 },
    { "clip-bf16-b1", FORWARD, CHECKPOINT_CLIP, 1, OC_BF16, "clip-l14-336-bf16", 0 },
    { "swin-b1", FORWARD, CHECKPOINT_SWIN, 1, OC_F32, "donut-swin-1280", 0 },
    { "bert-b32", FORWARD, CHECKPOINT_BERT, 32, OC_F32, "bert-base", 0 },
    { "visual-bert-b8", FORWARD, CHECKPOINT_VISUAL_BERT, 8, OC_F32, "visual-bert-vqa",
      0 },
    { "vtde-images-b8", IMAGES, CHECKPOINT_DUAL, 8, OC_F32, "vtde-base", 0 },
    { "vtde-texts-b32", TEXTS, CHECKPOINT_DUAL, 32, OC_F32, "vtde-base", 0 },
    { "vtde-mixed-b32", EMBED, CHECKPOINT_DUAL, 32, OC_F32, "vtde-base", 0 },
    { "trocr-b1", GENERATE, CHECKPOINT_TROCR, 1, OC_F32, "trocr-base-384", 0 },
    { "trocr-b4", GENERATE, CHECKPOINT_TROCR, 4, OC_F32, "trocr-base-384", 0 },
    { "trocr-beam4", GENERATE, CHECKPOINT_TROCR, 1, OC_F32, "trocr-base-384", 4 },
    { "trocr-bf16-b1", GENERATE, CHECKPOINT_TROCR, 1, OC_BF16, "trocr-base-384-bf16", 0 },
    { "line-warm", READ, 0, 1, OC_BF16, NULL, 0 },
    { "line-batch", READ, 0, MAX_LINES, OC_BF16, NULL, 0 },
    { "line-cold", COLD, 0, 1, OC_BF16, NULL, 0 },
    { "line-cold-tesseract", COLD, 0, 1, OC_F32, NULL, 0 },
};
enum { WORKS = sizeof works / sizeof *works };

typedef struct options {
    const char *work, *models, *reader, *command;
    const char *lines[4];       /* pictures; the first alone where a work reads one */
    int threads[MAX_THREADS], thread_counts, runs;
    oc_isa isa;
    bool serve;
} options;

/* What a measurement keeps open: models by work, since bf16
 * and f32 are different files. */
typedef struct session {
    const options *o;
    oc_context *cx;
    int threads;
    oc_model *models[WORKS];     /* of the first work of each folder */
    oc_tensors *inputs[WORKS];
    char **texts[WORKS];
    char message[512];          /* what went wrong outside the library; "" if nothing */
} session;

typedef struct sample {
    double ms;                  /* the whole work */
    double token_ms;            /* GENERATE: one more token, encoder and first step
                                   apart */
    long rss_kb;                /* COLD: peak of the process that was started */
} sample;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static const work *find_work(const char *name)
{
    for (int i = 0; i < WORKS; i++)
        if (!strcmp(works[i].name, name)) return &works[i];
    return NULL;
}

/* ---- sessions ---------------------------------------------------------------------- */

static void session_open(session *s, const options *o, int threads)
{
    *s = (session){ .o = o, .threads = threads };
    oc_context_options c = OC_OPTIONS(oc_context_options, .isa = o->isa,
                                      .threads = threads);
    s->cx = oc_context_create(&c);
}

static void session_close(session *s)
{
    for (int i = 0; i < WORKS; i++) {
        oc_tensors_free(s->inputs[i]);
        free(s->texts[i]);
        oc_model_close(s->models[i]);
    }
    oc_context_free(s->cx);
}

/* "" while all is well. */
static const char *session_error(const session *s)
{
    if (s->message[0]) return s->message;
    return oc_context_status(s->cx) == OC_OK ? "" : oc_context_message(s->cx);
}

static void clear_error(session *s)
{
    s->message[0] = '\0';
    oc_context_clear(s->cx);
}

/* Writes the checkpoint if there is none, in a process of its own: its memory is not the
 * measurement's. */
static void make_checkpoint(session *s, const work *w, const char *folder)
{
    int status = 1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        oc_context *cx = oc_context_create(NULL);
        _exit(!checkpoint_make(cx, w->model, w->dtype, folder));
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (pid < 0 || status != 0)
        snprintf(s->message, sizeof s->message, "%.400s: not written", folder);
}

/* Borrowed. Reads the model at the first call. */
static oc_model *model_of(session *s, const work *w)
{
    int first = 0;
    while (works[first].folder != w->folder &&
           (!w->folder || !works[first].folder || strcmp(works[first].folder, w->folder)))
        first++;
    oc_model **model = &s->models[first];
    char folder[FOLDER];
    if (*model) return *model;
    snprintf(folder, sizeof folder, "%s/%s", s->o->models, w->folder ? w->folder : "");
    if (w->folder) make_checkpoint(s, w, folder);
    *model = oc_model_open(s->cx, w->folder ? folder : s->o->reader, NULL);
    return *model;
}

static oc_tensors *inputs_of(session *s, const work *w)
{
    oc_tensors **inputs = &s->inputs[w - works];
    checkpoint_kind fed = w->kind == IMAGES ? CHECKPOINT_VIT :
                          w->kind == TEXTS ? CHECKPOINT_BERT : w->model;
    if (!*inputs) *inputs = inputs_make(s->cx, fed, w->batch);
    return *inputs;
}

static char **texts_of(session *s, const work *w)
{
    char ***texts = &s->texts[w - works];
    if (!*texts) *texts = inputs_texts(w->batch);
    return *texts;
}

/* ---- the works, once --------------------------------------------------------------- */

static oc_tensors *generate(session *s, const work *w, int tokens)
{
    char config[128];
    snprintf(config, sizeof config,
             "{\"min_new_tokens\": %d, \"max_new_tokens\": %d, \"num_beams\": %d}",
             tokens, tokens, w->beams ? w->beams : 1);
    return oc_generate(s->cx, model_of(s, w), inputs_of(s, w),
                       &OC_OPTIONS(oc_generate_options, .config = config));
}

static oc_tensors *forward(session *s, const work *w)
{
    static const char *const classes[] = {
        [IMAGES] = "VisionTextDualEncoderModel.get_image_features",
        [TEXTS] = "VisionTextDualEncoderModel.get_text_features",
        [EMBED] = NULL
    };
    if (w->kind == EMBED)
        return oc_embed_texts(s->cx, model_of(s, w), (const char *const *)texts_of(s, w),
                              (size_t)w->batch, NULL);
    return oc_forward(s->cx, model_of(s, w), inputs_of(s, w),
                      &OC_OPTIONS(oc_forward_options, .class_name = classes[w->kind]));
}

static sample run_forward(session *s, const work *w)
{
    double start = now_ms();
    oc_tensors *out = forward(s, w);
    sample one = { .ms = now_ms() - start };
    oc_tensors_free(out);
    return one;
}

/* The first token's time holds the encoder and what the first step costs in addition. */
static sample run_generate(session *s, const work *w)
{
    double start = now_ms();
    oc_tensors_free(generate(s, w, 1));
    double first = now_ms();
    oc_tensors_free(generate(s, w, TOKENS));
    double end = now_ms();
    sample one = { .ms = end - first };
    one.token_ms = (one.ms - (first - start)) / (TOKENS - 1);
    return one;
}

/* Files to text. */
static sample run_read(session *s, const work *w)
{
    oc_image *images[MAX_LINES];
    const options *o = s->o;
    double start = now_ms();
    for (int i = 0; i < w->batch; i++)
        images[i] = oc_image_open(s->cx, o->lines[i % 4], NULL);
    oc_texts *texts =
        oc_read(s->cx, model_of(s, w), images, (size_t)w->batch, NULL);
    sample one = { .ms = now_ms() - start };
    oc_texts_free(texts);
    for (int i = 0; i < w->batch; i++) oc_image_free(images[i]);
    return one;
}

/* Starts a program with its standard output in a pipe, the end of which is *out; -1 if it
 * cannot be started. */
static pid_t start_program(char *const arguments[], int *out)
{
    int ends[2];
    pid_t pid = -1;
    posix_spawn_file_actions_t actions;
    if (pipe(ends) != 0) return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (pid < 0) close(ends[0]);
    *out = ends[0];
    return pid;
}

/* From before the start of the process until its first line is here. */
static sample run_cold(session *s, const work *w)
{
    char threads[16], buffer[1024];
    bool own = strcmp(w->name, "line-cold") == 0;
    snprintf(threads, sizeof threads, "%d", s->threads);
    const char *const ocelli[] = { s->o->command, "read",    "--threads",     threads,
                                   "--model",     s->o->reader, s->o->lines[0], NULL };
    const char *const other[] = { "tesseract", s->o->lines[0], "-", "--psm", "7", NULL };
    setenv("OMP_THREAD_LIMIT", threads, 1);
    sample one = { 0 };
    struct rusage usage;
    int out, status = 0;
    double start = now_ms();
    /* posix_spawn takes no const, and changes nothing. */
    union {
        const char *const *in;
        char *const *out;
    } arguments = { own ? ocelli : other };
    pid_t pid = start_program(arguments.out, &out);
    if (pid > 0) {
        ssize_t n;
        while ((n = read(out, buffer, sizeof buffer)) > 0)
            if (one.ms <= 0 && memchr(buffer, '\n', (size_t)n)) one.ms = now_ms() - start;
        close(out);
        while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) continue;
        one.rss_kb = usage.ru_maxrss;
    }
    if (pid < 0 || status != 0 || one.ms <= 0)
        snprintf(s->message, sizeof s->message, "%.300s: not started, or it failed",
                 arguments.in[0]);
    return one;
}

static sample run_once(session *s, const work *w)
{
    switch (w->kind) {
    case FORWARD: case IMAGES: case TEXTS: case EMBED: return run_forward(s, w);
    case GENERATE: return run_generate(s, w);
    case READ: return run_read(s, w);
    case COLD: break;
    }
    return run_cold(s, w);
}

/* ---- what is printed --------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values. */
static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_REAL_PRECISION(5));
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}

static void set_real(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, json_real(value));
}

/* Floating-point operations of the ViT on one picture: patches, then in each block twelve
 * products of a token with a 768 x 768 matrix, and attention's two products. */
static double vit_gflop(void)
{
    double block = 197.0 * 768 * 768 * 12 + 2.0 * 197 * 197 * 768;
    return 2e-9 * (196.0 * 768 * 768 + 12 * block);
}

static void report(const session *s, const work *w, const sample *samples, int runs,
                   const oc_machine *machine)
{
    double ms[MAX_RUNS], token_ms[MAX_RUNS];
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    long rss = usage.ru_maxrss;
    for (int i = 0; i < runs; i++) {
        ms[i] = samples[i].ms;
        token_ms[i] = samples[i].token_ms;
        if (w->kind == COLD) rss = i && samples[i].rss_kb < rss ? rss : samples[i].rss_kb;
    }
    double middle = median(ms, runs), token = median(token_ms, runs);
    json_t *line = json_pack("{s:s, s:s, s:i, s:s, s:s, s:f, s:f, s:i, s:f}", "who",
                             strstr(w->name, "tesseract") ? "tesseract" : "ocelli",
                             "work", w->name, "threads", s->threads, "isa",
                             oc_context_isa(s->cx), "dtype",
                             w->dtype == OC_BF16 ? "bf16" : "f32", "ms_min", ms[0],
                             "ms_median", middle, "runs", runs, "rss_mb",
                             (double)rss / 1024);
    if (w->model == CHECKPOINT_VIT && w->kind == FORWARD) {
        double gflops = 1e3 * vit_gflop() * w->batch / middle;
        set_real(line, "gflops", gflops);
        set_real(line, "of_fma", gflops / machine->fma_gflops);
    } else if (w->kind == GENERATE && w->batch == 1 && !w->beams) {
        double weights = checkpoint_step_gb(w->dtype), cross = checkpoint_cross_gb();
        set_real(line, "token_ms", token);
        set_real(line, "gbps", 1e3 * weights / token);
        set_real(line, "gbps_with_cross", 1e3 * (weights + cross) / token);
        set_real(line, "of_read", 1e3 * weights / token / machine->read_gbps);
        set_real(line, "of_read_with_cross",
                 1e3 * (weights + cross) / token / machine->read_gbps);
    } else if (w->kind == READ) {
        set_real(line, "lines_per_s", 1e3 * w->batch / middle);
    }
    print_json(line);
}

/* ---- by itself --------------------------------------------------------------------- */

static int measure(const options *o, const work *w, int threads,
                   const oc_machine *machine)
{
    session s;
    sample samples[MAX_RUNS];
    int done = 0;
    session_open(&s, o, threads);
    run_once(&s, w);            /* reads the model and warms up */
    while (done < o->runs && !*session_error(&s)) samples[done++] = run_once(&s, w);
    bool ok = !*session_error(&s);
    if (ok) report(&s, w, samples, o->runs, machine);
    else fprintf(stderr, "%s: %s\n", w->name, session_error(&s));
    session_close(&s);
    return ok ? 0 : 1;
}

/* A process of its own for each. */
static bool measure_apart(const options *o, const work *w, int threads,
                          const oc_machine *machine)
{
    int status = 1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        status = measure(o, w, threads, machine);
        fflush(stdout);
        _exit(status);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    return pid > 0 && status == 0;
}

static bool wanted(const options *o, const work *w)
{
    size_t n = strlen(w->name);
    if (!o->work) return true;
    for (const char *at = o->work; (at = strstr(at, w->name)); at += n)
        if ((at == o->work || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

static bool measure_machine(const options *o, int threads, oc_machine *machine)
{
    session s;
    session_open(&s, o, threads);
    oc_status status = oc_measure_machine(s.cx, machine);
    if (status == OC_OK)
        print_json(json_pack("{s:s, s:i, s:s, s:f, s:f}", "who", "machine", "threads",
                             threads, "isa", oc_context_isa(s.cx), "fma_gflops",
                             machine->fma_gflops, "read_gbps", machine->read_gbps));
    else fprintf(stderr, "bench_models: %s\n", oc_context_message(s.cx));
    session_close(&s);
    return status == OC_OK;
}

static int measure_all(const options *o)
{
    bool ok = true;
    for (int t = 0; t < o->thread_counts; t++) {
        oc_machine machine;
        if (!measure_machine(o, o->threads[t], &machine)) return 1;
        for (int i = 0; i < WORKS; i++) {
            if (!wanted(o, &works[i])) continue;
            bool fine = measure_apart(o, &works[i], o->threads[t], &machine);
            /* Tesseract need not be installed. */
            ok = ok && (fine || strstr(works[i].name, "tesseract"));
        }
    }
    return ok ? 0 : 1;
}

/* ---- as a server ------------------------------------------------------------------- */

/* Outputs for peers to compare theirs with: the ViT's states, or TrOCR's tokens with the
 * logits of the same tokens in one forward pass. */
static void dump(session *s, const work *w, const char *path)
{
    oc_tensors *out = NULL;
    oc_tensor_view ids;
    if (w->kind <= EMBED) {
        out = forward(s, w);
    } else if (w->kind == GENERATE) {
        oc_tensors *tokens = generate(s, w, TOKENS), *in = oc_tensors_create(s->cx);
        if (tokens && oc_tensors_find(tokens, "sequences", &ids)) {
            oc_tensor_view x = oc_tensors_get(inputs_of(s, w), 0);
            oc_tensors_add(s->cx, in, x.name, x.dtype, x.rank, x.shape, x.data);
            oc_tensors_add(s->cx, in, "decoder_input_ids", ids.dtype, ids.rank, ids.shape,
                           ids.data);
            out = oc_forward(s->cx, model_of(s, w), in, NULL);
            oc_tensors_add(s->cx, out, ids.name, ids.dtype, ids.rank, ids.shape,
                           ids.data);
        }
        oc_tensors_free(in);
        oc_tensors_free(tokens);
    } else {
        snprintf(s->message, sizeof s->message, "%s: no numbers to compare", w->name);
    }
    if (out) oc_tensors_save(s->cx, out, path);
    oc_tensors_free(out);
}

static json_t *time_work(session *s, const work *w, int warm, int repeat)
{
    json_t *ms = json_array(), *token_ms = json_array();
    long rss = 0;
    for (int i = 0; i < warm && !*session_error(s); i++) run_once(s, w);
    for (int i = 0; i < repeat && !*session_error(s); i++) {
        sample one = run_once(s, w);
        json_array_append_new(ms, json_real(one.ms));
        json_array_append_new(token_ms, json_real(one.token_ms));
        if (one.rss_kb > rss) rss = one.rss_kb;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (w->kind != COLD) rss = usage.ru_maxrss;
    json_t *answer = json_pack("{s:s, s:o, s:f}", "work", w->name, "ms", ms, "rss_mb",
                               (double)rss / 1024);
    if (w->kind == GENERATE) json_object_set(answer, "token_ms", token_ms);
    json_decref(token_ms);
    return answer;
}

/* One request: "WORK WARM REPEAT" or "dump WORK PATH". */
static json_t *answer(session *s, const char *request)
{
    char name[64], path[FOLDER];
    int warm = 0, repeat = 1;
    bool dumps = sscanf(request, "dump %63s %4095[^\n]", name, path) == 2;
    if (!dumps && sscanf(request, "%63s %d %d", name, &warm, &repeat) < 1) return NULL;
    const work *w = find_work(name);
    if (!w) return json_pack("{s:s}", "error", "no such work");
    json_t *line = NULL;
    if (dumps) {
        dump(s, w, path);
        line = json_pack("{s:s}", "dumped", name);
    } else {
        line = time_work(s, w, warm, repeat);
    }
    if (*session_error(s)) {
        json_object_set_new(line, "error", json_string(session_error(s)));
        clear_error(s);
    }
    return line;
}

/* Written by a process of its own: measuring takes memory that would count as a work's,
 * and as that of the programs which line-cold starts. */
static void greet(const options *o)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        session s;
        oc_machine machine = { 0 };
        session_open(&s, o, o->threads[0]);
        oc_measure_machine(s.cx, &machine);
        print_json(json_pack("{s:s, s:s, s:s, s:i, s:f, s:f}", "who", "ocelli", "version",
                             oc_version(), "isa", oc_context_isa(s.cx), "threads",
                             s.threads, "fma_gflops", machine.fma_gflops, "read_gbps",
                             machine.read_gbps));
        _exit(0);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

static int serve(const options *o)
{
    session s;
    char request[FOLDER + 128];
    greet(o);
    session_open(&s, o, o->threads[0]);
    while (fgets(request, sizeof request, stdin)) {
        json_t *line = answer(&s, request);
        if (line) print_json(line);
    }
    session_close(&s);
    return 0;
}

/* ---- command line ------------------------------------------------------------------ */

static int usage(void)
{
    fprintf(stderr,
            "usage: bench_models [options]\n"
            "  --work LIST      of these, all by default:\n                  ");
    for (int i = 0; i < WORKS; i++) fprintf(stderr, " %s", works[i].name);
    fprintf(stderr, "\n"
                    "  --threads LIST   1,2\n"
                    "  --runs N         timed runs of each, after one that is not; 5\n"
                    "  --isa NAME       auto, generic, avx2, avx512\n"
                    "  --models DIR     where random checkpoints are, or will be written "
                    "(3.6 GB)\n"
                    "  --reader DIR     models/printed-line-ocr\n"
                    "  --command FILE   the ocelli that line-cold starts\n"
                    "  --line FILE      the picture that is read\n"
                    "  --serve          answer requests on stdin; bench/README.md\n");
    return 2;
}

static bool parse_threads(options *o, const char *text)
{
    for (o->thread_counts = 0; o->thread_counts < MAX_THREADS; text++) {
        char *end;
        long n = strtol(text, &end, 10);
        if (end == text || n < 1 || n > 1024) return false;
        o->threads[o->thread_counts++] = (int)n;
        text = end;
        if (*text != ',') return *text == '\0';
    }
    return false;
}

static bool parse_isa(options *o, const char *text)
{
    static const char *const names[] = { "auto", "generic", "avx2", "avx512" };
    for (int i = 0; i < 4; i++) {
        if (strcmp(names[i], text)) continue;
        o->isa = (oc_isa)i;
        return true;
    }
    return false;
}

static bool parse_runs(options *o, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    o->runs = (int)n;
    return end != text && *end == '\0' && n >= 1 && n <= MAX_RUNS;
}

static bool parse_works(options *o, const char *text)
{
    char name[64];
    int n;
    o->work = text;
    while (sscanf(text, "%63[^,]%n", name, &n) == 1) {
        if (!find_work(name)) return false;
        text += n;
        if (*text == '\0') return true;
        text++;
    }
    return false;
}

static bool parse(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool ok = value != NULL;
        if (!strcmp(name, "--serve")) {
            o->serve = true;
            continue;
        }
        i++;
        if (!strcmp(name, "--work")) ok = ok && parse_works(o, value);
        else if (!strcmp(name, "--threads")) ok = ok && parse_threads(o, value);
        else if (!strcmp(name, "--runs")) ok = ok && parse_runs(o, value);
        else if (!strcmp(name, "--isa")) ok = ok && parse_isa(o, value);
        else if (!strcmp(name, "--models")) o->models = value;
        else if (!strcmp(name, "--reader")) o->reader = value;
        else if (!strcmp(name, "--command")) o->command = value;
        else if (!strcmp(name, "--line")) o->lines[0] = value;
        else ok = false;
        if (!ok) return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static char folder[PATH_MAX], models[PATH_MAX + 16], command[PATH_MAX + 16];
    /* build/bench/bench_models: checkpoints beside it, the command above it. */
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    snprintf(models, sizeof models, "%s/models", folder);
    snprintf(command, sizeof command, "%s/../ocelli", folder);
    options o = {
        .models = models, .reader = "models/printed-line-ocr", .command = command,
        .lines = { "examples/lines/fox.png", "examples/lines/night.png",
                   "examples/lines/code.png", "examples/lines/receipt.jpg" },
        .threads = { 1, 2 }, .thread_counts = 2, .runs = 5,
    };
    if (!parse(&o, argc, argv)) return usage();
    return o.serve ? serve(&o) : measure_all(&o);
}
