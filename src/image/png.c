/* PNG by libpng, brought to 8-bit RGB as Pillow does: transparency is dropped, not
 * blended; gamma and profiles are ignored; 16-bit colour keeps the high byte, but 16-bit
 * grey, which is Pillow's mode I, is clipped at 255. */
#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "base/alloc.h"
#include "base/context.h"
#include "base/size.h"
#include "base/utf8.h"
#include "image/decoder.h"

enum {
    DEFLATE_RATIO = 1032,       /* the most that a byte of deflate data can become */
    MAX_TEXT = 1 << 20,         /* bytes of an inflated text and number of texts that are
                                   read; */
    MAX_TEXTS = 64              /* Pillow's MAX_TEXT_CHUNK, and with it MAX_TEXT_MEMORY */
};

typedef struct png_reader {
    png_structp png;
    png_infop info;
    jmp_buf escape;             /* the way out of the library after an error */
    oc_context *cx;
    oci_encoded *file;
    size_t at;                  /* bytes of the file read so far */
    bool past_picture;          /* damage no longer matters */
    int type, depth;            /* as in IHDR */
    oc_image *image;            /* owned until the end */
} png_reader;

static _Noreturn void escape(png_reader *r) { longjmp(r->escape, 1); }

/* Must not return. Damage after the picture ends reading, but is no error. */
static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    png_reader *r = png_get_error_ptr(png);
    if (!r->past_picture) oci_fail(r->cx, OC_E_IMAGE, "%s: PNG: %s", r->file->name, text);
    escape(r);
}

/* A warning is nothing to us, except that it tells of chunks over MAX_TEXT before memory
 * is taken for them. libpng says it in words only; the last thing that it read then is
 * the chunk's length and name. Picture data is inflated row by row: any size will do. */
static void on_warning(png_structp png, png_const_charp text)
{
    png_reader *r = png_get_error_ptr(png);
    if (!strstr(text, "chunk data is too large") || r->at < 8) return;
    const unsigned char *head = r->file->data + r->at - 8;
    if (!memcmp(head + 4, "IDAT", 4)) return;
    uint64_t length = png_get_uint_32(head), limit = r->cx->limits.image_chunk_bytes;
    if (length > r->file->size - r->at) png_error(png, "a chunk is longer than the file");
    if (length <= limit) return;
    if (!r->past_picture)
        oci_fail(r->cx, OC_E_LIMIT,
                 "%s: PNG: a chunk of %llu bytes, more than image_chunk_bytes %llu "
                 "allows",
                 r->file->name, (unsigned long long)length, (unsigned long long)limit);
    escape(r);
}

/* All of libpng's and zlib's memory is ours: counted, bounded by the budget,
 * and made to fail by tests. A NULL sets OC_E_MEMORY, which stays even if
 * libpng could go on without. */
static png_voidp allocate(png_structp png, png_alloc_size_t size)
{
    png_reader *r = png_get_mem_ptr(png);
    return oci_alloc(r->cx, size);
}

static void release(png_structp png, png_voidp block)
{
    (void)png;
    oci_free(block);
}

/* The end of the file is an error here, never fewer bytes than asked for. */
static void read_bytes(png_structp png, png_bytep to, size_t count)
{
    png_reader *r = png_get_io_ptr(png);
    if (count > r->file->size - r->at)
        png_error(png, "the data ends before the picture is complete");
    memcpy(to, r->file->data + r->at, count);
    r->at += count;
}

/* Chunks that do not make the picture are skipped unread, except
 * those that may hold EXIF. */
static void choose_chunks(png_reader *r)
{
    static const png_byte exif_chunks[] = "eXIf\0tEXt\0zTXt\0iTXt";
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    if (r->file->want_orientation)
        png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_AS_DEFAULT, exif_chunks, 4);
    png_set_chunk_malloc_max(r->png, (png_alloc_size_t)oci_min(
        (int64_t)r->cx->limits.image_chunk_bytes, MAX_TEXT));
    png_set_chunk_cache_max(r->png, MAX_TEXTS);
}

static void start(png_reader *r)
{
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r,
                                      allocate, release);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (!r->info) {
        oci_fail(r->cx, OC_E_MEMORY, "%s: PNG: the library did not start", r->file->name);
        escape(r);
    }
    png_set_read_fn(r->png, r, read_bytes);
    /* A wrong checksum is an error in small chunks too, as in Pillow. */
    png_set_crc_action(r->png, PNG_CRC_DEFAULT, PNG_CRC_ERROR_QUIT);
    png_set_benign_errors(r->png, 1);
    /* Our own limits are checked before rows are allocated, with our own message. */
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    choose_chunks(r);
}

/* All that IHDR claims, before rows are allocated. */
static void check_header(png_reader *r)
{
    r->type = png_get_color_type(r->png, r->info);
    r->depth = png_get_bit_depth(r->png, r->info);
    int64_t width = png_get_image_width(r->png, r->info);
    int64_t height = png_get_image_height(r->png, r->info);
    if (!oci_image_check_size(r->cx, r->file->name, width, height)) escape(r);
    uint64_t packed = (uint64_t)png_get_rowbytes(r->png, r->info) * (uint64_t)height;
    if (packed / DEFLATE_RATIO > r->file->size) {
        oci_fail(r->cx, OC_E_IMAGE,
                 "%s: PNG: %lld x %lld pixels cannot be in %zu bytes; the file is cut or "
                 "its header is wrong",
                 r->file->name, (long long)width, (long long)height, r->file->size);
        escape(r);
    }
    r->image = oci_image_new(r->cx, r->file->name, width, height);
    if (!r->image) escape(r);
}

