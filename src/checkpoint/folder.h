/* A checkpoint folder, opened: the model and what surrounds it on the way from picture to
 * text. */
#ifndef OCI_CHECKPOINT_FOLDER_H
#define OCI_CHECKPOINT_FOLDER_H

#include "checkpoint/regions.h"
#include "image/processor.h"
#include "models/model.h"
#include "text/tokenizer.h"

struct oc_model {
    oci_model core;
    char *folder;
    oci_json generation;            /* generation_config.json; root NULL: none */
    /* What a folder may lack, or have broken, without harm to those who do not need it:
     * the error is kept and given to whoever does. */
    oc_tokenizer *tokenizer;
    oci_processor *processor;
    oci_regions regions;            /* no boxes: the folder has no regions.json */
    oc_status tokenizer_status, processor_status, regions_status;
    char *tokenizer_message, *processor_message, *regions_message;
};

/* oc_model_open, but what regions.json says is left alone: the model of features that
 * such a file names must not name another. */
OC_NODISCARD oc_model *oci_model_open_alone(oc_context *cx, const char *name);

/* Copies what a folder has beside config and weights, as it is: tokenizer's and
 * processor's files say nothing of weights. */
void oci_companions_copy(oc_context *cx, const char *from, const char *to);
/* The same, of folders `from` and `to`, after making the latter:
 * an oci_write_begin's call. */
typedef struct oci_folders { const char *from, *to; } oci_folders;
void oci_folder_begin(oc_context *cx, void *folders);

/* False, with OC_E_ARGUMENT set, for a model opened without them. */
bool oci_model_has_weights(oc_context *cx, const oc_model *model);
/* The part, or NULL with its error set. */
const oci_processor *oci_model_processor(oc_context *cx, const oc_model *model);
const oci_regions *oci_model_regions(oc_context *cx, const oc_model *model);

#endif
