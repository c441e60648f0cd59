/* Arguments of a class's forward as named tensors, checked against a table. */
#ifndef OCI_MODELS_INPUTS_H
#define OCI_MODELS_INPUTS_H

#include "tensor/tensor.h"

typedef enum oci_input_kind {
    OCI_INPUT_FLOAT,        /* F32, F16, BF16, F64 → F32 */
    OCI_INPUT_IDS,          /* any integer → I64 */
    OCI_INPUT_MASK,         /* any type → F32 */
    OCI_INPUT_FLAG          /* a scalar: not 0 is true */
} oci_input_kind;

typedef struct oci_input_spec {
    const char *name;       /* NULL ends a table; "past_key_values." stands for all of
                               them */
    oci_input_kind kind;
    int rank;               /* 0: checked by the model */
} oci_input_spec;

#define OCI_INPUTS_END { NULL, OCI_INPUT_FLOAT, 0 }

/* Every tensor of the set is in the table, with a type and rank that fit. */
bool oci_inputs_check(oc_context *cx, const oc_tensors *in, const oci_input_spec *specs);
/* A tensor in the arena, or NULL if the set has none of that name. */
oci_tensor *oci_input(oc_context *cx, const oc_tensors *in, const oci_input_spec *specs,
                      const char *name);
/* The same of `count` rows of a tensor of floats; they are in
 * range, and its rank is not 0. */
oci_tensor *oci_input_rows(oc_context *cx, oc_tensor_view rows, int64_t first,
                           int64_t count);
/* NULL is an error that lists what is accepted. */
oci_tensor *oci_input_required(oc_context *cx, const oc_tensors *in,
                               const oci_input_spec *specs, const char *name);
bool oci_input_flag(const oc_tensors *in, const char *name);
/* Fails unless two tensors (NULL passes) agree in their first `dims` dimensions. */
void oci_inputs_agree(oc_context *cx, const char *a_name, const oci_tensor *a,
                      const char *b_name, const oci_tensor *b, int dims);
/* Fails unless all ids of x (NULL passes) lie in low … high. */
void oci_inputs_within(oc_context *cx, const char *name, const oci_tensor *x, int64_t low,
                       int64_t high);

#endif
