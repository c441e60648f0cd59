/* Folders that are wrong in one place each: the status, and words that the message must
 * have. Built from good files, so that nothing else is wrong with them. */
#include "broken.h"

static const part good[] = {
    { "version", "\"1.0\"" },
    { "added", "{\"id\":4,\"content\":\"<s>\",\"special\":true}" },
    { "normalizer", "null" },
    { "pre",
      "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}" },
    { "post", "null" },
    { "decoder", "{\"type\":\"ByteLevel\"}" },
    { "type", "\"BPE\"" },
    { "extra", "\"dropout\":null" },
    { "vocab", "{\"a\":0,\"b\":1,\"ab\":2,\"abb\":3}" },
    { "merges", "[\"a b\",[\"ab\",\"b\"]]" },
    { NULL, NULL },
};

static const char template[] =
    "{\"version\":@version@,\"truncation\":null,\"padding\":null,"
    "\"added_tokens\":[@added@],"
    "\"normalizer\":@normalizer@,\"pre_tokenizer\":@pre@,\"post_processor\":@post@,"
    "\"decoder\":@decoder@,\"model\":{\"type\":@type@,@extra@,\"vocab\":@vocab@,"
    "\"merges\":@merges@}}";

/* ---- tokenizer.json ---------------------------------------------------------------- */

