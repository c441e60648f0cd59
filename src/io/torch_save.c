/* The writer of torch.save's zip form (torch/serialization.py, _save):
 * data.pkl, a pickle of protocol 2 that torch.load(weights_only=True) takes,
 * and data/KEY for each storage. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/context.h"
#include "base/dtype.h"
#include "io/quote.h"
#include "io/torch_file.h"
#include "io/zip_save.h"

#define FOLDER "pytorch_model/"

typedef struct saver {
    oc_context *cx;
    const char *path;
    const oci_save_tensor *const *tensors;
    size_t count;
    oci_zip_saver zip;
} saver;

/* ---- the pickle -------------------------------------------------------------------- */

static const char *storage_of(oc_dtype dtype)
{
    switch (dtype) {
    case OC_F32: return "Float";
    case OC_F64: return "Double";
    case OC_F16: return "Half";
    case OC_BF16: return "BFloat16";
    case OC_I64: return "Long";
    case OC_I32: return "Int";
    case OC_I16: return "Short";
    case OC_I8: return "Char";
    case OC_U8: return "Byte";
    case OC_BOOL: return "Bool";
    default: return NULL;
    }
}

static void put(oc_context *cx, oci_bytes *b, const char *opcodes)
{
    oci_bytes_append(cx, b, opcodes, strlen(opcodes));
}

static void put_text(oc_context *cx, oci_bytes *b, const char *text)
{
    const uint32_t n = (uint32_t)strlen(text);
    put(cx, b, "X");
    oci_bytes_append(cx, b, &n, sizeof n);                  /* little-endian, as we are */
    oci_bytes_append(cx, b, text, n);
}

/* BININT, or LONG1 of 8 bytes. */
static void put_integer(oc_context *cx, oci_bytes *b, int64_t n)
{
    const int32_t small = n <= INT32_MAX ? (int32_t)n : 0;
    put(cx, b, n <= INT32_MAX ? "J" : "\x8a\x08");
    if (n <= INT32_MAX) oci_bytes_append(cx, b, &small, sizeof small);
    else oci_bytes_append(cx, b, &n, sizeof n);
}

static void put_tuple(oc_context *cx, oci_bytes *b, int count, const int64_t *numbers)
{
    put(cx, b, count ? "(" : ")");
    for (int i = 0; i < count; i++) put_integer(cx, b, numbers[i]);
    if (count) put(cx, b, "t");
}

/* Which storage a tensor has: the number of its first name. */
static size_t storage_number(const saver *s, size_t index)
{
    const oci_save_tensor *first = s->tensors[index]->same_as;
    for (size_t i = 0; first && i < index; i++)
        if (s->tensors[i] == first) return i;
    return index;
}

/* _rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict()) */
static void put_tensor(const saver *s, oci_bytes *b, size_t index)
{
    oc_context *cx = s->cx;
    const oci_save_tensor *t = s->tensors[index];
    const char *type = storage_of(t->dtype);
    oci_quoted quoted;
    char key[32];
    int64_t stride[OCI_MAX_RANK], count = 1;
    if (!type) {
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s: %s is not written in this format",
                 s->path, oci_quote(&quoted, t->name), oci_dtype_name(t->dtype));
        return;
    }
    for (int i = t->rank - 1; i >= 0; i--) {
        stride[i] = count;
        count *= t->shape[i];
    }
    snprintf(key, sizeof key, "%zu", storage_number(s, index));
    put_text(cx, b, t->name);
    put(cx, b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(cx, b, "storage");
    oci_bytes_printf(cx, b, "ctorch\n%sStorage\n", type);
    put_text(cx, b, key);
    put_text(cx, b, "cpu");
    put_integer(cx, b, (int64_t)(t->bytes / oci_dtype_size(t->dtype)));
    put(cx, b, "tQ");
    put_integer(cx, b, 0);
    put_tuple(cx, b, t->rank, t->shape);
    put_tuple(cx, b, t->rank, stride);
    put(cx, b, "\x89" "ccollections\nOrderedDict\n)RtRs");
}

static void put_pickle(const saver *s, oci_bytes *b)
{
    put(s->cx, b, "\x80\x02}");
    for (size_t i = 0; i < s->count && !oci_failed(s->cx); i++) put_tensor(s, b, i);
    put(s->cx, b, ".");
}

/* ---- the archive ------------------------------------------------------------------- */

static void write_entry(saver *s, const char *name, const void *data, size_t size)
{
    oci_zip_entry_begin(s->cx, &s->zip, name, size);
    oci_zip_entry_put(s->cx, &s->zip, data, size);
    oci_zip_entry_end(s->cx, &s->zip);
}

static void put_elements(oc_context *cx, void *user, const void *data, size_t size)
{
    oci_zip_entry_put(cx, user, data, size);
}

static void write_storage(saver *s, size_t index, const oci_save_source *source)
{
    char name[64];
    const oci_save_tensor *t = s->tensors[index];
    if (storage_number(s, index) != index) return;
    snprintf(name, sizeof name, FOLDER "data/%zu", index);
    oci_zip_entry_begin(s->cx, &s->zip, name, t->bytes);
    oci_save_elements(s->cx, t, source, put_elements, &s->zip);
    oci_zip_entry_end(s->cx, &s->zip);
}

oc_status oci_torch_write(oc_context *cx, oci_save *save, const char *path,
                          const oci_save_tensor *const *tensors, size_t count,
                          const oci_save_source *source)
{
    saver s = { .cx = cx, .path = path, .tensors = tensors, .count = count };
    oci_bytes pickle;
    oci_zip_saver_init(&s.zip, save);
    oci_bytes_init(&pickle, (size_t)cx->limits.pickle_bytes);
    if (!oci_failed(cx)) put_pickle(&s, &pickle);
    if (!oci_failed(cx)) write_entry(&s, FOLDER "data.pkl", pickle.data, pickle.size);
    if (!oci_failed(cx)) write_entry(&s, FOLDER "byteorder", "little", 6);
    for (size_t i = 0; i < count && !oci_failed(cx); i++) write_storage(&s, i, source);
    if (!oci_failed(cx)) write_entry(&s, FOLDER "version", "3\n", 2);
    if (!oci_failed(cx)) oci_zip_saver_finish(cx, &s.zip);
    oci_bytes_deinit(&pickle);
    oci_zip_saver_deinit(&s.zip);
    return cx->status;
}
