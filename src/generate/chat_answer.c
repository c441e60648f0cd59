/* Answers: a question's prompt is read, and then one id follows the other, in one
 * conversation or in several at a time, until each has come to its end. */
#include <string.h>

#include "generate/chat.h"

/* ---- telling ---- */

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/* How many bytes at the end of text[0 … size) may be the beginning of `stop`. */
static size_t stop_begun(const char *text, size_t size, const char *stop)
{
    size_t n = stop ? strlen(stop) : 0;
    for (size_t k = n ? n - 1 : 0; k > 0; k--)
        if (k <= size && !memcmp(text + size - k, stop, k)) return k;
    return 0;
}

/* Where the answer ends, as far as is known: before the stop, or what could be one, and
 * blanks. */
static size_t answer_end(oci_teller *t, bool last)
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

static void tell(oci_teller *t, bool last)
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

/* False ends the answer, and so does text that there was no memory for: the ids are kept,
 * and oc_chat_end makes the text anew of them. */
static bool on_token(void *user, int64_t row, int64_t token, const char *text)
{
    oci_teller *t = user;
    (void)row;
    (void)token;
    if (text && *text && oci_bytes_append_text(t->cx, &t->text, text) == OC_OK)
        tell(t, false);
    return !t->stopped && !t->refused && !oci_failed(t->cx);
}

/* The whole answer, the parts that were told already and the rest: a new string. */
static char *finish_text(oc_context *cx, oc_chat *chat)
{
    const oci_decoding *d = &chat->decoding;
    oci_teller *t = &chat->teller;
    size_t size;
    char *text = oc_decode(cx, chat->tokenizer, d->ids + d->prompt,
                           (size_t)(d->length - d->prompt), true, OC_CLEAN_UP_DEFAULT,
                           &size);
    if (!text) return NULL;
    t->text.size = 0;
    oci_bytes_append(cx, &t->text, text, size);
    oc_string_free(text);
    if (oci_failed(cx)) return NULL;
    if (t->begin > t->text.size) t->begin = t->told = t->text.size;
    tell(t, true);
    size_t end = answer_end(t, true);
    return oci_strndup(cx, t->text.data ? t->text.data + t->begin : "", end - t->begin);
}

/* ---- the answer under way ---- */

/* Whatever came of it, a cancel too, these ids are in the cache now. An id of the answer
 * that is by its number a picture's stands for a word: no prompt will have it in that
 * place. */
static void remember(oc_chat *chat)
{
    const oci_decoding *d = &chat->decoding;
    int64_t n = chat->cache && d->ids ? chat->cache->length : 0;
    for (int64_t t = 0; t < n; t++) {
        bool picture = d->ids[t] == chat->image_id;
        chat->read[t] = picture && t >= d->prompt ? -1 : d->ids[t];
    }
}

void oci_chat_drop(oc_chat *chat)
{
    if (!chat->answering) return;
    remember(chat);
    chat->decoding.cache = NULL;            /* the chat's */
    oci_decoding_end(&chat->decoding);
    oci_bytes_deinit(&chat->teller.text);
    oci_free(chat->question);
    chat->question = NULL;
    chat->answering = false;
}

static void read_question(oc_context *cx, oc_chat *chat, const oc_tensors *in)
{
    oci_decoding *d = &chat->decoding;
    const oc_generate_options how = { .size = sizeof how, .config = chat->config,
                                      .callback = on_token,
                                      .callback_user = &chat->teller,
                                      .first_picture = (int64_t)chat->turn_count };
    oci_arena_mark mark = oci_mark(cx);
    if (oci_decoding_begin_as(cx, d, chat->model, &oci_chat_family, chat, in, &how)) {
        chat->fresh = d->prompt - d->cache->length;
        if (!oci_step_barred(cx, d)) oci_search_step(cx, d);
    }
    d->given = NULL;                        /* it was in the arena; d->ids has the same */
    oci_arena_reset(&cx->arena, mark);
}

oc_status oc_chat_begin(oc_context *cx, oc_chat *chat, const char *question,
                        oc_chat_callback callback, void *user)
{
    if (!oci_given(cx, chat, __func__, "a chat") ||
        !oci_given(cx, question, __func__, "a question"))
        return cx ? cx->status : OC_E_MEMORY;
    if (chat->answering)
        return oci_fail(cx, OC_E_ARGUMENT,
                        "%s: expected no answer under way: oc_chat_end comes first",
                        __func__);
    oc_tensors *in = oci_chat_prompt(cx, chat, question);
    chat->question = in ? oci_strdup(cx, question) : NULL;
    if (chat->question) {
        chat->answering = true;
        chat->decoding = (oci_decoding){ 0 };
        chat->teller = (oci_teller){
            .cx = cx, .stop = chat->style->stop, .callback = callback, .user = user
        };
        oci_bytes_init(&chat->teller.text, SIZE_MAX / 4);
        read_question(cx, chat, in);
        if (oci_failed(cx)) oci_chat_drop(chat);
    }
    oc_tensors_free(in);
    return cx->status;
}

