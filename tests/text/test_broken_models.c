/* WordPiece and Unigram files that are wrong in one place each: a tokenizer.json, a
 * vocab.txt, a sentencepiece.bpe.model. Built from good ones, so that nothing else is
 * wrong with them. */
#include "broken.h"

/* ---- tokenizer.json ---------------------------------------------------------------- */

static void wordpiece_json(void **state)
{
    (void)state;
    static const char template[] =
        "{\"added_tokens\":[],\"normalizer\":@normalizer@,\"pre_tokenizer\":@pre@,"
        "\"post_processor\":null,\"decoder\":@decoder@,\"model\":{\"type\":\"WordPiece\","
        "\"unk_token\":@unk@,\"continuing_subword_prefix\":@prefix@,"
        "\"max_input_chars_per_word\":@most@,\"vocab\":@vocab@}}";
    static const part good[] = {
        { "normalizer",
          "{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":null}" },
        { "pre", "{\"type\":\"BertPreTokenizer\"}" },
        { "decoder", "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}" },
        { "unk", "\"[UNK]\"" },
        { "prefix", "\"##\"" },
        { "most", "100" },
        { "vocab", "{\"[UNK]\":0,\"a\":1,\"##b\":2}" },
        { NULL, NULL }
    };
    static const broken cases[] = {
        { NULL, NULL, OC_OK, NULL },
        { "unk", "\"a\"", OC_OK, NULL },
        { "unk", "\"none\"", OC_E_MALFORMED, "unk_token" },
        { "unk", "null", OC_E_MALFORMED, "model.unk_token" },
        { "unk", "7", OC_E_MALFORMED, "model.unk_token" },
        { "prefix", "null", OC_E_MALFORMED, "continuing_subword_prefix" },
        { "prefix", "\"\"", OC_OK, NULL },
        { "most", "-1", OC_E_MALFORMED, "max_input_chars_per_word" },
        { "most", "1.5", OC_E_MALFORMED, "max_input_chars_per_word" },
        { "most", "\"9\"", OC_E_MALFORMED, "max_input_chars_per_word" },
        { "most", "0", OC_OK, NULL },
        { "vocab", "null", OC_E_MALFORMED, "model.vocab" },
        { "vocab", "[[\"a\",1]]", OC_E_MALFORMED, "model.vocab" },
        { "vocab", "{\"[UNK]\":0,\"a\":0}", OC_E_MALFORMED, "model.vocab[\"a\"]" },
        { "vocab", "{\"[UNK]\":0,\"a\":-4}", OC_E_MALFORMED, "model.vocab[\"a\"]" },
        { "vocab", "{\"[UNK]\":0,\"a\":4000000}", OC_E_MALFORMED, "model.vocab[\"a\"]" },
        { "vocab", "{}", OC_E_MALFORMED, "unk_token" },
        { "normalizer", "{\"type\":\"BertNormalizer\",\"lowercase\":1}", OC_E_MALFORMED,
          "normalizer.lowercase" },
        { "normalizer", "{\"type\":\"BertNormalizer\",\"strip_accents\":\"x\"}",
          OC_E_MALFORMED, "strip_accents" },
        { "normalizer", "{\"type\":\"Sequence\"}", OC_E_MALFORMED,
          "normalizer.normalizers" },
        { "normalizer", "{\"type\":\"Sequence\",\"normalizers\":[7]}", OC_E_MALFORMED,
          "normalizer.normalizers[0]" },
        { "normalizer", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Magic\"}]}",
          OC_E_UNSUPPORTED, "Magic" },
        { "normalizer",
          "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
          "{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},"
          "{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"}]}",
          OC_E_LIMIT, "at most 8 parts" },
        { "pre", "{\"type\":\"Digits\",\"individual_digits\":3}", OC_E_MALFORMED,
          "individual" },
        { "pre", "{\"type\":\"Split\",\"behavior\":\"Removed\"}", OC_E_MALFORMED,
          "pattern" },
        { "pre", "{\"type\":\"Split\",\"pattern\":{\"String\":\"\"}}", OC_E_UNSUPPORTED,
          "pattern" },
        { "pre", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+b\"}}",
          OC_E_UNSUPPORTED, "(a+)+b" },
        { "pre",
          "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Eaten\"}",
          OC_E_MALFORMED, "Eaten" },
        { "pre", "{\"type\":\"Punctuation\",\"behavior\":2}", OC_E_MALFORMED,
          "behavior" },
        { "pre", "{\"type\":\"Sequence\",\"pretokenizers\":{}}", OC_E_MALFORMED,
          "pre_tokenizer.pretokenizers" },
        { "decoder", "{\"type\":\"WordPiece\",\"prefix\":4}", OC_E_MALFORMED,
          "decoder.prefix" },
        { "decoder",
          "{\"type\":\"WordPiece\",\"prefix\":\"123456789012345678901234567890123\"}",
          OC_E_UNSUPPORTED, "prefix" },
        { "decoder", "{\"type\":\"Sequence\",\"decoders\":[]}", OC_OK, NULL },
    };
    check_json(template, good, cases, sizeof cases / sizeof *cases);
}

