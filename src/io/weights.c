/* What from_pretrained does before a model sees its weights (Transformers 4.37.2,
 * modeling_utils.py): which file counts, which shards belong together, what old names mean.
 *
 * Stricter than there: a shard is a file beside its index, no tensor may come twice, and every
 * key of the index must be where it says. Tensors of a shard that the index does not mention
 * are kept; the model's walk decides what it needs. */
#include "io/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/context.h"
#include "base/size.h"
#include "io/file.h"
#include "io/json.h"
#include "io/quote.h"

/* ---- names ----------------------------------------------------------------------------- */

/* Old checkpoints name the parts of a layer norm gamma and beta. Transformers replaces the
 * substring wherever it stands in the key (4.37.2: modeling_utils.py, `_fix_key`): "beta" if
 * there is one, else "gamma". */
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
        to = (char *)memcpy(to, new_word(old), strlen(new_word(old))) + strlen(new_word(old));
    }
    size_t rest = strlen(key) + 1;
    return (char *)memcpy(to, key, rest) + rest;
}

/* ---- the table ------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const oci_weight_ref *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Two tensors of one name: the same key in two shards, or gamma beside weight. */
static bool check_unique(oc_context *cx, const oci_weights *w)
{
    oci_quoted name, other;
    for (size_t i = 1; i < w->count; i++) {
        const oci_weight_ref *a = &w->refs[i - 1], *b = &w->refs[i];
        if (strcmp(a->name, b->name)) continue;
        if (!strcmp(a->entry->name, b->entry->name))
            oci_fail(cx, OC_E_MALFORMED, "%s: %s: expected it in one file, found it in %s too",
                     a->file->path, oci_quote(&name, a->name), b->file->path);
        else
            oci_fail(cx, OC_E_MALFORMED, "%s: %s and %s: two tensors that mean the same "
                     "parameter", a->file->path, oci_quote(&name, a->entry->name),
                     oci_quote(&other, b->entry->name));
        return false;
    }
    return true;
}

/* References to all tensors of all files and, behind them in the same block, the names that
 * normalisation changed. */
static bool make_refs(oc_context *cx, oci_weights *w)
{
    size_t count = 0, names = 0, whole;
    for (size_t f = 0; f < w->file_count; f++) {
        count += w->files[f].count;
        for (size_t i = 0; i < w->files[f].count; i++)
            names += normal_size(w->files[f].entries[i].name);
    }
    if (!oci_mul(count, sizeof *w->refs, &whole) || !oci_add(whole, names, &whole)) {
        oci_fail(cx, OC_E_MEMORY, "%s: %zu tensors", w->folder, count);
        return false;
    }
    w->refs = oci_alloc(cx, whole);
    if (!w->refs) return false;
    char *to = (char *)(w->refs + count);
    for (size_t f = 0; f < w->file_count; f++) {
        const oci_safetensors *file = &w->files[f];
        for (size_t i = 0; i < file->count; i++) {
            const oci_entry *e = &file->entries[i];
            bool changed = normal_size(e->name) > 0;
            w->refs[w->count++] = (oci_weight_ref){ changed ? to : e->name, e, file };
            if (changed) to = normalise(e->name, to);
        }
    }
    qsort(w->refs, w->count, sizeof *w->refs, by_name);
    return check_unique(cx, w);
}

const oci_weight_ref *oci_weights_find(const oci_weights *weights, const char *name)
{
    const oci_weight_ref key = { .name = name };
    if (weights->count == 0) return NULL;
    return bsearch(&key, weights->refs, weights->count, sizeof key, by_name);
}

const void *oci_weight_bytes(oc_context *cx, const oci_weight_ref *ref, oci_weight_room *room)
{
    const oci_entry *e = ref->entry;
    if (oci_failed(cx)) return NULL;
    if (ref->file->bytes) return ref->file->bytes->data + e->offset;
    if (!room->block || room->size < e->bytes) {
        oci_free(room->block);      /* first: two tensors at a time are what this avoids */
        room->block = oci_alloc(cx, e->bytes);
        room->size = room->block ? e->bytes : 0;
    }
    if (!room->block || !oci_safetensors_read(cx, ref->file, e, room->block)) return NULL;
    return room->block;
}

