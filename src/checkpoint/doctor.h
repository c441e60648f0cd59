/* What oc_doctor's parts share. Each looks at one thing and adds findings; none of them
 * ends the examination. */
#ifndef OCI_CHECKPOINT_DOCTOR_H
#define OCI_CHECKPOINT_DOCTOR_H

#include "checkpoint/folder.h"

typedef struct oci_doctor {
    oc_context *cx;
    const char *folder;
    const oc_doctor_options *options;
    json_t *report;                 /* what oc_doctor returns */
    json_t *findings;               /* its list of those */
    size_t errors;
} oci_doctor;

/* "error": it cannot be used, or gives wrong answers; "warning": it may; "note": worth
 * knowing. `about` is the file or field. */
OC_PRINTF(4, 5) void oci_doctor_find(oci_doctor *d, const char *level, const char *about,
                                     const char *format, ...);
/* Makes a finding of the context's error, if there is one, and clears it. False: there
 * was one. Out of memory and interrupts stay: they are the whole call's. */
bool oci_doctor_take_error(oci_doctor *d, const char *level, const char *about);

/* Fields of config.json against each other, the tokenizer,
 * the processor and the weights. */
void oci_doctor_config(oci_doctor *d, const json_t *config, const oci_arch *arch,
                       const oci_weights *weights);
/* Opens the model; runs the tokenizer there and back, and one forward pass. */
void oci_doctor_run(oci_doctor *d);

#endif
