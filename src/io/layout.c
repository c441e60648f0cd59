#include "io/layout.h"

#include <stdio.h>
#include <string.h>

#include "base/dtype.h"

/* ---- names ------------------------------------------------------------------------- */

/* A path, cut into parts in place. */
typedef struct path {
    char text[OCI_MAX_NAME];
    char *parts[64];
    int count;
} path;

static bool split(path *p, const char *text, char separator)
{
    size_t n = strlen(text);
    p->count = 0;
    if (n >= sizeof p->text) return false;
    memcpy(p->text, text, n + 1);
    for (char *at = p->text, *end; at; at = end) {
        end = strchr(at, separator);
        if (end) *end++ = '\0';
        if (!*at) continue;                     /* "//" is "/" */
        if (p->count == (int)(sizeof p->parts / sizeof *p->parts)) return false;
        p->parts[p->count++] = at;
    }
    return p->count > 0;
}

static void drop(path *p, int at)
{
    if (at >= p->count) return;
    p->count--;
    memmove(p->parts + at, p->parts + at + 1, (size_t)(p->count - at) * sizeof *p->parts);
}

static bool join(const path *p, char name[OCI_MAX_NAME])
{
    size_t used = 0;
    for (int i = 0; i < p->count; i++) {
        int n = snprintf(name + used, OCI_MAX_NAME - used, "%s%s", i ? "." : "",
                         p->parts[i]);
        if (n < 0 || (size_t)n >= OCI_MAX_NAME - used) return false;
        used += (size_t)n;
    }
    return used > 0;
}

static bool is(const char *part, const char *word) { return !strcmp(part, word); }

static int find(const path *p, const char *word, int from)
{
    for (int i = from; i < p->count; i++)
        if (is(p->parts[i], word)) return i;
    return -1;
}

/* Renames the last part by pairs of words. */
static void rename_last(path *p, const char *const words[][2], size_t count)
{
    char **last = &p->parts[p->count - 1];
    for (size_t i = 0; i < count; i++)
        if (is(*last, words[i][0])) {
            *last = (char *)(uintptr_t)words[i][1];
            return;
        }
}

/* ---- Keras ------------------------------------------------------------------------- */

/* "layer_._0" is two parts, and of "a___b" only b counts. Both may lengthen nothing: the
 * text is rewritten in place. */
static void normalise_keras(char *text)
{
    char *hit, *colon = strstr(text, ":0");
    if (colon) memmove(colon, colon + 2, strlen(colon + 2) + 1);
    while ((hit = strstr(text, "_._")) != NULL) {
        *hit = '/';
        memmove(hit + 1, hit + 3, strlen(hit + 3) + 1);
    }
    while ((hit = strstr(text, "___")) != NULL) {
        char *part = hit;
        while (part > text && part[-1] != '/') part--;
        memmove(part, hit + 3, strlen(hit + 3) + 1);
    }
}

/* The composites' classes put the main layer of a part between its name and its weights
 * (encoder/vit/…, text_model/bert/…); tf_to_pt_weight_rename of each takes it out. CLIP's
 * vision model has a part of that very name: vision_model/clip/vision_model/… keeps
 * both. */
static void rename_composite(path *p)
{
    const char *first = p->parts[0];
    if (is(first, "encoder") && find(p, "decoder", 1) < 0) {
        drop(p, 1);
    } else if (is(first, "vision_model")) {
        int second = find(p, "vision_model", 1);
        if (second < 0) drop(p, 1);
        else while (second-- > 1) drop(p, 1);
    } else if (is(first, "text_model")) {
        drop(p, 1);
    }
}

static bool keras_name(const oci_entry *stored, bool flat, char name[OCI_MAX_NAME],
                       int order[OCI_MAX_RANK])
{
    static const char *const words[][2] = {
        { "kernel", "weight" }, { "embeddings", "weight" }, { "gamma", "weight" },
        { "beta", "bias" }
    };
    static const int conv2d[] = { 3, 2, 0, 1 }, conv1d[] = { 2, 1, 0 },
                     plain[] = { 1, 0 };
    char text[OCI_MAX_NAME];
    path p;
    size_t n = strlen(stored->name);
    if (n >= sizeof text) return false;
    memcpy(text, stored->name, n + 1);
    normalise_keras(text);
    if (!split(&p, text, '/')) return false;
    if (!flat) drop(&p, 0);                     /* the layer's group */
    /* The model; flat names have it where tf_shard_checkpoint mistakes BART's
     * "model.shared" for no scope. */
    if (p.count > 1 && (!flat || strstr(p.parts[0], "model."))) drop(&p, 0);
    rename_composite(&p);
    if (!p.count) return false;
    if (is(p.parts[p.count - 1], "kernel")) {
        const int *to = stored->rank == 4 ? conv2d : stored->rank == 3 ? conv1d :
                        stored->rank == 2 ? plain : NULL;
        if (to) memcpy(order, to, (size_t)stored->rank * sizeof *order);
    }
    rename_last(&p, words, sizeof words / sizeof *words);
    return join(&p, name);
}

