/* Keras' files over any bytes. */
#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_weights("tf_model.h5", data, size);
}
