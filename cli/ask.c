/* ocelli ask: a question about a picture. The model's family says how it is answered: a
 * ViP-LLaVA talks, a Donut writes a document, a VisualBERT chooses one of its labels by
 * what is in the regions. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* What the options say; those of another family than the model's are wrong usage. */
typedef struct asking {
    const char *picture, *question;
    const char *task;                       /* of Donut */
    const char *regions, *image_id;         /* of VisualBERT: a file in place of a
                                               picture */
    int64_t top;
    cli_marks *marks;                       /* drawn on the picture */
    oc_chat_options chat;                   /* of ViP-LLaVA */
} asking;

/* The fields that every answer begins with. */
static json_t *begin_json(const asking *a)
{
    const char *file = a->picture ? a->picture : a->regions;
    return json_pack("{s:o, s:o}", "file", cli_json_text(file, strlen(file)), "question",
                     cli_json_text(a->question, strlen(a->question)));
}

/* Pictures are turned as EXIF says, and marked. */
static oc_image *open_picture(cli *c, const asking *a)
{
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    return cli_draw_marks(c, a->marks, oc_image_open(c->cx, a->picture, &turned));
}

/* ---- ViP-LLaVA ---- */

static bool on_piece(void *user, const char *text)
{
    cli *c = user;
    cli_print_piece(c, text, strlen(text));
    return cli_go_on(c);
}

static void ask_chat(cli *c, const oc_model *model, const asking *a)
{
    char *config = cli_config_text(c);
    oc_chat_options how = a->chat;
    how.kv_dtype = cli_kv_dtype(c);
    how.config = config;
    double start = cli_seconds();
    oc_image *image = open_picture(c, a);
    oc_chat *chat = oc_chat_create(c->cx, model, &how);
    oc_chat_add_image(c->cx, chat, image);
    const char *answer = oc_chat_say(c->cx, chat, a->question, c->json ? NULL : on_piece,
                                     c);
    if (!cli_failed(c) && c->json) {
        json_t *out = begin_json(a);
        json_object_set_new(out, "answer", cli_json_text(answer, strlen(answer)));
        json_object_set_new(out, "whole", json_boolean(oc_chat_get(chat, 0).whole));
        json_object_set_new(out, "ms", json_real((cli_seconds() - start) * 1000));
        cli_print_json(c, out);
    } else if (answer) {
        cli_print_line(c, "", 0);
    }
    oc_chat_free(chat);
    oc_image_free(image);
    free(config);
}

/* ---- Donut ---- */

/* Donut writes {"question": …, "answer": …}; the answer in a new reference, or NULL. */
static json_t *answer_of(const oc_text *text)
{
    json_t *tree = text && text->is_json ? json_loads(text->text, JSON_ALLOW_NUL, NULL)
                                         : NULL;
    json_t *answer = json_incref(json_object_get(tree, "answer"));
    json_decref(tree);
    return answer;
}

static void print_written(cli *c, const asking *a, const oc_text *text, json_t *answer,
                          double ms)
{
    if (c->json) {
        /* NULL for NaN */
        json_t *out = begin_json(a), *confidence = json_real(text->confidence);
        json_object_set(out, "answer", answer);
        json_object_set_new(out, "confidence", confidence ? confidence : json_null());
        json_object_set_new(out, "tokens", json_integer(text->tokens));
        json_object_set_new(out, "ms", json_real(ms));
        cli_print_json(c, out);
    } else if (json_is_string(answer)) {
        cli_print_line(c, json_string_value(answer), json_string_length(answer));
    } else {
        cli_print_json(c, json_incref(answer));
    }
}

static void ask_document(cli *c, const oc_model *model, const asking *a)
{
    char *config = cli_config_text(c);
    const oc_parse_options how = {
        .size = sizeof how, .task = a->task, .question = a->question, .config = config
    };
    double start = cli_seconds();
    oc_image *image = open_picture(c, a);
    oc_texts *texts = oc_parse(c->cx, model, &image, 1, &how);
    const oc_text *text = oc_texts_get(texts, 0);
    json_t *answer = answer_of(text);
    if (cli_failed(c)) {
        /* Said already. */
    } else if (answer) {
        print_written(c, a, text, answer, (cli_seconds() - start) * 1000);
    } else {
        cli_error(c, "%s: the model gave no answer, but %s", a->picture, text->text);
        c->status = CLI_FAILED;
    }
    json_decref(answer);
    oc_texts_free(texts);
    oc_image_free(image);
    free(config);
}

/* ---- VisualBERT ---- */

