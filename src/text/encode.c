/* oc_encode: the pipeline for one or two texts, then truncation, template and padding. */
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/encoding.h"
#include "text/pipeline.h"
#include "text/unicode.h"

/* Tokens [begin, end) of a text; `later`: not the first piece that truncation made. */
typedef struct range {
    size_t begin, end;
    bool later;
} range;

/* How a text is cut into pieces of at most `most` tokens, `stride` of them shared. */
typedef struct cut {
    size_t count;               /* tokens in all */
    size_t most, stride;
    bool left;                  /* the first piece is the end of the text */
    size_t pieces;
} cut;

/* One call of oc_encode. */
typedef struct job {
    oc_context *cx;
    const oc_tokenizer *t;
    oc_encode_options o;
    int64_t pad_id;
    bool pad_left, truncate_left;
    oci_work works[2];
    int texts;
    const oci_template *template;
} job;

/* ---- options ----------------------------------------------------------------------- */

static bool pick_side(oc_side side, bool left)
{
    return side == OC_SIDE_DEFAULT ? left : side == OC_SIDE_LEFT;
}

static bool read_options(job *j, const oc_encode_options *options)
{
    const oc_tokenizer *t = j->t;
    j->o = (oc_encode_options){ .size = sizeof j->o };
    oci_take_options(&j->o, sizeof j->o, options);
    const oc_encode_options *o = &j->o;
    int64_t most = (int64_t)oci_min((int64_t)j->cx->limits.text_bytes, INT32_MAX);
    if (o->max_length < 0 || o->stride < 0 || o->pad_to < 0 || o->max_length > most ||
        o->stride > most || o->pad_to > most) {
        oci_fail(j->cx, OC_E_ARGUMENT, "max_length, stride, pad_to: expected 0..%lld",
                 (long long)most);
        return false;
    }
    if (j->o.max_length == 0) j->o.max_length = oci_min(t->max_length, most);
    if (j->o.max_length == 0) j->o.truncation = OC_TRUNCATE_NONE;
    j->pad_left = pick_side(o->padding_side, t->pad_left);
    j->truncate_left = pick_side(o->truncation_side, t->truncate_left);
    if (j->o.pad_to_max) j->o.pad_to = oci_max(o->pad_to, j->o.max_length);
    j->pad_id = t->pad_id;
    if (o->pad_token)
        j->pad_id = oci_vocab_find(&t->vocab, o->pad_token, strlen(o->pad_token));
    if (j->o.pad_to > 0 && j->pad_id == OCI_NO_ID)
        oci_fail(j->cx, OC_E_ARGUMENT, "padding: expected a pad token, found %s",
                 o->pad_token ? o->pad_token : "none");
    return !oci_failed(j->cx);
}

/* ---- truncation -------------------------------------------------------------------- */

static bool cut_to(oc_context *cx, cut *c, size_t most)
{
    if (most >= c->count) return true;
    if (most == 0) {            /* nothing, and the whole text as one overflowing piece */
        c->most = 0;
        c->pieces = 2;
        return true;
    }
    if (c->stride >= most) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "stride: expected less than the %zu tokens kept, found %zu", most,
                 c->stride);
        return false;
    }
    size_t step = most - c->stride;
    c->most = most;
    c->pieces = (c->count - most + step - 1) / step + 1;
    return true;
}

/* Pieces share `stride` tokens; cut on the left, they are counted from the end. */
static range piece(const cut *c, size_t index)
{
    bool later = index > 0;
    if (c->most == 0) return (range){ 0, later ? c->count : 0, later };
    size_t from = index * (c->most - c->stride), end = c->count - from;
    if (c->left) return (range){ end > c->most ? end - c->most : 0, end, later };
    return (range){ from, end > c->most ? from + c->most : c->count, later };
}

