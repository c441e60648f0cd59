/* Maps of tokens cut into windows and put together again: Liu et al. 2021, "Swin
 * Transformer", arXiv:2103.14030, §3; Transformers: window_partition, torch.roll,
 * window_reverse, SwinPatchMerging, and the relative position biases of Swin and BEiT. */
#include "tensor/ops.h"

#include <string.h>

#include "base/pool.h"
#include "base/size.h"

/* ---- rows of windows and tokens of the map ---- */

/* A map [B, H * W, C] whose tokens are also rows of C in another order. */
typedef struct grid {
    int64_t B, H, W, C;
    int64_t side, shift;        /* of windows; 0: cells of 2 x 2 that are merged */
    int64_t padded_h, padded_w; /* multiples of the side */
} grid;

static grid grid_of(const oci_call *call, int64_t B, int64_t C)
{
    const int64_t *s = call->args.size;
    grid g = { .B = B, .H = s[0], .W = s[1], .C = C, .side = s[2], .shift = s[3] };
    int64_t step = g.side ? g.side : 2;
    g.padded_h = oci_ceil_div(g.H, step) * step;
    g.padded_w = oci_ceil_div(g.W, step) * step;
    return g;
}

static int64_t grid_rows(const grid *g) { return g->B * g->padded_h * g->padded_w; }

/* The token that row r is; -1 where it is padding. */
static int64_t token_of(const grid *g, int64_t r)
{
    int64_t step = g->side ? g->side : 2, across = g->padded_w / step;
    int64_t within = r % (step * step), window = r / (step * step);
    int64_t x = window % across, y = window / across % (g->padded_h / step);
    int64_t b = window / across / (g->padded_h / step);
    if (g->side) {              /* row-major; torch.roll by -shift */
        y = (y * step + within / step + g->shift) % g->padded_h;
        x = (x * step + within % step + g->shift) % g->padded_w;
    } else {                    /* (0, 0), (1, 0), (0, 1), (1, 1) */
        y = y * 2 + within % 2;
        x = x * 2 + within / 2;
    }
    return y < g->H && x < g->W ? (b * g->H + y) * g->W + x : -1;
}

typedef struct move_job {
    grid g;
    bool to_tokens, accumulate;
    const float *from, *residual;   /* residual: like the tokens, or NULL */
    float *to;
} move_job;

/* Each row is one token or none, so no two workers write the same place. */
static void move_task(void *user, int64_t first, int64_t last, int worker)
{
    const move_job *j = user;
    int64_t C = j->g.C;
    (void)worker;
    for (int64_t r = first; r < last; r++) {
        int64_t token = token_of(&j->g, r);
        float *to = j->to + (j->to_tokens ? token : r) * C;
        const float *from = j->from + (j->to_tokens ? r : token) * C;
        if (token < 0) {
            if (!j->to_tokens && !j->accumulate) memset(to, 0, (size_t)C * sizeof *to);
        } else if (j->accumulate) {
            for (int64_t c = 0; c < C; c++) to[c] += from[c];
        } else if (j->residual) {
            const float *residual = j->residual + token * C;
            for (int64_t c = 0; c < C; c++) to[c] = residual[c] + from[c];
        } else {
            memcpy(to, from, (size_t)C * sizeof *to);
        }
    }
}

static void move(oc_context *cx, move_job job)
{
    oci_parallel(cx, grid_rows(&job.g), 1 + (1 << 14) / job.g.C, move_task, &job);
}

static bool map_fits(const oci_call *call, const oci_tensor *x)
{
    const int64_t *s = call->args.size;
    return x->rank == 3 && s[0] >= 1 && s[1] >= 1 && x->shape[1] == s[0] * s[1] &&
           x->shape[2] >= 1;
}

static bool windows_fit(const oci_call *call)
{
    const int64_t *s = call->args.size;
    return s[2] >= 1 && s[2] <= oci_max(s[0], s[1]) && s[3] >= 0 && s[3] < s[2];
}

/* ---- windows: out of the map ---- */

