#include "text/sentencepiece.h"

#include <string.h>

/* ---- wire format ------------------------------------------------------------------- */

/* Wire types; groups (3 and 4) went out of use before SentencePiece began. */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

typedef struct reader {
    const uint8_t *at, *end;
    bool broken;
} reader;

typedef struct field {
    uint64_t number;
    int wire;
    uint64_t value;             /* VARINT, FIXED64, FIXED32 */
    const uint8_t *bytes;       /* BYTES: [value] */
} field;

/* Ten bytes at most; bits beyond the 64th are dropped, as protobuf does. */
static uint64_t read_varint(reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    r->broken = true;
    return 0;
}

static uint64_t read_fixed(reader *r, size_t n)
{
    uint64_t value = 0;
    if ((size_t)(r->end - r->at) < n) {
        r->broken = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++) value |= (uint64_t)r->at[i] << 8 * i;
    r->at += n;
    return value;
}

/* The next field of a message; false at its end, or with r->broken set. */
static bool next_field(reader *r, field *f)
{
    if (r->at == r->end) return false;
    uint64_t tag = read_varint(r);
    *f = (field){ .number = tag >> 3, .wire = (int)(tag & 7) };
    if (f->number == 0 || f->number > UINT32_MAX >> 3) r->broken = true;
    switch (f->wire) {
    case VARINT: f->value = read_varint(r); break;
    case FIXED64: f->value = read_fixed(r, 8); break;
    case FIXED32: f->value = read_fixed(r, 4); break;
    case BYTES:
        f->value = read_varint(r);
        if (r->broken || f->value > (uint64_t)(r->end - r->at)) {
            r->broken = true;
            break;
        }
        f->bytes = r->at;
        r->at += f->value;
        break;
    default: r->broken = true;
    }
    return !r->broken;
}

static reader inside(const field *f)
{
    return (reader){ f->bytes, f->bytes + f->value, false };
}

static bool is_field(const field *f, uint64_t number, int wire)
{
    /* A known number of another wire type is an unknown field, as in every reader. */
    return f->number == number && f->wire == wire;
}

/* ---- the model --------------------------------------------------------------------- */

/* Numbers of fields in sentencepiece_model.proto, and of a type of pieces. */
enum {
    MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3,
    PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3,
    TRAINER_MODEL_TYPE = 3, TRAINER_UNK_PIECE = 45,
    NORMALIZER_CHARSMAP = 2,
    UNKNOWN_TYPE = 2
};

/* count_pieces went by the same rule: there is room. */
static bool parse_piece(reader r, oci_spm *spm)
{
    oci_piece *piece = &spm->pieces[spm->count++];
    field f;
    *piece = (oci_piece){ .text = "" };
    while (next_field(&r, &f)) {
        if (is_field(&f, PIECE_TEXT, BYTES)) {
            piece->text = (const char *)f.bytes;
            piece->size = (size_t)f.value;
        } else if (is_field(&f, PIECE_SCORE, FIXED32)) {
            uint32_t bits = (uint32_t)f.value;
            float score;
            memcpy(&score, &bits, sizeof score);
            piece->score = score;
        } else if (is_field(&f, PIECE_TYPE, VARINT)) {
            spm->unknowns += f.value == UNKNOWN_TYPE;
        }
    }
    return !r.broken && piece->size > 0 && oci_utf8_valid(piece->text, piece->size);
}

/* A message that comes twice is one whose later fields count: protobuf merges them. */
static bool parse_trainer(reader r, oci_spm *spm)
{
    field f;
    while (next_field(&r, &f)) {
        if (is_field(&f, TRAINER_MODEL_TYPE, VARINT)) spm->model_type = f.value;
        if (!is_field(&f, TRAINER_UNK_PIECE, BYTES)) continue;
        spm->unknown = (const char *)f.bytes;
        spm->unknown_size = (size_t)f.value;
    }
    return !r.broken;
}

static bool parse_normalizer(reader r, oci_spm *spm)
{
    field f;
    while (next_field(&r, &f)) {
        if (!is_field(&f, NORMALIZER_CHARSMAP, BYTES)) continue;
        spm->charsmap = f.bytes;
        spm->charsmap_size = (size_t)f.value;
    }
    return !r.broken;
}

/* Pieces in the file, so that there is room for them; SIZE_MAX if it is broken. */
static size_t count_pieces(reader r)
{
    field f;
    size_t count = 0;
    while (next_field(&r, &f)) count += is_field(&f, MODEL_PIECES, BYTES);
    return r.broken ? SIZE_MAX : count;
}

static bool parse(oc_context *cx, oci_spm *spm, const char *name, reader r)
{
    field f;
    while (next_field(&r, &f)) {
        const char *what = NULL;
        if (is_field(&f, MODEL_PIECES, BYTES)) {
            if (!parse_piece(inside(&f), spm)) what = "a piece";
        } else if (is_field(&f, MODEL_TRAINER, BYTES)) {
            if (!parse_trainer(inside(&f), spm)) what = "a TrainerSpec";
        } else if (is_field(&f, MODEL_NORMALIZER, BYTES)) {
            if (!parse_normalizer(inside(&f), spm)) what = "a NormalizerSpec";
        }
        if (!what) continue;
        oci_fail(cx, OC_E_MALFORMED, "%s: field %llu, after %zu pieces: expected %s",
                 name, (unsigned long long)f.number, spm->count, what);
        return false;
    }
    return true;
}

bool oci_spm_parse(oc_context *cx, oci_spm *spm, const char *name, const uint8_t *bytes,
                   size_t size)
{
    *spm = (oci_spm){ .model_type = OCI_SPM_UNIGRAM, .unknown = "<unk>",
                       .unknown_size = 5 };
    reader r = { bytes, bytes + size, false };
    size_t count = count_pieces(r);
    if (count == SIZE_MAX)
        oci_fail(cx, OC_E_MALFORMED, "%s: expected a SentencePiece model", name);
    else if (count == 0)
        oci_fail(cx, OC_E_MALFORMED, "%s: expected pieces, found none", name);
    else if (count > cx->limits.vocab_size)
        oci_fail(cx, OC_E_LIMIT, "%s: expected at most %llu pieces, found %zu", name,
                 (unsigned long long)cx->limits.vocab_size, count);
    if (oci_failed(cx)) return false;
    spm->pieces = oci_calloc(cx, count, sizeof *spm->pieces);
    if (spm->pieces && parse(cx, spm, name, r)) return true;
    oci_spm_deinit(spm);
    return false;
}

void oci_spm_deinit(oci_spm *spm)
{
    oci_free(spm->pieces);
    *spm = (oci_spm){ 0 };
}
