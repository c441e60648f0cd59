/* Every architecture there is: one line each. */
#include <stdio.h>
#include <string.h>

#include "models/arch.h"

static const oci_arch *const archs[] = {
    &oci_vit,
    &oci_deit,
    &oci_beit,
    &oci_swin_arch,
    &oci_donut_swin,
    &oci_clip_vision, &oci_clip_text, &oci_clip,
    &oci_trocr, &oci_bert, &oci_roberta, &oci_xlm_roberta, &oci_camembert,
    &oci_distilbert, &oci_gpt2, &oci_bart, &oci_mbart, &oci_llama_arch,
    &oci_vision_encoder_decoder,
    &oci_vision_text_dual_encoder,
    &oci_visual_bert_arch,
    &oci_vipllava_arch,
};

const oci_arch *oci_arch_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(archs[i]->model_type, model_type)) return archs[i];
    return NULL;
}

bool oci_arch_crosses(const oci_arch *arch)
{
    const oci_input_spec *spec = arch->decode ? arch->decoder_inputs : NULL;
    while (spec && spec->name && strcmp(spec->name, "encoder_hidden_states") != 0) spec++;
    return spec && spec->name;
}

const char *oci_arch_list(char part, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof archs / sizeof *archs && n < size; i++)
        if (part == 'e'   ? archs[i]->encode != NULL
            : part == 't' ? archs[i]->pools_text
                          : oci_arch_crosses(archs[i]))
            n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "",
                                  archs[i]->model_type);
    return text;
}
