/* A work folder whose tokenizer is wrong in one place, and what is expected of it: a
 * status, and words of the message. Folders are built from good ones, so that nothing
 * else is wrong.
 *
 *     int main(void)
 *     {
 *         sample = "a text";
 *         …
 *         return cmocka_run_group_tests(tests, make_folder, remove_folder);
 *     }
 */
#ifndef TEXT_BROKEN_H
#define TEXT_BROKEN_H

#include <unistd.h>

#include "text_support.h"

static char folder[256];
/* Encoded and decoded by every tokenizer that opens, and may be what goes wrong; NULL:
 * none. */
static const char *sample;

static inline void put(const char *name, const void *bytes, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (bytes) write_text(path, bytes, size);
    else unlink(path);
}

static inline void put_text(const char *name, const char *text)
{
    put(name, text, text ? strlen(text) : 0);
}

static inline void clear_folder(void)
{
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "config.json", "vocab.json", "merges.txt", "vocab.txt",
        "tokenizer.model", "sentencepiece.bpe.model"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) put_text(names[i], NULL);
}

static inline int make_folder(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ocelli-broken-XXXXXX",
             temporary ? temporary : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    clear_folder();
    return rmdir(folder);
}

static inline void try_text(oc_context *cx, const oc_tokenizer *t, const char *text)
{
    oc_encoding *e = oc_encode(cx, t, text, strlen(text), NULL, 0, NULL);
    oc_string_free(oc_decode(cx, t, oc_encoding_ids(e), oc_encoding_count(e), false,
                             OC_CLEAN_UP_NO, NULL));
    oc_encoding_free(e);
}

/* Opens the folder and tries the sample: the status must be `want`, and the message hold
 * `words`. Nothing may be left of it. */
static inline void expect(oc_status want, const char *words, const char *what)
{
    oc_context *cx = quiet_context();
    oc_tokenizer *t = oc_tokenizer_open(cx, folder);
    if ((oc_context_status(cx) == OC_OK) != (t != NULL)) fail_msg("%s: half open", what);
    if (sample) try_text(cx, t, sample);
    oc_status have = oc_context_status(cx);
    const char *message = oc_context_message(cx);
    if (have != want)
        fail_msg("%s: %s, not %s: %s", what, oc_status_name(have), oc_status_name(want),
                 message);
    if (words && !strstr(message, words))
        fail_msg("%s: no \"%s\" in \"%s\"", what, words, message);
    oc_tokenizer_close(t);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    oc_context_free(cx);
}

/* ---- a tokenizer.json with one part changed ---------------------------------------- */

/* A list of these ends with a NULL key. */
typedef struct part {
    const char *key, *value;
} part;

typedef struct broken {
    const char *key, *value;        /* of the part that is changed; NULL: none */
    oc_status status;
    const char *words;
} broken;

/* `template` with every "@key@" replaced by `value` if it is `changed`, else by the good
 * one. */
static inline void put_json(const char *template, const part *good, const char *changed,
                            const char *value)
{
    static char text[1 << 16];
    size_t n = 0;
    for (const char *p = template; *p;) {
        if (*p != '@') {
            text[n++] = *p++;
            continue;
        }
        const char *end = strchr(p + 1, '@'), *with = NULL;
        for (const part *g = good; g->key; g++)
            if (!strncmp(g->key, p + 1, (size_t)(end - p - 1)) && !g->key[end - p - 1])
                with = changed && !strcmp(changed, g->key) ? value : g->value;
        assert_non_null(with);
        memcpy(text + n, with, strlen(with));
        n += strlen(with);
        p = end + 1;
    }
    text[n] = '\0';
    put_text("tokenizer.json", text);
}

static inline void check_json(const char *template, const part *good, const broken *cases,
                              size_t count)
{
    clear_folder();
    for (size_t i = 0; i < count; i++) {
        put_json(template, good, cases[i].key, cases[i].value);
        expect(cases[i].status, cases[i].words, cases[i].key ? cases[i].value : "good");
    }
}

/* ---- damage and limits ------------------------------------------------------------- */

/* The good file `path` as `name`, cut anywhere and its bytes changed one by one: any
 * status, no harm. */
static inline void check_damaged(const char *path, const char *name, const char *config)
{
    static char good[1 << 16];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(good, 1, sizeof good, file);
    fclose(file);
    assert_true(size > 1000 && size < sizeof good);
    clear_folder();
    put_text("tokenizer_config.json", config);
    uint64_t seed = 7;
    for (int i = 0; i < 400; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(seed >> 33) % size;
        char old = good[at];
        good[at] = (char)(seed >> 20);
        put(name, good, i % 4 ? size : at);
        good[at] = old;
        oc_context *cx = quiet_context();
        oc_tokenizer *t = oc_tokenizer_open(cx, folder);
        try_text(cx, t, "a \xef\xbc\xa1 b\xcc\x81");
        oc_tokenizer_close(t);
        assert_int_equal(oc_context_memory(cx).live_count, 0);
        oc_context_free(cx);
    }
}

/* A folder that a lower limit keeps from opening. */
typedef struct lowered {
    const char *folder, *name;
    uint64_t value;
} lowered;

static inline void check_limits(const lowered *limits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const lowered *l = &limits[i];
        oc_context *cx = quiet_context();
        oc_context_limit(cx, l->name, l->value);
        assert_null(oc_tokenizer_open(cx, l->folder));
        if (oc_context_status(cx) != OC_E_LIMIT)
            fail_msg("%s, %s: %s", l->folder, l->name, oc_context_message(cx));
        oc_context_free(cx);
    }
}

#endif
