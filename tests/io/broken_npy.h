/* Broken .npy files and .npz archives, one for each rule, and good ones that look odd. */
#ifndef OCELLI_TESTS_BROKEN_NPY_H
#define OCELLI_TESTS_BROKEN_NPY_H

#include <stdint.h>
#include <string.h>

#include "ocelli.h"

enum { TRUE_LENGTH = -1, WHOLE = -1, BROKEN_ROOM = 20000 };

#define DICT(descr, order, shape)                                                        \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"
#define F4(shape) DICT("'<f4'", "False", shape)
#define DIMS_9 "(1, 1, 1, 1, 1, 1, 1, 1, 1)"

/* name, major, header, data bytes, length field (-1: true), file cut to (-1: whole),
 * status, part of the message */
#define BROKEN_NPY_MAP(X)                                                                \
    X(EMPTY, 1, F4("(2,)"), 8, TRUE_LENGTH, 0, E_MALFORMED, "found too few bytes")       \
    X(PREFIX_CUT, 1, F4("(2,)"), 8, TRUE_LENGTH, 9, E_MALFORMED, "found too few bytes")  \
    X(VERSION_0, 0, F4("(2,)"), 8, TRUE_LENGTH, WHOLE, E_UNSUPPORTED, "found 0.0")       \
    X(VERSION_4, 4, F4("(2,)"), 8, TRUE_LENGTH, WHOLE, E_UNSUPPORTED, "found 4.0")       \
    X(LENGTH_OVER, 1, F4("(2,)"), 8, 60000, WHOLE, E_MALFORMED,                          \
      "header length: expected at")                                                      \
    X(LENGTH_HUGE, 2, F4("(2,)"), 8, 0xffffffff, WHOLE, E_MALFORMED, "found 4294967295") \
    X(LENGTH_LIMIT, 1, F4("(2,)"), 12000, 11000, WHOLE, E_LIMIT,                         \
      "expected at most 10000")                                                          \
    X(LENGTH_SHORT, 1, F4("(2,)"), 8, 30, WHOLE, E_MALFORMED, "header: expected")        \
    X(LENGTH_ZERO, 1, F4("(2,)"), 8, 0, WHOLE, E_MALFORMED, "expected a dict, found ''") \
    X(NO_DICT, 1, "['<f4']", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,                         \
      "expected a dict, found '['")                                                      \
    X(NOT_CLOSED, 1, "{'descr': '<f4'", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,              \
      "',' or '}'")                                                                      \
    X(NO_QUOTES, 1, "{descr: '<f4'}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,                \
      "a key in quotes")                                                                 \
    X(NO_COLON, 1, "{'descr' '<f4'}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,                \
      "expected ':'")                                                                    \
    X(KEY_UNKNOWN, 1, "{'desc': '<f4'}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,             \
      "descr, fortran_order and shape, once each, found desc")                           \
    X(KEY_TWICE, 1, "{'descr': '<f4', 'descr': '<f4'}", 8, TRUE_LENGTH, WHOLE,           \
      E_MALFORMED, "once each, found descr")                                             \
    X(KEY_MISSING, 1, "{'descr': '<f4', 'shape': (2,)}", 8, TRUE_LENGTH, WHOLE,          \
      E_MALFORMED, "fortran_order is missing")                                           \
    X(AFTER_DICT, 1, F4("(2,)") "x", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,                 \
      "nothing after the dict, found 'x'")                                               \
    X(TYPE_OBJECT, 1, DICT("'|O'", "False", "(2,)"), 8, TRUE_LENGTH, WHOLE,              \
      E_UNSUPPORTED, "descr: expected numbers or truth values")                          \
    X(TYPE_COMPLEX, 1, DICT("'<c8'", "False", "(1,)"), 8, TRUE_LENGTH, WHOLE,            \
      E_UNSUPPORTED, "found <c8")                                                        \
    X(TYPE_RECORD, 1, DICT("[('a', '<f4')]", "False", "(2,)"), 8, TRUE_LENGTH, WHOLE,    \
      E_UNSUPPORTED, "records are not supported")                                        \
    X(TYPE_NUMBER, 1, DICT("4", "False", "(2,)"), 8, TRUE_LENGTH, WHOLE, E_MALFORMED,    \
      "a type such as '<f4'")                                                            \
    X(TYPE_EMPTY, 1, DICT("''", "False", "(2,)"), 8, TRUE_LENGTH, WHOLE, E_UNSUPPORTED,  \
      "descr")                                                                           \
    X(ORDER_NUMBER, 1, DICT("'<f4'", "0", "(2,)"), 8, TRUE_LENGTH, WHOLE, E_MALFORMED,   \
      "True or False, found '0")                                                         \
    X(SHAPE_LIST, 1, F4("[2]"), 8, TRUE_LENGTH, WHOLE, E_MALFORMED,                      \
      "a tuple of dimensions")                                                           \
    X(SHAPE_NUMBER, 1, F4("(2)"), 8, TRUE_LENGTH, WHOLE, E_MALFORMED, "a tuple, '(n,)'") \
    X(SHAPE_NEGATIVE, 1, F4("(-2,)"), 8, TRUE_LENGTH, WHOLE, E_MALFORMED, "0 or more")   \
    X(SHAPE_REAL, 1, F4("(2.0,)"), 8, TRUE_LENGTH, WHOLE, E_MALFORMED, "',' or ')'")     \
    X(SHAPE_OVER_63, 1, F4("(9223372036854775808,)"), 8, TRUE_LENGTH, WHOLE,             \
      E_MALFORMED, "below 2^63")                                                         \
    X(SHAPE_OVERFLOW, 1, F4("(4611686018427387904, 4)"), 8, TRUE_LENGTH, WHOLE,          \
      E_MALFORMED, "the number of bytes overflows")                                      \
    X(SHAPE_DEEP, 1, F4(DIMS_9), 4, TRUE_LENGTH, WHOLE, E_LIMIT, "at most 8 dimensions") \
    X(DATA_HUGE, 1, F4("(1000000000000,)"), 8, TRUE_LENGTH, WHOLE, E_MALFORMED,          \
      "expected 4000000000000 bytes")                                                    \
    X(DATA_SHORT, 1, F4("(2,)"), 7, TRUE_LENGTH, WHOLE, E_MALFORMED,                     \
      "expected 8 bytes for its shape and type, found 7")                                \
    X(DATA_LONG, 1, F4("(2,)"), 9, TRUE_LENGTH, WHOLE, E_MALFORMED, "found 9")

