/* What the targets that read files of weights share: the bytes as a file where a reader
 * wants one, and a look at every tensor. */
#ifndef OCELLI_FUZZ_WEIGHTS_H
#define OCELLI_FUZZ_WEIGHTS_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "io/weight_file.h"

enum { FUZZ_WEIGHTS_BUDGET = 1 << 26 };

/* The bytes as NAME in a folder of this process' own, made at the first call. */
static inline const char *fuzz_file(const char *name, const uint8_t *data, size_t size)
{
    static char folder[64], path[128];
    if (!folder[0]) {
        const char *fast = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(folder, sizeof folder, "%s/ocelli-fuzz-XXXXXX", fast);
        if (!mkdtemp(folder)) abort();
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || (size && write(fd, data, size) != (ssize_t)size)) abort();
    close(fd);
    return path;
}

/* Opens the bytes as a file of weights and reads every tensor, mapped and not, as they
 * lie and as PyTorch has them. Both ways must agree. */
static inline int fuzz_weights(const char *name, const uint8_t *data, size_t size)
{
    oc_context *cx = fuzz_context(FUZZ_WEIGHTS_BUDGET);
    const char *path = fuzz_file(name, data, size);
    uint64_t sums[2] = { 0 };
    bool good[2];
    for (int map = 0; map < 2; map++) {
        oci_weight_file file;
        oci_entry torch;
        char text[OCI_MAX_NAME];
        int order[OCI_MAX_RANK];
        bool opened = oci_weight_file_open(cx, &file, oci_weight_format_of(name), path,
                                           false, map != 0);
        if (opened != (oc_context_status(cx) == OC_OK)) abort();
        for (size_t i = 0; opened && i < file.count && !oci_failed(cx); i++) {
            const oci_entry *e = &file.entries[i];
            unsigned char *bytes = oci_alloc(cx, e->bytes),
                          *other = oci_alloc(cx, e->bytes);
            if (other && file.format->read(cx, &file, e, bytes)) {
                for (size_t k = 0; k < e->bytes; k++)
                    sums[map] = sums[map] * 31 + bytes[k];
                const unsigned char *at = file.format->peek(&file, e);
                if (at && e->bytes && memcmp(at, bytes, e->bytes)) abort();
                if (oci_layout_entry(file.layout, e, &torch, text, order) &&
                    oci_layout_moves(&torch, order))
                    oci_layout_permute(e, order, bytes, other);
            }
            oci_free(bytes);
            oci_free(other);
        }
        good[map] = oc_context_status(cx) == OC_OK;
        if (opened) oci_weight_file_close(&file);
        fuzz_nothing_left(cx);
    }
    if (good[0] && good[1] && sums[0] != sums[1]) abort();
    return 0;
}

#endif