/* The larger of two texts gives first; tokenizers' truncate_encodings. */
static bool cut_longest(job *j, cut cuts[2], size_t most)
{
    if (j->texts == 1) return cut_to(j->cx, &cuts[0], most);
    size_t n1 = cuts[0].count, n2 = cuts[1].count;
    bool swap = n1 > n2;
    if (swap) {
        n1 = cuts[1].count;
        n2 = cuts[0].count;
    }
    n2 = n1 > most || most - n1 < n1 ? n1 : most - n1;
    if (n1 + n2 > most) {
        n1 = most / 2;
        n2 = n1 + most % 2;
    }
    return cut_to(j->cx, &cuts[0], swap ? n2 : n1) &&
           cut_to(j->cx, &cuts[1], swap ? n1 : n2);
}

static size_t special_count(const oci_template *template)
{
    size_t count = 0;
    for (size_t i = 0; i < template->count; i++) count += template->items[i].sequence < 0;
    return count;
}

static bool truncate_texts(job *j, cut cuts[2])
{
    size_t most = (size_t)j->o.max_length, total = 0;
    for (int s = 0; s < j->texts; s++) {
        size_t n = j->works[s].count;
        cuts[s] = (cut){ n, n, (size_t)j->o.stride, j->truncate_left, 1 };
        if (n == 0) cuts[s].most = 1;       /* its one piece is empty */
        total += n;
    }
    if (j->o.truncation == OC_TRUNCATE_NONE) return true;
    size_t single = special_count(&j->t->post.single);
    if (most >= single && (size_t)j->o.stride > most - single) {
        oci_fail(j->cx, OC_E_ARGUMENT, "stride: expected at most %zu, found %lld",
                 most - single, (long long)j->o.stride);
        return false;
    }
    size_t special = j->o.no_special_tokens ? 0 : special_count(j->template);
    /* The reference's subtraction wraps around here, and nothing is cut. */
    if (most < special) return true;
    most -= special;
    if (most == 0)
        return cut_to(j->cx, &cuts[0], 0) && (j->texts < 2 || cut_to(j->cx, &cuts[1], 0));
    if (total <= most) return true;
    if (j->o.truncation == OC_TRUNCATE_LONGEST_FIRST) return cut_longest(j, cuts, most);
    bool second = j->o.truncation == OC_TRUNCATE_ONLY_SECOND;
    if (second && j->texts < 2) {
        oci_fail(j->cx, OC_E_ARGUMENT,
                 "truncation: only_second, but there is no second text");
        return false;
    }
    cut *c = &cuts[second];
    if (c->count <= total - most) {
        oci_fail(j->cx, OC_E_ARGUMENT,
                 "truncation: the %s text has %zu tokens, and %zu are "
                 "too many",
                 second ? "second" : "first", c->count, total - most);
        return false;
    }
    return cut_to(j->cx, c, c->count - (total - most));
}

/* ---- one encoding ------------------------------------------------------------------ */

/* U+0120 is the byte-level character of a space. */
static bool is_space(uint32_t code)
{
    return code == 0x120 || oci_unicode_classes(code) & OCI_WHITE;
}

/* How many white characters stand at each end of a token's string. */
static void count_spaces(const char *text, size_t size, int64_t *leading,
                         int64_t *trailing)
{
    uint32_t code;
    *leading = *trailing = 0;
    for (size_t at = 0; at < size;) {
        int n = oci_utf8_decode(text + at, size - at, &code);
        if (n == 0 || !is_space(code)) break;
        ++*leading;
        at += (size_t)n;
    }
    for (size_t end = size; end > 0;) {
        size_t at = end - 1;
        while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
        if (oci_utf8_decode(text + at, end - at, &code) == 0 || !is_space(code)) break;
        ++*trailing;
        end = at;
    }
}

/* tokenizers' process_offsets: the space that belongs to a word's token is not part of
 * the word. `index`: of the token in its text. */
