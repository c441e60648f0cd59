/* Pictures out: as PNG, and small. */
#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/context.h"
#include "base/size.h"
#include "image/image.h"
#include "io/file.h"

typedef struct png_writer {
    oc_context *cx;
    png_structp png;
    png_infop info;
    jmp_buf escape;             /* the way out of the library after an error */
    oci_bytes out;
} png_writer;

/* Must not return. */
static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    png_writer *w = png_get_error_ptr(png);
    oci_fail(w->cx, OC_E_FAILED, "PNG: %s", text);
    longjmp(w->escape, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_write(png_structp png, png_bytep data, png_size_t size)
{
    png_writer *w = png_get_io_ptr(png);
    if (oci_bytes_append(w->cx, &w->out, data, size) != OC_OK) longjmp(w->escape, 1);
}

static void on_flush(png_structp png) { (void)png; }

/* libpng's memory is counted and may be refused, like ours. */
static png_voidp on_malloc(png_structp png, png_alloc_size_t size)
{
    png_writer *w = png_get_mem_ptr(png);
    return oci_alloc(w->cx, size);
}

static void on_free(png_structp png, png_voidp block)
{
    (void)png;
    oci_free(block);
}

static void write_rows(png_writer *w, const oc_image *image)
{
    const unsigned char *rows = oc_image_pixels(image);
    png_set_write_fn(w->png, w, on_write, on_flush);
    png_set_IHDR(w->png, w->info, (png_uint_32)image->width, (png_uint_32)image->height,
                 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    for (int64_t y = 0; y < image->height; y++)
        png_write_row(w->png, rows + y * image->width * 3);
    png_write_end(w->png, w->info);
}

char *oc_image_png(oc_context *cx, const oc_image *image, size_t *size)
{
    if (!oci_given(cx, image, __func__, "a picture") ||
        !oci_given(cx, size, __func__, "a size"))
        return NULL;
    png_writer *w = oci_calloc(cx, 1, sizeof *w);
    if (!w) return NULL;
    w->cx = cx;
    oci_bytes_init(&w->out, (size_t)cx->limits.image_bytes);
    /* What changes from here on lies on the heap: locals would be indeterminate after a
     * longjmp (C11 7.13.2.1). */
    if (setjmp(w->escape) == 0) {
        w->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, w, on_error, on_warning,
                                           w, on_malloc, on_free);
        w->info = w->png ? png_create_info_struct(w->png) : NULL;
        if (w->info) write_rows(w, image);
        else oci_fail(cx, OC_E_MEMORY, "PNG: out of memory");
    }
    png_destroy_write_struct(&w->png, &w->info);
    *size = w->out.size;
    char *bytes = oci_failed(cx) ? NULL : oci_bytes_take(cx, &w->out);
    oci_bytes_deinit(&w->out);
    oci_free(w);
    return bytes;
}

oc_status oc_image_save(oc_context *cx, const oc_image *image, const char *path)
{
    size_t size = 0;
    if (!cx) return OC_E_MEMORY;
    if (!image || !path)
        return oci_fail(cx, OC_E_ARGUMENT, "save: expected a picture and a path");
    char *png = oc_image_png(cx, image, &size);
    oci_save *save = oci_save_begin(cx, path);
    if (png) oci_save_write(cx, save, png, size);
    oci_save_end(cx, save, true);
    oci_free(png);
    return cx->status;
}

oc_image *oc_image_fit(oc_context *cx, const oc_image *image, int64_t side)
{
    if (!oci_given(cx, image, __func__, "a picture")) return NULL;
    if (side < 1) {
        oci_fail(cx, OC_E_ARGUMENT, "fit: expected a side of 1 or more, found %lld",
                 (long long)side);
        return NULL;
    }
    int64_t width = image->width, height = image->height,
            longest = oci_max(width, height);
    if (longest <= side) return oci_image_share(cx, image);
    /* Rounded; as sides are at most image_side, the products fit. */
    width = oci_max(1, (2 * width * side + longest) / (2 * longest));
    height = oci_max(1, (2 * height * side + longest) / (2 * longest));
    /* Blocks are averaged first, as Pillow's thumbnail() does:
     * the cost is that of reading. */
    return oci_image_resize_reduced(cx, image, width, height, OCI_BICUBIC, 2.0);
}
