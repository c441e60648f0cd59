/* What an archive may not do (APPNOTE.TXT 6.3, and what hostile ones are known for): name
 * a file outside of itself or one twice, claim more entries than it has bytes for, unpack
 * to far more than it holds, be encrypted, use a method other than stored and deflate. */
#include "io/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/context.h"
#include "io/quote.h"

enum {
    /* APPNOTE 4.3.14 to 4.3.16: the records at an archive's end. */
    END_SIZE = 22, END_COMMENT = 65535, LOCATOR_SIZE = 20, END64_SIZE = 56,
    END64_ENTRIES = 24,         /* two counts of 8 bytes: on this disk, in all */
    LOCATOR_OFFSET = 8,         /* where the zip64 record lies */
    DIRECTORY_ENTRY = 46,       /* at least, of each entry */
    RATIO_FREE = 1 << 20        /* an entry up to this size may be packed as tightly as it
                                   likes: a mask of ones is a thousand times smaller */
};

/* ---- before libzip sees the archive ---- */

/* Bytes of the archive, wherever it is; false outside of it, or with an error set. */
static bool look(oc_context *cx, const oci_zip *zip, uint64_t at, size_t size, void *to)
{
    if (size > zip->size || at > zip->size - size) return false;
    if (!zip->bytes) return oci_file_read_at(cx, zip->file, at, to, size);
    memcpy(to, zip->bytes->data + at, size);
    return true;
}

static uint64_t little_endian_64(const unsigned char *p)
{
    uint64_t n;
    /* safetensors.c asserts that this machine is little-endian */
    memcpy(&n, p, sizeof n);
    return n;
}

static bool too_many(oc_context *cx, const oci_zip *zip, uint64_t count)
{
    const uint64_t room = zip->size / DIRECTORY_ENTRY;
    if (count > room)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: zip64 directory: expected at most %" PRIu64
                 " entries in a file of %" PRIu64 " bytes, found %" PRIu64,
                 zip->path, room, zip->size, count);
    else if (count > cx->limits.zip_entries)
        oci_fail(cx, OC_E_LIMIT,
                 "%s: expected at most %" PRIu64 " entries, found %" PRIu64, zip->path,
                 cx->limits.zip_entries, count);
    return oci_failed(cx);
}

/* libzip (1.7) takes memory for as many entries as a zip64 record claims. A record is
 * found through a locator in the last 64 KiB; every locator there is looked at, since
 * which of several is the true one is libzip's to say. */
static bool check_counts(oc_context *cx, const oci_zip *zip)
{
    static const unsigned char locator[] = { 'P', 'K', 6, 7 },
                               record[] = { 'P', 'K', 6, 6 };
    const size_t most = END_SIZE + END_COMMENT + LOCATOR_SIZE;
    const size_t size = zip->size < most ? (size_t)zip->size : most;
    unsigned char *tail = oci_alloc(cx, size), found[END64_SIZE];
    bool ok = tail && look(cx, zip, zip->size - size, size, tail);
    for (size_t at = 0; ok && at + LOCATOR_SIZE <= size; at++) {
        if (memcmp(tail + at, locator, sizeof locator) != 0 ||
            !look(cx, zip, little_endian_64(tail + at + LOCATOR_OFFSET), END64_SIZE,
                  found) ||
            memcmp(found, record, sizeof record) != 0)
            continue;
        ok = !too_many(cx, zip, little_endian_64(found + END64_ENTRIES)) &&
             !too_many(cx, zip, little_endian_64(found + END64_ENTRIES + 8));
    }
    oci_free(tail);
    return ok && !oci_failed(cx);
}

/* ---- libzip's errors as ours ---- */

static void zip_failure(oc_context *cx, const oci_zip *zip, const char *what,
                        zip_error_t *error)
{
    const int code = zip_error_code_zip(error);
    oci_quoted quoted;
    oc_status status = code == ZIP_ER_MEMORY ? OC_E_MEMORY
                     : code == ZIP_ER_COMPNOTSUPP || code == ZIP_ER_ENCRNOTSUPP ||
                       code == ZIP_ER_OPNOTSUPP ? OC_E_UNSUPPORTED : OC_E_MALFORMED;
    oci_fail(cx, status, "%s: %s: %s", zip->path, oci_quote(&quoted, what),
             zip_error_strerror(error));
}

/* What libzip reads from: our archive, through the file gateway. */
struct oci_zip_source {
    oc_context *cx;             /* of the call that goes on; errors of reading stay in
                                   it */
    const oci_zip *zip;
    uint64_t at;
    zip_error_t error;
};

static zip_int64_t serve_bytes(struct oci_zip_source *s, void *data, zip_uint64_t size)
{
    const uint64_t left = s->zip->size - s->at;
    if (size > left) size = left;
    if (!look(s->cx, s->zip, s->at, (size_t)size, data)) {
        zip_error_set(&s->error, ZIP_ER_READ, 0);
        return -1;
    }
    s->at += size;
    return (zip_int64_t)size;
}

