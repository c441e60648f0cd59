/* Several conversations on one model: side by side they have the answers that each has
 * alone, whatever becomes of the others; keys and values in 32, 16 or 8 bits; memory that
 * is taken as it is used; and faults at every point of reading and answering. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/faults.h"
#include "generate/chat.h"
#include "ocelli.h"

enum { CHATS = 3, TURNS = 2, TEXT = 512 };

static oc_context *shared;              /* holds the model that all tests use */
static oc_model *model;

static const oc_dtype dtypes[] = { OC_F32, OC_BF16, OC_INT8 };
static const char *const questions[CHATS][TURNS] = {
    { "What is in the picture?", "What color is the background?" },
    { "How many objects are there?", "What is in the white mask contour?" },
    { "What color is the background?", "What is in the picture?" },
};

static int open_model(void **state)
{
    (void)state;
    shared = oc_context_create(NULL);
    model = oc_model_open(shared, "models/emoji-chat", NULL);
    if (!model) print_message("%s\n", oc_context_message(shared));
    return model ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    oc_model_close(model);
    oc_context_free(shared);
    return 0;
}

static void assert_fine(const oc_context *cx)
{
    if (oc_context_status(cx) != OC_OK) fail_msg("%s", oc_context_message(cx));
}

/* Chats 0 and 1 are about two pictures, chat 2 samples its answers. */
static oc_chat *begin(oc_context *cx, int number, oc_dtype kv_dtype)
{
    const oc_chat_options o = OC_OPTIONS(oc_chat_options, .kv_dtype = kv_dtype,
        .config = number == 2
                      ? "{\"max_new_tokens\": 30, \"do_sample\": true, \"seed\": 3}"
                      : "{\"max_new_tokens\": 30}");
    oc_chat *chat = oc_chat_create(cx, model, &o);
    const char *path = number == 1 ? "examples/scenes/scene-05.png"
                                   : "examples/scenes/scene-06.png";
    oc_image *image = oc_image_open(cx, path, NULL);
    oc_chat_add_image(cx, chat, image);
    oc_image_free(image);
    assert_fine(cx);
    return chat;
}

typedef struct told {
    char text[TEXT];
    int pieces, most;               /* most > 0: enough after so many */
} told;

static bool take(void *user, const char *text)
{
    told *t = user;
    assert_true(strlen(t->text) + strlen(text) < TEXT);
    strcat(t->text, text);
    return ++t->pieces != t->most;
}

/* The answers that each chat gives alone. */
static void answer_alone(oc_context *cx, oc_dtype kv_dtype,
                         char answers[CHATS][TURNS][TEXT])
{
    for (int i = 0; i < CHATS; i++) {
        oc_chat *chat = begin(cx, i, kv_dtype);
        for (int turn = 0; turn < TURNS; turn++) {
            const char *text = oc_chat_say(cx, chat, questions[i][turn], NULL, NULL);
            assert_fine(cx);
            snprintf(answers[i][turn], TEXT, "%s", text);
        }
        oc_chat_free(chat);
    }
}

/* ---- side by side ---- */

static void check_together(oc_dtype kv_dtype)
{
    char alone[CHATS][TURNS][TEXT];
    oc_context *cx = oc_context_create(NULL);
    oc_chat *chats[CHATS];
    answer_alone(cx, kv_dtype, alone);
    for (int i = 0; i < CHATS; i++) chats[i] = begin(cx, i, kv_dtype);
    for (int turn = 0; turn < TURNS; turn++) {
        told t[CHATS] = { 0 };
        for (int i = 0; i < CHATS; i++)
            assert_int_equal(oc_chat_begin(cx, chats[i], questions[i][turn], take, &t[i]),
                             OC_OK);
        for (size_t left = CHATS; left > 0;) {
            size_t now = oc_chat_step(cx, chats, CHATS);
            assert_fine(cx);
            assert_true(now <= left);
            left = now;
        }
        for (int i = 0; i < CHATS; i++) {
            assert_string_equal(oc_chat_end(cx, chats[i]), alone[i][turn]);
            assert_string_equal(t[i].text, alone[i][turn]);
        }
        assert_fine(cx);
    }
    for (int i = 0; i < CHATS; i++) oc_chat_free(chats[i]);
    oc_context_free(cx);
}

static void together(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) check_together(dtypes[i]);
}

