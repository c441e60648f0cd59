/* Sharding, names and index are those of Transformers 4.37.2, modeling_utils.py,
 * shard_checkpoint and save_pretrained. */
#include "io/weight_save.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/blocks.h"
#include "io/json.h"
#include "io/listing.h"

typedef struct saver {
    const char *folder;
    const oci_weight_format *format;
    const oci_save_tensor *tensors;
    size_t count;
    const oci_save_source *source;
    size_t *shard_of;           /* [count] */
    size_t shards, round;       /* round: so many earlier saves' names are in the way */
    uint64_t total;             /* bytes of all tensors */
    oci_save **saves;           /* [shards] */
    uint64_t *prints;           /* [shards] of their weights in blocks; 0: there are
                                   none */
    uint64_t *print;            /* of the one that is written */
} saver;

/* ---- which tensor goes where ------------------------------------------------------- */

/* Greedy, in order. A second name goes where the first one went, and costs nothing. */
static bool fill_shards(oc_context *cx, saver *s, uint64_t most)
{
    uint64_t size = 0;
    s->shard_of = oci_calloc(cx, s->count, sizeof *s->shard_of);
    if (!s->shard_of) return false;
    s->shards = 1;
    for (size_t i = 0; i < s->count; i++) {
        const oci_save_tensor *t = &s->tensors[i];
        if (t->same_as) {
            s->shard_of[i] = s->shard_of[t->same_as - s->tensors];
            continue;
        }
        if (size > 0 && t->bytes > most - (size < most ? size : most)) {
            s->shards++;
            size = 0;
        }
        s->shard_of[i] = s->shards - 1;
        size += t->bytes;
        s->total += t->bytes;       /* cannot overflow: each is counted in a size_t, and a
                                       model's parameters fit an address space */
    }
    if (s->shards > 99999)
        oci_fail(cx, OC_E_ARGUMENT, "%s: more than 99999 shards", s->folder);
    return !oci_failed(cx);
}

static void shard_name(const saver *s, size_t shard, char name[OCI_MAX_NAME])
{
    const int base = (int)(strlen(s->format->single) - strlen(s->format->suffix));
    char round[32] = "";
    if (s->round) snprintf(round, sizeof round, "-%zu", s->round);
    if (s->shards == 1)
        snprintf(name, OCI_MAX_NAME, "%s", s->format->single);
    else
        snprintf(name, OCI_MAX_NAME, "%.*s-%05zu-of-%05zu%s%s", base, s->format->single,
                 shard + 1, s->shards, round, s->format->suffix);
}

static bool is_taken(oc_context *cx, const saver *s)
{
    char name[OCI_MAX_NAME];
    bool taken = false;
    for (size_t i = 0; i < s->shards && !taken && !oci_failed(cx); i++) {
        shard_name(s, i, name);
        char *path = oci_path_join(cx, s->folder, name);
        taken = path && oci_file_exists(cx, path);
        oci_free(path);
    }
    return taken;
}

/* Shards of an earlier save, of which an index tells, stay untouched until there is a new
 * index: a kill at any moment leaves the one or the other. */
static void choose_names(oc_context *cx, saver *s)
{
    while (s->shards > 1 && s->round < 100 && is_taken(cx, s)) s->round++;
}

/* ---- writing ----------------------------------------------------------------------- */

static const void *fetch(oc_context *cx, void *user, const oci_save_tensor *tensor,
                         oc_dtype *dtype)
{
    const saver *s = user;
    const void *data = s->source->fetch(cx, s->source->user, tensor, dtype);
    if (data && oci_dtype_is_blocks(tensor->dtype))
        *s->print += oci_blocks_print(tensor->name, tensor->bytes, data);
    return data;
}

static const char *blocks(void *user, const oci_save_tensor *tensor)
{
    const saver *s = user;
    return s->source->blocks(s->source->user, tensor);
}

static bool write_shard(oc_context *cx, saver *s, size_t shard,
                        const oci_save_tensor **refs)
{
    char name[OCI_MAX_NAME];
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->shard_of[i] == shard) refs[count++] = &s->tensors[i];
    shard_name(s, shard, name);
    char *path = oci_path_join(cx, s->folder, name);
    oci_save *save = path ? oci_save_begin(cx, path) : NULL;
    s->saves[shard] = save;
    s->print = &s->prints[shard];
    const oci_save_source source = { .fetch = fetch, .blocks = blocks, .user = s };
    if (save)
        s->format->save(cx, save, path, refs, count, s->shards > 1,
                        s->source ? &source : NULL);
    if (save) oci_save_flush(cx, save);
    oci_free(path);
    return !oci_failed(cx);
}

static bool write_shards(oc_context *cx, saver *s)
{
    const oci_save_tensor **refs = oci_calloc(cx, s->count, sizeof *refs);
    s->saves = refs ? oci_calloc(cx, s->shards, sizeof *s->saves) : NULL;
    s->prints = s->saves ? oci_calloc(cx, s->shards, sizeof *s->prints) : NULL;
    for (size_t i = 0; s->prints && i < s->shards && !oci_failed(cx); i++)
        write_shard(cx, s, i, refs);
    oci_free(refs);
    return !oci_failed(cx);
}