static bool windows_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    if (!map_fits(call, x) || !windows_fit(call))
        return oci_op_fail(cx, call, "x [B, %lld * %lld, C] and a window in it",
                           (long long)call->args.size[0], (long long)call->args.size[1]);
    grid g = grid_of(call, x->shape[0], x->shape[2]);
    out->rank = 3;
    out->shape[0] = grid_rows(&g) / (g.side * g.side);
    out->shape[1] = g.side * g.side;
    out->shape[2] = g.C;
    return true;
}

static void rows_forward(oc_context *cx, oci_call *call)
{
    const oci_tensor *x = call->in[0];
    move(cx, (move_job){ .g = grid_of(call, x->shape[0], x->shape[2]), .from = oci_f32(x),
                         .to = oci_f32(call->out) });
}

static void rows_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *x = call->in[0];
    float *dx;
    if (oci_wants_grad(cx, call, 0, &dx))
        move(cx, (move_job){ .g = grid_of(call, x->shape[0], x->shape[2]),
                             .to_tokens = true, .accumulate = true,
                             .from = call->out->grad, .to = dx });
}

const oci_op oci_op_row_windows = { "windows", 1, 1, windows_shape, rows_forward,
                                    rows_gradient };

oci_tensor *oci_op_windows(oc_context *cx, oci_tensor *x, int64_t H, int64_t W,
                           int64_t side, int64_t shift)
{
    return oci_apply(cx, &oci_op_row_windows, OCI_IN(x),
                     (oci_args){ .size = { H, W, side, shift } });
}

/* ---- unwindows: back into the map ---- */

static bool unwindows_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *y = call->in[0], *residual = call->in[1];
    if (!map_fits(call, residual) || !windows_fit(call))
        return oci_op_fail(cx, call, "a residual [B, %lld * %lld, C] and a window in it",
                           (long long)call->args.size[0], (long long)call->args.size[1]);
    grid g = grid_of(call, residual->shape[0], residual->shape[2]);
    if (y->rank != 3 || y->shape[0] != grid_rows(&g) / (g.side * g.side) ||
        y->shape[1] != g.side * g.side || y->shape[2] != g.C)
        return oci_op_fail(cx, call, "windows [%lld, %lld, %lld]",
                           (long long)(grid_rows(&g) / (g.side * g.side)),
                           (long long)(g.side * g.side), (long long)g.C);
    out->rank = 3;
    memcpy(out->shape, residual->shape, sizeof out->shape);
    return true;
}

static void unwindows_forward(oc_context *cx, oci_call *call)
{
    const int64_t *s = call->in[1]->shape;
    move(cx, (move_job){ .g = grid_of(call, s[0], s[2]), .to_tokens = true,
                         .from = oci_f32(call->in[0]), .residual = oci_f32(call->in[1]),
                         .to = oci_f32(call->out) });
}

static void unwindows_gradient(oc_context *cx, const oci_call *call)
{
    const int64_t *s = call->in[1]->shape;
    float *grad;
    if (oci_wants_grad(cx, call, 0, &grad))
        move(cx, (move_job){ .g = grid_of(call, s[0], s[2]), .accumulate = true,
                             .from = call->out->grad, .to = grad });
    if (oci_wants_grad(cx, call, 1, &grad))
        oci_backend_get(cx)->axpy(cx, oci_tensor_count(call->out), 1.0f, call->out->grad,
                                  grad);
}

const oci_op oci_op_row_unwindows = { "unwindows", 2, 2, unwindows_shape,
                                      unwindows_forward, unwindows_gradient };

oci_tensor *oci_op_unwindows(oc_context *cx, oci_tensor *y, oci_tensor *residual,
                             int64_t H, int64_t W, int64_t side, int64_t shift)
{
    return oci_apply(cx, &oci_op_row_unwindows, OCI_IN(y, residual),
                     (oci_args){ .size = { H, W, side, shift } });
}

/* ---- merge: four tokens to one ---- */

