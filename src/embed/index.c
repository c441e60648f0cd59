/* Making an index. What is embedded goes into a journal beside it, a batch at a time, and
 * only when every picture has its vector is the index written from there, whole. So a
 * build may be ended at any moment, and the next one finds in index and journal what need
 * not be done again. Which vector came from where leaves no trace in the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/context.h"
#include "base/size.h"
#include "embed/index.h"
#include "io/file.h"
#include "io/journal.h"

enum { BATCH = 8, BATCH_MOST = 256, JOURNAL_VERSION = 1 };
/* A batch also ends with the picture that makes it this large, decoded: 3 bytes each. */
static const int64_t batch_pixels = (int64_t)1 << 24;

typedef struct journal_head {   /* the journal's first block: what its vectors are */
    char what[8];
    uint32_t version, kind;
    uint64_t fingerprint;
} journal_head;

typedef struct journal_entry {  /* then, in each block: this, the path, the record */
    uint64_t size;
    int64_t mtime;
    uint32_t path_bytes, width;
} journal_entry;

typedef enum source { NOWHERE, IN_INDEX, IN_JOURNAL } source;

typedef struct picture {
    source source;
    uint64_t at;                /* row of the index, or byte of the journal */
    bool known;                 /* the index has something of this path */
} picture;

typedef struct maker {
    oc_context *cx;
    const oci_index_maker *how;
    const oc_index_options *options;
    const char *path;
    oci_index_kind kind;
    size_t width;               /* 0: not known yet */
    oci_listing files;
    picture *pictures;          /* [files.count] */
    oci_journal *journal;
    journal_head head;
    bool headed;                /* the journal begins with `head` */
    oc_index *old;              /* NULL: there is none */
    oc_index_report report;
    int64_t done;
} maker;

static bool is_picture(const char *name)
{
    static const char *const kinds[] = { ".jpg", ".jpeg", ".png", ".webp" };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof kinds / sizeof *kinds; i++)
        if (strcasecmp(dot, kinds[i]) == 0) return true;
    return false;
}

static void progress(maker *m, const char *path, const char *refused)
{
    oc_index_progress p = { m->done, (int64_t)m->files.count, path, refused };
    if (m->options->progress) m->options->progress(m->options->progress_user, &p);
}

/* ---- what is there ----------------------------------------------------------------- */

static void list_pictures(maker *m)
{
    const oc_index_options *o = m->options;
    if (o->folder) oci_listing_folder(m->cx, &m->files, o->folder, is_picture);
    for (size_t i = 0; i < o->file_count; i++)
        oci_listing_file(m->cx, &m->files, o->files[i]);
    oci_listing_sort(&m->files);
    if (m->files.count == 0)
        oci_fail(m->cx, OC_E_FILE,
                 "%s: expected pictures (.jpg, .jpeg, .png, .webp), found none",
                 o->folder ? o->folder : "index");
    m->pictures = oci_calloc(m->cx, m->files.count, sizeof *m->pictures);
}

static int path_order(const void *key, const void *file)
{
    return strcmp(key, ((const oci_listed *)file)->path);
}

/* The number of the picture of that path; files.count: none. */
static size_t find(const maker *m, const char *path)
{
    const oci_listed *file = bsearch(path, m->files.files, m->files.count, sizeof *file,
                                     path_order);
    return file ? (size_t)(file - m->files.files) : m->files.count;
}

static bool unchanged(const oci_listed *file, uint64_t size, int64_t mtime)
{
    return file->size == size && file->mtime == mtime;
}

static void other_model(maker *m, const char *path)
{
    oci_fail(m->cx, OC_E_ARGUMENT,
             "%s: is of another model or another dtype: build with that one, remove the "
             "file, or give another name",
             path);
}

