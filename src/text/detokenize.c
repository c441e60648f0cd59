/* Ids to text, as they come or all at once. Each id becomes bytes (the decoder), bytes
 * become UTF-8 with U+FFFD for what is broken, CLIP's ends of words become spaces of
 * which none is first or last, and clean-up takes spaces away. Every step holds back only
 * what a later id could still change, so the pieces joined are what oc_decode gives. */
#include <string.h>

#include "base/utf8.h"
#include "text/bpe.h"
#include "text/pipeline.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

/* Transformers' clean_up_tokenization: these, one after the other over the whole text.
 * Each begins with its only space, or (" ' ") with one of two; no proper part of a
 * pattern that is longer than nothing ends a part of it, so a mismatch falls back to the
 * pattern's start. */
static const struct {
    const char *from, *to;
} cleanings[] = { { " .", "." },     { " ?", "?" },     { " !", "!" },    { " ,", "," },
                  { " ' ", "'" },    { " n't", "n't" }, { " 'm", "'m" },  { " 's", "'s" },
                  { " 've", "'ve" }, { " 're", "'re" } };

enum { CLEANINGS = sizeof cleanings / sizeof *cleanings };

struct oci_detokenizer {
    const oc_tokenizer *t;
    bool skip_special, clean_up;
    oci_decoding decoding;
    unsigned char held[CLEANINGS];  /* bytes of its pattern that each cleaning has seen */
    int holding;                    /* cleanings with held > 0 */
    unsigned char end_held;         /* bytes of a word's end that were seen */
    bool inside;                    /* some text that is not white came before */
    oci_bytes blanks;               /* white space that may be the last */
    oci_bytes raw;                  /* bytes that are not yet certain to be UTF-8 */
    oci_bytes out;                  /* certain text of the last push */
};

/* ---- clean-up ---------------------------------------------------------------------- */

static oc_status clean_byte(oc_context *cx, oci_detokenizer *s, int stage, char c);

static oc_status clean_text(oc_context *cx, oci_detokenizer *s, int stage,
                            const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) clean_byte(cx, s, stage, text[i]);
    return cx->status;
}

static void hold(oci_detokenizer *s, int stage, unsigned char count)
{
    s->holding += (count > 0) - (s->held[stage] > 0);
    s->held[stage] = count;
}

/* One byte into a cleaning; what it lets go of goes into the next. Depth is the number of
 * cleanings. */
static oc_status clean_byte(oc_context *cx, oci_detokenizer *s, int stage, char c)
{
    while (stage < CLEANINGS && s->held[stage] == 0 && c != ' ') stage++;
    if (stage == CLEANINGS) return oci_bytes_append(cx, &s->out, &c, 1);
    const char *from = cleanings[stage].from;
    unsigned char held = s->held[stage];
    if (c == from[held]) {
        hold(s, stage, held + 1);
        if (from[held + 1]) return cx->status;
        hold(s, stage, 0);
        const char *to = cleanings[stage].to;
        return clean_text(cx, s, stage + 1, to, strlen(to));
    }
    if (held == 0) return clean_byte(cx, s, stage + 1, c);
    hold(s, stage, 0);
    clean_text(cx, s, stage + 1, from, held);
    return clean_byte(cx, s, stage, c);
}

/* To the caller, through the cleanings if they are on. */
static oc_status put_cleaned(oc_context *cx, oci_detokenizer *s, const char *text,
                             size_t n)
{
    if (!s->clean_up) return oci_bytes_append(cx, &s->out, text, n);
    while (n > 0 && !oci_failed(cx)) {
        const char *space = s->holding ? text : memchr(text, ' ', n);
        size_t plain = space ? (size_t)(space - text) : n;
        if (plain) oci_bytes_append(cx, &s->out, text, plain);
        text += plain;
        n -= plain;
        if (n == 0) break;
        clean_byte(cx, s, 0, *text++);
        n--;
    }
    return cx->status;
}

/* ---- ends of words ----------------------------------------------------------------- */

