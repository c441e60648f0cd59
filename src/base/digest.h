/* SHA-256 and SHA-1 (FIPS 180-4) of bytes that come in pieces: the names that the hub
 * gives to files, which are the SHA-256 of a large one and, as git does it, the SHA-1 of
 * "blob SIZE\0" and the content of a small one.
 *
 * Ours and not a library's: there is none among those that a build without
 * downloads has, and what libcurl brings along differs from system to system
 * (OpenSSL, GnuTLS, none). SHA-1 is broken against intent, and so proves no more
 * than that a transfer is undamaged. */
#ifndef OCI_BASE_DIGEST_H
#define OCI_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef enum oci_digest_kind { OCI_SHA1, OCI_SHA256 } oci_digest_kind;

enum { OCI_DIGEST_TEXT = 65 };  /* bytes of the longer one in hexadecimal, with its NUL */

typedef struct oci_digest {
    oci_digest_kind kind;
    uint32_t state[8];
    uint64_t total;
    unsigned char rest[64];     /* what does not fill a block yet */
} oci_digest;

void oci_digest_init(oci_digest *digest, oci_digest_kind kind);
void oci_digest_add(oci_digest *digest, const void *data, size_t size);
/* Of all that was added, in lower-case hexadecimal; ends the digest. */
void oci_digest_text(oci_digest *digest, char text[OCI_DIGEST_TEXT]);

#endif
