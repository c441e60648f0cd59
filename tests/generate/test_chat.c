/* Conversations: prompts as the templates have them, answers as Transformers gives them
 * turn by turn, what is read again and what is not, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/context.h"
#include "faults/faults.h"
#include "ocelli.h"
#include "text/prompt.h"

static oc_context *shared;              /* holds the model that all tests use */
static oc_model *model;                 /* NULL: emoji-chat is not there */

static const char *shared_folder(void)
{
    const char *folder = getenv("OCELLI_SHARED");
    return folder ? folder : "../shared";
}

static int open_model(void **state)
{
    (void)state;
    char path[4096] = "models/emoji-chat";
    if (access("models/emoji-chat/config.json", R_OK))
        snprintf(path, sizeof path, "%s/models/emoji-chat", shared_folder());
    shared = oc_context_create(NULL);
    model = oc_model_open(shared, path, NULL);
    if (!model) print_message("%s is not there: skipped\n", path);
    oc_context_clear(shared);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    oc_model_close(model);
    oc_context_free(shared);
    return 0;
}

static void need_model(void)
{
    if (!model) skip();
}

static void assert_fine(const oc_context *cx)
{
    if (oc_context_status(cx) != OC_OK) fail_msg("%s", oc_context_message(cx));
}

/* A scene of the examples, or of the shared set; NULL: not there. */
static oc_image *open_scene(oc_context *cx, const char *name)
{
    char path[4200];
    snprintf(path, sizeof path, "examples/scenes/%s", name);
    if (access(path, R_OK))
        snprintf(path, sizeof path, "%s/images/emoji/%s", shared_folder(), name);
    if (access(path, R_OK)) return NULL;
    oc_image *image = oc_image_open(cx, path, NULL);
    assert_fine(cx);
    return image;
}

static oc_chat *begin(oc_context *cx, const oc_chat_options *o, const char *scene)
{
    oc_chat *chat = oc_chat_create(cx, model, o);
    oc_image *image = open_scene(cx, scene);
    oc_chat_add_image(cx, chat, image);
    oc_image_free(image);
    assert_fine(cx);
    return chat;
}

/* ---- prompts ----------------------------------------------------------------------- */

static char *conversation(oc_context *cx, const oci_prompt_style *style, size_t images)
{
    oci_bytes text;
    oci_bytes_init(&text, 1 << 16);
    oci_prompt_begin(cx, style, "", &text);
    oci_prompt_ask(cx, style, true, "What is it?", images, &text);
    oci_prompt_answer(cx, style, "A cat.", &text);
    oci_prompt_ask(cx, style, false, "And there?", 0, &text);
    assert_fine(cx);
    return oci_bytes_take(cx, &text);
}

static void templates(void **state)
{
    (void)state;
    FILE *file = fopen("tests/data/generate/prompts.jsonl", "r");
    assert_non_null(file);
    static char line[1 << 16];
    oc_context *cx = oc_context_create(NULL);
    int count = 0;
    while (fgets(line, sizeof line, file)) {
        json_t *golden = json_loads(line, 0, NULL);
        assert_non_null(golden);
        const char *template = json_string_value(json_object_get(golden, "template"));
        const char *text = json_string_value(json_object_get(golden, "text"));
        const oci_prompt_style *style = oci_prompt_style_of(cx, "here", template);
        assert_fine(cx);
        assert_string_equal(style->name,
                            json_string_value(json_object_get(golden, "style")));
        char *have = conversation(cx, style,
                                  json_is_true(json_object_get(golden, "images")));
        /* The tokenizer writes the first <s>. */
        if (!strncmp(text, "<s>", 3)) text += 3;
        assert_string_equal(have, text);
        oc_string_free(have);
        char other[8192];
        snprintf(other, sizeof other, "%s ", template);
        assert_ptr_equal(oci_prompt_style_of(cx, "here", other), style);
        snprintf(other, sizeof other, "%s{{ x }}", template);
        assert_null(oci_prompt_style_of(cx, "here", other));
        assert_int_equal(oc_context_status(cx), OC_E_UNSUPPORTED);
        oc_context_clear(cx);
        json_decref(golden);
        count++;
    }
    fclose(file);
    assert_int_equal(count, 4);
    oc_context_free(cx);
}

