/* The writer of HDF5 (format: keras.c). Structures come first, children before
 * their group, and then the tensors' bytes in the order of their paths: one
 * pass, nothing is gone back to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/keras.h"
#include "io/quote.h"

enum {
    SUPERBLOCK = 96, ALIGN = 8,
    LEAF = 8,                   /* links of a symbol node: twice the "leaf node K" of 4 */
    LEAST_K = 16,               /* "internal node K", half the children of a tree's
                                   node */
    ATTRIBUTE = 64512,          /* bytes of an attribute that libhdf5 takes; Keras
                                   splits there */
    MAX_DEPTH = 64
};

#define UNDEFINED UINT64_MAX

typedef const oci_save_tensor *tensor_ref;

typedef struct writer {
    oc_context *cx;
    const char *path;
    bool shard;
    oci_bytes out;              /* the structures */
    struct item {
        const char *path;       /* in the file: the tensor's name, or the end of it */
        tensor_ref tensor;
        size_t address_at;      /* where in `out` its address stands */
    } *items;                   /* sorted by path */
    size_t count, tree_k;
} writer;

typedef struct link {           /* of a group */
    const char *name;
    size_t size;
    uint64_t address;           /* of the object's header */
    size_t heap;                /* offset of the name */
} link;

/* ---- bytes ------------------------------------------------------------------------- */

static void put(writer *w, uint64_t n, int width)
{
    oci_bytes_append(w->cx, &w->out, &n, (size_t)width);    /* little-endian, as we are */
}

static void put_all(writer *w, const void *data, size_t size)
{
    oci_bytes_append(w->cx, &w->out, data, size);
}

static void pad_to(writer *w, size_t size)
{
    static const char zeros[64];
    while (w->out.size < size && !oci_failed(w->cx))
        put_all(w, zeros,
                size - w->out.size < sizeof zeros ? size - w->out.size : sizeof zeros);
}

