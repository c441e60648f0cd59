/* Region features as bottom-up-attention's tools/generate_tsv.py writes them (Anderson et
 * al. 2018): a line a picture, six columns parted by tabs,
 *
 *     image_id  image_w  image_h  num_boxes  boxes  features
 *
 * the last two base64 of little-endian f32, [num_boxes, 4] in pixels and
 * [num_boxes, D]. Such a file has tens of gigabytes, so it is passed through in
 * pieces and one line of it kept. */
#ifndef OCI_IO_REGIONS_TSV_H
#define OCI_IO_REGIONS_TSV_H

#include "base/bytes.h"
#include "ocelli.h"

/* The search for one line, fed with the file's bytes in pieces of any size. */
typedef struct oci_tsv_search {
    const char *path;           /* for messages */
    const char *id;             /* NULL: the file has one line, and that is it */
    oci_bytes line;             /* what is kept: the found line, or what may become it */
    int64_t number;             /* of the line that is read, from 1 */
    bool skipping;              /* to the end of a line of another id */
    bool found;                 /* `line` is whole: nothing more need be fed */
} oci_tsv_search;

void oci_tsv_begin(oc_context *cx, oci_tsv_search *search, const char *path,
                   const char *id);
bool oci_tsv_feed(oc_context *cx, oci_tsv_search *search, const char *data, size_t size);
/* What the line holds: visual_embeds F32 [1, num_boxes, D], boxes F32 [num_boxes, 4],
 * image_size I64 [2], width and height. NULL with its error if there is no such line, or
 * if it is broken. Frees what `search` holds in any case. */
OC_NODISCARD oc_tensors *oci_tsv_end(oc_context *cx, oci_tsv_search *search);

/* All three over a file. */
OC_NODISCARD oc_tensors *oci_tsv_open(oc_context *cx, const char *path, const char *id);

#endif