/* ---- files ----------------------------------------------------------------------------- */

/* `format` says whose names and layouts the tensors have. Transformers fails on a file
 * without it; many such files are PyTorch's, so we take them as that. */
static bool check_format(oc_context *cx, const oci_safetensors *file)
{
    oci_quoted quoted;
    const char *format = oci_safetensors_metadata(file, "format");
    if (!format || !strcmp(format, "pt")) return true;
    bool known = !strcmp(format, "tf") || !strcmp(format, "flax");
    oci_fail(cx, known ? OC_E_UNSUPPORTED : OC_E_MALFORMED,
             "%s: __metadata__.format: expected \"pt\", found \"%s\"%s", file->path,
             oci_quote(&quoted, format), known ? ", which is not supported" : "");
    return false;
}

/* Opens folder/name as the next file; w->files has room for it. */
static bool open_file(oc_context *cx, oci_weights *w, const char *name, bool map)
{
    oci_safetensors *file = &w->files[w->file_count];
    char *path = oci_path_join(cx, w->folder, name);
    if (!path) return false;
    bool ok = map ? oci_safetensors_open(cx, file, path, true)
                  : oci_safetensors_open_header(cx, file, path);
    oci_free(path);
    if (!ok) return false;
    w->file_count++;
    return check_format(cx, file);
}

/* A file beside the index, of the kind that we read, and nothing else: an index must not
 * reach out of its folder. */