static zip_int64_t serve(void *user, void *data, zip_uint64_t size,
                         zip_source_cmd_t command)
{
    struct oci_zip_source *s = user;
    zip_int64_t to;
    zip_stat_t *st = data;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ,
                                              ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE,
                                              ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, -1);
    case ZIP_SOURCE_OPEN: s->at = 0; return 0;
    case ZIP_SOURCE_READ: return serve_bytes(s, data, size);
    case ZIP_SOURCE_CLOSE: case ZIP_SOURCE_FREE: return 0;      /* the zip owns it */
    case ZIP_SOURCE_TELL: return (zip_int64_t)s->at;
    case ZIP_SOURCE_SEEK:
        to = zip_source_seek_compute_offset(s->at, s->zip->size, data, size, &s->error);
        if (to < 0) return -1;
        s->at = (uint64_t)to;
        return 0;
    case ZIP_SOURCE_STAT:
        zip_stat_init(st);
        st->size = s->zip->size;
        st->valid = ZIP_STAT_SIZE;
        return sizeof *st;
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&s->error, data, size);
    default: zip_error_set(&s->error, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
}

static bool open_archive(oc_context *cx, oci_zip *zip)
{
    zip_error_t error;
    zip->source = oci_calloc(cx, 1, sizeof *zip->source);
    if (!zip->source) return false;
    *zip->source = (struct oci_zip_source){ .cx = cx, .zip = zip };
    zip_error_init(&zip->source->error);
    zip_error_init(&error);
    zip_source_t *source = zip_source_function_create(serve, zip->source, &error);
    zip->archive = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (!zip->archive) {
        zip_failure(cx, zip, "zip archive", &error);
        if (source) zip_source_free(source);
    }
    zip_error_fini(&error);
    return zip->archive != NULL;
}

/* ---- the entries ---- */

/* Relative, of plain parts: nobody here writes files by these names, but who lists an
 * archive shall not be told of others. */
static bool is_inside(const char *name)
{
    if (!name[0] || name[0] == '/' || strchr(name, '\\')) return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2])) return false;
    }
    return true;
}

/* One entry by itself: what it says is all there, and may be unpacked. */
static bool check_entry(oc_context *cx, const oci_zip *zip, const zip_stat_t *s)
{
    const zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    const uint64_t ratio = cx->limits.zip_ratio ? cx->limits.zip_ratio : 1;
    oci_quoted quoted;
    const char *name = oci_quote(&quoted, s->valid & ZIP_STAT_NAME ? s->name : NULL);
    if ((s->valid & wanted) != wanted)
        oci_fail(cx, OC_E_MALFORMED, "%s: %s: name, sizes or method are missing",
                 zip->path, name);
    else if (!is_inside(s->name))
        oci_fail(cx, OC_E_MALFORMED, "%s: %s: expected a name inside the archive",
                 zip->path, name);
    else if (s->encryption_method != ZIP_EM_NONE)
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s: is encrypted", zip->path, name);
    else if (s->comp_method != ZIP_CM_STORE && s->comp_method != ZIP_CM_DEFLATE)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: %s: expected it stored or deflated, found method %u", zip->path,
                 name, (unsigned)s->comp_method);
    else if (s->comp_size > zip->size ||
             (s->comp_method == ZIP_CM_STORE && s->size != s->comp_size))
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s: %" PRIu64 " bytes packed, %" PRIu64 " unpacked, in a file of "
                                                              "%" PRIu64,
                 zip->path, name, (uint64_t)s->comp_size, (uint64_t)s->size, zip->size);
    else if (s->size > RATIO_FREE && s->size / ratio > s->comp_size)
        oci_fail(cx, OC_E_LIMIT,
                 "%s: %s: expected at most %" PRIu64 " times its packed size, found "
                                                     "%" PRIu64 " bytes in %" PRIu64,
                 zip->path, name, ratio, (uint64_t)s->size, (uint64_t)s->comp_size);
    return !oci_failed(cx);
}

