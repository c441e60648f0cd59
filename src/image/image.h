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

/* Image.resize((width, height), resample) of Pillow 13 for 8-bit RGB, bit for bit: two passes
 * with rounding to 8 bits between them; which comes first is part of the result. */
OC_NODISCARD oc_image *oci_image_resize(oc_context *cx, const oc_image *image, int64_t width,
                                        int64_t height, oci_resample resample);

#endif
