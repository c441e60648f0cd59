/* See torch_file.h. After PyTorch's torch/serialization.py (_save, _legacy_save). */
#include "io/torch_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/layout.h"
#include "io/quote.h"

enum { EXPANDED_MOST = 1 << 26 };      /* bytes of a file's expanded tensors, together */

static bool malformed(oc_context *cx, const oci_torch *f, const char *what)
{
    oci_fail(cx, OC_E_MALFORMED, "%s: %s", f->path, what);
    return false;
}

/* ---- bytes of the file ------------------------------------------------------------- */

static uint64_t file_size(const oci_torch *f)
{
    return f->bytes ? f->bytes->size : f->source->size;
}

static bool read_part(oc_context *cx, const oci_torch *f, uint64_t at, void *to,
                      size_t size)
{
    if (!f->bytes) return oci_file_read_at(cx, f->source, at, to, size);
    memcpy(to, f->bytes->data + at, size);
    return true;
}

/* ---- the state dict ---------------------------------------------------------------- */

static bool is_dict(const oci_pickle_value *v) { return v && v->kind == OCI_PICKLE_DICT; }

/* Research code saves a state dict beside an optimizer's; ours is then one of these. */
static const oci_pickle_value *state_dict(const oci_pickle_value *root)
{
    static const char *const names[] = { "state_dict", "model_state_dict", "model",
                                         "module" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const oci_pickle_value *inner = oci_pickle_get(root, names[i]);
        if (is_dict(inner)) return inner;
    }
    return root;
}

static int by_name(const void *a, const void *b)
{
    const oci_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Strides of 0 make a large tensor of a small storage: masks and positions
 * of expand() are saved so. Parameters are not, and a few bytes must not
 * claim the machine's memory. */
static bool may_expand(oci_torch *f, const oci_pickle_tensor *t, uint64_t bytes)
{
    const uint64_t count = bytes / oci_dtype_size(t->storage->dtype);
    if (count <= (uint64_t)t->storage->count) return true;
    if (bytes > EXPANDED_MOST - f->expanded) return false;
    f->expanded += bytes;
    return true;
}

static bool add_entry(oc_context *cx, oci_torch *f, const oci_pickle_value *key,
                      const oci_pickle_tensor *t)
{
    oci_quoted name;
    oci_entry e = { .name = key->as.text.data, .dtype = t->storage->dtype,
                    .rank = t->rank, .offset = f->count };
    if (key->kind != OCI_PICKLE_TEXT || strlen(e.name) != key->as.text.size)
        return malformed(cx, f, "expected texts as the names of tensors");
    if (key->as.text.size >= OCI_MAX_NAME) {
        oci_fail(cx, OC_E_LIMIT, "%s: %s: expected a name of at most %d bytes", f->path,
                 oci_quote(&name, e.name), OCI_MAX_NAME - 1);
        return false;
    }
    memcpy(e.shape, t->shape, sizeof e.shape);
    if (!oci_shape_bytes(e.dtype, e.rank, e.shape, &e.bytes) ||
        !may_expand(f, t, e.bytes)) {
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s: expected at most the %" PRId64 " elements of its storage",
                 f->path, oci_quote(&name, e.name), t->storage->count);
        return false;
    }
    f->tensors[f->count] = t;
    f->entries[f->count++] = e;
    return true;
}

static bool list_tensors(oc_context *cx, oci_torch *f)
{
    const oci_pickle_value *dict = state_dict(f->pickle.root);
    if (!is_dict(dict)) return malformed(cx, f, "expected a dict of tensors");
    size_t pairs = dict->as.list.count / 2;
    if (pairs > cx->limits.tensors) {
        oci_fail(cx, OC_E_LIMIT, "%s: expected at most %" PRIu64 " tensors, found %zu",
                 f->path, cx->limits.tensors, pairs);
        return false;
    }
    f->entries = oci_calloc(cx, pairs + 1, sizeof *f->entries);
    f->tensors = oci_calloc(cx, pairs + 1, sizeof *f->tensors);
    for (size_t i = 0; i < pairs && !oci_failed(cx); i++) {
        const oci_pickle_value *const *pair = (const oci_pickle_value *const *)
            (dict->as.list.items + 2 * i);
        if (pair[1]->kind == OCI_PICKLE_TENSOR)
            add_entry(cx, f, pair[0], pair[1]->as.tensor);
    }
    if (oci_failed(cx)) return false;
    if (!f->count)
        return malformed(cx, f, "expected a dict of tensors, found none in it");
    qsort(f->entries, f->count, sizeof *f->entries, by_name);
    return true;
}