/* ---- Flax -------------------------------------------------------------------------- */

static bool flax_name(const oci_entry *stored, char name[OCI_MAX_NAME],
                      int order[OCI_MAX_RANK])
{
    static const char *const words[][2] = {
        { "kernel", "weight" }, { "scale", "weight" }, { "embedding", "weight" },
        { "mean", "running_mean" }, { "var", "running_var" }
    };
    static const int conv2d[] = { 3, 2, 0, 1 };
    path p;
    if (!split(&p, stored->name, '.')) return false;
    if (is(p.parts[0], "params") || is(p.parts[0], "batch_stats")) drop(&p, 0);
    if (!p.count) return false;
    if (is(p.parts[p.count - 1], "kernel"))
        for (int i = 0; i < stored->rank; i++)
            order[i] = stored->rank == 4 ? conv2d[i] : stored->rank - 1 - i;
    rename_last(&p, words, sizeof words / sizeof *words);
    return join(&p, name);
}

/* ---- both -------------------------------------------------------------------------- */

bool oci_layout_entry(oci_layout layout, const oci_entry *stored, oci_entry *torch,
                      char name[OCI_MAX_NAME], int order[OCI_MAX_RANK])
{
    bool ok;
    for (int i = 0; i < OCI_MAX_RANK; i++) order[i] = i;
    switch (layout) {
    case OCI_LAYOUT_KERAS: ok = keras_name(stored, false, name, order); break;
    case OCI_LAYOUT_KERAS_FLAT: ok = keras_name(stored, true, name, order); break;
    case OCI_LAYOUT_FLAX: ok = flax_name(stored, name, order); break;
    default:
        ok = snprintf(name, OCI_MAX_NAME, "%s", stored->name) < OCI_MAX_NAME;
        break;
    }
    *torch = *stored;
    torch->name = name;
    for (int i = 0; i < stored->rank; i++) torch->shape[i] = stored->shape[order[i]];
    return ok;
}

bool oci_layout_moves(const oci_entry *torch, const int *order)
{
    int last = -1;              /* dimensions of size 1 may stand anywhere */
    for (int i = 0; i < torch->rank; i++) {
        if (torch->shape[i] == 1) continue;
        if (order[i] < last) return true;
        last = order[i];
    }
    return false;
}

void oci_gather(unsigned char *out, const unsigned char *in, size_t step, size_t size,
                int64_t count)
{
    if (step == size) {
        memcpy(out, in, (size_t)count * size);
        return;
    }
    switch (size) {             /* so that each copy is one load and one store */
    case 2:
        for (int64_t i = 0; i < count; i++) memcpy(out + 2 * i, in + (size_t)i * step, 2);
        break;
    case 4:
        for (int64_t i = 0; i < count; i++) memcpy(out + 4 * i, in + (size_t)i * step, 4);
        break;
    default:
        for (int64_t i = 0; i < count; i++)
            memcpy(out + (size_t)i * size, in + (size_t)i * step, size);
    }
}

/* `to` [columns, rows] of `from` [rows, columns], in squares
 * whose lines stay in the cache. */
static void turn(const unsigned char *from, unsigned char *to, int64_t rows,
                 int64_t columns, size_t size)
{
    enum { SIDE = 32 };
    const size_t line = (size_t)columns * size;
    for (int64_t r = 0; r < rows; r += SIDE)
        for (int64_t c = 0; c < columns; c++)
            oci_gather(to + ((size_t)c * (size_t)rows + (size_t)r) * size,
                   from + (size_t)r * line + (size_t)c * size, line, size,
                   rows - r < SIDE ? rows - r : SIDE);
}

void oci_layout_permute(const oci_entry *stored, const int *order, const void *from,
                        void *to)
{
    const unsigned char *in = from;
    unsigned char *out = to;
    size_t size = oci_dtype_size(stored->dtype), stride[OCI_MAX_RANK], step[OCI_MAX_RANK];
    int64_t index[OCI_MAX_RANK] = { 0 };
    const int rank = stored->rank;
    if (stored->bytes == 0) return;
    if (rank == 2) {
        turn(in, out, stored->shape[0], stored->shape[1], size);
        return;
    }
    for (int d = rank - 1; d >= 0; d--)
        stride[d] = d == rank - 1 ? size : stride[d + 1] * (size_t)stored->shape[d + 1];
    for (int d = 0; d < rank; d++) step[d] = stride[order[d]];
    const int64_t inner = stored->shape[order[rank - 1]];
    const int64_t lines = (int64_t)(stored->bytes / size) / inner;
    for (int64_t i = 0; i < lines; i++, out += (size_t)inner * size) {
        size_t at = 0;
        for (int d = 0; d < rank - 1; d++) at += step[d] * (size_t)index[d];
        oci_gather(out, in + at, step[rank - 1], size, inner);
        for (int d = rank - 2; d >= 0 && ++index[d] == stored->shape[order[d]]; d--)
            index[d] = 0;
    }
}
