/* jansson checks the grammar, UTF-8 and duplicate keys. What it does not bound is bounded
 * here before it is called: the text's size, the depth of its recursion (its own limit is
 * 2048), the length of numbers, and the memory that it will take. All of that is one pass
 * over the text without recursion.
 *
 * jansson's allocator can be replaced for the whole process only, which is not a
 * library's to do; so its memory is charged to the heap by an estimate from above instead
 * of being counted block by block. */
#include "io/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/limits.h"
#include "base/size.h"
#include "io/file.h"
#include "io/quote.h"

enum {
    /* Far more than any writer emits; keeps strtod's work per byte constant. */
    MAX_NUMBER = 512,
    /* The most that jansson 2.14 takes on a 64-bit machine for an empty container with
     * its first table, for a scalar or a key with its slot or hash node, and for the slot
     * of a shared value (true, false, null); the bytes of texts come on top. Measured:
     * 1.2 to 3.4 times of what it then holds. */
    CONTAINER_BYTES = 288, SCALAR_BYTES = 144, SLOT_BYTES = 32
};

/* The largest integer that jansson keeps as one: 2^63 - 1. */
static const char largest[] = "9223372036854775807";

/* What a look at the text tells before jansson sees it. */
typedef struct scan {
    size_t at;          /* bytes done; where it failed */
    uint64_t bytes;     /* at least what jansson will take */
    size_t depth;
    size_t large;       /* integers beyond 64 bits */
} scan;

/* ---- before the parser ------------------------------------------------------------- */

/* Past the closing quote, or the end if there is none (jansson will complain). */
static size_t skip_string(const char *text, size_t size, size_t at)
{
    for (at++; at < size && text[at] != '"'; at++)
        if (text[at] == '\\') at++;
    return at < size ? at + 1 : size;
}

/* Not isdigit: that one depends on the locale and is undefined for negative chars. */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Past whatever looks like a number. *large: an integer whose size is over `largest`. */
static size_t skip_number(const char *text, size_t size, size_t at, bool *large)
{
    const size_t most = sizeof largest - 1;
    size_t first = at + (text[at] == '-'), end = first;
    while (end < size && is_digit(text[end])) end++;
    size_t digits = end - first;
    bool integer = true;
    for (; end < size; end++, integer = false) {
        char c = text[end];
        if (!is_digit(c) && c != '.' && c != 'e' && c != 'E' && c != '-' && c != '+')
            break;
    }
    *large = integer && (digits > most ||
                         (digits == most && memcmp(text + first, largest, most) > 0));
    return end;
}

/* One pass without recursion over depth, numbers, and what the values will
 * cost. Says nothing about grammar, which is jansson's part. False at the
 * first thing over a limit. */
static bool look(scan *s, const char *text, size_t size, uint64_t max_depth)
{
    while (s->at < size) {
        char c = text[s->at];
        size_t start = s->at;
        if (c == '"') {
            s->at = skip_string(text, size, s->at);
            s->bytes += SCALAR_BYTES + (s->at - start);
            continue;
        }
        if (c == '-' || is_digit(c)) {
            bool large;
            size_t end = skip_number(text, size, start, &large);
            if (end - start > MAX_NUMBER) return false;
            s->large += large;
            s->bytes += SCALAR_BYTES;
            s->at = end;
            continue;
        }
        if (c == '[' || c == '{') {
            s->bytes += CONTAINER_BYTES;
            if (++s->depth > max_depth) return false;
        } else if ((c == ']' || c == '}') && s->depth > 0) {
            s->depth--;
        } else if (c == 't' || c == 'f' || c == 'n') {
            s->bytes += SLOT_BYTES;
        }
        s->at++;
    }
    return true;
}

/* A copy in which integers beyond 64 bits, which jansson refuses, are reals: "e0" is
 * added to each. *size is the text's, then the copy's. */
static char *soften_large(oc_context *cx, const char *text, size_t *size, size_t large)
{
    size_t whole, at = 0, to = 0, end;
    if (!oci_mul(large, 2, &whole) || !oci_add(whole, *size, &whole)) {
        oci_fail(cx, OC_E_MEMORY, "%zu numbers in a text of %zu bytes", large, *size);
        return NULL;
    }
    char *copy = oci_alloc(cx, whole);
    if (!copy) return NULL;
    for (; at < *size; at = end) {
        bool is_large = false;
        if (text[at] == '"') end = skip_string(text, *size, at);
        else if (text[at] == '-' || is_digit(text[at]))
            end = skip_number(text, *size, at, &is_large);
        else end = at + 1;
        memcpy(copy + to, text + at, end - at);
        to += end - at;
        if (is_large) {
            copy[to++] = 'e';
            copy[to++] = '0';
        }
    }
    *size = to;
    return copy;
}