/* ---- the zip form ------------------------------------------------------------------ */

/* FOLDER/data.pkl, whatever the folder is called. */
static const oci_zip_entry *find_pickle(oc_context *cx, oci_torch *f)
{
    static const char end[] = "data.pkl";
    for (size_t i = 0; i < f->zip.count; i++) {
        const char *name = f->zip.entries[i].name, *slash = strchr(name, '/');
        if (!slash || strcmp(slash + 1, end)) continue;
        f->folder = oci_strndup(cx, name, (size_t)(slash + 1 - name));
        return f->folder ? &f->zip.entries[i] : NULL;
    }
    malformed(cx, f, "expected FOLDER/data.pkl in the archive, found none");
    return NULL;
}

/* FOLDER/`name`, or NULL; no error. */
static const oci_zip_entry *in_folder(const oci_torch *f, const char *name)
{
    char path[2 * OCI_MAX_NAME];
    int n = snprintf(path, sizeof path, "%s%s", f->folder, name);
    return n > 0 && (size_t)n < sizeof path ? oci_zip_find(&f->zip, path) : NULL;
}

static bool check_byte_order(oc_context *cx, const oci_torch *f)
{
    const oci_zip_entry *entry = in_folder(f, "byteorder");
    if (!entry) return true;
    oci_buffer *order = oci_zip_read(cx, &f->zip, entry);
    bool little = order && order->size == 6 && !memcmp(order->data, "little", 6);
    oci_buffer_unref(&order);
    if (!little)
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: byteorder: expected \"little\"", f->path);
    return little;
}

static bool read_zip(oc_context *cx, oci_torch *f)
{
    char name[OCI_MAX_PATH + 16];
    const oci_zip_entry *entry = find_pickle(cx, f);
    if (!entry || !check_byte_order(cx, f)) return false;
    if (entry->size > cx->limits.pickle_bytes) {
        oci_fail(cx, OC_E_LIMIT,
                 "%s: %s: expected at most %" PRIu64 " bytes, found %" PRIu64, f->path,
                 entry->name, cx->limits.pickle_bytes, entry->size);
        return false;
    }
    oci_buffer *pickle = oci_zip_read(cx, &f->zip, entry);
    snprintf(name, sizeof name, "%s: data.pkl", f->path);
    bool ok = pickle &&
              oci_pickle_run(cx, &f->pickle, name, pickle->data, pickle->size, NULL);
    oci_buffer_unref(&pickle);
    return ok && list_tensors(cx, f);
}

/* ---- the older form ---------------------------------------------------------------- */