static bool merge_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    if (!map_fits(call, x) || call->args.size[2] || call->args.size[3])
        return oci_op_fail(cx, call, "x [B, %lld * %lld, C]",
                           (long long)call->args.size[0], (long long)call->args.size[1]);
    grid g = grid_of(call, x->shape[0], x->shape[2]);
    out->rank = 3;
    out->shape[0] = g.B;
    out->shape[1] = g.padded_h / 2 * (g.padded_w / 2);
    out->shape[2] = 4 * g.C;
    return true;
}

const oci_op oci_op_row_merge = { "merge", 1, 1, merge_shape, rows_forward,
                                  rows_gradient };

oci_tensor *oci_op_merge(oc_context *cx, oci_tensor *x, int64_t H, int64_t W)
{
    return oci_apply(cx, &oci_op_row_merge, OCI_IN(x), (oci_args){ .size = { H, W } });
}

/* ---- pad: a picture, right and below ---- */

static bool pad_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    const int64_t *s = call->args.size;
    if (x->rank != 4 || s[0] < x->shape[2] || s[1] < x->shape[3])
        return oci_op_fail(cx, call, "pixels [B, C, <= %lld, <= %lld]", (long long)s[0],
                           (long long)s[1]);
    *out = (oci_tensor){ .dtype = OC_F32, .rank = 4,
                         .shape = { x->shape[0], x->shape[1], s[0], s[1] } };
    return true;
}

static void pad_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    const int64_t *s = call->in[0]->shape, *p = call->args.size;
    float *y = oci_f32(call->out);
    memset(y, 0, (size_t)oci_tensor_count(call->out) * sizeof *y);
    for (int64_t line = 0; line < s[0] * s[1] * s[2]; line++)
        memcpy(y + (line / s[2] * p[0] + line % s[2]) * p[1],
               oci_f32(call->in[0]) + line * s[3], (size_t)s[3] * sizeof *y);
}

static void pad_gradient(oc_context *cx, const oci_call *call)
{
    const int64_t *s = call->in[0]->shape, *p = call->args.size;
    float *dx;
    if (!oci_wants_grad(cx, call, 0, &dx)) return;
    for (int64_t line = 0; line < s[0] * s[1] * s[2]; line++) {
        const float *dy = call->out->grad + (line / s[2] * p[0] + line % s[2]) * p[1];
        for (int64_t i = 0; i < s[3]; i++) dx[line * s[3] + i] += dy[i];
    }
}

const oci_op oci_op_row_pad = { "pad", 1, 1, pad_shape, pad_forward, pad_gradient };

oci_tensor *oci_op_pad(oc_context *cx, oci_tensor *pixels, int64_t H, int64_t W)
{
    return oci_apply(cx, &oci_op_row_pad, OCI_IN(pixels), (oci_args){ .size = { H, W } });
}

/* ---- relative_bias: a table of distances as a mask ---- */

/* args: size = { h, w, shift, 1 if a class token comes first }. */
static bool relative_bias_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *table = call->in[0];
    const int64_t *s = call->args.size;
    const int64_t most = 1 << 15;
    bool good = s[0] >= 1 && s[1] >= 1 && s[0] <= most && s[1] <= most && s[2] >= 0 &&
                (!s[2] || (s[2] < s[0] && s[0] == s[1] && !s[3]));
    int64_t rows = good ? (2 * s[0] - 1) * (2 * s[1] - 1) + (s[3] ? 3 : 0) : 0;
    if (!good || table->rank != 2 || table->shape[0] != rows)
        return oci_op_fail(cx, call, "a table [%lld, heads] for a window of %lld x %lld",
                           (long long)rows, (long long)s[0], (long long)s[1]);
    int64_t T = s[0] * s[1] + (s[3] ? 1 : 0);
    *out = (oci_tensor){ .dtype = OC_F32, .rank = 4,
                         .shape = { s[2] ? 4 : 1, table->shape[1], T, T } };
    return true;
}

/* The table's row for a query and a key. The class token's three rows come last: from it
 * to a patch, from a patch to it, and to itself. */