static void print_chosen(cli *c, const asking *a, const oc_answers *answers, double ms)
{
    const oc_answer *best = oc_answers_get(answers, 0);
    json_t *out = NULL, *list = NULL;
    if (c->json) {
        out = begin_json(a);
        list = json_array();
        json_object_set_new(out, "answer", json_string(best->text));
        json_object_set_new(out, "probability", json_real(best->probability));
    }
    for (size_t i = 0; i < oc_answers_count(answers); i++) {
        const oc_answer *one = oc_answers_get(answers, i);
        if (c->json)
            json_array_append_new(list, json_pack("{s:s, s:I, s:f}", "answer", one->text,
                                                  "label", (json_int_t)one->label,
                                                  "probability", one->probability));
        else if (a->top > 1)
            cli_print(c, "%s\t%.4f", one->text, one->probability);
        else
            cli_print_line(c, one->text, strlen(one->text));
    }
    if (!c->json) return;
    json_object_set_new(out, "answers", list);
    json_object_set_new(out, "ms", json_real(ms));
    cli_print_json(c, out);
}

static void ask_regions(cli *c, const oc_model *model, const asking *a)
{
    const oc_answer_options how = { .size = sizeof how, .top = (size_t)a->top };
    double start = cli_seconds();
    oc_image *image = a->regions ? NULL : open_picture(c, a);
    oc_tensors *regions = a->regions ? oc_regions_open(c->cx, a->regions, a->image_id)
                                     : oc_embed_regions(c->cx, model, image, NULL);
    oc_answers *answers = oc_answer_regions(c->cx, model, a->question, regions, &how);
    if (!cli_failed(c)) print_chosen(c, a, answers, (cli_seconds() - start) * 1000);
    oc_answers_free(answers);
    oc_tensors_free(regions);
    oc_image_free(image);
}

/* ---- the command ---- */

/* Options that mean nothing to the model's family are not passed over in silence. */
static bool options_fit(cli *c, const asking *a, bool chooses, bool talks)
{
    bool marked = a->marks->count || a->marks->file || a->marks->save;
    if (talks && a->task) cli_usage(c, "--task is for a Donut");
    else if (!talks && (a->chat.style || a->chat.system || c->kv_dtype))
        cli_usage(c, "--template, --system and --kv-dtype are for models that talk "
                     "(ViP-LLaVA)");
    else if (a->regions && marked) cli_usage(c, "marks go on an IMAGE");
    if (chooses && (a->task || json_object_size(c->config) > 0))
        cli_usage(c, "--task and options of generation are for models that write their "
                     "answers");
    else if (!chooses && (a->regions || a->top > 1))
        cli_usage(c, "--regions and --top are for models that choose their answers "
                     "(VisualBERT)");
    return c->status == CLI_DONE;
}

/* A dual encoder has no words to answer with. */
static bool can_answer(cli *c, const char *type)
{
    if (!type || (strcmp(type, "vision-text-dual-encoder") != 0 &&
                  strcmp(type, "clip") != 0)) return true;
    const char *model = c->operands[0];
    cli_error(c,
              "%s: a %s compares pictures with texts and writes none: expected a "
              "ViP-LLaVA, a VisualBERT or a Donut. Try: ocelli classify %s IMAGE "
              "--labels A,B, or ocelli embed %s IMAGE",
              model, type, model, model);
    c->status = CLI_UNSUPPORTED;
    return false;
}

int command_ask(cli *c)
{
    static cli_marks marks;
    asking a = { .top = 1, .marks = &marks, .chat = { .size = sizeof a.chat } };
    const cli_option options[] = {
        { "regions", CLI_TEXT, &a.regions, "FILE",
          "features of regions, no picture: .safetensors, .npy, .npz, .tsv", 0, 0, 0 },
        { "image-id", CLI_TEXT, &a.image_id, "ID",
          "which picture of FILE: an image_id, or a number from 0", 0, 0, 0 },
        { "top", CLI_NUMBER, &a.top, "K",
          "the K most probable answers, with probabilities", 1, 1000000, 0 },
        { "task", CLI_TEXT, &a.task, "TASK",
          "Donut: the model's name for asking; docvqa", 0, 0, 0 },
        CLI_MARK_OPTIONS(&marks), CLI_CHAT_OPTIONS(&a.chat), CLI_KV_OPTION(c),
        CLI_MODEL_OPTIONS(c), { 0 }
    };
    c->config = json_object();
    if (!cli_begin(c, options, 2, 3)) return c->status;
    if (c->operand_count != (a.regions ? 2 : 3))
        return cli_usage(c, "expected %s, found %d operands",
                         a.regions ? "MODEL QUESTION beside --regions"
                                   : "MODEL IMAGE QUESTION",
                         c->operand_count);
    if (a.image_id && !a.regions) return cli_usage(c, "--image-id goes with --regions");
    c->inputs = 1;
    a.picture = a.regions ? NULL : c->operands[1];
    a.question = c->operands[c->operand_count - 1];

    oc_model *model = cli_open_model(c, c->operands[0], NULL);
    const char *type = oc_model_type(model);
    const bool chooses = type && strcmp(type, "visual_bert") == 0;
    const bool talks = type && strcmp(type, "vipllava") == 0;
    if (!cli_failed(c) && can_answer(c, type) && options_fit(c, &a, chooses, talks))
        (chooses ? ask_regions : talks ? ask_chat : ask_document)(c, model, &a);
    oc_model_close(model);
    return cli_end(c);
}
