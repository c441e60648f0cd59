/* Every architecture there is: one line each. */
#include <string.h>

#include "models/arch.h"

static const oci_arch *const archs[] = {
    &oci_vit,
    &oci_trocr,
    &oci_vision_encoder_decoder,
};

const oci_arch *oci_arch_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(archs[i]->model_type, model_type)) return archs[i];
    return NULL;
}
