/* The family of a conversation: one row, positions without gaps, and a cache that outlives the
 * call. A picture is as many ids as it has patches, so that ids and positions of the cache are
 * the same thing: what the last call read and this one begins with is not read again. */
#include <string.h>

#include "base/size.h"
#include "generate/chat.h"
#include "models/vipllava.h"

static const oci_input_spec inputs[] = { { "input_ids", OCI_INPUT_IDS, 2 }, OCI_INPUTS_END };

static oc_chat *chat_of(const oci_decoding *d) { return d->session; }
static const oci_vipllava *model_of(const oci_decoding *d) { return d->model->core.root; }

/* ---- memory ---- */

/* The first `length` positions of one cache into another that has room for them. */
static void copy_cache(oc_context *cx, const oci_cache *from, const oci_cache *to)
{
    for (int64_t i = 0; from->length > 0 && i < from->layers && !oci_failed(cx); i++) {
        oci_arena_mark mark = oci_mark(cx);
        oci_tensor *k = oci_kv_export(cx, &from->self[i], 1, from->length, 0);
        oci_tensor *v = oci_kv_export(cx, &from->self[i], 1, from->length, 1);
        if (k && v) oci_kv_import(cx, &to->self[i], k, v);
        oci_arena_reset(&cx->arena, mark);
    }
}

/* Room for `length` positions: at least twice what there was, so that all copies of a long
 * conversation together cost no more than its last one. */
static void make_room(oc_context *cx, oc_chat *chat, const oci_decoder_shape *s, int64_t length)
{
    enum { LEAST = 256 };
    int64_t have = chat->cache ? chat->cache->self[0].room : 0;
    if (length <= have) return;
    int64_t room = oci_min(oci_max(oci_max(length, 2 * have), LEAST), chat->context + 1);
    oci_cache *fresh = oci_cache_create(cx, s->layers, 1, s->heads, s->head_dim, room, 0);
    int64_t *read = fresh ? oci_realloc(cx, chat->read,
                                        (size_t)fresh->self[0].room * sizeof *read) : NULL;
    if (read) chat->read = read;
    if (read && chat->cache) {
        copy_cache(cx, chat->cache, fresh);
        fresh->length = chat->cache->length;
    }
    if (oci_failed(cx)) {
        oci_cache_free(fresh);
        return;
    }
    oci_cache_free(chat->cache);
    chat->cache = fresh;
}

/* ---- the family ---- */

static void chat_open(oc_context *cx, oci_decoding *d, const oc_tensors *in)
{
    enum { ANSWER = 512 };          /* ids, where neither config nor context say less */
    oc_chat *chat = chat_of(d);
    d->given = oci_input_required(cx, in, inputs, "input_ids");
    if (!d->given) return;
    if (d->width != 1 || (d->search != OCI_SEARCH_GREEDY && d->search != OCI_SEARCH_SAMPLE)) {
        oci_fail(cx, OC_E_UNSUPPORTED, "expected one answer, id by id: no beams, no "
                 "contrastive search, no num_return_sequences");
        return;
    }
    int64_t S = d->given->shape[1], left = chat->context - S;
    if (left < 1) {
        oci_fail(cx, OC_E_LIMIT, "the conversation takes %lld positions, and the model "
                 "has %lld: take back a question, or begin anew", (long long)S,
                 (long long)chat->context);
        return;
    }
    if (d->g.max_new_tokens < 0) d->g.max_new_tokens = ANSWER;
    d->g.max_new_tokens = oci_min(d->g.max_new_tokens, left);
    d->items = 1;
    d->most = chat->context;
    make_room(cx, chat, &d->shape, S + d->g.max_new_tokens);
    if (oci_failed(cx)) return;
    /* The last id is read again, for its logits. */
    int64_t same = 0, most = oci_min(chat->cache->length, S - 1);
    while (same < most && chat->read[same] == oci_i64(d->given)[same]) same++;
    chat->cache->length = same;
    d->cache = chat->cache;
}

/* Embeddings of ids at positions from `from` on: patches where the picture's id stands. */
static oci_tensor *embed(oc_context *cx, const oci_decoding *d, oci_tensor *ids, int64_t from)
{
    const oc_chat *chat = chat_of(d);
    int64_t T = ids->shape[1], before = 0, own = 0, used = 0;
    for (int64_t t = 0; t < T; t++) own += oci_i64(ids)[t] == chat->image_id;
    oci_tensor *words = oci_llama_embed(cx, &model_of(d)->language, ids);   /* [1, T, D] */
    if (own == 0 || !words) return words;
    for (int64_t t = 0; t < from; t++) before += d->ids[t] == chat->image_id;
    int64_t D = words->shape[2];
    oci_tensor *patches = oci_tensor_create(cx, OC_F32, OCI_SHAPE(own, D));
    oci_tensor *rows = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, T));
    for (int64_t t = 0; patches && rows && t < T; t++) {
        oci_i64(rows)[t] = t;
        if (oci_i64(ids)[t] != chat->image_id) continue;
        int64_t patch = before + used;
        const float *source = (const float *)(const void *)
                                  chat->pictures[patch / chat->patches]->data;
        memcpy(oci_f32(patches) + used * D, source + patch % chat->patches * D,
               (size_t)D * sizeof(float));
        oci_i64(rows)[t] = T + used++;
    }
    return oci_op_gather(cx, words, patches, rows);
}

static oci_tensor *chat_pass(oc_context *cx, oci_decoding *d, oci_tensor *ids)
{
    oci_decode_call call = { .cache = d->cache, .last_only = true,
                             .inputs_embeds = embed(cx, d, ids, d->cache->length) };
    return oci_failed(cx) ? NULL : oci_llama_decode(cx, &model_of(d)->language, call);
}

static oci_decoder_shape chat_shape(const void *root)
{
    return oci_llama_arch.decoder_shape(&((const oci_vipllava *)root)->language);
}

const oci_family oci_chat_family = { .arch = &oci_vipllava_arch, .inputs = inputs, .outputs = "",
                                     .shape = chat_shape, .open = chat_open, .pass = chat_pass };
