#include "text/split.h"

#include <string.h>

#include "text/loader.h"
#include "text/pattern.h"
#include "text/unicode.h"

/* What becomes of a match, in tokenizers' words. */
typedef enum split_behavior {
    REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS
} split_behavior;

typedef struct split {
    oci_pattern pattern;
    split_behavior behavior;
    bool invert;                /* what does not match is the match */
} split;

/* ---- cutting ----------------------------------------------------------------------- */

/* Matches and what lies between come in one after the other; a piece waits until it is
 * known that nothing joins it. */
typedef struct cutter {
    oci_work *work;
    const split *self;
    const oci_segment *segment;
    int next;
    bool waiting;
    size_t begin, end;          /* of the piece that waits */
    bool was_match;             /* of the part before, false at the start */
} cutter;

static bool release(cutter *c)
{
    if (!c->waiting) return true;
    c->waiting = false;
    oci_segment piece = oci_part(c->segment, c->begin, c->end);
    return oci_pre_tokenize(c->work, c->next, &piece);
}

/* Whether the part that comes now belongs to the piece that waits. */
static bool joins(const cutter *c, bool match)
{
    if (!c->waiting) return false;
    switch (c->self->behavior) {
    case REMOVED: case ISOLATED: return false;
    case MERGED_WITH_PREVIOUS: return match && !c->was_match;
    case MERGED_WITH_NEXT: return !match && c->was_match;
    case CONTIGUOUS: return match == c->was_match;
    }
    return false;
}

static bool take(cutter *c, size_t begin, size_t end, bool match)
{
    if (begin == end) return true;
    match ^= c->self->invert;
    if (joins(c, match)) {
        c->end = end;
    } else {
        if (!release(c)) return false;
        c->waiting = c->self->behavior != REMOVED || !match;
        c->begin = begin;
        c->end = end;
    }
    c->was_match = match;
    return true;
}

static bool run(oci_work *work, const void *self, const oci_segment *segment, int next)
{
    const split *s = self;
    cutter c = { .work = work, .self = s, .segment = segment, .next = next };
    size_t done = 0, begin, end;
    while (
        oci_pattern_find(&s->pattern, segment->text, segment->size, done, &begin, &end)) {
        if (!take(&c, done, begin, false) || !take(&c, begin, end, true)) return false;
        done = end;
    }
    return take(&c, done, segment->size, false) && release(&c);
}

/* White space goes, punctuation stands alone: what two splits would do, in one pass. */
static bool run_bert(oci_work *work, const void *self, const oci_segment *segment,
                     int next)
{
    size_t begin = 0;
    (void)self;
    for (size_t at = 0, length; at < segment->size; at += length) {
        unsigned classes;
        oci_unicode_next(segment->text + at, segment->size - at, &length, &classes);
        if (!(classes & (OCI_WHITE | OCI_PUNCTUATION))) continue;
        oci_segment word = oci_part(segment, begin, at);
        oci_segment mark = oci_part(segment, at, at + length);
        if (word.size && !oci_pre_tokenize(work, next, &word)) return false;
        if (classes & OCI_PUNCTUATION && !oci_pre_tokenize(work, next, &mark))
            return false;
        begin = at + length;
    }
    oci_segment word = oci_part(segment, begin, segment->size);
    return word.size == 0 || oci_pre_tokenize(work, next, &word);
}

/* ---- loading ----------------------------------------------------------------------- */

static split *make(oci_loader *in, oci_pattern_kind kind, unsigned classes,
                   split_behavior behavior, bool invert)
{
    split *s = oci_calloc(in->cx, 1, sizeof *s);
    if (!s) return NULL;
    s->pattern.kind = kind;
    s->pattern.classes = classes;
    s->behavior = behavior;
    s->invert = invert;
    return s;
}

static void *checked(oci_loader *in, split *s)
{
    if (s && !oci_failed(in->cx)) return s;
    oci_free(s);
    return NULL;
}

static split_behavior load_behavior(oci_loader *in, const json_t *object,
                                    const char *field)
{
    static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious",
                                         "MergedWithNext", "Contiguous" };
    const char *name = oci_json_text(in->cx, &in->json, object,
                                     oci_field(in, field, "behavior"), "Isolated");
    for (int i = 0; i < 5; i++)
        if (!strcmp(names[i], name)) return (split_behavior)i;
    oci_fail(in->cx, OC_E_MALFORMED,
             "%s: %s: expected Removed, Isolated, …, found \"%.50s\"", in->json.name,
             in->field, name);
    return ISOLATED;
}

static void *load_split(oci_loader *in, const json_t *object, const char *field)
{
    split *s = make(in, OCI_PATTERN_LITERAL, 0, ISOLATED, false);
    if (!s || !oci_pattern_load(in, object, field, &s->pattern)) return checked(in, s);
    s->behavior = load_behavior(in, object, field);
    s->invert =
        oci_json_bool(in->cx, &in->json, object, oci_field(in, field, "invert"), false);
    return checked(in, s);
}

/* Inverted: the pattern says what stays, and white space between goes. */
void *oci_split_clip(oci_loader *in)
{
    return make(in, OCI_PATTERN_CLIP, 0, REMOVED, true);
}

static void *load_digits(oci_loader *in, const json_t *object, const char *field)
{
    bool each = oci_json_bool(in->cx, &in->json, object,
                              oci_field(in, field, "individual_digits"), false);
    return checked(in, make(in, OCI_PATTERN_CLASS, OCI_NUMERIC,
                            each ? ISOLATED : CONTIGUOUS, false));
}

static void *load_punctuation(oci_loader *in, const json_t *object, const char *field)
{
    split_behavior b = load_behavior(in, object, field);
    return checked(in, make(in, OCI_PATTERN_CLASS, OCI_PUNCTUATION, b, false));
}

/* Inverted as well: what the pattern does not match is white space. */
static void *load_whitespace(oci_loader *in, const json_t *object, const char *field)
{
    (void)object;
    (void)field;
    return make(in, OCI_PATTERN_WORDS, 0, REMOVED, true);
}

static void *load_whitespace_split(oci_loader *in, const json_t *object,
                                   const char *field)
{
    (void)object;
    (void)field;
    return make(in, OCI_PATTERN_CLASS, OCI_WHITE, REMOVED, false);
}

const oci_pre_kind oci_split = { "Split", load_split, run };
const oci_pre_kind oci_digits = { "Digits", load_digits, run };
const oci_pre_kind oci_punctuation = { "Punctuation", load_punctuation, run };
const oci_pre_kind oci_whitespace = { "Whitespace", load_whitespace, run };
const oci_pre_kind oci_whitespace_split = { "WhitespaceSplit", load_whitespace_split,
                                            run };
const oci_pre_kind oci_bert_pre = { "BertPreTokenizer", load_whitespace_split, run_bert };
