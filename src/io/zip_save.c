/* APPNOTE.TXT 6.3. Checksums are known when the data has gone by, so they
 * stand behind it, in a data descriptor (4.3.9), and in the directory, as in
 * the files of PyTorch itself. */
#include "io/zip_save.h"

#include <string.h>

#include "base/context.h"

enum {
    LOCAL = 30, ALIGN = 64,
    VERSION = 20, VERSION_64 = 45,
    SIZES_BEHIND = 8,               /* flag: checksum and sizes follow the data */
    UTF_8 = 0x800,                  /* flag: so are names */
    DATE = 0x21,                    /* 1 January 1980, the first there is */
    EXTRA_64 = 1,                   /* extra field of sizes and offsets of 8 bytes */
    EXTRA_PAD = 0x4246              /* "FB": PyTorch's, and nothing but room */
};

#define LIMIT_32 UINT64_C(0xffffffff)

static void put(oc_context *cx, oci_bytes *b, uint64_t n, int width)
{
    oci_bytes_append(cx, b, &n, (size_t)width);             /* little-endian, as we are */
}

static uint64_t capped(uint64_t n) { return n < LIMIT_32 ? n : LIMIT_32; }

/* ---- CRC-32, eight bytes at a time (Kounavis and Berry 2005) ----------------------- */

static void make_tables(uint32_t t[8][256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        t[0][i] = c;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t i = 0; i < 256; i++)
            t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255];
}

static uint32_t add_crc(uint32_t t[8][256], uint32_t c, const unsigned char *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + 4, 4);
        low ^= c;
        c = t[7][low & 255] ^ t[6][low >> 8 & 255] ^ t[5][low >> 16 & 255] ^
            t[4][low >> 24] ^ t[3][high & 255] ^ t[2][high >> 8 & 255] ^
            t[1][high >> 16 & 255] ^ t[0][high >> 24];
    }
    while (n--) c = t[0][(c ^ *p++) & 255] ^ c >> 8;
    return c;
}

/* ---- entries ----------------------------------------------------------------------- */

void oci_zip_saver_init(oci_zip_saver *zip, oci_save *save)
{
    *zip = (oci_zip_saver){ .save = save };
    make_tables(zip->tables);
    oci_bytes_init(&zip->directory, SIZE_MAX / 2);
}

static void write_all(oc_context *cx, oci_zip_saver *zip, const void *data, size_t size)
{
    oci_save_write(cx, zip->save, data, size);
    zip->at += size;
}

static void flush(oc_context *cx, oci_zip_saver *zip, oci_bytes *b)
{
    if (!oci_failed(cx)) write_all(cx, zip, b->data, b->size);
    oci_bytes_deinit(b);
}

/* Version, flags, method, time and date: what both records of an entry begin with. */
static void put_common(oc_context *cx, oci_bytes *b, bool large)
{
    put(cx, b, large ? VERSION_64 : VERSION, 2);
    put(cx, b, SIZES_BEHIND | UTF_8, 2);
    put(cx, b, 0, 4);                       /* stored, at midnight */
    put(cx, b, DATE, 2);
}

void oci_zip_entry_begin(oc_context *cx, oci_zip_saver *zip, const char *name,
                         uint64_t size)
{
    oci_bytes b;
    const size_t n = strlen(name);
    zip->large = size >= LIMIT_32;
    zip->start = zip->at;
    zip->size = zip->left = size;
    zip->crc = 0xffffffffu;
    if (n >= sizeof zip->name) oci_fail(cx, OC_E_ARGUMENT, "zip: too long a name");
    if (oci_failed(cx)) return;
    memcpy(zip->name, name, n + 1);
    const size_t extra_64 = zip->large ? 20 : 0;
    const uint64_t begin = zip->at + LOCAL + n + extra_64 + 4;
    const size_t pad = (size_t)(-begin % ALIGN);
    oci_bytes_init(&b, LOCAL + sizeof zip->name + 2 * ALIGN);
    oci_bytes_append(cx, &b, "PK\3\4", 4);
    put_common(cx, &b, zip->large);
    put(cx, &b, 0, 4);                      /* the checksum is behind the data */
    put(cx, &b, zip->large ? LIMIT_32 : 0, 4);
    put(cx, &b, zip->large ? LIMIT_32 : 0, 4);
    put(cx, &b, n, 2);
    put(cx, &b, extra_64 + 4 + pad, 2);
    oci_bytes_append(cx, &b, name, n);
    if (zip->large) {
        put(cx, &b, EXTRA_64 | 16 << 16, 4);
        put(cx, &b, 0, 8);
        put(cx, &b, 0, 8);
    }
    put(cx, &b, EXTRA_PAD, 2);
    put(cx, &b, pad, 2);
    for (size_t i = 0; i < pad; i++) put(cx, &b, 'Z', 1);
    flush(cx, zip, &b);
}