static const broken cases[] = {
    { NULL, NULL, OC_OK, NULL },
    { "version", "\"2.0\"", OC_E_UNSUPPORTED, "version: 2.0" },
    { "version", "1", OC_E_MALFORMED, "version" },
    { "added", "{\"content\":\"<s>\"}", OC_E_MALFORMED, "added_tokens[0].id" },
    { "added", "{\"id\":-1,\"content\":\"<s>\"}", OC_E_MALFORMED, "added_tokens[0].id" },
    { "added", "{\"id\":1.5,\"content\":\"<s>\"}", OC_E_MALFORMED, "added_tokens[0].id" },
    { "added", "{\"id\":99999999,\"content\":\"<s>\"}", OC_E_MALFORMED,
      "added_tokens[0].id" },
    { "added", "{\"id\":4}", OC_E_MALFORMED, "added_tokens[0].content" },
    { "added", "{\"id\":4,\"content\":7}", OC_E_MALFORMED, "added_tokens[0].content" },
    { "added", "{\"id\":4,\"content\":\"x\",\"lstrip\":1}", OC_E_MALFORMED, "lstrip" },
    { "added", "[4]", OC_E_MALFORMED, "added_tokens[0]" },
    { "added", "{\"id\":4,\"content\":\"\"}", OC_OK, NULL },
    { "normalizer", "{\"type\":\"NFKC\"}", OC_OK, NULL },
    { "normalizer", "{\"type\":\"Append\"}", OC_E_UNSUPPORTED, "normalizer: Append" },
    { "normalizer", "[]", OC_E_MALFORMED, "normalizer" },
    { "pre", "{\"type\":\"UnicodeScripts\"}", OC_E_UNSUPPORTED, "UnicodeScripts" },
    { "pre", "{\"type\":\"BertPreTokenizer\"}", OC_OK, NULL },
    { "pre", "{\"add_prefix_space\":true}", OC_E_MALFORMED, "pre_tokenizer.type" },
    { "pre", "{\"type\":\"ByteLevel\",\"use_regex\":\"x\"}", OC_E_MALFORMED,
      "use_regex" },
    { "pre", "null", OC_OK, NULL },
    { "decoder", "{\"type\":\"CTC\"}", OC_E_UNSUPPORTED, "decoder: CTC" },
    { "post", "{\"type\":\"Sequence\"}", OC_E_UNSUPPORTED, "post_processor: Sequence" },
    { "post", "{\"type\":\"BertProcessing\",\"sep\":[\"a\",0]}", OC_E_MALFORMED, "cls" },
    { "post", "{\"type\":\"BertProcessing\",\"sep\":[\"a\",9],\"cls\":[\"a\",0]}",
      OC_E_MALFORMED, "post_processor.sep" },
    { "post", "{\"type\":\"RobertaProcessing\",\"sep\":[\"a\",0],\"cls\":[\"a\",-1]}",
      OC_E_MALFORMED, "post_processor.cls" },
    { "post", "{\"type\":\"TemplateProcessing\",\"single\":[],\"special_tokens\":{}}",
      OC_E_MALFORMED, "post_processor.pair" },
    { "post",
      "{\"type\":\"TemplateProcessing\",\"pair\":[],\"single\":[{\"Sequence\":"
      "{\"id\":\"B\",\"type_id\":0}}],\"special_tokens\":{}}",
      OC_E_MALFORMED, "sequence A" },
    { "post",
      "{\"type\":\"TemplateProcessing\",\"pair\":[],\"single\":[{\"SpecialToken\":"
      "{\"id\":\"X\",\"type_id\":0}}],\"special_tokens\":{}}",
      OC_E_MALFORMED, "single" },
    { "type", "\"WordLevel\"", OC_E_UNSUPPORTED, "model: WordLevel" },
    { "type", "3", OC_E_MALFORMED, "model.type" },
    { "extra", "\"dropout\":0.5", OC_E_UNSUPPORTED, "dropout" },
    { "extra", "\"dropout\":2", OC_E_MALFORMED, "dropout" },
    { "extra", "\"byte_fallback\":true", OC_E_UNSUPPORTED, "byte_fallback" },
    { "extra", "\"end_of_word_suffix\":\"</w>\"", OC_OK, NULL },
    { "extra", "\"end_of_word_suffix\":\"@@\"", OC_E_UNSUPPORTED, "end_of_word_suffix" },
    { "extra", "\"end_of_word_suffix\":1", OC_E_MALFORMED, "end_of_word_suffix" },
    { "extra", "\"continuing_subword_prefix\":\"##\"", OC_E_UNSUPPORTED,
      "continuing_subword_prefix" },
    { "pre", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\\\\p{L}]+|[\\\\p{N}]\"}}",
      OC_E_UNSUPPORTED, "[\\p{L}]+|[\\p{N}]" },
    { "extra", "\"unk_token\":\"<none>\"", OC_E_MALFORMED, "unk_token" },
    { "vocab", "null", OC_E_MALFORMED, "model.vocab" },
    { "vocab", "[\"a\"]", OC_E_MALFORMED, "model.vocab" },
    { "vocab", "{\"a\":0,\"b\":0}", OC_E_MALFORMED, "model.vocab[\"b\"]" },
    { "vocab", "{\"a\":0,\"b\":-1}", OC_E_MALFORMED, "model.vocab[\"b\"]" },
    { "vocab", "{\"a\":0,\"b\":4194303}", OC_E_MALFORMED, "model.vocab[\"b\"]" },
    { "vocab", "{\"a\":0,\"b\":9223372036854775807}", OC_E_MALFORMED,
      "model.vocab[\"b\"]" },
    { "vocab", "{\"a\":0,\"b\":\"1\"}", OC_E_MALFORMED, "model.vocab[\"b\"]" },
    { "vocab", "{\"a\":0,\"b\":1.0}", OC_E_MALFORMED, "model.vocab[\"b\"]" },
    { "vocab", "{\"a\":0,\"a\":1}", OC_E_MALFORMED, NULL },
    { "vocab", "{\"a\":0,\"\xff\":1}", OC_E_MALFORMED, NULL },
    { "merges", "{}", OC_E_MALFORMED, "model.merges" },
    { "merges", "null", OC_E_MALFORMED, "model.merges" },
    { "merges", "[\"a b\",\"ab x\"]", OC_E_MALFORMED, "token `x` out of vocabulary" },
    { "merges", "[\"b a\"]", OC_E_MALFORMED, "token `ba` out of vocabulary" },
    { "merges", "[\"ab\"]", OC_E_MALFORMED, "model.merges[0]" },
    { "merges", "[\"a b b\"]", OC_E_MALFORMED, "model.merges[0]" },
    { "merges", "[\" a\"]", OC_E_MALFORMED, "out of vocabulary" },
    { "merges", "[[\"a\"]]", OC_E_MALFORMED, "model.merges[0]" },
    { "merges", "[[\"a\",1]]", OC_E_MALFORMED, "model.merges[0]" },
    { "merges", "[7]", OC_E_MALFORMED, "model.merges[0]" },
};

