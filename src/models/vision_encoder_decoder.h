/* The parts of a VisionEncoderDecoderModel that generation drives one by one. */
#ifndef OCI_MODELS_VISION_ENCODER_DECODER_H
#define OCI_MODELS_VISION_ENCODER_DECODER_H

#include "models/arch.h"

typedef struct oci_ved {
    const oci_arch *encoder_arch, *decoder_arch;
    void *encoder, *decoder;            /* model structs of those */
    oci_linear_layer enc_to_dec_proj;   /* weight NULL: the decoder takes the encoder's
                                           width */
    bool project;
    bool tf_legacy_loss;                /* TensorFlow's class then gives a loss a label */
    int64_t encoder_width;
    oci_decoder_shape shape;            /* of the decoder */
    int64_t pad_token_id, decoder_start_token_id;  /* of the composite config; -1: null */
} oci_ved;

/* What the decoder's cross-attention reads, [B, N, Dc]. */
oci_tensor *oci_ved_encode(oc_context *cx, const oci_ved *m, oci_encode_call call);
/* The encoder's last_hidden_state made fit for the decoder, [B, N, Dc]. */
oci_tensor *oci_ved_project(oc_context *cx, const oci_ved *m, oci_tensor *states);

#endif
