/* The tables that the three compilations of the kernel texts define. */
#ifndef OCI_BACKEND_CPU_CPU_H
#define OCI_BACKEND_CPU_CPU_H

#include "backend/backend.h"

extern const oci_backend oci_backend_generic;
#if defined(__x86_64__)
extern const oci_backend oci_backend_avx2, oci_backend_avx512;
#endif

#endif
