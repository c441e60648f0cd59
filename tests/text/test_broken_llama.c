/* Llama's tokenizer files that are wrong in one place each: parts of a tokenizer.json, a
 * tokenizer.model, and what the config says beside it. */
#include "broken.h"

/* ---- tokenizer.json ---------------------------------------------------------------- */

static const char model[] = "{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":"
                            "\"u\",\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"ab\":3},"
                            "\"merges\":[\"a b\"]}";

static void put_parts(const char *decoder, const char *body)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,"
             "\"pre_tokenizer\":null,\"post_processor\":null,\"decoder\":%s,"
             "\"model\":%s}", decoder, body);
    put_text("tokenizer.json", text);
}

#define SEQUENCE(parts) "{\"type\":\"Sequence\",\"decoders\":[" parts "]}"
#define REPLACE(content)                                                                 \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":" content "}"
#define STRIP(content, start, stop)                                                      \
    "{\"type\":\"Strip\",\"content\":" content ",\"start\":" start ",\"stop\":" stop "}"
#define BYTES "{\"type\":\"ByteFallback\"}"
#define FUSE "{\"type\":\"Fuse\"}"

static void decoders(void **state)
{
    (void)state;
    static const struct {
        const char *decoder;
        oc_status status;
        const char *words;
    } cases[] = {
        { SEQUENCE(REPLACE("\" \"") "," BYTES "," FUSE "," STRIP("\" \"", "1", "0")),
          OC_OK, NULL },
        { SEQUENCE(""), OC_OK, NULL },
        { REPLACE("\"\""), OC_OK, NULL },
        { BYTES, OC_OK, NULL },
        { FUSE, OC_OK, NULL },
        { STRIP("\"\xe2\x96\x81\"", "0", "0"), OC_OK, NULL },
        { "{\"type\":\"Sequence\"}", OC_E_MALFORMED, "decoder.decoders" },
        { SEQUENCE("7"), OC_E_MALFORMED, "decoder.decoders[0]" },
        { SEQUENCE("{}"), OC_E_UNSUPPORTED, "without type" },
        { SEQUENCE(BYTES "," REPLACE("\"x\"")), OC_E_UNSUPPORTED, "in order" },
        { SEQUENCE(FUSE "," FUSE), OC_E_UNSUPPORTED, "decoder.decoders[1]" },
        { SEQUENCE(BYTES ",{\"type\":\"Metaspace\"}"), OC_E_UNSUPPORTED, "Metaspace" },
        { REPLACE("7"), OC_E_MALFORMED, "decoder.content" },
        { "{\"type\":\"Replace\",\"content\":\"\"}", OC_E_MALFORMED, "pattern" },
        { STRIP("\"\"", "1", "0"), OC_E_MALFORMED, "decoder.content" },
        { STRIP("\"ab\"", "1", "0"), OC_E_MALFORMED, "one character" },
        { STRIP("\"abcde\"", "1", "0"), OC_E_UNSUPPORTED, "decoder.content" },
        { STRIP("\" \"", "-1", "0"), OC_E_MALFORMED, "decoder.start" },
        { STRIP("\" \"", "1", "1"), OC_E_UNSUPPORTED, "decoder.stop" },
        { STRIP("\" \"", "1", "\"x\""), OC_E_MALFORMED, "decoder.stop" },
    };
    clear_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_parts(cases[i].decoder, model);
        expect(cases[i].status, cases[i].words, cases[i].decoder);
    }
}

static void models(void **state)
{
    (void)state;
#define BPE(more) "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}," \
                  "\"merges\":[\"a b\"]" more "}"
    static const struct {
        const char *model;
        oc_status status;
        const char *words;
    } cases[] = {
        { BPE(""), OC_OK, NULL },       /* what is unknown is left out */
        { BPE(",\"byte_fallback\":true,\"fuse_unk\":true"), OC_OK, NULL },
        { BPE(",\"byte_fallback\":1"), OC_E_MALFORMED, "byte_fallback" },
        { BPE(",\"ignore_merges\":true"), OC_E_UNSUPPORTED, "ignore_merges" },
        { BPE(",\"end_of_word_suffix\":\"</w>\""), OC_E_UNSUPPORTED,
          "end_of_word_suffix" },
        { BPE(",\"unk_token\":\"zz\""), OC_E_MALFORMED, "unk_token" },
        { "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}", OC_OK, NULL },
    };
    clear_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_parts("null", cases[i].model);
        expect(cases[i].status, cases[i].words, cases[i].model);
    }
}

/* ---- tokenizer.model --------------------------------------------------------------- */

/* Fields 1 (text), 2 (score -1) and 3 (type) of a piece, in field 1. */
#define PIECE(size, text_size, text, type)                                               \
    "\x0a" size "\x0a" text_size text "\x15\x00\x00\x80\xbf\x18" type
#define OWN                                                                              \
    PIECE("\x0e", "\x05", "<unk>", "\x02") PIECE("\x0c", "\x03", "<s>", "\x03")          \
        PIECE("\x0d", "\x04", "</s>", "\x03")
