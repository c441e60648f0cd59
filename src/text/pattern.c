#include "text/pattern.h"

#include <string.h>

#include "text/bytelevel.h"
#include "text/loader.h"
#include "text/unicode.h"

/* ---- scanners ---------------------------------------------------------------------- */

/* The end of the code points from `at` on of which all (`wanted`) or none has one of the
 * classes. */
static size_t run_end(const char *text, size_t size, size_t at, unsigned classes,
                      bool wanted)
{
    while (at < size) {
        size_t length;
        unsigned have;
        oci_unicode_next(text + at, size - at, &length, &have);
        if (((have & classes) != 0) != wanted) break;
        at += length;
    }
    return at;
}

static bool find_run(const char *text, size_t size, size_t from, unsigned classes,
                     size_t *begin, size_t *end)
{
    *begin = run_end(text, size, from, classes, false);
    *end = run_end(text, size, *begin, classes, true);
    return *begin < size;
}

static bool find_class(const char *text, size_t size, size_t from, unsigned classes,
                       size_t *begin, size_t *end)
{
    size_t length;
    unsigned have;
    *begin = run_end(text, size, from, classes, false);
    if (*begin == size) return false;
    oci_unicode_next(text + *begin, size - *begin, &length, &have);
    *end = *begin + length;
    return true;
}

/* A literal has at most OCI_MAX_LITERAL bytes, so that comparing at each place stays
 * linear. */
static bool find_literal(const oci_pattern *p, const char *text, size_t size, size_t from,
                         size_t *begin, size_t *end)
{
    while (size - from >= p->size) {
        const char *hit = memchr(text + from, p->text[0], size - from - p->size + 1);
        if (!hit) return false;
        *begin = (size_t)(hit - text);
        *end = *begin + p->size;
        if (!memcmp(hit, p->text, p->size)) return true;
        from = *begin + 1;
    }
    return false;
}

/* Two or more; a single space is no match. */
static bool find_spaces(const char *text, size_t size, size_t from, size_t *begin,
                        size_t *end)
{
    for (; from < size; from = *end + 1) {
        const char *hit = memchr(text + from, ' ', size - from);
        if (!hit) return false;
        *begin = (size_t)(hit - text);
        *end = *begin + 1;
        while (*end < size && text[*end] == ' ') ++*end;
        if (*end - *begin >= 2) return true;
    }
    return false;
}

/* \w+ or what is neither \w nor white space. */
static bool find_words(const char *text, size_t size, size_t from, size_t *begin,
                       size_t *end)
{
    size_t length;
    unsigned have;
    *begin = run_end(text, size, from, OCI_WHITE, true);
    if (*begin == size) return false;
    oci_unicode_next(text + *begin, size - *begin, &length, &have);
    /* No code point is in both classes. */
    if (have & OCI_WORD) *end = run_end(text, size, *begin, OCI_WORD, true);
    else *end = run_end(text, size, *begin, OCI_WORD | OCI_WHITE, false);
    return true;
}

/* A contraction, letters, one number, or what is none of these and no white space. */
static bool find_clip(const char *text, size_t size, size_t from, size_t *begin,
                      size_t *end)
{
    size_t length;
    unsigned have;
    *begin = run_end(text, size, from, OCI_SPACE, true);
    if (*begin == size) return false;
    *end = *begin + oci_bytelevel_contraction(text + *begin, size - *begin);
    if (*end > *begin) return true;
    oci_unicode_next(text + *begin, size - *begin, &length, &have);
    if (have & OCI_LETTER) *end = run_end(text, size, *begin, OCI_LETTER, true);
    else if (have & OCI_NUMBER) *end = *begin + length;
    else *end = run_end(text, size, *begin, OCI_SPACE | OCI_LETTER | OCI_NUMBER, false);
    return true;
}

