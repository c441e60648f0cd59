/* What the tests of text share: folders of vocabularies, lines of goldens, a work folder.
 */
#ifndef TEXT_SUPPORT_H
#define TEXT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "ocelli.h"

/* A vocabulary of the shared set, or NULL where that set is not there. */
static inline const char *shared_vocab(const char *name)
{
    static char path[4096];
    const char *shared = getenv("OCELLI_SHARED");
    snprintf(path, sizeof path, "%s/vocabs/%s", shared ? shared : "../shared", name);
    char probe[4200];
    snprintf(probe, sizeof probe, "%s/tokenizer.json", path);
    FILE *file = fopen(probe, "rb");
    if (file) fclose(file);
    if (!file) print_message("%s is not there: skipped\n", path);
    return file ? path : NULL;
}

static inline oc_context *quiet_context(void)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1);
    oc_context *cx = oc_context_create(&o);
    assert_non_null(cx);
    return cx;
}

static inline void assert_fine(const oc_context *cx)
{
    if (oc_context_status(cx) != OC_OK) fail_msg("%s", oc_context_message(cx));
}

static inline oc_tokenizer *open_or_fail(oc_context *cx, const char *folder)
{
    oc_tokenizer *t = oc_tokenizer_open(cx, folder);
    assert_fine(cx);
    assert_non_null(t);
    return t;
}

/* Calls `use` for every line of a file of JSON lines; returns their number. */
static inline int each_line(const char *path, void (*use)(void *user, const json_t *line),
                            void *user)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s is missing", path);
    static char text[1 << 20];
    int count = 0;
    while (fgets(text, sizeof text, file)) {
        json_error_t error;
        json_t *line = json_loads(text, JSON_ALLOW_NUL, &error);
        if (!line) fail_msg("%s:%d: %s", path, count + 1, error.text);
        use(user, line);
        json_decref(line);
        count++;
    }
    fclose(file);
    return count;
}

static inline void write_text(const char *path, const void *text, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

#endif