/* The two kinds of rows that libpng hands over as they are. */
static bool is_palette(const png_reader *r) { return r->type == PNG_COLOR_TYPE_PALETTE; }

static bool is_grey16(const png_reader *r)
{
    return r->type == PNG_COLOR_TYPE_GRAY && r->depth == 16;
}

/* What libpng shall make of each row: RGB, except where widen_row takes over. */
static void choose_transforms(png_reader *r)
{
    if (is_palette(r)) {
        png_set_packing(r->png);
        png_set_check_for_invalid_index(r->png, 0);
    } else if (!is_grey16(r)) {
        if (r->depth == 16) png_set_strip_16(r->png);
        if (r->depth < 8) png_set_expand_gray_1_2_4_to_8(r->png);
        if (r->type & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(r->png);
        if (!(r->type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(r->png);
    }
}

/* Palette indices (1 byte) and 16-bit grey (2 bytes) stand at the front of their RGB row
 * and are widened in place from the right, where nothing unread is overwritten. */
static void widen_row(const png_reader *r, unsigned char *row,
                      const png_color palette[256])
{
    for (int64_t x = r->image->width - 1; x >= 0; x--) {
        png_color p;
        if (is_palette(r)) {
            p = palette[row[x]];
        } else {
            png_byte grey = row[2 * x] ? 255 : row[2 * x + 1];
            p = (png_color){ grey, grey, grey };
        }
        row[3 * x] = p.red;
        row[3 * x + 1] = p.green;
        row[3 * x + 2] = p.blue;
    }
}

/* Indices beyond the file's palette are black, as in Pillow. */
static void fill_palette(png_reader *r, png_color palette[256])
{
    png_colorp stored = NULL;
    int count = 0;
    memset(palette, 0, 256 * sizeof *palette);
    if (png_get_PLTE(r->png, r->info, &stored, &count))
        for (int i = 0; i < count && i < 256; i++) palette[i] = stored[i];
}

/* Interlaced files come in seven passes over the same rows,
 * each filling in its pixels. */
static void read_rows(png_reader *r)
{
    size_t stride = (size_t)r->image->width * 3;
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    if (png_get_rowbytes(r->png, r->info) > stride)
        png_error(r->png, "rows are wider than expected");
    unsigned char *pixels = r->image->buffer->data;
    for (int pass = 0; pass < passes; pass++) {
        for (int64_t y = 0; y < r->image->height; y++) {
            if (oci_cancelled(r->cx)) escape(r);
            png_read_row(r->png, pixels + (size_t)y * stride, NULL);
        }
    }
    if (!is_palette(r) && !is_grey16(r)) return;
    png_color palette[256];
    fill_palette(r, palette);
    for (int64_t y = 0; y < r->image->height; y++)
        widen_row(r, pixels + (size_t)y * stride, palette);
}

/* Pillow's order: the eXIf chunk, else a raw profile; and XMP if neither has the tag. */
static void find_orientation(png_reader *r)
{
    png_bytep exif = NULL;
    png_textp texts = NULL;
    png_uint_32 size = 0;
    int count = png_get_text(r->png, r->info, &texts, NULL),
        *found = &r->file->orientation;
    bool has_exif = png_get_eXIf_1(r->png, r->info, &size, &exif) != 0;
    if (has_exif) *found = oci_exif_orientation(exif, size);
    for (int i = 0; i < count; i++) {
        size_t length = texts[i].text_length ? texts[i].text_length
                                             : texts[i].itxt_length;
        if (!has_exif && !strcmp(texts[i].key, "Raw profile type exif"))
            *found = oci_exif_profile_orientation(r->cx, texts[i].text, length);
    }
    for (int i = 0; i < count && *found == 0; i++) {
        size_t length = texts[i].text_length ? texts[i].text_length
                                             : texts[i].itxt_length;
        if (!strcmp(texts[i].key, "XML:com.adobe.xmp") &&
            oci_utf8_valid(texts[i].text, length))
            *found = oci_xmp_orientation(texts[i].text, length);
    }
}

/* Runs between setjmp and longjmp; what it takes hangs on the reader. */
static void read_picture(png_reader *r)
{
    start(r);
    png_read_info(r->png, r->info);
    check_header(r);
    choose_transforms(r);
    read_rows(r);
    r->past_picture = true;
    if (r->file->want_orientation) png_read_end(r->png, r->info);
}

oc_image *oci_png_decode(oc_context *cx, oci_encoded *file)
{
    png_reader *r = oci_calloc(cx, 1, sizeof *r);
    if (!r) return NULL;
    r->cx = cx;
    r->file = file;
    if (setjmp(r->escape) == 0) read_picture(r);
    /* Texts and EXIF may stand on either side of the picture, and count even if what
     * follows them is damaged. */
    if (file->want_orientation && r->past_picture) find_orientation(r);
    png_destroy_read_struct(&r->png, &r->info, NULL);
    oc_image *image = r->image;
    oci_free(r);
    if (!oci_failed(cx)) return image;
    oc_image_free(image);
    return NULL;
}
