#include "io/weight_file.h"

#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "io/blocks.h"
#include "io/quote.h"

/* ---- safetensors ------------------------------------------------------------------- */

/* `format` says whose names and layouts the tensors have. Transformers fails on a file
 * without it; many such files are PyTorch's, so we take them as that. */
static bool safetensors_layout(oc_context *cx, oci_weight_file *f)
{
    oci_quoted quoted;
    const char *format = oci_safetensors_metadata(&f->as.safetensors, "format");
    if (!format || !strcmp(format, "pt")) f->layout = OCI_LAYOUT_TORCH;
    else if (!strcmp(format, "tf")) f->layout = OCI_LAYOUT_KERAS_FLAT;
    else if (!strcmp(format, "flax")) f->layout = OCI_LAYOUT_FLAX;
    else
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: __metadata__.format: expected \"pt\", \"tf\" or \"flax\", found "
                 "\"%s\"",
                 f->as.safetensors.path, oci_quote(&quoted, format));
    return !oci_failed(cx);
}

static bool safetensors_open(oc_context *cx, oci_weight_file *f, const char *path,
                             bool map)
{
    oci_safetensors *s = &f->as.safetensors;
    if (!(map ? oci_safetensors_open(cx, s, path, true)
              : oci_safetensors_open_header(cx, s, path)) || !oci_blocks_read(cx, s))
        return false;
    f->path = s->path;
    f->entries = s->entries;
    f->count = s->count;
    f->blocks = s->blocks;
    return safetensors_layout(cx, f);
}

static void safetensors_close(oci_weight_file *f)
{
    oci_safetensors_close(&f->as.safetensors);
}

static bool safetensors_read(oc_context *cx, oci_weight_file *f, const oci_entry *e,
                             void *to)
{
    return oci_safetensors_read(cx, &f->as.safetensors, e, 0, e->bytes, to);
}

static bool safetensors_read_part(oc_context *cx, oci_weight_file *f, const oci_entry *e,
                                  size_t at, size_t size, void *to)
{
    return oci_safetensors_read(cx, &f->as.safetensors, e, at, size, to);
}

/* Of a file that was mapped after its header was read, elements may lie anywhere. */
static const void *safetensors_peek(const oci_weight_file *f, const oci_entry *e)
{
    const oci_buffer *bytes = f->as.safetensors.bytes;
    const size_t size = oci_dtype_size(e->dtype);
    return bytes && (size == 0 || e->offset % size == 0) ? bytes->data + e->offset : NULL;
}

/* The release hook of parts of a file. */
static void unref_whole(oci_buffer *part)
{
    oci_buffer *whole = part->owner;
    oci_buffer_unref(&whole);
}

static oci_buffer *safetensors_map(oc_context *cx, oci_weight_file *f, const oci_entry *e)
{
    oci_safetensors *s = &f->as.safetensors;
    if (oci_failed(cx) || !oci_safetensors_map(cx, s)) return NULL;
    oci_buffer *part = oci_buffer_wrap(cx, s->bytes->data + e->offset, e->bytes, true,
                                       unref_whole);
    if (part) part->owner = oci_buffer_ref(s->bytes);
    return part;
}

/* Pairs, all in the arena: the format, the version, and each of the `blocks`. */
static const char **blocks_metadata(oc_context *cx, oci_arena *arena,
                                    const oci_save_tensor *const *tensors, size_t count,
                                    const oci_save_source *source, size_t blocks,
                                    size_t *pairs)
{
    const char **list = oci_arena_alloc(cx, arena, (blocks + 2) * 2 * sizeof *list);
    if (!list) return NULL;
    const char *const first[] = { "format", "pt", OCI_BLOCKS_VERSION_KEY,
                                  OCI_BLOCKS_VERSION_TEXT };
    memcpy(list, first, sizeof first);
    *pairs = 2;
    for (size_t i = 0; i < count; i++) {
        if (!oci_dtype_is_blocks(tensors[i]->dtype)) continue;
        size_t room = sizeof OCI_BLOCKS_PREFIX + strlen(tensors[i]->name);
        char *key = oci_arena_alloc(cx, arena, room);
        if (!key) return NULL;
        snprintf(key, room, "%s%s", OCI_BLOCKS_PREFIX, tensors[i]->name);
        list[2 * *pairs] = key;
        list[2 * *pairs + 1] = source->blocks(source->user, tensors[i]);
        ++*pairs;
    }
    return list;
}