/* A bracket alone, any other mark with all of its kind that follow. */
static bool find_marks(const char *text, size_t size, size_t from, size_t *begin,
                       size_t *end)
{
    for (size_t at = from; at < size; at++) {
        bool bracket = text[at] && strchr("()[]{}", text[at]);
        if (!bracket && !(text[at] && strchr("!\"#$%&'*+,-./:;<=>?\\^_`|~", text[at])))
            continue;
        *begin = at;
        *end = at + 1;
        while (!bracket && *end < size && text[*end] == text[at]) ++*end;
        return true;
    }
    return false;
}

bool oci_pattern_find(const oci_pattern *p, const char *text, size_t size, size_t from,
                      size_t *begin, size_t *end)
{
    switch (p->kind) {
    case OCI_PATTERN_LITERAL: return find_literal(p, text, size, from, begin, end);
    case OCI_PATTERN_CLASS: return find_class(text, size, from, p->classes, begin, end);
    case OCI_PATTERN_SPACES: return find_spaces(text, size, from, begin, end);
    case OCI_PATTERN_BLANKS: return find_run(text, size, from, OCI_SPACE, begin, end);
    case OCI_PATTERN_WORDS: return find_words(text, size, from, begin, end);
    case OCI_PATTERN_CLIP: return find_clip(text, size, from, begin, end);
    case OCI_PATTERN_MARKS: return find_marks(text, size, from, begin, end);
    }
    return false;
}

/* ---- loading ----------------------------------------------------------------------- */

/* The expressions in the files of our families, each with a scanner of its own above. Any
 * other is refused: no regular expression of a file is ever run. */
static const struct {
    const char *text;
    oci_pattern_kind kind;
} expressions[] = {
    { " {2,}", OCI_PATTERN_SPACES },
    { "\\s+", OCI_PATTERN_BLANKS },
    { "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
      OCI_PATTERN_CLIP },
    { "[\\(\\)\\[\\]\\{\\}]|([!\"\\#\\$%\\&'\\*\\+,\\-\\./:;<=>\\?\\\\\\^_`\\|\\~])\\1*",
      OCI_PATTERN_MARKS },
    { "[\\(\\)\\[\\]\\{\\}]|([!\\\"\\#\\$%\\&'\\*\\+,\\-\\./"
      ":;<=>\\?\\\\\\^_`\\|\\~])\\1*",
      OCI_PATTERN_MARKS },
};

static bool set_literal(oci_loader *in, const char *text, oci_pattern *pattern)
{
    size_t size = strlen(text);
    if (size == 0 || size > OCI_MAX_LITERAL) {
        oci_fail(in->cx, OC_E_UNSUPPORTED, "%s: %s: expected 1 to %d bytes, found %zu",
                 in->json.name, in->field, OCI_MAX_LITERAL, size);
        return false;
    }
    pattern->kind = OCI_PATTERN_LITERAL;
    pattern->size = (uint32_t)size;
    memcpy(pattern->text, text, size);
    return true;
}

bool oci_pattern_load(oci_loader *in, const json_t *object, const char *field,
                      oci_pattern *pattern)
{
    oc_context *cx = in->cx;
    *pattern = (oci_pattern){ 0 };
    const json_t *choice = oci_json_object(cx, &in->json, object,
                                           oci_field(in, field, "pattern"));
    if (oci_failed(cx)) return false;
    const char *literal = oci_json_text(cx, &in->json, choice, "pattern.String", NULL);
    const char *regex = oci_json_text(cx, &in->json, choice, "pattern.Regex", NULL);
    if (oci_failed(cx)) return false;
    if (literal) return set_literal(in, literal, pattern);
    if (!regex) {
        oci_json_expected(cx, &in->json, in->field, "a String or a Regex", choice);
        return false;
    }
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        if (strcmp(expressions[i].text, regex)) continue;
        pattern->kind = expressions[i].kind;
        return true;
    }
    /* An expression without operators is the text that it says. */
    if (!strpbrk(regex, "\\^$.|?*+()[]{}")) return set_literal(in, regex, pattern);
    oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s: %.200s", in->json.name, in->field, regex);
    return false;
}
