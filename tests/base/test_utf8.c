/* UTF-8 against the definition, not against another decoder: the set of
 * well-formed strings is made by encoding every scalar value by arithmetic;
 * everything else is ill-formed. */
#include "base/utf8.h"
#include "base_test.h"

enum { SURROGATES = 0xd800, AFTER_SURROGATES = 0xe000, CODES = 0x110000 };

/* Which byte strings of length 1..3 begin a well-formed code point, and which are one. */
static unsigned char begins[4][1 << 24], whole[4][1 << 24];

static int encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, c /= 64) out[i] = (unsigned char)(128 + c % 64);
    out[0] = (unsigned char)(256 - (256 >> n) + c);
    return n;
}

static uint32_t key(const unsigned char *p, int n)
{
    uint32_t k = 0;
    for (int i = 0; i < n; i++) k = k << 8 | p[i];
    return k;
}

static bool is_scalar(uint32_t c) { return c < SURROGATES || c >= AFTER_SURROGATES; }

static int fill_tables(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < CODES; c++) {
        unsigned char p[4];
        if (!is_scalar(c)) continue;
        int n = encode(c, p);
        for (int k = 1; k < n; k++) begins[k][key(p, k)] = 1;
        if (n < 4) whole[n][key(p, n)] = 1;
    }
    return 0;
}

static void scalars_round_trip(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < CODES; c++) {
        unsigned char expected[4];
        char found[4];
        uint32_t back = 0;
        if (!is_scalar(c)) continue;
        int n = encode(c, expected);
        if (oci_utf8_encode(c, found) != n || memcmp(found, expected, (size_t)n))
            fail_msg("U+%04X is encoded wrongly", c);
        if (oci_utf8_decode(found, (size_t)n, &back) != n || back != c)
            fail_msg("U+%04X is decoded wrongly", c);
        for (int k = 1; k < n; k++)             /* cut short */
            if (oci_utf8_decode(found, (size_t)k, &back) != 0)
                fail_msg("U+%04X cut to %d bytes", c, k);
    }
}

/* The expected answers for a string of n bytes. */
static int expected_length(const unsigned char *p, int n)
{
    for (int k = 1; k <= n && k <= 3; k++)
        if (whole[k][key(p, k)]) return k;
    /* Four bytes: the first three begin one, and then any continuation byte ends it. */
    return n >= 4 && begins[3][key(p, 3)] && (p[3] & 0xc0) == 0x80 ? 4 : 0;
}

static void check_string(const unsigned char *p, int n)
{
    uint32_t code;
    bool cut;
    const char *text = (const char *)p;
    int length = expected_length(p, n);
    if (oci_utf8_decode(text, (size_t)n, &code) != length)
        fail_msg("%02x %02x %02x %02x (%d): expected length %d", p[0], p[1], p[2], p[3],
                 n, length);
    if (length > 0) return;
    /* The longest beginning of a code point, or one byte if there is none. */
    int bad = 1;
    while (bad < n && bad < 3 && begins[bad + 1][key(p, bad + 1)]) bad++;
    if (!begins[1][p[0]]) bad = 1;
    bool expected_cut = bad == n && begins[bad][key(p, bad)];
    if (oci_utf8_bad_length(text, (size_t)n, &cut) != (size_t)bad || cut != expected_cut)
        fail_msg("%02x %02x %02x %02x (%d): expected a bad length of %d", p[0], p[1],
                 p[2], p[3], n, bad);
}

static void every_short_string(void **state)
{
    (void)state;
    unsigned char p[4] = { 0 };
    for (uint32_t k = 0; k < 1 << 24; k++) {
        p[0] = (unsigned char)(k >> 16);
        p[1] = (unsigned char)(k >> 8);
        p[2] = (unsigned char)k;
        if (k % 65536 == 0) check_string(p, 1);
        if (k % 256 == 0) check_string(p, 2);
        check_string(p, 3);
    }
}

/* Four bytes: every beginning, and at the end what lies at the edges of the ranges. */
static void longer_strings(void **state)
{
    (void)state;
    static const unsigned char ends[] = { 0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xf0, 0xff };
    unsigned char p[4];
    for (uint32_t k = 0xe00000; k < 1 << 24; k++) {
        p[0] = (unsigned char)(k >> 16);
        p[1] = (unsigned char)(k >> 8);
        p[2] = (unsigned char)k;
        for (size_t i = 0; i < sizeof ends; i++) {
            p[3] = ends[i];
            check_string(p, 4);
        }
    }
}

static void validity(void **state)
{
    (void)state;
    assert_true(oci_utf8_valid("", 0));
    assert_true(oci_utf8_valid("a\0b", 3));
    assert_true(oci_utf8_valid("gr\xc3\xbc\xc3\x9f", 6));
    assert_false(oci_utf8_valid("gr\xc3\xbc\xc3", 5));
    assert_false(oci_utf8_valid("\xed\xa0\x80", 3));
    assert_false(oci_utf8_valid("abc\xff", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_round_trip),
        cmocka_unit_test(every_short_string),
        cmocka_unit_test(longer_strings),
        cmocka_unit_test(validity),
    };
    return cmocka_run_group_tests(tests, fill_tables, NULL);
}