/* What str.strip() takes away: white space, and four controls. */
static bool is_blank(const char *text, size_t n)
{
    size_t length;
    unsigned classes;
    if (n == 1 && *text >= 0x1c && *text <= 0x1f) return true;
    oci_unicode_next(text, n, &length, &classes);
    return classes & OCI_WHITE;
}

/* Code points, all of them white or none. White ones wait for others to follow. */
static void put_stripped(oc_context *cx, oci_detokenizer *s, const char *text, size_t n,
                         bool white)
{
    if (white) {
        if (s->inside) oci_bytes_append(cx, &s->blanks, text, n);
        return;
    }
    s->inside = true;
    if (s->blanks.size) put_cleaned(cx, s, s->blanks.data, s->blanks.size);
    s->blanks.size = 0;
    put_cleaned(cx, s, text, n);
}

/* The part of a word's end that turned out not to be one. */
static void release_end(oc_context *cx, oci_detokenizer *s)
{
    if (s->end_held) put_stripped(cx, s, OCI_WORD_END, s->end_held, false);
    s->end_held = 0;
}

/* Its first character comes in it once, so what does not go on may only begin anew. */
static void put_code(oc_context *cx, oci_detokenizer *s, const char *text, size_t n)
{
    if (*text != OCI_WORD_END[s->end_held]) release_end(cx, s);
    if (*text != OCI_WORD_END[s->end_held]) {
        put_stripped(cx, s, text, n, is_blank(text, n));
    } else if (++s->end_held == sizeof OCI_WORD_END - 1) {
        s->end_held = 0;
        put_stripped(cx, s, " ", 1, true);
    }
}

/* Certain text. */
static oc_status put(oc_context *cx, oci_detokenizer *s, const char *text, size_t n)
{
    if (!s->t->word_ends) return put_cleaned(cx, s, text, n);
    for (size_t at = 0, length; at < n && !oci_failed(cx); at += length) {
        uint32_t code;
        length = (size_t)oci_utf8_decode(text + at, n - at, &code);
        put_code(cx, s, text + at, length);
    }
    return cx->status;
}

/* ---- UTF-8 ------------------------------------------------------------------------- */

/* Moves what is certain out of s->raw. `last`: nothing follows, so a cut code point is a
 * broken one. */
static oc_status settle(oc_context *cx, oci_detokenizer *s, bool last)
{
    const char *p = s->raw.data;
    size_t n = s->raw.size, at = 0, good = 0;
    while (at < n && !oci_failed(cx)) {
        uint32_t code;
        int k = oci_utf8_decode(p + at, n - at, &code);
        if (k) {
            at += (size_t)k;
            continue;
        }
        bool cut;
        size_t bad = oci_utf8_bad_length(p + at, n - at, &cut);
        if (at > good) put(cx, s, p + good, at - good);
        good = at;
        if (cut && !last) break;
        put(cx, s, "\xef\xbf\xbd", 3);
        good = at += bad;
    }
    if (at > good) put(cx, s, p + good, at - good);
    if (oci_failed(cx)) return cx->status;
    if (n > at) memmove(s->raw.data, p + at, n - at);
    s->raw.size = n - at;
    return cx->status;
}

/* ---- ids --------------------------------------------------------------------------- */

static void init(oci_detokenizer *s, const oc_tokenizer *t, bool skip_special,
                 oc_clean_up clean_up)
{
    *s = (oci_detokenizer){ .t = t, .skip_special = skip_special };
    s->clean_up = clean_up == OC_CLEAN_UP_DEFAULT ? t->clean_up
                                                  : clean_up == OC_CLEAN_UP_YES;
    oci_bytes_init(&s->decoding.run, SIZE_MAX / 4);
    oci_bytes_init(&s->decoding.token, SIZE_MAX / 4);
    oci_bytes_init(&s->blanks, SIZE_MAX / 4);
    oci_bytes_init(&s->raw, SIZE_MAX / 4);
    oci_bytes_init(&s->out, SIZE_MAX / 4);
}

