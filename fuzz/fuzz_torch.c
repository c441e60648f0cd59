/* Files of torch.save over any bytes: the archive around the pickle,
 * and the older form. */
#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_weights("pytorch_model.bin", data, size);
}