/* ---- parsing ----------------------------------------------------------------------- */

/* "NAME: line L, column C: ", counted in bytes, from a place in the text. */
static oc_status fail_at(oc_context *cx, oc_status status, const char *name,
                         const char *text, size_t at, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column++;
        if (text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return oci_fail(cx, status, "%s: line %zu, column %zu: %s", name, line, column, what);
}

/* All limits of a text; `s` gets what the parser needs to know about it. */
static bool check_bounds(oc_context *cx, const char *name, const char *text, size_t size,
                         scan *s)
{
    char what[80];
    if (size > cx->limits.json_bytes) {
        oci_fail(cx, OC_E_LIMIT,
                 "%s: expected at most %" PRIu64 " bytes of JSON, found %zu", name,
                 cx->limits.json_bytes, size);
        return false;
    }
    if (look(s, text, size, cx->limits.json_depth)) return true;
    if (s->depth > cx->limits.json_depth) {
        snprintf(what, sizeof what, "nested deeper than %" PRIu64, cx->limits.json_depth);
        fail_at(cx, OC_E_LIMIT, name, text, s->at, what);
    } else {
        fail_at(cx, OC_E_MALFORMED, name, text, s->at, "a number of too many digits");
    }
    return false;
}

/* jansson's message goes out with its place; it may quote the text, hence oci_quote. */
static json_t *load(oc_context *cx, const char *name, const char *text, size_t size)
{
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                              &error);
    if (root) return root;
    oci_quoted why;
    if (json_error_code(&error) == json_error_out_of_memory)
        oci_fail(cx, OC_E_MEMORY, "%s: out of memory while reading JSON", name);
    else
        oci_fail(cx, OC_E_MALFORMED, "%s: line %d, column %d: %s", name, error.line,
                 error.column, oci_quote(&why, error.text));
    return NULL;
}

/* Charges what jansson will take, so that a budget and the fault hook cover it too. */
static bool charge(oc_context *cx, oci_json *doc, uint64_t bytes)
{
    void *probe = oci_alloc(cx, 1);         /* the fault hook's question */
    oci_free(probe);
    if (!probe || !oci_heap_charge(cx, bytes)) return false;
    doc->heap = oci_heap_ref(cx->heap);
    doc->charged = bytes;
    return true;
}

bool oci_json_parse(oc_context *cx, oci_json *doc, const char *name, const char *text,
                    size_t size)
{
    *doc = (oci_json){ 0 };
    if (oci_failed(cx)) return false;
    scan s = { 0 };
    if (!check_bounds(cx, name, text, size, &s)) return false;
    char *softened = NULL;
    doc->name = oci_strdup(cx, name);
    if (doc->name && s.large > 0) softened = soften_large(cx, text, &size, s.large);
    if (!oci_failed(cx) && charge(cx, doc, s.bytes))
        doc->root = load(cx, name, softened ? softened : text, size);
    oci_free(softened);
    if (!doc->root) oci_json_close(doc);
    return doc->root != NULL;
}

/* By name, because this layer knows no configs: config.json, generation_config.json,
 * preprocessor_config.json and tokenizer_config.json are all small. */
static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && !strcmp(text + n - k, end);
}

bool oci_json_open(oc_context *cx, oci_json *doc, const char *path)
{
    *doc = (oci_json){ 0 };
    uint64_t max = ends_with(path, "config.json") ? cx->limits.config_bytes
                                                  : cx->limits.json_bytes;
    oci_buffer *text = oci_file_read(cx, path, max);
    if (!text) return false;
    bool ok = oci_json_parse(cx, doc, path, (const char *)text->data, text->size);
    oci_buffer_unref(&text);
    return ok;
}

void oci_json_close(oci_json *doc)
{
    json_decref(doc->root);
    oci_free(doc->name);
    if (doc->heap) oci_heap_discharge(doc->heap, doc->charged);
    oci_heap_unref(&doc->heap);
    *doc = (oci_json){ 0 };
}

/* ---- getters ----------------------------------------------------------------------- */

/* Numbers are shown as they are, texts cut short, and containers by their kind alone:
 * they may be as large as the document. */
