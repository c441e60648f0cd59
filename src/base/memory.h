/* How much memory the machine would give to one more. */
#ifndef OCI_BASE_MEMORY_H
#define OCI_BASE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that can be taken without swapping: what Linux calls available, or
 * what the control groups of this process have left, if that is less. False:
 * not known on this system. */
bool oci_memory_available(uint64_t *bytes);

#endif
