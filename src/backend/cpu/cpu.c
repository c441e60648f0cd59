#include "backend/cpu/cpu.h"

#include "base/cpu.h"

const oci_backend *oci_cpu_backend(oc_isa isa)
{
    if (isa == OC_ISA_AUTO) isa = oci_cpu_best_isa();
#if defined(__x86_64__)
    if (isa == OC_ISA_AVX512) return &oci_backend_avx512;
    if (isa == OC_ISA_AVX2) return &oci_backend_avx2;
#endif
    return &oci_backend_generic;
}
