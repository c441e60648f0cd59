#define _GNU_SOURCE     /* sched_getaffinity, CPU_COUNT, madvise */
#include "base/cpu.h"

#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Older compilers' __builtin_cpu_supports does not know this one. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

bool oci_cpu_has_isa(oc_isa isa)
{
    if (isa == OC_ISA_GENERIC) return true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                has_f16c();
    if (isa == OC_ISA_AVX2) return avx2;
    if (isa == OC_ISA_AVX512)       /* what src/backend/cpu/avx512.c is compiled for */
        return avx2 && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
#endif
    return false;
}

oc_isa oci_cpu_best_isa(void)
{
    if (oci_cpu_has_isa(OC_ISA_AVX512)) return OC_ISA_AVX512;
    return oci_cpu_has_isa(OC_ISA_AVX2) ? OC_ISA_AVX2 : OC_ISA_GENERIC;
}

const char *oci_isa_name(oc_isa isa)
{
    switch (isa) {
    case OC_ISA_AUTO: return "auto";
    case OC_ISA_GENERIC: return "generic";
    case OC_ISA_AVX2: return "avx2";
    case OC_ISA_AVX512: return "avx512";
    }
    return "unknown";
}

int oci_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

void oci_cpu_large_pages(void *p, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    const size_t large = (size_t)2 << 20;
    size_t before = (large - (uintptr_t)p % large) % large;
    if (bytes < before || bytes - before < large) return;
    (void)madvise((char *)p + before, (bytes - before) / large * large, MADV_HUGEPAGE);
#else
    (void)p;
    (void)bytes;
#endif
}

double oci_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
