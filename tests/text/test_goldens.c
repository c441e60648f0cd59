/* Every answer that the reference gave for a folder, bit for bit: goldens.jsonl beside
 * the vocabulary, in the format that tools/goldens/make_text.py writes. */
#include "text_support.h"

#include <unistd.h>

typedef struct job {
    oc_context *cx;
    oc_tokenizer *t;
    int counts[4];              /* text, pair, batch, decode */
} job;

/* ---- comparing --------------------------------------------------------------------- */

static void assert_numbers(const char *what, const json_t *line, const json_t *want,
                           const int64_t *have, size_t count, size_t width)
{
    size_t bad = json_array_size(want) != count;
    for (size_t i = 0; i < count && !bad; i++) {
        for (size_t k = 0; k < width && !bad; k++) {
            const json_t *v = json_array_get(want, i);
            if (width > 1) v = json_array_get(v, k);
            bad = json_integer_value(v) != have[i * width + k];
        }
    }
    if (!bad) return;
    char *text = json_dumps(line, JSON_COMPACT);
    print_error("%.2000s\nhave %s:", text, what);
    for (size_t i = 0; i < count * width; i++) print_error(" %lld", (long long)have[i]);
    free(text);
    fail_msg("%s differ", what);
}

static void assert_text(const json_t *line, const char *what, const json_t *want,
                        const char *have, size_t size)
{
    if (json_string_length(want) == size && !memcmp(json_string_value(want), have, size))
        return;
    char *text = json_dumps(line, JSON_COMPACT);
    print_error("%.2000s\nhave %s: %.1000s\n", text, what, have);
    free(text);
    fail_msg("%s differ", what);
}

static oc_encoding *encode(job *j, const json_t *text, const json_t *pair,
                           const oc_encode_options *o)
{
    bool two = json_is_string(pair);
    return oc_encode(j->cx, j->t, json_string_value(text), json_string_length(text),
                     two ? json_string_value(pair) : NULL,
                     two ? json_string_length(pair) : 0, o);
}

static void check_decode(job *j, const json_t *line, const char *field,
                         const int64_t *ids, size_t count, bool skip,
                         oc_clean_up clean_up)
{
    size_t size;
    char *text = oc_decode(j->cx, j->t, ids, count, skip, clean_up, &size);
    assert_fine(j->cx);
    assert_text(line, field, json_object_get(line, field), text, size);
    oc_string_free(text);
}

/* ---- kinds of lines ---------------------------------------------------------------- */

static void check_text(job *j, const json_t *line)
{
    const json_t *text = json_object_get(line, "text");
    oc_encoding *e = encode(j, text, NULL, NULL);
    assert_fine(j->cx);
    size_t n = oc_encoding_count(e);
    const int64_t *ids = oc_encoding_ids(e);
    assert_numbers("ids", line, json_object_get(line, "ids"), ids, n, 1);
    assert_numbers("offsets", line, json_object_get(line, "offsets"),
                   oc_encoding_offsets(e), n, 2);
    const json_t *tokens = json_object_get(line, "tokens");
    const json_t *surfaces = json_object_get(line, "encoding_tokens");
    if (!surfaces) surfaces = tokens;
    for (size_t i = 0; i < n; i++) {
        const char *token = oc_tokenizer_token(j->t, ids[i]);
        assert_text(line, "tokens", json_array_get(tokens, i), token, strlen(token));
        /* A C string: an unknown U+0000 is its end. */
        const char *want = json_string_value(json_array_get(surfaces, i));
        token = oc_encoding_token(e, i);
        if (strcmp(want, token)) {
            print_error("want %s, have %s\n", want, token);
            assert_text(line, "encoding_tokens", json_array_get(surfaces, i), token,
                        strlen(token));
        }
    }
    check_decode(j, line, "decoded", ids, n, true, OC_CLEAN_UP_DEFAULT);
    check_decode(j, line, "decoded_with_special", ids, n, false, OC_CLEAN_UP_DEFAULT);
    oc_encoding_free(e);

    oc_encode_options o = OC_OPTIONS(oc_encode_options, .no_special_tokens = true);
    e = encode(j, text, NULL, &o);
    assert_fine(j->cx);
    assert_numbers("ids_no_special", line, json_object_get(line, "ids_no_special"),
                   oc_encoding_ids(e), oc_encoding_count(e), 1);
    oc_encoding_free(e);
}