#define PIECES                                                                           \
    OWN PIECE("\x0a", "\x01", "a", "\x01") PIECE("\x0a", "\x01", "b", "\x01")            \
        PIECE("\x0b", "\x02", "ab", "\x01")
#define BPE_MODEL "\x12\x02\x18\x02"        /* a TrainerSpec with its model_type */

static void spm(void **state)
{
    (void)state;
#define MODEL(bytes) bytes, sizeof bytes - 1
    static const struct {
        const char *bytes;
        size_t size;
        oc_status status;
        const char *words;
    } files[] = {
        { MODEL(PIECES BPE_MODEL), OC_OK, NULL },
        { MODEL(PIECES), OC_OK, NULL },                     /* Unigram is the default */
        { MODEL(OWN BPE_MODEL), OC_OK, NULL },
        { MODEL(PIECE("\x0e", "\x05", "<unk>", "\x02") BPE_MODEL), OC_OK, NULL },
        { MODEL(PIECES "\x12\x02\x18\x03"), OC_E_UNSUPPORTED, "model_type" },
        { MODEL(PIECES "\x12\x02\x18\x04"), OC_E_UNSUPPORTED, "model_type" },
        { MODEL(PIECE("\x0a", "\x01", "a", "\x01") BPE_MODEL), OC_E_MALFORMED,
          "type UNKNOWN, found 0" },
        { MODEL(PIECES PIECE("\x0a", "\x01", "c", "\x02") BPE_MODEL), OC_E_MALFORMED,
          "type UNKNOWN, found 2" },
        { MODEL(PIECES PIECE("\x0a", "\x01", "a", "\x01") BPE_MODEL), OC_E_MALFORMED,
          "twice" },
        { MODEL(PIECES PIECE("\x0c", "\x03", "<s>", "\x01") BPE_MODEL), OC_E_MALFORMED,
          "twice" },
        { MODEL(PIECES "\x0a\x08\x0a\x01x\x15\x00\x00\xc0\x7f" BPE_MODEL),
          OC_E_MALFORMED, "found NaN" },
        { MODEL(PIECES "\x0a\x00" BPE_MODEL), OC_E_MALFORMED, "a piece" },
        { MODEL("{}"), OC_E_MALFORMED, "SentencePiece" },
        { MODEL(BPE_MODEL), OC_E_MALFORMED, "expected pieces" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        clear_folder();
        put_text("tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\"}");
        put("tokenizer.model", files[i].bytes, files[i].size);
        char what[48];
        snprintf(what, sizeof what, "tokenizer.model, case %zu", i);
        expect(files[i].status, files[i].words, what);
    }
}

static void configs(void **state)
{
    (void)state;
#define CONFIG(more) "{\"tokenizer_class\":\"LlamaTokenizerFast\"" more "}"
    static const struct {
        const char *config;
        oc_status status;
        const char *words;
    } cases[] = {
        { CONFIG(""), OC_OK, NULL },
        { CONFIG(",\"add_bos_token\":\"x\""), OC_E_MALFORMED, "add_bos_token" },
        { CONFIG(",\"add_eos_token\":1"), OC_E_MALFORMED, "add_eos_token" },
        { CONFIG(",\"bos_token\":null"), OC_E_MALFORMED, "bos" },
        { CONFIG(",\"bos_token\":null,\"add_bos_token\":false"), OC_OK, NULL },
        { CONFIG(",\"eos_token\":null"), OC_OK, NULL },
        { CONFIG(",\"eos_token\":null,\"add_eos_token\":true"), OC_E_MALFORMED, "eos" },
        { CONFIG(",\"legacy\":true"), OC_OK, NULL },
    };
    clear_folder();
    put("tokenizer.model", PIECES BPE_MODEL, sizeof PIECES BPE_MODEL - 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text("tokenizer_config.json", cases[i].config);
        expect(cases[i].status, cases[i].words, cases[i].config);
    }
    clear_folder();
    put_text("tokenizer_config.json", CONFIG(""));
    expect(OC_E_FILE, "tokenizer.model", "no file");
}

static void damaged(void **state)
{
    (void)state;
    check_damaged("tests/data/text/llama-slow/tokenizer.model", "tokenizer.model",
                  "{\"tokenizer_class\":\"LlamaTokenizer\"}");
}

static void limits(void **state)
{
    (void)state;
    static const char slow[] = "tests/data/text/llama-slow";
    static const lowered folders[] = {
        { slow, "vocab_size", 99 }, { slow, "token_bytes", 4 },
        { slow, "json_bytes", 100 },
    };
    check_limits(folders, sizeof folders / sizeof *folders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoders), cmocka_unit_test(models), cmocka_unit_test(spm),
        cmocka_unit_test(configs),  cmocka_unit_test(damaged), cmocka_unit_test(limits),
    };
    sample = "ab a\xc3\xa9 c";
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
