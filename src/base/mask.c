#include "base/mask.h"

#include <fnmatch.h>
#include <string.h>

#include "base/limits.h"

bool oci_mask_selects(const char *mask, const char *name)
{
    if (!mask) return true;
    bool in = mask[0] == '!';
    while (*mask) {
        const size_t n = strcspn(mask, ",");
        const bool out = mask[0] == '!';
        char pattern[OCI_MAX_NAME];             /* no name is longer than that */
        if (n < sizeof pattern) {
            memcpy(pattern, mask, n);
            pattern[n] = '\0';
            if (fnmatch(pattern + out, name, 0) == 0) in = !out;
        }
        mask += n + (mask[n] == ',');
    }
    return in;
}
