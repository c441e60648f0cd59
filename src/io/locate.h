/* Where a model lies: a folder as given, a bundled model by its name,
 * or one of the hub's cache. */
#ifndef OCI_IO_LOCATE_H
#define OCI_IO_LOCATE_H

#include "ocelli.h"

/* Bundled names are looked for in $OCELLI_MODELS, in share/ocelli/models of the
 * prefix that the program or the shared library lies in, in ../models beside the
 * program (a build tree), and where the library was installed. What is none of them
 * is looked for in the hub's cache (io/hub.h), `revision` being a branch, a tag or a
 * commit there, NULL "main"; nothing is downloaded. A new string (oci_free);
 * OC_E_FILE if there is no such folder. */
OC_NODISCARD char *oci_model_locate(oc_context *cx, const char *name,
                                    const char *revision);

#endif
