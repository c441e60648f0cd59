/* The kernels for AVX2, FMA and F16C. Built with -mavx2 -mfma -mf16c; empty elsewhere. */
#if defined(__x86_64__)
#include "backend/cpu/vec_avx2.h"

#define BACKEND_NAME "cpu avx2"
#define BACKEND_TABLE oci_backend_avx2
#include "backend/cpu/kernels.inc"
#else
typedef int oci_backend_avx2_is_empty;
#endif
