/* Conversations. Every question is answered as if its whole prompt were new, by the text
 * that a stateless caller would give Transformers; what the model has read already is
 * found by comparing ids. */
#include "generate/chat.h"

#include <string.h>

#include "base/size.h"
#include "models/vipllava.h"

static const oci_vipllava *model_of(const oc_chat *chat)
{
    return chat->model->core.root;
}

/* ---- create, free ---- */

static char *copy_text(oc_context *cx, const char *text)
{
    return text ? oci_strdup(cx, text) : NULL;
}

/* Whether a call with this chat may begin: not while an answer is under way. */
static bool is_free(oc_context *cx, const oc_chat *chat, const char *call)
{
    if (!oci_given(cx, chat, call, "a chat")) return false;
    if (!chat->answering) return true;
    oci_fail(cx, OC_E_ARGUMENT,
             "%s: expected no answer under way: oc_chat_end comes first", call);
    return false;
}

/* The prompt's placeholder must be the id that the model takes for a picture. */
static bool check_token(oc_context *cx, const oc_chat *chat)
{
    int64_t id = oc_tokenizer_find(chat->tokenizer, OCI_IMAGE_TOKEN);
    if (id == chat->image_id) return true;
    oci_fail(cx, OC_E_MALFORMED, "%s: " OCI_IMAGE_TOKEN ": expected the config's "
             "image_token_index %lld in the tokenizer, found %lld", chat->model->folder,
             (long long)chat->image_id, (long long)id);
    return false;
}

oc_chat *oc_chat_create(oc_context *cx, const oc_model *model,
                        const oc_chat_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return NULL;
    oc_chat_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    if (model->core.arch != &oci_vipllava_arch) {
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: expected a vipllava to talk with, found %s",
                 model->folder, model->core.arch->model_type);
        return NULL;
    }
    oc_chat *chat = oci_calloc(cx, 1, sizeof *chat);
    if (!chat) return NULL;
    chat->model = model;
    chat->tokenizer = oc_model_tokenizer(cx, model);
    chat->image_id = model_of(chat)->cfg.image_token_index;
    chat->context = o.context > 0 ? o.context
                                  : model_of(chat)->language.cfg.max_position_embeddings;
    chat->context = oci_min(chat->context, (int64_t)cx->limits.sequence);
    chat->kv_dtype = oci_kept_dtype(cx, o.kv_dtype);
    chat->system = copy_text(cx, o.system);
    chat->config = copy_text(cx, o.config);
    if (!oci_failed(cx))
        chat->style = o.style ? oci_prompt_style_find(cx, o.style)
                              : oci_prompt_style_open(cx, model->folder);
    if (chat->style && check_token(cx, chat)) return chat;
    oc_chat_free(chat);
    return NULL;
}

static void drop_pictures(oc_chat *chat, size_t count)
{
    for (; count > 0; count--) oci_buffer_unref(&chat->pictures[--chat->picture_count]);
}

static void drop_turn(oci_turn *turn)
{
    oci_free(turn->question);
    oci_free(turn->answer);
}

void oc_chat_free(oc_chat *chat)
{
    if (!chat) return;
    oci_chat_drop(chat);
    for (size_t i = 0; i < chat->turn_count; i++) drop_turn(&chat->turns[i]);
    drop_pictures(chat, chat->picture_count);
    oci_cache_free(chat->cache);
    oci_free(chat->turns);
    oci_free(chat->pictures);
    oci_free(chat->read);
    oci_free(chat->system);
    oci_free(chat->config);
    oci_free(chat);
}

/* ---- pictures ---- */

/* F32 [P, D] in memory of its own. */
static oci_buffer *encode_picture(oc_context *cx, oc_chat *chat, oc_image *image)
{
    oc_tensor_view pixels;
    oc_tensors *set = oc_preprocess(cx, chat->model, &image, 1);
    oci_arena_mark mark = oci_mark(cx);
    oci_buffer *out = NULL;
    if (set && oc_tensors_find(set, "pixel_values", &pixels)) {
        oci_tensor *x = oci_vipllava_features(cx, model_of(chat),
                                              oci_input_rows(cx, pixels, 0, 1), NULL);
        size_t bytes = x ? (size_t)oci_tensor_count(x) * sizeof(float) : 0;
        if (x && !oci_failed(cx)) out = oci_buffer_create(cx, bytes);
        if (out) memcpy(out->data, x->data, bytes);
        if (out) chat->patches = x->shape[1];
    }
    oci_arena_reset(&cx->arena, mark);
    oc_tensors_free(set);
    return out;
}

/* `block`, grown to hold one element more. */
static void *grow(oc_context *cx, void *block, size_t *room, size_t count, size_t size)
{
    size_t want = count < 8 ? 8 : 2 * count, bytes;
    if (count < *room) return block;
    if (!oci_mul(want, size, &bytes)) {
        oci_fail(cx, OC_E_MEMORY, "chat: %zu elements", want);
        return NULL;
    }
    void *fresh = oci_realloc(cx, block, bytes);
    if (fresh) *room = want;
    return fresh;
}

oc_status oc_chat_add_image(oc_context *cx, oc_chat *chat, oc_image *image)
{
    if (!is_free(cx, chat, __func__) || !oci_given(cx, image, __func__, "a picture"))
        return cx ? cx->status : OC_E_MEMORY;
    oci_buffer **pictures = grow(cx, chat->pictures, &chat->picture_room,
                                 chat->picture_count, sizeof(oci_buffer *));
    if (!pictures) return cx->status;
    chat->pictures = pictures;
    oci_buffer *picture = encode_picture(cx, chat, image);
    if (!picture) return cx->status;
    pictures[chat->picture_count++] = picture;
    chat->waiting++;
    return cx->status;
}