/* ---- steps ---- */

static bool goes_on(const oc_chat *chat)
{
    return chat->answering && oci_search_goes_on(&chat->decoding);
}

/* One id more in each of `count` chats that go on together. */
static void step_together(oc_context *cx, oc_chat *const *chats, size_t count)
{
    oci_arena_mark mark = oci_mark(cx);
    const oci_tensor *logits = oci_chat_pass_many(cx, chats, count);
    for (size_t i = 0; logits && i < count && !oci_failed(cx); i++) {
        oci_decoding *d = &chats[i]->decoding;
        int64_t V = d->shape.vocab_size;
        const oci_tensor *own = oci_tensor_view(cx, logits, OCI_SHAPE(1, 1, V),
                                                (int64_t)i * V);
        if (own) oci_step_check(cx, d, own);
        if (own && !oci_failed(cx)) oci_search_decide(cx, d, own);
    }
    oci_arena_reset(&cx->arena, mark);
}

/* Those that can be one pass are, and the others have one each. */
static void step_all(oc_context *cx, oc_chat *const *chats, size_t count,
                     oc_chat **together)
{
    size_t n = 0;
    for (size_t i = 0; i < count && !oci_failed(cx); i++) {
        oci_decoding *d = &chats[i]->decoding;
        chats[i]->teller.cx = cx;
        if (!goes_on(chats[i]) || oci_step_barred(cx, d)) continue;
        /* The last id is read again if its step failed behind the pass. */
        chats[i]->cache->length = d->length - 1;
        if (oci_chat_joins(chats[i])) together[n++] = chats[i];
        else oci_search_step(cx, d);
    }
    if (n == 1 && !oci_failed(cx)) oci_search_step(cx, &together[0]->decoding);
    if (n > 1 && !oci_failed(cx)) step_together(cx, together, n);
}

static bool check_chats(oc_context *cx, oc_chat *const *chats, size_t count,
                        const char *call)
{
    if (!oci_given(cx, count ? chats : NULL, call, "chats")) return false;
    for (size_t i = 0; i < count; i++) {
        if (!oci_given(cx, chats[i], call, "a chat")) return false;
        if (!chats[i]->answering)
            oci_fail(cx, OC_E_ARGUMENT, "%s: chat %zu: expected an answer under way",
                     call, i);
        if (chats[i]->model != chats[0]->model)
            oci_fail(cx, OC_E_ARGUMENT, "%s: chat %zu: expected the model of the first",
                     call, i);
        for (size_t k = 0; k < i; k++)
            if (chats[k] == chats[i])
                oci_fail(cx, OC_E_ARGUMENT,
                         "%s: chat %zu: expected another than chat %zu", call, i, k);
    }
    return !oci_failed(cx);
}

size_t oc_chat_step(oc_context *cx, oc_chat *const *chats, size_t count)
{
    size_t left = 0;
    if (!check_chats(cx, chats, count, __func__)) return 0;
    oc_chat **together = oci_calloc(cx, count, sizeof(oc_chat *));
    if (together) step_all(cx, chats, count, together);
    oci_free(together);
    for (size_t i = 0; i < count && !oci_failed(cx); i++) left += goes_on(chats[i]);
    return left;
}

/* ---- the end ---- */

/* The answer's last id is an end token, or the stop came. */
static bool is_whole(const oc_chat *chat)
{
    const oci_decoding *d = &chat->decoding;
    return chat->teller.stopped ||
           (d->length > d->prompt && oci_is_eos(&d->g, d->ids[d->length - 1]));
}

const char *oc_chat_end(oc_context *cx, oc_chat *chat)
{
    if (!cx || !chat) return NULL;
    if (!chat->answering && !oci_failed(cx))
        oci_fail(cx, OC_E_ARGUMENT, "%s: expected an answer under way", __func__);
    if (!chat->answering) return NULL;
    chat->teller.cx = cx;
    oci_cancelled(cx);                      /* by the callback of the last token, say */
    char *text = oci_failed(cx) ? NULL : finish_text(cx, chat);
    bool whole = is_whole(chat);
    if (!whole && chat->decoding.length >= chat->context)
        oci_log(cx, OC_LOG_WARNING,
                "the conversation takes all %lld positions: the answer stops there",
                (long long)chat->context);
    if (text && !oci_chat_add_turn(cx, chat, chat->question, text, whole)) text = NULL;
    oci_chat_drop(chat);
    return text;
}

const char *oc_chat_say(oc_context *cx, oc_chat *chat, const char *question,
                        oc_chat_callback callback, void *user)
{
    if (oc_chat_begin(cx, chat, question, callback, user) != OC_OK) return NULL;
    while (!oci_failed(cx) && goes_on(chat)) oc_chat_step(cx, &chat, 1);
    return oc_chat_end(cx, chat);
}
