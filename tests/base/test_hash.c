/* XXH64 against values of the reference implementation, in one piece and in many. */
#include "base_test.h"

#include "base/hash.h"

static const struct { const char *text; uint64_t value; } known[] = {
    { "", UINT64_C(0xef46db3751d8e999) },
    { "a", UINT64_C(0xd24ec4f1a98c6e5b) },
    { "abc", UINT64_C(0x44bc2cf5ad770999) },
    { "Nobody inspects the spammish repetition", UINT64_C(0xfbcea83c8a378bf1) },
};

static void test_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(oci_hash_of(known[i].text, strlen(known[i].text)),
                         known[i].value);
}

static void test_pieces(void **state)
{
    (void)state;
    unsigned char data[300];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7);
    for (size_t size = 0; size <= sizeof data; size += 3) {
        uint64_t whole = oci_hash_of(data, size);
        for (size_t piece = 1; piece < 70; piece++) {
            oci_hash hash;
            oci_hash_init(&hash);
            for (size_t at = 0; at < size; at += piece)
                oci_hash_add(&hash, data + at, size - at < piece ? size - at : piece);
            assert_int_equal(oci_hash_value(&hash), whole);
        }
        if (size) assert_int_not_equal(oci_hash_of(data, size - 1), whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