static void look_into_index(maker *m)
{
    if (oci_failed(m->cx) || !oci_file_exists(m->cx, m->path)) return;
    m->old = oc_index_open(m->cx, m->path, NULL);
    if (!m->old) return;
    const oci_index_header *h = &m->old->header;
    if (h->fingerprint != m->how->fingerprint || h->kind != m->kind) {
        other_model(m, m->path);
        return;
    }
    m->width = h->width;
    for (size_t row = 0; row < h->count; row++) {
        size_t i = find(m, oc_index_path(m->old, row));
        const oci_index_row *r = &m->old->rows[row];
        if (i == m->files.count) m->report.removed++;
        else m->pictures[i].known = true;
        if (i == m->files.count || !unchanged(&m->files.files[i], r->size, r->mtime))
            continue;
        m->pictures[i].source = IN_INDEX;
        m->pictures[i].at = row;
        m->report.kept++;
    }
}

/* One block of the journal, whose checksum says that it is what some build wrote; sizes
 * are checked all the same. False: it is not of this form. */
static bool read_block(maker *m, const unsigned char *block, size_t size, uint64_t offset)
{
    journal_entry e;
    for (size_t at = 0; at < size;) {
        if (size - at < sizeof e) return false;
        memcpy(&e, block + at, sizeof e);
        at += sizeof e;
        if (e.path_bytes == 0 || e.path_bytes > size - at ||
            block[at + e.path_bytes - 1] || e.width == 0 ||
            e.width > OCI_INDEX_MAX_WIDTH || (m->width && m->width != e.width))
            return false;
        m->width = e.width;
        size_t i = find(m, (const char *)block + at);
        at += e.path_bytes;
        size_t bytes = oci_index_record_bytes(m->kind, e.width);
        if (bytes > size - at) return false;
        if (i < m->files.count && unchanged(&m->files.files[i], e.size, e.mtime) &&
            m->pictures[i].source == NOWHERE) {
            m->pictures[i] = (picture){ IN_JOURNAL, offset + at, m->pictures[i].known };
            m->report.resumed++;
        }
        at += bytes;
    }
    return true;
}

static void look_into_journal(maker *m, const char *path)
{
    const unsigned char *block;
    size_t size;
    uint64_t offset;
    if (oci_failed(m->cx)) return;
    m->headed = oci_journal_next(m->cx, m->journal, &block, &size, &offset);
    if (!m->headed) return;
    if (size != sizeof m->head || memcmp(block, &m->head, size) != 0) {
        other_model(m, path);
        return;
    }
    while (oci_journal_next(m->cx, m->journal, &block, &size, &offset))
        if (!read_block(m, block, size, offset)) {
            oci_fail(m->cx, OC_E_MALFORMED,
                     "%s: a block is not what it should be: remove the file", path);
            return;
        }
}

/* ---- what is new ------------------------------------------------------------------- */

typedef struct batch {
    oc_image *images[BATCH_MOST];       /* owned */
    size_t pictures[BATCH_MOST];
    size_t count;
    int64_t pixels;
} batch;

/* The context's error is about a picture, not about the whole work. What a model does not
 * support it supports for none. */
static bool is_about_picture(oc_status status)
{
    return status == OC_E_IMAGE || status == OC_E_MALFORMED || status == OC_E_FILE ||
           status == OC_E_LIMIT;
}

/* Takes the error away and leaves the picture out. */
static void refuse(maker *m, size_t i)
{
    m->report.refused++;
    m->done++;
    progress(m, m->files.files[i].path, oc_context_message(m->cx));
    oc_context_clear(m->cx);
}

/* The head only with the first vectors: a journal of none is in no other model's way. */
static void append(maker *m, const oci_bytes *block, uint64_t *offset)
{
    if (!m->headed)
        m->headed = oci_journal_append(m->cx, m->journal, &m->head, sizeof m->head,
                                       offset) == OC_OK;
    oci_journal_append(m->cx, m->journal, block->data, block->size, offset);
}

