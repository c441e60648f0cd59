/* What the targets for tokenizers share: whatever a tokenizer was made of, these hold. */
#ifndef FUZZ_TOKENS_H
#define FUZZ_TOKENS_H

#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/utf8.h"
#include "text/loader.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
    if (!good) abort();
}

/* Offsets stay inside the text, begin before they end, and no token is unknown. */
static void check_encoding(const oc_tokenizer *t, const oc_encoding *e, const char *text,
                           size_t size)
{
    int64_t codes = 0;
    for (size_t i = 0; i < size; i++) codes += ((unsigned char)text[i] & 0xc0) != 0x80;
    const int64_t *offsets = oc_encoding_offsets(e);
    for (size_t i = 0; i < oc_encoding_count(e); i++) {
        require(oc_tokenizer_token(t, oc_encoding_ids(e)[i]));
        require(oc_encoding_token(e, i));
        require(offsets[2 * i] >= 0 && offsets[2 * i] <= offsets[2 * i + 1]);
        require(offsets[2 * i + 1] <= codes);
    }
}

/* What the stream gives is what oc_decode gives. */
static inline void check_stream(oc_context *cx, const oc_tokenizer *t, const int64_t *ids,
                         size_t count, bool skip, oc_clean_up clean)
{
    size_t size, done = 0, n;
    char *whole = oc_decode(cx, t, ids, count, skip, clean, &size);
    require(whole && oci_utf8_valid(whole, size));
    oci_detokenizer *s = oci_detokenizer_create(cx, t, skip, clean);
    for (size_t i = 0; i < count; i++) {
        const char *piece = i + 1 < count
                                ? oci_detokenizer_push(cx, s, ids[i], &n)
                                : oci_detokenizer_push_last(cx, s, ids[i], &n);
        require(n <= size - done && !memcmp(piece, whole + done, n));
        require(oci_utf8_valid(piece, n));
        done += n;
    }
    require(done == size);
    oci_detokenizer_free(s);
    oc_string_free(whole);
}

static void use_tokenizer(oc_context *cx, const oc_tokenizer *t, const char *text,
                          size_t size)
{
    oc_encode_options o = OC_OPTIONS(oc_encode_options, .max_length = 9, .overflow = true,
                                     .truncation = OC_TRUNCATE_LONGEST_FIRST, .stride = 1,
                                     .token_type_ids = true);
    oc_encoding *e = oc_encode(cx, t, text, size, NULL, 0, NULL);
    if (e) {
        check_encoding(t, e, text, size);
        check_stream(cx, t, oc_encoding_ids(e), oc_encoding_count(e), false,
                     OC_CLEAN_UP_YES);
    }
    oc_encoding_free(e);
    e = oc_encode(cx, t, text, size, text, size / 2, &o);
    if (e) check_encoding(t, e, text, size);
    oc_encoding_free(e);
    oc_context_clear(cx);
}

#endif
