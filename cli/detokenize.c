/* ocelli detokenize: a JSON array of ids a line to a JSON string a line. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct request {
    cli *c;
    const oc_tokenizer *tokenizer;
    bool skip_special_tokens;
    oc_clean_up clean_up;
} request;

/* A line's ids in a new array; NULL with the reason in *why. */
static int64_t *parse_ids(const cli_line *line, size_t *count, const char **why)
{
    json_t *list = json_loadb(line->text, line->size, 0, NULL), *id;
    int64_t *ids = NULL;
    size_t i;
    *count = json_array_size(list);
    *why = line->too_long ? "longer than a line may be" : "expected a JSON array of ids";
    if (json_is_array(list) && !line->too_long &&
        !(ids = calloc(*count + 1, sizeof *ids)))
        *why = "out of memory";
    for (i = 0; ids && i < *count; i++) {
        id = json_array_get(list, i);
        if (json_is_integer(id)) {
            ids[i] = json_integer_value(id);
        } else {
            free(ids);
            ids = NULL;
        }
    }
    json_decref(list);
    return ids;
}

static void print_text(const request *r, const cli_line *line)
{
    size_t count, size = 0;
    const char *why;
    int64_t *ids = parse_ids(line, &count, &why);
    if (!ids) {
        cli_error(r->c, "line %lld: %s", (long long)line->number, why);
        cli_input_bad(r->c, oc_status_exit_code(OC_E_MALFORMED));
        return;
    }
    char what[40];
    snprintf(what, sizeof what, "line %lld", (long long)line->number);
    char *text = oc_decode(r->c->cx, r->tokenizer, ids, count, r->skip_special_tokens,
                           r->clean_up, &size);
    if (!cli_input_failed(r->c, what)) cli_print_json(r->c, cli_json_text(text, size));
    oc_string_free(text);
    free(ids);
}

int command_detokenize(cli *c)
{
    request r = { .c = c };
    int clean_up = -1;
    const cli_option options[] = {
        { "skip-special-tokens", CLI_FLAG, &r.skip_special_tokens, NULL,
          "leave out <s>, [CLS] and the like", 0, 0, 0 },
        { "clean-up", CLI_CHOICE, &clean_up, "true|false",
          "no blanks before punctuation; without it, as the folder says", 0, 0, 0 },
        CLI_REVISION_OPTION(c),
        { 0 }
    };
    if (!cli_begin(c, options, 1, 1)) return c->status;
    if (clean_up >= 0) r.clean_up = clean_up == 0 ? OC_CLEAN_UP_YES : OC_CLEAN_UP_NO;
    c->inputs = 2; /* lines of stdin are never a single input */

    char *folder = oc_model_folder(c->cx, c->operands[0], c->revision);
    oc_tokenizer *tokenizer = oc_tokenizer_open(c->cx, folder);
    r.tokenizer = tokenizer;
    cli_line line = { 0 };
    if (!cli_failed(c)) {
        while (cli_go_on(c) && cli_read_line(c, &line)) {
            print_text(&r, &line);
            cli_flush(c);                       /* someone may wait for the answer */
        }
    }
    free(line.text);
    oc_tokenizer_close(tokenizer);
    oc_string_free(folder);
    return cli_end(c);
}
