/* Activations by the names that configs use (Transformers' ACT2FN). */
#ifndef OCI_NN_ACT_H
#define OCI_NN_ACT_H

#include <stdbool.h>

#include "backend/backend.h"

/* False if there is none of that name. */
bool oci_act_find(const char *name, oci_act *act);
const char *oci_act_name(oci_act act);

#endif