static void placeholders(void **state)
{
    (void)state;
    static const struct {
        const char *question;
        size_t images;
        const char *text;       /* NULL: refused */
    } cases[] = {
        { "Q", 0, "###Human: Q###Assistant:" },
        { "Q", 2, "###Human: <image>\n<image>\nQ###Assistant:" },
        { "is <image> as <image>?", 2, "###Human: is <image> as <image>?###Assistant:" },
        { "is <image>?", 0, NULL },
        { "is <image>?", 2, NULL },
    };
    oc_context *cx = oc_context_create(NULL);
    const oci_prompt_style *style = oci_prompt_style_find(cx, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        oci_bytes text;
        oci_bytes_init(&text, 1 << 12);
        oci_prompt_ask(cx, style, true, cases[i].question, cases[i].images, &text);
        if (cases[i].text) assert_string_equal(text.data, cases[i].text);
        assert_int_equal(oc_context_status(cx), cases[i].text ? OC_OK : OC_E_ARGUMENT);
        oci_bytes_deinit(&text);
        oc_context_clear(cx);
    }
    assert_null(oci_prompt_style_find(cx, "alpaca"));
    assert_non_null(strstr(oc_context_message(cx), "vipllava, vicuna, llava, llama or "
                                                   "plain"));
    oc_context_free(cx);
}

/* Where a folder says how it wants to be asked. */
static void folders(void **state)
{
    (void)state;
    char folder[] = "/tmp/ocelli-chat-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    oc_context *cx = oc_context_create(NULL);
    assert_string_equal(oci_prompt_style_open(cx, folder)->name, "vipllava");
    static const struct {
        const char *file, *text, *words;
    } cases[] = {
        { "tokenizer_config.json", "{\"chat_template\": null}", NULL },
        { "tokenizer_config.json", "{\"chat_template\": 7}", "chat_template" },
        { "chat_template.json", "{\"chat_template\": \"{{ cycler.__init__ }}\"}",
          "chat_template.json: chat_template: not one that is known here" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, cases[i].file);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(cases[i].text, file);
        fclose(file);
        const oci_prompt_style *style = oci_prompt_style_open(cx, folder);
        assert_int_equal(!style, cases[i].words != NULL);
        if (cases[i].words && !strstr(oc_context_message(cx), cases[i].words))
            fail_msg("%s", oc_context_message(cx));
        oc_context_clear(cx);
        unlink(path);
    }
    rmdir(folder);
    oc_context_free(cx);
}

/* ---- answers ----------------------------------------------------------------------- */

typedef struct pieces {
    char text[4096];
    size_t size;
    int count, most;            /* most > 0: enough after so many */
    oc_context *cancel;
} pieces;

static bool take(void *user, const char *text)
{
    pieces *p = user;
    size_t n = strlen(text);
    assert_true(n > 0 && p->size + n < sizeof p->text);
    memcpy(p->text + p->size, text, n + 1);
    p->size += n;
    if (p->cancel) oc_context_cancel(p->cancel);
    return ++p->count != p->most;
}

static void check_turns(oc_context *cx, const json_t *golden, oc_image *image,
                        oc_dtype kv_dtype)
{
    const char *style = json_string_value(json_object_get(golden, "style"));
    const oc_chat_options o = OC_OPTIONS(oc_chat_options, .style = style,
                                         .config = "{\"max_new_tokens\": 40}",
                                         .kv_dtype = kv_dtype);
    oc_chat *chat = oc_chat_create(cx, model, &o);
    oc_chat_add_image(cx, chat, image);
    size_t i;
    json_t *turn;
    json_array_foreach(json_object_get(golden, "turns"), i, turn) {
        pieces p = { .text = "" };
        const char *want = json_string_value(json_object_get(turn, "answer"));
        const char *question = json_string_value(json_object_get(turn, "question"));
        const char *have = oc_chat_say(cx, chat, question, take, &p);
        assert_fine(cx);
        if (strcmp(have, want))
            fail_msg("%s, %s: \"%s\", not \"%s\"", style, question, have, want);
        assert_string_equal(p.text, have);
        int64_t fresh, length = oc_chat_length(chat, &fresh);
        /* Later turns read their question, and the end of the answer before. */
        assert_true(i == 0 ? fresh > 256 : fresh < 60);
        assert_true(length > 256);
    }
    assert_int_equal(oc_chat_count(chat), i);
    oc_chat_free(chat);
}

/* Keys and values rounded to 16 or 8 bits change no answer here (bench_kv has the
 * errors). */