/* ---- the prompt ---- */

static oc_status write_prompt(oc_context *cx, const oc_chat *chat, const char *question,
                              oci_bytes *out)
{
    oci_prompt_begin(cx, chat->style, chat->system, out);
    for (size_t i = 0; i < chat->turn_count && !oci_failed(cx); i++) {
        const oci_turn *turn = &chat->turns[i];
        oci_prompt_ask(cx, chat->style, i == 0, turn->question, turn->images, out);
        oci_prompt_answer(cx, chat->style, turn->answer, out);
    }
    if (oci_failed(cx)) return cx->status;
    return oci_prompt_ask(cx, chat->style, chat->turn_count == 0, question, chat->waiting,
                          out);
}

/* Its ids, a picture's as often as it has patches: input_ids [1, S]. */
static oc_tensors *read_prompt(oc_context *cx, const oc_chat *chat, const char *text,
                               size_t size)
{
    oc_encoding *e = oc_encode(cx, chat->tokenizer, text, size, NULL, 0, NULL);
    const int64_t *ids = oc_encoding_ids(e);
    int64_t n = (int64_t)oc_encoding_count(e), pictures = 0;
    for (int64_t i = 0; i < n; i++) pictures += ids[i] == chat->image_id;
    if (e && pictures != (int64_t)chat->picture_count)
        oci_fail(cx, OC_E_ARGUMENT,
                 "the conversation: expected " OCI_IMAGE_TOKEN
                 " %zu times, once for each picture, found it %lld times",
                 chat->picture_count, (long long)pictures);
    /* Bounded by the text's limit and by pictures that are in memory. */
    int64_t shape[] = { 1, n + pictures * (chat->patches - 1) };
    oc_tensor_view view;
    oc_tensors *in = oci_failed(cx) ? NULL : oc_tensors_create(cx);
    if (in) oc_tensors_add(cx, in, "input_ids", OC_I64, 2, shape, NULL);
    if (in && oc_tensors_find(in, "input_ids", &view)) {
        int64_t *to = (int64_t *)(uintptr_t)view.data;      /* our own set, just made */
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = ids[i] == chat->image_id ? chat->patches : 1; k > 0; k--)
                *to++ = ids[i];
    }
    oc_encoding_free(e);
    return in;
}

oc_tensors *oci_chat_prompt(oc_context *cx, const oc_chat *chat, const char *question)
{
    oci_bytes text;
    oci_bytes_init(&text, (size_t)cx->limits.text_bytes);
    oc_tensors *in = write_prompt(cx, chat, question, &text) == OC_OK
                         ? read_prompt(cx, chat, text.data ? text.data : "", text.size)
                         : NULL;
    oci_bytes_deinit(&text);
    return in;
}

/* ---- what was said ---- */

bool oci_chat_add_turn(oc_context *cx, oc_chat *chat, const char *question, char *answer,
                       bool whole)
{
    oci_turn *turns = grow(cx, chat->turns, &chat->turn_room, chat->turn_count,
                           sizeof *turns);
    char *copy = turns ? oci_strdup(cx, question) : NULL;
    if (turns) chat->turns = turns;
    if (!copy) {
        oci_free(answer);
        return false;
    }
    turns[chat->turn_count++] = (oci_turn){ copy, answer, chat->waiting, whole };
    chat->waiting = 0;
    return true;
}

/* Forgets what was read from picture number `first` on: another may come in its place. */
static void forget_pictures(oc_chat *chat, size_t first)
{
    int64_t before = (int64_t)first * chat->patches, seen = 0;
    for (int64_t t = 0; chat->cache && t < chat->cache->length; t++) {
        if (chat->read[t] != chat->image_id || seen++ < before) continue;
        chat->cache->length = t;
    }
}

oc_status oc_chat_undo(oc_context *cx, oc_chat *chat)
{
    if (!is_free(cx, chat, __func__)) return cx ? cx->status : OC_E_MEMORY;
    if (chat->turn_count == 0 && chat->waiting == 0)
        return oci_fail(cx, OC_E_ARGUMENT,
                        "expected a question to take back, found none");
    size_t pictures = chat->waiting;
    if (chat->turn_count > 0) {
        oci_turn *turn = &chat->turns[--chat->turn_count];
        pictures += turn->images;
        drop_turn(turn);
    }
    drop_pictures(chat, pictures);
    chat->waiting = 0;
    forget_pictures(chat, chat->picture_count);
    return cx->status;
}

size_t oc_chat_count(const oc_chat *chat) { return chat ? chat->turn_count : 0; }

oc_chat_turn oc_chat_get(const oc_chat *chat, size_t index)
{
    if (!chat || index >= chat->turn_count) return (oc_chat_turn){ 0 };
    const oci_turn *turn = &chat->turns[index];
    return (oc_chat_turn){ turn->question, turn->answer, turn->images, turn->whole };
}

int64_t oc_chat_length(const oc_chat *chat, int64_t *fresh)
{
    if (fresh) *fresh = chat ? chat->fresh : 0;
    return chat && chat->cache ? chat->cache->length : 0;
}
