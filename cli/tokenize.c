/* ocelli tokenize: texts to ids, a JSON object a text. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct request {
    cli *c;
    const oc_tokenizer *tokenizer;
    oc_encode_options encode;
    const char *pair;
    bool tokens, offsets;
    bool from_stdin;
} request;

typedef struct text {               /* of a batch that is padded to its longest */
    char *text;                     /* owned */
    size_t size;
    int64_t number;
} text;

static json_t *integers(const int64_t *numbers, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(numbers[i]));
    return list;
}

static json_t *token_strings(const oc_tokenizer *tokenizer, const int64_t *ids,
                             size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const char *token = oc_tokenizer_token(tokenizer, ids[i]);
        json_array_append_new(list,
                              token ? cli_json_text(token, strlen(token)) : json_null());
    }
    return list;
}

static json_t *describe(const request *r, const oc_encoding *encoding)
{
    size_t count = oc_encoding_count(encoding);
    const int64_t *ids = oc_encoding_ids(encoding);
    const int64_t *types = oc_encoding_token_type_ids(encoding);
    const int64_t *offsets = oc_encoding_offsets(encoding);
    json_t *object = json_object();
    json_object_set_new(object, "input_ids", integers(ids, count));
    if (types) json_object_set_new(object, "token_type_ids", integers(types, count));
    json_object_set_new(object, "attention_mask",
                        integers(oc_encoding_attention_mask(encoding), count));
    if (r->tokens)
        json_object_set_new(object, "tokens", token_strings(r->tokenizer, ids, count));
    if (r->offsets) {
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++)
            json_array_append_new(list, integers(offsets + 2 * i, 2));
        json_object_set_new(object, "offsets", list);
    }
    return object;
}

/* The encoding of one text; NULL when it failed, which was reported. */
static oc_encoding *encode(const request *r, const char *bytes, size_t size,
                           int64_t number)
{
    char what[40];
    snprintf(what, sizeof what, "%s %lld", r->from_stdin ? "line" : "text",
             (long long)number);
    oc_encoding *encoding = oc_encode(r->c->cx, r->tokenizer, bytes, size, r->pair,
                                      r->pair ? strlen(r->pair) : 0, &r->encode);
    if (!cli_input_failed(r->c, what)) return encoding;
    oc_encoding_free(encoding);
    return NULL;
}

static void print_text(const request *r, const char *bytes, size_t size, int64_t number)
{
    oc_encoding *encoding = encode(r, bytes, size, number);
    if (encoding) cli_print_json(r->c, describe(r, encoding));
    oc_encoding_free(encoding);
    if (r->from_stdin) cli_flush(r->c);         /* someone may wait for the answer */
}

/* The next text of the arguments, *index of them taken so far, or of stdin. */
static bool next_text(request *r, int *index, cli_line *line, text *t)
{
    if (!cli_go_on(r->c)) return false;
    if (!r->from_stdin) {
        if (++*index >= r->c->operand_count) return false;
        char *bytes = (char *)r->c->operands[*index];
        *t = (text){ bytes, strlen(bytes), *index };
        return true;
    }
    while (cli_read_line(r->c, line)) {
        r->c->inputs++;
        *t = (text){ line->text, line->size, line->number };
        if (!line->too_long) return true;
        cli_error(r->c, "line %lld: longer than a text may be", (long long)line->number);
        cli_input_bad(r->c, CLI_LIMIT);
    }
    return false;
}

/* Padding to the longest needs every text twice: to learn the length, and to pad. */
static void print_padded(request *r, cli_line *line)
{
    text *texts = NULL, t;
    size_t count = 0, room = 0;
    int index = 0;
    while (next_text(r, &index, line, &t)) {
        oc_encoding *encoding = encode(r, t.text, t.size, t.number);
        if (!encoding) continue;
        if ((int64_t)oc_encoding_count(encoding) > r->encode.pad_to)
            r->encode.pad_to = (int64_t)oc_encoding_count(encoding);
        oc_encoding_free(encoding);
        if (count == room) {
            text *more = realloc(texts, (room = room ? room * 2 : 16) * sizeof *texts);
            if (more) texts = more;
            else break;
        }
        if (!(texts[count].text = malloc(t.size + 1))) break;
        memcpy(texts[count].text, t.text, t.size);
        texts[count].size = t.size;
        texts[count++].number = t.number;
    }
    for (size_t i = 0; i < count; i++) {
        if (cli_go_on(r->c)) print_text(r, texts[i].text, texts[i].size, texts[i].number);
        free(texts[i].text);
    }
    free(texts);
}

static void run(request *r, bool pad_to_longest)
{
    cli_line line = { 0 };
    text t;
    int index = 0;
    if (pad_to_longest) print_padded(r, &line);
    else while (next_text(r, &index, &line, &t)) print_text(r, t.text, t.size, t.number);
    free(line.text);
}

int command_tokenize(cli *c)
{
    enum { NO_PADDING = -1, LONGEST, MAX_LENGTH };
    request r = { .c = c, .encode.size = sizeof r.encode };
    int truncation = -1, padding = NO_PADDING;
    const cli_option options[] = {
        { "pair", CLI_TEXT, &r.pair, "TEXT", "a second text, to go with each", 0, 0, 0 },
        { "tokens", CLI_FLAG, &r.tokens, NULL, "add the tokens' strings", 0, 0, 0 },
        { "offsets", CLI_FLAG, &r.offsets, NULL,
          "add begin and end, in characters", 0, 0, 0 },
        { "no-special-tokens", CLI_FLAG, &r.encode.no_special_tokens, NULL,
          "leave out <s>, [CLS] and the like", 0, 0, 0 },
        { "max-length", CLI_NUMBER, &r.encode.max_length, "N",
          "what --truncation and --padding max_length go by", 1, 1 << 20, 0 },
        { "truncation", CLI_CHOICE, &truncation, "longest_first|only_first|only_second",
          "which of a pair is cut at --max-length", 0, 0, 0 },
        { "padding", CLI_CHOICE, &padding, "longest|max_length",
          "pad to the longest of the texts, or to --max-length", 0, 0, 0 },
        CLI_REVISION_OPTION(c),
        { 0 }
    };
    if (!cli_begin(c, options, 1, -1)) return c->status;
    /* Several texts are a batch, where Transformers takes an empty pair for a text. */
    r.encode.empty_pair = c->operand_count != 2;
    r.encode.truncation = (oc_truncation)(truncation + 1);
    r.encode.pad_to_max = padding == MAX_LENGTH;
    r.from_stdin = c->operand_count == 1;
    c->inputs = r.from_stdin ? 1 : c->operand_count - 1; /* stdin is never a single one */

    char *folder = oc_model_folder(c->cx, c->operands[0], c->revision);
    oc_tokenizer *tokenizer = oc_tokenizer_open(c->cx, folder);
    r.tokenizer = tokenizer;
    if (!cli_failed(c)) run(&r, padding == LONGEST);
    oc_tokenizer_close(tokenizer);
    oc_string_free(folder);
    return cli_end(c);
}