static void check_pair(job *j, const json_t *line)
{
    oc_encode_options o = OC_OPTIONS(oc_encode_options, .token_type_ids = true);
    oc_encoding *e =
        encode(j, json_object_get(line, "text"), json_object_get(line, "pair"), &o);
    assert_fine(j->cx);
    size_t n = oc_encoding_count(e);
    assert_numbers("ids", line, json_object_get(line, "ids"), oc_encoding_ids(e), n, 1);
    assert_numbers("token_type_ids", line, json_object_get(line, "token_type_ids"),
                   oc_encoding_token_type_ids(e), n, 1);
    assert_numbers("offsets", line, json_object_get(line, "offsets"),
                   oc_encoding_offsets(e), n, 2);
    assert_numbers("sequence_ids", line, json_object_get(line, "sequence_ids"),
                   oc_encoding_sequence_ids(e), n, 1);
    oc_encoding_free(e);
}

static void check_decode_line(job *j, const json_t *line)
{
    const json_t *ids = json_object_get(line, "ids");
    const json_t *clean = json_object_get(line, "clean_up_tokenization_spaces");
    int64_t numbers[4096];
    size_t n = json_array_size(ids);
    assert_true(n <= 4096);
    for (size_t i = 0; i < n; i++)
        numbers[i] = json_integer_value(json_array_get(ids, i));
    check_decode(j, line, "decoded", numbers, n,
                 json_is_true(json_object_get(line, "skip_special_tokens")),
                 json_is_null(clean) ? OC_CLEAN_UP_DEFAULT
                 : json_is_true(clean) ? OC_CLEAN_UP_YES : OC_CLEAN_UP_NO);
}

/* ---- batches ----------------------------------------------------------------------- */

static oc_side side_of(const json_t *line, const char *key)
{
    return strcmp(json_string_value(json_object_get(line, key)), "left") ? OC_SIDE_RIGHT
                                                                         : OC_SIDE_LEFT;
}

static oc_encode_options batch_options(const json_t *line)
{
    const json_t *p = json_object_get(line, "params");
    const char *truncation = json_string_value(json_object_get(p, "truncation"));
    const char *padding = json_string_value(json_object_get(p, "padding"));
    const json_t *special = json_object_get(p, "add_special_tokens");
    oc_encode_options o = OC_OPTIONS(oc_encode_options,
        .max_length = json_integer_value(json_object_get(p, "max_length")),
        .stride = json_integer_value(json_object_get(p, "stride")),
        .overflow = json_is_true(json_object_get(p, "return_overflowing_tokens")),
        .no_special_tokens = json_is_false(special), .token_type_ids = true,
        .pad_token = json_string_value(json_object_get(line, "pad_token")),
        .pad_to_max = padding && !strcmp(padding, "max_length"),
        .padding_side = side_of(line, "padding_side"),
        .truncation_side = side_of(line, "truncation_side"));
    if (json_is_true(json_object_get(p, "truncation")) ||
        (truncation && !strcmp(truncation, "longest_first")))
        o.truncation = OC_TRUNCATE_LONGEST_FIRST;
    else if (truncation && !strcmp(truncation, "only_first"))
        o.truncation = OC_TRUNCATE_ONLY_FIRST;
    else if (truncation && !strcmp(truncation, "only_second"))
        o.truncation = OC_TRUNCATE_ONLY_SECOND;
    return o;
}

static void check_row(const json_t *line, const oc_encoding *e, size_t row)
{
    const json_t *result = json_object_get(line, "result");
    size_t n = oc_encoding_count(e);
    static const char *const fields[] = { "input_ids", "attention_mask", "token_type_ids",
                                          "special_tokens_mask" };
    int64_t mask[4096];
    assert_true(n <= 4096);
    for (size_t i = 0; i < n; i++) mask[i] = oc_encoding_sequence_ids(e)[i] < 0;
    const int64_t *have[] = { oc_encoding_ids(e), oc_encoding_attention_mask(e),
                              oc_encoding_token_type_ids(e), mask };
    for (int f = 0; f < 4; f++) {
        const json_t *rows = json_object_get(result, fields[f]);
        if (rows)
            assert_numbers(fields[f], line, json_array_get(rows, row), have[f], n, 1);
    }
}

