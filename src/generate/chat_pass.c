/* The family of a conversation: one row, positions without gaps, and a cache that
 * outlives the call. A picture is as many ids as it has patches, so that ids and
 * positions of the cache are the same thing: what the last call read and this one begins
 * with is not read again. */
#include <string.h>

#include "base/size.h"
#include "generate/chat.h"
#include "models/vipllava.h"

static const oci_input_spec inputs[] = { { "input_ids", OCI_INPUT_IDS, 2 },
                                         OCI_INPUTS_END };

static oc_chat *chat_of(const oci_decoding *d) { return d->session; }
static const oci_vipllava *model_of(const oci_decoding *d) { return d->model->core.root; }

/* ---- memory ---- */

/* A cache for all that the conversation may come to, which costs what it has come to
 * (nn/cache.h), and room for the ids of `length` positions. */
static void make_room(oc_context *cx, oc_chat *chat, const oci_decoder_shape *s,
                      int64_t length)
{
    if (!chat->cache)
        chat->cache = oci_cache_create(cx, (oci_cache_spec){
            .layers = s->layers, .rows = 1, .heads = s->heads, .head_dim = s->head_dim,
            .length = chat->context + 1, .dtype = chat->kv_dtype });
    if (!chat->cache || length <= chat->read_room) return;
    int64_t room = oci_max(length, 2 * chat->read_room);
    int64_t *read = oci_realloc(cx, chat->read, (size_t)room * sizeof *read);
    if (!read) return;
    chat->read = read;
    chat->read_room = room;
}

/* ---- the family ---- */

static void chat_open(oc_context *cx, oci_decoding *d, const oc_tensors *in)
{
    enum { ANSWER = 512 };          /* ids, where neither config nor context say less */
    oc_chat *chat = chat_of(d);
    d->given = oci_input_required(cx, in, inputs, "input_ids");
    if (!d->given) return;
    if (d->width != 1 ||
        (d->search != OCI_SEARCH_GREEDY && d->search != OCI_SEARCH_SAMPLE)) {
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
    make_room(cx, chat, &d->shape, S + d->g.max_new_tokens + 1);
    if (oci_failed(cx)) return;
    /* The last id is read again, for its logits. */
    int64_t same = 0, most = oci_min(chat->cache->length, S - 1);
    while (same < most && chat->read[same] == oci_i64(d->given)[same]) same++;
    chat->cache->length = same;
    d->cache = chat->cache;
}

/* A patch of a picture, of the prompt: an answer has words alone, whatever their ids. */
static bool is_patch(const oci_decoding *d, int64_t id, int64_t at)
{
    return id == chat_of(d)->image_id && at < d->prompt;
}

/* Embeddings of ids at positions from `from` on: patches where the picture's id
 * stands. */
static oci_tensor *embed(oc_context *cx, const oci_decoding *d, oci_tensor *ids,
                         int64_t from)
{
    const oc_chat *chat = chat_of(d);
    int64_t T = ids->shape[1], before = 0, own = 0, used = 0;
    for (int64_t t = 0; t < T; t++) own += is_patch(d, oci_i64(ids)[t], from + t);
    oci_tensor *words = oci_llama_embed(cx, &model_of(d)->language, ids);  /* [1, T, D] */
    if (own == 0 || !words) return words;
    for (int64_t t = 0; t < from; t++) before += is_patch(d, d->ids[t], t);
    int64_t D = words->shape[2];
    oci_tensor *patches = oci_tensor_create(cx, OC_F32, OCI_SHAPE(own, D));
    oci_tensor *rows = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, T));
    for (int64_t t = 0; patches && rows && t < T; t++) {
        oci_i64(rows)[t] = t;
        if (!is_patch(d, oci_i64(ids)[t], from + t)) continue;
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

/* ---- several at a time ---- */

/* Outputs are handed out by whole passes, and `dynamic` positions turn by the length of a
 * pass once it is beyond what the model was trained for. */
bool oci_chat_joins(const oc_chat *chat)
{
    const oci_decoding *d = &chat->decoding;
    const oci_rope *rope = &model_of(d)->language.rope;
    return !d->g.output_attentions && !d->g.output_hidden_states &&
           (rope->kind != OCI_ROPE_DYNAMIC || chat->context <= rope->max_positions);
}

oci_tensor *oci_chat_pass_many(oc_context *cx, oc_chat *const *chats, size_t count)
{
    int64_t n = (int64_t)count;
    const oci_llama *language = &model_of(&chats[0]->decoding)->language;
    oci_cache **members = oci_arena_alloc(cx, &cx->arena, count * sizeof(oci_cache *));
    oci_tensor *ids = oci_tensor_create(cx, OC_I64, OCI_SHAPE(n, 1));
    oci_tensor *positions = oci_tensor_create(cx, OC_I64, OCI_SHAPE(n, 1));
    if (!members || !ids || !positions) return NULL;
    for (int64_t b = 0; b < n; b++) {
        const oci_decoding *d = &chats[b]->decoding;
        members[b] = chats[b]->cache;
        oci_i64(ids)[b] = d->ids[d->length - 1];
        oci_i64(positions)[b] = members[b]->length;
    }
    oci_cache all = oci_cache_join(members, n);
    oci_decode_call call = { .cache = &all, .last_only = true, .position_ids = positions,
                             .inputs_embeds = oci_llama_embed(cx, language, ids) };
    return oci_failed(cx) ? NULL : oci_llama_decode(cx, language, call);   /* [B, 1, V] */
}

static oci_decoder_shape chat_shape(const void *root)
{
    return oci_llama_arch.decoder_shape(&((const oci_vipllava *)root)->language);
}

const oci_family oci_chat_family = { .arch = &oci_vipllava_arch, .inputs = inputs,
                                     .outputs = "", .shape = chat_shape,
                                     .open = chat_open, .pass = chat_pass };
