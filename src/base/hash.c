#include "base/hash.h"

#include <string.h>

enum { STRIPE = 32 };

/* The primes of the specification. */
static const uint64_t prime1 = UINT64_C(0x9e3779b185ebca87);
static const uint64_t prime2 = UINT64_C(0xc2b2ae3d27d4eb4f);
static const uint64_t prime3 = UINT64_C(0x165667b19e3779f9);
static const uint64_t prime4 = UINT64_C(0x85ebca77c2b2ae63);
static const uint64_t prime5 = UINT64_C(0x27d4eb2f165667c5);

static uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

/* Little-endian wherever it runs, so that a file's checksum is the same everywhere. */
static uint64_t read_64(const unsigned char *p)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--) x = x << 8 | p[i];
    return x;
}

static uint64_t read_32(const unsigned char *p)
{
    return (uint64_t)p[3] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[1] << 8 | p[0];
}

static uint64_t round_of(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * prime2, 31) * prime1;
}

static void add_stripe(oci_hash *h, const unsigned char *p)
{
    for (int i = 0; i < 4; i++) h->lane[i] = round_of(h->lane[i], read_64(p + 8 * i));
}

void oci_hash_init(oci_hash *h)
{
    *h = (oci_hash){ .lane = { prime1 + prime2, prime2, 0, 0 - prime1 } };
}

void oci_hash_add(oci_hash *h, const void *data, size_t size)
{
    const unsigned char *p = data;
    size_t held = h->total % STRIPE;
    h->total += size;
    if (held) {
        size_t take = size < STRIPE - held ? size : STRIPE - held;
        memcpy(h->rest + held, p, take);
        if (held + take < STRIPE) return;
        add_stripe(h, h->rest);
        p += take;
        size -= take;
    }
    for (; size >= STRIPE; size -= STRIPE, p += STRIPE) add_stripe(h, p);
    if (size) memcpy(h->rest, p, size);
}

static uint64_t avalanche(uint64_t x)
{
    x = (x ^ x >> 33) * prime2;
    x = (x ^ x >> 29) * prime3;
    return x ^ x >> 32;
}

uint64_t oci_hash_value(const oci_hash *h)
{
    uint64_t x = prime5;
    if (h->total >= STRIPE) {
        x = rotate(h->lane[0], 1) + rotate(h->lane[1], 7) + rotate(h->lane[2], 12) +
            rotate(h->lane[3], 18);
        for (int i = 0; i < 4; i++)
            x = (x ^ round_of(0, h->lane[i])) * prime1 + prime4;
    }
    x += h->total;
    const unsigned char *p = h->rest, *end = p + h->total % STRIPE;
    for (; end - p >= 8; p += 8)
        x = rotate(x ^ round_of(0, read_64(p)), 27) * prime1 + prime4;
    for (; end - p >= 4; p += 4)
        x = rotate(x ^ read_32(p) * prime1, 23) * prime2 + prime3;
    for (; p < end; p++) x = rotate(x ^ *p * prime5, 11) * prime1;
    return avalanche(x);
}

uint64_t oci_hash_of(const void *data, size_t size)
{
    oci_hash hash;
    oci_hash_init(&hash);
    oci_hash_add(&hash, data, size);
    return oci_hash_value(&hash);
}
