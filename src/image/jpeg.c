/* JPEG by libjpeg-turbo with the settings of Pillow, which are the library's defaults:
 * integer DCT, fancy upsampling, block smoothing.
 *
 * The source is a suspending one that never gets more data: when the library asks for it,
 * the file is cut. The library's own memory source would invent an end marker instead,
 * and the picture would be half grey. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "base/alloc.h"
#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"

typedef struct jpeg_reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;             /* the way out of the library after an error */
    oc_context *cx;
    oci_encoded *file;
    oc_image *image;            /* owned until the end */
    unsigned char *cmyk;        /* one row of four channels; owned */
    uint64_t charged;           /* bytes that the library holds, as counted by our heap */
} jpeg_reader;

static _Noreturn void escape(jpeg_reader *r) { longjmp(r->escape, 1); }

static _Noreturn void fail_cut(jpeg_reader *r)
{
    oci_fail(r->cx, OC_E_IMAGE, "%s: JPEG: the data ends before the picture is complete",
             r->file->name);
    escape(r);
}

/* Which of libjpeg's errors are no fault of the file: out of memory, over its
 * own size bound, or a kind of JPEG (12-bit, lossless, hierarchical) that
 * neither it nor Pillow reads. */
static oc_status status_of(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return OC_E_MEMORY;
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
        return OC_E_UNSUPPORTED;
    case JERR_IMAGE_TOO_BIG:
        return OC_E_LIMIT;
    default:
        return OC_E_IMAGE;
    }
}

static _Noreturn void on_error(j_common_ptr info)
{
    jpeg_reader *r = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    oci_fail(r->cx, status_of(info->err->msg_code), "%s: JPEG: %s", r->file->name, text);
    escape(r);
}

/* Level -1 is a warning. Those below leave the picture well defined, and
 * cameras write such files; any other means that picture data is damaged
 * and the library would guess. */
static void on_message(j_common_ptr info, int level)
{
    if (level >= 0) return;
    switch (info->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_BOGUS_ICC:
        return;
    default:
        on_error(info);
    }
}

/* Nothing to open or close: all bytes are there from the start. */
static void do_nothing(j_decompress_ptr info) { (void)info; }

static boolean suspend(j_decompress_ptr info)
{
    (void)info;
    return FALSE;
}

/* Skipping past the end leaves nothing, and the next read finds the file cut. */
static void skip_bytes(j_decompress_ptr info, long count)
{
    struct jpeg_source_mgr *source = info->src;
    if (count <= 0) return;
    size_t n = (size_t)count < source->bytes_in_buffer ? (size_t)count
                                                       : source->bytes_in_buffer;
    source->next_input_byte += n;
    source->bytes_in_buffer -= n;
}

/* Called for every row of blocks that is read: a small progressive file can hold
 * thousands of scans over a large picture. */
static void on_progress(j_common_ptr common)
{
    jpeg_reader *r = common->client_data;
    if ((uint64_t)r->info.input_scan_number > r->cx->limits.image_scans) {
        oci_fail(r->cx, OC_E_LIMIT, "%s: JPEG: more scans than image_scans %llu allows",
                 r->file->name, (unsigned long long)r->cx->limits.image_scans);
        escape(r);
    }
    if (oci_cancelled(r->cx)) escape(r);
}

/* The handlers come first: creating the decompressor can fail already. */
static void start(jpeg_reader *r)
{
    r->info.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->info.client_data = r;
    jpeg_create_decompress(&r->info);
    r->source = (struct jpeg_source_mgr){
        .next_input_byte = r->file->data, .bytes_in_buffer = r->file->size,
        .init_source = do_nothing, .fill_input_buffer = suspend,
        .skip_input_data = skip_bytes, .resync_to_restart = jpeg_resync_to_restart,
        .term_source = do_nothing,
    };
    r->info.src = &r->source;
    r->progress.progress_monitor = on_progress;
    r->info.progress = &r->progress;
    if (r->file->want_orientation) jpeg_save_markers(&r->info, JPEG_APP0 + 1, 0xffff);
}

/* Blocks of 8 x 8 coefficients in the file, padded to whole MCUs
 * as the library stores them. */
static uint64_t count_blocks(const jpeg_reader *r)
{
    uint64_t blocks = 0;
    for (int i = 0; i < r->info.num_components; i++) {
        const jpeg_component_info *c = &r->info.comp_info[i];
        int64_t across = oci_ceil_div(c->width_in_blocks, c->h_samp_factor);
        int64_t down = oci_ceil_div(c->height_in_blocks, c->v_samp_factor);
        blocks += (uint64_t)(across * c->h_samp_factor * down * c->v_samp_factor);
    }
    return blocks;
}

