/* The Hugging Face hub as this machine knows it: where its cache lies, what is
 * in it, and what the environment says of the hub itself. Never opens a
 * socket; downloads are pull.c's.
 *
 * The cache is that of huggingface_hub 0.20 (file_download.py,
 * constants.py), shared with it:
 *
 *     CACHE/models--ORG--NAME/refs/main               a commit, as 40 hexadecimal digits
 *     CACHE/models--ORG--NAME/snapshots/COMMIT/FILE   a link to …
 *     CACHE/models--ORG--NAME/blobs/ETAG              … the content */
#ifndef OCI_IO_HUB_H
#define OCI_IO_HUB_H

#include "base/limits.h"
#include "ocelli.h"

enum { OCI_COMMIT_TEXT = 41, OCI_HUB_TOKEN = 512 };

typedef struct oci_hub {
    char cache[OCI_MAX_PATH];       /* HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, or
                                       HF_HOME's hub */
    char endpoint[OCI_MAX_PATH];    /* HF_ENDPOINT, without a slash at its end */
    char token[OCI_HUB_TOKEN];      /* HF_TOKEN, or the file's; "": none */
    const char *offline;            /* the variable that forbids the network; NULL:
                                       none does */
} oci_hub;

/* From the environment. False: OC_E_ARGUMENT, a variable makes no sense. */
bool oci_hub_init(oc_context *cx, oci_hub *hub);

/* Whether the hub could have a model of that name: "ORG/NAME", or an old "NAME". */
bool oci_hub_is_name(const char *name);
/* False (OC_E_ARGUMENT) for a revision that no branch, tag or commit can be called. */
bool oci_hub_check_revision(oc_context *cx, const char *revision);
/* Whether it is 40 hexadecimal digits. */
bool oci_hub_is_commit(const char *text);

/* CACHE/models--ORG--NAME, or a path below it (NULL: none),
 * in a new string (oci_free). */
OC_NODISCARD char *oci_hub_path(oc_context *cx, const oci_hub *hub, const char *name,
                                const char *kind, const char *below);
/* The commit that a revision (NULL: "main") is in the cache. False: not there. */
bool oci_hub_commit(oc_context *cx, const oci_hub *hub, const char *name,
                    const char *revision, char commit[OCI_COMMIT_TEXT]);
/* The folder of a snapshot in the cache, whose files may be links within the cache and no
 * others, in a new string (oci_free). NULL: not there, or an error is set. */
OC_NODISCARD char *oci_hub_find(oc_context *cx, const oci_hub *hub, const char *name,
                                const char *revision);

#endif
