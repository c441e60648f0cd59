/* Flax' files over any bytes. */
#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_weights("flax_model.msgpack", data, size);
}
