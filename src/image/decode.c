/* From bytes to a picture: which format it is, whether it may be read, who reads it.
 *
 * The answer is Pillow's Image.open(path).convert("RGB"), pixel for pixel. Broken files
 * differ on purpose in one way: where Pillow shows what it could guess of damaged picture
 * data, we report OC_E_IMAGE. Damage that does not touch the picture (no end marker,
 * bytes after it) is accepted, as Pillow accepts it. So a cut file is either an error or
 * the whole picture. */
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"
#include "io/file.h"

typedef oc_image *(*decode_function)(oc_context *cx, oci_encoded *file);

/* What Pillow or a browser may open is named, so that the message says more than "not an
 * image"; the names are for people only. */
typedef struct image_kind {
    size_t offset;              /* of the magic bytes in the file */
    const char *magic;
    size_t length;
    const char *name;
    decode_function decode;     /* NULL: known, not read */
} image_kind;

#define MAGIC(offset, bytes) offset, bytes, sizeof bytes - 1

/* The first row that matches counts, so brands stand before the
 * container that they refine. */
static const image_kind kinds[] = {
    { MAGIC(0, "\xff\xd8\xff"), "JPEG", oci_jpeg_decode },
    { MAGIC(0, "\x89PNG\r\n\x1a\n"), "PNG", oci_png_decode },
    { MAGIC(8, "WEBPVP8"), "WebP", oci_webp_decode },
    { MAGIC(0, "GIF87a"), "GIF", NULL },
    { MAGIC(0, "GIF89a"), "GIF", NULL },
    { MAGIC(0, "BM"), "BMP", NULL },
    { MAGIC(0, "II*\0"), "TIFF", NULL },
    { MAGIC(0, "MM\0*"), "TIFF", NULL },
    { MAGIC(4, "ftypavif"), "AVIF", NULL },
    { MAGIC(4, "ftypavis"), "AVIF", NULL },
    { MAGIC(4, "ftyphei"), "HEIC", NULL },
    { MAGIC(4, "ftyphev"), "HEIC", NULL },
    { MAGIC(4, "ftypmif1"), "HEIF", NULL },
    { MAGIC(4, "ftypmsf1"), "HEIF", NULL },
    { MAGIC(4, "ftyp"), "MP4", NULL },
    { MAGIC(0, "%PDF-"), "PDF", NULL },
    { MAGIC(0, "%!PS"), "PostScript", NULL },
    { MAGIC(0, "\0\0\0\x0cjP  \r\n\x87\n"), "JPEG 2000", NULL },
    { MAGIC(0, "\xff\x4f\xff\x51"), "JPEG 2000", NULL },
    { MAGIC(0, "\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL", NULL },
    { MAGIC(0, "\xff\x0a"), "JPEG XL", NULL },
    { MAGIC(0, "8BPS"), "Photoshop", NULL },
    { MAGIC(0, "qoif"), "QOI", NULL },
    { MAGIC(0, "<svg"), "SVG", NULL },
    { MAGIC(0, "\0\0\1\0"), "ICO", NULL },
};

/* By content alone: the name of a file and what a server called it are no evidence. */
static const image_kind *find_kind(const oci_encoded *file)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const image_kind *kind = &kinds[i];
        if (file->size >= kind->offset + kind->length &&
            !memcmp(file->data + kind->offset, kind->magic, kind->length))
            return kind;
    }
    return NULL;
}

/* The order of checks is the order of cost: size of the bytes, kind, and the rest in the
 * reader of the kind, which looks at the header before it takes memory. */
static oc_image *decode(oc_context *cx, oci_encoded *file)
{
    if (file->size == 0) {
        oci_fail(cx, OC_E_IMAGE, "%s: the file is empty", file->name);
        return NULL;
    }
    if (file->size > cx->limits.image_bytes) {
        oci_fail(cx, OC_E_LIMIT, "%s: %zu bytes, more than image_bytes %llu allows",
                 file->name, file->size, (unsigned long long)cx->limits.image_bytes);
        return NULL;
    }
    const image_kind *kind = find_kind(file);
    if (!kind) {
        oci_fail(cx, OC_E_IMAGE,
                 "%s: not an image: expected JPEG, PNG or WebP data, found none of a "
                 "known kind",
                 file->name);
        return NULL;
    }
    if (!kind->decode) {
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: expected JPEG, PNG or WebP, found %s",
                 file->name, kind->name);
        return NULL;
    }
    oc_image *image = kind->decode(cx, file);
    if (!image || file->orientation < 2) return image;
    /* The turn is a second picture for a moment; image_pixels
     * bounds it like the first. */
    oc_image *turned = oci_image_turn(cx, image, file->orientation);
    oc_image_free(image);
    return turned;
}

oc_image *oc_image_decode(oc_context *cx, const char *name, const void *data, size_t size,
                          const oc_image_options *options)
{
    if (!cx || oci_failed(cx)) return NULL;
    if (!name) name = "image";
    if (!data && size > 0) {
        oci_fail(cx, OC_E_ARGUMENT, "%s: oc_image_decode: expected data, found NULL",
                 name);
        return NULL;
    }
    oc_image_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    oci_encoded file = { .name = name, .data = data, .size = size,
                         .want_orientation = o.exif_orientation };
    return decode(cx, &file);
}

oc_image *oc_image_open(oc_context *cx, const char *path, const oc_image_options *options)
{
    if (!oci_given(cx, path, __func__, "a path")) return NULL;
    oci_buffer *bytes = oci_file_read(cx, path, cx->limits.image_bytes);
    if (!bytes) return NULL;
    oc_image *image = oc_image_decode(cx, path, bytes->data, bytes->size, options);
    oci_buffer_unref(&bytes);
    return image;
}
