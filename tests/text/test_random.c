/* Two thousand random texts against the reference: make_text.py --hash has made the same
 * texts and hashed every id and offset that it got. */
#include "text_support.h"

#include "base/utf8.h"

static uint64_t state;

/* As in make_text.py (the generator is Knuth's MMIX). */
static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % n);
}

static const uint32_t ranges[][2] = {
    { 32, 126 },          { 97, 122 },          { 32, 32 },         { 9, 13 },
    { 48, 57 },           { 39, 39 },           { 0xa0, 0x24f },    { 0x370, 0x52f },
    { 0x590, 0x6ff },     { 0x900, 0xe7f },     { 0x1e00, 0x218f }, { 0x2000, 0x206f },
    { 0x3000, 0x30ff },   { 0x4e00, 0x9fff },   { 0xac00, 0xd7a3 }, { 0xe000, 0xffff },
    { 0x10000, 0x1ffff }, { 0x1f300, 0x1f9ff }, { 0, 0x10ffff },    { 101, 116 }
};

static size_t random_text(char *out)
{
    uint32_t last = 0, count = below(60);
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (below(4) || i == 0) last = below(sizeof ranges / sizeof *ranges);
        uint32_t code = ranges[last][0] + below(ranges[last][1] - ranges[last][0] + 1);
        if (code >= 0xd800 && code <= 0xdfff) code = ' ';
        size += (size_t)oci_utf8_encode(code, out + size);
    }
    return size;
}

static void mix(uint64_t *hash, uint64_t number)
{
    *hash = (*hash ^ number) * 0x100000001b3u;
}

static uint64_t hash_ids(const char *folder)
{
    oc_context *cx = quiet_context();
    oc_tokenizer *t = open_or_fail(cx, folder);
    uint64_t hash = 0xcbf29ce484222325u;
    state = 1;
    for (int i = 0; i < 2000; i++) {
        char text[256];
        size_t size = random_text(text);
        oc_encoding *e = oc_encode(cx, t, text, size, NULL, 0, NULL);
        assert_fine(cx);
        for (size_t k = 0; k < oc_encoding_count(e); k++) {
            mix(&hash, (uint64_t)oc_encoding_ids(e)[k]);
            mix(&hash, (uint64_t)oc_encoding_offsets(e)[2 * k]);
            mix(&hash, (uint64_t)oc_encoding_offsets(e)[2 * k + 1]);
        }
        mix(&hash, 0xffffffff);
        oc_encoding_free(e);
    }
    oc_tokenizer_close(t);
    oc_context_free(cx);
    return hash;
}

static void random_texts(void **unused)
{
    (void)unused;
    FILE *file = fopen("tests/data/text/random.txt", "r");
    assert_non_null(file);
    char name[64];
    unsigned long long want;
    int checked = 0;
    while (fscanf(file, "%63s %llx", name, &want) == 2) {
        char own[128];
        snprintf(own, sizeof own, "tests/data/text/%s", name);
        const char *folder = strncmp(name, "shared/", 7) ? own : shared_vocab(name + 7);
        if (!folder) continue;
        uint64_t have = hash_ids(folder);
        if (have != want) fail_msg("%s: %016llx", folder, (unsigned long long)have);
        checked++;
    }
    fclose(file);
    assert_true(checked >= 27);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_texts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
