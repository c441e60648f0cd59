/* ocelli ask: a question about a picture. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Donut writes {"question": …, "answer": …}; the answer in a new reference, or NULL. */
static json_t *answer_of(const oc_text *text)
{
    json_t *tree = text && text->is_json ? json_loads(text->text, JSON_ALLOW_NUL, NULL) : NULL;
    json_t *answer = json_incref(json_object_get(tree, "answer"));
    json_decref(tree);
    return answer;
}

static void print_answer(cli *c, const oc_text *text, json_t *answer, double ms)
{
    const char *question = c->operands[2];
    if (c->json) {
        json_t *confidence = json_real(text->confidence);       /* NULL for NaN */
        cli_print_json(c, json_pack("{s:o, s:o, s:O, s:o, s:I, s:f}",
            "file", cli_json_text(c->operands[1], strlen(c->operands[1])),
            "question", cli_json_text(question, strlen(question)), "answer", answer,
            "confidence", confidence ? confidence : json_null(),
            "tokens", (json_int_t)text->tokens, "ms", ms));
    } else if (json_is_string(answer)) {
        cli_print_line(c, json_string_value(answer), json_string_length(answer));
    } else {
        cli_print_json(c, json_incref(answer));
    }
}

static void ask(cli *c, const oc_model *model, const oc_parse_options *how)
{
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    double start = cli_seconds();
    oc_image *image = oc_image_open(c->cx, c->operands[1], &turned);
    oc_texts *texts = oc_parse(c->cx, model, &image, 1, how);
    const oc_text *text = oc_texts_get(texts, 0);
    json_t *answer = answer_of(text);
    if (cli_failed(c)) {
        /* Said already. */
    } else if (answer) {
        print_answer(c, text, answer, (cli_seconds() - start) * 1000);
    } else {
        cli_error(c, "%s: the model gave no answer, but %s", c->operands[1], text->text);
        c->status = CLI_FAILED;
    }
    json_decref(answer);
    oc_texts_free(texts);
    oc_image_free(image);
}

int command_ask(cli *c)
{
    oc_parse_options how = { .size = sizeof how };
    const cli_option options[] = {
        { "task", CLI_TEXT, &how.task, "TASK", "the model's name for asking; docvqa", 0, 0, 0 },
        { 0 }
    };
    c->config = json_object();
    if (!cli_begin(c, options, 3, 3)) return c->status;
    c->inputs = 1;

    char *config = cli_config_text(c);
    how.config = config;
    how.question = c->operands[2];
    oc_model *model = oc_model_open(c->cx, c->operands[0], NULL);
    if (!cli_failed(c)) ask(c, model, &how);
    oc_model_close(model);
    free(config);
    return cli_end(c);
}
