/* The kernels in plain C, for any processor. */
#include "backend/cpu/vec_generic.h"

#define BACKEND_NAME "cpu generic"
#define BACKEND_TABLE oci_backend_generic
#include "backend/cpu/kernels.inc"