/* A charsmap of one unit, a string, and what stands in the strings: "AAAA" is four
 * zeroes. */
#define CHARSMAP(base64)                                                                 \
    "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"" base64 "\"}"

static void unigram_json(void **state)
{
    (void)state;
    static const char template[] =
        "{\"added_tokens\":[],\"normalizer\":@normalizer@,\"pre_tokenizer\":@pre@,"
        "\"post_processor\":null,\"decoder\":@decoder@,\"model\":{\"type\":\"Unigram\","
        "\"unk_id\":@unk@,\"vocab\":@vocab@,\"byte_fallback\":@bytes@}}";
    static const part good[] = {
        { "normalizer", CHARSMAP("AAAAAA==") },
        { "pre", "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\","
                 "\"add_prefix_space\":true,\"prepend_scheme\":\"always\"}" },
        { "decoder", "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\"}" },
        { "unk", "0" }, { "bytes", "false" },
        { "vocab", "[[\"<unk>\",0],[\"a\",-1.5],[\"b\",-2],[\"ab\",-3]]" }, { NULL, NULL }
    };
    static const broken cases[] = {
        { NULL, NULL, OC_OK, NULL },
        { "unk", "4", OC_E_MALFORMED, "unk_id" },
        { "unk", "-1", OC_E_MALFORMED, "unk_id" },
        { "unk", "\"<unk>\"", OC_E_MALFORMED, "unk_id" },
        { "unk", "null", OC_E_MALFORMED, "no unk_id" },
        { "bytes", "1", OC_E_MALFORMED, "byte_fallback" },
        { "bytes", "true", OC_OK, NULL },
        { "vocab", "null", OC_E_MALFORMED, "model.vocab" },
        { "vocab", "{\"a\":1}", OC_E_MALFORMED, "model.vocab" },
        { "vocab", "[]", OC_E_MALFORMED, "unk_id" },
        { "vocab", "[[\"<unk>\",0],\"a\"]", OC_E_MALFORMED, "model.vocab[1]" },
        { "vocab", "[[\"<unk>\"]]", OC_E_MALFORMED, "model.vocab[0]" },
        { "vocab", "[[\"<unk>\",0,1]]", OC_E_MALFORMED, "model.vocab[0]" },
        { "vocab", "[[0,\"<unk>\"]]", OC_E_MALFORMED, "model.vocab[0]" },
        { "vocab", "[[\"<unk>\",null]]", OC_E_MALFORMED, "model.vocab[0]" },
        { "vocab", "[[\"<unk>\",0],[\"\",0],[\"a\",1e300],[\"a\",-1e300]]", OC_OK, NULL },
        { "vocab", "[[\"\\u0000\",0],[\"b\\u0000\",0]]", OC_OK, NULL },
        { "normalizer", "{\"type\":\"Precompiled\"}", OC_E_MALFORMED,
          "precompiled_charsmap" },
        { "normalizer", CHARSMAP(""), OC_E_MALFORMED, "precompiled_charsmap" },
        { "normalizer", CHARSMAP("AAA"), OC_E_MALFORMED, "base64" },
        { "normalizer", CHARSMAP("AA*A"), OC_E_MALFORMED, "base64" },
        { "normalizer", CHARSMAP("A==="), OC_E_MALFORMED, "base64" },
        { "normalizer", CHARSMAP("BAAAAA=="), OC_E_MALFORMED, "precompiled_charsmap" },
        { "normalizer", CHARSMAP("/////w=="), OC_E_MALFORMED, "precompiled_charsmap" },
        { "normalizer", CHARSMAP("AAAAAP8A"), OC_E_MALFORMED, "UTF-8" },
        { "normalizer", CHARSMAP("BAAAAP////8A"), OC_OK, NULL },
        { "normalizer", CHARSMAP("CAAAAAAAAAD/////"), OC_OK, NULL },
        { "normalizer", "{\"type\":\"Prepend\"}", OC_E_MALFORMED, "normalizer.prepend" },
        { "normalizer", "{\"type\":\"Replace\",\"content\":\"x\"}", OC_E_MALFORMED,
          "pattern" },
        { "normalizer", "{\"type\":\"Replace\",\"content\":\"x\",\"pattern\":\"a\"}",
          OC_E_MALFORMED, "pattern" },
        { "normalizer", "{\"type\":\"Replace\",\"content\":\"x\",\"pattern\":{}}",
          OC_E_MALFORMED, "pattern" },
        { "normalizer", "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"}}",
          OC_E_MALFORMED, "content" },
        { "normalizer",
          "{\"type\":\"Replace\",\"content\":\"x\",\"pattern\":{\"Regex\":\".*\"}}",
          OC_E_UNSUPPORTED, ".*" },
        { "normalizer", "{\"type\":\"Strip\",\"strip_left\":\"no\"}", OC_E_MALFORMED,
          "strip_left" },
        { "pre", "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", OC_E_MALFORMED,
          "pre_tokenizer.replacement" },
        { "pre", "{\"type\":\"Metaspace\"}", OC_E_MALFORMED, "replacement" },
        { "pre",
          "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}",
          OC_E_MALFORMED, "last" },
        { "decoder", "{\"type\":\"Metaspace\",\"replacement\":7}", OC_E_MALFORMED,
          "decoder.replacement" },
    };
    check_json(template, good, cases, sizeof cases / sizeof *cases);
}

