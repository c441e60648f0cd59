/* The machine for pickles over any bytes: what it accepts must be values inside its own
 * arena, and tensors inside their storages. */
#include "weights.h"

#include "io/pickle.h"

/* Values may hold each other in circles, and one may be held many times: a few steps down
 * each way is enough to touch everything once. */
static uint64_t look(const oci_pickle_value *v, int depth)
{
    uint64_t sum = v ? (uint64_t)v->kind : 0;
    if (!v || depth == 0) return sum;
    switch (v->kind) {
    case OCI_PICKLE_TEXT: case OCI_PICKLE_BYTES:
        if (v->as.text.data[v->as.text.size]) abort();
        for (size_t i = 0; i < v->as.text.size; i++)
            sum += (unsigned char)v->as.text.data[i];
        return sum;
    case OCI_PICKLE_TUPLE: case OCI_PICKLE_LIST: case OCI_PICKLE_DICT:
        if (v->kind == OCI_PICKLE_DICT && v->as.list.count % 2) abort();
        for (size_t i = 0; i < v->as.list.count && i < 8; i++)
            sum += look(v->as.list.items[i], depth - 1);
        return sum;
    case OCI_PICKLE_TENSOR: {
        const oci_pickle_tensor *t = v->as.tensor;
        unsigned __int128 last = (unsigned __int128)t->offset;
        bool empty = false;
        for (int i = 0; i < t->rank; i++) {
            empty |= t->shape[i] == 0;
            last += (unsigned __int128)(t->shape[i] - (t->shape[i] > 0)) *
                    (unsigned __int128)t->stride[i];
        }
        if (!empty && last >= (unsigned __int128)t->storage->count) abort();
        return sum + strlen(t->storage->key);
    }
    default: return sum;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    oc_context *cx = fuzz_context(FUZZ_WEIGHTS_BUDGET);
    oci_pickle pickle;
    size_t used = 0;
    bool ok = oci_pickle_run(cx, &pickle, "fuzz.pkl", data, size, &used);
    if (ok != (oc_context_status(cx) == OC_OK) || used > size) abort();
    if (ok) {
        volatile uint64_t sum = look(pickle.root, 6) +
                                (oci_pickle_get(pickle.root, "x") != NULL);
        (void)sum;
    }
    oci_pickle_deinit(&pickle);
    fuzz_nothing_left(cx);
    return 0;
}
