/* What from_pretrained does before a model sees its weights (Transformers 4.37.2,
 * modeling_utils.py): which file counts, which shards belong together, what old names
 * mean.
 *
 * Stricter than there: a shard is a file beside its index, no tensor may come twice, and
 * every key of the index must be where it says. Tensors of a shard that the index does
 * not mention are kept; the model's walk decides what it needs. */
#include "io/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/context.h"
#include "base/dtype.h"
#include "io/file.h"
#include "io/json.h"
#include "io/quote.h"

/* ---- names ------------------------------------------------------------------------- */

/* Old checkpoints name the parts of a layer norm gamma and beta. Transformers replaces
 * the substring wherever it stands in the key (4.37.2: modeling_utils.py, `_fix_key`):
 * "beta" if there is one, else "gamma". */
static const char *old_word(const char *key)
{
    if (strstr(key, "beta")) return "beta";
    return strstr(key, "gamma") ? "gamma" : NULL;
}

/* By the first letter: there are only these two. */
static const char *new_word(const char *old) { return old[0] == 'b' ? "bias" : "weight"; }

/* Bytes of the normalised key with its NUL; 0 when it stays as it is. */
static size_t normal_size(const char *key)
{
    const char *old = old_word(key);
    if (!old) return 0;
    size_t size = strlen(key) + 1;
    for (const char *p = key; (p = strstr(p, old)) != NULL; p += strlen(old))
        size += strlen(new_word(old)) - strlen(old);    /* 0 or 1 */
    return size;
}

/* Writes the normalised key to `to`, which has normal_size bytes; returns their end. */
static char *normalise(const char *key, char *to)
{
    const char *old = old_word(key), *hit;
    for (; (hit = strstr(key, old)) != NULL; key = hit + strlen(old)) {
        memcpy(to, key, (size_t)(hit - key));
        to += hit - key;
        to = (char *)memcpy(to, new_word(old), strlen(new_word(old))) +
             strlen(new_word(old));
    }
    size_t rest = strlen(key) + 1;
    return (char *)memcpy(to, key, rest) + rest;
}

/* ---- the table --------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const oci_weight_ref *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Keras writes a variable that two layers share (a tied head's embeddings) below each of
 * them: the same path after the layer's name. One of them is kept. */
static bool is_same_variable(const oci_weight_ref *a, const oci_weight_ref *b)
{
    const char *x = strchr(a->stored->name, '/'), *y = strchr(b->stored->name, '/');
    return a->file == b->file && a->file->layout == OCI_LAYOUT_KERAS && x && y &&
           !strcmp(x, y) && a->stored->bytes == b->stored->bytes;
}

static void drop_shared(oci_weights *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++)
        if (!kept || strcmp(w->refs[kept - 1].name, w->refs[i].name) ||
            !is_same_variable(&w->refs[kept - 1], &w->refs[i]))
            w->refs[kept++] = w->refs[i];
    w->count = kept;
}

/* Two tensors of one name: the same key in two shards, or gamma beside weight. */
static bool check_unique(oc_context *cx, const oci_weights *w)
{
    oci_quoted name, other;
    for (size_t i = 1; i < w->count; i++) {
        const oci_weight_ref *a = &w->refs[i - 1], *b = &w->refs[i];
        if (strcmp(a->name, b->name)) continue;
        if (!strcmp(a->stored->name, b->stored->name))
            oci_fail(cx, OC_E_MALFORMED,
                     "%s: %s: expected it in one file, found it in %s too", a->file->path,
                     oci_quote(&name, a->name), b->file->path);
        else
            oci_fail(cx, OC_E_MALFORMED, "%s: %s and %s: two tensors that mean the same "
                     "parameter", a->file->path, oci_quote(&name, a->stored->name),
                     oci_quote(&other, b->stored->name));
        return false;
    }
    return true;
}

/* The reference to one tensor under PyTorch's name. */
static bool make_ref(oc_context *cx, oci_weights *w, oci_weight_file *file,
                     const oci_entry *e)
{
    oci_weight_ref *ref = &w->refs[w->count];
    *ref = (oci_weight_ref){ e->name, e, file, e, NULL };
    if (file->layout == OCI_LAYOUT_TORCH) {
        size_t size = normal_size(e->name);
        char *name = size ? oci_arena_alloc(cx, &w->arena, size) : NULL;
        if (name) normalise(e->name, name);
        if (name) ref->name = name;
    } else {
        struct {
            oci_entry entry;
            int order[OCI_MAX_RANK];
            char name[OCI_MAX_NAME];
        } *own = oci_arena_alloc(cx, &w->arena, sizeof *own);
        if (!own) return false;
        if (!oci_layout_entry(file->layout, e, &own->entry, own->name, own->order))
            return true;
        ref->name = own->name;
        ref->entry = &own->entry;
        ref->order = oci_layout_moves(&own->entry, own->order) ? own->order : NULL;
    }
    w->count++;
    return !oci_failed(cx);
}

