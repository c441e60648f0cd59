/* The kernels for AVX-512. Built with -mavx512f -mavx512bw -mavx512dq -mavx512vl and the
 * flags of avx2.c; empty elsewhere. */
#if defined(__x86_64__)
#include "backend/cpu/vec_avx512.h"

#define BACKEND_NAME "cpu avx512"
#define BACKEND_TABLE oci_backend_avx512
#include "backend/cpu/kernels.inc"
#else
typedef int oci_backend_avx512_is_empty;
#endif