/* Of shards with weights in blocks: what they are known by. */
static void tell_prints(oc_context *cx, const saver *s, json_t *metadata)
{
    char name[OCI_MAX_NAME], text[24];
    json_t *prints = NULL;
    for (size_t i = 0; i < s->shards; i++) {
        if (!s->prints[i]) continue;
        shard_name(s, i, name);
        snprintf(text, sizeof text, "%016" PRIx64, s->prints[i]);
        if (!prints) prints = json_object();
        json_object_set_new(prints, name, json_string(text));
    }
    if (prints && json_object_set_new(metadata, OCI_BLOCKS_PRINTS_KEY, prints))
        oci_fail(cx, OC_E_MEMORY, "%s: no memory for an index", s->folder);
}

static bool write_index(oc_context *cx, const saver *s, const char *path)
{
    char name[OCI_MAX_NAME];
    json_t *map = json_object(), *index = NULL;
    bool ok = map != NULL;
    for (size_t i = 0; i < s->count && ok; i++) {
        shard_name(s, s->shard_of[i], name);
        ok = !json_object_set_new(map, s->tensors[i].name, json_string(name));
    }
    if (ok)
        index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size",
                          (json_int_t)s->total, "weight_map", map);
    if (index) tell_prints(cx, s, json_object_get(index, "metadata"));
    if (index) oci_json_save(cx, index, path);
    else oci_fail(cx, OC_E_MEMORY, "%s: no memory for an index", path);
    json_decref(map);
    json_decref(index);
    return !oci_failed(cx);
}

/* ---- showing what is new, removing what is old ------------------------------------- */

static bool is_digits(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] < '0' || text[i] > '9') return false;
    return true;
}

/* "model-00001-of-00003.safetensors", or with "-1" before the suffix (shard_name). */
static bool is_shard_of(const oci_weight_format *format, const char *name)
{
    static const char of[] = "-of-";
    const size_t size = strlen(name), end = strlen(format->suffix);
    const size_t base = strlen(format->single) - end, least = base + 1 + 5 + 4 + 5;
    const char *at = name + base;
    if (size < least + end || strncmp(name, format->single, base) || *at != '-' ||
        !is_digits(at + 1, 5) || strncmp(at + 6, of, 4) || !is_digits(at + 10, 5) ||
        strcmp(name + size - end, format->suffix)) return false;
    const size_t more = size - end - least;
    return more == 0 || (at[15] == '-' && more <= 3 && is_digits(at + 16, more - 1));
}

static bool is_ours(const saver *s, const char *name)
{
    char own[OCI_MAX_NAME];
    for (size_t i = 0; i < s->shards; i++) {
        shard_name(s, i, own);
        if (!strcmp(own, name)) return true;
    }
    return false;
}

static void remove_in_folder(oc_context *cx, const saver *s, const char *name)
{
    char *path = oci_path_join(cx, s->folder, name);
    if (path) oci_file_remove(cx, path);
    oci_free(path);
}

static bool is_shard(const char *name)
{
    for (const oci_weight_format *f = oci_weight_formats; f->suffix; f++)
        if (is_shard_of(f, name)) return true;
    return false;
}

/* Shards that are not of this save. Transformers removes these alone; the file
 * without an index would be opened in place of ours, and an index without its
 * shards in place of nothing. */
static void remove_stale(oc_context *cx, const saver *s)
{
    oci_listing listing = { 0 };
    oci_listing_flat(cx, &listing, s->folder, is_shard);
    for (size_t i = 0; i < listing.count && !oci_failed(cx); i++) {
        const char *path = listing.files[i].path, *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        if (is_shard_of(s->format, name) && !is_ours(s, name)) oci_file_remove(cx, path);
    }
    oci_listing_free(&listing);
}

/* The one step that changes what the folder holds is the rename of the file alone, or of
 * the index; where both are there, the file alone is what is opened. */
static void show(oc_context *cx, saver *s)
{
    char *index = oci_path_join(cx, s->folder, s->format->index);
    for (size_t i = 0; i < s->shards; i++) {
        oci_save_end(cx, s->saves[i], index != NULL);
        s->saves[i] = NULL;
    }
    if (index && s->shards > 1 && !oci_failed(cx)) write_index(cx, s, index);
    oci_free(index);
    remove_in_folder(cx, s, s->shards == 1 ? s->format->index : s->format->single);
    if (!oci_failed(cx)) remove_stale(cx, s);
}

oc_status oci_weights_save(oc_context *cx, const char *folder,
                           const oci_weight_format *format,
                           const oci_save_tensor *tensors, size_t count,
                           uint64_t shard_bytes, const oci_save_source *source)
{
    saver s = { .folder = folder, .format = format, .tensors = tensors, .count = count,
                .source = source };
    if (oci_failed(cx)) return cx->status;
    if (fill_shards(cx, &s, shard_bytes)) choose_names(cx, &s);
    if (!oci_failed(cx) && write_shards(cx, &s)) show(cx, &s);
    for (size_t i = 0; s.saves && i < s.shards; i++) oci_save_end(cx, s.saves[i], false);
    oci_free(s.saves);
    oci_free(s.prints);
    oci_free(s.shard_of);
    return cx->status;
}