/* References to all tensors of all files. */
static bool make_refs(oc_context *cx, oci_weights *w)
{
    size_t count = 0;
    for (size_t f = 0; f < w->file_count; f++) count += w->files[f].count;
    w->refs = oci_calloc(cx, count, sizeof *w->refs);
    if (!w->refs) return false;
    for (size_t f = 0; f < w->file_count; f++)
        for (size_t i = 0; i < w->files[f].count; i++)
            if (!make_ref(cx, w, &w->files[f], &w->files[f].entries[i])) return false;
    if (w->count) qsort(w->refs, w->count, sizeof *w->refs, by_name);
    drop_shared(w);
    return check_unique(cx, w);
}

const oci_weight_ref *oci_weights_find(const oci_weights *weights, const char *name)
{
    const oci_weight_ref key = { .name = name };
    if (weights->count == 0) return NULL;
    return bsearch(&key, weights->refs, weights->count, sizeof key, by_name);
}

static void *room_for(oc_context *cx, struct oci_weight_block *block, size_t size)
{
    if (block->bytes && block->size >= size) return block->bytes;
    oci_free(block->bytes);     /* first: two tensors at a time are what this avoids */
    block->bytes = oci_alloc(cx, size);
    block->size = block->bytes ? size : 0;
    return block->bytes;
}

void oci_weight_room_free(oci_weight_room *room)
{
    for (int i = 0; i < 2; i++) oci_free(room->blocks[i].bytes);
    *room = (oci_weight_room){ 0 };
}

const void *oci_weight_bytes(oc_context *cx, const oci_weight_ref *ref,
                             oci_weight_room *room)
{
    const oci_entry *e = ref->stored;
    const oci_weight_format *format = ref->file->format;
    room->whole = NULL;
    if (oci_failed(cx)) return NULL;
    const void *data = format->peek(ref->file, e);
    if (!data) {
        void *to = room_for(cx, &room->blocks[0], e->bytes);
        if (!to || !format->read(cx, ref->file, e, to)) return NULL;
        data = to;
    }
    if (!ref->order) return data;
    void *to = room_for(cx, &room->blocks[1], e->bytes);
    if (to) oci_layout_permute(e, ref->order, data, to);
    return to;
}

const void *oci_weight_part(oc_context *cx, const oci_weight_ref *ref, size_t at,
                            size_t size, oci_weight_room *room)
{
    const oci_weight_format *format = ref->file->format;
    if (oci_failed(cx)) return NULL;
    if (format->read_part && !ref->order && !format->peek(ref->file, ref->stored)) {
        void *to = room_for(cx, &room->blocks[0], size);
        room->whole = NULL;
        return to && format->read_part(cx, ref->file, ref->stored, at, size, to) ? to
                                                                                 : NULL;
    }
    if (room->whole != ref) {
        room->data = oci_weight_bytes(cx, ref, room);
        room->whole = room->data ? ref : NULL;
    }
    return room->data ? room->data + at : NULL;
}

oci_buffer *oci_weight_map(oc_context *cx, const oci_weight_ref *ref)
{
    const oci_weight_format *format = ref->file->format;
    return format->map && !ref->order ? format->map(cx, ref->file, ref->stored) : NULL;
}

/* ---- files ------------------------------------------------------------------------- */

/* Opens folder/name as the next file; w->files has room for it. */
static bool open_file(oc_context *cx, oci_weights *w, const oci_weight_format *format,
                      const char *name, bool shard, bool map)
{
    char *path = oci_path_join(cx, w->folder, name);
    bool ok = path && oci_weight_file_open(cx, &w->files[w->file_count], format, path,
                                           shard, map);
    oci_free(path);
    w->file_count += ok;
    return ok;
}

/* A file beside the index, of the index' own kind, and nothing else: an index must not
 * reach out of its folder. */