static int64_t bias_row(const int64_t *s, int64_t query, int64_t key)
{
    int64_t h = s[0], w = s[1];
    if (s[3]) {
        int64_t first = (2 * h - 1) * (2 * w - 1);
        if (!query || !key) return first + (query ? 1 : key ? 0 : 2);
        query--;
        key--;
    }
    return (query / w - key / w + h - 1) * (2 * w - 1) + query % w - key % w + w - 1;
}

/* Bit 0: in windows of the last column of a shifted map the roll brought this query and
 * key together from both ends, so they must not meet; bit 1: the same in the last row. */
static int64_t strangers(const int64_t *s, int64_t query, int64_t key)
{
    int64_t w = s[1], edge = w - s[2];
    return ((query % w < edge) != (key % w < edge)) +
           2 * ((query / w < edge) != (key / w < edge));
}

typedef struct bias_job {
    int64_t patterns, heads, pairs;     /* pairs: T * T */
    const int64_t *places;              /* [pairs], 4 * row of the table + strangers */
    const float *table;
    float *dtable;                      /* its gradient, or NULL: forward */
    float *mask;                        /* or the gradient of it */
} bias_job;

static void bias_task(void *user, int64_t first, int64_t last, int worker)
{
    const bias_job *j = user;
    (void)worker;
    for (int64_t h = first; h < last; h++)
        for (int64_t pattern = 0; pattern < j->patterns; pattern++) {
            float *mask = j->mask + (pattern * j->heads + h) * j->pairs;
            for (int64_t i = 0; i < j->pairs; i++) {
                int64_t at = j->places[i] / 4 * j->heads + h;
                if (j->dtable) j->dtable[at] += mask[i];
                else mask[i] = j->table[at] + (j->places[i] & pattern ? -100.0f : 0.0f);
            }
        }
}

static void relative_bias_run(oc_context *cx, const oci_call *call, float *dtable,
                              float *mask)
{
    const int64_t *s = call->out->shape, *size = call->args.size;
    int64_t T = s[2];
    bias_job job = { .patterns = s[0], .heads = s[1], .pairs = T * T,
                     .table = oci_f32(call->in[0]), .dtable = dtable, .mask = mask };
    oci_arena_mark mark = oci_mark(cx);
    int64_t *places = oci_arena_alloc(cx, &cx->arena, (size_t)(T * T) * sizeof *places);
    for (int64_t i = 0; places && i < T * T; i++)
        places[i] = 4 * bias_row(size, i / T, i % T) +
                    (size[2] ? strangers(size, i / T, i % T) : 0);
    job.places = places;
    if (places) oci_parallel(cx, job.heads, 1, bias_task, &job);
    oci_arena_reset(&cx->arena, mark);
}

static void relative_bias_forward(oc_context *cx, oci_call *call)
{
    relative_bias_run(cx, call, NULL, oci_f32(call->out));
}

static void relative_bias_gradient(oc_context *cx, const oci_call *call)
{
    float *dtable;
    if (oci_wants_grad(cx, call, 0, &dtable))
        relative_bias_run(cx, call, dtable, call->out->grad);
}

const oci_op oci_op_row_relative_bias = { "relative_bias", 1, 1, relative_bias_shape,
                                          relative_bias_forward, relative_bias_gradient };

oci_tensor *oci_op_relative_bias(oc_context *cx, oci_tensor *table, int64_t h, int64_t w,
                                 int64_t shift, bool class_token)
{
    return oci_apply(cx, &oci_op_row_relative_bias, OCI_IN(table),
                     (oci_args){ .size = { h, w, shift, class_token } });
}

oci_tensor *oci_window_patterns(oc_context *cx, int64_t B, int64_t H, int64_t W,
                                int64_t side)
{
    if (oci_failed(cx)) return NULL;
    int64_t down = oci_ceil_div(H, side), across = oci_ceil_div(W, side);
    oci_tensor *rows = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B * down * across));
    for (int64_t i = 0; rows && i < B * down * across; i++)
        oci_i64(rows)[i] = (i % across == across - 1) +
                           2 * (i / across % down == down - 1);
    return rows;
}