/* The logits themselves: the same bits in company as alone. */
static void same_logits(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oc_chat *chats[CHATS];
    for (int i = 0; i < CHATS; i++) {
        chats[i] = begin(cx, i, dtypes[i]);         /* of different kinds, even */
        assert_int_equal(oc_chat_begin(cx, chats[i], questions[i][0], NULL, NULL), OC_OK);
        assert_true(oci_chat_joins(chats[i]));
    }
    const oci_tensor *all = oci_chat_pass_many(cx, chats, CHATS);
    assert_fine(cx);
    for (int i = 0; i < CHATS; i++) {
        chats[i]->cache->length--;                  /* once more, alone */
        const oci_tensor *own = oci_step_logits(cx, &chats[i]->decoding, NULL);
        assert_fine(cx);
        int64_t V = chats[i]->decoding.shape.vocab_size;
        assert_memory_equal(oci_f32(own), oci_f32(all) + i * V,
                            (size_t)V * sizeof(float));
        oc_chat_free(chats[i]);
    }
    oc_context_free(cx);
}

/* One of them ends after any number of tokens, in any way; the others do not notice, and
 * it can ask again. */
enum { BY_CALLBACK, BY_END, BY_FREE, BY_CANCEL, WAYS };

static void check_leaving(oc_context *cx, int way, int after,
                          char alone[CHATS][TURNS][TEXT])
{
    oc_chat *chats[CHATS], *others[] = { NULL, NULL };
    told t = { .most = way == BY_CALLBACK ? after + 1 : 0 };
    for (int i = 0; i < CHATS; i++) chats[i] = begin(cx, i, OC_F32);
    for (int i = 0; i < CHATS; i++)
        oc_chat_begin(cx, chats[i], questions[i][0], i == 0 ? take : NULL, &t);
    assert_fine(cx);
    for (int i = 0; i < after; i++) oc_chat_step(cx, chats, CHATS);
    others[0] = chats[1];
    others[1] = chats[2];
    if (way == BY_END) {
        assert_non_null(oc_chat_end(cx, chats[0]));
    } else if (way == BY_FREE) {
        oc_chat_free(chats[0]);
    } else if (way == BY_CANCEL) {
        oc_context_cancel(cx);
        assert_int_equal(oc_chat_step(cx, chats, CHATS), 0);
        assert_int_equal(oc_context_status(cx), OC_E_CANCELLED);
        assert_null(oc_chat_end(cx, chats[0]));
        assert_int_equal(oc_chat_count(chats[0]), 0);
        oc_context_clear(cx);
    }
    if (way == BY_CALLBACK) {
        while (oc_chat_step(cx, chats, CHATS) > 0) assert_fine(cx);
        assert_non_null(oc_chat_end(cx, chats[0]));
    } else {
        while (oc_chat_step(cx, others, 2) > 0) assert_fine(cx);
    }
    for (int i = 1; i < CHATS; i++)
        assert_string_equal(oc_chat_end(cx, chats[i]), alone[i][0]);
    assert_fine(cx);
    if (way != BY_FREE) {
        if (way != BY_CANCEL) oc_chat_undo(cx, chats[0]);
        if (way != BY_CANCEL) {
            oc_image *image = oc_image_open(cx, "examples/scenes/scene-06.png", NULL);
            oc_chat_add_image(cx, chats[0], image);
            oc_image_free(image);
        }
        assert_string_equal(oc_chat_say(cx, chats[0], questions[0][0], NULL, NULL),
                            alone[0][0]);
        oc_chat_free(chats[0]);
    }
    oc_chat_free(chats[1]);
    oc_chat_free(chats[2]);
}

static void leaving(void **state)
{
    (void)state;
    char alone[CHATS][TURNS][TEXT];
    oc_context *cx = oc_context_create(NULL);
    answer_alone(cx, OC_F32, alone);
    for (int way = 0; way < WAYS; way++)
        for (int after = 0; after < 5; after += 2) check_leaving(cx, way, after, alone);
    oc_context_free(cx);
}

/* After a cancel at any token the same chats go on where they were. */
static void resumed(void **state)
{
    (void)state;
    char alone[CHATS][TURNS][TEXT];
    oc_context *cx = oc_context_create(NULL);
    answer_alone(cx, OC_F32, alone);
    oc_chat *chats[CHATS];
    for (int i = 0; i < CHATS; i++) {
        chats[i] = begin(cx, i, OC_F32);
        oc_chat_begin(cx, chats[i], questions[i][0], NULL, NULL);
    }
    for (size_t left = CHATS; left > 0;) {
        oc_context_cancel(cx);
        assert_int_equal(oc_chat_step(cx, chats, CHATS), 0);
        assert_int_equal(oc_context_status(cx), OC_E_CANCELLED);
        oc_context_clear(cx);
        left = oc_chat_step(cx, chats, CHATS);
        assert_fine(cx);
    }
    for (int i = 0; i < CHATS; i++) {
        assert_string_equal(oc_chat_end(cx, chats[i]), alone[i][0]);
        oc_chat_free(chats[i]);
    }
    oc_context_free(cx);
}

