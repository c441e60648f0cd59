/* Bounded JSON over jansson. One reader with limits on bytes, depth, numbers
 * and duplicate keys, used by everything that reads JSON; and getters whose
 * errors say "FILE: FIELD: expected …, found …". Values are jansson's and are
 * borrowed from their document. */
#ifndef OCI_IO_JSON_H
#define OCI_IO_JSON_H

#include <jansson.h>

#include "base/alloc.h"
#include "ocelli.h"

typedef struct oci_json {
    char *name;         /* what to call the document in messages: its path */
    json_t *root;
    oci_heap *heap;     /* counted reference; jansson's memory, which it gets by itself,
                           … */
    uint64_t charged;   /* … is charged here by an estimate made before it is asked for */
} oci_json;

/* On failure returns false and leaves *doc empty. Text may hold U+0000 (JSON_ALLOW_NUL).
 * The root is an object or an array. An integer beyond 64 bits becomes the nearest real:
 * Transformers writes model_max_length as 1000000000000000019884624838656. Linear in
 * `size`, no recursion deeper than limits.json_depth. */
bool oci_json_parse(oc_context *cx, oci_json *doc, const char *name, const char *text,
                    size_t size);
/* Reads and parses a file; OC_E_FILE when missing. Bounded by limits.config_bytes if the
 * name ends with "config.json", else by json_bytes. */
bool oci_json_open(oc_context *cx, oci_json *doc, const char *path);
void oci_json_close(oci_json *doc);

/* Getters. `field` is a dotted path for messages, its last part the key in `object`.
 * Absent or null gives `fallback`; another type or a value outside [low, high] is
 * OC_E_MALFORMED. With an error set in cx they return `fallback`. An integer serves as a
 * real, but a real (3.0) is no integer; a text with U+0000 inside is refused, since a C
 * string would end there. */
int64_t oci_json_int(oc_context *cx, const oci_json *doc, const json_t *object,
                     const char *field, int64_t fallback, int64_t low, int64_t high);
double oci_json_real(oc_context *cx, const oci_json *doc, const json_t *object,
                     const char *field, double fallback, double low, double high);
bool oci_json_bool(oc_context *cx, const oci_json *doc, const json_t *object,
                   const char *field, bool fallback);
const char *oci_json_text(oc_context *cx, const oci_json *doc, const json_t *object,
                          const char *field, const char *fallback);
/* An object or array member, NULL when absent or null; another type is an error. */
json_t *oci_json_object(oc_context *cx, const oci_json *doc, const json_t *object,
                        const char *field);
json_t *oci_json_array(oc_context *cx, const oci_json *doc, const json_t *object,
                       const char *field);
/* Fails with "NAME: FIELD: expected WHAT, found <value shortened>". */
oc_status oci_json_expected(oc_context *cx, const oci_json *doc, const char *field,
                            const char *what, const json_t *found);

/* Writes a value as Transformers writes its configs (two spaces, sorted keys, a newline
 * at the end), whole or not at all. */
oc_status oci_json_save(oc_context *cx, const json_t *value, const char *path);

/* The value on one line, in a new string (oci_free). */
OC_NODISCARD char *oci_json_text_of(oc_context *cx, const json_t *value);

#endif
