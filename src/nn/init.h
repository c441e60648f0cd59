/* How Transformers draws parameters that no checkpoint has. */
#ifndef OCI_NN_INIT_H
#define OCI_NN_INIT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum oci_init_kind {
    OCI_INIT_NORMAL,        /* mean 0, deviation `value` (0: 0.02) */
    OCI_INIT_TRUNCATED,     /* the same within -2 … 2 (torch's trunc_normal_) */
    OCI_INIT_UNIFORM,       /* -value … value; in linear maps 1 / sqrt(K): torch's own */
    OCI_INIT_FILL,          /* `value` */
    OCI_INIT_ABSENT         /* optional, and left out of a model that is made afresh */
} oci_init_kind;

typedef struct oci_init {
    oci_init_kind kind;
    double value;
    bool zero_row;          /* of a table: row `row` is zeros (padding_idx) */
    int64_t row;
} oci_init;

/* Fills `rows` rows of `width` numbers. They depend on seed, name and place
 * alone: a parameter comes out the same whatever else the model has. `first` is
 * the number of the first row. */
void oci_init_fill(const oci_init *init, uint64_t seed, const char *name, int64_t first,
                   int64_t rows, int64_t width, float *out);

#endif
