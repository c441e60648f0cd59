#include "models/memory.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "nn/param.h"

enum {
    QUESTION = 1024     /* positions of a picture (576 for CLIP's at 336²), a question
                           about it and its answer */
};

/* Below this nobody is asked: reading what the machine has takes
 * longer than a small model. */
static const uint64_t least_asked = UINT64_C(1) << 28;

const oc_dtype oci_weights_dtypes[] = { OC_F32, OC_BF16, OC_F16, OC_INT8, OC_INT8_CHANNEL,
                                        OC_INT4, (oc_dtype)0 };

const char *oci_weights_dtype_name(oc_dtype dtype)
{
    switch ((int)dtype) {
    case OC_F32: return "f32";
    case OC_BF16: return "bf16";
    case OC_F16: return "f16";
    case OC_INT8: return "int8";
    case OC_INT8_CHANNEL: return "int8-channel";
    case OC_INT4: return "int4";
    default: return "as they are";
    }
}

/* ---- weights ----------------------------------------------------------------------- */

typedef struct sum {
    const oci_model *model;
    const oci_weights *weights;
    oc_dtype dtype;
    bool trainable;
    uint64_t bytes;
} sum;

/* Of a tied pair either name may be the one in the file; the first counts. */
static void visit_sum(oci_walker *walker, const oci_param *p)
{
    sum *s = walker->user;
    const oci_weight_ref *ref = oci_model_weight(s->model->arch, s->weights, p->name);
    if (p->tied || (!ref && p->optional)) return;
    const oc_dtype stored = ref ? ref->entry->dtype : OC_F32;
    s->bytes += oci_param_bytes(walker->cx, p, oci_param_dtype(p, stored, s->dtype),
                                s->trainable);
}

uint64_t oci_memory_weights(oc_context *cx, const oci_model *model,
                            const oci_weights *weights, oc_dtype dtype, bool trainable)
{
    sum s = { model, weights, dtype, trainable, 0 };
    oci_model_walk(cx, model, visit_sum, &s);
    return s.bytes;
}

/* ---- keys and values --------------------------------------------------------------- */

/* What generates: a decoder, or a composite of which one is a part. */
static bool shape_of(const oci_model *model, oci_decoder_shape *shape)
{
    const oci_arch *arch = model->arch;
    const void *root = model->root;
    const bool composite = arch->tokens_part != NULL;
    if (composite) arch = arch->part(model->root, arch->tokens_part, &root);
    if (!arch || !arch->decode || !arch->decoder_shape ||
        (!composite && arch->encode_text))
        return false;
    *shape = arch->decoder_shape(root);
    return true;
}

uint64_t oci_memory_position(const oci_model *model)
{
    oci_decoder_shape s;
    if (!shape_of(model, &s)) return 0;
    return (uint64_t)(s.layers * s.heads * s.head_dim) * 2 * sizeof(float);
}

static uint64_t positions_of(const oci_model *model, int64_t asked)
{
    oci_decoder_shape s;
    if (asked > 0) return (uint64_t)asked;
    if (!shape_of(model, &s)) return 0;
    return (uint64_t)(s.max_positions ? oci_min(s.max_positions, QUESTION) : QUESTION);
}

/* ---- whether there is enough ------------------------------------------------------- */

/* What this context may still take; false: no bound is known. */
static bool room_left(oc_context *cx, uint64_t needed, uint64_t *left)
{
    const uint64_t budget = cx->heap->budget, live = atomic_load(&cx->heap->live_bytes);
    uint64_t machine;
    bool known = budget != 0;
    if (known) *left = budget > live ? budget - live : 0;
    if (needed >= least_asked && oci_memory_available(&machine) &&
        (!known || machine < *left)) {
        *left = machine;
        known = true;
    }
    return known;
}

/* "13.5 GB", and of what is small "13.5 MB". */
static const char *size_text(uint64_t bytes, char text[32])
{
    const bool large = bytes >= 1000000000;
    snprintf(text, 32, "%.1f %s", (double)bytes / (large ? 1e9 : 1e6),
             large ? "GB" : "MB");
    return text;
}

/* "; int4 would take 4.3 GB (--weights-dtype int4)": the widest that fits,
 * if one does. */
static void advice(oc_context *cx, const oci_model *model, const oci_weights *weights,
                   uint64_t cache, uint64_t left, char text[128])
{
    char size[32];
    for (const oc_dtype *t = oci_weights_dtypes; *t; t++) {
        const uint64_t bytes = oci_memory_weights(cx, model, weights, *t, false) + cache;
        const char *name = oci_weights_dtype_name(*t);
        if (bytes > left) continue;
        snprintf(text, 128, "; %s would take %s (--weights-dtype %s)", name,
                 size_text(bytes, size), name);
        return;
    }
    snprintf(text, 128, "; nor would it fit in any other type");
}

bool oci_memory_check(oc_context *cx, const oci_model *model, const oci_weights *weights,
                      const oc_model_options *o)
{
    char need[32], have[32], keys[32], cached[96] = "", more[128];
    uint64_t left = 0;
    if (oci_failed(cx)) return false;
    const uint64_t positions = positions_of(model, o->context);
    const uint64_t cache = oci_memory_position(model) * positions;
    const uint64_t needed = cache + oci_memory_weights(cx, model, weights,
                                                       o->weights_dtype, o->trainable);
    if (oci_failed(cx) || !room_left(cx, needed, &left) || needed <= left)
        return !oci_failed(cx);
    advice(cx, model, weights, cache, left, more);
    if (cache)
        snprintf(cached, sizeof cached,
                 ", %s of it for keys and values of %llu positions",
                 size_text(cache, keys), (unsigned long long)positions);
    oci_fail(cx, OC_E_MEMORY, "%s: needs %s with its weights %s%s%s; %s are free%s",
             weights->folder, size_text(needed, need),
             o->trainable ? "in f32 to train them" : o->weights_dtype ? "in " : "",
             o->trainable ? "" : oci_weights_dtype_name(o->weights_dtype), cached,
             size_text(left, have), more);
    return false;
}
