/* oc_model_cast: the numbers of a model in another float type, or of a part of it. */
#include "base/dtype.h"
#include "base/mask.h"
#include "checkpoint/folder.h"
#include "nn/param.h"

typedef struct cast {
    oc_dtype dtype;
    const char *mask;
    size_t selected;
} cast;

static void visit_cast(oci_walker *walker, const oci_param *p)
{
    oc_context *cx = walker->cx;
    cast *c = walker->user;
    if (oci_failed(cx) || p->tied || !*p->slot || !oci_mask_selects(c->mask, p->name))
        return;
    c->selected++;
    if ((*p->slot)->stored == c->dtype && (*p->slot)->dtype == c->dtype) return;
    const size_t n = (size_t)oci_param_count(p);
    float *values = oci_param_values(cx, p);
    void *cast_values = values ? oci_alloc(cx, n * oci_dtype_size(c->dtype)) : NULL;
    if (cast_values) {
        oci_dtype_from_f32(c->dtype, values, cast_values, n);
        oci_param_set(cx, p, c->dtype, cast_values, false);
    }
    oci_free(cast_values);
    oci_free(values);
}

oc_status oc_model_cast(oc_context *cx, oc_model *model, oc_dtype dtype, const char *mask)
{
    cast c = { .dtype = dtype, .mask = mask };
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return oc_context_status(cx);
    if (dtype != OC_F32 && dtype != OC_BF16 && dtype != OC_F16)
        return oci_fail(cx, OC_E_ARGUMENT, "cast: expected F32, BF16 or F16, found %s",
                        oci_dtype_name(dtype));
    if (model->core.trainable)
        return oci_fail(cx, OC_E_UNSUPPORTED, "%s: what is trained is F32, and stays it",
                        model->folder);
    oci_model_walk(cx, &model->core, visit_cast, &c);
    if (!oci_failed(cx) && c.selected == 0)
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: %s: expected a mask that selects parameters, found one that "
                 "selects none", model->folder, mask ? mask : "");
    return cx->status;
}
