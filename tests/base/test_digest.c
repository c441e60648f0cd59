/* The examples of FIPS 180-4 (NIST, "Examples with Intermediate Values"),
 * every way of cutting the input, and every length around a block against
 * the sum of a longer chain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/digest.h"

static void expect(oci_digest_kind kind, const void *data, size_t size,
                   const char *wanted)
{
    char text[OCI_DIGEST_TEXT];
    for (size_t piece = 1; piece <= size + 1; piece += size > 4096 ? 199999 : 1) {
        oci_digest d;
        oci_digest_init(&d, kind);
        for (size_t at = 0; at < size; at += piece)
            oci_digest_add(&d, (const char *)data + at,
                           size - at < piece ? size - at : piece);
        oci_digest_text(&d, text);
        assert_string_equal(text, wanted);
    }
}

static void test_examples(void **state)
{
    (void)state;
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static char million[1000000];
    memset(million, 'a', sizeof million);
    expect(OCI_SHA1, "", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    expect(OCI_SHA1, "abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    expect(OCI_SHA1, two, sizeof two - 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    expect(OCI_SHA1, million, sizeof million, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    expect(OCI_SHA256, "", 0,
           "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(OCI_SHA256, "abc", 3,
           "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(OCI_SHA256, two, sizeof two - 1,
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    expect(OCI_SHA256, million, sizeof million,
           "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The digests of 0, 1, … 199 bytes of "x", digested together: the padding at every
 * length. The expected values are sha1sum's and sha256sum's. */
static void test_lengths(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "f024a06f9df4db3a81e536a8d16895eb9a9defb5",
        "f61ffcc417e1f0e59eba2da7fa32fbe05b64e478b68c6bacf990455f00248b98"
    };
    char bytes[200], text[OCI_DIGEST_TEXT];
    memset(bytes, 'x', sizeof bytes);
    for (int kind = OCI_SHA1; kind <= OCI_SHA256; kind++) {
        oci_digest all;
        oci_digest_init(&all, (oci_digest_kind)kind);
        for (size_t n = 0; n < sizeof bytes; n++) {
            oci_digest d;
            oci_digest_init(&d, (oci_digest_kind)kind);
            oci_digest_add(&d, bytes, n);
            oci_digest_text(&d, text);
            oci_digest_add(&all, text, strlen(text));
        }
        oci_digest_text(&all, text);
        assert_string_equal(text, wanted[kind]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