static void broken_tokenizer_json(void **state)
{
    (void)state;
    check_json(template, good, cases, sizeof cases / sizeof *cases);
    static const char *const texts[] = { "", "{", "[]", "{}", "null", "{\"model\":7}",
                                         "{\"model\":{}}", "\xef\xbb\xbf{}" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_text("tokenizer.json", texts[i]);
        expect(OC_E_MALFORMED, NULL, texts[i]);
    }
}

/* ---- the files beside it ----------------------------------------------------------- */

static const struct {
    const char *name, *text;
    oc_status status;
    const char *words;
} companions[] = {
    { "tokenizer_config.json", "{\"model_max_length\":1000000000000000019884624838656}",
      OC_OK, NULL },
    { "tokenizer_config.json", "{\"model_max_length\":\"x\"}", OC_E_MALFORMED,
      "model_max_length" },
    { "tokenizer_config.json", "[]", OC_E_MALFORMED, "(top)" },
    { "tokenizer_config.json", "{\"padding_side\":\"up\"}", OC_E_MALFORMED,
      "padding_side" },
    { "tokenizer_config.json", "{\"bos_token\":7}", OC_E_MALFORMED, "bos_token" },
    { "tokenizer_config.json", "{\"bos_token\":{\"lstrip\":true}}", OC_E_MALFORMED,
      "content" },
    { "tokenizer_config.json", "{\"tokenizer_class\":7}", OC_E_MALFORMED,
      "tokenizer_class" },
    { "tokenizer_config.json", "{\"tokenizer_class\":\"CLIPTokenizer\"}",
      OC_E_UNSUPPORTED, "pre_tokenizer: expected a Sequence" },
    { "tokenizer_config.json", "{\"clean_up_tokenization_spaces\":1}", OC_E_MALFORMED,
      "clean_up_tokenization_spaces" },
    { "tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}",
      OC_E_MALFORMED, "added_tokens_decoder" },
    { "tokenizer_config.json", "{\"added_tokens_decoder\":{\"1\":\"y\"}}", OC_E_MALFORMED,
      "added_tokens_decoder" },
    { "tokenizer_config.json", "{\"added_tokens_decoder\":[]}", OC_E_MALFORMED,
      "added_tokens_decoder" },
    { "tokenizer_config.json", "{\"additional_special_tokens\":\"x\"}", OC_E_MALFORMED,
      "additional_special_tokens" },
    { "tokenizer_config.json", "{\"additional_special_tokens\":[7]}", OC_E_MALFORMED,
      "additional_special_tokens" },
    { "special_tokens_map.json", "{\"pad_token\":[]}", OC_E_MALFORMED, "pad_token" },
    { "special_tokens_map.json", "\"x\"", OC_E_MALFORMED, NULL },
    { "added_tokens.json", "{\"x\":-1}", OC_E_MALFORMED, "an id" },
    { "added_tokens.json", "{\"x\":\"1\"}", OC_E_MALFORMED, "an id" },
};

static void broken_companions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof companions / sizeof *companions; i++) {
        clear_folder();
        put_json(template, good, NULL, NULL);
        put_text(companions[i].name, companions[i].text);
        expect(companions[i].status, companions[i].words, companions[i].text);
    }
}

/* ---- vocab.json and merges.txt ----------------------------------------------------- */

