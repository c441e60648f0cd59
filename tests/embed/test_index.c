/* The index: built, brought up to date, ended at any moment and gone on with, searched;
 * and files that are no index or lie. */
#include "index_support.h"

#include "base/hash.h"

static oc_context *cx;

static int start(void **state)
{
    cx = oc_context_create(NULL);
    return make_folder(state);
}

static int finish(void **state)
{
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    oc_context_free(cx);
    return remove_folder(state);
}

/* FOLDER/name/pNN.png, a third of them one folder further down. */
static const char *make_pictures(const char *name, int count)
{
    const char *top = in_folder(name);
    char path[600];
    mkdir(top, 0777);
    snprintf(path, sizeof path, "%s/below", top);
    mkdir(path, 0777);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%sp%02d.png", top, i % 3 ? "" : "below/", i);
        make_picture(cx, path, (uint32_t)i + 1);
    }
    return top;
}

static void fails(oc_status status, const char *part)
{
    assert_int_equal(oc_context_status(cx), status);
    if (!strstr(oc_context_message(cx), part))
        fail_msg("'%s' lacks '%s'", oc_context_message(cx), part);
    oc_context_clear(cx);
}

static void test_build(void **state)
{
    (void)state;
    const char *top = make_pictures("build", 20);
    long embedded;
    oc_index_report r;
    for (int int8 = 0; int8 < 2; int8++) {
        const char *path = in_folder(int8 ? "build8.idx" : "build.idx");
        assert_int_equal(build(cx, path, top, int8, 7, &embedded, &r), OC_OK);
        assert_int_equal(embedded, 20);
        assert_int_equal(r.added, 20);
        assert_int_not_equal(access(path, R_OK), -1);
        oc_index *x = oc_index_open(cx, path, NULL);
        assert_non_null(x);
        assert_int_equal(oc_index_count(x), 20);
        assert_int_equal(oc_index_width(x), WIDTH);
        assert_string_equal(oc_index_model_name(x), "some-model");
        assert_null(oc_index_path(x, 20));
        for (size_t i = 0; i < 20; i++) {
            float want[WIDTH], got[WIDTH];
            oc_image *image = oc_image_open(cx, oc_index_path(x, i), NULL);
            assert_non_null(image);
            if (i) assert_true(strcmp(oc_index_path(x, i - 1), oc_index_path(x, i)) < 0);
            vector_of(image, want);
            assert_true(oc_index_vector(x, i, got));
            /* Of I8: half a remainder's step of a number up to 1. */
            for (int k = 0; k < WIDTH; k++)
                assert_true(fabsf(want[k] - got[k]) <=
                            (int8 ? 0.5f / 127 / 254 + 1e-7f : 0));
            oc_image_free(image);
        }
        oc_index_close(x);
        /* Nothing to do: the file is left alone, to its inode. */
        struct stat before, after;
        stat(path, &before);
        assert_int_equal(build(cx, path, top, int8, 7, &embedded, &r), OC_OK);
        stat(path, &after);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(embedded, 0);
        assert_int_equal(r.kept, 20);
        assert_int_equal(access(in_folder(int8 ? "build8.idx.part" : "build.idx.part"),
                                F_OK),
                         -1);
    }
}

