/* Visual prompts: what is drawn on a picture so that a question can point at it. */
#ifndef OCI_IMAGE_OVERLAY_H
#define OCI_IMAGE_OVERLAY_H

#include "image/image.h"

enum { OCI_MARK_POINTS = 1 << 16 };     /* most points of a mark */
enum { OCI_MARKS = 1 << 10 };           /* most marks of a file */

/* A mark as it is drawn: its points lie in the picture. */
typedef struct oci_outline {
    oc_mark_shape shape;
    double *xy;                 /* [count, 2] */
    size_t count;
    double width;               /* of the line; of a point its radius */
    double head;                /* of an arrow: length of the sides of its head */
} oci_outline;

/* A part of the picture, and how much of each pixel the mark covers. */
typedef struct oci_tile {
    int64_t x, y, width, height;
    uint8_t *coverage;          /* [height, stride], all 0 before */
    int64_t stride;             /* a multiple of 4 */
} oci_tile;

/* By cairo; OC_E_UNSUPPORTED in a build without it. */
oc_status oci_outline_cover(oc_context *cx, const oci_outline *outline,
                            const oci_tile *tile);

/* One mark into a picture that nobody shares. */
oc_status oci_mark_draw(oc_context *cx, oc_image *image, const oc_mark *mark);
/* A copy to draw into. */
OC_NODISCARD oc_image *oci_image_copy(oc_context *cx, const oc_image *image);
/* The shape's name in JSON and on the command line: "box", … */
const char *oci_mark_name(oc_mark_shape shape);

#endif