static size_t rounded(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* An address or count that was not known when its place was written. */
static void set(writer *w, size_t at, uint64_t n, int width)
{
    if (!oci_failed(w->cx)) memcpy(w->out.data + at, &n, (size_t)width);
}

/* ---- paths ------------------------------------------------------------------------- */

/* By parts: "layers" comes before "layers.0", though '.' is less than '/'. */
static int compare_paths(const char *a, const char *b)
{
    for (; *a && *a == *b; a++) b++;
    unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
    if (x == '/') x = *b ? 1 : 2;
    if (y == '/') y = *a ? 1 : 2;
    return (x > y) - (x < y);
}

static int by_path(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return compare_paths(x->path, y->path);
}

/* Transformers' shards leave out the layer and the model; but not what it takes for a
 * scope that is no model's, BART's "model.shared". */
static const char *flat_path(const char *name)
{
    const char *rest = strchr(name, '/'), *next = rest ? strchr(rest + 1, '/') : NULL;
    const char *scope = rest ? strstr(rest, "model.") : NULL;
    if (!rest) return name;
    return next && !(scope && scope < next) ? next + 1 : rest + 1;
}

static size_t part_size(const char *path)
{
    const char *slash = strchr(path, '/');
    return slash ? (size_t)(slash - path) : strlen(path);
}

/* The end of the run of tensors from `first` on that share the part at `offset`. */
static size_t run_end(const writer *w, size_t first, size_t end, size_t offset)
{
    const char *part = w->items[first].path + offset;
    size_t size = part_size(part), i = first + 1;
    while (i < end && part_size(w->items[i].path + offset) == size &&
           !memcmp(w->items[i].path + offset, part, size)) i++;
    return i;
}

/* ---- messages ---------------------------------------------------------------------- */

/* A header's prefix, its counts to be set at its end. */
static size_t begin_object(writer *w, int messages)
{
    size_t at = w->out.size;
    put(w, 1, 2);
    put(w, (uint64_t)messages, 2);
    put(w, 1, 4);                               /* references */
    put(w, 0, 8);                               /* size, and what aligns */
    return at;
}

static void end_object(writer *w, size_t at) { set(w, at + 8, w->out.size - at - 16, 4); }

static size_t begin_message(writer *w, int type)
{
    size_t at = w->out.size;
    put(w, (uint64_t)type, 2);
    put(w, 0, 6);
    return at;
}

static void end_message(writer *w, size_t at)
{
    pad_to(w, rounded(w->out.size));
    set(w, at + 2, w->out.size - at - 8, 2);
}

static void put_space(writer *w, int rank, const int64_t *shape)
{
    put(w, 1, 1);
    put(w, (uint64_t)rank, 1);
    put(w, 0, 6);
    for (int i = 0; i < rank; i++) put(w, (uint64_t)shape[i], 8);
}

/* IEEE 754, little-endian, mantissa with the leading 1 implied. */
static void put_float(writer *w, oc_dtype dtype)
{
    const unsigned char exponent = dtype == OC_F16 ? 5 : dtype == OC_F32 ? 8 : 11;
    const unsigned char bits = (unsigned char)(8 * oci_dtype_size(dtype));
    const unsigned char mantissa = (unsigned char)(bits - 1 - exponent);
    const unsigned char head[] = { 0x11, 0x20, (unsigned char)(bits - 1), 0 };
    const unsigned char fields[] = { mantissa, exponent, 0, mantissa };
    put_all(w, head, sizeof head);
    put(w, oci_dtype_size(dtype), 4);
    put(w, 0, 2);
    put(w, bits, 2);
    put_all(w, fields, sizeof fields);
    put(w, (UINT64_C(1) << (exponent - 1)) - 1, 4);
}

static uint64_t put_dataset(writer *w, size_t index)
{
    /* zeros, when asked */
    static const unsigned char fill[] = { 2, 2, 2, 1, 0, 0, 0, 0 };
    tensor_ref t = w->items[index].tensor;
    size_t object = begin_object(w, 4), message = begin_message(w, 1);
    put_space(w, t->rank, t->shape);
    end_message(w, message);
    message = begin_message(w, 3);
    put_float(w, t->dtype);
    end_message(w, message);
    message = begin_message(w, 5);
    put_all(w, fill, sizeof fill);
    end_message(w, message);
    message = begin_message(w, 8);
    put(w, 3, 1);
    put(w, 1, 1);                               /* in one piece */
    w->items[index].address_at = w->out.size;
    put(w, UNDEFINED, 8);
    put(w, t->bytes, 8);
    end_message(w, message);
    end_object(w, object);
    return object;
}

/* ---- attributes -------------------------------------------------------------------- */

/* An attribute of strings of `width` bytes: of rank 1,
 * or (rank 0) the one of them alone. */
static void put_attribute(writer *w, const char *name, const char *const *texts,
                          size_t count, size_t width, int rank)
{
    static const unsigned char text_type[] = { 0x13, 1, 0, 0 };    /* padded with zeros */
    size_t message = begin_message(w, 12), n = strlen(name) + 1;
    const int64_t shape[] = { (int64_t)count };
    put(w, 1, 2);
    put(w, n, 2);
    put(w, 8, 2);                               /* bytes of the datatype … */
    put(w, 8 + 8 * (uint64_t)rank, 2);          /* … and of the dataspace */
    put_all(w, name, n);
    pad_to(w, rounded(w->out.size));
    put_all(w, text_type, sizeof text_type);
    put(w, width, 4);
    put_space(w, rank, shape);
    for (size_t i = 0; i < count; i++) {
        size_t at = w->out.size;
        put_all(w, texts[i], strlen(texts[i]));
        pad_to(w, at + width);
    }
    end_message(w, message);
}

/* NAME, or NAME0, NAME1, … where one would be too large. Returns how many they are. */
static int put_texts(writer *w, const char *name, const char *const *texts, size_t count)
{
    char numbered[32];
    size_t width = 1, most;
    for (size_t i = 0; i < count; i++)
        if (strlen(texts[i]) > width) width = strlen(texts[i]);
    most = ATTRIBUTE / width;
    if (count <= most) {
        put_attribute(w, name, texts, count, width, 1);
        return 1;
    }
    int pieces = 0;
    for (size_t i = 0; i < count; i += most) {
        snprintf(numbered, sizeof numbered, "%s%d", name, pieces++);
        put_attribute(w, numbered, texts + i, count - i < most ? count - i : most, width,
                      1);
    }
    return pieces;
}

/* Variables outside of all layers: Keras has a group for them
 * that is not among the layers. */
static bool is_layer(const char *name, size_t size)
{
    static const char loose[] = "top_level_model_weights";
    return size != sizeof loose - 1 || memcmp(name, loose, size);
}

/* The layers' names, from the links of the root; copies (oci_free),
 * for they end with '/'. */
static int put_layer_names(writer *w, const link *links, size_t count)
{
    oc_context *cx = w->cx;
    char **texts = oci_calloc(cx, count, sizeof *texts);
    size_t n = 0;
    for (size_t i = 0; texts && i < count; i++)
        if (is_layer(links[i].name, links[i].size))
            texts[n++] = oci_strndup(cx, links[i].name, links[i].size);
    int pieces = oci_failed(cx)
                     ? 0
                     : put_texts(w, "layer_names", (const char *const *)texts, n);
    for (size_t i = 0; texts && i < n; i++) oci_free(texts[i]);
    oci_free(texts);
    return pieces;
}

/* The rest of the paths of tensors `first` to `end`. */
static int put_paths(writer *w, const char *name, size_t first, size_t end, size_t offset)
{
    const char **texts = oci_calloc(w->cx, end - first, sizeof *texts);
    for (size_t i = first; texts && i < end; i++)
        texts[i - first] = w->items[i].path + offset;
    int pieces = texts ? put_texts(w, name, texts, end - first) : 0;
    oci_free(texts);
    return pieces;
}

/* What Keras, and Transformers after it, look for at the root and at each layer. */
static int put_attributes(writer *w, const link *links, size_t count, size_t first,
                          size_t end, size_t offset, int depth)
{
    static const char *const backend[] = { "tensorflow" }, *const version[] = {
        "2.15.0"
    };
    if (w->shard) return depth ? 0 : put_paths(w, "layer_names", first, end, 0);
    if (depth == 1) return put_paths(w, "weight_names", first, end, offset);
    if (depth > 1) return 0;
    put_attribute(w, "backend", backend, 1, strlen(backend[0]), 0);
    put_attribute(w, "keras_version", version, 1, strlen(version[0]), 0);
    return 2 + put_layer_names(w, links, count);
}

/* ---- groups ------------------------------------------------------------------------ */

static uint64_t put_heap(writer *w, link *links, size_t count)
{
    size_t at = w->out.size, size = ALIGN;    /* the empty name, which is the first key */
    for (size_t i = 0; i < count; i++) {
        links[i].heap = size;
        size += rounded(links[i].size + 1);
    }
    put_all(w, "HEAP", 4);
    put(w, 0, 4);
    put(w, size, 8);
    put(w, 1, 8);                               /* nothing in it is free */
    put(w, at + 32, 8);
    for (size_t i = 0; i < count; i++) {
        pad_to(w, at + 32 + links[i].heap);
        put_all(w, links[i].name, links[i].size);
    }
    pad_to(w, at + 32 + size);
    return at;
}

/* One symbol node of up to LEAF links. */
static void put_node(writer *w, const link *links, size_t count)
{
    size_t at = w->out.size;
    put_all(w, "SNOD", 4);
    put(w, 1, 2);
    put(w, count, 2);
    for (size_t i = 0; i < count; i++) {
        put(w, links[i].heap, 8);
        put(w, links[i].address, 8);
        for (int k = 0; k < 3; k++) put(w, 0, 8);       /* nothing cached */
    }
    pad_to(w, at + 8 + LEAF * 40);
}

/* A tree of one level over the nodes, which it writes first; keys are names' places. */
static uint64_t put_tree(writer *w, const link *links, size_t count)
{
    const size_t nodes = (count + LEAF - 1) / LEAF, first = w->out.size;
    const size_t node = 8 + LEAF * 40;
    for (size_t i = 0; i < count; i += LEAF)
        put_node(w, links + i, count - i < LEAF ? count - i : LEAF);
    size_t at = w->out.size;
    put_all(w, "TREE", 4);
    put(w, 0, 2);                               /* of a group; the lowest level */
    put(w, nodes, 2);
    put(w, UNDEFINED, 8);                       /* no neighbours */
    put(w, UNDEFINED, 8);
    put(w, 0, 8);
    for (size_t i = 0; i < nodes; i++) {
        size_t last = (i + 1) * LEAF < count ? (i + 1) * LEAF : count;
        put(w, first + i * node, 8);
        put(w, links[last - 1].heap, 8);
    }
    pad_to(w, at + 24 + 2 * w->tree_k * 16 + 8);
    return at;
}

static uint64_t put_group(writer *w, size_t first, size_t end, size_t offset, int depth);

/* What is behind one link: the tensor whose path ends here, or a group. */
static uint64_t put_child(writer *w, size_t first, size_t end, size_t offset, int depth)
{
    oci_quoted quoted;
    const char *rest = w->items[first].path + offset;
    size_t size = part_size(rest);
    if (size == 0 || depth == MAX_DEPTH || (!rest[size] && end - first > 1)) {
        oci_fail(w->cx, OC_E_ARGUMENT, "%s: %s: not a path for a tensor", w->path,
                 oci_quote(&quoted, w->items[first].path));
        return 0;
    }
    return rest[size] ? put_group(w, first, end, offset + size + 1, depth + 1)
                      : put_dataset(w, first);
}

/* The tensors from `first` to `end`, whose paths are the same before `offset`. The
 * address of the group's header. */
static uint64_t put_group(writer *w, size_t first, size_t end, size_t offset, int depth)
{
    oc_context *cx = w->cx;
    size_t count = 0;
    for (size_t i = first; i < end; i = run_end(w, i, end, offset)) count++;
    link *links = oci_calloc(cx, count, sizeof *links);
    for (size_t i = first, k = 0; links && i < end && !oci_failed(cx); k++) {
        size_t next = run_end(w, i, end, offset);
        links[k].name = w->items[i].path + offset;
        links[k].size = part_size(links[k].name);
        links[k].address = put_child(w, i, next, offset, depth);
        i = next;
    }
    uint64_t at = 0;
    if (!oci_failed(cx)) {
        uint64_t heap = put_heap(w, links, count), tree = put_tree(w, links, count);
        at = begin_object(w, 1);
        size_t message = begin_message(w, 17);
        put(w, tree, 8);
        put(w, heap, 8);
        end_message(w, message);
        int more = put_attributes(w, links, count, first, end, offset, depth);
        end_object(w, (size_t)at);
        set(w, (size_t)at + 2, (uint64_t)(1 + more), 2);
    }
    oci_free(links);
    return at;
}

/* ---- the file ---------------------------------------------------------------------- */

/* Links of the largest group. */
static size_t most_links(const writer *w, size_t first, size_t end, size_t offset)
{
    size_t count = 0, most = 0;
    for (size_t i = first, next; i < end; i = next, count++) {
        next = run_end(w, i, end, offset);
        size_t size = part_size(w->items[i].path + offset);
        if (!w->items[i].path[offset + size]) continue;
        size_t inner = most_links(w, i, next, offset + size + 1);
        if (inner > most) most = inner;
    }
    return count > most ? count : most;
}

/* How wide the trees' nodes must be for so many links. */
static size_t tree_k(size_t links)
{
    size_t nodes = (links + LEAF - 1) / LEAF, k = (nodes + 1) / 2;
    return k > LEAST_K ? k : LEAST_K;
}

static void put_superblock(writer *w)
{
    static const unsigned char start[] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n',
                                           0, 0, 0, 0, 0, 8, 8, 0 };
    put_all(w, start, sizeof start);
    put(w, LEAF / 2, 2);
    put(w, w->tree_k, 2);
    put(w, 0, 4);
    put(w, 0, 8);                               /* where the file begins */
    put(w, UNDEFINED, 8);
    put(w, 0, 8);                               /* its end, to be set */
    put(w, UNDEFINED, 8);
    pad_to(w, SUPERBLOCK);                     /* the root's link: its header to be set */
}

