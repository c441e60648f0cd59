#include "io/blocks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "base/hash.h"
#include "base/size.h"
#include "io/quote.h"

/* ---- the layout -------------------------------------------------------------------- */

enum { LINE = 64, BLOCK = 32, GROUP = 16 };

/* Lines of numbers, and then one of scales, that come again and again in a group: a block
 * of INT4, two of INT8; all of a group for INT8_CHANNEL. */
static int64_t unit_lines(oc_dtype dtype, int64_t K)
{
    if (dtype == OC_INT4) return 4;
    return dtype == OC_INT8 ? 16 : oci_ceil_div(K, BLOCK) * 8;
}

int64_t oci_blocks_group_bytes(oc_dtype dtype, int64_t K)
{
    const int64_t blocks = oci_ceil_div(K, BLOCK), lines = unit_lines(dtype, K) + 1;
    const int64_t units = dtype == OC_INT4   ? blocks
                          : dtype == OC_INT8 ? oci_ceil_div(blocks, 2) : 1;
    return units * lines * LINE;
}

int64_t oci_blocks_groups(int64_t N) { return oci_ceil_div(N, 2 * GROUP) * 2; }

/* A word is one f32, or two bf16: an exponent of all ones is no number. */
bool oci_blocks_finite(oc_dtype dtype, int64_t K, const void *bytes, int64_t groups)
{
    const unsigned char *from = bytes;
    const int64_t lines = unit_lines(dtype, K),
                  size = oci_blocks_group_bytes(dtype, K) * groups;
    const uint32_t high = 0x7f800000, low = dtype == OC_INT8_CHANNEL ? 0 : 0x7f80;
    for (int64_t at = lines * LINE; at < size; at += (lines + 1) * LINE)
        for (int64_t i = 0; i < LINE; i += 4) {
            uint32_t word;
            memcpy(&word, from + at + i, sizeof word);
            if ((word & high) == high || (low && (word & low) == low)) return false;
        }
    return true;
}

uint64_t oci_blocks_print(const char *name, size_t bytes, const void *first_line)
{
    const uint64_t size = bytes;
    oci_hash hash;
    oci_hash_init(&hash);
    oci_hash_add(&hash, name, strlen(name) + 1);
    oci_hash_add(&hash, &size, sizeof size);
    if (bytes) oci_hash_add(&hash, first_line, LINE);
    return oci_hash_value(&hash);
}

/* ---- the header -------------------------------------------------------------------- */

static const oc_dtype types[] = { OC_INT8, OC_INT8_CHANNEL, OC_INT4 };

oc_dtype oci_blocks_find(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(oci_dtype_name(types[i]), name)) return types[i];
    return OC_DTYPE_COUNT;
}

void oci_blocks_text(oc_dtype dtype, oc_dtype original, const int64_t shape[2],
                     bool turned, char text[OCI_BLOCKS_TEXT])
{
    snprintf(text, OCI_BLOCKS_TEXT, "%s %s %" PRId64 " %" PRId64 "%s",
             oci_dtype_name(dtype), oci_dtype_name(original), shape[0], shape[1],
             turned ? " turned" : "");
}

/* A number of at most 12 digits and the blank or end behind it; -1: none. */
static int64_t take_number(const char **text)
{
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 12 || ((*text)[digits] && (*text)[digits] != ' '))
        return -1;
    int64_t number = strtoll(*text, NULL, 10);
    *text += digits + ((*text)[digits] == ' ');
    return number;
}

/* A word and the blank behind it. */
static bool take_word(const char **text, char word[16])
{
    size_t n = strcspn(*text, " ");
    if (n == 0 || n >= 16 || !(*text)[n]) return false;
    memcpy(word, *text, n);
    word[n] = '\0';
    *text += n + 1;
    return true;
}

