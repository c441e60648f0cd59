/* preprocessor_config.json and what it asks for: image → pixel_values. */
#ifndef OCI_IMAGE_PROCESSOR_H
#define OCI_IMAGE_PROCESSOR_H

#include "image/image.h"

typedef struct oci_processor oci_processor;

/* Reads FOLDER/preprocessor_config.json. A class that is not built yet is
 * OC_E_UNSUPPORTED. */
OC_NODISCARD oci_processor *oci_processor_open(oc_context *cx, const char *folder);
void oci_processor_close(oci_processor *processor);
/* "ViT", "DeiT", "Beit", "CLIP", "Donut", "Nougat". */
const char *oci_processor_class(const oci_processor *processor);
/* The picture as the model will see it: cut, resized, padded.
 * Any thread; several at once. */
OC_NODISCARD oc_image *oci_processor_shape(oc_context *cx, const oci_processor *processor,
                                           const oc_image *image);
/* The values of a picture that has its shape: [3, height, width] floats. */
void oci_processor_values(const oci_processor *processor, const oc_image *image,
                          float *pixel_values);

#endif
