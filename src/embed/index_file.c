/* The file of an index: its layout, reading with every check, writing.
 * docs/FORMAT-index.md says the same in words. */
#include <math.h>
#include <string.h>

#include "base/context.h"
#include "base/hash.h"
#include "base/size.h"
#include "embed/index.h"
#include "io/file.h"

static const char magic[8] = { 'O', 'C', 'i', 'n', 'd', 'e', 'x', '\n' };
/* On a machine of the other byte order it reads 0x04030201. */
static const uint32_t order = 0x01020304;

enum { TRAILER = 8 };           /* XXH64 of all before it */

_Static_assert(sizeof(oci_index_header) == 128, "the header is part of the format");
_Static_assert(sizeof(oci_index_row) == 24, "the table's rows are part of the format");

/* Numbers of I8 are b + r / 254 steps, b and r within -127..127. */
static const float remainder_step = 1.0f / 254;

/* ---- layout ------------------------------------------------------------------------ */

/* *at becomes the place after `count` things of `size`, rounded up to a line. */
static bool advance(uint64_t *at, uint64_t count, uint64_t size)
{
    uint64_t bytes;
    if (!oci_mul_u64(count, size, &bytes) || !oci_add_u64(*at, bytes, at) ||
        !oci_add_u64(*at, OCI_INDEX_LINE - 1, at)) return false;
    *at -= *at % OCI_INDEX_LINE;
    return true;
}

/* False: the sizes are beyond 64 bits. */
bool oci_index_place(const oci_index_header *h, oci_index_layout *l)
{
    size_t number = h->kind == OCI_INDEX_I8 ? 1 : sizeof(float);
    size_t row = h->width * number, stride = (row + OCI_INDEX_LINE - 1) / OCI_INDEX_LINE;
    uint64_t at = sizeof *h;
    *l = (oci_index_layout){ .stride = stride * OCI_INDEX_LINE, .table = at };
    if (!advance(&at, h->count, sizeof(oci_index_row))) return false;
    l->text = at;
    if (!advance(&at, h->text_bytes, 1)) return false;
    l->scales = at;
    if (h->kind == OCI_INDEX_I8 && !advance(&at, h->count, sizeof(float))) return false;
    l->vectors = at;
    if (!advance(&at, h->count, l->stride)) return false;
    l->remainders = at;
    if (h->kind == OCI_INDEX_I8 && !advance(&at, h->count, l->stride)) return false;
    l->end = at;
    return oci_add_u64(at, TRAILER, &at);
}

/* ---- reading ----------------------------------------------------------------------- */

static void bad(oc_context *cx, const char *path, const char *what)
{
    oci_fail(cx, OC_E_MALFORMED, "%s: %s: remove it and build it again", path, what);
}

/* Of the first bytes; `size` is the whole file's. */
static void check_header(oc_context *cx, const char *path, const oci_index_header *h,
                         oci_index_layout *layout, uint64_t size)
{
    if (size < sizeof *h || memcmp(h->magic, magic, sizeof magic) != 0)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected an index of pictures, found something else", path);
    else if (h->order != order)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: was made on a machine of the other byte order", path);
    else if (h->version != OCI_INDEX_VERSION)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: version: expected %d, found %u: made by a newer ocelli", path,
                 OCI_INDEX_VERSION, h->version);
    else if (oci_hash_of(h, offsetof(oci_index_header, checksum)) != h->checksum)
        bad(cx, path, "the header's checksum is wrong");
    else if (h->kind != OCI_INDEX_F32 && h->kind != OCI_INDEX_I8)
        bad(cx, path, "kind: expected 1 or 2, found another");
    else if (h->width < 1 || h->width > OCI_INDEX_MAX_WIDTH)
        bad(cx, path, "width: expected 1 to 65536, found another");
    else if (!oci_index_place(h, layout) || h->file_bytes != layout->end + TRAILER)
        bad(cx, path, "the header's sizes contradict each other");
    else if (size != h->file_bytes)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected %llu bytes, found %llu: it was cut or grew; remove it and "
                 "build it again",
                 path, (unsigned long long)h->file_bytes, (unsigned long long)size);
}

/* Each path ends before the texts do, and they are in order, so
 * that none is there twice. */
static void check_paths(oc_context *cx, const char *path, const oc_index *x)
{
    uint64_t bytes = x->header.text_bytes, before = 0;
    if (bytes == 0 || x->text[bytes - 1] != '\0') {
        bad(cx, path, "the paths have no end");
        return;
    }
    for (uint64_t i = 0; i < x->header.count; i++) {
        uint64_t at = x->rows[i].text;
        if (at <= before || at >= bytes || x->text[at - 1] != '\0') {
            bad(cx, path, "a path lies outside of its place");
            return;
        }
        if (i && strcmp(x->text + before, x->text + at) >= 0) {
            bad(cx, path, "the paths are not in order");
            return;
        }
        before = at;
    }
}

