/* Opening and closing, and what a tokenizer and an encoding tell of themselves. */
#include "text/tokenizer.h"

#include <string.h>

#include "io/file.h"
#include "text/encoding.h"
#include "text/loader.h"

/* ---- opening ----------------------------------------------------------------------- */

/* The path of a file of the folder if it is there, else NULL. */
static char *find_file(oci_loader *in, const char *name)
{
    char *path = oci_path_join(in->cx, in->folder, name);
    if (path && oci_file_exists(in->cx, path)) return path;
    oci_free(path);
    return NULL;
}

/* The files of the folder that its class is read from; *second is merges.txt, or NULL. */
static bool load_slow(oci_loader *in, const char *first, const char *second)
{
    switch (in->class->family) {
    case OCI_BERT: return oci_load_vocab_txt(in, first);
    case OCI_XLMR: case OCI_MBART: case OCI_LLAMA:
        return oci_load_sentencepiece(in, first);
    case OCI_GPT2: case OCI_ROBERTA: return oci_load_vocab_merges(in, first, second);
    case OCI_CLIP: return oci_load_clip(in, first, second);
    case OCI_PLAIN: break;
    }
    return false;
}

/* The files are vocab_files_names of the slow classes, which 4.37.2 converts as well. */
static bool open_converted(oci_loader *in)
{
    static const char *const names[][2] = {
        [OCI_GPT2] = { "vocab.json", "merges.txt" },
        [OCI_ROBERTA] = { "vocab.json", "merges.txt" },
        [OCI_CLIP] = { "vocab.json", "merges.txt" },
        [OCI_BERT] = { "vocab.txt", NULL },
        [OCI_XLMR] = { "sentencepiece.bpe.model", NULL },
        [OCI_MBART] = { "sentencepiece.bpe.model", NULL },
        [OCI_LLAMA] = { "tokenizer.model", NULL },
        [OCI_PLAIN] = { "tokenizer.json", NULL }
    };
    const char *const *name = names[in->class->family];
    char *first = find_file(in, name[0]);
    char *second = first && name[1] ? find_file(in, name[1]) : NULL;
    bool ok = false, plain = in->class->family == OCI_PLAIN;
    if (first && (second || !name[1]))
        ok = load_slow(in, first, second) && oci_config_apply(in, true) &&
             oci_load_class_post(in);
    else if (!oci_failed(in->cx))
        oci_fail(in->cx, OC_E_FILE, "%s: expected tokenizer.json%s%s%s%s", in->folder,
                 plain ? "" : " or ", plain ? "" : name[0],
                 name[1] ? " and " : "", name[1] ? name[1] : "");
    oci_free(first);
    oci_free(second);
    return ok;
}

/* No class that is known here: what the folder has instead, for the message. */
static bool nothing_to_open(oci_loader *in)
{
    static const char *const others[] = { "vocab.json", "vocab.txt", "tokenizer.model",
                                          "sentencepiece.bpe.model", "spiece.model" };
    const char *name = oci_json_text(in->cx, &in->config, in->config.root,
                                     "tokenizer_class", "no tokenizer_class");
    for (size_t i = 0; i < sizeof others / sizeof *others && !oci_failed(in->cx); i++) {
        char *path = find_file(in, others[i]);
        if (path)
            oci_fail(in->cx, OC_E_UNSUPPORTED, "%s: without tokenizer.json, and %.100s",
                     path, name);
        oci_free(path);
    }
    oci_fail(in->cx, OC_E_FILE,
             "%s: expected tokenizer.json, or a vocabulary and its class", in->folder);
    return false;
}

/* tokenizer.json first: from_pretrained of the fast classes converts only without it. */
static bool open_files(oci_loader *in)
{
    if (!oci_config_open(in)) return false;
    char *json = find_file(in, "tokenizer.json");
    bool ok = false;
    if (json)
        ok = oci_json_open(in->cx, &in->json, json) && oci_load_tokenizer_json(in) &&
             oci_config_apply(in, false);
    else if (!oci_failed(in->cx))
        ok = in->class ? open_converted(in) : nothing_to_open(in);
    oci_free(json);
    return ok;
}

oc_tokenizer *oc_tokenizer_open(oc_context *cx, const char *folder)
{
    if (!oci_given(cx, folder, __func__, "a folder")) return NULL;
    oc_tokenizer *t = oci_calloc(cx, 1, sizeof *t);
    if (!t) return NULL;
    oci_loader in = { .cx = cx, .t = t, .folder = folder };
    /* What an error leaves is closed like a whole one: every part is complete or NULL. */
    bool ok = open_files(&in);
    oci_config_close(&in);
    if (ok && !oci_failed(cx)) return t;
    oc_tokenizer_close(t);
    return NULL;
}

void oc_tokenizer_close(oc_tokenizer *t)
{
    if (!t) return;
    for (int i = 0; i < t->normalizer_count; i++) oci_free(t->normalizers[i].self);
    for (int i = 0; i < t->pre_count; i++) oci_free(t->pre[i].self);
    oci_free(t->decoder_self);
    if (t->model_kind) t->model_kind->free(t->model);
    oci_post_deinit(&t->post);
    oci_added_deinit(&t->added);
    oci_vocab_deinit(&t->vocab);
    oci_free(t);
}

/* ---- what they tell ---------------------------------------------------------------- */

const char *oc_tokenizer_token(const oc_tokenizer *t, int64_t id)
{
    return t ? oci_vocab_get(&t->vocab, id, NULL) : NULL;
}

int64_t oc_tokenizer_vocab_size(const oc_tokenizer *t) { return t ? t->vocab.bound : 0; }

bool oci_tokenizer_adds(const oc_tokenizer *t, const char *token, size_t size)
{
    int64_t id = oci_vocab_find(&t->vocab, token, size);
    return id != OCI_NO_ID && oci_added_has(&t->added, id);
}

int64_t oci_tokenizer_pad(const oc_tokenizer *t) { return t->pad_id; }
int64_t oci_tokenizer_eos(const oc_tokenizer *t) { return t->eos_id; }
int64_t oci_tokenizer_unk(const oc_tokenizer *t) { return t->unk_id; }

int64_t oc_tokenizer_find(const oc_tokenizer *t, const char *token)
{
    return t && token ? oci_vocab_find(&t->vocab, token, strlen(token)) : OCI_NO_ID;
}

size_t oc_encoding_count(const oc_encoding *e) { return e ? e->count : 0; }
const int64_t *oc_encoding_ids(const oc_encoding *e) { return e ? e->ids : NULL; }
const int64_t *oc_encoding_attention_mask(const oc_encoding *e)
{
    return e ? e->mask : NULL;
}
const int64_t *oc_encoding_offsets(const oc_encoding *e) { return e ? e->offsets : NULL; }
const int64_t *oc_encoding_sequence_ids(const oc_encoding *e)
{
    return e ? e->sequences : NULL;
}
size_t oc_encoding_overflow_count(const oc_encoding *e)
{
    return e ? e->overflow_count : 0;
}

const int64_t *oc_encoding_token_type_ids(const oc_encoding *e)
{
    return e && e->token_types ? e->types : NULL;
}

/* An added token may stand for more than its own text: it can eat white space. */
const char *oc_encoding_token(const oc_encoding *e, size_t index)
{
    if (!e || index >= e->count) return NULL;
    if (e->surfaces && e->surfaces[index]) return e->surfaces[index];
    return oc_tokenizer_token(e->tokenizer, e->ids[index]);
}

const oc_encoding *oc_encoding_overflow(const oc_encoding *e, size_t index)
{
    return e && index < e->overflow_count ? e->overflow[index] : NULL;
}