static bool is_shard_name(const oci_weight_format *format, const json_t *value)
{
    const char *name = json_string_value(value);
    return name && strlen(name) == json_string_length(value) &&
           strlen(name) < OCI_MAX_NAME && !strchr(name, '/') && !strchr(name, '\\') &&
           oci_weight_format_of(name) == format;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of a weight map, sorted, in a new array (oci_free); the texts
 * belong to the document. */
static const char **list_shards(oc_context *cx, const oci_weight_format *format,
                                const oci_json *doc, json_t *map, size_t *count)
{
    const char *key, **names = oci_calloc(cx, json_object_size(map), sizeof *names);
    json_t *value;
    size_t n = 0;
    if (!names) return NULL;
    json_object_foreach(map, key, value) {
        if (!is_shard_name(format, value)) {
            char field[sizeof(oci_quoted) + 16], what[64];
            oci_quoted quoted;
            snprintf(field, sizeof field, "weight_map.%s", oci_quote(&quoted, key));
            snprintf(what, sizeof what, "the name of a %s file in the same folder",
                     format->suffix);
            oci_json_expected(cx, doc, field, what, value);
            oci_free(names);
            return NULL;
        }
        names[n++] = json_string_value(value);
    }
    qsort(names, n, sizeof *names, by_text);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (*count == 0 || strcmp(names[*count - 1], names[i]))
            names[(*count)++] = names[i];
    return names;
}

static int by_entry(const void *a, const void *b)
{
    const oci_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Every key of the map must be in the file that the map says. Files are in
 * the order of the sorted names. (Keras' and Flax' indexes write names in
 * other ways than their files.) */
static bool check_map(oc_context *cx, const oci_weights *w, const oci_json *doc,
                      json_t *map, const char **names)
{
    const char *key;
    json_t *value;
    oci_quoted quoted;
    json_object_foreach(map, key, value) {
        const char *shard = json_string_value(value);
        const char **hit = bsearch(&shard, names, w->file_count, sizeof *names, by_text);
        const oci_weight_file *file = &w->files[hit - names];
        const oci_entry want = { .name = key };
        if (file->layout != OCI_LAYOUT_TORCH || (file->count &&
            bsearch(&want, file->entries, file->count, sizeof want, by_entry))) continue;
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: weight_map.%s: expected it in %s, which lacks it", doc->name,
                 oci_quote(&quoted, key), file->path);
        return false;
    }
    return true;
}

/* Shards are opened in the order of their names, each once, and stay open together:
 * entries point into them. */
static bool open_shards(oc_context *cx, oci_weights *w, const oci_weight_format *format,
                        const oci_json *doc, bool map)
{
    size_t count = 0;
    json_t *weight_map = oci_json_object(cx, doc, doc->root, "weight_map");
    if (json_object_size(weight_map) == 0) {
        oci_json_expected(cx, doc, "weight_map", "an object with at least one entry",
                          weight_map);
        return false;
    }
    if (json_object_size(weight_map) > cx->limits.tensors) {
        oci_fail(cx, OC_E_LIMIT,
                 "%s: weight_map: expected at most %llu entries, found %zu", doc->name,
                 (unsigned long long)cx->limits.tensors, json_object_size(weight_map));
        return false;
    }
    const char **names = list_shards(cx, format, doc, weight_map, &count);
    if (names) w->files = oci_calloc(cx, count, sizeof *w->files);
    bool ok = w->files != NULL;
    for (size_t i = 0; ok && i < count; i++)
        ok = open_file(cx, w, format, names[i], true, map);
    ok = ok && check_map(cx, w, doc, weight_map, names);
    oci_free(names);
    return ok;
}

/* ---- the folder -------------------------------------------------------------------- */

/* False also for a file that may not be read. */
static bool has_file(oc_context *cx, const char *folder, const char *name)
{
    char *path = oci_path_join(cx, folder, name);
    bool found = path && oci_file_exists(cx, path);
    oci_free(path);
    return found;
}

static bool open_single(oc_context *cx, oci_weights *w, const oci_weight_format *format,
                        const char *name, bool map)
{
    w->files = oci_calloc(cx, 1, sizeof *w->files);
    return w->files && open_file(cx, w, format, name, false, map);
}

/* The sum over a file's weights in blocks (io/blocks.h). */
static bool print_of(oc_context *cx, oci_weight_file *file, uint64_t *print)
{
    unsigned char line[OCI_BLOCKS_ALIGN];
    *print = 0;
    for (size_t i = 0; i < file->count; i++) {
        const oci_entry *e = &file->entries[i];
        if (!oci_dtype_is_blocks(e->dtype)) continue;
        if (!file->format->read_part(cx, file, e, 0, sizeof line, line)) return false;
        *print += oci_blocks_print(e->name, e->bytes, line);
    }
    return true;
}

/* Shards of two models can have the same names and shapes. */
static bool check_prints(oc_context *cx, oci_weights *w, const oci_json *doc)
{
    uint64_t print;
    char text[24];
    const json_t *prints = json_object_get(json_object_get(doc->root, "metadata"),
                                           OCI_BLOCKS_PRINTS_KEY);
    for (size_t i = 0; prints && i < w->file_count; i++) {
        oci_weight_file *file = &w->files[i];
        const char *slash = strrchr(file->path, '/');
        if (!file->blocks) continue;
        const char *told = json_string_value(json_object_get(prints, slash ? slash + 1
                                                                           : file->path));
        if (!print_of(cx, file, &print)) return false;
        snprintf(text, sizeof text, "%016" PRIx64, print);
        if (told && !strcmp(told, text)) continue;
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected the shard that %s was written with, found one of another "
                 "save or model",
                 file->path, doc->name);
        return false;
    }
    return true;
}

