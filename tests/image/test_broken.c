/* Pictures that are cut, broken, too large or of another kind: each has a
 * status, a message that names the file and the cause, a bound on memory,
 * and leaves nothing behind. */
#include "support.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

typedef struct bytes {
    unsigned char *data;
    size_t size, room;
} bytes;

static void put(bytes *b, const void *data, size_t size)
{
    if (b->size + size > b->room) {
        b->room = (b->size + size) * 2;
        b->data = realloc(b->data, b->room);
        assert_non_null(b->data);
    }
    if (size > 0) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_text(bytes *b, const char *text) { put(b, text, strlen(text)); }

static void put_be32(bytes *b, uint32_t n)
{
    unsigned char four[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16),
                              (unsigned char)(n >> 8), (unsigned char)n };
    put(b, four, 4);
}

static void put_chunk(bytes *b, const char *name, const void *data, size_t size)
{
    put_be32(b, (uint32_t)size);
    put(b, name, 4);
    put(b, data, size);
    put_be32(b, crc32_more(crc32_of(name, 4), data, size));
}

/* Signature and IHDR: 8-bit RGB. */
static void put_png_start(bytes *b, uint32_t width, uint32_t height)
{
    bytes header = { 0 };
    put_be32(&header, width);
    put_be32(&header, height);
    put(&header, "\x08\x02\0\0", 5);
    put(b, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(b, "IHDR", header.data, header.size);
    free(header.data);
}

/* Decodes; expects the status, the name and `part` in the message, and no more than
 * `most` bytes held at any time. */
static void expect(const void *data, size_t size, oc_status status, const char *part,
                   uint64_t most)
{
    oc_context *cx = one_thread();
    oc_image_options o = OC_OPTIONS(oc_image_options, .exif_orientation = true);
    oc_image *image = oc_image_decode(cx, "bad.img", data, size, &o);
    if (oc_context_status(cx) != status || (image != NULL) != (status == OC_OK))
        fail_msg("expected %s (%s), found %s: %s", oc_status_name(status),
                 part ? part : "", oc_status_name(oc_context_status(cx)),
                 oc_context_message(cx));
    if (part && (!strstr(oc_context_message(cx), part) ||
                 strncmp(oc_context_message(cx), "bad.img: ", 9) != 0))
        fail_msg("expected \"bad.img: \" and \"%s\" in: %s", part,
                 oc_context_message(cx));
    oc_image_free(image);
    if (oc_context_memory(cx).peak_bytes > most)
        fail_msg("%llu bytes were held, %llu allowed: %s",
                 (unsigned long long)oc_context_memory(cx).peak_bytes,
                 (unsigned long long)most, oc_context_message(cx));
    free_context(cx);
}

static void expect_free(bytes *b, oc_status status, const char *part, uint64_t most)
{
    expect(b->data, b->size, status, part, most);
    free(b->data);
    *b = (bytes){ 0 };
}

/* ---- other kinds ------------------------------------------------------------------- */

static void test_kinds(void **state)
{
    static const struct { const char *data; size_t size; const char *name; } others[] = {
        { "GIF89a\1\0\1\0", 10, "GIF" }, { "BM\0\0\0\0", 6, "BMP" },
        { "II*\0\x08\0\0\0", 8, "TIFF" }, { "MM\0*\0\0\0\x08", 8, "TIFF" },
        { "\0\0\0\x1c""ftypavif", 12, "AVIF" }, { "\0\0\0\x1c""ftypheic", 12, "HEIC" },
        { "%PDF-1.4", 8, "PDF" }, { "\0\0\0\x0cjP  \r\n\x87\n", 12, "JPEG 2000" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect(others[i].data, others[i].size, OC_E_UNSUPPORTED, others[i].name, KIB);
    expect("", 0, OC_E_IMAGE, "empty", KIB);
    expect(NULL, 0, OC_E_IMAGE, "empty", KIB);
    expect("hello, world", 12, OC_E_IMAGE, "not an image", KIB);
    expect("\0\0\0\0", 4, OC_E_IMAGE, "not an image", KIB);
    expect("\xff\xd8", 2, OC_E_IMAGE, "not an image", KIB);
    expect("RIFF\x04\0\0\0WEBP", 12, OC_E_IMAGE, "not an image", KIB);
    oc_context *cx = one_thread();
    assert_null(oc_image_open(cx, DATA "no-such-file.png", NULL));
    assert_int_equal(oc_context_status(cx), OC_E_FILE);
    oc_context_clear(cx);
    assert_null(oc_image_open(cx, DATA, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_FILE);
    free_context(cx);
}

/* ---- cut files: an error or the whole picture, never a part of it ------------------ */

static const char *const samples[] = {
    "ycc420.jpg", "progressive.jpg", "arithmetic.jpg", "cmyk.jpg", "restart.jpg",
    "scans.jpg", "exif6.jpg", "rgb8.png", "palette4-interlaced.png", "grey16.png",
    "exif-zprofile7.png", "animated.png", "lossy.webp", "lossless.webp",
    "lossy-alpha.webp", "animated-offset.webp", "exif6.webp",
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static oc_image *decode_sample(oc_context *cx, const void *data, size_t size)
{
    return oc_image_decode(cx, "cut.img", data, size, NULL);
}

static void test_every_cut(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    for (int i = 0; i < SAMPLES; i++) {
        oci_buffer *file = read_data(cx, samples[i]);
        oc_image *whole = decode_sample(cx, file->data, file->size);
        uint32_t crc = picture_crc(whole);
        size_t refused = 0;
        for (size_t size = 0; size < file->size; size++) {
            /* so that ASan sees one too far */
            unsigned char *copy = malloc(size ? size : 1);
            assert_non_null(copy);
            memcpy(copy, file->data, size);
            oc_image *image = decode_sample(cx, copy, size);
            free(copy);
            if (image) {
                if (picture_crc(image) != crc)
                    fail_msg("%s cut at %zu: a part of the picture", samples[i], size);
            } else {
                if (oc_context_status(cx) != OC_E_IMAGE)
                    fail_msg("%s cut at %zu: %s", samples[i], size,
                             oc_context_message(cx));
                refused++;
            }
            oc_image_free(image);
            oc_context_clear(cx);
        }
        /* What may be missing is at the end: markers, checks
         * of the container, metadata. */
        if (refused * 4 < file->size * 3) fail_msg("%s: few cuts refused", samples[i]);
        oc_image_free(whole);
        oci_buffer_unref(&file);
    }
    free_context(cx);
}

static void test_changed_bytes(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    cx->limits.image_pixels = 1 << 20;
    oc_image_options o = OC_OPTIONS(oc_image_options, .exif_orientation = true);
    uint64_t random = 1;
    for (int i = 0; i < SAMPLES; i++) {
        oci_buffer *file = read_data(cx, samples[i]);
        for (int round = 0; round < 300; round++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            unsigned char *byte = &file->data[(random >> 33) % file->size], old = *byte;
            *byte = (unsigned char)(random >> 25);
            oc_image *image = oc_image_decode(cx, samples[i], file->data, file->size, &o);
            assert_int_equal(image == NULL, oc_context_status(cx) != OC_OK);
            oc_image_free(image);
            oc_context_clear(cx);
            *byte = old;
        }
        oci_buffer_unref(&file);
    }
    free_context(cx);
}

/* ---- headers that ask for much ----------------------------------------------------- */

/* SOI and a start of frame with three channels; the scan
 * begins, and there the file ends. */
static void put_jpeg_header(bytes *b, unsigned char frame, unsigned width,
                            unsigned height)
{
    unsigned char start[] = { 0xff,
                              0xd8,
                              0xff,
                              frame,
                              0,
                              17,
                              8,
                              (unsigned char)(height >> 8),
                              (unsigned char)height,
                              (unsigned char)(width >> 8),
                              (unsigned char)width,
                              3,
                              1,
                              0x22,
                              0,
                              2,
                              0x11,
                              0,
                              3,
                              0x11,
                              0 };
    put(b, start, sizeof start);
    put(b, "\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0", 14);
}

static void test_jpeg_bombs(void **state)
{
    bytes b = { 0 };
    (void)state;
    put_jpeg_header(&b, 0xc0, 65500, 65500);
    expect_free(&b, OC_E_LIMIT, "65500 x 65500", 256 * KIB);
    put_jpeg_header(&b, 0xc0, 65535, 2);
    expect_free(&b, OC_E_LIMIT, "65500", 256 * KIB);
    /* Within the limits, but the bytes cannot hold it. */
    put_jpeg_header(&b, 0xc2, 11000, 11000);
    expect_free(&b, OC_E_IMAGE, "cannot be in", 256 * KIB);
    put_jpeg_header(&b, 0xc0, 64, 0);
    expect_free(&b, OC_E_IMAGE, "JPEG", 256 * KIB);
    put_jpeg_header(&b, 0xc3, 64, 64);
    expect_free(&b, OC_E_UNSUPPORTED, "JPEG", 256 * KIB);
}

/* The scan that refines DC values by their last bit; doing it again changes nothing. */
static const unsigned char *find_dc_refinement(const oci_buffer *file, size_t *size)
{
    for (size_t i = 0; i + 14 < file->size; i++) {
        const unsigned char *p = file->data + i;
        if (p[0] != 0xff || p[1] != 0xda || memcmp(p + p[3] - 1, "\0\0\x10", 3) != 0)
            continue;
        for (*size = 2; p[*size] != 0xff || p[*size + 1] == 0; (*size)++) { }
        return p;
    }
    fail_msg("there is no such scan");
    return NULL;
}

static void expect_scans(const oci_buffer *file, int more, oc_status status)
{
    size_t size = 0;
    const unsigned char *scan = find_dc_refinement(file, &size);
    bytes b = { 0 };
    put(&b, file->data, file->size - 2);        /* without the end marker */
    for (int i = 0; i < more; i++) put(&b, scan, size);
    put(&b, "\xff\xd9", 2);
    expect_free(&b, status, status == OC_OK ? NULL : "image_scans", 256 * KIB);
}

static void test_jpeg_scans(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    oci_buffer *file = read_data(cx, "progressive.jpg");
    expect_scans(file, 90, OC_OK);
    expect_scans(file, 91, OC_E_LIMIT);         /* ten of its own, 100 are allowed */
    expect_scans(file, 5000, OC_E_LIMIT);
    assert_int_equal(oc_context_limit(cx, "image_scans", 3), OC_OK);
    assert_null(oc_image_decode(cx, "few.jpg", file->data, file->size, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oci_buffer_unref(&file);
    free_context(cx);
}

static void test_png_bombs(void **state)
{
    bytes b = { 0 };
    (void)state;
    put_png_start(&b, 65500, 65500);
    put_chunk(&b, "IDAT", "", 0);
    expect_free(&b, OC_E_LIMIT, "65500 x 65500", 256 * KIB);
    put_png_start(&b, 0x7fffffff, 1);
    put_chunk(&b, "IDAT", "", 0);
    expect_free(&b, OC_E_LIMIT, "image_side", 256 * KIB);
    put_png_start(&b, 0, 5);
    put_chunk(&b, "IDAT", "", 0);
    expect_free(&b, OC_E_IMAGE, "PNG", 256 * KIB);
    put_png_start(&b, 11000, 11000);
    put_chunk(&b, "IDAT", "x", 1);
    expect_free(&b, OC_E_IMAGE, "cannot be in", 256 * KIB);
    /* A stored block of 4 bytes, then 4 GB more claimed than there are. */
    put_png_start(&b, 5, 5);
    put_be32(&b, 0x7fffffff);
    put_text(&b, "IDATx");
    expect_free(&b, OC_E_IMAGE, "PNG", 256 * KIB);
    /* EXIF of 2 GB, before and after a good picture. */
    oc_context *cx = one_thread();
    oci_buffer *file = read_data(cx, "rgb8.png");
    put_png_start(&b, 5, 5);
    put_be32(&b, 0x7ffffff0);
    put_text(&b, "eXIfII*");
    expect_free(&b, OC_E_IMAGE, "longer than the file", 256 * KIB);
    put(&b, file->data, file->size - 12);
    put_be32(&b, 0x7ffffff0);
    put_text(&b, "eXIfII*");
    expect_free(&b, OC_OK, NULL, 256 * KIB);
    oci_buffer_unref(&file);
    free_context(cx);
}

static void test_png_chunks(void **state)
{
    bytes b = { 0 };
    (void)state;
    oc_context *cx = one_thread();
    oci_buffer *file = read_data(cx, "rgb8.png");
    enum { START = 8 + 25 };
    /* A wrong checksum in a chunk of no interest, before the
     * picture: an error, as in Pillow. */
    put(&b, file->data, START);
    put_chunk(&b, "prVt", "data", 4);
    b.data[b.size - 1] ^= 1;
    put(&b, file->data + START, file->size - START);
    expect_free(&b, OC_E_IMAGE, "CRC", 256 * KIB);
    /* One in the picture data. */
    put(&b, file->data, file->size);
    b.data[b.size - 12 - 1] ^= 1;
    expect_free(&b, OC_E_IMAGE, "CRC", 256 * KIB);
    /* A large text chunk: read by nobody, except for EXIF, and then within bounds. */
    bytes text = { 0 };
    put(&text, "Comment\0", 8);
    for (int i = 0; i < 1000; i++) put(&text, (char[1024]){ 'x' }, 1024);
    put(&b, file->data, START);
    put_chunk(&b, "tEXt", text.data, text.size);
    put(&b, file->data + START, file->size - START);
    expect(b.data, b.size, OC_OK, NULL, 3 * MIB);
    oc_image *image = oc_image_decode(cx, "x", b.data, b.size, NULL);
    assert_true(oc_context_memory(cx).peak_bytes < 512 * KIB);
    oc_image_free(image);
    assert_int_equal(oc_context_limit(cx, "image_chunk_bytes", 1000), OC_OK);
    assert_null(oc_image_decode(cx, "x", b.data, b.size, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    free(text.data);
    free(b.data);
    oci_buffer_unref(&file);
    free_context(cx);
}

static void test_webp_broken(void **state)
{
    bytes b = { 0 };
    (void)state;
    oc_context *cx = one_thread();
    oci_buffer *file = read_data(cx, "lossless.webp");
    /* VP8L header: 14 bits of width - 1, then of height - 1. */
    put(&b, file->data, file->size);
    memcpy(b.data + 21, "\xff\xff\xff\x0f", 4);
    expect_free(&b, OC_E_LIMIT, "16384 x 16384", 256 * KIB);
    put(&b, file->data, file->size);
    for (size_t i = 40; i < b.size; i++) b.data[i] = 0xff;
    expect_free(&b, OC_E_IMAGE, "WebP", 256 * KIB);
    put(&b, file->data, file->size);
    memcpy(b.data + 4, "\xff\xff\xff\xff", 4);
    expect_free(&b, OC_E_IMAGE, "WebP", 256 * KIB);
    oci_buffer_unref(&file);
    free_context(cx);
}

static void test_limits(void **state)
{
    static const char *const names[] = { "image_bytes", "image_pixels", "image_side" };
    (void)state;
    oc_context *cx = one_thread();
    for (int i = 0; i < SAMPLES; i++) {
        oci_buffer *file = read_data(cx, samples[i]);
        for (int n = 0; n < 3; n++) {
            oci_limits saved = cx->limits;
            assert_int_equal(oc_context_limit(cx, names[n], 4), OC_OK);
            assert_null(oc_image_decode(cx, samples[i], file->data, file->size, NULL));
            if (oc_context_status(cx) != OC_E_LIMIT ||
                !strstr(oc_context_message(cx), names[n]))
                fail_msg("%s: %s", names[n], oc_context_message(cx));
            oc_context_clear(cx);
            cx->limits = saved;
        }
        oci_buffer_unref(&file);
    }
    /* A budget too small for the library's own memory is an error, not a surprise. */
    oci_buffer *file = read_data(cx, "progressive.jpg");
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1,
                                      .memory_budget = 12000);
    oc_context *poor = oc_context_create(&o);
    assert_null(oc_image_decode(poor, "x", file->data, file->size, NULL));
    assert_int_equal(oc_context_status(poor), OC_E_MEMORY);
    free_context(poor);
    oci_buffer_unref(&file);
    free_context(cx);
}

static void test_cancel(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    oci_buffer *file = read_data(cx, "rgb8.png");
    oc_context_cancel(cx);
    assert_null(oc_image_decode(cx, "x", file->data, file->size, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_CANCELLED);
    oc_context_clear(cx);
    oci_buffer_unref(&file);
    free_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_changed_bytes), cmocka_unit_test(test_jpeg_bombs),
        cmocka_unit_test(test_jpeg_scans), cmocka_unit_test(test_png_bombs),
        cmocka_unit_test(test_png_chunks), cmocka_unit_test(test_webp_broken),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
