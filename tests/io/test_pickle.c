/* The machine for pickles: values of every kind, circles, and
 * one broken pickle a rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats.h"
#include "io/pickle.h"

/* Opcodes by their letters; numbers in octal, because hexadecimal escapes do not end. */
#define STORAGE(count) \
    "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpu" count "tQ"
#define TENSOR(count, where)                                                             \
    "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE(count) where                          \
    "\211ccollections\nOrderedDict\n)RtR."
#define MOST "\212\10\377\377\377\377\377\377\377\177"

#define BROKEN_MAP(X)                                                                    \
    X(EMPTY, "", MALFORMED, "byte 0: expected 1 more bytes, found 0")                    \
    X(CUT, "\200\2}", MALFORMED, "expected 1 more bytes")                                \
    X(NO_VALUE, ".", MALFORMED, "one value at the end")                                  \
    X(TWO_VALUES, "NN.", MALFORMED, "one value at the end")                              \
    X(OPEN_MARK, "N(.", MALFORMED, "one value at the end")                               \
    X(POP_NOTHING, "0.", MALFORMED, "a value on the stack")                              \
    X(POP_BELOW_MARK, "N(0.", MALFORMED, "a value on the stack")                         \
    X(DUP_NOTHING, "2.", MALFORMED, "a value on the stack")                              \
    X(TUPLE_NO_MARK, "Nt.", MALFORMED, "expected a mark")                                \
    X(MEMO_GAP, "Nq\5.", MALFORMED, "memo: expected an index of at most 0, found 5")     \
    X(MEMO_FAR, "Nr\377\377\377\377.", MALFORMED, "found 4294967295")                    \
    X(MEMO_MISSING, "h\0.", MALFORMED, "memo: expected an index below 0")                \
    X(MEMO_NOTHING, "q\0.", MALFORMED, "a value on the stack")                           \
    X(TEXT_LONG, "X\377\377\377\377a.", MALFORMED, "expected 4294967295 more bytes")     \
    X(TEXT_HUGE, "\215\377\377\377\377\377\377\377\377.", MALFORMED,                     \
      "more bytes, found 1")                                                             \
    X(BYTES_HUGE, "\216\377\377\377\377\377\377\377\377.", MALFORMED,                    \
      "more bytes, found 1")                                                             \
    X(NUMBER_CUT, "J\1\2", MALFORMED, "expected 4 more bytes, found 2")                  \
    X(REAL_CUT, "G\1", MALFORMED, "expected 8 more bytes")                               \
    X(LONG_WIDE, "\212\11\1\1\1\1\1\1\1\1\1.", UNSUPPORTED, "more than 64 bits")         \
    X(LONG4_HUGE, "\213\377\377\377\177.", UNSUPPORTED, "more than 64 bits")             \
    X(OPCODE_INST, "(ios\nsystem\n.", UNSUPPORTED, "opcode 0x69")                        \
    X(OPCODE_OBJ, "(o.", UNSUPPORTED, "opcode 0x6f")                                     \
    X(OPCODE_TEXT, "I1\n.", UNSUPPORTED, "opcode 0x49")                                  \
    X(OPCODE_EXT, "\202\1.", UNSUPPORTED, "opcode 0x82")                                 \
    X(OPCODE_BUFFER, "\227.", UNSUPPORTED, "opcode 0x97")                                \
    X(OPCODE_NONE, "\377.", UNSUPPORTED, "opcode 0xff")                                  \
    X(GLOBAL_OS, "cos\nsystem\n(X\2\0\0\0idtR.", UNSUPPORTED, "os.system")               \
    X(GLOBAL_EVAL, "c__builtin__\neval\n.", UNSUPPORTED, "__builtin__.eval")             \
    X(GLOBAL_NUMPY, "cnumpy.core.multiarray\nscalar\n.", UNSUPPORTED,                    \
      "multiarray.scalar")                                                               \
    X(GLOBAL_STACK, "X\2\0\0\0osX\6\0\0\0system\223.", UNSUPPORTED, "os.system")         \
    X(GLOBAL_NO_LINE, "ctorch\nSize", MALFORMED, "end of a line")                        \
    X(GLOBAL_NUMBERS, "K\1K\1\223.", MALFORMED, "two names on the stack")                \
    X(CALL_NOTHING, ")R.", MALFORMED, "a value on the stack")                            \
    X(CALL_NONE, "N)R.", MALFORMED, "a function that is known")                          \
    X(CALL_STORAGE, "ctorch\nFloatStorage\n)R.", MALFORMED, "a function that is known")  \
    X(CALL_NO_TUPLE, "ccollections\nOrderedDict\nNR.", MALFORMED,                        \
      "a tuple of arguments")                                                            \
    X(CALL_NO_ARGUMENT, "ctorch\nSize\n)R.", MALFORMED, "expected an argument")          \
    X(ORDERED_TEXT, "ccollections\nOrderedDict\nX\1\0\0\0a\205R.", MALFORMED,            \
      "list of pairs")                                                                   \
    X(ORDERED_SINGLE, "ccollections\nOrderedDict\n]N\205a\205R.", MALFORMED,             \
      "expected pairs")                                                                  \
    X(DICT_ODD, "(Nd.", MALFORMED, "expected pairs")                                     \
    X(SETITEM_LIST, "]NNs.", MALFORMED, "expected a dict")                               \
    X(SETITEMS_ODD, "}(Nu.", MALFORMED, "expected a dict, and pairs")                    \
    X(APPEND_DICT, "}Na.", MALFORMED, "expected a list")                                 \
    X(BUILD_NONE, "NNb.", MALFORMED, "set the state of")                                 \
    X(STORAGE_SHORT, "X\7\0\0\0storage\205Q.", MALFORMED, "(\"storage\", type, key")     \
    X(STORAGE_LIST, "]Q.", MALFORMED, "(\"storage\", type, key")                         \
    X(STORAGE_TYPE, "(X\7\0\0\0storagectorch\nSize\nX\1\0\0\0" "0X\3\0\0\0cpuK\1tQ.",    \
      MALFORMED, "(\"storage\", type, key")                                              \
    X(STORAGE_NEGATIVE, STORAGE("J\377\377\377\377") ".", MALFORMED,                     \
      "(\"storage\", type")                                                              \
    X(VIEW_OUTSIDE, "(X\7\0\0\0storagectorch\nFloatStorage\n" "X\1\0\0\0"            \
      "0X\3\0\0\0cpuK\4"                                                                 \
      "X\1\0\0\0vK\3K\2\207tQ.", MALFORMED, "a view within it")                          \
    X(VIEW_SHAPE, "(X\7\0\0\0storagectorch\nFloatStorage\n" "X\1\0\0\0"              \
      "0X\3\0\0\0cpuK\4K\1tQ.",                                                         \
      MALFORMED, "as its view")                                                          \
    X(TENSOR_REACHES, TENSOR("K\6", "K\1K\2K\3\206K\3K\1\206"), MALFORMED,               \
      "reaching beyond")                                                                 \
    X(TENSOR_STRIDE, TENSOR("K\6", "K\0K\2\205K\6\205"), MALFORMED, "reaching beyond")   \
    X(TENSOR_OVERFLOW, TENSOR("K\6", "K\0K\3\205" MOST "\205"), MALFORMED,               \
      "reaching beyond")                                                                 \
    X(TENSOR_HUGE, TENSOR("K\6", "K\0" MOST MOST "\206K\1K\1\206"), MALFORMED,           \
      "reaching beyond")                                                                 \
    X(TENSOR_OFFSET, TENSOR("K\6", "K\6K\1\205K\1\205"), MALFORMED, "reaching beyond")   \
    X(TENSOR_SHAPE_NEGATIVE, TENSOR("K\6", "K\0J\377\377\377\377\205K\1\205"),           \
      MALFORMED, "0 or more in its size")                                                \
    X(TENSOR_STRIDE_NEGATIVE, TENSOR("K\6", "K\0K\1\205J\377\377\377\377\205"),          \
      MALFORMED, "0 or more in its stride")                                              \
    X(TENSOR_SHAPE_TEXT, TENSOR("K\6", "K\0X\1\0\0\0aK\1\205"), MALFORMED,               \
      "a tuple as its size")                                                             \
    X(TENSOR_FEWER, TENSOR("K\6", "K\0K\1K\1\206K\1\205"), MALFORMED, "as many strides") \
    X(TENSOR_NEGATED, "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE("K\6")             \
      "K\0K\1\205K\1\205\211N}X\3\0\0\0neg\210stR.", UNSUPPORTED,                     \
      "a view that negates")                                                             \
    X(TENSOR_RANK_9, TENSOR("K\6", "K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1tK\1\205"), LIMIT,    \
      "at most 8 dimensions, found 9")                                                   \
    X(TENSOR_NO_STORAGE, "ctorch._utils\n_rebuild_tensor_v2\n(NK\0))tR.", MALFORMED,     \
      "tensor")                                                                          \
    X(TENSOR_FEW, "ctorch._utils\n_rebuild_tensor_v2\n)R.", MALFORMED, "tensor")

