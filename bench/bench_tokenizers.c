/* Tokenizers of real vocabularies, one thread, as a server beside peers_tokenizers.py
 * (README.md).
 *
 *     bench/mixed_text.py VOCABS FILE
 *     echo lines-gpt2 1 5 | bench_tokenizers --text FILE --vocabs VOCABS
 *
 * Requests: WORK WARM REPEAT (0: open it only), or dump WORK PATH. Works, V being a
 * folder in VOCABS:
 *     lines-V        every line of FILE, a call each
 *     documents-V    every document of FILE, a call each
 *     word-N-V       one word of N KB */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <jansson.h>

#include "ocelli.h"

enum { MAX_VOCABS = 16, NAME = 64, FOLDER = 4096, MAX_KB = 4096 };

typedef struct piece {          /* one text of a work; in the file or in a word */
    const char *text;
    size_t size;
} piece;

typedef struct work {
    const oc_tokenizer *tokenizer;
    piece *pieces;
    size_t count, bytes;
    char *word;                 /* what the one piece is of, or NULL */
} work;

typedef struct opened {
    char name[NAME];
    oc_tokenizer *tokenizer;
} opened;

typedef struct session {
    oc_context *cx;
    const char *vocabs;
    char *text;                 /* the file */
    size_t size;
    opened opened[MAX_VOCABS];  /* at their first request, until the end */
    int count;
    const char *message;        /* what went wrong outside the library, or NULL */
} session;

/* CLOCK_MONOTONIC, or CLOCK_PROCESS_CPUTIME_ID, which other programs do not lengthen. */
static double now_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static char *read_file(const char *path, size_t *size)
{
    FILE *in = fopen(path, "rb");
    long n = in && fseek(in, 0, SEEK_END) == 0 ? ftell(in) : -1;
    char *text = n >= 0 ? malloc((size_t)n + 1) : NULL;
    if (text) {
        rewind(in);
        *size = fread(text, 1, (size_t)n, in);
    }
    if (in) fclose(in);
    return text;
}

/* ---- works ------------------------------------------------------------------------- */

/* Borrowed. */
static const oc_tokenizer *tokenizer_of(session *s, const char *name)
{
    char folder[FOLDER];
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->opened[i].name, name)) return s->opened[i].tokenizer;
    if (s->count == MAX_VOCABS || strlen(name) >= NAME) {
        s->message = "too many vocabularies, or too long a name";
        return NULL;
    }
    opened *o = &s->opened[s->count];
    snprintf(o->name, sizeof o->name, "%s", name);
    snprintf(folder, sizeof folder, "%s/%s", s->vocabs, name);
    o->tokenizer = oc_tokenizer_open(s->cx, folder);
    s->count += o->tokenizer != NULL;
    return o->tokenizer;
}

/* What stands between separators, without empty pieces. Two passes: count, then keep. */
static void cut_file(const session *s, bool lines, work *w)
{
    for (int pass = 0; pass < 2; pass++) {
        size_t begin = 0;
        w->count = w->bytes = 0;
        for (size_t i = 0; i <= s->size; i++) {
            if (i < s->size && s->text[i] != '\0' && (!lines || s->text[i] != '\n'))
                continue;
            if (i > begin && w->pieces)
                w->pieces[w->count] = (piece){ s->text + begin, i - begin };
            w->count += i > begin;
            w->bytes += i - begin;
            begin = i + 1;
        }
        if (pass == 0) w->pieces = malloc((w->count + 1) * sizeof *w->pieces);
    }
}

/* Letters in no order, the same as serving.word makes. */
static void make_word(size_t size, work *w)
{
    w->word = malloc(size + 1);
    w->pieces = malloc(sizeof *w->pieces);
    for (size_t i = 0; w->word && i < size; i++)
        w->word[i] = (char)('a' + (uint32_t)i * 2654435761u / 256 % 26);
    if (w->pieces) w->pieces[0] = (piece){ w->word, size };
    w->count = 1;
    w->bytes = size;
}

static bool open_work(session *s, const char *name, work *w)
{
    char vocab[NAME], kind[NAME];
    size_t kb = 0;
    *w = (work){ 0 };
    if (sscanf(name, "word-%zu-%63s", &kb, vocab) == 2 && kb > 0 && kb <= MAX_KB) {
        make_word(kb << 10, w);
    } else if (sscanf(name, "%63[a-z]-%63s", kind, vocab) == 2 &&
               (!strcmp(kind, "lines") || !strcmp(kind, "documents"))) {
        cut_file(s, kind[0] == 'l', w);
    } else {
        s->message = "no such work";
        return false;
    }
    w->tokenizer = tokenizer_of(s, vocab);
    if (!w->pieces || (kb && !w->word)) s->message = "no memory for the texts";
    return w->tokenizer && !s->message;
}

static void close_work(work *w)
{
    free(w->pieces);
    free(w->word);
}