static void check_goldens(oc_dtype kv_dtype)
{
    FILE *file = fopen("tests/data/generate/chat.jsonl", "r");
    assert_non_null(file);
    static char line[1 << 16];
    oc_context *cx = oc_context_create(NULL);
    int count = 0, missing = 0;
    while (fgets(line, sizeof line, file)) {
        json_t *golden = json_loads(line, 0, NULL);
        assert_non_null(golden);
        oc_image *image =
            open_scene(cx, json_string_value(json_object_get(golden, "picture")));
        if (image) check_turns(cx, golden, image, kv_dtype);
        missing += !image;
        count++;
        oc_image_free(image);
        json_decref(golden);
    }
    fclose(file);
    if (missing)
        print_message("%d of %d: pictures are not there: skipped\n", missing, count);
    assert_true(count > 12 && missing < count);
    oc_context_free(cx);
}

static void goldens(void **state)
{
    (void)state;
    need_model();
    check_goldens(OC_F32);
    check_goldens(OC_BF16);
    check_goldens(OC_INT8);
}

/* A question that is taken back leaves no trace, whatever was read meanwhile. */
static void undo(void **state)
{
    (void)state;
    need_model();
    static const char first[] = "What is in the white mask contour?";
    static const char second[] = "What color is the background?";
    oc_context *cx = oc_context_create(NULL);
    oc_chat *chat = begin(cx, NULL, "scene-06.png");
    char *a = strdup(oc_chat_say(cx, chat, first, NULL, NULL));
    char *b = strdup(oc_chat_say(cx, chat, second, NULL, NULL));
    assert_int_equal(oc_chat_undo(cx, chat), OC_OK);
    assert_int_equal(oc_chat_count(chat), 1);
    oc_chat_say(cx, chat, "How many objects are there?", NULL, NULL);
    oc_chat_undo(cx, chat);
    assert_string_equal(oc_chat_say(cx, chat, second, NULL, NULL), b);
    oc_chat_turn turn = oc_chat_get(chat, 0);
    assert_string_equal(turn.question, first);
    assert_string_equal(turn.answer, a);
    assert_true(turn.whole && turn.images == 1);
    /* Another picture in the place of the first one. */
    oc_chat_undo(cx, chat);
    oc_chat_undo(cx, chat);
    oc_image *image = open_scene(cx, "scene-05.png");
    oc_chat_add_image(cx, chat, image);
    oc_image_free(image);
    assert_string_equal(oc_chat_say(cx, chat, second, NULL, NULL), "pink");
    oc_chat_undo(cx, chat);
    assert_int_equal(oc_chat_undo(cx, chat), OC_E_ARGUMENT);
    oc_chat_free(chat);
    oc_context_free(cx);
    free(a);
    free(b);
}

/* A cancelled question was never asked; the session and the picture that waited stay. */
static void cancelled(void **state)
{
    (void)state;
    need_model();
    oc_context *cx = oc_context_create(NULL);
    oc_chat *chat = begin(cx, NULL, "scene-06.png");
    pieces p = { .cancel = cx };
    assert_null(oc_chat_say(cx, chat, "What is in the picture?", take, &p));
    assert_int_equal(oc_context_status(cx), OC_E_CANCELLED);
    assert_int_equal(oc_chat_count(chat), 0);
    oc_context_clear(cx);
    const char *answer = oc_chat_say(cx, chat, "What is in the picture?", NULL, NULL);
    assert_fine(cx);
    char *kept = strdup(answer);
    int64_t fresh;
    oc_chat_length(chat, &fresh);
    assert_int_equal(fresh, 1);             /* all of it was read before the cancel */
    oc_chat *other = begin(cx, NULL, "scene-06.png");
    assert_string_equal(oc_chat_say(cx, other, "What is in the picture?", NULL, NULL),
                        kept);
    oc_chat_free(chat);
    oc_chat_free(other);
    oc_context_free(cx);
    free(kept);
}

static void stopped(void **state)
{
    (void)state;
    need_model();
    oc_context *cx = oc_context_create(NULL);
    oc_chat *chat = begin(cx, NULL, "scene-06.png");
    pieces p = { .most = 2 };
    const char *answer = oc_chat_say(cx, chat, "What is in the picture?", take, &p);
    assert_fine(cx);
    assert_int_equal(p.count, 2);
    assert_true(!strncmp(answer, p.text, p.size));
    assert_false(oc_chat_get(chat, 0).whole);
    oc_chat_free(chat);
    oc_context_free(cx);
}