/* Where each tensor's bytes will lie. */
static void place_tensors(writer *w)
{
    size_t at = rounded(w->out.size);
    pad_to(w, at);
    for (size_t i = 0; i < w->count; i++) {
        const size_t bytes = w->items[i].tensor->bytes;
        if (!bytes) continue;
        set(w, w->items[i].address_at, at, 8);
        if (!oci_add(at, bytes, &at) || at > SIZE_MAX - ALIGN)
            oci_fail(w->cx, OC_E_ARGUMENT, "%s: the number of bytes overflows", w->path);
        at = rounded(at);
    }
    set(w, 40, at, 8);
}

static void put_save(oc_context *cx, void *user, const void *data, size_t size)
{
    oci_save_write(cx, user, data, size);
}

static void write_tensors(writer *w, oci_save *save, const oci_save_source *source)
{
    static const char zeros[ALIGN];
    for (size_t i = 0; i < w->count && !oci_failed(w->cx); i++) {
        size_t bytes = w->items[i].tensor->bytes;
        oci_save_elements(w->cx, w->items[i].tensor, source, put_save, save);
        oci_save_write(w->cx, save, zeros, rounded(bytes) - bytes);
    }
}

static bool check_tensors(writer *w)
{
    oci_quoted quoted;
    for (size_t i = 0; i < w->count && !oci_failed(w->cx); i++) {
        oc_dtype dtype = w->items[i].tensor->dtype;
        if (dtype != OC_F32 && dtype != OC_F16 && dtype != OC_F64)
            oci_fail(w->cx, OC_E_UNSUPPORTED,
                     "%s: %s: expected F32, F16 or F64 for this format, found %s",
                     w->path, oci_quote(&quoted, w->items[i].path),
                     oci_dtype_name(dtype));
    }
    return !oci_failed(w->cx);
}

