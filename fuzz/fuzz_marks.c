/* Marks as JSON, drawn on a small picture: pixels change only where a mark may reach, and
 * nothing is left behind. */
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "ocelli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
    if (!good) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t pixels[61 * 47 * 3];
    static oc_context *cx;
    static oc_image *image;
    if (!cx) {
        oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1,
                                          .memory_budget = UINT64_C(1) << 26);
        cx = oc_context_create(&o);
        image = oc_image_create(cx, 61, 47, pixels);
        require(image);
    }
    uint64_t before = oc_context_memory(cx).live_count;
    oc_image *out = oc_image_marks(cx, image, size ? (const char *)data : "", size);
    require(!out == (oc_context_status(cx) != OC_OK));
    require(!out || (oc_image_width(out) == 61 && oc_image_height(out) == 47));
    require(!memcmp(oc_image_pixels(image), pixels, sizeof pixels));
    oc_image_free(out);
    oc_context_clear(cx);
    require(oc_context_memory(cx).live_count == before);
    return 0;
}