oc_status oci_json_expected(oc_context *cx, const oci_json *doc, const char *field,
                            const char *what, const json_t *found)
{
    char text[sizeof(oci_quoted) + 2] = "nothing";
    oci_quoted name, value;
    switch (found ? json_typeof(found) : JSON_NULL) {
    case JSON_OBJECT: snprintf(text, sizeof text, "an object"); break;
    case JSON_ARRAY:
        snprintf(text, sizeof text, "an array of %zu", json_array_size(found));
        break;
    case JSON_STRING:
        snprintf(text, sizeof text, "\"%s\"",
                 oci_quote(&value, json_string_value(found)));
        break;
    case JSON_INTEGER:
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(found));
        break;
    case JSON_REAL: snprintf(text, sizeof text, "%.17g", json_real_value(found)); break;
    case JSON_TRUE: snprintf(text, sizeof text, "true"); break;
    case JSON_FALSE: snprintf(text, sizeof text, "false"); break;
    case JSON_NULL:
        if (found) snprintf(text, sizeof text, "null");
        break;
    }
    return oci_fail(cx, OC_E_MALFORMED, "%s: %s: expected %s, found %s", doc->name,
                    oci_quote(&name, field), what, text);
}

/* The member that the last part of `field` names; NULL when absent or null. */
static json_t *member(const oc_context *cx, const json_t *object, const char *field)
{
    if (oci_failed(cx)) return NULL;
    const char *dot = strrchr(field, '.');
    json_t *value = json_object_get(object, dot ? dot + 1 : field);
    return json_is_null(value) ? NULL : value;
}

/* The getters share one form: absent gives the fallback, even one outside the range,
 * since it is the caller's own; present must have the type and lie in the range. Booleans
 * are no numbers here, as they are in Python. */
int64_t oci_json_int(oc_context *cx, const oci_json *doc, const json_t *object,
                     const char *field, int64_t fallback, int64_t low, int64_t high)
{
    char what[96];
    const json_t *value = member(cx, object, field);
    if (!value) return fallback;
    if (json_is_integer(value) && json_integer_value(value) >= low &&
        json_integer_value(value) <= high)
        return json_integer_value(value);
    snprintf(what, sizeof what, "an integer in %" PRId64 "..%" PRId64, low, high);
    oci_json_expected(cx, doc, field, what, value);
    return fallback;
}

double oci_json_real(oc_context *cx, const oci_json *doc, const json_t *object,
                     const char *field, double fallback, double low, double high)
{
    char what[96];
    const json_t *value = member(cx, object, field);
    if (!value) return fallback;
    if (json_is_number(value) && json_number_value(value) >= low &&
        json_number_value(value) <= high)
        return json_number_value(value);
    snprintf(what, sizeof what, "a number in %g..%g", low, high);
    oci_json_expected(cx, doc, field, what, value);
    return fallback;
}

bool oci_json_bool(oc_context *cx, const oci_json *doc, const json_t *object,
                   const char *field, bool fallback)
{
    const json_t *value = member(cx, object, field);
    if (!value) return fallback;
    if (json_is_boolean(value)) return json_is_true(value);
    oci_json_expected(cx, doc, field, "true or false", value);
    return fallback;
}

const char *oci_json_text(oc_context *cx, const oci_json *doc, const json_t *object,
                          const char *field, const char *fallback)
{
    const json_t *value = member(cx, object, field);
    if (!value) return fallback;
    const char *text = json_string_value(value);
    if (text && strlen(text) == json_string_length(value)) return text;
    oci_json_expected(cx, doc, field, text ? "a text without U+0000" : "a text", value);
    return fallback;
}

json_t *oci_json_object(oc_context *cx, const oci_json *doc, const json_t *object,
                        const char *field)
{
    json_t *value = member(cx, object, field);
    if (!value || json_is_object(value)) return value;
    oci_json_expected(cx, doc, field, "an object", value);
    return NULL;
}

json_t *oci_json_array(oc_context *cx, const oci_json *doc, const json_t *object,
                       const char *field)
{
    json_t *value = member(cx, object, field);
    if (!value || json_is_array(value)) return value;
    oci_json_expected(cx, doc, field, "an array", value);
    return NULL;
}

/* jansson's text, copied to our heap and given back to its own. */
static char *dump(oc_context *cx, const json_t *value, size_t flags)
{
    if (oci_failed(cx)) return NULL;
    char *text = json_dumps(value, flags | JSON_ENCODE_ANY), *copy = NULL;
    if (text) copy = oci_strdup(cx, text);
    else oci_fail(cx, OC_E_MEMORY, "out of memory for the text of a JSON value");
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    if (text) release(text);
    return copy;
}

oc_status oci_json_save(oc_context *cx, const json_t *value, const char *path)
{
    char *text = dump(cx, value, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!text) return cx->status;
    oci_save *save = oci_save_begin(cx, path);
    oci_save_write(cx, save, text, strlen(text));
    oci_save_write(cx, save, "\n", 1);
    oci_save_end(cx, save, true);
    oci_free(text);
    return cx->status;
}

char *oci_json_text_of(oc_context *cx, const json_t *value)
{
    return dump(cx, value, JSON_COMPACT);
}
