/* What image processors do to a picture before its values are computed; each is the
 * function of the same name in Transformers 4.37.2. All give a new picture, which may
 * share its pixels with the old one, or NULL with an error set. */
#ifndef OCI_IMAGE_STEPS_H
#define OCI_IMAGE_STEPS_H

#include "image/image.h"

/* The short side becomes `shortest`, the long one follows. */
OC_NODISCARD oc_image *oci_step_shortest_edge(oc_context *cx, const oc_image *image,
                                              int64_t shortest, oci_resample resample);
/* The middle of height x width; where the picture is too small, black around it. */
OC_NODISCARD oc_image *oci_step_center_crop(oc_context *cx, const oc_image *image,
                                            int64_t height, int64_t width);
/* A quarter turn clockwise if only one of the picture and height x width is lying. */
OC_NODISCARD oc_image *oci_step_align_long_axis(oc_context *cx, const oc_image *image,
                                                int64_t height, int64_t width);
/* Shrinks what is larger than height x width, with its proportions. */
OC_NODISCARD oc_image *oci_step_thumbnail(oc_context *cx, const oc_image *image,
                                          int64_t height, int64_t width);
/* Black around the picture; one that is too large is OC_E_IMAGE. */
OC_NODISCARD oc_image *oci_step_pad(oc_context *cx, const oc_image *image, int64_t height,
                                    int64_t width);
/* The bounding box of what is darker than the paper. */
OC_NODISCARD oc_image *oci_step_crop_margin(oc_context *cx, const oc_image *image);

#endif
