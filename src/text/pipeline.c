#include "text/pipeline.h"

#include <string.h>

#include "base/size.h"

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
    oci_free(work->hits[0].items);
    oci_free(work->hits[1].items);
    oci_free(work->symbols);
    oci_free(work->queue);
    *work = (oci_work){ 0 };
}

/* ---- offsets --------------------------------------------------------------------------- */

static bool is_start(const char *p) { return ((unsigned char)*p & 0xc0) != 0x80; }

/* Moves the cursor to the code point that holds byte `at` and returns its number. Tokens come
 * in order, so all calls together take one walk over the text; only an added token that
 * begins in white space which the one before it ate makes a few steps back. */
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

bool oci_work_emit(oci_work *work, int64_t id, size_t begin, size_t end)
{
    oci_token *tokens = oci_grow(work->cx, work->tokens, &work->room, work->count + 1,
                                 sizeof *tokens);
    if (!tokens) return false;
    work->tokens = tokens;
    uint32_t first = code_at(work, begin);
    tokens[work->count++] = (oci_token){ (uint32_t)id, first, code_at(work, end - 1) + 1, 0 };
    return true;
}

/* ---- stages ---------------------------------------------------------------------------- */

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

/* A normalizer's place is here, between the two kinds of added tokens. */
static bool split_normalized(oci_work *work, const oci_segment *segment)
{
    return oci_added_split(work, 1, segment, pre_tokenize_all);
}

bool oci_work_run(oci_work *work)
{
    oci_segment whole = { 0, work->size, false };
    return oci_added_split(work, 0, &whole, split_normalized);
}