static const struct broken {
    const char *name, *bytes;
    size_t size;
    oc_status status;
    const char *message;
} broken[] = {
#define BROKEN_ROW(name, text, status, message)                                          \
    { #name, text, sizeof(text) - 1, OC_E_##status, message },
    BROKEN_MAP(BROKEN_ROW)
};

static bool run(oci_pickle *pickle, const char *bytes, size_t size)
{
    unsigned char *copy = malloc(size + 1);     /* of its own, for AddressSanitizer */
    memcpy(copy, bytes, size);
    size_t used = 0;
    bool ok = oci_pickle_run(cx, pickle, "a.pkl", copy, size, &used);
    if (ok) assert_int_equal(used, size);
    free(copy);
    return ok;
}

static void breaks_are_refused(void **state)
{
    (void)state;
    assert_true(COUNT_OF_ROWS(broken) >= 25);
    for (size_t i = 0; i < COUNT_OF_ROWS(broken); i++) {
        oci_pickle pickle;
        if (run(&pickle, broken[i].bytes, broken[i].size))
            fail_msg("%s: was read", broken[i].name);
        if (strncmp(oc_context_message(cx), "a.pkl: byte ", 12))
            fail_msg("%s: where? %s", broken[i].name, oc_context_message(cx));
        oci_pickle_deinit(&pickle);
        expect_refusal(broken[i].name, broken[i].status, broken[i].message);
    }
}

#define RUN(text) run(&pickle, text, sizeof(text) - 1)

static void values(void **state)
{
    (void)state;
    oci_pickle pickle;
    assert_true(RUN("\200\2}(X\1\0\0\0aJ\376\377\377\377X\1\0\0\0bG?\370\0\0\0\0\0\0"
                    "X\1\0\0\0c(K\1M\0\2\212\5\0\0\0\0\1lX\1\0\0\0d\210X\1\0\0\0eN"
                    "X\1\0\0\0aK\7u."));
    const oci_pickle_value *v = oci_pickle_get(pickle.root, "a");
    assert_int_equal(v->as.integer, 7);                 /* the last one wins */
    assert_int_equal(pickle.root->as.list.items[1]->as.integer, -2);
    assert_true(oci_pickle_get(pickle.root, "b")->as.real == 1.5);
    v = oci_pickle_get(pickle.root, "c");
    assert_int_equal(v->kind, OCI_PICKLE_LIST);
    assert_int_equal(v->as.list.count, 3);
    assert_int_equal(v->as.list.items[1]->as.integer, 512);
    assert_true(v->as.list.items[2]->as.integer == INT64_C(1) << 32);
    assert_true(oci_pickle_get(pickle.root, "d")->as.truth);
    assert_int_equal(oci_pickle_get(pickle.root, "e")->kind, OCI_PICKLE_NONE);
    assert_null(oci_pickle_get(pickle.root, "f"));
    assert_null(oci_pickle_get(v, "a"));
    oci_pickle_deinit(&pickle);
    expect_clean();
}

static void tensors(void **state)
{
    (void)state;
    oci_pickle pickle;
    assert_true(RUN("\200\2" TENSOR("K\6", "K\1K\2K\2\206K\3K\1\206")));
    const oci_pickle_tensor *t = pickle.root->as.tensor;
    assert_int_equal(pickle.root->kind, OCI_PICKLE_TENSOR);
    assert_int_equal(t->offset, 1);
    assert_int_equal(t->stride[0], 3);
    assert_int_equal(t->storage->dtype, OC_F32);
    assert_string_equal(t->storage->key, "0");
    assert_int_equal(pickle.storage_count, 1);
    oci_pickle_deinit(&pickle);
    /* Of no elements: any stride and offset will do. */
    assert_true(RUN(TENSOR("K\0", "K\0K\0K\3\206K\3K\1\206")));
    oci_pickle_deinit(&pickle);
    expect_clean();
}

/* What holds itself, depth without end, and lists that are handed on again and again. */
static void circles_and_bombs(void **state)
{
    (void)state;
    enum { MANY = 70000 };
    oci_pickle pickle;
    char *bytes = malloc(4 * MANY);
    assert_true(RUN("]q\0h\0a}q\1X\1\0\0\0xh\1s\206."));
    oci_pickle_deinit(&pickle);
    memset(bytes, '(', MANY);
    assert_false(run(&pickle, bytes, MANY));
    oci_pickle_deinit(&pickle);
    expect_refusal("marks", OC_E_LIMIT, "too many open marks");
    memset(bytes, '\205', MANY / 4);            /* tuples in tuples */
    bytes[0] = 'N';
    bytes[MANY / 4] = '.';
    assert_true(run(&pickle, bytes, MANY / 4 + 1));
    oci_pickle_deinit(&pickle);
    /* A list of 1000, copied by each of 10,000 calls: more
     * copies than there are bytes. */
    char *at = bytes;
    *at++ = ']';
    *at++ = 'q';
    *at++ = 0;
    *at++ = '(';
    for (int i = 0; i < 1000; i++, at += 3) memcpy(at, "NN\206", 3);
    *at++ = 'e';
    at += sprintf(at, "0ccollections\nOrderedDict\nq");
    *at++ = 1;
    *at++ = '0';
    for (int i = 0; i < 10000; i++, at += 7) memcpy(at, "h\1h\0\205R0", 7);
    *at++ = 'N';
    *at++ = '.';
    assert_false(run(&pickle, bytes, (size_t)(at - bytes)));
    oci_pickle_deinit(&pickle);
    expect_refusal("copies", OC_E_MALFORMED, "a list that is used once");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breaks_are_refused),
        cmocka_unit_test(values),
        cmocka_unit_test(tensors),
        cmocka_unit_test(circles_and_bombs),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
