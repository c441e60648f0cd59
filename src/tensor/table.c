/* Every op there is. A new one is defined in its own file and listed here. */
#include "tensor/op.h"

#define OCI_OPS(X)                                                                       \
    X(linear) X(attention) X(layer_norm) X(act) X(add) X(scale) X(multiply) X(replace)   \
    X(reshape) X(concat) X(slice) X(columns) X(patches) X(interpolate) X(mean)           \
    X(windows) X(unwindows) X(merge) X(pad) X(relative_bias) X(embedding)                \
    X(cross_entropy) X(embedding_mean) X(scores) X(log_softmax) X(kl_div) X(normalize)   \
    X(scale_exp) X(transpose) X(rms_norm) X(gated) X(rope) X(gather)

#define DECLARE(name) extern const oci_op oci_op_row_##name;
OCI_OPS(DECLARE)

#define ROW(name) &oci_op_row_##name,
static const oci_op *const rows[] = { OCI_OPS(ROW) };

const oci_op *const *oci_op_table(size_t *count)
{
    *count = sizeof rows / sizeof *rows;
    return rows;
}