oc_index *oci_index_parse(oc_context *cx, const char *path, oci_buffer *bytes, bool whole)
{
    oc_index *x = bytes ? oci_calloc(cx, 1, sizeof *x) : NULL;
    if (!x) {
        oci_buffer_unref(&bytes);
        return NULL;
    }
    x->bytes = bytes;
    size_t head = bytes->size < sizeof x->header ? bytes->size : sizeof x->header;
    memcpy(&x->header, bytes->data, head);
    check_header(cx, path, &x->header, &x->layout, bytes->size);
    if (!oci_failed(cx)) {
        const unsigned char *data = bytes->data;
        const void *rows = data + x->layout.table, *scales = data + x->layout.scales;
        const void *remainders = data + x->layout.remainders;
        uint64_t checksum;
        memcpy(&checksum, data + x->layout.end, sizeof checksum);
        x->rows = rows;
        x->text = (const char *)data + x->layout.text;
        x->scales = scales;
        x->vectors = data + x->layout.vectors;
        x->remainders = remainders;
        if (whole && oci_hash_of(data, x->layout.end) != checksum)
            bad(cx, path, "the checksum is wrong");
        else check_paths(cx, path, x);
    }
    if (!oci_failed(cx)) return x;
    oc_index_close(x);
    return NULL;
}

oc_index *oc_index_open(oc_context *cx, const char *path,
                        const oc_index_open_options *options)
{
    oc_index_open_options o = { .size = sizeof o };
    if (!cx || oci_failed(cx)) return NULL;
    if (!path) {
        oci_fail(cx, OC_E_ARGUMENT, "index: expected a path, found NULL");
        return NULL;
    }
    oci_take_options(&o, sizeof o, options);
    /* The header first: of what is no index, nothing is read. */
    oci_index_header header;
    oci_index_layout layout;
    oci_file *file = oci_file_open(cx, path);
    if (!file) return NULL;
    memset(&header, 0, sizeof header);
    if (file->size < sizeof header ||
        oci_file_read_at(cx, file, 0, &header, sizeof header))
        check_header(cx, path, &header, &layout, file->size);
    oci_file_close(file);
    if (oci_failed(cx)) return NULL;
    /* A second reading of the path, which is checked like the first: the file may have
     * changed in between. */
    oci_buffer *bytes = o.map ? oci_file_map(cx, path)
                              : oci_file_read(cx, path, cx->limits.file_bytes);
    return oci_index_parse(cx, path, bytes, !o.map);
}

void oc_index_close(oc_index *index)
{
    if (!index) return;
    oci_buffer_unref(&index->bytes);
    oci_free(index);
}

size_t oc_index_count(const oc_index *index)
{
    return index ? (size_t)index->header.count : 0;
}
size_t oc_index_width(const oc_index *index)
{
    return index ? index->header.width : 0;
}
const char *oc_index_model_name(const oc_index *index)
{
    return index ? index->text : NULL;
}

const char *oc_index_path(const oc_index *index, size_t picture)
{
    return picture < oc_index_count(index) ? index->text + index->rows[picture].text
                                           : NULL;
}

bool oc_index_vector(const oc_index *x, size_t picture, float *vector)
{
    if (picture >= oc_index_count(x) || !vector) return false;
    const char *row = (const char *)x->vectors + picture * x->layout.stride;
    size_t width = x->header.width;
    if (x->header.kind == OCI_INDEX_F32) {
        memcpy(vector, row, width * sizeof *vector);
        return true;
    }
    const int8_t *bytes = (const int8_t *)row;
    const int8_t *rest = x->remainders + picture * x->layout.stride;
    for (size_t i = 0; i < width; i++)
        vector[i] = x->scales[picture] *
                    ((float)bytes[i] + (float)rest[i] * remainder_step);
    return true;
}

/* ---- records ----------------------------------------------------------------------- */

size_t oci_index_record_bytes(oci_index_kind kind, size_t width)
{
    return kind == OCI_INDEX_F32 ? width * sizeof(float) : sizeof(float) + 2 * width;
}

/* The largest number becomes 127 steps. What rounding takes away, half a step at most, is
 * kept in steps of 1/254. */
bool oci_index_encode(oci_index_kind kind, size_t width, const float *x, void *record)
{
    float most = 0;
    for (size_t i = 0; i < width; i++) {
        if (!isfinite(x[i])) return false;
        most = fmaxf(most, fabsf(x[i]));
    }
    if (kind == OCI_INDEX_F32) {
        memcpy(record, x, width * sizeof *x);
        return true;
    }
    float scale = most / 127;
    int8_t *bytes = (int8_t *)record + sizeof scale, *rest = bytes + width;
    memcpy(record, &scale, sizeof scale);
    for (size_t i = 0; i < width; i++) {
        float steps = scale > 0 ? fminf(fmaxf(x[i] / scale, -127), 127) : 0;
        float nearest = rintf(steps);
        bytes[i] = (int8_t)nearest;
        rest[i] = (int8_t)rintf((steps - nearest) / remainder_step);
    }
    return true;
}