/* Returns how many tokens there were. */
static size_t encode_all(oc_context *cx, const work *w)
{
    size_t tokens = 0;
    for (size_t i = 0; i < w->count; i++) {
        oc_encoding *e = oc_encode(cx, w->tokenizer, w->pieces[i].text, w->pieces[i].size,
                                   NULL, 0, NULL);
        if (!e) break;
        tokens += oc_encoding_count(e);
        oc_encoding_free(e);
    }
    return tokens;
}

/* "ids" of all texts in a row, "offsets" [tokens, 2], and "counts",
 * the tokens of each text. */
static void dump(oc_context *cx, const work *w, const char *path)
{
    int64_t n = (int64_t)encode_all(cx, w), count = (int64_t)w->count, at = 0;
    int64_t *ids = malloc((size_t)(n + 1) * 3 * sizeof *ids), *offsets = ids + n;
    int64_t *counts = malloc((size_t)(count + 1) * sizeof *counts);
    for (int64_t i = 0; ids && counts && i < count; i++) {
        oc_encoding *e = oc_encode(cx, w->tokenizer, w->pieces[i].text, w->pieces[i].size,
                                   NULL, 0, NULL);
        if (!e) break;
        counts[i] = (int64_t)oc_encoding_count(e);
        memcpy(ids + at, oc_encoding_ids(e), (size_t)counts[i] * sizeof *ids);
        memcpy(offsets + 2 * at, oc_encoding_offsets(e),
               (size_t)counts[i] * 2 * sizeof *ids);
        at += counts[i];
        oc_encoding_free(e);
    }
    oc_tensors *set = oc_tensors_create(cx);
    if (ids && counts) {
        oc_tensors_add(cx, set, "ids", OC_I64, 1, &n, ids);
        oc_tensors_add(cx, set, "offsets", OC_I64, 2, (int64_t[]){ n, 2 }, offsets);
        oc_tensors_add(cx, set, "counts", OC_I64, 1, &count, counts);
        oc_tensors_save(cx, set, path);
    }
    oc_tensors_free(set);
    free(ids);
    free(counts);
}

/* ---- the server -------------------------------------------------------------------- */

static json_t *time_work(session *s, const work *w, const char *name, int warm,
                         int repeat)
{
    struct rusage usage;
    json_t *ms = json_array(), *cpu_ms = json_array();
    size_t tokens = 0;
    for (int i = 0; i < warm; i++) encode_all(s->cx, w);
    for (int i = 0; i < repeat; i++) {
        double start = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
        tokens = encode_all(s->cx, w);
        json_array_append_new(ms, json_real(now_ms(CLOCK_MONOTONIC) - start));
        json_array_append_new(cpu_ms, json_real(now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu));
    }
    getrusage(RUSAGE_SELF, &usage);
    return json_pack("{s:s, s:o, s:o, s:f, s:I, s:f}", "work", name, "ms", ms, "cpu_ms",
                     cpu_ms, "mb", 1e-6 * (double)w->bytes, "tokens", (json_int_t)tokens,
                     "rss_mb", (double)usage.ru_maxrss / 1024);
}

static json_t *answer(session *s, const char *request)
{
    char name[2 * NAME], path[FOLDER];
    int warm = 0, repeat = 1;
    bool dumps = sscanf(request, "dump %127s %4095[^\n]", name, path) == 2;
    if (!dumps && sscanf(request, "%127s %d %d", name, &warm, &repeat) < 1) return NULL;
    work w;
    json_t *line = NULL;
    if (open_work(s, name, &w)) {
        if (dumps) dump(s->cx, &w, path);
        line = dumps ? json_pack("{s:s}", "dumped", name)
                     : time_work(s, &w, name, warm, repeat);
    }
    close_work(&w);
    if (s->message || oc_context_status(s->cx) != OC_OK) {
        json_decref(line);
        line = json_pack("{s:s, s:s}", "work", name, "error",
                         s->message ? s->message : oc_context_message(s->cx));
        s->message = NULL;
        oc_context_clear(s->cx);
    }
    return line;
}

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_REAL_PRECISION(7));
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    session s = { 0 };
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--text")) path = argv[i + 1];
        if (!strcmp(argv[i], "--vocabs")) s.vocabs = argv[i + 1];
    }
    if (!path || !s.vocabs) {
        fprintf(stderr, "usage: bench_tokenizers --text FILE --vocabs FOLDER\n");
        return 2;
    }
    s.text = read_file(path, &s.size);
    if (!s.text) {
        perror(path);
        return 1;
    }
    s.cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
    print_json(json_pack("{s:s, s:s, s:i}", "who", "ocelli-tokenizers", "version",
                         oc_version(), "threads", 1));
    char request[FOLDER + 256];
    while (fgets(request, sizeof request, stdin)) {
        json_t *line = answer(&s, request);
        if (line) print_json(line);
    }
    for (int i = 0; i < s.count; i++) oc_tokenizer_close(s.opened[i].tokenizer);
    oc_context_free(s.cx);
    free(s.text);
    return 0;
}