#define ODD_NPY_MAP(X)                                                                   \
    X(NO_COMMA, 1, "{'descr':'<f4','fortran_order':False,'shape':(2,)}", 8, TRUE_LENGTH, \
      WHOLE, OK, "")                                                                     \
    X(OTHER_QUOTES, 1, "{\"shape\": (2,), \"fortran_order\": True, \"descr\": \"<f4\"}", \
      8, TRUE_LENGTH, WHOLE, OK, "")                                                     \
    X(PYTHON_2, 1, F4("(2L,)"), 8, TRUE_LENGTH, WHOLE, OK, "")                           \
    X(NATIVE, 2, DICT("'=f4'", "False", "(1, 2,)"), 8, TRUE_LENGTH, WHOLE, OK, "")       \
    X(SCALAR, 3, F4("()"), 4, TRUE_LENGTH, WHOLE, OK, "")                                \
    X(NOTHING, 1, F4("(0, 1000000000)"), 0, TRUE_LENGTH, WHOLE, OK, "")

typedef struct broken_npy {
    const char *name;
    int major;
    const char *header;
    size_t data;
    int64_t length, cut;
    oc_status status;
    const char *message;
} broken_npy;

#define BROKEN_ROW(name, major, header, data, length, cut, status, message)              \
    { #name, major, header, data, length, cut, OC_##status, message },
static const broken_npy broken_npys[] = { BROKEN_NPY_MAP(BROKEN_ROW) };
static const broken_npy odd_npys[] = { ODD_NPY_MAP(BROKEN_ROW) };
#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))

/* Fills `bytes` (BROKEN_ROOM) and returns the file's size. */
static inline size_t broken_npy_build(const broken_npy *row, unsigned char *bytes)
{
    const size_t header = strlen(row->header), prefix = row->major < 2 ? 10 : 12;
    const uint32_t length = row->length < 0 ? (uint32_t)header : (uint32_t)row->length;
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (unsigned char)row->major;
    bytes[7] = 0;
    for (size_t k = 8; k < prefix; k++) bytes[k] = (unsigned char)(length >> 8 * (k - 8));
    memcpy(bytes + prefix, row->header, header);
    memset(bytes + prefix + header, ' ', row->data);
    return row->cut >= 0 ? (size_t)row->cut : prefix + header + row->data;
}

/* ---- archives: stored entries, with what they say of themselves laid open ---- */

typedef struct zip_piece {
    const char *name;
    const void *data;
    size_t size;
    int64_t claims;             /* unpacked size that both records tell; -1: true */
    unsigned method, flags;
    bool bad_sum;               /* another checksum than the data's */
} zip_piece;

static inline uint32_t zip_crc(const unsigned char *data, size_t size)
{
    uint32_t sum = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        sum ^= data[i];
        for (int k = 0; k < 8; k++) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
    }
    return ~sum;
}

