#include "base/digest.h"

#include <string.h>

enum { BLOCK = 64, LENGTH_AT = BLOCK - 8 };

static uint32_t left(uint32_t x, int n) { return x << n | x >> (32 - n); }
static uint32_t right(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* FIPS 180-4, 6.1.2. */
static void sha1_block(uint32_t *state, const unsigned char *block)
{
    static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 16; t++) w[t] = big_endian(block + 4 * t);
    for (int t = 16; t < 80; t++)
        w[t] = left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (int t = 0; t < 80; t++) {
        uint32_t f = t < 20 ? (b & c) ^ (~b & d)
                   : t < 40 || t >= 60 ? b ^ c ^ d
                                       : (b & c) ^ (b & d) ^ (c & d);
        uint32_t next = left(a, 5) + f + e + k[t / 20] + w[t];
        e = d;
        d = c;
        c = left(b, 30);
        b = a;
        a = next;
    }
    const uint32_t sum[5] = { a, b, c, d, e };
    for (int i = 0; i < 5; i++) state[i] += sum[i];
}

/* FIPS 180-4, 4.2.2: of the cube roots of the first 64 primes. */
static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
    0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
    0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
    0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2
};

/* FIPS 180-4, 6.2.2. */
static void sha256_block(uint32_t *state, const unsigned char *block)
{
    uint32_t w[64], v[8];
    for (int t = 0; t < 16; t++) w[t] = big_endian(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = right(w[t - 15], 7) ^ right(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = right(w[t - 2], 17) ^ right(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    memcpy(v, state, sizeof v);                             /* a, b, … h */
    for (int t = 0; t < 64; t++) {
        uint32_t s1 = right(v[4], 6) ^ right(v[4], 11) ^ right(v[4], 25);
        uint32_t choose = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choose + sha256_k[t] + w[t];
        uint32_t s0 = right(v[0], 2) ^ right(v[0], 13) ^ right(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
}

void oci_digest_init(oci_digest *d, oci_digest_kind kind)
{
    static const uint32_t sha1[8] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
                                      0xc3d2e1f0 };
    static const uint32_t sha256[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    *d = (oci_digest){ .kind = kind };
    memcpy(d->state, kind == OCI_SHA1 ? sha1 : sha256, sizeof d->state);
}

static void add_block(oci_digest *d, const unsigned char *block)
{
    if (d->kind == OCI_SHA1) sha1_block(d->state, block);
    else sha256_block(d->state, block);
}

void oci_digest_add(oci_digest *d, const void *data, size_t size)
{
    const unsigned char *p = data;
    size_t held = d->total % BLOCK;
    d->total += size;
    if (held) {
        size_t take = size < BLOCK - held ? size : BLOCK - held;
        memcpy(d->rest + held, p, take);
        if (held + take < BLOCK) return;
        add_block(d, d->rest);
        p += take;
        size -= take;
    }
    for (; size >= BLOCK; size -= BLOCK, p += BLOCK) add_block(d, p);
    if (size) memcpy(d->rest, p, size);
}

/* A one bit, zeros, and the length in bits, up to a whole block. */
void oci_digest_text(oci_digest *d, char text[OCI_DIGEST_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    static const unsigned char padding[BLOCK] = { 0x80 };
    unsigned char length[8];
    uint64_t bits = d->total * 8;
    size_t held = d->total % BLOCK;
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(bits >> (56 - 8 * i));
    oci_digest_add(d, padding,
                   held < LENGTH_AT ? LENGTH_AT - held : BLOCK + LENGTH_AT - held);
    oci_digest_add(d, length, sizeof length);
    int words = d->kind == OCI_SHA1 ? 5 : 8;
    for (int i = 0; i < 8 * words; i++)
        *text++ = digits[d->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    *text = '\0';
}
