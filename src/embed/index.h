/* An index: vectors of pictures with their paths, in one file (docs/FORMAT-index.md). */
#ifndef OCI_EMBED_INDEX_H
#define OCI_EMBED_INDEX_H

#include "base/buffer.h"
#include "io/listing.h"
#include "ocelli.h"

enum {
    OCI_INDEX_VERSION = 1,
    OCI_INDEX_LINE = 64,                /* sections and rows begin at multiples of it */
    OCI_INDEX_MAX_WIDTH = 65536         /* oci_backend.dots_i8 is exact up to here */
};

/* The first bytes of the file, as they lie there. */
typedef struct oci_index_header {
    char magic[8];
    uint32_t version;
    uint32_t order;                     /* 0x01020304 in the writer's byte order */
    uint32_t kind;                      /* oci_index_kind */
    uint32_t width;                     /* numbers of a vector */
    uint64_t count;                     /* pictures */
    uint64_t fingerprint;               /* of the model, oci_model_fingerprint */
    uint64_t text_bytes;
    uint64_t file_bytes;
    unsigned char zeros[64];            /* for later versions */
    uint64_t checksum;                  /* XXH64 of the 120 bytes before it */
} oci_index_header;

typedef enum oci_index_kind { OCI_INDEX_F32 = 1, OCI_INDEX_I8 = 2 } oci_index_kind;

/* One picture: a row of the table after the header. */
typedef struct oci_index_row {
    uint64_t text;                      /* where its path begins among the texts */
    uint64_t size;                      /* of the file when it was read, … */
    int64_t mtime;                      /* … and its time, in nanoseconds */
} oci_index_row;

/* Where the sections of a file lie. */
typedef struct oci_index_layout {
    size_t stride;                      /* bytes of a row of vectors */
    uint64_t table, text, scales, vectors, remainders, end;     /* end: of the trailer */
} oci_index_layout;

/* False if the numbers fit no file. */
bool oci_index_place(const oci_index_header *header, oci_index_layout *layout);

struct oc_index {
    oci_buffer *bytes;                  /* the file */
    oci_index_header header;
    oci_index_layout layout;
    const oci_index_row *rows;          /* these point into the file */
    const char *text;                   /* the model's name, then the paths */
    const float *scales;                /* of I8: a number is its byte times the scale */
    const void *vectors;
    const int8_t *remainders;           /* of I8: 254ths of the bytes' steps */
};

/* Checks everything that memory safety rests on, and the checksum if `whole`; `bytes`
 * becomes the index's, on failure too. */
OC_NODISCARD oc_index *oci_index_parse(oc_context *cx, const char *path,
                                       oci_buffer *bytes, bool whole);

/* What a vector is in a file: [scale] row [remainders], side by side. */
size_t oci_index_record_bytes(oci_index_kind kind, size_t width);
/* The record of x [width] in `record`; false if a number is not finite. */
bool oci_index_encode(oci_index_kind kind, size_t width, const float *x, void *record);

/* ---- writing ---- */

/* Writes an index of `count` pictures in the order of their paths. `record` gives each
 * one's, in three rounds (scales, rows, remainders), and may fail through the context. */
typedef struct oci_index_writer {
    oci_index_header header;            /* kind, width, count, fingerprint */
    const char *model_name;
    const oci_listed *files;
    void (*record)(oc_context *cx, void *user, size_t index, void *record);
    void *user;
} oci_index_writer;

oc_status oci_index_write(oc_context *cx, oci_index_writer *writer, const char *path);

/* ---- making ---- */

/* Rows of length 1, [count, *width], of pictures, in a new block (oci_free). *width is
 * always the same. An error that is about a picture is OC_E_IMAGE, OC_E_MALFORMED or the
 * like; of several pictures, the index asks again for each alone. */
typedef float *(*oci_index_embed)(oc_context *cx, void *user, oc_image *const *images,
                                  size_t count, size_t *width);

typedef struct oci_index_maker {
    uint64_t fingerprint;
    const char *model_name;
    oci_index_embed embed;
    void *user;
} oci_index_maker;

/* oc_index_build over any source of vectors. */
oc_status oci_index_make(oc_context *cx, const oci_index_maker *maker, const char *path,
                         const oc_index_options *options, oc_index_report *report);

/* Of all that a picture's vector depends on: config,
 * preprocessor_config.json, and a sample of each parameter's values, as
 * numbers: the same for every type of file and every CPU. */
uint64_t oci_model_fingerprint(oc_context *cx, const oc_model *model);

#endif
