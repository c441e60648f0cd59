/* From a file's tensor to a parameter: a few rows at a time, so that a model takes no
 * more memory while it is opened than afterwards, but for a piece; or, of weights in
 * blocks, by the mapped file itself. */
#include <stdatomic.h>

#include "base/size.h"
#include "models/model.h"
#include "nn/fill.h"
#include "nn/param.h"

/* A piece stays in a core's second-level cache while it is checked and packed. */
enum { PIECE_BYTES = 1 << 20, CREW_BYTES = 8 << 20 };

/* Rows of a piece: as many as fit it, but whole panels. */
static int64_t piece_rows(const oci_param *p, size_t row_bytes)
{
    const int64_t least = OCI_PARAM_ROWS;
    if (row_bytes == 0) return p->shape[0];
    return oci_max(PIECE_BYTES / (int64_t)row_bytes / least * least, least);
}

/* ---- numbers ----------------------------------------------------------------------- */

typedef struct numbers {
    const oci_weight_ref *ref;
    oci_param_filling filling;
    int64_t rows, piece;            /* of the tensor; of a piece */
    size_t row_bytes;
    atomic_bool nan;
} numbers;

static void load_piece(oc_context *cx, void *user, int64_t index, oci_weight_room *room)
{
    numbers *w = user;
    const oc_dtype dtype = w->ref->entry->dtype;
    const int64_t first = index * w->piece, n = oci_min(w->piece, w->rows - first);
    const size_t size = (size_t)n * w->row_bytes;
    const void *data = oci_weight_part(cx, w->ref, (size_t)first * w->row_bytes, size,
                                       room);
    if (!data) return;
    if (oci_bits_nan(dtype, data, size / oci_dtype_size(dtype)))
        atomic_store(&w->nan, true);
    oci_param_put(cx, &w->filling, first, n, data);
}

/* One thread reads about as fast as it packs, and neither as fast as memory
 * is: large tensors are for all threads. Small ones come here from a thread
 * that is one of many already. */
static bool is_for_all(const numbers *w)
{
    const oci_weight_ref *ref = w->ref;
    return ref->entry->bytes > CREW_BYTES && ref->file->format->shared_reads &&
           ref->file->format->read_part && !ref->order && w->piece < w->rows;
}

static bool load_numbers(oc_context *cx, const oci_param *p, const oci_weight_ref *ref,
                         const oci_load_how *how, oci_weight_room *room)
{
    const oci_entry *e = ref->entry;
    const oc_dtype as = oci_param_dtype(p, e->dtype, how->dtype);
    numbers w = { .ref = ref, .rows = p->rank ? p->shape[0] : 1 };
    w.row_bytes = w.rows ? e->bytes / (size_t)w.rows : 0;
    atomic_init(&w.nan, false);
    oci_param_begin(cx, &w.filling, p, e->dtype, as, how->trainable);
    w.piece = w.filling.whole || !p->rank ? w.rows : piece_rows(p, w.row_bytes);
    const int64_t count = w.piece ? oci_ceil_div(w.rows, w.piece) : 0;
    if (is_for_all(&w)) oci_params_fill(cx, count, 0, load_piece, &w);
    else
        for (int64_t i = 0; i < count && !oci_failed(cx); i++)
            load_piece(cx, &w, i, room);
    oci_param_end(cx, &w.filling);
    return atomic_load(&w.nan);
}

/* ---- weights in blocks ------------------------------------------------------------- */

bool oci_weight_finite(oc_context *cx, const oci_weight_ref *ref, const void *bytes,
                       bool all)
{
    const oci_entry *e = ref->entry;
    const int64_t K = e->shape[!e->turned],
                  groups = oci_blocks_groups(e->shape[e->turned]);
    const int64_t size = oci_blocks_group_bytes(e->dtype, K);
    const unsigned char *last = (const unsigned char *)bytes + size * (groups - 1);
    const bool finite = all ? oci_blocks_finite(e->dtype, K, bytes, groups)
                            : oci_blocks_finite(e->dtype, K, bytes, 1) &&
                              oci_blocks_finite(e->dtype, K, last, 1);
    if (!finite)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: tensor %s: expected finite scales, found others", ref->file->path,
                 ref->name);
    return finite;
}

/* Where they lie in the file, or, if that is not to be, read. Of a mapped one the first
 * and last group are looked at: all of them would be reading the file after all. */
