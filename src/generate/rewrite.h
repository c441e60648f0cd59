/* Text that is rewritten, rule by rule: code points,
 * and patterns as Python's `re` has them.
 *
 * A pattern runs on all its alternatives side by side (Thompson's simulation, with the
 * priorities and captures of Pike), so it takes at most its length times the text's,
 * whatever the text says; the same patterns backtrack in Python, some of them without
 * end. Matches are those that backtracking would find first. */
#ifndef OCI_GENERATE_REWRITE_H
#define OCI_GENERATE_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ocelli.h"

/* Code points, borrowed. */
typedef struct oci_span {
    const uint32_t *at;
    size_t count;
} oci_span;

/* Code points, owned and growing. Appending fails with the error set (OC_E_MEMORY, or
 * OC_E_LIMIT above OCI_MOST_POINTS) and then does nothing; only the end needs a check. */
typedef struct oci_points {
    uint32_t *at;
    size_t count, room;
} oci_points;

enum { OCI_MOST_POINTS = 1 << 21 };     /* 8 MB; twice what a text may have at first */

void oci_points_add(oc_context *cx, oci_points *points, oci_span span);
void oci_points_add_text(oc_context *cx, oci_points *points, const char *ascii);
void oci_points_add_one(oc_context *cx, oci_points *points, uint32_t code);

/* Classes of Python's str and re. */
bool oci_point_is_space(uint32_t code);         /* \s, str.strip() */
bool oci_point_is_digit(uint32_t code);         /* \d */
bool oci_point_is_word(uint32_t code);          /* \w */

/* str.strip(), str.startswith(ascii) and ==, of spans. */
oci_span oci_span_strip(oci_span span);
bool oci_span_begins(oci_span span, const char *ascii);
bool oci_span_equal(oci_span a, oci_span b);
/* Everything from `from` on; from <= count. */
static inline oci_span oci_span_from(oci_span span, size_t from)
{
    return (oci_span){ span.at + from, span.count - from };
}
oci_span oci_points_span(const oci_points *points);

enum { OCI_MULTILINE = 1, OCI_DOTALL = 2 };     /* re.M, re.S */

/* re.sub(pattern, replacement, in, flags) appended to `out`. A pattern is ASCII:
 * literals, . ^ $, [...] without ^, \d \w \s \W, escapes of punctuation, groups (...) and
 * (?:...), | and the quantifiers * + ? {m,} {m,n} with or without a ? behind. It must not
 * match nothing. Of the replacement, \1 to \9 are groups, and all the rest is text. */
void oci_rewrite(oc_context *cx, const char *pattern, const char *replacement, int flags,
                 oci_span in, oci_points *out);

/* in.replace(what, with) appended to `out`; linear, also where `what` repeats itself. */
void oci_rewrite_literal(oc_context *cx, oci_span what, const char *with, oci_span in,
                         oci_points *out);

#endif
