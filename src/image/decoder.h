/* What decode.c and the readers of single formats share. Each reader looks at the header
 * first, asks for the picture (which checks the limits), and only then decodes, straight
 * into the picture's rows. */
#ifndef OCI_IMAGE_DECODER_H
#define OCI_IMAGE_DECODER_H

#include "image/image.h"

typedef struct oci_encoded {    /* an image file in memory and what is asked of it */
    const char *name;           /* for messages */
    const unsigned char *data;
    size_t size;
    bool want_orientation;      /* look for EXIF, fill in `orientation` */
    int orientation;            /* 1..8 as in EXIF; 0: none found */
} oci_encoded;

/* NULL with an error set: OC_E_IMAGE, OC_E_UNSUPPORTED, OC_E_LIMIT or OC_E_MEMORY. */
OC_NODISCARD oc_image *oci_jpeg_decode(oc_context *cx, oci_encoded *file);
OC_NODISCARD oc_image *oci_png_decode(oc_context *cx, oci_encoded *file);
OC_NODISCARD oc_image *oci_webp_decode(oc_context *cx, oci_encoded *file);

/* False, with an error set, unless both sides are at least 1 and within the limits
 * image_side and image_pixels; `name` is for the message. */
bool oci_image_check_size(oc_context *cx, const char *name, int64_t width,
                          int64_t height);
/* An image of this size with undefined pixels, after that check. */
OC_NODISCARD oc_image *oci_image_new(oc_context *cx, const char *name, int64_t width,
                                     int64_t height);
/* Image.resize of the part [0, right) x [0, bottom), which may end within a pixel; not
 * nearest. Where a size does not change, the part is all of that axis. */
OC_NODISCARD oc_image *oci_image_resample(oc_context *cx, const oc_image *image,
                                          float right, float bottom, int64_t width,
                                          int64_t height, oci_resample resample);
/* The image turned as EXIF orientation 2..8 says. */
OC_NODISCARD oc_image *oci_image_turn(oc_context *cx, const oc_image *image,
                                      int orientation);

/* Orientation (1..8) in EXIF data, with or without its "Exif\0\0" in front; 0 when there
 * is none or the data is broken. */
int oci_exif_orientation(const unsigned char *data, size_t size);
/* The same for ImageMagick's "Raw profile type exif": three
 * lines of preface, then hex. */
int oci_exif_profile_orientation(oc_context *cx, const char *text, size_t size);
/* The same for an XMP packet: its first tiff:Orientation. */
int oci_xmp_orientation(const char *text, size_t size);

#endif