/* ---- vocab.txt --------------------------------------------------------------------- */

static void vocab_txt(void **state)
{
    (void)state;
    static const char config[] = "{\"tokenizer_class\":\"BertTokenizer\"}";
#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
    static const struct {
        const char *vocab, *config;
        oc_status status;
        const char *words;
    } files[] = {
        { SPECIALS "a\n##b\n", config, OC_OK, NULL },
        { SPECIALS "a\n##b", config, OC_OK, NULL },
        { "[PAD]\r\n[UNK]\r[CLS]\n[SEP]\r\n[MASK]\r\na\r\n", config, OC_OK, NULL },
        { "", config, OC_E_MALFORMED, "unk_token" },
        { "a\n", config, OC_E_MALFORMED, "unk_token" },
        { "\n\n\n[UNK]\n\n", config, OC_E_MALFORMED, "without holes" },
        { SPECIALS "a\xff\n", config, OC_E_MALFORMED, "UTF-8" },
        { SPECIALS "\xed\xa0\x80\n", config, OC_E_MALFORMED, "UTF-8" },
        { SPECIALS "a\na\na\n", config, OC_OK, NULL },
        { "[UNK]\nx\n", config, OC_OK, NULL },
        { SPECIALS, "{}", OC_E_UNSUPPORTED, "no tokenizer_class" },
        { SPECIALS, "{\"tokenizer_class\":\"BertJapaneseTokenizer\"}", OC_E_UNSUPPORTED,
          "BertJapaneseTokenizer" },
        { SPECIALS, "{\"tokenizer_class\":\"XLMRobertaTokenizer\"}", OC_E_FILE,
          "sentencepiece.bpe.model" },
        { SPECIALS, "{\"tokenizer_class\":\"GPT2Tokenizer\"}", OC_E_FILE, "vocab.json" },
        { SPECIALS, "{\"tokenizer_class\":\"NougatTokenizer\"}", OC_E_FILE,
          "tokenizer.json" },
        { SPECIALS, "{\"tokenizer_class\":\"BertTokenizer\",\"do_lower_case\":\"no\"}",
          OC_E_MALFORMED, "do_lower_case" },
        { SPECIALS, "{\"tokenizer_class\":\"BertTokenizer\",\"strip_accents\":3}",
          OC_E_MALFORMED, "strip_accents" },
        { SPECIALS,
          "{\"tokenizer_class\":\"BertTokenizer\",\"tokenize_chinese_chars\":[]}",
          OC_E_MALFORMED, "tokenize_chinese_chars" },
        { SPECIALS, "{\"tokenizer_class\":\"BertTokenizer\",\"cls_token\":null}",
          OC_E_MALFORMED, "cls" },
        { SPECIALS, "{\"tokenizer_class\":\"BertTokenizer\",\"sep_token\":{}}",
          OC_E_MALFORMED, "sep_token" },
        { SPECIALS, "{\"tokenizer_class\":\"BertTokenizer\",\"sep_token\":\"[X]\"}",
          OC_OK, NULL },
        { SPECIALS, "{\"tokenizer_class\":\"BertTokenizer\",\"unk_token\":\"none\"}",
          OC_E_MALFORMED, "unk_token" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        clear_folder();
        put_text("vocab.txt", files[i].vocab);
        put_text("tokenizer_config.json", files[i].config);
        char what[32];
        snprintf(what, sizeof what, "vocab.txt, case %zu", i);
        expect(files[i].status, files[i].words, what);
    }
    static char line[2048];
    memset(line, 'x', sizeof line);
    put("vocab.txt", line, sizeof line);
    put_text("tokenizer_config.json", config);
    expect(OC_E_LIMIT, "line 1", "a long line");
}

/* ---- sentencepiece.bpe.model ------------------------------------------------------- */

/* Pieces <unk>, <s>, </s>, ▁a, b: each field 1 (piece 1, score 2, type 3). */
#define PIECE(size, text_size, text)                                                     \
    "\x0a" size "\x0a" text_size text "\x15\x00\x00\x80\xbf"
#define PIECES                                                                           \
    PIECE("\x0c", "\x05", "<unk>")                                                       \
    PIECE("\x0a", "\x03", "<s>") PIECE("\x0b", "\x04", "</s>") PIECE("\x0b", "\x04",     \
                                                                     "\xe2\x96\x81"      \
                                                                     "a")                \
        PIECE("\x08", "\x01", "b")
#define TRAINER(size, fields) "\x12" size fields
#define NORMALIZER(size, fields) "\x1a" size fields

static void sentencepiece(void **state)
{
    (void)state;
#define MODEL(bytes) bytes, sizeof bytes - 1
    static const struct {
        const char *bytes;
        size_t size;
        oc_status status;
        const char *words;
    } files[] = {
        { MODEL(PIECES), OC_OK, NULL },
        { MODEL(PIECES TRAINER("\x02", "\x18\x01")), OC_OK, NULL },
        { MODEL(PIECES TRAINER("\x02", "\x18\x02")), OC_E_UNSUPPORTED, "model_type" },
        { MODEL(PIECES TRAINER("\x02", "\x18\x04")), OC_E_UNSUPPORTED, "model_type" },
        { MODEL(PIECES TRAINER("\x0b", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")),
          OC_E_UNSUPPORTED, "model_type" },
        { MODEL(PIECES TRAINER("\x02", "\x18\x01") "\x22\x00\x2a\x01"
                                                   "x\x30\x05"),
          OC_OK, NULL }, /* fields that are unknown */
        { MODEL(PIECES TRAINER("\x05", "\x1d\x01\x01\x01\x01")), OC_OK,
          NULL }, /* wire type */
        { MODEL(PIECES TRAINER("\x03", "\x18\x01")), OC_E_MALFORMED, "SentencePiece" },
        { MODEL(PIECES TRAINER("\x02", "\x18\x80")), OC_E_MALFORMED, "TrainerSpec" },
        { MODEL(PIECES TRAINER("\x01", "\x1b")), OC_E_MALFORMED, "TrainerSpec" },
        { MODEL(PIECES NORMALIZER("\x02", "\x12\x00")), OC_OK, NULL },
        { MODEL(PIECES NORMALIZER("\x06", "\x12\x04\x00\x00\x00\x00")), OC_OK, NULL },
        { MODEL(PIECES NORMALIZER("\x05", "\x12\x03\x00\x00\x00")), OC_E_MALFORMED,
          "precompiled_charsmap" },
        { MODEL(PIECES NORMALIZER("\x06", "\x12\x04\x04\x00\x00\x00")), OC_E_MALFORMED,
          "precompiled_charsmap" },
        { MODEL(PIECES NORMALIZER("\x07", "\x12\x05\x00\x00\x00\x00\xff")),
          OC_E_MALFORMED, "UTF-8" },
        { MODEL(PIECES NORMALIZER("\x02", "\x12\x01")), OC_E_MALFORMED,
          "NormalizerSpec" },
        { MODEL(""), OC_E_MALFORMED, "expected pieces" },
        { MODEL(TRAINER("\x02", "\x18\x01")), OC_E_MALFORMED, "expected pieces" },
        { MODEL("\x0a"), OC_E_MALFORMED, "SentencePiece" },
        { MODEL("\x0a\x80"), OC_E_MALFORMED, "SentencePiece" },
        { MODEL("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), OC_E_MALFORMED,
          "SentencePiece" },
        { MODEL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), OC_E_MALFORMED,
          "SentencePiece" },
        { MODEL("\x02\x00" PIECES), OC_E_MALFORMED, "SentencePiece" }, /* field 0 */
        { MODEL(PIECES "\x0b"), OC_E_MALFORMED, "SentencePiece" },     /* a group */
        { MODEL(PIECES "\x0f"), OC_E_MALFORMED, "SentencePiece" },
        { MODEL(PIECES "\x09\x00\x00"), OC_E_MALFORMED, "SentencePiece" },
        { MODEL(PIECES "\x0a\x00"), OC_E_MALFORMED, "a piece" }, /* without text */
        { MODEL(PIECES "\x0a\x02\x0a\x00"), OC_E_MALFORMED, "a piece" },
        { MODEL(PIECES "\x0a\x03\x0a\x01\xff"), OC_E_MALFORMED,
          "a piece" }, /* not UTF-8 */
        { MODEL(PIECES "\x0a\x02\x0a\x05"), OC_E_MALFORMED, "a piece" },
        { MODEL(PIECES "\x0a\x04\x0a\x01x\x15"), OC_E_MALFORMED, "a piece" },
        { MODEL(PIECES "\x0a\x08\x0a\x01x\x15\x00\x00\xc0\x7f"), OC_OK, NULL }, /* NaN */
        { MODEL(PIECES PIECE("\x08", "\x01", "b") PIECE("\x0d", "\x06", "<mask>")), OC_OK,
          NULL }, /* pieces twice */
        { MODEL("{\"a\":1}"), OC_E_MALFORMED, "SentencePiece" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        clear_folder();
        put_text("tokenizer_config.json",
                 i % 2 ? "{\"tokenizer_class\":\"MBartTokenizer\"}"
                       : "{\"tokenizer_class\":\"XLMRobertaTokenizer\"}");
        put("sentencepiece.bpe.model", files[i].bytes, files[i].size);
        char what[48];
        snprintf(what, sizeof what, "sentencepiece.bpe.model, case %zu", i);
        expect(files[i].status, files[i].words, what);
    }
}

static void damaged_sentencepiece(void **state)
{
    (void)state;
    check_damaged("tests/data/text/mbart-slow/sentencepiece.bpe.model",
                  "sentencepiece.bpe.model",
                  "{\"tokenizer_class\":\"XLMRobertaTokenizer\"}");
}

/* ---- limits ------------------------------------------------------------------------ */

static void limits(void **state)
{
    (void)state;
    static const lowered folders[] = {
        { "tests/data/text/unigram-slow", "vocab_size", 99 },
        { "tests/data/text/unigram-slow", "token_bytes", 4 },
        { "tests/data/text/unigram-slow", "json_bytes", 100 },
        { "tests/data/text/unigram-hub", "vocab_size", 99 },
        { "tests/data/text/unigram-hub", "token_bytes", 4 },
        { "tests/data/text/wordpiece-slow", "vocab_size", 99 },
        { "tests/data/text/wordpiece-slow", "token_bytes", 4 },
        { "tests/data/text/wordpiece", "vocab_size", 99 },
    };
    check_limits(folders, sizeof folders / sizeof *folders);
    /* A text may grow while it is normalized, but not without bound. */
    oc_context *cx = quiet_context();
    oc_tokenizer *t = open_or_fail(cx, "tests/data/text/part-nfkd");
    oc_context_limit(cx, "text_bytes", 300);
    static char text[300];
    for (size_t i = 0; i + 3 <= sizeof text; i += 3) memcpy(text + i, "\xef\xb7\xba", 3);
    assert_null(oc_encode(cx, t, text, sizeof text, NULL, 0, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_tokenizer_close(t);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wordpiece_json),
        cmocka_unit_test(unigram_json),
        cmocka_unit_test(vocab_txt),
        cmocka_unit_test(sentencepiece),
        cmocka_unit_test(damaged_sentencepiece),
        cmocka_unit_test(limits),
    };
    sample = "ab x \xef\xbc\xa1 c";
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
