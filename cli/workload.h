/* What reading a picture costs a model, to be compared with what the machine can do. */
#ifndef OCELLI_CLI_WORKLOAD_H
#define OCELLI_CLI_WORKLOAD_H

#include "cli.h"

typedef struct workload {           /* counted from the shapes in the files */
    double encoder_gflop;           /* of one picture; 0: not known */
    double decoder_gb; /* weights that one decoding step reads; 0: not known */
} workload;

/* Of the object that oc_inspect tells with its tensors; NULL gives zeros. */
workload cli_count_work(const json_t *about);

#endif
