/* Config tables: each model lists the keys of its config.json with field, type, default
 * and range, once; reading, checking and writing all use the list. */
#ifndef OCI_MODELS_CONFIG_H
#define OCI_MODELS_CONFIG_H

#include <stddef.h>

#include "nn/act.h"
#include "base/context.h"
#include "io/json.h"

typedef enum oci_field_type {
    OCI_FIELD_INT,          /* int64_t */
    OCI_FIELD_REAL,         /* double */
    OCI_FIELD_BOOL,         /* bool */
    OCI_FIELD_ACT,          /* oci_act, by Transformers' name */
    OCI_FIELD_PAIR          /* int64_t[2]: a number for both, or [height, width] */
} oci_field_type;

typedef struct oci_field {
    const char *key;        /* in config.json; NULL ends a table */
    oci_field_type type;
    size_t offset;          /* in the config struct */
    double fallback, low, high;
} oci_field;

#define OCI_INT(type, key, fallback, low, high) \
    { #key, OCI_FIELD_INT, offsetof(type, key), fallback, low, high }
#define OCI_REAL(type, key, fallback, low, high) \
    { #key, OCI_FIELD_REAL, offsetof(type, key), fallback, low, high }
#define OCI_BOOL(type, key, fallback) \
    { #key, OCI_FIELD_BOOL, offsetof(type, key), fallback, 0, 1 }
#define OCI_ACT(type, key, fallback) \
    { #key, OCI_FIELD_ACT, offsetof(type, key), fallback, 0, 0 }
#define OCI_PAIR(type, key, fallback, low, high) \
    { #key, OCI_FIELD_PAIR, offsetof(type, key), fallback, low, high }
#define OCI_FIELDS_END { NULL, OCI_FIELD_INT, 0, 0, 0, 0 }

/* As what a model is opened: by itself, or as a part of a composite, which takes an
 * encoder as its base class and a decoder as its causal language model. */
typedef enum oci_role { OCI_ROLE_ALONE, OCI_ROLE_ENCODER, OCI_ROLE_DECODER } oci_role;

/* A config object inside a document: `path` ("" or "encoder.") leads its field names. */
typedef struct oci_config_source {
    const oci_json *doc;
    const json_t *object;
    const char *path;
    oci_role role;
} oci_config_source;

/* A part of a composite's config: `source` and its model_type.
 * `source.path` is `path`: do not copy. */
typedef struct oci_sub_config {
    oci_config_source source;
    char path[OCI_MAX_NAME];
    const char *model_type;
} oci_sub_config;

/* The object under `key`, which must be there and name its
 * model_type; false: error set. */
bool oci_config_sub(oc_context *cx, const oci_config_source *from, const char *key,
                    oci_role role, oci_sub_config *sub);
/* The class that the weights are of, architectures[0], which opening a folder as another
 * class has set; NULL: nothing says. */
const char *oci_config_class(const oci_config_source *from);
/* num_labels, by 4.37.2's rule: as many as id2label names, or
 * else the key itself, or 2. */
int64_t oci_config_labels(oc_context *cx, const oci_config_source *from);
/* True where the weights are those of a model with a head around the base class: a
 * composite's decoder, or architectures[0] names another class than `base_class`. */
bool oci_config_has_head(const oci_config_source *from, const char *base_class);
/* Text fields with one value that is implemented: any other is OC_E_UNSUPPORTED. */
void oci_config_only(oc_context *cx, const oci_config_source *from, const char *field,
                     const char *value);
/* pad_token_id: `fallback` where it is absent, -1 where it is null. */
int64_t oci_config_pad(oc_context *cx, const oci_config_source *from, int64_t fallback,
                       int64_t vocab_size);

/* Fills *config; on a fault the error names document, field, expectation and finding. */
bool oci_config_read(oc_context *cx, const oci_config_source *from,
                     const oci_field *fields, void *config);
/* A list of 1 to `most` integers; returns how many. `out` holds `count` of them
 * beforehand, which stay if the key is absent. */
int64_t oci_config_list(oc_context *cx, const oci_config_source *from, const char *key,
                        int64_t low, int64_t high, int64_t *out, int64_t count,
                        int64_t most);
/* "FILE: path+field: expected …, found …" as OC_E_MALFORMED. */
OC_PRINTF(4, 5)
void oci_config_fail(oc_context *cx, const oci_config_source *from, const char *field,
                     const char *format, ...);
/* Fails unless `whole` is a multiple of `part`. */
void oci_config_divides(oc_context *cx, const oci_config_source *from,
                        const char *part_name, int64_t part, const char *whole_name,
                        int64_t whole);

#endif