static void check_batch(job *j, const json_t *line)
{
    const json_t *texts = json_object_get(line, "texts"),
                 *pairs = json_object_get(line, "pairs");
    const json_t *p = json_object_get(line, "params"),
                 *error = json_object_get(line, "error");
    oc_encode_options o = batch_options(line);
    size_t rows = 0, longest = 0;
    for (int pass = 0; pass < 2; pass++) {      /* the first one finds the longest row */
        for (size_t i = 0; i < json_array_size(texts); i++) {
            oc_encoding *e =
                encode(j, json_array_get(texts, i), json_array_get(pairs, i), &o);
            if (error && !json_is_null(error)) {
                assert_null(e);
                assert_int_equal(oc_context_status(j->cx), OC_E_ARGUMENT);
                oc_context_clear(j->cx);
                return;
            }
            assert_fine(j->cx);
            if (oc_encoding_count(e) > longest) longest = oc_encoding_count(e);
            if (pass == 1) {
                check_row(line, e, rows++);
                for (size_t k = 0; k < oc_encoding_overflow_count(e); k++)
                    check_row(line, oc_encoding_overflow(e, k), rows++);
            }
            oc_encoding_free(e);
        }
        size_t multiple =
            (size_t)json_integer_value(json_object_get(p, "pad_to_multiple_of"));
        if (multiple) longest = (longest + multiple - 1) / multiple * multiple;
        if (json_is_true(json_object_get(p, "padding"))) o.pad_to = (int64_t)longest;
    }
    const json_t *ids = json_object_get(json_object_get(line, "result"), "input_ids");
    assert_int_equal(rows, json_array_size(ids));
}

/* ---- folders ----------------------------------------------------------------------- */

static void check_line(void *user, const json_t *line)
{
    static const struct {
        const char *kind;
        void (*check)(job *j, const json_t *line);
    } kinds[] = { { "text", check_text },
                  { "pair", check_pair },
                  { "batch", check_batch },
                  { "decode", check_decode_line } };
    job *j = user;
    const char *kind = json_string_value(json_object_get(line, "kind"));
    for (int i = 0; i < 4; i++) {
        if (strcmp(kind, kinds[i].kind)) continue;
        kinds[i].check(j, line);
        j->counts[i]++;
        return;
    }
    fail_msg("a line of kind %s", kind);
}

static void check_folder(const char *folder, const char *goldens)
{
    char path[4200];
    job j = { .cx = quiet_context() };
    j.t = open_or_fail(j.cx, folder);
    snprintf(path, sizeof path, "%s", goldens);
    int lines = each_line(path, check_line, &j);
    print_message("%s: %d texts, %d pairs, %d batches, %d decodings\n", folder,
                  j.counts[0], j.counts[1], j.counts[2], j.counts[3]);
    assert_true(lines > 10 && j.counts[0] > 0);
    oc_tokenizer_close(j.t);
    assert_int_equal(oc_context_memory(j.cx).live_count, 0);
    oc_context_free(j.cx);
}

static void check_shared(const char *name)
{
    const char *folder = shared_vocab(name);
    if (!folder) skip();
    char copy[4096], goldens[4200];
    snprintf(copy, sizeof copy, "%s", folder);
    snprintf(goldens, sizeof goldens, "%s/goldens.jsonl", copy);
    check_folder(copy, goldens);
}

/* The published layout of XLM-R's tokenizer.json: two of its members replaced. */
static void shared_hub_layout(void **state)
{
    (void)state;
    const char *folder = shared_vocab("xlm-roberta-base");
    if (!folder) skip();
    char base[4096], path[4200], name[64] = "/tmp/ocelli-hub-XXXXXX", out[128];
    snprintf(base, sizeof base, "%s", folder);
    snprintf(path, sizeof path, "%s/hub_layout.json", base);
    json_t *layout = json_load_file(path, JSON_ALLOW_NUL, NULL);
    snprintf(path, sizeof path, "%s/tokenizer.json", base);
    json_t *whole = json_load_file(path, JSON_ALLOW_NUL, NULL);
    assert_true(layout && whole && mkdtemp(name));
    json_object_update(whole, layout);
    snprintf(out, sizeof out, "%s/tokenizer.json", name);
    assert_int_equal(json_dump_file(whole, out, JSON_COMPACT), 0);
    json_decref(layout);
    json_decref(whole);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", name);
    static const char config[] = "{\"tokenizer_class\":\"XLMRobertaTokenizer\"}";
    write_text(path, config, sizeof config - 1);
    snprintf(path, sizeof path, "%s/goldens_hub_layout.jsonl", base);
    check_folder(name, path);
    remove(out);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", name);
    remove(path);
    rmdir(name);
}

