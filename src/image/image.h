/* A decoded picture and the processors that turn it into a model's pixel values. */
#ifndef OCI_IMAGE_IMAGE_H
#define OCI_IMAGE_IMAGE_H

#include "base/buffer.h"
#include "ocelli.h"

struct oc_image {
    int64_t width, height;
    oci_buffer *buffer;         /* [height, width, 3] uint8 */
};

/* Pillow's filter codes. */
typedef enum oci_resample {
    OCI_NEAREST, OCI_LANCZOS, OCI_BILINEAR, OCI_BICUBIC, OCI_BOX, OCI_HAMMING
} oci_resample;

/* Image.resize((width, height), resample) of Pillow 13 for 8-bit RGB, bit
 * for bit: two passes with rounding to 8 bits between them; which comes
 * first is part of the result. */
OC_NODISCARD oc_image *oci_image_resize(oc_context *cx, const oc_image *image,
                                        int64_t width, int64_t height,
                                        oci_resample resample);
/* The same with Pillow's reducing_gap: whole blocks of pixels are averaged first, as long
 * as what is left is `gap` times as large as the result. */
OC_NODISCARD oc_image *oci_image_resize_reduced(oc_context *cx, const oc_image *image,
                                                int64_t width, int64_t height,
                                                oci_resample resample, double gap);

/* A copy of a part, which lies inside the picture. */
OC_NODISCARD oc_image *oci_image_crop(oc_context *cx, const oc_image *image, int64_t left,
                                      int64_t top, int64_t width, int64_t height);

/* Another owner of the same pixels. */
OC_NODISCARD oc_image *oci_image_share(oc_context *cx, const oc_image *image);

#endif
