/* The normalization forms of Unicode (annex 15) as the reference's crate has them. */
#ifndef OCI_TEXT_FORMS_H
#define OCI_TEXT_FORMS_H

#include "text/transform.h"

typedef enum oci_form { OCI_NFD, OCI_NFKD, OCI_NFC, OCI_NFKC } oci_form;

/* Takes the code points of a normalized text as they are found. */
typedef bool (*oci_form_sink)(void *user, uint32_t code, int64_t change);

/* Gives the normalized form of a text, with changes as oci_transform_put wants them.
 * Linear in the text, however many marks follow each other. */
bool oci_form_run(oc_context *cx, oci_form form, const oci_segment *from,
                  oci_form_sink sink, void *user);

extern const oci_normalizer_kind oci_nfd, oci_nfkd, oci_nfc, oci_nfkc;

#endif