/* 0x1950a86a20f9469cfc6c, and the version 1001: two pickles that hold a number each. */
static const struct { size_t size; unsigned char code[13]; } legacy_numbers[] = {
    { 13, { 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' } },
    { 4, { 'M', 0xe9, 0x03, '.' } } };

enum { LEGACY_BEGIN = 2 * (2 + 9) + 13 + 4 };   /* with all that may come before them */

/* Bytes of both at the beginning of a file, 0 if it has others. PROTO comes before a
 * number, whatever the protocol is, and from protocol 4 on FRAME with a length of 8
 * bytes. */
static size_t legacy_begin(const unsigned char *p, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < sizeof legacy_numbers / sizeof *legacy_numbers; i++) {
        const size_t n = legacy_numbers[i].size;
        if (size - at < 2 || p[at] != 0x80) return 0;
        at += 2;
        if (size - at >= 9 && p[at] == 0x95) at += 9;
        if (size - at < n || memcmp(p + at, legacy_numbers[i].code, n)) return 0;
        at += n;
    }
    return at;
}

/* One of the pickles in a row; *at moves behind it. */
static bool run_next(oc_context *cx, oci_torch *f, oci_pickle *pickle,
                     const oci_buffer *head, size_t *at)
{
    size_t used = 0;
    bool ok = oci_pickle_run(cx, pickle, f->path, head->data + *at, head->size - *at,
                             &used);
    *at += used;
    return ok;
}

static int by_key(const void *a, const void *b)
{
    const struct oci_torch_storage *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static int by_storage_key(const void *a, const void *b)
{
    const oci_pickle_storage *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* How many elements the storage of that key has, and of what type:
 * the object's pickle says. */
static const oci_pickle_storage *named_storage(const oci_pickle *p, const char *key)
{
    const oci_pickle_storage want = { .key = key }, *wanted = &want;
    const oci_pickle_storage **hit = p->storage_count
                                         ? bsearch(&wanted, p->storages, p->storage_count,
                                                   sizeof *p->storages, by_storage_key)
                                         : NULL;
    return hit ? *hit : NULL;
}

/* After the list of keys: for each an int64 count and its elements. */
static bool find_storages(oc_context *cx, oci_torch *f, const oci_pickle_value *keys,
                          uint64_t at)
{
    if (keys->kind != OCI_PICKLE_LIST)
        return malformed(cx, f, "expected a list of storages");
    f->storages = oci_calloc(cx, keys->as.list.count + 1, sizeof *f->storages);
    if (!f->storages) return false;
    if (f->pickle.storage_count)
        qsort(f->pickle.storages, f->pickle.storage_count, sizeof *f->pickle.storages,
              by_storage_key);
    for (size_t i = 0; i < keys->as.list.count && !oci_failed(cx); i++) {
        const oci_pickle_value *key = keys->as.list.items[i];
        oci_quoted name;
        const oci_pickle_storage *s = key->kind == OCI_PICKLE_TEXT
                                          ? named_storage(&f->pickle, key->as.text.data)
                                          : NULL;
        if (!s) return malformed(cx, f, "expected storages that the tensors name");
        const uint64_t left = file_size(f) - at;
        uint64_t bytes;
        int64_t count = -1;
        if (left >= sizeof count && !read_part(cx, f, at, &count, sizeof count)) break;
        if (count != s->count ||
            !oci_mul_u64((uint64_t)count, oci_dtype_size(s->dtype), &bytes) ||
            bytes > left - sizeof count) {
            oci_fail(cx, OC_E_MALFORMED,
                     "%s: storage %s: expected %" PRId64 " elements, found %" PRId64
                     " and %" PRIu64 " bytes in the file",
                     f->path, oci_quote(&name, s->key), s->count, count, left);
            break;
        }
        at += sizeof count;
        f->storages[f->storage_count++] = (struct oci_torch_storage){ s->key, at, bytes };
        at += bytes;
    }
    if (f->storage_count)
        qsort(f->storages, f->storage_count, sizeof *f->storages, by_key);
    return !oci_failed(cx);
}

static bool run_pickles(oc_context *cx, oci_torch *f, const oci_buffer *head)
{
    oci_pickle system = { 0 }, keys = { 0 };
    size_t at = legacy_begin(head->data, head->size);
    if (!at) return malformed(cx, f, "expected a file of torch.save, a zip or pickles");
    bool ok = run_next(cx, f, &system, head, &at) &&
              run_next(cx, f, &f->pickle, head, &at) && run_next(cx, f, &keys, head, &at);
    const oci_pickle_value *little = oci_pickle_get(system.root, "little_endian");
    if (ok && (!little || little->kind != OCI_PICKLE_BOOL || !little->as.truth)) {
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: little_endian: expected true", f->path);
        ok = false;
    }
    ok = ok && list_tensors(cx, f) && find_storages(cx, f, keys.root, at);
    oci_pickle_deinit(&system);
    oci_pickle_deinit(&keys);
    return ok;
}

/* The pickles stand first; a file's tensors may be far more than they. */
static bool read_legacy(oc_context *cx, oci_torch *f)
{
    const uint64_t size = file_size(f), most = cx->limits.pickle_bytes;
    oci_buffer *head = oci_buffer_create(cx, (size_t)(size < most ? size : most));
    bool ok = head && read_part(cx, f, 0, head->data, head->size) &&
              run_pickles(cx, f, head);
    oci_buffer_unref(&head);
    return ok;
}

/* ---- the file ---------------------------------------------------------------------- */

/* The archive takes over what is open of the file. */
static bool open_zip(oc_context *cx, oci_torch *f, bool map)
{
    bool ok;
    if (map) {
        oci_buffer *bytes = f->bytes;
        f->bytes = NULL;
        ok = oci_zip_parse(cx, &f->zip, f->path, bytes);
    } else {
        oci_file_close(f->source);
        f->source = NULL;
        ok = oci_zip_open(cx, &f->zip, f->path);
    }
    return ok && read_zip(cx, f);
}

static void open_either(oc_context *cx, oci_torch *f, bool map)
{
    unsigned char begin[LEGACY_BEGIN];
    const uint64_t all = file_size(f);
    const size_t size = all < sizeof begin ? (size_t)all : sizeof begin;
    if (!read_part(cx, f, 0, begin, size)) return;
    if (size >= 4 && !memcmp(begin, "PK\3\4", 4)) open_zip(cx, f, map);
    else if (legacy_begin(begin, size)) read_legacy(cx, f);
    else malformed(cx, f, "expected a file of torch.save, a zip or pickles");
}

bool oci_torch_open(oc_context *cx, oci_torch *file, const char *path, bool map)
{
    *file = (oci_torch){ 0 };
    file->path = oci_strdup(cx, path);
    if (map) file->bytes = oci_file_map(cx, path);
    else file->source = oci_file_open(cx, path);
    if (!oci_failed(cx)) open_either(cx, file, map);
    if (oci_failed(cx)) oci_torch_close(file);
    return !oci_failed(cx);
}

void oci_torch_close(oci_torch *file)
{
    oci_buffer_unref(&file->storage);
    oci_buffer_unref(&file->bytes);
    oci_file_close(file->source);
    oci_zip_close(&file->zip);
    oci_pickle_deinit(&file->pickle);
    oci_free(file->storages);
    oci_free(file->tensors);
    oci_free(file->entries);
    oci_free(file->folder);
    oci_free(file->path);
    *file = (oci_torch){ 0 };
}

/* ---- elements ---------------------------------------------------------------------- */

/* Two tensors may disagree about a storage; each is checked
 * against what the archive has. */
static const oci_zip_entry *storage_entry(oc_context *cx, const oci_torch *f,
                                          const oci_pickle_storage *s)
{
    char name[OCI_MAX_NAME];
    oci_quoted quoted;
    int n = snprintf(name, sizeof name, "data/%s", s->key);
    const oci_zip_entry *entry = n > 0 && (size_t)n < sizeof name ? in_folder(f, name)
                                                                  : NULL;
    uint64_t bytes;
    if (entry && oci_mul_u64((uint64_t)s->count, oci_dtype_size(s->dtype), &bytes) &&
        entry->size == bytes) return entry;
    oci_fail(cx, OC_E_MALFORMED,
             "%s: data/%s: expected %" PRId64 " elements of %zu bytes, found %" PRIu64
             " bytes",
             f->path, oci_quote(&quoted, s->key), s->count, oci_dtype_size(s->dtype),
             entry ? entry->size : 0);
    return NULL;
}

static const struct oci_torch_storage *legacy_storage(oc_context *cx, const oci_torch *f,
                                                      const oci_pickle_storage *s)
{
    const struct oci_torch_storage key = { .key = s->key };
    const struct oci_torch_storage *hit = f->storage_count ?
        bsearch(&key, f->storages, f->storage_count, sizeof key, by_key) : NULL;
    oci_quoted quoted;
    if (hit && hit->bytes / oci_dtype_size(s->dtype) >= (uint64_t)s->count) return hit;
    oci_fail(cx, OC_E_MALFORMED, "%s: storage %s: required, but missing", f->path,
             oci_quote(&quoted, s->key));
    return NULL;
}

/* Bytes of a storage, from its byte `from` on; of the newer form all of them. */
static bool read_storage(oc_context *cx, const oci_torch *f, const oci_pickle_storage *s,
                         uint64_t from, void *to, size_t size)
{
    if (f->folder) {
        const oci_zip_entry *entry = storage_entry(cx, f, s);
        return entry && oci_zip_read_to(cx, &f->zip, entry, to);
    }
    const struct oci_torch_storage *stored = legacy_storage(cx, f, s);
    return stored && read_part(cx, f, stored->offset + from, to, size);
}

/* The whole storage, unless it is the last one that was asked for. */
static const unsigned char *held_storage(oc_context *cx, oci_torch *f,
                                         const oci_pickle_storage *s)
{
    if (f->folder ? !storage_entry(cx, f, s) : !legacy_storage(cx, f, s)) return NULL;
    /* Which is as many bytes as the file has, and so can be counted. */
    const size_t size = (size_t)s->count * oci_dtype_size(s->dtype);
    if (f->storage && f->storage->size == size && !strcmp(f->held, s->key))
        return f->storage->data;
    oci_buffer_unref(&f->storage);
    f->storage = oci_buffer_create(cx, size);
    f->held = s->key;
    if (f->storage && !read_storage(cx, f, s, 0, f->storage->data, size))
        oci_buffer_unref(&f->storage);
    return f->storage ? f->storage->data : NULL;
}

/* Elements in C order without gaps. Dimensions of 1 may have any stride. */
static bool is_plain(const oci_pickle_tensor *t)
{
    int64_t count = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != count) return false;
        count *= t->shape[i];
    }
    return true;
}

/* Copies a strided tensor into C order, the innermost dimension in a loop of its own. */
static void gather(const oci_pickle_tensor *t, const unsigned char *from, size_t size,
                   unsigned char *to)
{
    int64_t index[OCI_MAX_RANK] = { 0 }, rows = 1;
    int64_t inner = t->rank ? t->shape[t->rank - 1] : 1;
    int64_t stride = t->rank ? t->stride[t->rank - 1] : 1;
    for (int d = 0; d < t->rank - 1; d++) rows *= t->shape[d];
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = t->offset;
        for (int d = 0; d < t->rank - 1; d++) at += index[d] * t->stride[d];
        oci_gather(to, from + (size_t)at * size, (size_t)stride * size, size, inner);
        to += (size_t)inner * size;
        for (int d = t->rank - 2; d >= 0 && ++index[d] == t->shape[d]; d--) index[d] = 0;
    }
}

bool oci_torch_read(oc_context *cx, oci_torch *file, const oci_entry *entry, void *to)
{
    const oci_pickle_tensor *t = file->tensors[entry->offset];
    const oci_pickle_storage *s = t->storage;
    const size_t size = oci_dtype_size(entry->dtype);
    if (oci_failed(cx)) return false;
    if (entry->bytes == 0) return true;
    const int64_t view = s->view_key ? s->view_offset : 0;
    if (is_plain(t) && (!file->folder || entry->bytes / size == (uint64_t)s->count))
        return read_storage(cx, file, s, (uint64_t)(view + t->offset) * size, to,
                            entry->bytes);
    const unsigned char *data = held_storage(cx, file, s);
    if (data) gather(t, data + (size_t)view * size, size, to);
    return data != NULL;
}
