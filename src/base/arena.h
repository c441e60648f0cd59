/* A stack of memory for values that die together: activations of a layer, a step, a call.
 * Blocks are kept when the arena is reset, so a loop whose steps need the same room
 * allocates in its first step only. Not for threads: one arena belongs to one context. */
#ifndef OCI_BASE_ARENA_H
#define OCI_BASE_ARENA_H

#include <stddef.h>

#include "ocelli.h"

typedef struct oci_arena_block oci_arena_block;

typedef struct oci_arena {
    oci_arena_block *first, *current;   /* blocks before `current` are full */
} oci_arena;

typedef struct oci_arena_mark {
    oci_arena_block *block;
    size_t used;
} oci_arena_mark;

/* 64-byte aligned, not cleared; NULL with OC_E_MEMORY set when the heap refuses. */
OC_NODISCARD void *oci_arena_alloc(oc_context *cx, oci_arena *arena, size_t size);
oci_arena_mark oci_arena_get_mark(const oci_arena *arena);
/* Everything taken since the mark is free again; its bytes stay readable until the next
 * request, which is what lets a result be moved down (oci_settle in tensor/tensor.h). */
void oci_arena_reset(oci_arena *arena, oci_arena_mark mark);
void oci_arena_deinit(oci_arena *arena);

#endif