static void trim_offsets(const oci_post *post, const char *text, size_t size,
                         size_t index, int64_t offsets[2])
{
    int64_t leading, trailing;
    count_spaces(text, size, &leading, &trailing);
    if (leading > 0) {
        bool first = index == 0 || offsets[0] == 0;
        if (first && post->add_prefix_space && leading == 1) leading = 0;
        offsets[0] = oci_min(offsets[0] + leading, offsets[1]);
    }
    if (trailing > 0 && offsets[1] >= trailing)
        offsets[1] = oci_max(offsets[1] - trailing, offsets[0]);
}

static bool set_surface(job *j, oc_encoding *e, size_t at, const char *text, size_t size)
{
    if (!e->surfaces) e->surfaces = oci_calloc(j->cx, e->count, sizeof *e->surfaces);
    if (!e->surfaces) return false;
    e->surfaces[at] = oci_strndup(j->cx, text, size);
    return e->surfaces[at];
}

static bool put_text(job *j, oc_encoding *e, size_t *at, const oci_template_item *item,
                     range r)
{
    const oci_work *work = &j->works[item->sequence];
    int64_t type = r.later && j->t->post.first_types_only ? item->sequence : item->type;
    for (size_t i = r.begin; i < r.end; i++, ++*at) {
        const oci_token *token = &work->tokens[i];
        size_t size;
        const char *text = oci_vocab_get(&j->t->vocab, token->id, &size);
        if (token->surface) {
            const oci_surface *surface = &work->surfaces[token->surface - 1];
            text = work->surface_text.data + surface->at;
            size = surface->size;
            if (!set_surface(j, e, *at, text, size)) return false;
        }
        e->ids[*at] = token->id;
        e->mask[*at] = 1;
        e->types[*at] = type;
        e->sequences[*at] = item->sequence;
        e->offsets[2 * *at] = token->begin;
        e->offsets[2 * *at + 1] = token->end;
        if (j->t->post.trim_offsets)
            trim_offsets(&j->t->post, text, size, i - r.begin, e->offsets + 2 * *at);
    }
    return true;
}

static void put_special(oc_encoding *e, size_t *at, int64_t id, uint8_t type,
                        bool attended)
{
    e->ids[*at] = id;
    e->mask[*at] = attended;
    e->types[*at] = type;
    e->sequences[*at] = -1;
    ++*at;                      /* offsets are 0, 0 */
}

/* One block for all: ids, mask, types, sequences [count] and offsets [count, 2]. */
static oc_encoding *create(job *j, size_t count)
{
    oc_encoding *e = oci_calloc(j->cx, 1, sizeof *e);
    if (!e) return NULL;
    e->tokenizer = j->t;
    e->count = count;
    e->token_types = j->t->token_types || j->o.token_type_ids;
    e->ids = oci_calloc(j->cx, count ? count : 1, 6 * sizeof *e->ids);
    if (!e->ids) {
        oci_free(e);
        return NULL;
    }
    e->mask = e->ids + count;
    e->types = e->mask + count;
    e->sequences = e->types + count;
    e->offsets = e->sequences + count;
    return e;
}

static oc_encoding *build(job *j, const range ranges[2])
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < j->template->count; i++) {
        int s = j->template->items[i].sequence;
        count += s < 0 ? !j->o.no_special_tokens : ranges[s].end - ranges[s].begin;
    }
    size_t pads = (size_t)j->o.pad_to > count ? (size_t)j->o.pad_to - count : 0;
    oc_encoding *e = create(j, count + pads);
    if (!e) return NULL;
    if (j->pad_left)
        for (size_t i = 0; i < pads; i++) put_special(e, &at, j->pad_id, 0, false);
    for (size_t i = 0; i < j->template->count; i++) {
        const oci_template_item *item = &j->template->items[i];
        if (item->sequence >= 0) {
            if (!put_text(j, e, &at, item, ranges[item->sequence])) break;
        } else if (!j->o.no_special_tokens) {
            put_special(e, &at, item->id, item->type, true);
        }
    }
    while (!oci_failed(j->cx) && at < e->count) put_special(e, &at, j->pad_id, 0, false);
    if (!oci_failed(j->cx)) return e;
    oc_encoding_free(e);
    return NULL;
}

