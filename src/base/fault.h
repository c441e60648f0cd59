/* Fault hooks: the allocator and the file gateway ask before each operation whether a
 * test wants it to fail. tests/faults counts the questions of a job, then fails the n-th
 * for n = 1, 2, 3 … and looks for leaks, half-written files and lost messages. */
#ifndef OCI_BASE_FAULT_H
#define OCI_BASE_FAULT_H

#include <stdbool.h>

typedef enum oci_fault {
    OCI_FAULT_ALLOC, OCI_FAULT_OPEN, OCI_FAULT_READ, OCI_FAULT_MAP,
    OCI_FAULT_WRITE, OCI_FAULT_FSYNC, OCI_FAULT_RENAME
} oci_fault;

/* True: the operation must fail as if the system had refused it. */
typedef bool (*oci_fault_hook)(void *user, oci_fault what);

#endif