/* `count` vectors into one block of the journal. */
static void keep_vectors(maker *m, const size_t *pictures, size_t count,
                         const float *vectors)
{
    oci_bytes block;
    uint64_t offset = 0;
    size_t taken = 0, bytes = oci_index_record_bytes(m->kind, m->width);
    size_t *at = oci_alloc(m->cx, count * sizeof *at),
           *who = oci_alloc(m->cx, count * sizeof *who);
    char *record = oci_alloc(m->cx, bytes);
    oci_bytes_init(&block, UINT32_MAX);
    for (size_t k = 0; k < count && !oci_failed(m->cx); k++) {
        const oci_listed *file = &m->files.files[pictures[k]];
        journal_entry e = { file->size, file->mtime, (uint32_t)strlen(file->path) + 1,
                            (uint32_t)m->width };
        if (!oci_index_encode(m->kind, m->width, vectors + k * m->width, record)) {
            oci_fail(m->cx, OC_E_MALFORMED,
                     "%s: its vector has numbers that are not finite", file->path);
            refuse(m, pictures[k]);
            continue;
        }
        oci_bytes_append(m->cx, &block, &e, sizeof e);
        oci_bytes_append(m->cx, &block, file->path, e.path_bytes);
        at[taken] = block.size;
        who[taken++] = pictures[k];
        oci_bytes_append(m->cx, &block, record, bytes);
    }
    if (taken) append(m, &block, &offset);
    for (size_t k = 0; k < taken && !oci_failed(m->cx); k++) {
        picture *p = &m->pictures[who[k]];
        *p = (picture){ IN_JOURNAL, offset + at[k], p->known };
        m->done++;
        progress(m, m->files.files[who[k]].path, NULL);
    }
    oci_bytes_deinit(&block);
    oci_free(record);
    oci_free(at);
    oci_free(who);
}

static void embed_some(maker *m, const batch *b, size_t first, size_t count)
{
    size_t width = 0;
    float *vectors = m->how->embed(m->cx, m->how->user, b->images + first, count, &width);
    if (vectors &&
        (width == 0 || width > OCI_INDEX_MAX_WIDTH || (m->width && width != m->width)))
        oci_fail(m->cx, OC_E_ARGUMENT, "%s: vectors of %zu numbers do not fit", m->path,
                 width);
    else if (vectors) m->width = width;
    if (!oci_failed(m->cx)) keep_vectors(m, b->pictures + first, count, vectors);
    oci_free(vectors);
}

/* Embeds the batch and empties it. One that fails is done again picture by picture. */
static void embed_batch(maker *m, batch *b)
{
    if (b->count && !oci_failed(m->cx)) embed_some(m, b, 0, b->count);
    if (oci_failed(m->cx) && is_about_picture(m->cx->status)) {
        oc_context_clear(m->cx);
        for (size_t k = 0; k < b->count && !oci_failed(m->cx); k++) {
            if (m->pictures[b->pictures[k]].source != NOWHERE) continue;
            embed_some(m, b, k, 1);
            if (oci_failed(m->cx) && is_about_picture(m->cx->status))
                refuse(m, b->pictures[k]);
        }
    }
    for (size_t k = 0; k < b->count; k++) oc_image_free(b->images[k]);
    b->count = 0;
    b->pixels = 0;
}

static void embed_new(maker *m)
{
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    int64_t most = oci_min(m->options->batch ? m->options->batch : BATCH, BATCH_MOST);
    batch *b = oci_calloc(m->cx, 1, sizeof *b);
    for (size_t i = 0; b && i < m->files.count && !oci_cancelled(m->cx); i++) {
        if (oci_failed(m->cx)) break;
        if (m->pictures[i].source != NOWHERE) continue;
        oc_image *image = oc_image_open(m->cx, m->files.files[i].path, &turned);
        if (!image) {
            /* Here a kind that is not supported is the picture's own. */
            if (is_about_picture(m->cx->status) || m->cx->status == OC_E_UNSUPPORTED)
                refuse(m, i);
            continue;
        }
        b->images[b->count] = image;
        b->pictures[b->count++] = i;
        b->pixels += oc_image_width(image) * oc_image_height(image);
        if ((int64_t)b->count >= most || b->pixels >= batch_pixels) embed_batch(m, b);
    }
    if (b) embed_batch(m, b);
    oci_free(b);
}

