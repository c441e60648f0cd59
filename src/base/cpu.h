/* What the processor can do. */
#ifndef OCI_BASE_CPU_H
#define OCI_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>

#include "ocelli.h"

/* The best ISA of this machine that we have kernels for. */
oc_isa oci_cpu_best_isa(void);
bool oci_cpu_has_isa(oc_isa isa);
const char *oci_isa_name(oc_isa isa);
/* CPUs that this process may run on: the affinity mask, at least 1. */
int oci_cpu_count(void);
/* Asks for large pages for the whole ones within [p, p + bytes), a hint. For weights,
 * which are read from end to end again and again: with 4 KiB pages that waits for the
 * translation of addresses. Best before the memory is first written. */
void oci_cpu_large_pages(void *p, size_t bytes);
/* Monotonic seconds, for timings only. */
double oci_now(void);

#endif