static bool is_shard_name(const json_t *value)
{
    const char *name = json_string_value(value);
    if (!name || strlen(name) != json_string_length(value)) return false;
    size_t n = strlen(name), end = strlen(".safetensors");
    return n > end && n < OCI_MAX_NAME && !strchr(name, '/') && !strchr(name, '\\') &&
           !strcmp(name + n - end, ".safetensors");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of a weight map, sorted, in a new array (oci_free); the texts
 * belong to the document. */
static const char **list_shards(oc_context *cx, const oci_json *doc, json_t *map, size_t *count)
{
    const char *key, **names = oci_calloc(cx, json_object_size(map), sizeof *names);
    json_t *value;
    size_t n = 0;
    if (!names) return NULL;
    json_object_foreach(map, key, value) {
        if (!is_shard_name(value)) {
            char field[sizeof(oci_quoted) + 16];
            oci_quoted quoted;
            snprintf(field, sizeof field, "weight_map.%s", oci_quote(&quoted, key));
            oci_json_expected(cx, doc, field, "the name of a .safetensors file in the same "
                              "folder", value);
            oci_free(names);
            return NULL;
        }
        names[n++] = json_string_value(value);
    }
    qsort(names, n, sizeof *names, by_text);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (*count == 0 || strcmp(names[*count - 1], names[i])) names[(*count)++] = names[i];
    return names;
}

/* Every key of the map must be in the file that the map says. Files are in the order of the
 * sorted names. */
static bool check_map(oc_context *cx, const oci_weights *w, const oci_json *doc, json_t *map,
                      const char **names)
{
    const char *key;
    json_t *value;
    oci_quoted quoted;
    json_object_foreach(map, key, value) {
        const char *shard = json_string_value(value);
        const char **hit = bsearch(&shard, names, w->file_count, sizeof *names, by_text);
        const oci_safetensors *file = &w->files[hit - names];
        if (oci_safetensors_find(file, key)) continue;
        oci_fail(cx, OC_E_MALFORMED, "%s: weight_map.%s: expected it in %s, which lacks it",
                 doc->name, oci_quote(&quoted, key), file->path);
        return false;
    }
    return true;
}

/* Shards are opened in the order of their names, each once, and stay open together: entries
 * point into them. */
static bool open_shards(oc_context *cx, oci_weights *w, const oci_json *doc, bool map)
{
    size_t count = 0;
    json_t *weight_map = oci_json_object(cx, doc, doc->root, "weight_map");
    if (json_object_size(weight_map) == 0) {
        oci_json_expected(cx, doc, "weight_map", "an object with at least one entry",
                          weight_map);
        return false;
    }
    if (json_object_size(weight_map) > cx->limits.tensors) {
        oci_fail(cx, OC_E_LIMIT, "%s: weight_map: expected at most %llu entries, found %zu",
                 doc->name, (unsigned long long)cx->limits.tensors,
                 json_object_size(weight_map));
        return false;
    }
    const char **names = list_shards(cx, doc, weight_map, &count);
    if (names) w->files = oci_calloc(cx, count, sizeof *w->files);
    bool ok = w->files != NULL;
    for (size_t i = 0; ok && i < count; i++) ok = open_file(cx, w, names[i], map);
    ok = ok && check_map(cx, w, doc, weight_map, names);
    oci_free(names);
    return ok;
}

/* ---- the folder ------------------------------------------------------------------------ */

/* False also for a file that may not be read. */
static bool has_file(oc_context *cx, const char *folder, const char *name)
{
    char *path = oci_path_join(cx, folder, name);
    bool found = path && oci_file_exists(cx, path);
    oci_free(path);
    return found;
}

/* No safetensors: say which other weights are there, in from_pretrained's order. */
static void fail_without(oc_context *cx, const char *folder)
{
    static const char *const others[] = {
        "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5",
        "tf_model.h5.index.json", "flax_model.msgpack", "flax_model.msgpack.index.json"
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (has_file(cx, folder, others[i])) {
            oci_fail(cx, OC_E_UNSUPPORTED, "%s: expected model.safetensors, found only %s, "
                     "which is not supported", folder, others[i]);
            return;
        }
    oci_fail(cx, OC_E_FILE, "%s: expected a readable model.safetensors or "
             "model.safetensors.index.json, found neither", folder);
}

/* model.safetensors wins over an index beside it. */
static bool open_folder(oc_context *cx, oci_weights *w, bool map)
{
    static const char single[] = "model.safetensors";
    static const char index[] = "model.safetensors.index.json";
    if (has_file(cx, w->folder, single)) {
        w->files = oci_calloc(cx, 1, sizeof *w->files);
        return w->files && open_file(cx, w, single, map);
    }
    if (!has_file(cx, w->folder, index)) {
        fail_without(cx, w->folder);
        return false;
    }
    oci_json doc;
    char *path = oci_path_join(cx, w->folder, index);
    bool ok = path && oci_json_open(cx, &doc, path);
    oci_free(path);
    if (!ok) return false;
    ok = open_shards(cx, w, &doc, map);
    oci_json_close(&doc);
    return ok;
}

bool oci_weights_open(oc_context *cx, oci_weights *weights, const char *folder, bool map)
{
    *weights = (oci_weights){ 0 };
    if (oci_failed(cx)) return false;
    if (!oci_folder_exists(cx, folder)) {
        oci_fail(cx, OC_E_FILE, "%s: expected a folder, found %s", folder,
                 oci_file_exists(cx, folder) ? "a file" : "nothing readable");
        return false;
    }
    weights->folder = oci_strdup(cx, folder);
    bool ok = weights->folder && open_folder(cx, weights, map) &&
              make_refs(cx, weights);
    if (!ok) oci_weights_close(weights);
    return ok;
}

void oci_weights_close(oci_weights *weights)
{
    for (size_t i = 0; i < weights->file_count; i++) oci_safetensors_close(&weights->files[i]);
    oci_free(weights->files);
    oci_free(weights->refs);
    oci_free(weights->folder);
    *weights = (oci_weights){ 0 };
}
