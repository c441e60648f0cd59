/* The index of shards over any bytes, beside two good shards:
 * nothing but those is opened. */
#include "weights.h"

#include "io/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char folder[128];
    static bool made;
    oc_context *cx = fuzz_context(FUZZ_WEIGHTS_BUDGET);
    char shard[sizeof folder + 40];
    float value = 1;
    snprintf(folder, sizeof folder, "%s",
             fuzz_file("model.safetensors.index.json", data, size));
    *strrchr(folder, '/') = '\0';
    for (int i = 1; i <= 2 && !made; i++) {
        oci_save_tensor tensor = { .name = i == 1 ? "a" : "b", .dtype = OC_F32,
                                   .data = &value, .bytes = sizeof value };
        snprintf(shard, sizeof shard, "%s/model-0000%d-of-00002.safetensors", folder, i);
        if (oci_safetensors_save(cx, shard, &tensor, 1, NULL, 0)) abort();
    }
    made = true;
    for (int map = 0; map < 2; map++) {
        oci_weights weights;
        if (oci_weights_open(cx, &weights, folder, NULL, map != 0)) {
            if (weights.file_count > 2 || weights.count > 2) abort();
            oci_weights_close(&weights);
        }
        fuzz_nothing_left(cx);
    }
    return 0;
}
