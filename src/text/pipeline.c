#include "text/pipeline.h"

#include <string.h>

#include "base/size.h"

/* *room doubles, so that adding one by one stays linear. */
void *oci_grow(oc_context *cx, void *block, size_t *room, size_t count, size_t size)
{
    if (block && count <= *room) return block;
    size_t bytes, want = count < 16 ? 16 : count;
    if (want < *room * 2) want = *room * 2;
    if (!oci_mul(want, size, &bytes)) {
        oci_fail(cx, OC_E_MEMORY, "%zu elements of %zu bytes", want, size);
        return NULL;
    }
    void *fresh = oci_realloc(cx, block, bytes);
    if (fresh) *room = want;
    return fresh;
}

void oci_work_deinit(oci_work *work)
{
    oci_free(work->tokens);
    oci_free(work->surfaces);
    oci_bytes_deinit(&work->surface_text);
    oci_free(work->hits[0].items);
    oci_free(work->hits[1].items);
    oci_free(work->symbols);
    oci_free(work->queue);
    for (int i = 0; i < 2; i++) oci_text_deinit(&work->normal[i]);
    for (int i = 0; i < OCI_MAX_PARTS; i++) oci_text_deinit(&work->pieces[i]);
    *work = (oci_work){ 0 };
}

/* ---- offsets ----------------------------------------------------------------------- */

static bool is_start(const char *p) { return ((unsigned char)*p & 0xc0) != 0x80; }

/* Moves the cursor to the code point that holds byte `at` and returns its number. Tokens
 * come in order, so all calls together take one walk over the text; only an added token
 * that begins in white space which the one before it ate makes a few steps back. */
static uint32_t code_at(oci_work *work, size_t at)
{
    while (work->at_byte > at) {
        do work->at_byte--; while (!is_start(work->text + work->at_byte));
        work->at_code--;
    }
    for (;;) {
        size_t next = work->at_byte + 1;
        while (next < work->size && !is_start(work->text + next)) next++;
        if (at < next) return work->at_code;
        work->at_byte = next;
        work->at_code++;
    }
}

/* Tokens are never empty: end > begin. */
bool oci_work_emit(oci_work *work, int64_t id, const oci_segment *segment, size_t begin,
                   size_t end)
{
    oci_token *tokens = oci_grow(work->cx, work->tokens, &work->room, work->count + 1,
                                 sizeof *tokens);
    if (!tokens) return false;
    work->tokens = tokens;
    uint32_t first = code_at(work, oci_origin(segment, begin));
    uint32_t last = code_at(work, oci_origin(segment, end - 1));
    tokens[work->count++] = (oci_token){ (uint32_t)id, first, last + 1, 0 };
    return true;
}

bool oci_work_emit_surface(oci_work *work, int64_t id, const oci_segment *segment,
                           size_t begin, size_t end)
{
    size_t size;
    const char *own = oci_vocab_get(&work->t->vocab, id, &size);
    if (!oci_work_emit(work, id, segment, begin, end)) return false;
    if (end - begin == size && !memcmp(own, segment->text + begin, size)) return true;
    oci_surface *surfaces = oci_grow(work->cx, work->surfaces, &work->surface_room,
                                     work->surface_count + 1, sizeof *surfaces);
    if (!surfaces) return false;
    work->surfaces = surfaces;
    size_t at = work->surface_text.size;
    /* Unlike the segment the copy lives as long as the work. */
    if (oci_bytes_append(work->cx, &work->surface_text, segment->text + begin,
                         end - begin))
        return false;
    surfaces[work->surface_count++] = (oci_surface){ at, end - begin };
    work->tokens[work->count - 1].surface = (uint32_t)work->surface_count;
    return true;
}

/* ---- normalized text --------------------------------------------------------------- */

void oci_text_deinit(oci_text *text)
{
    oci_free(text->bytes);
    oci_free(text->origin);
    *text = (oci_text){ 0 };
}

/* NFKC makes up to eighteen code points of one (U+FDFA): what comes out has a bound,
 * too. */
bool oci_text_reserve(oc_context *cx, oci_text *text, size_t more)
{
    size_t need, most = (size_t)cx->limits.text_bytes * 2 + 64;
    if (!oci_add(text->size, more, &need) || need > most) {
        oci_fail(cx, OC_E_LIMIT, "text: expected at most %zu bytes once normalized",
                 most);
        return false;
    }
    if (text->bytes && need <= text->room) return true;
    size_t room = need + need / 2 + 64;
    char *bytes = oci_realloc(cx, text->bytes, room);
    if (!bytes) return false;
    text->bytes = bytes;
    uint32_t *origin = oci_realloc(cx, text->origin, room * sizeof *origin);
    if (!origin) return false;
    text->origin = origin;
    text->room = room;
    return true;
}

bool oci_text_copy(oc_context *cx, oci_text *text, const oci_segment *segment,
                   size_t begin, size_t end)
{
    size_t n = end - begin;
    if (n == 0) return true;
    if (!oci_text_reserve(cx, text, n)) return false;
    memcpy(text->bytes + text->size, segment->text + begin, n);
    uint32_t *origin = text->origin + text->size;
    if (segment->origin)
        memcpy(origin, segment->origin + begin, n * sizeof *origin);
    else
        for (size_t i = 0; i < n; i++) origin[i] = (uint32_t)(segment->at + begin + i);
    text->size += n;
    return true;
}

oci_segment oci_text_segment(const oci_text *text)
{
    /* A text that nothing was ever written to has no bytes. */
    return (oci_segment){ text->bytes ? text->bytes : "", text->size, text->origin, 0,
                          false };
}

/* Two texts in turn: each normalizer reads one and writes the other. */
bool oci_normalize(oc_context *cx, const oc_tokenizer *t, oci_segment *segment,
                   oci_text texts[2])
{
    int next = 0;
    for (int i = 0; i < t->normalizer_count && segment->size > 0; i++) {
        const oci_normalizer *normalizer = &t->normalizers[i];
        texts[next].size = 0;
        switch (normalizer->kind->run(cx, normalizer->self, segment, &texts[next])) {
        case OCI_FAILED: return false;
        case OCI_KEPT: break;
        case OCI_WRITTEN:
            *segment = oci_text_segment(&texts[next]);
            next = !next;
        }
    }
    return true;
}

/* ---- stages ------------------------------------------------------------------------ */

/* Each piece goes through all stages before the next one is cut: no list of pieces is
 * kept. The depth is that of the stages, OCI_MAX_PARTS at most. */
bool oci_pre_tokenize(oci_work *work, int stage, const oci_segment *segment)
{
    const oc_tokenizer *t = work->t;
    if (stage == t->pre_count) return t->model_kind->encode(work, t->model, segment);
    return t->pre[stage].kind->run(work, t->pre[stage].self, segment, stage + 1);
}

static bool pre_tokenize_all(oci_work *work, const oci_segment *segment)
{
    return oci_pre_tokenize(work, 0, segment);
}

static bool split_normalized(oci_work *work, const oci_segment *raw)
{
    oci_segment segment = *raw;
    return oci_normalize(work->cx, work->t, &segment, work->normal) &&
           oci_added_split(work, 1, &segment, pre_tokenize_all);
}

/* Added tokens that are looked for in the raw text; between them, once normalized, the
 * others; between those, words. */
bool oci_work_run(oci_work *work)
{
    oci_segment whole = { .text = work->text, .size = work->size };
    oci_bytes_init(&work->surface_text, SIZE_MAX / 4);
    return oci_added_split(work, 0, &whole, split_normalized);
}