/* Pictures come, go, change and break: the index is what one built anew would be. */
static void test_update(void **state)
{
    (void)state;
    const char *top = make_pictures("update", 12);
    const char *path = in_folder("update.idx"), *fresh = in_folder("fresh.idx");
    char name[600];
    long embedded;
    oc_index_report r;
    assert_int_equal(build(cx, path, top, true, 7, &embedded, &r), OC_OK);
    snprintf(name, sizeof name, "%s/p01.png", top);
    unlink(name);
    snprintf(name, sizeof name, "%s/p02.png", top);
    unlink(name);
    make_picture(cx, name, 1234);
    snprintf(name, sizeof name, "%s/new.PNG", top);
    make_picture(cx, name, 77);
    snprintf(name, sizeof name, "%s/p04.png", top);
    FILE *f = fopen(name, "w");
    fputs("no picture", f);
    fclose(f);
    snprintf(name, sizeof name, "%s/notes.txt", top);
    f = fopen(name, "w");
    fputs("not looked at", f);
    fclose(f);
    assert_int_equal(build(cx, path, top, true, 7, &embedded, &r), OC_OK);
    assert_int_equal(embedded, 2);
    assert_int_equal(r.added, 1);
    assert_int_equal(r.changed, 1);
    assert_int_equal(r.kept, 9);
    assert_int_equal(r.removed, 1);
    assert_int_equal(r.refused, 1);
    assert_int_equal(build(cx, fresh, top, true, 7, &embedded, NULL), OC_OK);
    assert_true(same_files(path, fresh));

    /* Of another model or kind; and a folder without pictures leaves the index alone. */
    assert_int_not_equal(build(cx, path, top, true, 8, &embedded, NULL), OC_OK);
    fails(OC_E_ARGUMENT, "another model");
    assert_int_not_equal(build(cx, path, top, false, 7, &embedded, NULL), OC_OK);
    fails(OC_E_ARGUMENT, "another dtype");
    mkdir(in_folder("empty"), 0777);
    assert_int_not_equal(build(cx, path, in_folder("empty"), true, 7, &embedded, NULL),
                         OC_OK);
    fails(OC_E_FILE, "found none");
    assert_int_not_equal(build(cx, path, in_folder("missing"), true, 7, &embedded, NULL),
                         OC_OK);
    fails(OC_E_FILE, "missing");
    assert_true(same_files(path, fresh));
}

/* A picture without a usable vector is left out, and the rest of its batch is not. */
static void test_not_finite(void **state)
{
    (void)state;
    const char *top = make_pictures("nan", 7);
    uint8_t black[12] = { 0 };
    char name[600];
    long embedded;
    oc_index_report r;
    snprintf(name, sizeof name, "%s/p03x.png", top);
    oc_image *image = oc_image_create(cx, 2, 2, black);
    assert_int_equal(oc_image_save(cx, image, name), OC_OK);
    oc_image_free(image);
    assert_int_equal(build(cx, in_folder("nan.idx"), top, false, 7, &embedded, &r),
                     OC_OK);
    assert_int_equal(r.added, 7);
    assert_int_equal(r.refused, 1);
}

/* ---- ended and gone on with ---- */

typedef struct stop { long after, embedded; } stop;

static float *embed_and_stop(oc_context *c, void *user, oc_image *const *images,
                             size_t count, size_t *width)
{
    stop *s = user;
    if (s->after-- == 0) {
        oci_fail(c, OC_E_MEMORY, "ended by the test");
        return NULL;
    }
    return embed_pixels(c, &s->embedded, images, count, width);
}

/* The journal of a build that ended after some batches is cut and bent at
 * every byte of its end: whatever is left, the next build takes what is
 * whole and makes the same file. */
static void test_resume(void **state)
{
    (void)state;
    const char *top = make_pictures("resume", 10);
    const char *path = in_folder("resume.idx"), *whole = in_folder("whole.idx");
    const char *part = in_folder("resume.idx.part");
    long embedded;
    oc_index_report r;
    assert_int_equal(build(cx, whole, top, true, 7, &embedded, NULL), OC_OK);
    stop s = { .after = 2 };
    oci_index_maker maker = { 7, "some-model", embed_and_stop, &s };
    oc_index_options o = OC_OPTIONS(oc_index_options, .folder = top, .int8 = true,
                                    .batch = 3);
    oci_index_make(cx, &maker, path, &o, &r);
    fails(OC_E_MEMORY, "ended by the test");
    assert_int_equal(access(path, F_OK), -1);
    size_t size = 0;
    char *journal = read_file(part, &size);
    for (size_t cut = 0; cut <= size; cut += cut < 64 || cut + 64 > size ? 1 : 17) {
        for (int bend = 0; bend < 2 && cut >= 4; bend++) {
            FILE *f = fopen(part, "wb");
            if (bend) journal[cut - 1] ^= 0x40;
            fwrite(journal, 1, bend ? size : cut, f);
            if (bend) journal[cut - 1] ^= 0x40;
            fclose(f);
            /* The first four bytes say that it is a journal:
             * others' files are left alone. */
            oc_status status = build(cx, path, top, true, 7, &embedded, &r);
            if (bend && cut <= 4) {
                assert_int_equal(status, OC_E_MALFORMED);
                oc_context_clear(cx);
                continue;
            }
            assert_int_equal(status, OC_OK);
            assert_int_equal(embedded + r.resumed, 10);
            assert_true(same_files(path, whole));
            assert_int_equal(access(part, F_OK), -1);
            unlink(path);
        }
    }
    /* Of another model it is not silently thrown away. */
    FILE *f = fopen(part, "wb");
    fwrite(journal, 1, size, f);
    fclose(f);
    assert_int_not_equal(build(cx, path, top, true, 8, &embedded, &r), OC_OK);
    fails(OC_E_ARGUMENT, "resume.idx.part: is of another model");
    assert_int_equal(build(cx, path, top, true, 7, &embedded, &r), OC_OK);
    assert_int_equal(r.resumed, 6);
    assert_int_equal(embedded, 4);
    free(journal);
}