static void wrong_order(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oc_chat *chat = begin(cx, 0, OC_F32), *twice[] = { chat, chat };
    assert_int_equal(oc_chat_step(cx, &chat, 1), 0);
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oc_chat_end(cx, chat));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_chat_begin(cx, chat, "What?", NULL, NULL);
    assert_fine(cx);
    assert_int_equal(oc_chat_begin(cx, chat, "Why?", NULL, NULL), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_int_equal(oc_chat_undo(cx, chat), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oc_chat_say(cx, chat, "Why?", NULL, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_int_equal(oc_chat_step(cx, twice, 2), 0);
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_int_equal(oc_chat_step(cx, NULL, 0), 0);
    oc_context_clear(cx);
    oc_chat_free(chat);             /* with its answer under way */
    oc_chat_options o = OC_OPTIONS(oc_chat_options, .kv_dtype = OC_F16);
    assert_null(oc_chat_create(cx, model, &o));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_free(cx);
}

/* ---- memory ---- */

/* A conversation that may become very long costs what it is. */
static void pays_as_it_goes(void **state)
{
    (void)state;
    uint64_t bytes[3];
    for (int i = 0; i < 3; i++) {
        oc_context *cx = oc_context_create(NULL);
        const oc_chat_options o = OC_OPTIONS(oc_chat_options, .context = 1000000,
            .kv_dtype = dtypes[i], .config = "{\"max_new_tokens\": 2}");
        oc_chat *chat = oc_chat_create(cx, model, &o);
        assert_non_null(oc_chat_say(cx, chat, "What?", NULL, NULL));
        const oci_cache *cache = chat->cache;
        bytes[i] = cache->memory->charged;
        /* All positions would take far more than there may be held. */
        assert_true(cache->memory->size > (uint64_t)1000000 * cache->position_bytes);
        assert_true(bytes[i] <= (uint64_t)(cache->length + 64) * cache->position_bytes);
        assert_true(bytes[i] >= (uint64_t)cache->length * cache->position_bytes);
        oc_chat_free(chat);
        oc_context_free(cx);
    }
    assert_true(bytes[1] * 2 == bytes[0] && bytes[2] * 3 < bytes[0]);
}

/* The budget is met when positions are used, not before, and the conversation is as it
 * was. */
static void budget(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oc_chat *chat = begin(cx, 0, OC_F32);
    oc_chat_say(cx, chat, questions[0][0], NULL, NULL);
    assert_fine(cx);
    uint64_t live = oc_context_memory(cx).live_bytes;
    cx->heap->budget = live + 1000;
    assert_null(oc_chat_say(cx, chat, questions[0][1], NULL, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
    oc_context_clear(cx);
    cx->heap->budget = 0;
    assert_int_equal(oc_chat_count(chat), 1);
    char alone[CHATS][TURNS][TEXT];
    answer_alone(cx, OC_F32, alone);
    assert_string_equal(oc_chat_say(cx, chat, questions[0][1], NULL, NULL), alone[0][1]);
    oc_chat_free(chat);
    oc_context_free(cx);
}

/* ---- faults ---- */

static void fault_job(oc_context *cx, void *user)
{
    static const uint8_t rgb[32 * 32 * 3];
    const oc_chat_options o = OC_OPTIONS(oc_chat_options, .kv_dtype = *(oc_dtype *)user,
                                         .config = "{\"max_new_tokens\": 3}");
    oc_chat *chats[2] = { oc_chat_create(cx, model, &o), oc_chat_create(cx, model, &o) };
    oc_image *image = oc_image_create(cx, 32, 32, rgb);
    oc_chat_add_image(cx, chats[0], image);
    if (chats[0] && chats[1]) {
        oc_chat_begin(cx, chats[0], "What?", NULL, NULL);
        oc_chat_begin(cx, chats[1], "Why?", NULL, NULL);
        while (oc_chat_step(cx, chats, 2) > 0) { }
        oc_chat_end(cx, chats[0]);
        oc_chat_end(cx, chats[1]);
    }
    oc_image_free(image);
    oc_chat_free(chats[0]);
    oc_chat_free(chats[1]);
}

static void every_fault(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        oc_dtype dtype = dtypes[i];
        fault_plan plan = { .job = fault_job, .user = &dtype, .may_recover = true };
        assert_true(fault_loop(&plan) > 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together),    cmocka_unit_test(same_logits),
        cmocka_unit_test(leaving),     cmocka_unit_test(resumed),
        cmocka_unit_test(wrong_order), cmocka_unit_test(pays_as_it_goes),
        cmocka_unit_test(budget),      cmocka_unit_test(every_fault),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
