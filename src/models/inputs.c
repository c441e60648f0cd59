#include "models/inputs.h"

#include <stdio.h>
#include <string.h>

/* The row for a name; one that ends in a dot stands for a family,
 * past_key_values.3.1 and all. */
static const oci_input_spec *spec_of(const oci_input_spec *specs, const char *name)
{
    for (; specs->name; specs++) {
        size_t n = strlen(specs->name);
        bool family = n > 0 && specs->name[n - 1] == '.';
        if (family ? !strncmp(specs->name, name, n) : !strcmp(specs->name, name))
            return specs;
    }
    return NULL;
}

/* "a, b, c" for messages. */
static const char *accepted(const oci_input_spec *specs, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
    for (; specs->name && n < size; specs++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "", specs->name);
    return text;
}

static bool is_float(oc_dtype t)
{
    return t == OC_F32 || t == OC_F16 || t == OC_BF16 || t == OC_F64;
}

static bool is_integer(oc_dtype t)
{
    return t == OC_I64 || t == OC_I32 || t == OC_I16 || t == OC_I8 || t == OC_U8 ||
           t == OC_BOOL || t == OC_U16 || t == OC_U32;
}

/* Masks may come in any type, since users make them in any; ids must be integers, and not
 * booleans, which would be a mask given under the wrong name. */
static bool type_fits(oci_input_kind kind, oc_dtype t)
{
    if (kind == OCI_INPUT_FLOAT) return is_float(t);
    if (kind == OCI_INPUT_IDS) return is_integer(t) && t != OC_BOOL;
    return is_float(t) || is_integer(t);
}

bool oci_inputs_check(oc_context *cx, const oc_tensors *in, const oci_input_spec *specs)
{
    char list[OCI_MAX_MESSAGE / 2];
    for (size_t i = 0; i < oc_tensors_count(in) && !oci_failed(cx); i++) {
        oc_tensor_view v = oc_tensors_get(in, i);
        const oci_input_spec *spec = spec_of(specs, v.name);
        if (!spec)
            oci_fail(cx, OC_E_MALFORMED, "input %.80s: expected one of %s", v.name,
                     accepted(specs, list, sizeof list));
        else if (!type_fits(spec->kind, v.dtype))
            oci_fail(cx, OC_E_MALFORMED, "input %s: expected %s, found %s", v.name,
                     spec->kind == OCI_INPUT_FLOAT ? "floats" : "integers",
                     oci_dtype_name(v.dtype));
        else if (spec->rank && spec->rank != v.rank)
            oci_fail(cx, OC_E_MALFORMED, "input %s: expected %d dimensions, found %d",
                     v.name, spec->rank, v.rank);
        /* So that no op has to think of dimensions of 0. */
        for (int d = 0; d < v.rank && spec; d++)
            if (v.shape[d] == 0)
                oci_fail(cx, OC_E_MALFORMED,
                         "input %s: expected no empty dimension, found dimension %d of "
                         "size 0",
                         v.name, d);
    }
    return !oci_failed(cx);
}

static int64_t integer_at(oc_dtype t, const void *data, int64_t i)
{
    switch (t) {
    case OC_I64: return ((const int64_t *)data)[i];
    case OC_I32: return ((const int32_t *)data)[i];
    case OC_U32: return ((const uint32_t *)data)[i];
    case OC_I16: return ((const int16_t *)data)[i];
    case OC_U16: return ((const uint16_t *)data)[i];
    case OC_I8: return ((const int8_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

/* A copy in the arena, in the one type that models compute with. */
static oci_tensor *copy_of(oc_context *cx, oc_tensor_view v, bool ids)
{
    oci_tensor *x = oci_tensor_create(cx, ids ? OC_I64 : OC_F32, v.rank, v.shape);
    if (!x) return NULL;
    int64_t n = oci_tensor_count(x);
    if (is_float(v.dtype)) {
        oci_dtype_to_f32(v.dtype, v.data, oci_f32(x), (size_t)n);
        return x;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t value = integer_at(v.dtype, v.data, i);
        if (ids) oci_i64(x)[i] = value;
        else oci_f32(x)[i] = (float)value;
    }
    return x;
}

oci_tensor *oci_input(oc_context *cx, const oc_tensors *in, const oci_input_spec *specs,
                      const char *name)
{
    oc_tensor_view v;
    if (oci_failed(cx) || !oc_tensors_find(in, name, &v)) return NULL;
    const oci_input_spec *spec = spec_of(specs, name);
    return copy_of(cx, v, spec && spec->kind == OCI_INPUT_IDS);
}

/* The view moves to row `first`; only what is copied costs. */
oci_tensor *oci_input_rows(oc_context *cx, oc_tensor_view rows, int64_t first,
                           int64_t count)
{
    int64_t shape[OCI_MAX_RANK];
    size_t each = rows.bytes / (size_t)rows.shape[0];
    memcpy(shape, rows.shape, (size_t)rows.rank * sizeof *shape);
    shape[0] = count;
    rows.shape = shape;
    rows.data = (const char *)rows.data + (size_t)first * each;
    return copy_of(cx, rows, false);
}

oci_tensor *oci_input_required(oc_context *cx, const oc_tensors *in,
                               const oci_input_spec *specs, const char *name)
{
    char list[OCI_MAX_MESSAGE / 2];
    oci_tensor *x = oci_input(cx, in, specs, name);
    if (!x)
        oci_fail(cx, OC_E_MALFORMED, "input %s: required, but missing (accepted: %s)",
                 name, accepted(specs, list, sizeof list));
    return x;
}

/* A scalar of any type of numbers, as whoever wrote the file had one at hand. */
bool oci_input_flag(const oc_tensors *in, const char *name)
{
    oc_tensor_view v;
    if (!oc_tensors_find(in, name, &v) || v.bytes == 0) return false;
    float f = 0;
    if (!is_float(v.dtype)) return integer_at(v.dtype, v.data, 0) != 0;
    oci_dtype_to_f32(v.dtype, v.data, &f, 1);
    return f != 0;
}

void oci_inputs_agree(oc_context *cx, const char *a_name, const oci_tensor *a,
                      const char *b_name, const oci_tensor *b, int dims)
{
    char found[128], wanted[128];
    for (int i = 0; a && b && i < dims && !oci_failed(cx); i++)
        if (a->shape[i] != b->shape[i])
            oci_fail(cx, OC_E_MALFORMED,
                     "input %s: expected the first %d dimensions of %s %s, found %s",
                     b_name, dims, a_name, oci_shape_text(a, wanted),
                     oci_shape_text(b, found));
}

void oci_inputs_within(oc_context *cx, const char *name, const oci_tensor *x, int64_t low,
                       int64_t high)
{
    for (int64_t i = 0; x && i < oci_tensor_count(x) && !oci_failed(cx); i++)
        if (oci_i64(x)[i] < low || oci_i64(x)[i] > high)
            oci_fail(cx, OC_E_MALFORMED,
                     "input %s: element %lld: expected %lld to %lld, found %lld", name,
                     (long long)i, (long long)low, (long long)high,
                     (long long)oci_i64(x)[i]);
}