oc_status oci_keras_write(oc_context *cx, oci_save *save, const char *path,
                          const oci_save_tensor *const *tensors, size_t count, bool shard,
                          const oci_save_source *source)
{
    writer w = { .cx = cx, .path = path, .shard = shard, .count = count };
    w.items = oci_calloc(cx, count, sizeof *w.items);
    oci_bytes_init(&w.out, SIZE_MAX / 2);
    if (w.items) {
        for (size_t i = 0; i < count; i++)
            w.items[i] = (struct item){ shard ? flat_path(tensors[i]->name)
                                              : tensors[i]->name,
                                        tensors[i], 0 };
        qsort(w.items, count, sizeof *w.items, by_path);
        if (check_tensors(&w)) {
            w.tree_k = tree_k(most_links(&w, 0, count, 0));
            put_superblock(&w);
        }
        uint64_t root = oci_failed(cx) ? 0 : put_group(&w, 0, count, 0, 0);
        set(&w, 64, root, 8);
        if (!oci_failed(cx)) place_tensors(&w);
        if (!oci_failed(cx)) oci_save_write(cx, save, w.out.data, w.out.size);
        if (!oci_failed(cx)) write_tensors(&w, save, source);
    }
    oci_bytes_deinit(&w.out);
    oci_free(w.items);
    return cx->status;
}