static void broken_slow_files(void **state)
{
    (void)state;
    static const char vocab[] = "{\"a\":0,\"b\":1,\"ab\":2,\"<|endoftext|>\":3}";
    static const char merges[] = "#version: 0.2\na b\n";
    static const char config[] = "{\"tokenizer_class\":\"GPT2Tokenizer\"}";
    static const char clip[] = "{\"tokenizer_class\":\"CLIPTokenizerFast\"}";
    static const struct {
        const char *vocab, *merges, *config;
        oc_status status;
        const char *words;
    } files[] = {
        { vocab, merges, config, OC_OK, NULL },
        { vocab, "", config, OC_OK, NULL },
        { vocab, "#\r\na b\r\n", config, OC_OK, NULL },
        { vocab, "#\na b\nand what has no line end is dropped", config, OC_OK, NULL },
        { vocab, "#\na\n", config, OC_E_MALFORMED, "line 2" },
        { vocab, "#\na b\n\n", config, OC_E_MALFORMED, "line 3" },
        { vocab, "#\na b c\n", config, OC_E_MALFORMED, "line 2" },
        { vocab, "#\na x\n", config, OC_E_MALFORMED, "`x` out of vocabulary" },
        { vocab, "#\nb a\n", config, OC_E_MALFORMED, "`ba` out of vocabulary" },
        { vocab, "#\n\xff b\n", config, OC_E_MALFORMED, "UTF-8" },
        { "[]", merges, config, OC_E_MALFORMED, "vocab.json" },
        { "{\"a\":0,\"b\":0}", merges, config, OC_E_MALFORMED, "vocab.json" },
        { "{\"a\":null}", merges, config, OC_E_MALFORMED, "vocab.json" },
        { vocab, merges, NULL, OC_E_UNSUPPORTED, "no tokenizer_class" },
        { vocab, merges, "{\"tokenizer_class\":\"CodeGenTokenizer\"}", OC_E_UNSUPPORTED,
          "CodeGenTokenizer" },
        { vocab, merges, clip, OC_OK, NULL },
        { vocab, " \n#\na b\n", clip, OC_OK, NULL },
        { vocab, "", clip, OC_OK, NULL },
        { vocab, "#\na b\na", clip, OC_E_MALFORMED, "line 3" },
        { vocab, "#\n\na b\n", clip, OC_E_MALFORMED, "line 2" },
        { "[]", merges, clip, OC_E_MALFORMED, "vocab.json" },
        { vocab, merges, "{\"tokenizer_class\":\"CLIPTokenizer\",\"bos_token\":null}",
          OC_E_MALFORMED, "bos" },
        { vocab, NULL, clip, OC_E_FILE, "merges.txt" },
        { vocab, merges, "{\"tokenizer_class\":\"RobertaTokenizer\",\"sep_token\":null}",
          OC_E_MALFORMED, "sep" },
        { vocab, NULL, config, OC_E_FILE, "merges.txt" },
        { NULL, merges, config, OC_E_FILE, "vocab.json" },
        { NULL, NULL, NULL, OC_E_FILE, "tokenizer.json" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        clear_folder();
        put_text("vocab.json", files[i].vocab);
        put_text("merges.txt", files[i].merges);
        put_text("tokenizer_config.json", files[i].config);
        expect(files[i].status, files[i].words, files[i].words ? files[i].words : "good");
    }
    put_text("vocab.txt", "x\n");
    expect(OC_E_UNSUPPORTED, "vocab.txt", "vocab.txt");
}

/* ---- limits and arguments ---------------------------------------------------------- */

static void limits(void **state)
{
    (void)state;
    clear_folder();
    put_json(template, good, NULL, NULL);
    const lowered folders[] = {
        { folder, "vocab_size", 3 }, { folder, "token_bytes", 2 },
        { folder, "json_bytes", 100 }
    };
    check_limits(folders, sizeof folders / sizeof *folders);
    oc_context *cx = quiet_context();
    oc_tokenizer *t = open_or_fail(cx, folder);
    oc_context_limit(cx, "text_bytes", 8);
    assert_null(oc_encode(cx, t, "abababababab", 12, NULL, 0, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    assert_null(oc_encode(cx, t, "a\xff", 2, NULL, 0, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    oc_context_clear(cx);
    oc_encode_options o = OC_OPTIONS(oc_encode_options, .pad_to = 4);
    assert_null(oc_encode(cx, t, "a", 1, NULL, 0, &o));      /* there is no pad token */
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    o = OC_OPTIONS(oc_encode_options, .max_length = -1);
    assert_null(oc_encode(cx, t, "a", 1, NULL, 0, &o));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_int_equal(oc_tokenizer_find(t, "abb"), 3);
    assert_int_equal(oc_tokenizer_find(t, "none"), -1);
    assert_null(oc_tokenizer_token(t, 77));
    oc_tokenizer_close(t);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_tokenizer_json),
        cmocka_unit_test(broken_companions),
        cmocka_unit_test(broken_slow_files),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
