/* Where a model lies: a folder as given, or a bundled model by its name. */
#ifndef OCI_IO_LOCATE_H
#define OCI_IO_LOCATE_H

#include "ocelli.h"

/* Bundled names are looked for in $OCELLI_MODELS, in share/ocelli/models of the prefix that
 * the program or the shared library lies in, in ../models beside the program (a build
 * tree), and where the library was installed. A new string (oci_free); OC_E_FILE if there is
 * no such folder. */
OC_NODISCARD char *oci_model_locate(oc_context *cx, const char *name);

#endif