static oci_buffer *take_blocks(oc_context *cx, const oci_weight_ref *ref, bool copy)
{
    const oci_entry *e = ref->entry;
    oci_buffer *memory = copy ? oci_buffer_create(cx, e->bytes) : oci_weight_map(cx, ref);
    if (!memory) return NULL;
    if (copy) ref->file->format->read(cx, ref->file, ref->stored, memory->data);
    if (oci_failed(cx) || !oci_weight_finite(cx, ref, memory->data, copy))
        oci_buffer_unref(&memory);
    return memory;
}

/* In another type: widened a few outputs at a time, and from there on as any file's. What
 * is [K, N] in its file must be turned back whole. */
static void recast_blocks(oc_context *cx, const oci_param *p, const oci_weight_ref *ref,
                          const oci_load_how *how, oci_weight_room *room)
{
    const oci_entry *e = ref->entry;
    const int64_t N = e->shape[e->turned], K = e->shape[!e->turned];
    oci_param_filling f;
    const void *panels = oci_weight_bytes(cx, ref, room);
    if (!panels || !oci_weight_finite(cx, ref, panels, true)) return;
    const int64_t piece = e->turned
                              ? N
                              : oci_min(piece_rows(p, (size_t)K * sizeof(float)), N);
    float *wide = e->turned ? oci_weight_wide(cx, p, ref, panels)
                            : oci_alloc(cx, (size_t)(piece * K) * sizeof *wide);
    oci_param_begin(cx, &f, p, OC_F32, how->dtype, how->trainable);
    if (f.tensor && oci_dtype_is_blocks(how->dtype)) f.tensor->stored = e->original;
    for (int64_t i = 0; i < N && !oci_failed(cx); i += piece) {
        const int64_t n = oci_min(piece, N - i);
        if (!e->turned) oci_param_widen(cx, p, e->dtype, panels, i, n, wide);
        oci_param_put(cx, &f, i, e->turned ? p->shape[0] : n, wide);
    }
    oci_param_end(cx, &f);
    oci_free(wide);
}

float *oci_weight_wide(oc_context *cx, const oci_param *p, const oci_weight_ref *ref,
                       const void *panels)
{
    const oci_entry *e = ref->entry;
    const int64_t N = e->shape[e->turned], K = e->shape[!e->turned];
    float *memory = oci_alloc(cx, (size_t)(N * K) * sizeof *memory);
    if (!memory) return NULL;
    oci_param_widen(cx, p, e->dtype, panels, 0, N, memory);
    if (!e->turned) return memory;
    float *file = oci_alloc(cx, (size_t)(N * K) * sizeof *file);
    if (file) oci_param_to_file(p, memory, file);
    oci_free(memory);
    return file;
}

static void load_blocks(oc_context *cx, const oci_param *p, const oci_weight_ref *ref,
                        const oci_load_how *how, oci_weight_room *room)
{
    const oci_entry *e = ref->entry;
    const oc_dtype as = how->dtype ? how->dtype : e->dtype;
    if (how->trainable && oci_dtype_is_blocks(as)) {
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: tensor %s: weights of %s cannot be trained; opened or converted as "
                 "F32 they can",
                 ref->file->path, ref->name, oci_dtype_name(e->dtype));
    } else if (as == e->dtype) {
        oci_buffer *memory = take_blocks(cx, ref, how->copy);
        if (memory) oci_param_adopt(cx, p, e->dtype, e->original, memory);
    } else {
        recast_blocks(cx, p, ref, how, room);
    }
}

/* ---- either ------------------------------------------------------------------------ */

/* Rows that are looked up stay in the mapping, too,
 * where a file has been mapped anyway. */
static bool stays_mapped(const oci_param *p, const oci_weight_ref *ref,
                         const oci_load_how *how)
{
    const oc_dtype dtype = ref->entry->dtype;
    return p->kind == OCI_PARAM_TABLE && ref->file->blocks && !how->copy &&
           !how->trainable && !ref->order && dtype != OC_F64 &&
           oci_param_dtype(p, dtype, how->dtype) == dtype &&
           ref->stored->offset % oci_dtype_size(dtype) == 0;
}

bool oci_weight_load(oc_context *cx, const oci_param *p, const oci_weight_ref *ref,
                     const oci_load_how *how, oci_weight_room *room)
{
    if (oci_failed(cx)) return false;
    if (oci_dtype_is_blocks(ref->entry->dtype)) {
        load_blocks(cx, p, ref, how, room);
    } else if (stays_mapped(p, ref, how)) {
        oci_buffer *memory = oci_weight_map(cx, ref);
        if (memory) oci_param_adopt(cx, p, ref->entry->dtype, ref->entry->dtype, memory);
    } else {
        return load_numbers(cx, p, ref, how, room);
    }
    return false;
}
