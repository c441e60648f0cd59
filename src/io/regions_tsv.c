#include "io/regions_tsv.h"

#include <inttypes.h>
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "io/file.h"
#include "io/quote.h"

enum {
    PIECE = 1 << 16,
    COLUMNS = 6, ID = 0, WIDTH, HEIGHT, COUNT, BOXES, FEATURES,
    MAX_BOXES = 1 << 20, BOX_NUMBERS = 4
};

static const char *const column_names[COLUMNS] = {
    "image_id", "image_w", "image_h", "num_boxes", "boxes", "features"
};

/* ---- the line ---------------------------------------------------------------------- */

void oci_tsv_begin(oc_context *cx, oci_tsv_search *search, const char *path,
                   const char *id)
{
    *search = (oci_tsv_search){ .path = path, .id = id, .number = 1 };
    oci_bytes_init(&search->line, (size_t)cx->limits.region_bytes);
}

/* Whether the line's beginning, or all of it, goes with the id and a tab after
 * it. Asked while the line grows, so that other lines, a megabyte each, are
 * let go after a few bytes. */
static bool goes_with_id(const oci_tsv_search *s, bool whole)
{
    if (!s->id) return true;
    const size_t n = strlen(s->id), have = s->line.size;
    if (have <= n) return !whole && memcmp(s->line.data, s->id, have) == 0;
    return memcmp(s->line.data, s->id, n) == 0 && s->line.data[n] == '\t';
}

static void keep(oc_context *cx, oci_tsv_search *s, const char *data, size_t size)
{
    if (s->line.size + size > s->line.max) {
        oci_fail(cx, OC_E_LIMIT,
                 "%s: line %" PRId64 ": expected at most %zu bytes, found more", s->path,
                 s->number, s->line.max);
        return;
    }
    oci_bytes_append(cx, &s->line, data, size);
    s->skipping = !oci_failed(cx) && !goes_with_id(s, false);
}

/* The end of a line, or of the file; empty lines are none. */
static void end_line(oc_context *cx, oci_tsv_search *s)
{
    if (oci_failed(cx)) return;
    while (s->line.size > 0 && s->line.data[s->line.size - 1] == '\r') s->line.size--;
    s->found = !s->skipping && s->line.size > 0 && goes_with_id(s, true);
    if (s->found) return;
    s->line.size = 0;
    s->skipping = false;
    s->number++;
}

static bool is_empty(const char *text, size_t size)
{
    while (size > 0 && text[size - 1] == '\r') size--;
    return size == 0;
}

bool oci_tsv_feed(oc_context *cx, oci_tsv_search *s, const char *data, size_t size)
{
    const char *const end = data + size;
    while (data < end && !oci_failed(cx) && !(s->found && s->id)) {
        const char *line_end = memchr(data, '\n', (size_t)(end - data));
        const size_t n = (size_t)((line_end ? line_end : end) - data);
        /* The one line of a file is found: what follows may be empty lines alone. */
        if (s->found && !is_empty(data, n))
            oci_fail(cx, OC_E_ARGUMENT,
                     "%s: expected the image_id of one of its lines, since there are "
                     "several, found none",
                     s->path);
        else if (!s->found && !s->skipping && n > 0)
            keep(cx, s, data, n);
        if (line_end && !s->found) end_line(cx, s);
        data += n + (line_end != NULL);
    }
    return !oci_failed(cx);
}

/* ---- base64 (RFC 4648, section 4) -------------------------------------------------- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes that `size` characters hold, padding looked at; -1: no whole groups of four. */
static int64_t base64_bytes(const char *text, size_t size)
{
    if (size % 4 != 0 || size == 0) return size == 0 ? 0 : -1;
    return (int64_t)(size / 4 * 3) - (text[size - 1] == '=') -
           (text[size - 1] == '=' && text[size - 2] == '=');
}

/* Fills `to`, which has room for base64_bytes. False at a character that is none. */
static bool base64_decode(const char *text, size_t bytes, unsigned char *to)
{
    for (size_t done = 0; done < bytes; text += 4) {
        uint32_t group = 0;
        const size_t n = bytes - done < 3 ? bytes - done : 3;
        for (size_t k = 0; k < 4; k++) {
            const int value = k <= n ? base64_value(text[k]) : 0;
            if (value < 0) return false;
            group = group << 6 | (uint32_t)value;
        }
        for (size_t k = 0; k < n; k++)
            to[done++] = (unsigned char)(group >> (16 - 8 * k));
    }
    return true;
}

/* ---- its columns ------------------------------------------------------------------- */

typedef struct record {
    const oci_tsv_search *search;
    const char *text[COLUMNS];
    size_t size[COLUMNS];
} record;

static oc_status bad_column(oc_context *cx, const record *r, int column, const char *what)
{
    return oci_fail(cx, OC_E_MALFORMED, "%s: line %" PRId64 ": %s: %s", r->search->path,
                    r->search->number, column_names[column], what);
}

