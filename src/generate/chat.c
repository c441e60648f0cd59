/* Conversations. Every question is answered as if its whole prompt were new, by the text that a
 * stateless caller would give Transformers; what the model has read already is found by
 * comparing ids. */
#include "generate/chat.h"

#include <string.h>

#include "base/size.h"
#include "models/vipllava.h"

static const oci_vipllava *model_of(const oc_chat *chat) { return chat->model->core.root; }

/* ---- create, free ---- */

static char *copy_text(oc_context *cx, const char *text)
{
    if (!text) return NULL;
    size_t size = strlen(text) + 1;
    char *copy = oci_alloc(cx, size);
    if (copy) memcpy(copy, text, size);
    return copy;
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

oc_chat *oc_chat_create(oc_context *cx, const oc_model *model, const oc_chat_options *options)
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
    if (!oci_given(cx, chat, __func__, "a chat") || !oci_given(cx, image, __func__, "a picture"))
        return cx ? cx->status : OC_E_MEMORY;
    oci_buffer **pictures = grow(cx, chat->pictures, &chat->picture_room, chat->picture_count,
                                 sizeof(oci_buffer *));
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
    return oci_prompt_ask(cx, chat->style, chat->turn_count == 0, question, chat->waiting, out);
}

/* The ids of the prompt, a picture's as often as it has patches: input_ids [1, S]. */
static oc_tensors *read_prompt(oc_context *cx, const oc_chat *chat, const char *text,
                               size_t size)
{
    oc_encoding *e = oc_encode(cx, chat->tokenizer, text, size, NULL, 0, NULL);
    const int64_t *ids = oc_encoding_ids(e);
    int64_t n = (int64_t)oc_encoding_count(e), pictures = 0;
    for (int64_t i = 0; i < n; i++) pictures += ids[i] == chat->image_id;
    if (e && pictures != (int64_t)chat->picture_count)
        oci_fail(cx, OC_E_ARGUMENT, "the conversation: expected " OCI_IMAGE_TOKEN " %zu times, "
                 "once for each picture, found it %lld times",
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

/* ---- the answer ---- */

/* Takes the text as it comes and passes on what will not be taken back: blanks at both ends
 * are no part of an answer, and the style's stop ends it. */
typedef struct teller {
    oc_context *cx;
    const char *stop;
    oc_chat_callback callback;
    void *user;
    oci_bytes text;             /* all so far */
    size_t begin, told;         /* where the answer begins in it, and what has been passed on */
    bool stopped, refused;      /* by the stop, by the callback */
} teller;

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/* How many bytes at the end of text[0 … size) may be the beginning of `stop`. */
static size_t stop_begun(const char *text, size_t size, const char *stop)
{
    size_t n = stop ? strlen(stop) : 0;
    for (size_t k = n ? n - 1 : 0; k > 0; k--)
        if (k <= size && !memcmp(text + size - k, stop, k)) return k;
    return 0;
}

/* Where the answer ends, as far as is known: before the stop, or what could be one, and blanks. */
static size_t answer_end(teller *t, bool last)
{
    const char *text = t->text.data;
    size_t size = t->text.size;
    const char *stop = t->stop && text ? strstr(text + t->begin, t->stop) : NULL;
    if (stop) {
        t->stopped = true;
        size = (size_t)(stop - text);
    } else if (!last) {
        size -= stop_begun(text, size, t->stop);
    }
    while (size > t->begin && is_blank(text[size - 1])) size--;
    return size;
}

static void tell(teller *t, bool last)
{
    char saved;
    while (t->begin < t->text.size && is_blank(t->text.data[t->begin])) t->begin++;
    if (t->told < t->begin) t->told = t->begin;
    size_t end = answer_end(t, last);
    if (end <= t->told || !t->callback || t->refused) return;
    saved = t->text.data[end];
    t->text.data[end] = '\0';
    t->refused = !t->callback(t->user, t->text.data + t->told);
    t->text.data[end] = saved;
    t->told = end;
}

static bool on_token(void *user, int64_t row, int64_t token, const char *text)
{
    teller *t = user;
    (void)row;
    (void)token;
    if (text && *text && oci_bytes_append_text(t->cx, &t->text, text) == OC_OK) tell(t, false);
    return !t->stopped && !t->refused && !oci_failed(t->cx);
}

/* The whole answer, the parts that were told already and the rest: a new string. */
static char *finish_answer(oc_context *cx, const oc_chat *chat, const oci_decoding *d, teller *t)
{
    size_t size;
    char *text = oc_decode(cx, chat->tokenizer, d->ids + d->prompt,
                           (size_t)(d->length - d->prompt), true, OC_CLEAN_UP_DEFAULT, &size);
    if (!text) return NULL;
    t->text.size = 0;
    oci_bytes_append(cx, &t->text, text, size);
    oc_string_free(text);
    if (oci_failed(cx)) return NULL;
    tell(t, true);
    size_t end = answer_end(t, true);
    char *answer = oci_alloc(cx, end - t->begin + 1);
    if (!answer) return NULL;
    memcpy(answer, t->text.data ? t->text.data + t->begin : "", end - t->begin);
    answer[end - t->begin] = '\0';
    return answer;
}

/* Whatever came of it, a cancel too, these ids are in the cache now; there is room for all
 * that the cache can hold. */
static void remember(oc_chat *chat, const oci_decoding *d)
{
    memcpy(chat->read, d->ids, (size_t)d->cache->length * sizeof *chat->read);
}

/* The answer's last id is an end token, or the stop came. */
static bool is_whole(const oci_decoding *d, const teller *t)
{
    return t->stopped || (d->length > d->prompt && oci_is_eos(&d->g, d->ids[d->length - 1]));
}

static char *answer(oc_context *cx, oc_chat *chat, const oc_tensors *in, teller *t, bool *whole)
{
    oci_decoding d = { 0 };
    const oc_generate_options how = { .size = sizeof how, .config = chat->config,
                                      .callback = on_token, .callback_user = t,
                                      .first_picture = (int64_t)chat->turn_count };
    oci_arena_mark mark = oci_mark(cx);
    char *text = NULL;
    if (oci_decoding_begin_as(cx, &d, chat->model, &oci_chat_family, chat, in, &how)) {
        chat->fresh = d.prompt - d.cache->length;
        if (oci_decoding_run(cx, &d) == OC_OK) text = finish_answer(cx, chat, &d, t);
        *whole = is_whole(&d, t);
        remember(chat, &d);
    }
    d.cache = NULL;                     /* the chat's */
    oci_decoding_end(&d);
    oci_arena_reset(&cx->arena, mark);
    return text;
}

static const char *add_turn(oc_context *cx, oc_chat *chat, const char *question, char *text,
                            bool whole)
{
    oci_turn *turns = grow(cx, chat->turns, &chat->turn_room, chat->turn_count, sizeof *turns);
    char *copy = turns ? copy_text(cx, question) : NULL;
    if (turns) chat->turns = turns;
    if (!copy) {
        oci_free(text);
        return NULL;
    }
    turns[chat->turn_count++] = (oci_turn){ copy, text, chat->waiting, whole };
    chat->waiting = 0;
    return text;
}

const char *oc_chat_say(oc_context *cx, oc_chat *chat, const char *question,
                        oc_chat_callback callback, void *user)
{
    if (!oci_given(cx, chat, __func__, "a chat") ||
        !oci_given(cx, question, __func__, "a question"))
        return NULL;
    oci_bytes prompt;
    oci_bytes_init(&prompt, (size_t)cx->limits.text_bytes);
    teller t = { .cx = cx, .stop = chat->style->stop, .callback = callback, .user = user };
    oci_bytes_init(&t.text, SIZE_MAX / 4);
    oc_tensors *in = write_prompt(cx, chat, question, &prompt) == OC_OK
                         ? read_prompt(cx, chat, prompt.data ? prompt.data : "", prompt.size)
                         : NULL;
    bool whole = false;
    char *text = in ? answer(cx, chat, in, &t, &whole) : NULL;
    oc_tensors_free(in);
    oci_bytes_deinit(&prompt);
    oci_bytes_deinit(&t.text);
    if (text && oci_failed(cx)) {
        oci_free(text);
        text = NULL;
    }
    return text ? add_turn(cx, chat, question, text, whole) : NULL;
}

/* ---- what was said ---- */

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
    if (!oci_given(cx, chat, __func__, "a chat")) return cx ? cx->status : OC_E_MEMORY;
    if (chat->turn_count == 0 && chat->waiting == 0)
        return oci_fail(cx, OC_E_ARGUMENT, "expected a question to take back, found none");
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
