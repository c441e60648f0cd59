/* Broken safetensors files made by code, one for each rule of the format, and good ones
 * that look odd. A row gives the header's text and how many bytes of data follow; the
 * columns after that say what is wrong with the frame around them. */
#ifndef OCELLI_TESTS_BROKEN_SAFETENSORS_H
#define OCELLI_TESTS_BROKEN_SAFETENSORS_H

#include <stdint.h>
#include <string.h>

#include "ocelli.h"

#define T(name, dtype, shape, begin, end)                                                \
    "\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape                                 \
    ",\"data_offsets\":[" #begin "," #end "]}"
#define A_F32 T("a", "\"F32\"", "[2]", 0, 8)
#define NINE_DEEP "[[[[[[[[["
#define LONG_64 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define LONG_512 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64
#define DEEP_16 "[[[[[[[[[[[[[[[["

enum { TRUE_LENGTH = -1, WHOLE = -1 };

/* name, header, data bytes, length field (-1: true), file cut to (-1: whole), status,
 * part of the message */
#define BROKEN_MAP(X)                                                                    \
    X(EMPTY_FILE, "", 0, TRUE_LENGTH, 0, E_MALFORMED,                                    \
      "expected 8 bytes, found a file of 0")                                             \
    X(PREFIX_CUT, "{}", 0, TRUE_LENGTH, 7, E_MALFORMED,                                  \
      "header length: expected 8 bytes")                                                 \
    X(LENGTH_OVER_FILE, "{" A_F32 "}", 8, 1000, WHOLE, E_MALFORMED, "header length")     \
    X(LENGTH_BY_ONE, "{}", 0, 3, WHOLE, E_MALFORMED, "expected at most 2, the rest")     \
    X(LENGTH_HUGE, "{}", 0, INT64_MAX, WHOLE, E_MALFORMED, "header length")              \
    X(LENGTH_ALL_ONES, "{}", 0, -2, WHOLE, E_MALFORMED, "found 18446744073709551614")    \
    X(LENGTH_ZERO, "{}", 0, 0, WHOLE, E_MALFORMED, "line 1, column 0")                   \
    X(LENGTH_SHORT, "{" A_F32 "}", 8, 20, WHOLE, E_MALFORMED, "line 1")                  \
    X(HEADER_CUT, "{" A_F32 "}", 8, TRUE_LENGTH, 30, E_MALFORMED, "header length")       \
    X(NOT_JSON, "weights!", 8, TRUE_LENGTH, WHOLE, E_MALFORMED, "line 1, column")        \
    X(NOT_CLOSED, "{" A_F32, 8, TRUE_LENGTH, WHOLE, E_MALFORMED, "line 1")               \
    X(NOT_UTF8, "{" T("\xff", "\"F32\"", "[2]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,        \
      E_MALFORMED, "unable to decode byte 0xff")                                         \
    X(TRAILING_TEXT, "{" A_F32 "} {}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,               \
      "end of file")                                                                     \
    X(TRAILING_COMMA, "{" A_F32 ",}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED, "line 1")      \
    X(HEADER_ARRAY, "[]", 0, TRUE_LENGTH, WHOLE, E_MALFORMED,                            \
      "header: expected an object, found an array of 0")                                 \
    X(HEADER_SCALAR, "1", 0, TRUE_LENGTH, WHOLE, E_MALFORMED, "'[' or '{' expected")     \
    X(NAME_TWICE, "{" A_F32 "," A_F32 "}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,           \
      "duplicate object key near '\"a\"'")                                               \
    X(NAME_WITH_NUL, "{" T("a\\u0000b", "\"F32\"", "[2]", 0, 8) "}", 8, TRUE_LENGTH,     \
      WHOLE, E_MALFORMED, "NUL byte in object key")                                      \
    X(FIELD_TWICE, "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[8],"            \
      "\"data_offsets\":[0,8]}}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,                    \
      "duplicate object key")                                                            \
    X(DEEP, "{\"a\":" DEEP_16 DEEP_16 DEEP_16 DEEP_16 "]}", 0, TRUE_LENGTH, WHOLE,       \
      E_LIMIT, "nested deeper than 64")                                                  \
    X(NAME_TOO_LONG, "{" T(LONG_512, "\"F32\"", "[2]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE, \
      E_LIMIT, "a name of at most 511 bytes, found 512")                                 \
    X(TENSOR_ARRAY, "{\"a\":[]}", 0, TRUE_LENGTH, WHOLE, E_MALFORMED,                    \
      "a: expected an object, found an array of 0")                                      \
    X(TENSOR_NULL, "{\"a\":null}", 0, TRUE_LENGTH, WHOLE, E_MALFORMED, "found null")     \
    X(DTYPE_MISSING, "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRUE_LENGTH,   \
      WHOLE, E_MALFORMED, "a.dtype: expected one of BOOL")                               \
    X(DTYPE_NUMBER, "{" T("a", "32", "[2]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,            \
      E_MALFORMED, "a.dtype: expected one of BOOL, U8 … F32, F64, I64, U64, found 32")   \
    X(DTYPE_UNKNOWN, "{" T("a", "\"F31\"", "[2]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,      \
      E_MALFORMED, "found \"F31\"")                                                      \
    X(DTYPE_LOWER, "{" T("a", "\"f32\"", "[2]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,        \
      E_MALFORMED, "found \"f32\"")                                                      \
    X(DTYPE_EMPTY, "{" T("a", "\"\"", "[2]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,           \
      E_MALFORMED, "a.dtype")                                                            \
    X(DTYPE_NUL, "{" T("a", "\"F32\\u0000\"", "[2]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,   \
      E_MALFORMED, "a.dtype")                                                            \
    X(DTYPE_LATER, "{" T("a", "\"C64\"", "[1]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,        \
      E_UNSUPPORTED, "a.dtype: C64 is not supported")                                    \
    X(SHAPE_MISSING, "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8,            \
      TRUE_LENGTH, WHOLE, E_MALFORMED,                                                   \
      "a.shape: expected an array of integers, found nothing")                           \
    X(SHAPE_NUMBER, "{" T("a", "\"F32\"", "2", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,         \
      E_MALFORMED, "a.shape: expected an array of integers, found 2")                    \
    X(SHAPE_NEGATIVE, "{" T("a", "\"F32\"", "[-2]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,    \
      E_MALFORMED, "a.shape: expected integers of 0 or more, found -2")                  \
    X(SHAPE_TWO_NEGATIVES, "{" T("a", "\"F32\"", "[-1,-2]", 0, 8) "}", 8, TRUE_LENGTH,   \
      WHOLE, E_MALFORMED, "found -1")                                                    \
    X(SHAPE_REAL, "{" T("a", "\"F32\"", "[2.0]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,       \
      E_MALFORMED, "a.shape: expected integers of 0 or more, found 2")                   \
    X(SHAPE_TEXT, "{" T("a", "\"F32\"", "[\"2\"]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,     \
      E_MALFORMED, "found \"2\"")                                                        \
    X(SHAPE_OVER_64_BITS, "{" T("a", "\"F32\"", "[18446744073709551618]", 0, 8) "}", 8,  \
      TRUE_LENGTH, WHOLE, E_MALFORMED, "a.shape: expected integers")                     \
    X(SHAPE_OVERFLOW, "{" T("a", "\"U8\"", "[4294967296,4294967296]", 0, 0) "}", 0,      \
      TRUE_LENGTH, WHOLE, E_MALFORMED, "a.shape: the number of bytes overflows")         \
    X(SHAPE_OVERFLOW_BYTES, "{" T("a", "\"F32\"", "[4611686018427387906]", 0, 8) "}", 8, \
      TRUE_LENGTH, WHOLE, E_MALFORMED, "a.shape: the number of bytes overflows")         \
    X(SHAPE_RANK_9, "{" T("a", "\"U8\"", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1,            \
      TRUE_LENGTH, WHOLE, E_LIMIT, "a.shape: expected at most 8 dimensions, found 9")    \
    X(OFFSETS_MISSING, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, TRUE_LENGTH,      \
      WHOLE, E_MALFORMED,                                                                \
      "a.data_offsets: expected an array of two integers, found nothing")                \
    X(OFFSETS_ONE, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", 8,  \
      TRUE_LENGTH, WHOLE, E_MALFORMED, "found an array of 1")                            \
    X(OFFSETS_THREE,                                                                     \
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8,           \
      TRUE_LENGTH, WHOLE, E_MALFORMED, "found an array of 3")                            \
    X(OFFSETS_OBJECT, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{}}}",   \
      8, TRUE_LENGTH, WHOLE, E_MALFORMED, "found an object")                             \
    X(OFFSETS_NEGATIVE, "{" T("a", "\"F32\"", "[2]", -8, 0) "}", 8, TRUE_LENGTH, WHOLE,  \
      E_MALFORMED, "a.data_offsets: expected integers of 0 or more, found -8")           \
    X(OFFSETS_REAL, "{" T("a", "\"F32\"", "[2]", 0, 8.0) "}", 8, TRUE_LENGTH, WHOLE,     \
      E_MALFORMED, "a.data_offsets: expected integers of 0 or more, found 8")            \
    X(OFFSETS_REVERSED, "{" T("a", "\"F32\"", "[2]", 8, 0) "}", 8, TRUE_LENGTH, WHOLE,   \
      E_MALFORMED, "expected begin <= end, found 8 and 0")                               \
    X(OFFSETS_BEYOND, "{" T("a", "\"F32\"", "[4]", 0, 16) "}", 8, TRUE_LENGTH, WHOLE,    \
      E_MALFORMED, "expected an end within the 8 bytes of data, found 16")               \
    X(OFFSETS_FAR, "{" T("a", "\"F32\"", "[2]", 9223372036854775799,                     \
      9223372036854775807) "}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,                      \
      "an end within the 8 bytes")                                                       \
    X(BYTES_TOO_FEW, "{" T("a", "\"F32\"", "[2]", 0, 7) "}", 7, TRUE_LENGTH, WHOLE,      \
      E_MALFORMED, "expected 8 bytes for its shape and dtype, found 7")                  \
    X(BYTES_TOO_MANY, "{" T("a", "\"F32\"", "[]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,      \
      E_MALFORMED, "expected 4 bytes for its shape and dtype, found 8")                  \
    X(BYTES_FOR_NONE, "{" T("a", "\"F32\"", "[0]", 0, 8) "}", 8, TRUE_LENGTH, WHOLE,     \
      E_MALFORMED, "expected 0 bytes for its shape and dtype, found 8")                  \
    X(GAP_FIRST, "{" T("a", "\"U8\"", "[4]", 4, 8) "}", 8, TRUE_LENGTH, WHOLE,           \
      E_MALFORMED,                                                                       \
      "expected to begin at 0, where the tensor before it ends, found 4 (a gap)")        \
    X(GAP, "{" T("a", "\"U8\"", "[2]", 0, 2) "," T("b", "\"U8\"", "[4]", 4, 8) "}", 8,   \
      TRUE_LENGTH, WHOLE, E_MALFORMED, "b.data_offsets: expected to begin at 2")         \
    X(OVERLAP, "{" T("a", "\"U8\"", "[6]", 0, 6) "," T("b", "\"U8\"", "[4]", 4, 8) "}",  \
      8, TRUE_LENGTH, WHOLE, E_MALFORMED, "found 4 (an overlap)")                        \
    X(SAME_PLACE, "{" T("a", "\"U8\"", "[8]", 0, 8) "," T("b", "\"U8\"", "[8]", 0,       \
      8) "}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED, "expected to begin at 8")              \
    X(NONE_INSIDE, "{" T("a", "\"U8\"", "[8]", 0, 8) "," T("b", "\"U8\"", "[0]", 4,      \
      4) "}", 8, TRUE_LENGTH, WHOLE, E_MALFORMED,                                        \
      "b.data_offsets: expected to begin at 8")                                          \
    X(DATA_LONGER, "{" A_F32 "}", 9, TRUE_LENGTH, WHOLE, E_MALFORMED,                    \
      "data: expected 8 bytes, where the last tensor ends, found 9")                     \
    X(DATA_CUT, "{" A_F32 "}", 7, TRUE_LENGTH, WHOLE, E_MALFORMED, "within the 7 bytes") \
    X(DATA_WITHOUT_TENSOR, "{}", 1, TRUE_LENGTH, WHOLE, E_MALFORMED,                     \
      "data: expected 0 bytes, where the last tensor ends, found 1")                     \
    X(METADATA_ARRAY, "{\"__metadata__\":[]}", 0, TRUE_LENGTH, WHOLE, E_MALFORMED,       \
      "__metadata__: expected an object of texts, found an array of 0")                  \
    X(METADATA_NUMBER, "{\"__metadata__\":{\"k\":1}}", 0, TRUE_LENGTH, WHOLE,            \
      E_MALFORMED, "__metadata__.k: expected a text without U+0000, found 1")            \
    X(METADATA_NESTED, "{\"__metadata__\":{\"k\":{}}}", 0, TRUE_LENGTH, WHOLE,           \
      E_MALFORMED, "__metadata__.k")                                                     \
    X(METADATA_NUL, "{\"__metadata__\":{\"k\":\"a\\u0000b\"}}", 0, TRUE_LENGTH, WHOLE,   \
      E_MALFORMED, "__metadata__.k: expected a text without U+0000")

/* name, header, data bytes, tensors, pairs of metadata */
#define ODD_MAP(X)                                                                       \
    X(NOTHING, "{}", 0, 0, 0)                                                            \
    X(SPACE_BEFORE, " \n\t {" A_F32 "}", 8, 1, 0)                                        \
    X(SPACE_AFTER, "{" A_F32 "}      ", 8, 1, 0)                                         \
    X(LENGTH_ODD, "{" A_F32 "} ", 8, 1, 0)                                               \
    X(SCALAR, "{" T("a", "\"F32\"", "[]", 0, 4) "}", 4, 1, 0)                            \
    X(NONE, "{" T("a", "\"F32\"", "[0]", 0, 0) "," T("b", "\"U8\"", "[3,0,7]", 0,        \
      0) "}", 0, 2, 0)                                                                   \
    X(NONE_HUGE, "{" T("a", "\"U8\"", "[0,9223372036854775807]", 0, 0) "}", 0, 1, 0)     \
    X(NONE_BETWEEN, "{" T("a", "\"U8\"", "[4]", 0, 4) "," T("b", "\"U8\"", "[0]", 4,     \
      4) "," T("c", "\"U8\"", "[4]", 4, 8) "}", 8, 3, 0)                                 \
    X(UNSORTED, "{" T("z", "\"U8\"", "[4]", 4, 8) "," T("a", "\"U8\"", "[4]", 0, 4) "}", \
      8, 2, 0)                                                                           \
    X(UNALIGNED, "{" T("a", "\"U8\"", "[3]", 0, 3) "," T("b", "\"F32\"", "[2]", 3,       \
      11) "," T("c", "\"F64\"", "[1]", 11, 19) "}", 19, 3, 0)                            \
    X(METADATA_ONLY, "{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"}}", 0, 0, 2)       \
    X(METADATA_NONE, "{\"__metadata__\":null," A_F32 "}", 8, 1, 0)                       \
    X(METADATA_EMPTY, "{\"__metadata__\":{}," A_F32 "}", 8, 1, 0)                        \
    X(FIELD_MORE,                                                                        \
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",        \
      8, 1, 0)                                                                           \
    X(NAME_EMPTY, "{" T("", "\"F32\"", "[2]", 0, 8) "}", 8, 1, 0)                        \
    X(NAME_ESCAPED, "{" T("\\ud83d\\udc1d\\n", "\"F32\"", "[2]", 0, 8) "}", 8, 1, 0)     \
    X(RANK_8, "{" T("a", "\"U8\"", "[1,2,1,2,1,2,1,1]", 0, 8) "}", 8, 1, 0)

typedef struct broken_file {
    const char *name, *header;
    size_t header_size, data;
    int64_t length, cut;
    oc_status status;
    const char *message;
    size_t tensors, pairs;      /* of the odd but good ones */
} broken_file;

typedef enum broken_kind {
#define BROKEN_ENUM(name, ...) BROKEN_##name,
    BROKEN_MAP(BROKEN_ENUM)
#undef BROKEN_ENUM
    BROKEN_COUNT
} broken_kind;

static const broken_file broken_files[] = {
#define BROKEN_ROW(name, header, data, length, cut, status, message)                     \
    [BROKEN_##name] = { #name, header, sizeof header - 1, data, length, cut,             \
    OC_##status,                                                                         \
                        message, 0, 0 },
    BROKEN_MAP(BROKEN_ROW)
#undef BROKEN_ROW
};

static const broken_file odd_files[] = {
#define ODD_ROW(name, header, data, tensors, pairs)                                      \
    { #name, header, sizeof header - 1, data, TRUE_LENGTH, WHOLE, OC_OK, "", tensors,    \
      pairs },
    ODD_MAP(ODD_ROW)
#undef ODD_ROW
};

enum { ODD_COUNT = sizeof odd_files / sizeof *odd_files, BROKEN_ROOM = 4096 };

/* The bytes of a row; their number. Data bytes are 1, 2, 3 … */
static inline size_t broken_build(const broken_file *row, unsigned char out[BROKEN_ROOM])
{
    uint64_t length = row->length == TRUE_LENGTH ? row->header_size
                                                 : (uint64_t)row->length;
    size_t size = sizeof length;
    memcpy(out, &length, size);
    memcpy(out + size, row->header, row->header_size);
    size += row->header_size;
    for (size_t i = 0; i < row->data; i++) out[size++] = (unsigned char)(i + 1);
    return row->cut == WHOLE ? size : (size_t)row->cut;
}

#endif