/* What the text says, into the entry; false if it is none that oci_blocks_text writes. */
static bool parse_text(const char *text, oci_entry *e)
{
    char word[16];
    if (!take_word(&text, word)) return false;
    e->dtype = oci_blocks_find(word);
    if (e->dtype == OC_DTYPE_COUNT || !take_word(&text, word)) return false;
    e->original = oci_dtype_find(word, strlen(word));
    e->rank = 2;
    e->shape[0] = take_number(&text);
    e->shape[1] = take_number(&text);
    e->turned = !strcmp(text, "turned");
    return (e->original == OC_F32 || e->original == OC_BF16 || e->original == OC_F16 ||
            e->original == OC_F64) && (!*text || e->turned) && e->shape[0] > 0 &&
           e->shape[1] > 0 && e->shape[!e->turned] >= OCI_BLOCKS_LEAST;
}

/* False: more than there can be. No product overflows: dimensions are below 10^12. */
static bool matrix_bytes(const oci_entry *e, size_t *bytes)
{
    const int64_t groups = oci_blocks_groups(e->shape[e->turned]);
    return oci_mul((size_t)oci_blocks_group_bytes(e->dtype, e->shape[!e->turned]),
                   (size_t)groups, bytes);
}

/* One "ocelli:NAME" of the metadata. */
static bool read_one(oc_context *cx, oci_safetensors *file, const char *name,
                     const char *text)
{
    oci_quoted quoted, value;
    size_t bytes = 0;
    const char *shown = oci_quote(&quoted, name);
    /* our own */
    oci_entry *e = (oci_entry *)(uintptr_t)oci_safetensors_find(file, name);
    if (!e)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: __metadata__.%s%s: expected a tensor of that name, found none",
                 file->path, OCI_BLOCKS_PREFIX, shown);
    else if (e->dtype != OC_U8 || e->rank != 1)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s: expected bytes (U8, one dimension) of weights in blocks, found "
                 "%s of %d dimensions",
                 file->path, shown, oci_dtype_name(e->dtype), e->rank);
    else if (e->offset % OCI_BLOCKS_ALIGN || e->bytes % OCI_BLOCKS_ALIGN)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s.data_offsets: expected multiples of %d in the file, found %zu "
                 "and %zu",
                 file->path, shown, OCI_BLOCKS_ALIGN, e->offset, e->offset + e->bytes);
    else if (!parse_text(text, e) || !matrix_bytes(e, &bytes))
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: __metadata__.%s%s: expected a type, what it was made of, and a "
                 "matrix' shape, found \"%s\"",
                 file->path, OCI_BLOCKS_PREFIX, shown, oci_quote(&value, text));
    else if (e->bytes != bytes)
        oci_fail(cx, OC_E_MALFORMED, "%s: %s: expected %zu bytes for %s, found %zu",
                 file->path, shown, bytes, text, e->bytes);
    file->blocks += !oci_failed(cx);
    return !oci_failed(cx);
}

/* Before all else: what a newer version means by its texts is not known here. */
static bool check_version(oc_context *cx, const oci_safetensors *file, bool needed)
{
    oci_quoted quoted;
    const char *text = oci_safetensors_metadata(file, OCI_BLOCKS_VERSION_KEY),
               *end = text;
    if (!text && !needed) return true;
    int64_t version = text ? take_number(&end) : -1;
    if (!text || version < 1 || *end)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: __metadata__." OCI_BLOCKS_VERSION_KEY
                 ": expected the version of the weights in blocks, found %s%s%s",
                 file->path, text ? "\"" : "", text ? oci_quote(&quoted, text) : "none",
                 text ? "\"" : "");
    else if (version > OCI_BLOCKS_VERSION)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: written by a newer ocelli: its weights are of version %" PRId64
                 ", this one reads %d",
                 file->path, version, OCI_BLOCKS_VERSION);
    return !oci_failed(cx);
}

bool oci_blocks_read(oc_context *cx, oci_safetensors *file)
{
    const size_t n = sizeof OCI_BLOCKS_PREFIX - 1;
    bool needed = false;
    for (size_t i = 0; i < file->metadata_count; i++)
        needed = needed || !strncmp(file->metadata[2 * i], OCI_BLOCKS_PREFIX, n);
    if (!check_version(cx, file, needed)) return false;
    for (size_t i = 0; i < file->metadata_count; i++)
        if (!strncmp(file->metadata[2 * i], OCI_BLOCKS_PREFIX, n) &&
            !read_one(cx, file, file->metadata[2 * i] + n, file->metadata[2 * i + 1]))
            return false;
    return true;
}