static void cancel_late(void *user, const oc_index_progress *p)
{
    if (p->done == 5) oc_context_cancel(user);
}

static void test_cancel(void **state)
{
    (void)state;
    const char *top = make_pictures("cancel", 9), *path = in_folder("cancel.idx");
    long embedded = 0;
    oc_index_report r;
    oci_index_maker maker = { 7, "some-model", embed_pixels, &embedded };
    oc_index_options o = OC_OPTIONS(oc_index_options, .folder = top, .batch = 3,
                                    .progress = cancel_late, .progress_user = cx);
    assert_int_equal(oci_index_make(cx, &maker, path, &o, &r), OC_E_CANCELLED);
    oc_context_clear(cx);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(build(cx, path, top, false, 7, &embedded, &r), OC_OK);
    assert_int_equal(r.resumed, 6);
    assert_int_equal(r.added, 9);
}

/* ---- search ---- */

/* Against all products in double; pictures of equal score come in the index's order. */
static void test_search(void **state)
{
    (void)state;
    const char *top = make_pictures("search", 40);
    char name[600];
    long embedded;
    for (int i = 0; i < 3; i++) {               /* three that are alike */
        snprintf(name, sizeof name, "%s/same%d.png", top, i);
        make_picture(cx, name, 5);
    }
    for (int int8 = 0; int8 < 2; int8++) {
        const char *path = in_folder(int8 ? "search8.idx" : "search.idx");
        assert_int_equal(build(cx, path, top, int8, 7, &embedded, NULL), OC_OK);
        oc_index *x = oc_index_open(cx, path,
                                    &OC_OPTIONS(oc_index_open_options, .map = int8));
        assert_non_null(x);
        float queries[7 * WIDTH];
        oc_hit hits[7 * 50];
        for (size_t q = 0; q < 7; q++)
            assert_true(oc_index_vector(x, 6 * q, queries + q * WIDTH));
        assert_int_equal(oc_index_search(cx, x, queries, 7, 50, hits), 43);
        for (size_t q = 0; q < 7; q++) {
            bool seen[43] = { false };
            for (size_t i = 0; i < 43; i++) {
                oc_hit hit = hits[q * 50 + i];
                float v[WIDTH];
                double sum = 0;
                assert_true(hit.picture < 43 && !seen[hit.picture]);
                seen[hit.picture] = true;
                oc_index_vector(x, hit.picture, v);
                const float *query = queries + q * WIDTH;
                for (int k = 0; k < WIDTH; k++) sum += (double)v[k] * (double)query[k];
                assert_true(fabs(hit.score - sum) < 1e-6);
                if (!i) continue;
                oc_hit before = hits[q * 50 + i - 1];
                assert_true(before.score > hit.score ||
                            (before.score == hit.score && before.picture < hit.picture));
            }
            oc_hit few[3];
            assert_int_equal(oc_index_search(cx, x, queries + q * WIDTH, 1, 3, few), 3);
            for (size_t i = 0; i < 3; i++) {
                assert_int_equal(few[i].picture, hits[q * 50 + i].picture);
                assert_true(few[i].score == hits[q * 50 + i].score);
            }
        }
        queries[3] = NAN;
        assert_int_equal(oc_index_search(cx, x, queries, 1, 3, hits), 0);
        fails(OC_E_ARGUMENT, "number 3 is not finite");
        oc_index_close(x);
    }
}

/* ---- broken files ---- */