static void full_context(void **state)
{
    (void)state;
    need_model();
    oc_context *cx = oc_context_create(NULL);
    oc_chat_options o = OC_OPTIONS(oc_chat_options, .context = 200);
    oc_chat *chat = begin(cx, &o, "scene-06.png");
    assert_null(oc_chat_say(cx, chat, "What is in the picture?", NULL, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    assert_non_null(strstr(oc_context_message(cx), "the model has 200"));
    oc_context_clear(cx);
    oc_chat_free(chat);
    /* Some room, which the answer fills. */
    chat = begin(cx, NULL, "scene-06.png");
    oc_chat_say(cx, chat, "What is in the picture?", NULL, NULL);
    int64_t fresh;
    oc_chat_length(chat, &fresh);
    oc_chat_free(chat);
    o.context = fresh + 3;
    chat = begin(cx, &o, "scene-06.png");
    assert_non_null(oc_chat_say(cx, chat, "What is in the picture?", NULL, NULL));
    assert_false(oc_chat_get(chat, 0).whole);
    assert_null(oc_chat_say(cx, chat, "And?", NULL, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    assert_int_equal(oc_chat_count(chat), 1);
    oc_chat_free(chat);
    oc_context_free(cx);
}

static void refused(void **state)
{
    (void)state;
    need_model();
    static const char *const configs[] = { "{\"num_beams\": 2}",
                                           "{\"penalty_alpha\": 0.6, \"top_k\": 4}",
                                           ("{\"do_sample\": true, "
                                            "\"num_return_sequences\": 2}") };
    oc_context *cx = oc_context_create(NULL);
    for (size_t i = 0; i < 3; i++) {
        oc_chat_options o = OC_OPTIONS(oc_chat_options, .config = configs[i]);
        oc_chat *chat = begin(cx, &o, "scene-06.png");
        assert_null(oc_chat_say(cx, chat, "What?", NULL, NULL));
        assert_int_equal(oc_context_status(cx), OC_E_UNSUPPORTED);
        oc_context_clear(cx);
        oc_chat_free(chat);
    }
    oc_chat_options o = OC_OPTIONS(oc_chat_options, .style = "alpaca");
    assert_null(oc_chat_create(cx, model, &o));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_model *reader = oc_model_open(cx, "models/printed-line-ocr", NULL);
    assert_null(oc_chat_create(cx, reader, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_UNSUPPORTED);
    oc_context_clear(cx);
    oc_model_close(reader);
    oc_chat *chat = begin(cx, NULL, "scene-06.png");
    assert_null(oc_chat_say(cx, chat, "<image> or <image>?", NULL, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oc_chat_say(cx, chat, NULL, NULL, NULL));
    oc_context_clear(cx);
    assert_null(oc_chat_say(cx, chat, "\xff", NULL, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    oc_context_clear(cx);
    assert_string_equal(oc_chat_say(cx, chat, "What color is the background?", NULL,
                                    NULL),
                        "green");
    oc_chat_free(chat);
    oc_context_free(cx);
}

/* ---- faults ------------------------------------------------------------------------ */

static void fault_job(oc_context *cx, void *user)
{
    static const uint8_t rgb[128 * 128 * 3];
    (void)user;
    const oc_chat_options o = OC_OPTIONS(oc_chat_options, .config = "{\"max_new_tokens\":"
                                                                    " 2}");
    oc_chat *chat = oc_chat_create(cx, model, &o);
    oc_image *image = oc_image_create(cx, 128, 128, rgb);
    oc_chat_add_image(cx, chat, image);
    oc_chat_say(cx, chat, "What?", NULL, NULL);
    oc_chat_say(cx, chat, "Why?", NULL, NULL);
    oc_chat_undo(cx, chat);
    oc_image_free(image);
    oc_chat_free(chat);
}

static void every_fault(void **state)
{
    (void)state;
    need_model();
    fault_plan plan = { .job = fault_job, .may_recover = true };
    assert_true(fault_loop(&plan) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates), cmocka_unit_test(placeholders),
        cmocka_unit_test(folders),
        cmocka_unit_test(goldens),   cmocka_unit_test(undo),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(stopped),   cmocka_unit_test(full_context),
        cmocka_unit_test(refused),
        cmocka_unit_test(every_fault),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