static void shared_bert(void **state) { (void)state; check_shared("bert-base-uncased"); }
static void shared_xlmr(void **state) { (void)state; check_shared("xlm-roberta-base"); }
static void shared_donut(void **state) { (void)state; check_shared("donut-xlmr"); }
static void shared_gpt2(void **state) { (void)state; check_shared("gpt2"); }
static void shared_roberta(void **state) { (void)state; check_shared("roberta-base"); }

static void shared_clip(void **state) { (void)state; check_shared("clip"); }

/* A vocabulary's folder without its tokenizer.json: converted,
 * it is the same tokenizer. */
static void check_converted(const char *vocabulary, const char *const *files,
                            size_t count)
{
    const char *folder = shared_vocab(vocabulary);
    if (!folder) skip();
    char real[8200], path[8300], link[128], name[64] = "/tmp/ocelli-vocab-XXXXXX";
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(real, sizeof real, "%s%s%s", *folder == '/' ? "" : here,
             *folder == '/' ? "" : "/", folder);
    assert_non_null(mkdtemp(name));
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", real, files[i]);
        snprintf(link, sizeof link, "%s/%s", name, files[i]);
        assert_int_equal(symlink(path, link), 0);
    }
    snprintf(path, sizeof path, "%s/goldens.jsonl", real);
    check_folder(name, path);
    for (size_t i = 0; i < count; i++) {
        snprintf(link, sizeof link, "%s/%s", name, files[i]);
        unlink(link);
    }
    rmdir(name);
}

static void shared_clip_files(void **state)
{
    (void)state;
    static const char *const files[] = { "vocab.json", "merges.txt",
                                         "tokenizer_config.json",
                                         "special_tokens_map.json" };
    check_converted("clip", files, sizeof files / sizeof *files);
}

static void shared_llama(void **state)
{
    (void)state;
    check_shared("llama");
}

static void shared_llama_files(void **state)
{
    (void)state;
    static const char *const files[] = { "tokenizer.model", "tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "added_tokens.json" };
    check_converted("llama", files, sizeof files / sizeof *files);
}

static void trained_set(void **state)
{
    (void)state;
    static const char *const names[] = {
        "gpt2", "gpt2-slow", "roberta", "roberta-slow", "template", "flags", "unknown",
        "plain", "legacy", "companions", "bundled", "wordpiece", "wordpiece-cased",
        "wordpiece-slow", "wordpiece-map", "unigram-slow", "unigram-hub", "unigram-odd",
        "unigram-ties", "mbart", "mbart-slow", "donut", "part-nfc", "part-nfd",
        "part-nfkc", "part-nfkd", "part-accents", "part-bert", "part-bert-plain",
        "part-charsmap", "part-texts", "part-clip", "part-long", "part-nougat",
        "part-digits", "part-marks", "part-behaviors", "clip", "clip-slow",
        "clip-unknown", "llama", "llama-slow", "llama-unigram", "llama-unknown",
        "llama-pieces"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char folder[256], goldens[512];
        snprintf(folder, sizeof folder, "tests/data/text/%s", names[i]);
        snprintf(goldens, sizeof goldens, "%s/goldens.jsonl", folder);
        check_folder(strcmp(names[i], "bundled") ? folder : "models/printed-line-ocr",
                     goldens);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trained_set),
        cmocka_unit_test(shared_gpt2),
        cmocka_unit_test(shared_clip), cmocka_unit_test(shared_clip_files),
        cmocka_unit_test(shared_llama), cmocka_unit_test(shared_llama_files),
        cmocka_unit_test(shared_roberta),
        cmocka_unit_test(shared_bert),
        cmocka_unit_test(shared_xlmr),
        cmocka_unit_test(shared_hub_layout),
        cmocka_unit_test(shared_donut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