/* ---- all encodings ----------------------------------------------------------------- */

static bool build_overflow(job *j, oc_encoding *e, const cut cuts[2])
{
    size_t n1 = cuts[0].pieces, n2 = j->texts > 1 ? cuts[1].pieces : 1, total;
    if (!oci_mul(n1, n2, &total) || total > j->cx->limits.batch) {
        oci_fail(j->cx, OC_E_LIMIT, "overflowing pieces: expected at most %llu",
                 (unsigned long long)j->cx->limits.batch);
        return false;
    }
    e->overflow = oci_calloc(j->cx, total, sizeof *e->overflow);
    if (!e->overflow) return false;
    /* The order of tokenizers' merge: later pieces of the first text with all of the
     * second, then the first piece with later ones of the second. */
    for (size_t i = 1; i <= n1; i++) {
        for (size_t k = i == n1; k < n2; k++) {
            range ranges[2] = { piece(&cuts[0], i % n1) };
            if (j->texts > 1) ranges[1] = piece(&cuts[1], k);
            oc_encoding *part = build(j, ranges);
            if (!part) return false;
            e->overflow[e->overflow_count++] = part;
        }
    }
    return true;
}

static oc_encoding *finish(job *j)
{
    cut cuts[2];
    j->template = j->texts > 1 ? &j->t->post.pair : &j->t->post.single;
    if (!truncate_texts(j, cuts)) return NULL;
    range ranges[2] = { piece(&cuts[0], 0) };
    if (j->texts > 1) ranges[1] = piece(&cuts[1], 0);
    oc_encoding *e = build(j, ranges);
    if (!e || !j->o.overflow || build_overflow(j, e, cuts)) return e;
    oc_encoding_free(e);
    return NULL;
}

static bool run(job *j, int index, const char *text, size_t size)
{
    if (size > j->cx->limits.text_bytes) {
        oci_fail(j->cx, OC_E_LIMIT, "text: expected at most %llu bytes, found %zu",
                 (unsigned long long)j->cx->limits.text_bytes, size);
        return false;
    }
    if (!oci_utf8_valid(text, size)) {
        oci_fail(j->cx, OC_E_MALFORMED, "text: expected UTF-8");
        return false;
    }
    oci_work *work = &j->works[index];
    work->cx = j->cx;
    work->t = j->t;
    work->text = text;
    work->size = size;
    j->texts = index + 1;
    return oci_work_run(work);
}

oc_encoding *oc_encode(oc_context *cx, const oc_tokenizer *tokenizer, const char *text,
                       size_t text_size, const char *pair, size_t pair_size,
                       const oc_encode_options *options)
{
    if (!oci_given(cx, tokenizer, __func__, "a tokenizer") ||
        !oci_given(cx, text, __func__, "a text"))
        return NULL;
    job j = { .cx = cx, .t = tokenizer };
    oc_encoding *e = NULL;
    if (read_options(&j, options) && run(&j, 0, text, text_size) &&
        (!pair || (pair_size == 0 && !j.o.empty_pair) || run(&j, 1, pair, pair_size)))
        e = finish(&j);
    oci_work_deinit(&j.works[0]);
    oci_work_deinit(&j.works[1]);
    return e;
}

void oc_encoding_free(oc_encoding *e)
{
    if (!e) return;
    for (size_t i = 0; e->surfaces && i < e->count; i++) oci_free(e->surfaces[i]);
    for (size_t i = 0; i < e->overflow_count; i++) oc_encoding_free(e->overflow[i]);
    oci_free(e->surfaces);
    oci_free(e->overflow);
    oci_free(e->ids);
    oci_free(e);
}