typedef struct broken {
    const char *what;
    size_t at;                  /* of a u32 of the header that becomes … */
    uint32_t value;
    bool sum;                   /* … with its checksum made right */
    oc_status status;
    const char *message;
} broken;

static const broken table[] = {
    { "magic", 0, 0x12345678, true, OC_E_MALFORMED, "something else" },
    { "version", 8, 2, true, OC_E_UNSUPPORTED, "newer" },
    { "order", 12, 0x04030201, true, OC_E_UNSUPPORTED, "byte order" },
    { "kind", 16, 3, true, OC_E_MALFORMED, "kind" },
    { "width 0", 20, 0, true, OC_E_MALFORMED, "width" },
    { "width", 20, 0x7fffffff, true, OC_E_MALFORMED, "width" },
    { "width, checksum", 20, 12, false, OC_E_MALFORMED, "checksum" },
    { "other width", 20, 100, true, OC_E_MALFORMED, "contradict" },
    { "count", 24, 4, true, OC_E_MALFORMED, "contradict" },
    { "count, huge", 28, 0xffffffff, true, OC_E_MALFORMED, "contradict" },
    { "texts", 40, 1000000, true, OC_E_MALFORMED, "contradict" },
    { "texts, huge", 44, 0xffffffff, true, OC_E_MALFORMED, "contradict" },
    { "size", 48, 1, true, OC_E_MALFORMED, "contradict" },
};

static void rejects(const char *data, size_t size, oc_status status, const char *message)
{
    const char *path = in_folder("broken.idx");
    FILE *f = fopen(path, "wb");
    fwrite(data, 1, size, f);
    fclose(f);
    for (int map = 0; map < 2; map++) {
        oc_index *x = oc_index_open(cx, path,
                                    &OC_OPTIONS(oc_index_open_options, .map = map));
        if (map && oc_context_status(cx) == OC_OK) {   /* damage that only reading sees */
            oc_index_close(x);
            continue;
        }
        assert_null(x);
        fails(status, message);
        assert_int_equal(oc_context_memory(cx).live_count, 0);
    }
}

static void test_broken(void **state)
{
    (void)state;
    const char *top = make_pictures("broken", 5), *path = in_folder("good.idx");
    long embedded;
    size_t size = 0;
    assert_int_equal(build(cx, path, top, true, 7, &embedded, NULL), OC_OK);
    char *good = read_file(path, &size), *bad = malloc(size + 1);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        memcpy(bad, good, size);
        memcpy(bad + table[i].at, &table[i].value, 4);
        uint64_t sum = oci_hash_of(bad, 120);
        if (table[i].sum) memcpy(bad + 120, &sum, 8);
        rejects(bad, size, table[i].status, table[i].message);
    }
    /* Cut at every byte; longer; a changed byte anywhere. */
    for (size_t cut = 0; cut < size; cut++)
        rejects(good, cut, OC_E_MALFORMED, cut < 128 ? "something else" : "it was cut");
    memcpy(bad, good, size);
    bad[size] = 0;
    rejects(bad, size + 1, OC_E_MALFORMED, "it was cut or grew");
    for (size_t at = 128; at < size; at++) {
        memcpy(bad, good, size);
        bad[at] ^= 1;
        rejects(bad, size, OC_E_MALFORMED, "");
    }
    /* Paths that lie, under a right checksum. */
    const struct { size_t row; uint64_t text; const char *message; } paths[] = {
        { 0, 0, "outside" }, { 4, 1 << 20, "outside" }, { 2, 12, "outside" },
        { 1, UINT64_MAX, "outside" },
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        memcpy(bad, good, size);
        memcpy(bad + 128 + 24 * paths[i].row, &paths[i].text, 8);
        uint64_t sum = oci_hash_of(bad, size - 8);
        memcpy(bad + size - 8, &sum, 8);
        rejects(bad, size, OC_E_MALFORMED, paths[i].message);
    }
    free(good);
    free(bad);
    assert_null(oc_index_open(cx, in_folder("nothing.idx"), NULL));
    fails(OC_E_FILE, "no such file");
    assert_null(oc_index_open(cx, folder, NULL));
    fails(OC_E_FILE, "found a folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build), cmocka_unit_test(test_update),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_resume),
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_search),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
