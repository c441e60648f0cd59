/* Parameters filled side by side, by as many threads as there are: reading, checking
 * and packing one tensor keeps the processor as busy as the memory, so two threads
 * take half the time, and each has its tensor in its own cache meanwhile. */
#ifndef OCI_NN_FILL_H
#define OCI_NN_FILL_H

#include "io/weights.h"

/* Fills number `index`. The context is the thread's own, and shares the caller's heap;
 * so is the room for what is read. Nothing is logged: the caller's log is for its
 * thread alone. */
typedef void oci_param_filler(oc_context *cx, void *user, int64_t index,
                              oci_weight_room *room);

/* All of 0..count-1, which take about `bytes` together, in slabs of large pages. The
 * error that stays is that of the least index. */
void oci_params_fill(oc_context *cx, int64_t count, size_t bytes,
                     oci_param_filler *filler, void *user);

#endif