static void deinit(oci_detokenizer *s)
{
    oci_bytes_deinit(&s->decoding.run);
    oci_bytes_deinit(&s->decoding.token);
    oci_bytes_deinit(&s->blanks);
    oci_bytes_deinit(&s->raw);
    oci_bytes_deinit(&s->out);
}

static oc_status push(oc_context *cx, oci_detokenizer *s, int64_t id)
{
    const oc_tokenizer *t = s->t;
    size_t size;
    const char *token = oci_vocab_get(&t->vocab, id, &size);
    if (!token || (s->skip_special && oci_added_is_special(&t->added, id)))
        return cx->status;
    if (t->decoder) {
        t->decoder->token(cx, t->decoder_self, token, size, &s->decoding, &s->raw);
    } else {                    /* without a decoder tokens are words */
        if (s->decoding.begun) oci_bytes_append(cx, &s->raw, " ", 1);
        oci_bytes_append(cx, &s->raw, token, size);
    }
    s->decoding.begun = true;
    return cx->status;
}

static oc_status end(oc_context *cx, oci_detokenizer *s)
{
    const oc_tokenizer *t = s->t;
    if (t->decoder && t->decoder->end)
        t->decoder->end(cx, t->decoder_self, &s->decoding, &s->raw);
    settle(cx, s, true);
    release_end(cx, s);             /* and what is still in s->blanks ends the text */
    /* The first cleaning's held bytes run through the later ones before those end. */
    for (int i = 0; i < CLEANINGS; i++) {
        unsigned char held = s->held[i];
        hold(s, i, 0);
        clean_text(cx, s, i + 1, cleanings[i].from, held);
    }
    return cx->status;
}

/* ---- calls ------------------------------------------------------------------------- */

char *oc_decode(oc_context *cx, const oc_tokenizer *tokenizer, const int64_t *ids,
                size_t count, bool skip_special_tokens, oc_clean_up clean_up,
                size_t *size)
{
    if (size) *size = 0;
    if (!oci_given(cx, tokenizer, __func__, "a tokenizer") ||
        (count && !oci_given(cx, ids, __func__, "ids")))
        return NULL;
    oci_detokenizer s;
    init(&s, tokenizer, skip_special_tokens, clean_up);
    for (size_t i = 0; i < count && !oci_failed(cx); i++) push(cx, &s, ids[i]);
    end(cx, &s);
    size_t bytes = s.out.size;
    char *text = oci_bytes_take(cx, &s.out);
    deinit(&s);
    if (text && size) *size = bytes;
    return text;
}

void oc_string_free(char *string) { oci_free(string); }

oci_detokenizer *oci_detokenizer_create(oc_context *cx, const oc_tokenizer *t,
                                        bool skip_special_tokens, oc_clean_up clean_up)
{
    if (!t) return NULL;
    oci_detokenizer *s = oci_alloc(cx, sizeof *s);
    if (s) init(s, t, skip_special_tokens, clean_up);
    return s;
}

void oci_detokenizer_free(oci_detokenizer *s)
{
    if (!s) return;
    deinit(s);
    oci_free(s);
}

static const char *given(oc_context *cx, oci_detokenizer *s, int64_t id, bool last,
                         size_t *size)
{
    if (size) *size = 0;
    if (!s || oci_failed(cx)) return "";
    s->out.size = 0;
    if (s->out.data) s->out.data[0] = '\0';
    if (push(cx, s, id) == OC_OK && last) end(cx, s);
    else settle(cx, s, false);
    if (oci_failed(cx) || !s->out.data) return "";
    if (size) *size = s->out.size;
    return s->out.data;
}

const char *oci_detokenizer_push(oc_context *cx, oci_detokenizer *s, int64_t id,
                                 size_t *size)
{
    return given(cx, s, id, false, size);
}

const char *oci_detokenizer_push_last(oc_context *cx, oci_detokenizer *s, int64_t id,
                                      size_t *size)
{
    return given(cx, s, id, true, size);
}