/* ---- writing ----------------------------------------------------------------------- */

enum { ROOM = 1 << 16 };

typedef struct output {
    oc_context *cx;
    oci_save *save;
    oci_hash hash;
    uint64_t at;
    char *room;                 /* [ROOM]: what is not with the system yet */
    size_t held;
} output;

static void flush(output *o)
{
    oci_hash_add(&o->hash, o->room, o->held);
    oci_save_write(o->cx, o->save, o->room, o->held);
    o->held = 0;
}

static void put(output *o, const void *data, size_t size)
{
    const char *p = data;
    o->at += size;
    while (size > 0) {
        size_t n = size < ROOM - o->held ? size : ROOM - o->held;
        memcpy(o->room + o->held, p, n);
        o->held += n;
        p += n;
        size -= n;
        if (o->held == ROOM) flush(o);
    }
}

static void put_zeros(output *o, uint64_t until)
{
    static const char zeros[OCI_INDEX_LINE];
    put(o, zeros, (size_t)(until - o->at));
}

/* The name of the model is the first of the texts: no path begins at 0. */
static void put_table(output *o, const oci_index_writer *w, const oci_index_layout *l)
{
    uint64_t text = strlen(w->model_name) + 1;
    for (uint64_t i = 0; i < w->header.count && !oci_failed(o->cx); i++) {
        const oci_listed *file = &w->files[i];
        oci_index_row row = { text, file->size, file->mtime };
        put(o, &row, sizeof row);
        text += strlen(file->path) + 1;
    }
    put_zeros(o, l->text);
    put(o, w->model_name, strlen(w->model_name) + 1);
    for (uint64_t i = 0; i < w->header.count && !oci_failed(o->cx); i++)
        put(o, w->files[i].path, strlen(w->files[i].path) + 1);
    put_zeros(o, l->scales);
}

/* Part [from, from + size) of every record, each filled up to `stride`; 0: not filled. */
static void put_parts(output *o, const oci_index_writer *w, char *record, size_t from,
                      size_t size, size_t stride)
{
    for (size_t i = 0; i < w->header.count && !oci_failed(o->cx) && !oci_cancelled(o->cx);
         i++) {
        w->record(o->cx, w->user, i, record);
        put(o, record + from, size);
        if (stride) put_zeros(o, o->at - size + stride);
    }
}

static void put_vectors(output *o, const oci_index_writer *w, const oci_index_layout *l,
                        char *record)
{
    size_t width = w->header.width, scale = sizeof(float);
    if (w->header.kind == OCI_INDEX_F32) {
        put_parts(o, w, record, 0, width * sizeof(float), l->stride);
        return;
    }
    put_parts(o, w, record, 0, scale, 0);
    if (oci_failed(o->cx)) return;
    put_zeros(o, l->vectors);
    put_parts(o, w, record, scale, width, l->stride);
    put_parts(o, w, record, scale + width, width, l->stride);
}

oc_status oci_index_write(oc_context *cx, oci_index_writer *w, const char *path)
{
    oci_index_header *h = &w->header;
    oci_index_layout l;
    memcpy(h->magic, magic, sizeof magic);
    h->version = OCI_INDEX_VERSION;
    h->order = order;
    h->text_bytes = strlen(w->model_name) + 1;
    for (uint64_t i = 0; i < h->count; i++) h->text_bytes += strlen(w->files[i].path) + 1;
    if (!oci_index_place(h, &l))
        return oci_fail(cx, OC_E_LIMIT, "%s: too many pictures for a file", path);
    h->file_bytes = l.end + TRAILER;
    h->checksum = oci_hash_of(h, offsetof(oci_index_header, checksum));

    char *record = oci_alloc(cx,
                             oci_index_record_bytes((oci_index_kind)h->kind, h->width));
    output o = { .cx = cx, .room = oci_alloc(cx, ROOM) };
    oci_hash_init(&o.hash);
    o.save = oci_save_begin(cx, path);
    if (o.save) {
        put(&o, h, sizeof *h);
        put_table(&o, w, &l);
        put_vectors(&o, w, &l, record);
        flush(&o);
        uint64_t checksum = oci_hash_value(&o.hash);
        oci_save_write(cx, o.save, &checksum, sizeof checksum);
    }
    oci_free(o.room);
    oci_free(record);
    return oci_save_end(cx, o.save, true);
}