/* ---- the index --------------------------------------------------------------------- */

/* oci_index_writer's. */
static void give_record(oc_context *cx, void *user, size_t index, void *record)
{
    const maker *m = user;
    const picture *p = &m->pictures[index];
    size_t width = m->width, bytes = oci_index_record_bytes(m->kind, width);
    if (p->source == IN_JOURNAL) {
        oci_journal_read(cx, m->journal, p->at, record, bytes);
        return;
    }
    const oc_index *x = m->old;
    const char *row = (const char *)x->vectors + p->at * x->layout.stride;
    if (m->kind == OCI_INDEX_F32) {
        memcpy(record, row, bytes);
        return;
    }
    char *to = record;
    memcpy(to, &x->scales[p->at], sizeof(float));
    memcpy(to + sizeof(float), row, width);
    memcpy(to + sizeof(float) + width, x->remainders + p->at * x->layout.stride, width);
}

/* Pictures without a vector leave, the others move up. */
static void drop_refused(maker *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->files.count; i++) {
        oci_listed *file = &m->files.files[i];
        if (m->pictures[i].source == NOWHERE) {
            oci_free(file->path);
            continue;
        }
        if (m->pictures[i].source == IN_JOURNAL && m->pictures[i].known)
            m->report.changed++;
        else if (m->pictures[i].source == IN_JOURNAL) m->report.added++;
        m->pictures[kept] = m->pictures[i];
        m->files.files[kept++] = *file;
    }
    m->files.count = kept;
}

static void write_index(maker *m)
{
    drop_refused(m);
    if (m->files.count == 0) {
        oci_fail(m->cx, OC_E_FILE, "%s: none of the pictures could be read", m->path);
        return;
    }
    /* Nothing is new or gone: the file stays as it is, with its time. */
    bool same = m->old && m->report.kept == (int64_t)m->files.count &&
                m->files.count == m->old->header.count;
    if (same) return;
    oci_index_writer w = {
        .header = { .kind = (uint32_t)m->kind, .width = (uint32_t)m->width,
                    .count = m->files.count, .fingerprint = m->how->fingerprint },
        .model_name = m->how->model_name, .files = m->files.files,
        .record = give_record, .user = m,
    };
    oci_index_write(m->cx, &w, m->path);
}

static void make(maker *m, const char *journal)
{
    m->journal = oci_journal_open(m->cx, journal);
    look_into_index(m);
    look_into_journal(m, journal);
    m->done = m->report.kept + m->report.resumed;
    if (!oci_failed(m->cx)) embed_new(m);
    if (!oci_failed(m->cx)) write_index(m);
    oci_journal_close(m->cx, m->journal, true);
    oc_index_close(m->old);
}

oc_status oci_index_make(oc_context *cx, const oci_index_maker *how, const char *path,
                         const oc_index_options *options, oc_index_report *report)
{
    maker m = { .cx = cx, .how = how, .options = options, .path = path,
                .kind = options->int8 ? OCI_INDEX_I8 : OCI_INDEX_F32 };
    m.head = (journal_head){ "OCindex", JOURNAL_VERSION, (uint32_t)m.kind,
                             how->fingerprint };
    char journal[OCI_MAX_PATH];
    int n = snprintf(journal, sizeof journal, "%s.part", path);
    if (oci_failed(cx)) return cx->status;
    if (n < 0 || (size_t)n >= sizeof journal)
        return oci_fail(cx, OC_E_ARGUMENT, "index: the path is too long");
    list_pictures(&m);
    if (!oci_failed(cx)) make(&m, journal);
    if (report) *report = m.report;
    oci_listing_free(&m.files);
    oci_free(m.pictures);
    return cx->status;
}
