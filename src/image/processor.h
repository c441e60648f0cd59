/* preprocessor_config.json and what it asks for: image → pixel_values. */
#ifndef OCI_IMAGE_PROCESSOR_H
#define OCI_IMAGE_PROCESSOR_H

#include "image/image.h"

typedef struct oci_processor oci_processor;

/* Reads FOLDER/preprocessor_config.json. A class that is not built yet is OC_E_UNSUPPORTED. */
OC_NODISCARD oci_processor *oci_processor_open(oc_context *cx, const char *folder);
void oci_processor_close(oci_processor *processor);
/* Height and width of the result for this image (it matters when do_resize is false). */
void oci_processor_size(const oci_processor *processor, const oc_image *image,
                        int64_t *height, int64_t *width);
/* Writes [3, height, width] floats. Any thread; several images may run at once. */
oc_status oci_processor_run(oc_context *cx, const oci_processor *processor,
                            const oc_image *image, float *pixel_values);

#endif