static oc_status safetensors_save(oc_context *cx, oci_save *save, const char *path,
                                  const oci_save_tensor *const *tensors, size_t count,
                                  bool shard, const oci_save_source *source)
{
    static const char *const plain[] = { "format", "pt" };
    oci_arena arena = { 0 };
    size_t blocks = 0, pairs = 1;
    (void)shard;
    for (size_t i = 0; i < count; i++) blocks += oci_dtype_is_blocks(tensors[i]->dtype);
    const char **told = NULL;
    if (blocks)
        told = blocks_metadata(cx, &arena, tensors, count, source, blocks, &pairs);
    if (!oci_failed(cx))
        oci_safetensors_write(cx, save, path, tensors, count, told ? told : plain, pairs,
                              source);
    oci_arena_deinit(&arena);
    return cx->status;
}

/* ---- PyTorch ----------------------------------------------------------------------- */

static bool torch_open(oc_context *cx, oci_weight_file *f, const char *path, bool map)
{
    if (!oci_torch_open(cx, &f->as.torch, path, map)) return false;
    f->path = f->as.torch.path;
    f->entries = f->as.torch.entries;
    f->count = f->as.torch.count;
    return true;
}

static void torch_close(oci_weight_file *f) { oci_torch_close(&f->as.torch); }

static bool torch_read(oc_context *cx, oci_weight_file *f, const oci_entry *e, void *to)
{
    return oci_torch_read(cx, &f->as.torch, e, to);
}

static oc_status torch_save(oc_context *cx, oci_save *save, const char *path,
                            const oci_save_tensor *const *tensors, size_t count,
                            bool shard, const oci_save_source *source)
{
    (void)shard;
    return oci_torch_write(cx, save, path, tensors, count, source);
}

static const void *nowhere(const oci_weight_file *f, const oci_entry *e)
{
    (void)f;
    (void)e;
    return NULL;
}

/* ---- Keras ------------------------------------------------------------------------- */

static bool keras_open(oc_context *cx, oci_weight_file *f, const char *path, bool map)
{
    if (!oci_keras_open(cx, &f->as.keras, path, map)) return false;
    f->path = f->as.keras.path;
    f->entries = f->as.keras.entries;
    f->count = f->as.keras.count;
    f->layout = OCI_LAYOUT_KERAS;
    return true;
}

static void keras_close(oci_weight_file *f) { oci_keras_close(&f->as.keras); }

static bool keras_read(oc_context *cx, oci_weight_file *f, const oci_entry *e, void *to)
{
    return oci_keras_read(cx, &f->as.keras, e, to);
}

static const void *keras_peek(const oci_weight_file *f, const oci_entry *e)
{
    return oci_keras_peek(&f->as.keras, e);
}

/* ---- Flax -------------------------------------------------------------------------- */

static bool flax_open(oc_context *cx, oci_weight_file *f, const char *path, bool map)
{
    if (!oci_flax_open(cx, &f->as.flax, path, map)) return false;
    f->path = f->as.flax.path;
    f->entries = f->as.flax.entries;
    f->count = f->as.flax.count;
    f->layout = OCI_LAYOUT_FLAX;
    return true;
}

static void flax_close(oci_weight_file *f) { oci_flax_close(&f->as.flax); }

static bool flax_read(oc_context *cx, oci_weight_file *f, const oci_entry *e, void *to)
{
    return oci_flax_read(cx, &f->as.flax, e, to);
}

