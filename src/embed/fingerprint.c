/* What tells one model from another without reading all of it: a 13 GB model takes
 * milliseconds. A training step changes nearly every number of what it trains, so a few
 * rows of each parameter are enough to notice it. */
#include <string.h>

#include "backend/backend.h"
#include "base/hash.h"
#include "base/size.h"
#include "checkpoint/folder.h"
#include "embed/index.h"
#include "io/file.h"
#include "nn/param.h"

enum { ROWS = 4, MOST_OF_A_ROW = 4096 };

/* Row r of a parameter as f32, the first `count` numbers of it. */
static void read_row(oc_context *cx, const oci_tensor *t, int64_t r, int64_t width,
                     int64_t count, float *row)
{
    if (t->data)
        oci_dtype_to_f32(t->dtype, (const char *)t->data +
                                       (size_t)(r * width) * oci_dtype_size(t->dtype),
                         row, (size_t)count);
    else
        oci_backend_get(cx)->unpack_row(t->dtype, oci_tensor_rows(t), width,
                                        t->panels->data, r, row);
}

/* Names and shapes, and of each parameter the first, the last and two rows between. */
static void add_param(oci_walker *walker, const oci_param *p)
{
    oci_hash *hash = walker->user;
    oci_hash_add(hash, p->name, strlen(p->name) + 1);
    const oci_tensor *t = *p->slot;
    if (!t || oci_failed(walker->cx)) return;
    int64_t rows = oci_tensor_rows(t), width = oci_tensor_width(t);
    oci_hash_add(hash, t->shape, (size_t)t->rank * sizeof *t->shape);
    if (rows < 1 || width < 1) return;
    float *row = oci_alloc(walker->cx, (size_t)width * sizeof *row);
    int64_t taken = oci_min(rows, ROWS), count = oci_min(width, MOST_OF_A_ROW);
    for (int64_t i = 0; row && i < taken; i++) {
        int64_t r = taken > 1 ? i * (rows - 1) / (taken - 1) : 0;
        read_row(walker->cx, t, r, width, count, row);
        oci_hash_add(hash, row, (size_t)count * sizeof *row);
    }
    oci_free(row);
}

/* A folder's file, if it has that one. */
static void add_file(oc_context *cx, oci_hash *hash, const char *folder, const char *name)
{
    char *path = oci_path_join(cx, folder, name);
    if (path && oci_file_exists(cx, path)) {
        oci_buffer *bytes = oci_file_read(cx, path, cx->limits.json_bytes);
        if (bytes) oci_hash_add(hash, bytes->data, bytes->size);
        oci_buffer_unref(&bytes);
    }
    oci_free(path);
}

uint64_t oci_model_fingerprint(oc_context *cx, const oc_model *model)
{
    oci_hash hash;
    oci_hash_init(&hash);
    char *config = oci_json_text_of(cx, model->core.config.root);
    if (config) oci_hash_add(&hash, config, strlen(config) + 1);
    oci_free(config);
    if (model->folder) add_file(cx, &hash, model->folder, "preprocessor_config.json");
    if (!oci_failed(cx)) oci_model_walk(cx, &model->core, add_param, &hash);
    return oci_hash_value(&hash);
}