static int by_name(const void *a, const void *b)
{
    const oci_zip_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* All of them together: no name twice, and their sum. */
static bool check_entries(oc_context *cx, const oci_zip *zip)
{
    oci_quoted quoted;
    uint64_t sum = 0;
    for (size_t i = 0; i < zip->count && !oci_failed(cx); i++) {
        const oci_zip_entry *e = &zip->entries[i];
        if (e->size > cx->limits.zip_bytes - sum)
            oci_fail(cx, OC_E_LIMIT, "%s: expected entries of at most %" PRIu64
                     " bytes together, found more", zip->path, cx->limits.zip_bytes);
        else if (i > 0 && !strcmp(e[-1].name, e->name))
            oci_fail(cx, OC_E_MALFORMED, "%s: %s: two entries of this name", zip->path,
                     oci_quote(&quoted, e->name));
        else
            sum += e->size;
    }
    return !oci_failed(cx);
}

static bool read_entries(oc_context *cx, oci_zip *zip)
{
    const uint64_t count = (uint64_t)zip_get_num_entries(zip->archive, 0);
    if (count > cx->limits.zip_entries) return !too_many(cx, zip, count);
    zip->entries = oci_calloc(cx, (size_t)count, sizeof *zip->entries);
    for (uint64_t i = 0; i < count && !oci_failed(cx); i++) {
        zip_stat_t s;
        zip_stat_init(&s);
        if (zip_stat_index(zip->archive, i, 0, &s) != 0) {
            zip_failure(cx, zip, "entry", zip_get_error(zip->archive));
            break;
        }
        if (!check_entry(cx, zip, &s)) break;
        if (s.name[strlen(s.name) - 1] == '/') continue;
        zip->entries[zip->count++] =
            (oci_zip_entry){ .name = s.name, .size = s.size, .index = i };
    }
    if (oci_failed(cx)) return false;
    qsort(zip->entries, zip->count, sizeof *zip->entries, by_name);
    return check_entries(cx, zip);
}

static bool open_zip(oc_context *cx, oci_zip *zip, const char *path)
{
    if (!oci_failed(cx) && (zip->path = oci_strdup(cx, path)) && check_counts(cx, zip) &&
        open_archive(cx, zip) && read_entries(cx, zip))
        return true;
    oci_zip_close(zip);
    return false;
}

bool oci_zip_parse(oc_context *cx, oci_zip *zip, const char *path, oci_buffer *bytes)
{
    *zip = (oci_zip){ .bytes = bytes, .size = bytes ? bytes->size : 0 };
    return open_zip(cx, zip, path);
}

bool oci_zip_open(oc_context *cx, oci_zip *zip, const char *path)
{
    *zip = (oci_zip){ .file = oci_file_open(cx, path) };
    if (zip->file) zip->size = zip->file->size;
    return open_zip(cx, zip, path);
}

void oci_zip_close(oci_zip *zip)
{
    if (zip->archive) zip_discard(zip->archive);
    if (zip->source) zip_error_fini(&zip->source->error);
    oci_free(zip->source);
    oci_free(zip->entries);
    oci_free(zip->path);
    oci_file_close(zip->file);
    oci_buffer_unref(&zip->bytes);
    *zip = (oci_zip){ 0 };
}

const oci_zip_entry *oci_zip_find(const oci_zip *zip, const char *name)
{
    const oci_zip_entry key = { .name = name };
    if (zip->count == 0) return NULL;
    return bsearch(&key, zip->entries, zip->count, sizeof key, by_name);
}

/* ---- unpacking ---- */

/* Reads to the claimed size, and then asks for one byte more: the checksum is compared
 * when libzip meets the end, and data beyond the size is found. */
static void unpack(oc_context *cx, const oci_zip *zip, const oci_zip_entry *entry,
                   zip_file_t *file, unsigned char *to)
{
    oci_quoted quoted;
    unsigned char beyond;
    uint64_t got = 0;
    zip_int64_t n = 1;
    while (got < entry->size && (n = zip_fread(file, to + got, entry->size - got)) > 0)
        got += (uint64_t)n;
    if (n > 0 && got == entry->size) n = zip_fread(file, &beyond, 1);
    if (n < 0)
        zip_failure(cx, zip, entry->name, zip_file_get_error(file));
    else if (n > 0 || got < entry->size)
        oci_fail(cx, OC_E_MALFORMED, "%s: %s: expected %" PRIu64 " bytes, found %s",
                 zip->path, oci_quote(&quoted, entry->name), entry->size,
                 n > 0 ? "more" : "fewer");
}

bool oci_zip_read_to(oc_context *cx, const oci_zip *zip, const oci_zip_entry *entry,
                     void *to)
{
    if (oci_failed(cx)) return false;
    zip->source->cx = cx;
    zip_file_t *file = zip_fopen_index(zip->archive, entry->index, 0);
    if (file) {
        unpack(cx, zip, entry, file, to);
        zip_fclose(file);
    } else {
        zip_failure(cx, zip, entry->name, zip_get_error(zip->archive));
    }
    return !oci_failed(cx);
}

oci_buffer *oci_zip_read(oc_context *cx, const oci_zip *zip, const oci_zip_entry *entry)
{
    oci_buffer *to = entry->size < SIZE_MAX ? oci_buffer_create(cx, (size_t)entry->size)
                                            : NULL;
    if (to && !oci_zip_read_to(cx, zip, entry, to->data)) oci_buffer_unref(&to);
    return to;
}
