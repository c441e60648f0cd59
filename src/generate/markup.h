/* What Nougat writes, put right: NougatTokenizerFast.post_process_generation. */
#ifndef OCI_GENERATE_MARKUP_H
#define OCI_GENERATE_MARKUP_H

#include "generate/rewrite.h"

/* A text on its way: each pass reads `text` and leaves its successor there. */
typedef struct oci_markup {
    oc_context *cx;
    oci_points text, next;      /* `next` is where a pass writes; then they change
                                   places */
    uint64_t work;              /* characters that may still be searched for whole
                                   lines */
} oci_markup;

/* text.replace(what, with); `what` may not lie in m->text. Counts as work: the number of
 * such searches depends on the text. */
void oci_markup_replace(oci_markup *m, oci_span what, const char *with);
/* Ends a pass: what it wrote becomes the text. */
void oci_markup_turn(oci_markup *m);
/* The line that begins at *from, without its break; moves *from to the next line. */
oci_span oci_markup_line(oci_span text, size_t *from);

/* truncate_repetitions and remove_hallucinated_references (repetitions.c). */
void oci_markup_cut_repetitions(oci_markup *m);
void oci_markup_cut_references(oci_markup *m);

#endif