static bool open_index(oc_context *cx, oci_weights *w, const oci_weight_format *format,
                       const char *name, bool map)
{
    oci_json doc;
    char *path = oci_path_join(cx, w->folder, name);
    bool ok = path && oci_json_open(cx, &doc, path);
    oci_free(path);
    if (!ok) return false;
    ok = open_shards(cx, w, format, &doc, map) && check_prints(cx, w, &doc);
    oci_json_close(&doc);
    return ok;
}

/* A file alone wins over an index beside it, and a format over those after it. */
static bool open_folder(oc_context *cx, oci_weights *w, bool map)
{
    for (const oci_weight_format *f = oci_weight_formats; f->suffix; f++) {
        if (has_file(cx, w->folder, f->single))
            return open_single(cx, w, f, f->single, map);
        if (has_file(cx, w->folder, f->index)) return open_index(cx, w, f, f->index, map);
    }
    oci_fail(cx, OC_E_FILE,
             "%s: expected readable weights (model.safetensors, pytorch_model.bin, "
             "tf_model.h5, flax_model.msgpack, or an index of their shards), found none",
             w->folder);
    return false;
}

/* A file or index of the user's choice. */
static bool open_chosen(oc_context *cx, oci_weights *w, const char *name, bool map)
{
    static const char index_end[] = ".index.json";
    size_t n = strlen(name), end = sizeof index_end - 1;
    bool is_index = n > end && n < OCI_MAX_NAME && !strcmp(name + n - end, index_end);
    char file[OCI_MAX_NAME] = "";
    if (is_index) memcpy(file, name, n - end);
    const oci_weight_format *format = oci_weight_format_of(is_index ? file : name);
    if (!format)
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: expected the name of a .safetensors, .bin, .h5 or .msgpack file, "
                 "or of the index of such",
                 name);
    if (!format) return false;
    return is_index ? open_index(cx, w, format, name, map)
                    : open_single(cx, w, format, name, map);
}

bool oci_weights_open(oc_context *cx, oci_weights *weights, const char *folder,
                      const char *file, bool map)
{
    *weights = (oci_weights){ 0 };
    if (oci_failed(cx)) return false;
    if (!oci_folder_exists(cx, folder)) {
        oci_fail(cx, OC_E_FILE, "%s: expected a folder, found %s", folder,
                 oci_file_exists(cx, folder) ? "a file" : "nothing readable");
        return false;
    }
    weights->folder = oci_strdup(cx, folder);
    bool ok = weights->folder &&
              (file ? open_chosen(cx, weights, file, map)
                    : open_folder(cx, weights, map)) &&
              make_refs(cx, weights);
    if (!ok) oci_weights_close(weights);
    return ok;
}

void oci_weights_close(oci_weights *weights)
{
    for (size_t i = 0; i < weights->file_count; i++)
        oci_weight_file_close(&weights->files[i]);
    oci_free(weights->files);
    oci_free(weights->refs);
    oci_arena_deinit(&weights->arena);
    oci_free(weights->folder);
    *weights = (oci_weights){ 0 };
}
