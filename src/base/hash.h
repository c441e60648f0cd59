/* XXH64, Yann Collet's 64-bit hash (https://github.com/Cyan4973/xxHash,
 * doc/xxhash_spec.md), seed 0, of bytes that come in pieces. For checksums against
 * damage, not against intent. */
#ifndef OCI_BASE_HASH_H
#define OCI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct oci_hash {
    uint64_t lane[4], total;
    unsigned char rest[32];     /* what does not fill a stripe yet */
} oci_hash;

void oci_hash_init(oci_hash *hash);
void oci_hash_add(oci_hash *hash, const void *data, size_t size);
/* Of all that was added so far. */
uint64_t oci_hash_value(const oci_hash *hash);
uint64_t oci_hash_of(const void *data, size_t size);

#endif