void oci_zip_entry_put(oc_context *cx, oci_zip_saver *zip, const void *data, size_t size)
{
    if (size > zip->left)
        oci_fail(cx, OC_E_FAILED, "zip: %s: more than was said", zip->name);
    if (oci_failed(cx)) return;
    zip->crc = add_crc(zip->tables, zip->crc, data, size);
    zip->left -= size;
    write_all(cx, zip, data, size);
}

void oci_zip_entry_end(oc_context *cx, oci_zip_saver *zip)
{
    oci_bytes b, *d = &zip->directory;
    const int width = zip->large ? 8 : 4;
    const uint32_t crc = ~zip->crc;
    const size_t n = strlen(zip->name);
    const bool far = zip->start >= LIMIT_32;
    if (zip->left) oci_fail(cx, OC_E_FAILED, "zip: %s: less than was said", zip->name);
    if (oci_failed(cx)) return;
    oci_bytes_init(&b, ALIGN);
    oci_bytes_append(cx, &b, "PK\7\10", 4);
    put(cx, &b, crc, 4);
    put(cx, &b, zip->size, width);
    put(cx, &b, zip->size, width);
    flush(cx, zip, &b);
    oci_bytes_append(cx, d, "PK\1\2", 4);
    put(cx, d, VERSION_64, 2);
    put_common(cx, d, zip->large || far);
    put(cx, d, crc, 4);
    put(cx, d, capped(zip->size), 4);
    put(cx, d, capped(zip->size), 4);
    put(cx, d, n, 2);
    const uint64_t extra = (zip->large ? 16u : 0u) + (far ? 8u : 0u);
    put(cx, d, extra ? extra + 4 : 0, 2);
    put(cx, d, 0, 6);                       /* no comment, one disk, plain bytes */
    put(cx, d, 0, 4);
    put(cx, d, capped(zip->start), 4);
    oci_bytes_append(cx, d, zip->name, n);
    if (extra) put(cx, d, EXTRA_64 | extra << 16, 4);
    if (zip->large) put(cx, d, zip->size, 8);
    if (zip->large) put(cx, d, zip->size, 8);
    if (far) put(cx, d, zip->start, 8);
    zip->count++;
}

/* ---- the end ----------------------------------------------------------------------- */

static void put_end_64(oc_context *cx, oci_bytes *b, const oci_zip_saver *zip,
                       uint64_t start, uint64_t size)
{
    oci_bytes_append(cx, b, "PK\6\6", 4);
    put(cx, b, 44, 8);                      /* bytes of this record from here on */
    put(cx, b, VERSION_64 | VERSION_64 << 16, 4);
    put(cx, b, 0, 8);
    put(cx, b, zip->count, 8);
    put(cx, b, zip->count, 8);
    put(cx, b, size, 8);
    put(cx, b, start, 8);
    oci_bytes_append(cx, b, "PK\6\7", 4);
    put(cx, b, 0, 4);
    put(cx, b, start + size, 8);
    put(cx, b, 1, 4);
}

oc_status oci_zip_saver_finish(oc_context *cx, oci_zip_saver *zip)
{
    oci_bytes b;
    const uint64_t start = zip->at, size = zip->directory.size, count = zip->count;
    if (oci_failed(cx)) return cx->status;
    write_all(cx, zip, zip->directory.data, zip->directory.size);
    oci_bytes_init(&b, 2 * ALIGN);
    if (count >= 0xffff || start >= LIMIT_32 || size >= LIMIT_32)
        put_end_64(cx, &b, zip, start, size);
    oci_bytes_append(cx, &b, "PK\5\6", 4);
    put(cx, &b, 0, 4);
    put(cx, &b, count < 0xffff ? count : 0xffff, 2);
    put(cx, &b, count < 0xffff ? count : 0xffff, 2);
    put(cx, &b, capped(size), 4);
    put(cx, &b, capped(start), 4);
    put(cx, &b, 0, 2);
    flush(cx, zip, &b);
    return cx->status;
}

void oci_zip_saver_deinit(oci_zip_saver *zip) { oci_bytes_deinit(&zip->directory); }