static bool cut_columns(oc_context *cx, record *r)
{
    const char *at = r->search->line.data, *const end = at + r->search->line.size;
    int count = 0;
    for (bool more = true; more; count++) {
        const char *tab = memchr(at, '\t', (size_t)(end - at));
        if (count < COLUMNS) {
            r->text[count] = at;
            r->size[count] = (size_t)((tab ? tab : end) - at);
        }
        more = tab != NULL;
        if (tab) at = tab + 1;
    }
    if (count == COLUMNS) return true;
    oci_fail(cx, OC_E_MALFORMED,
             "%s: line %" PRId64 ": expected %d columns parted by tabs (image_id, "
                                 "image_w, image_h, num_boxes, boxes, features), found "
                                 "%d",
             r->search->path, r->search->number, COLUMNS, count);
    return false;
}

/* A number from `low` to `high`, digits alone; 0 with the error set. */
static int64_t read_number(oc_context *cx, const record *r, int column, int64_t low,
                           int64_t high)
{
    int64_t n = 0;
    bool ok = r->size[column] > 0;
    for (size_t i = 0; i < r->size[column] && ok; i++) {
        const char c = r->text[column][i];
        ok = c >= '0' && c <= '9' && n <= high;
        if (ok) n = n * 10 + (c - '0');
    }
    if (ok && n >= low && n <= high) return n;
    oci_fail(cx, OC_E_MALFORMED,
             "%s: line %" PRId64 ": %s: expected a number from %" PRId64 " to %" PRId64,
             r->search->path, r->search->number, column_names[column], low, high);
    return 0;
}

/* A column of base64 as f32 rows: all that are there, in equal parts for every box.
 * `shape` is filled but for its last number when that is 0. */
static void add_floats(oc_context *cx, const record *r, int column, oc_tensors *set,
                       const char *name, int rank, int64_t *shape)
{
    oc_tensor_view view;
    const int64_t bytes = base64_bytes(r->text[column], r->size[column]);
    const int64_t boxes = shape[rank - 2], row = boxes * (int64_t)sizeof(float);
    int64_t *width = &shape[rank - 1];
    if (bytes < 0) {
        bad_column(cx, r, column, "expected base64, whole groups of four characters");
        return;
    }
    if (*width == 0) *width = bytes / row;
    if (*width == 0 || bytes != *width * row) {
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: line %" PRId64 ": %s: expected as many f32 for each of %" PRId64
                 " boxes%s, found %" PRId64 " bytes",
                 r->search->path, r->search->number, column_names[column], boxes,
                 column == BOXES ? ", four" : "", bytes);
        return;
    }
    oc_tensors_add(cx, set, name, OC_F32, rank, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(set, name, &view)) return;
    /* The set is ours, and its tensors in the machine's order, which is the file's. */
    if (!base64_decode(r->text[column], view.bytes,
                       (unsigned char *)(uintptr_t)view.data))
        bad_column(cx, r, column, "expected base64, found other characters");
}

static void read_record(oc_context *cx, record *r, oc_tensors *set)
{
    if (!cut_columns(cx, r)) return;
    const int64_t side = (int64_t)INT32_MAX;
    const int64_t size[] = { read_number(cx, r, WIDTH, 1, side),
                             read_number(cx, r, HEIGHT, 1, side) };
    const int64_t count = read_number(cx, r, COUNT, 1, MAX_BOXES);
    int64_t embeds[] = { 1, count, 0 }, boxes[] = { count, BOX_NUMBERS };
    if (oci_failed(cx)) return;
    add_floats(cx, r, FEATURES, set, "visual_embeds", 3, embeds);
    if (!oci_failed(cx)) add_floats(cx, r, BOXES, set, "boxes", 2, boxes);
    oc_tensors_add(cx, set, "image_size", OC_I64, 1, (const int64_t[]){ 2 }, size);
}

oc_tensors *oci_tsv_end(oc_context *cx, oci_tsv_search *s)
{
    oci_quoted quoted;
    record r = { .search = s };
    oc_tensors *set = NULL;
    if (!oci_failed(cx) && !s->found) end_line(cx, s);   /* a last line without a break */
    if (!oci_failed(cx) && !s->found)
        oci_fail(cx, OC_E_ARGUMENT, "%s: expected a line of image_id %s, found none",
                 s->path, s->id ? oci_quote(&quoted, s->id) : "any");
    if (!oci_failed(cx)) set = oc_tensors_create(cx);
    if (set) read_record(cx, &r, set);
    oci_bytes_deinit(&s->line);
    if (!oci_failed(cx)) return set;
    oc_tensors_free(set);
    return NULL;
}

oc_tensors *oci_tsv_open(oc_context *cx, const char *path, const char *id)
{
    oci_tsv_search search;
    oci_tsv_begin(cx, &search, path, id);
    oci_reader *reader = oci_reader_open(cx, path);
    char *piece = oci_alloc(cx, PIECE);
    for (size_t got = PIECE; piece && got == PIECE && !(search.found && id);)
        if (!oci_reader_read(cx, reader, piece, PIECE, &got) ||
            !oci_tsv_feed(cx, &search, piece, got) || oci_cancelled(cx))
            break;
    oci_free(piece);
    oci_reader_close(reader);
    return oci_tsv_end(cx, &search);
}
