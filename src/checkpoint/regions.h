/* regions.json: how the features that a VisualBERT was trained on come out of a picture
 * (docs/FORMAT-regions.md). */
#ifndef OCI_CHECKPOINT_REGIONS_H
#define OCI_CHECKPOINT_REGIONS_H

#include "ocelli.h"

typedef struct oci_regions {
    double *boxes;                  /* [count, 4] x0, y0, x1, y1, fractions in order */
    size_t count;
    bool normalize, append_box;
    int64_t visual_token_type;
    oc_model *features;             /* the dual encoder; NULL: the file names none */
} oci_regions;

/* Reads the file; with a folder, opens the feature model that it names, which may then
 * not be missing. False: error set, *regions empty. */
bool oci_regions_open(oc_context *cx, oci_regions *regions, const char *path,
                      const char *folder);
void oci_regions_close(oci_regions *regions);

#endif