static inline unsigned char *put(unsigned char *to, uint64_t value, int bytes)
{
    for (int k = 0; k < bytes; k++, value >>= 8) *to++ = (unsigned char)value;
    return to;
}

/* What local header and directory have in common: version to
 * name length, extra length. */
static inline unsigned char *put_facts(unsigned char *to, const zip_piece *p)
{
    to = put(to, 20, 2);
    to = put(to, p->flags, 2);
    to = put(to, p->method, 2);
    to = put(to, 0x21u << 16, 4);           /* 1 January 1980 */
    to = put(to, zip_crc(p->data, p->size) ^ p->bad_sum, 4);
    to = put(to, p->size, 4);
    to = put(to, p->claims < 0 ? p->size : (uint64_t)p->claims, 4);
    to = put(to, strlen(p->name), 2);
    return put(to, 0, 2);
}

static inline size_t zip_build(const zip_piece *pieces, size_t count,
                               unsigned char *bytes)
{
    unsigned char *to = bytes;
    size_t offsets[8];
    for (size_t i = 0; i < count; i++) {
        offsets[i] = (size_t)(to - bytes);
        to = put_facts(put(to, 0x04034b50, 4), &pieces[i]);
        to = (unsigned char *)memcpy(to, pieces[i].name, strlen(pieces[i].name)) +
             strlen(pieces[i].name);
        to = (unsigned char *)memcpy(to, pieces[i].data, pieces[i].size) + pieces[i].size;
    }
    const size_t directory = (size_t)(to - bytes);
    for (size_t i = 0; i < count; i++) {
        to = put_facts(put(put(to, 0x02014b50, 4), 20, 2), &pieces[i]);
        to = put(to, 0, 10);                /* comment, disk, attributes */
        to = put(to, offsets[i], 4);
        to = (unsigned char *)memcpy(to, pieces[i].name, strlen(pieces[i].name)) +
             strlen(pieces[i].name);
    }
    const size_t end = (size_t)(to - bytes);
    to = put(put(to, 0x06054b50, 4), 0, 4);
    to = put(put(to, count, 2), count, 2);
    to = put(put(put(to, end - directory, 4), directory, 4), 0, 2);
    return (size_t)(to - bytes);
}

#endif