/* Everything that the header claims is checked here, before memory is taken for it. */
static void check_header(jpeg_reader *r)
{
    int channels = r->info.num_components;
    if (channels != 1 && channels != 3 && channels != 4) {
        oci_fail(r->cx, OC_E_UNSUPPORTED,
                 "%s: JPEG: expected 1, 3 or 4 channels, found %d", r->file->name,
                 channels);
        escape(r);
    }
    int64_t width = r->info.image_width, height = r->info.image_height;
    if (!oci_image_check_size(r->cx, r->file->name, width, height)) escape(r);
    /* A Huffman code has at least one bit and every block has at least one code (its DC
     * value), so a header of 19 bytes cannot ask for a poster. */
    uint64_t blocks = count_blocks(r);
    if (!r->info.arith_code && blocks / 8 > r->file->size) {
        oci_fail(r->cx, OC_E_IMAGE,
                 "%s: JPEG: %lld x %lld pixels cannot be in %zu bytes; the file is cut "
                 "or its header is wrong",
                 r->file->name, (long long)width, (long long)height, r->file->size);
        escape(r);
    }
    r->image = oci_image_new(r->cx, r->file->name, width, height);
    if (!r->image) escape(r);
    uint64_t held = jpeg_has_multiple_scans(&r->info) ? blocks * sizeof(JBLOCK) : 0;
    if (!oci_heap_charge(r->cx, held)) escape(r);
    r->charged = held;
    /* Beyond the coefficients the library keeps some rows; 32 MiB
     * is enough for the widest. */
    r->info.mem->max_memory_to_use = (long)(held + (UINT64_C(32) << 20));
}

/* The first APP1 segment that is EXIF; XMP and others share the marker. libjpeg keeps
 * these segments for us, at most 64 KiB each and together less than the file. */
static void find_orientation(jpeg_reader *r)
{
    for (jpeg_saved_marker_ptr m = r->info.marker_list; m; m = m->next) {
        if (m->data_length < 6 || memcmp(m->data, "Exif\0", 6) != 0) continue;
        r->file->orientation = oci_exif_orientation(m->data, m->data_length);
        return;
    }
}

/* a * b / 255, rounded, as Pillow's MULDIV255. */
static unsigned char muldiv255(int a, int b)
{
    int t = a * b + 128;
    return (unsigned char)(((t >> 8) + t) >> 8);
}

/* Pillow reads every CMYK JPEG as Adobe writes them, inverted; then its convert("RGB"):
 * nk - c * nk / 255 with nk = 255 - k. Inverted back that is
 * 255 - k = the stored value. */
static void cmyk_row_to_rgb(const unsigned char *cmyk, unsigned char *rgb, int64_t width)
{
    for (int64_t x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        int nk = cmyk[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (unsigned char)(nk - muldiv255(255 - cmyk[c], nk));
    }
}

/* RGB rows are written in place, several a call; CMYK goes through one row of our own. */
static void read_rows(jpeg_reader *r)
{
    enum { BATCH = 16 };        /* the most that the library makes at once */
    size_t stride = (size_t)r->image->width * 3;
    while (r->info.output_scanline < r->info.output_height) {
        unsigned char *top = r->image->buffer->data + r->info.output_scanline * stride;
        JSAMPROW rows[BATCH] = { r->cmyk };
        JDIMENSION count = 1, left = r->info.output_height - r->info.output_scanline;
        for (JDIMENSION i = 0; !r->cmyk && i < BATCH && i < left; i++) {
            rows[i] = top + i * stride;
            count = i + 1;
        }
        if (jpeg_read_scanlines(&r->info, rows, count) == 0) fail_cut(r);
        if (r->cmyk) cmyk_row_to_rgb(r->cmyk, top, r->image->width);
    }
}

/* Runs between setjmp and longjmp: it may not return early, it escapes. All that it takes
 * hangs on the reader, so that oci_jpeg_decode can release it. */
static void read_picture(jpeg_reader *r)
{
    start(r);
    if (jpeg_read_header(&r->info, TRUE) != JPEG_HEADER_OK) fail_cut(r);
    check_header(r);
    if (r->file->want_orientation) find_orientation(r);
    /* Grey is widened and YCbCr converted by the library, YCCK to CMYK as well. Which of
     * them it is, the library guesses from markers and channel names, for Pillow too. */
    r->info.out_color_space = JCS_RGB;
    if (r->info.num_components == 4) {
        r->info.out_color_space = JCS_CMYK;
        r->cmyk = oci_alloc(r->cx, (size_t)r->image->width * 4);
        if (!r->cmyk) escape(r);
    }
    if (!jpeg_start_decompress(&r->info)) fail_cut(r);
    read_rows(r);
    /* A missing end marker is no loss; anything broken before it still is an error. */
    (void)jpeg_finish_decompress(&r->info);
}

oc_image *oci_jpeg_decode(oc_context *cx, oci_encoded *file)
{
    jpeg_reader *r = oci_calloc(cx, 1, sizeof *r);
    if (!r) return NULL;
    r->cx = cx;
    r->file = file;
    if (setjmp(r->escape) == 0) read_picture(r);
    jpeg_destroy_decompress(&r->info);
    oci_heap_discharge(cx->heap, r->charged);
    oci_free(r->cmyk);
    oc_image *image = r->image;
    oci_free(r);
    if (!oci_failed(cx)) return image;
    oc_image_free(image);
    return NULL;
}
