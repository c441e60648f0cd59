/* One model, several threads: conversations and generation at the same time, each with a
 * context of its own, have the answers that they have one after the other. Under
 * ThreadSanitizer this shows that a model is only read. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ocelli.h"

enum { THREADS = 3, TURNS = 2, TEXT = 256, NEW = 6 };

typedef struct job {
    oc_model *model;
    int number;
    oc_status status;
    char text[TURNS][TEXT];         /* of a conversation */
    int64_t ids[64];                /* of generation */
    int64_t count;
} job;

/* Two conversations about two pictures; the second keeps its keys in 8 bits. */
static void talk(oc_context *cx, job *j)
{
    static const char *const scenes[] = { "examples/scenes/scene-06.png",
                                          "examples/scenes/scene-05.png" };
    static const char *const questions[] = { "What is in the picture?",
                                             "What color is the background?" };
    const oc_chat_options o = OC_OPTIONS(oc_chat_options,
        .config = "{\"max_new_tokens\": 8}", .kv_dtype = j->number ? OC_INT8 : OC_F32);
    oc_chat *chat = oc_chat_create(cx, j->model, &o);
    oc_image *image = oc_image_open(cx, scenes[j->number], NULL);
    oc_chat_add_image(cx, chat, image);
    for (int i = 0; i < TURNS; i++) {
        const char *text = oc_chat_say(cx, chat, questions[i], NULL, NULL);
        if (text) snprintf(j->text[i], TEXT, "%s", text);
    }
    oc_image_free(image);
    oc_chat_free(chat);
}

static void generate(oc_context *cx, job *j)
{
    static const int64_t ids[] = { 1, 9, 11, 30, 42, 17, 1, 5, 80, 23, 64, 12 };
    const int64_t shape[] = { 2, 6 };
    oc_tensor_view view = { .data = NULL };
    const oc_generate_options o = OC_OPTIONS(oc_generate_options,
        .config = "{\"max_new_tokens\": 6, \"min_new_tokens\": 6, \"num_beams\": 2}");
    oc_tensors *in = oc_tensors_create(cx);
    oc_tensors_add(cx, in, "input_ids", OC_I64, 2, shape, ids);
    oc_tensors *out = oc_generate(cx, j->model, in, &o);
    if (out && oc_tensors_find(out, "sequences", &view)) {
        j->count = view.shape[0] * view.shape[1];
        assert_true(view.bytes <= sizeof j->ids);
        memcpy(j->ids, view.data, view.bytes);
    }
    oc_tensors_free(out);
    oc_tensors_free(in);
}

static void *run(void *user)
{
    job *j = user;
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 2));
    if (j->number < 2) talk(cx, j);
    else generate(cx, j);
    j->status = oc_context_status(cx);
    if (j->status != OC_OK) snprintf(j->text[0], TEXT, "%s", oc_context_message(cx));
    oc_context_free(cx);
    return NULL;
}

static void one_model_in_threads(void **state)
{
    (void)state;
    static job alone[THREADS], together[THREADS];
    pthread_t threads[THREADS];
    oc_context *cx = oc_context_create(NULL);
    oc_model *model = oc_model_open(cx, "models/emoji-chat", NULL);
    if (!model) fail_msg("%s", oc_context_message(cx));
    for (int i = 0; i < THREADS; i++) {
        alone[i] = together[i] = (job){ .model = model, .number = i };
        run(&alone[i]);
        if (alone[i].status != OC_OK) fail_msg("%s", alone[i].text[0]);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &together[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (together[i].status != OC_OK) fail_msg("%s", together[i].text[0]);
        for (int turn = 0; turn < TURNS; turn++)
            assert_string_equal(together[i].text[turn], alone[i].text[turn]);
        assert_int_equal(together[i].count, alone[i].count);
        assert_memory_equal(together[i].ids, alone[i].ids, sizeof alone[i].ids);
    }
    assert_true(alone[0].text[0][0] && alone[1].text[1][0]);
    assert_true(alone[2].count >= 2 * (6 + NEW));
    oc_model_close(model);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_model_in_threads) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
