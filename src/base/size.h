/* Checked size arithmetic. Every size that depends on input goes through these; the
 * result is stored only when it fits, and the return value says so. */
#ifndef OCI_BASE_SIZE_H
#define OCI_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool oci_mul(size_t a, size_t b, size_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

static inline bool oci_add(size_t a, size_t b, size_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

static inline bool oci_mul_u64(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

static inline bool oci_add_u64(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

/* The number of blocks of `size` that hold n. */
static inline int64_t oci_ceil_div(int64_t n, int64_t size)
{
    return n / size + (n % size != 0);
}

static inline int64_t oci_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t oci_max(int64_t a, int64_t b) { return a > b ? a : b; }

/* Lays a caller's option struct, which begins with its own size, over our defaults: what
 * an older caller's struct lacks keeps them, what a newer one has beyond ours is left. */
static inline void oci_take_options(void *own, size_t own_size, const void *given)
{
    size_t size;
    if (!given) return;
    memcpy(&size, given, sizeof size);
    memcpy(own, given, size < own_size ? size : own_size);
}

#endif