static const void *flax_peek(const oci_weight_file *f, const oci_entry *e)
{
    return oci_flax_peek(&f->as.flax, e);
}

static oc_status flax_save(oc_context *cx, oci_save *save, const char *path,
                           const oci_save_tensor *const *tensors, size_t count,
                           bool shard, const oci_save_source *source)
{
    return oci_flax_write(cx, save, path, tensors, count, shard, OCI_FLAX_CHUNK, source);
}

/* ---- all --------------------------------------------------------------------------- */

const oci_weight_format oci_weight_formats[] = {
    { .suffix = ".safetensors", .single = "model.safetensors",
      .index = "model.safetensors.index.json", .keeps_blocks = true, .shared_reads = true,
      .open = safetensors_open,
      .close = safetensors_close, .read = safetensors_read, .peek = safetensors_peek,
      .read_part = safetensors_read_part, .map = safetensors_map,
      .save = safetensors_save },
    { .suffix = ".bin", .single = "pytorch_model.bin",
      .index = "pytorch_model.bin.index.json", .keeps_ties = true, .open = torch_open,
      .close = torch_close, .read = torch_read, .peek = nowhere, .save = torch_save },
    { .suffix = ".h5", .single = "tf_model.h5", .index = "tf_model.h5.index.json",
      .layout = OCI_LAYOUT_KERAS, .open = keras_open, .close = keras_close,
      .shared_reads = true, .read = keras_read, .peek = keras_peek,
      .save = oci_keras_write },
    { .suffix = ".msgpack", .single = "flax_model.msgpack",
      .index = "flax_model.msgpack.index.json", .layout = OCI_LAYOUT_FLAX,
      .shared_reads = true, .open = flax_open, .close = flax_close,
      .read = flax_read, .peek = flax_peek, .save = flax_save },
    { 0 }
};

const oci_weight_format *oci_weight_format_by(const char *suffix)
{
    for (const oci_weight_format *f = oci_weight_formats; f->suffix; f++)
        if (!strcmp(f->suffix, suffix)) return f;
    return NULL;
}

const oci_weight_format *oci_weight_format_of(const char *name)
{
    size_t n = strlen(name);
    for (const oci_weight_format *f = oci_weight_formats; f->suffix; f++) {
        size_t end = strlen(f->suffix);
        if (n > end && !strcmp(name + n - end, f->suffix)) return f;
    }
    return NULL;
}

/* A clone made without Git LFS has three lines of text in place of each large file. */
static bool is_whole(oc_context *cx, const char *path)
{
    static const char begin[] = "version https://git-lfs.github.com/spec/";
    enum { POINTER_MOST = 1024 };       /* bytes; Git LFS' own bound */
    char head[sizeof begin - 1];
    oci_file *file = oci_file_open(cx, path);
    if (file && file->size >= sizeof head && file->size < POINTER_MOST &&
        oci_file_read_at(cx, file, 0, head, sizeof head) &&
        !memcmp(head, begin, sizeof head))
        oci_fail(cx, OC_E_FILE,
                 "%s: is a pointer of Git LFS, not the file itself: `git lfs pull` "
                 "fetches that",
                 path);
    oci_file_close(file);
    return !oci_failed(cx);
}

bool oci_weight_file_open(oc_context *cx, oci_weight_file *file,
                          const oci_weight_format *format, const char *path, bool shard,
                          bool map)
{
    *file = (oci_weight_file){ .format = format };
    if (!is_whole(cx, path) || !format->open(cx, file, path, map)) {
        oci_weight_file_close(file);
        return false;
    }
    if (shard && file->layout == OCI_LAYOUT_KERAS) file->layout = OCI_LAYOUT_KERAS_FLAT;
    return true;
}

void oci_weight_file_close(oci_weight_file *file)
{
    if (file->format) file->format->close(file);
    *file = (oci_weight_file){ 0 };
}
