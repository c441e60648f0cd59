/* ocelli.h - run and train vision-language models from Hugging Face folders, in C.
 *
 *     oc_context *cx = oc_context_create(NULL);
 *     oc_model *model = oc_model_open(cx, "printed-line-ocr", NULL);
 *     oc_image *image = oc_image_open(cx, "line.png", NULL);
 *     oc_texts *texts = oc_read(cx, model, &image, 1, NULL);
 *     if (oc_context_status(cx) == OC_OK) puts(oc_texts_get(texts, 0)->text);
 *     else fprintf(stderr, "%s\n", oc_context_message(cx));
 *     oc_texts_free(texts); oc_image_free(image); oc_model_close(model);
 *     oc_context_free(cx);
 *
 * Errors. A context remembers its first failure: status and message. While one is set,
 * every function that takes the context does nothing and returns NULL or the status, and
 * every function accepts NULL for what an earlier one did not deliver. So a program may
 * call in a row and look once. oc_context_clear() makes the context usable again.
 *
 * Threads. A context, and all that a call on it touches for writing, belongs to
 * one thread at a time. A model is immutable once open (training aside) and may be
 * used by any number of contexts at once; contexts made with `share` use one heap
 * and one set of worker threads.
 *
 * Ownership words. create/free and open/close own; get borrows from the object named in
 * the call and lasts as long as that object; free and close accept NULL.
 *
 * Option structs begin with `size`; set it by OC_OPTIONS, or pass NULL for the defaults:
 *     oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 2);
 */
#ifndef OCELLI_H
#define OCELLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OC_VERSION_MAJOR 0
#define OC_VERSION_MINOR 1
#define OC_VERSION_PATCH 0

#if defined(__GNUC__)
#define OC_API __attribute__((visibility("default")))
#define OC_NODISCARD __attribute__((warn_unused_result))
#define OC_PRINTF(position, first) __attribute__((format(printf, position, first)))
#else
#define OC_API
#define OC_NODISCARD
#define OC_PRINTF(position, first)
#endif

#define OC_OPTIONS(type, ...) ((type){ .size = sizeof(type), __VA_ARGS__ })

/* ---- status ------------------------------------------------------------------------ */

/* One table gives the code, its text, the command's exit status and
 * the server's HTTP status. */
#define OC_STATUS_MAP(X)                                                                 \
    /* name            text                                  exit  http */               \
    X(OK,              "ok",                                  0,   200)                  \
    X(E_FAILED,        "the work failed",                     1,   500)                  \
    X(E_IMAGE,         "not a usable image",                  1,   422)                  \
    X(E_WRITE,         "could not be written",                1,   500)                  \
    X(E_ARGUMENT,      "wrong argument",                      2,   400)                  \
    X(E_FILE,          "missing or unreadable file",          3,   404)                  \
    X(E_MALFORMED,     "malformed file or input",             4,   422)                  \
    X(E_UNSUPPORTED,   "not supported",                       5,   501)                  \
    X(E_MEMORY,        "out of memory",                       6,   503)                  \
    X(E_LIMIT,         "over a limit",                        6,   413)                  \
    X(E_CANCELLED,     "cancelled",                         130,   499)

typedef enum oc_status {
#define OC_STATUS_ENUM(name, text, exit_code, http) OC_##name,
    OC_STATUS_MAP(OC_STATUS_ENUM)
#undef OC_STATUS_ENUM
    OC_STATUS_COUNT
} oc_status;

/* Static strings and numbers of the table above; any thread;
 * unknown codes read as E_FAILED. */
OC_API const char *oc_status_name(oc_status status);
OC_API const char *oc_status_text(oc_status status);
OC_API int oc_status_exit_code(oc_status status);
OC_API int oc_status_http(oc_status status);
OC_API const char *oc_version(void);

/* ---- element types ----------------------------------------------------------------- */

/* The names of safetensors, in the order in which its writer sorts. */
#define OC_DTYPE_MAP(X)                                                                  \
    X(BOOL, 1) X(U8, 1) X(I8, 1) X(F8_E5M2, 1) X(F8_E4M3, 1) X(I16, 2) X(U16, 2)         \
    X(F16, 2) X(BF16, 2) X(I32, 4) X(U32, 4) X(F32, 4) X(F64, 8) X(I64, 8) X(U64, 8)

typedef enum oc_dtype {
#define OC_DTYPE_ENUM(name, bytes) OC_##name,
    OC_DTYPE_MAP(OC_DTYPE_ENUM)
#undef OC_DTYPE_ENUM
    OC_DTYPE_COUNT,
    /* Weights kept narrower than their file, in blocks of 32 inputs: types of whole
     * weights, not of elements. INT8: a scale a block; INT8_CHANNEL: a scale an output;
     * INT4: a scale and a minimum a block. */
    OC_INT8 = 32, OC_INT8_CHANNEL, OC_INT4
} oc_dtype;

/* ---- context ----------------------------------------------------------------------- */

typedef struct oc_context oc_context;

typedef enum oc_isa { OC_ISA_AUTO, OC_ISA_GENERIC, OC_ISA_AVX2, OC_ISA_AVX512 } oc_isa;
typedef enum oc_log_level { OC_LOG_DEBUG, OC_LOG_INFO, OC_LOG_WARNING } oc_log_level;

/* Called on the thread that made the call; `message` lasts until it returns. */
typedef void (*oc_log_callback)(void *user, oc_log_level level, const char *message);

typedef struct oc_context_options {
    size_t size;
    int threads;             /* workers of one call, the caller included; 0: all that the
                                process may run on (its affinity mask) */
    oc_isa isa;              /* kernels to use; one that this CPU lacks
                                is OC_E_UNSUPPORTED */
    uint64_t memory_budget;  /* bytes that the context may hold at once; 0: no bound */
    oc_context *share;       /* take heap, threads, ISA and limits from this one */
    oc_log_callback log;     /* NULL: silent */
    void *log_user;
} oc_context_options;

/* A new context; NULL only when memory for it is lacking. Options that cannot be met (an
 * ISA that the CPU lacks, threads that do not start) leave their error in it. */
OC_API OC_NODISCARD oc_context *oc_context_create(const oc_context_options *options);
OC_API void oc_context_free(oc_context *cx);
OC_API oc_status oc_context_status(const oc_context *cx);  /* NULL reads as OC_E_MEMORY */
OC_API const char *oc_context_message(const oc_context *cx);  /* borrowed until the
                                                                 next call */
OC_API void oc_context_clear(oc_context *cx);
/* Makes the running call, or else the next one, end with OC_E_CANCELLED. Any thread, and
 * safe in a signal handler. */
OC_API void oc_context_cancel(oc_context *cx);
OC_API int oc_context_threads(const oc_context *cx);
OC_API const char *oc_context_isa(const oc_context *cx);      /* "generic",
                                                                 "avx2", "avx512" */
/* Lowers one bound of those that guard against hostile input (names: `ocelli --help
 * limits`). Raising above the built-in bound is OC_E_ARGUMENT. */
OC_API oc_status oc_context_limit(oc_context *cx, const char *name, uint64_t value);
/* How products with narrow weights may be computed; OC_F32, the start, is exact. OC_INT8
 * rounds inputs of products with weights of OC_INT8, OC_INT8_CHANNEL or OC_INT4 to 8 bits
 * in blocks of 32; OC_BF16 rounds those of products with weights of OC_BF16 to bf16. A
 * permission: where it would gain nothing f32 is used. Another type is OC_E_ARGUMENT. */
OC_API oc_status oc_context_set_arithmetic(oc_context *cx, oc_dtype arithmetic);

typedef enum oc_framework { OC_PYTORCH, OC_TENSORFLOW, OC_FLAX } oc_framework;

/* Whose answer a model gives where Transformers' PyTorch, TensorFlow and Flax classes
 * differ (docs/FRAMEWORKS.md lists where); PyTorch's unless this says else, whatever file
 * the weights are from. */
OC_API oc_status oc_context_set_framework(oc_context *cx, oc_framework framework);

typedef struct oc_memory_usage {
    uint64_t live_bytes, peak_bytes;    /* held now, and the most ever held at once */
    uint64_t live_count, total_count;   /* allocations now, and ever */
} oc_memory_usage;
OC_API oc_memory_usage oc_context_memory(const oc_context *cx);

/* ---- named tensors: what travels in safetensors files ------------------------------ */

typedef struct oc_tensors oc_tensors;       /* an ordered set; names are unique */

typedef struct oc_tensor_view {             /* borrowed from the set */
    const char *name;
    oc_dtype dtype;
    int rank;                               /* 0: a scalar */
    const int64_t *shape;                   /* [rank], row-major order, outermost first */
    const void *data;                       /* contiguous; bytes = elements * size
                                               of dtype */
    size_t bytes;
} oc_tensor_view;

OC_API OC_NODISCARD oc_tensors *oc_tensors_create(oc_context *cx);
/* Reads a safetensors file and checks every rule of the format. */
OC_API OC_NODISCARD oc_tensors *oc_tensors_open(oc_context *cx, const char *path);
OC_API oc_status oc_tensors_save(oc_context *cx, const oc_tensors *set, const char *path);
OC_API void oc_tensors_free(oc_tensors *set);
/* Copies; a name that is there already is OC_E_ARGUMENT. `data` NULL adds zeros. */
OC_API oc_status oc_tensors_add(oc_context *cx, oc_tensors *set, const char *name,
                                oc_dtype dtype, int rank, const int64_t *shape,
                                const void *data);
OC_API size_t oc_tensors_count(const oc_tensors *set);
OC_API oc_tensor_view oc_tensors_get(const oc_tensors *set, size_t index);
/* False when there is none of that name. */
OC_API bool oc_tensors_find(const oc_tensors *set, const char *name,
                            oc_tensor_view *view);
/* The `__metadata__` of the file: NULL when it has no such key. */
OC_API const char *oc_tensors_metadata(const oc_tensors *set, const char *key);

/* Writes one tensor as numpy.save does; a type that numpy lacks (BF16) is
 * OC_E_UNSUPPORTED. */
OC_API oc_status oc_npy_save(oc_context *cx, const oc_tensors *set, const char *name,
                             const char *path);

/* ---- images ------------------------------------------------------------------------ */

typedef struct oc_image oc_image;           /* RGB, 8 bits a channel; immutable */

typedef struct oc_image_options {
    size_t size;
    bool exif_orientation;      /* turn the picture as its EXIF tag says */
} oc_image_options;

/* JPEG, PNG or WebP, converted as Pillow's Image.open(path).convert("RGB"). `path`
 * may be "-". Errors: OC_E_FILE, OC_E_IMAGE (not an image, cut, broken),
 * OC_E_UNSUPPORTED (another known kind), OC_E_LIMIT (image_bytes, image_pixels, …:
 * checked before memory is taken). */
OC_API OC_NODISCARD oc_image *oc_image_open(oc_context *cx, const char *path,
                                            const oc_image_options *options);
/* The same from memory; `name` stands for the path in messages. */
OC_API OC_NODISCARD oc_image *oc_image_decode(oc_context *cx, const char *name,
                                              const void *data, size_t size,
                                              const oc_image_options *options);
/* Copies width * height * 3 bytes, rows top to bottom. */
OC_API OC_NODISCARD oc_image *oc_image_create(oc_context *cx, int64_t width,
                                              int64_t height, const uint8_t *rgb);
OC_API void oc_image_free(oc_image *image);
/* Not more than `side` wide and high, in its proportions;
 * one that fits already is shared. */
OC_API OC_NODISCARD oc_image *oc_image_fit(oc_context *cx, const oc_image *image,
                                           int64_t side);
/* As PNG: in a new block of *size bytes (oc_string_free), or into a file,
 * whole or not. */
OC_API OC_NODISCARD char *oc_image_png(oc_context *cx, const oc_image *image,
                                       size_t *size);
OC_API oc_status oc_image_save(oc_context *cx, const oc_image *image, const char *path);
OC_API int64_t oc_image_width(const oc_image *image);
OC_API int64_t oc_image_height(const oc_image *image);
OC_API const uint8_t *oc_image_pixels(const oc_image *image);

/* ---- visual prompts: drawn on a picture so that a question can point at it --------- */

typedef enum oc_mark_shape {    /* its points: */
    OC_MARK_BOX,                /* two corners */
    OC_MARK_ELLIPSE,            /* two corners of the box around it */
    OC_MARK_ARROW,              /* tail and tip */
    OC_MARK_POINT,              /* one */
    OC_MARK_SCRIBBLE,           /* where a line goes through, two or more */
    OC_MARK_TRIANGLE,           /* three corners */
    OC_MARK_CONTOUR,            /* the corners of a closed line, three or more */
    OC_MARK_MASK                /* the corners of an area, three or more; or see `mask` */
} oc_mark_shape;

typedef struct oc_mark {
    size_t size;
    oc_mark_shape shape;
    const double *points;       /* [count, 2] x and y in pixels from the top left
                                   corner */
    size_t count;
    const char *color;          /* "#rrggbb" or a name (red, lime, blue, yellow, fuchsia,
                                   aqua, orange, purple, gold, …); NULL: red */
    double width;               /* of the line, of a point its radius, in pixels; 0: 3
                                   (a point 12, a scribble 4) for a picture of 336, and
                                   in proportion */
    double alpha;               /* 0: 1, of an area 0.35 */
    const oc_image *mask;       /* OC_MARK_MASK in place of points: a picture of the same
                                   size, marked where a channel is 128 or more */
} oc_mark;

/* A new picture with the mark on it. Points outside the picture are moved to its edge,
 * which is logged; where less than a pixel is then left of the shape, and for a wrong
 * number of points, it is OC_E_ARGUMENT. OC_E_UNSUPPORTED: a build without cairo. */
OC_API OC_NODISCARD oc_image *oc_image_mark(oc_context *cx, const oc_image *image,
                                            const oc_mark *mark);
/* All marks of a JSON array: [{"shape": "box", "points": [40, 40, 180, 180], "color":
 * "red", "width": 3, "alpha": 1}, …], all but shape and points optional. */
OC_API OC_NODISCARD oc_image *oc_image_marks(oc_context *cx, const oc_image *image,
                                             const char *json, size_t size);
/* The same from a file, where {"shape": "mask", "file":
 * "mask.png"} names a picture beside it. */
OC_API OC_NODISCARD oc_image *oc_image_marks_open(oc_context *cx, const oc_image *image,
                                                  const char *path);

/* ---- text -------------------------------------------------------------------------- */

typedef struct oc_tokenizer oc_tokenizer;   /* immutable, shared between threads */
typedef struct oc_encoding oc_encoding;

typedef enum oc_truncation {
    OC_TRUNCATE_NONE, OC_TRUNCATE_LONGEST_FIRST, OC_TRUNCATE_ONLY_FIRST,
    OC_TRUNCATE_ONLY_SECOND
} oc_truncation;

typedef enum oc_side { OC_SIDE_DEFAULT, OC_SIDE_LEFT, OC_SIDE_RIGHT } oc_side;

typedef struct oc_encode_options {
    size_t size;
    bool no_special_tokens;
    oc_truncation truncation;
    int64_t max_length;         /* for truncation and pad_to_max; 0: the tokenizer's own
                                   model_max_length, and if it has none, neither is
                                   done */
    bool pad_to_max;            /* padding="max_length" */
    int64_t pad_to;             /* pad at least to this length (a batch's longest) */
    oc_side padding_side, truncation_side;
    const char *pad_token;      /* NULL: the tokenizer's own; where it has none, asking
                                   for padding is OC_E_ARGUMENT */
    bool token_type_ids;        /* give them also where the model takes none */
    bool overflow;              /* return_overflowing_tokens: keep what truncation
                                   cut off, */
    int64_t stride;             /* this many tokens shared by neighbouring pieces */
    bool empty_pair;            /* an empty `pair` is a second text, too: what
                                   Transformers makes of it in a batch, but not in a
                                   text alone */
} oc_encode_options;

/* From a folder with tokenizer.json, or the files of its class: vocab.json + merges.txt,
 * vocab.txt, sentencepiece.bpe.model, tokenizer.model. OC_E_FILE: none is there;
 * OC_E_UNSUPPORTED: a component that is not known, by name; OC_E_MALFORMED,
 * OC_E_LIMIT. */
OC_API OC_NODISCARD oc_tokenizer *oc_tokenizer_open(oc_context *cx, const char *folder);
OC_API void oc_tokenizer_close(oc_tokenizer *tokenizer);
/* `pair` may be NULL; an empty one counts as none (but see empty_pair). Texts are UTF-8
 * with lengths (they may hold U+0000); text that is not UTF-8 is OC_E_MALFORMED.
 * Truncation that cannot be met is OC_E_ARGUMENT. The encoding borrows the tokenizer. */
OC_API OC_NODISCARD oc_encoding *oc_encode(oc_context *cx, const oc_tokenizer *tokenizer,
                                           const char *text, size_t text_size,
                                           const char *pair, size_t pair_size,
                                           const oc_encode_options *options);
OC_API void oc_encoding_free(oc_encoding *encoding);
OC_API size_t oc_encoding_count(const oc_encoding *encoding);
OC_API const int64_t *oc_encoding_ids(const oc_encoding *encoding);
OC_API const int64_t *oc_encoding_attention_mask(const oc_encoding *encoding);
/* NULL where the tokenizer's model takes none (RoBERTa, GPT-2). */
OC_API const int64_t *oc_encoding_token_type_ids(const oc_encoding *encoding);
/* Begin and end (exclusive) in code points of its own text: 2 * count numbers. */
OC_API const int64_t *oc_encoding_offsets(const oc_encoding *encoding);
/* Which text each token came from: 0, 1, or -1 for special tokens and padding. */
OC_API const int64_t *oc_encoding_sequence_ids(const oc_encoding *encoding);
/* The string of one token: the vocabulary's, but for an added token that took white space
 * beside it in, that white space too, and for what Unigram does not know, that text.
 * Borrowed; NULL beyond the end. */
OC_API const char *oc_encoding_token(const oc_encoding *encoding, size_t index);
/* What truncation cut off, in pieces of the same shape (options.overflow). Borrowed. */
OC_API size_t oc_encoding_overflow_count(const oc_encoding *encoding);
OC_API const oc_encoding *oc_encoding_overflow(const oc_encoding *encoding, size_t index);
/* The vocabulary string of an id (NUL-terminated), NULL outside the vocabulary. */
OC_API const char *oc_tokenizer_token(const oc_tokenizer *tokenizer, int64_t id);
/* The id of a vocabulary string, added ones too; -1 if there is none. */
OC_API int64_t oc_tokenizer_find(const oc_tokenizer *tokenizer, const char *token);
/* One more than the largest id, added ones too. */
OC_API int64_t oc_tokenizer_vocab_size(const oc_tokenizer *tokenizer);

typedef enum oc_clean_up {
    OC_CLEAN_UP_DEFAULT,
    OC_CLEAN_UP_NO,
    OC_CLEAN_UP_YES
} oc_clean_up;

/* Text of ids in a new string (oc_string_free), its length in *size if given. Ids outside
 * the vocabulary are dropped, as Transformers drops them. */
OC_API OC_NODISCARD char *oc_decode(oc_context *cx, const oc_tokenizer *tokenizer,
                                    const int64_t *ids, size_t count,
                                    bool skip_special_tokens, oc_clean_up clean_up,
                                    size_t *size);
OC_API void oc_string_free(char *string);

/* ---- models ------------------------------------------------------------------------ */

typedef struct oc_model oc_model;

typedef struct oc_model_options {
    size_t size;
    bool trainable;         /* weights as f32 that gradients and optimizers can reach */
    bool weights_only;      /* leave tokenizer, image processor and generation
                               config alone */
    bool no_weights;        /* leave the model itself alone: for oc_preprocess and the
                               tokenizer; oc_forward and the like then are
                               OC_E_ARGUMENT */
    bool map;               /* map the weight files while loading instead of reading them:
                               less memory, but a file that shrinks meanwhile kills */
    const char *class_name; /* the Transformers class to open the weights for, one of the
                               model type's; NULL: architectures[0] of config.json */
    bool allow_missing;     /* draw what that class has and no file does, as
                               Transformers does, and name it by oc_model_fresh;
                               without, it is OC_E_MALFORMED */
    const char *weights;    /* the file of the folder, or the index, to take the weights
                               from; NULL: the first that is there of model.safetensors,
                               pytorch_model.bin, tf_model.h5, flax_model.msgpack */
    const char *revision;   /* of a name in the hub's cache: a branch, a tag or a commit;
                               NULL: "main" */
    oc_dtype weights_dtype; /* 0: each as in its file. OC_F32, OC_BF16, OC_F16: all
                               rounded to that. OC_INT8, OC_INT8_CHANNEL, OC_INT4:
                               matrices of products with 32 inputs or more are quantised,
                               the others stay as they are (docs/QUANTISATION.md has the
                               errors); not with `trainable` */
    bool no_map;            /* read weights that are quantised in the file (oc_convert) in
                               place of mapping them where they lie, which is done at
                               once, but kills where such a file shrinks while the model
                               is open */
    int64_t context;        /* positions whose keys and values the model is to have
                               memory for, too, when that is looked at before loading; 0:
                               a question's */
} oc_model_options;

/* `name` is a folder in Hugging Face format, a bundled model ("printed-line-ocr"), or a
 * model that lies in the Hugging Face hub's cache ("org/name"; oc_pull puts it there).
 * Errors name the file and the tensor or field: OC_E_FILE, OC_E_MALFORMED,
 * OC_E_UNSUPPORTED, …; what is merely odd (tensors that no part of the model takes, NaN)
 * is logged as a warning. OC_E_MEMORY: before anything is loaded, where the context's
 * budget or the machine has too little; the message says how much it takes and the widest
 * weights_dtype that would fit. */
OC_API OC_NODISCARD oc_model *oc_model_open(oc_context *cx, const char *name,
                                            const oc_model_options *options);
OC_API void oc_model_close(oc_model *model);
/* model_type of config.json ("visual_bert"); NULL for a model
 * opened without its weights. */
OC_API const char *oc_model_type(const oc_model *model);
/* The folder that `name` stands for in a new string (oc_string_free); `revision` as in
 * oc_model_options. */
OC_API OC_NODISCARD char *oc_model_folder(oc_context *cx, const char *name,
                                          const char *revision);

typedef struct oc_save_options {
    size_t size;
    const char *format;         /* "safetensors", "bin" (torch.save), "h5" (Keras) or
                                   "msgpack" (Flax); NULL: safetensors */
    oc_dtype dtype;             /* of all weights: OC_F32, OC_BF16 or OC_F16; 0: each
                                   keeps its own. "h5" has no BF16: 0 makes F32 of it
                                   there. OC_INT8, OC_INT8_CHANNEL, OC_INT4: as in
                                   oc_model_options, and in safetensors alone, in a form
                                   of our own (docs/FORMAT-weights.md) that is mapped when
                                   it is opened */
    uint64_t max_shard_size;    /* bytes of tensors in one file; 0: as Transformers, 5e9,
                                   and 1e10 for "h5" and "msgpack" */
    const char *mask;           /* which parameters get `dtype`, as in oc_model_cast; the
                                   others keep their own; NULL: all */
} oc_save_options;

/* Writes config.json, generation_config.json, tokenizer and processor files as they are,
 * and the weights (model.safetensors, or shards with their index), into a folder that is
 * made if missing. Each file is whole or not at all; shards of an earlier save that are
 * no longer part of it are removed. Weights go out one tensor at a time. */
OC_API oc_status oc_model_save(oc_context *cx, const oc_model *model, const char *folder,
                               const oc_save_options *options);

/* Rounds parameters to OC_F32, OC_BF16 or OC_F16, where they stay, as the to_fp32,
 * to_bf16 and to_fp16 of Flax' classes do. `mask` says which, by Transformers' PyTorch
 * names: patterns with commas between them, * and ? as in a shell, '!' before those that
 * are left out, the last that matches deciding ("!*LayerNorm*,!*layernorm*"); NULL: all.
 * One that selects none is OC_E_ARGUMENT, a trainable model OC_E_UNSUPPORTED. Not while
 * others use the model. */
OC_API oc_status oc_model_cast(oc_context *cx, oc_model *model, oc_dtype dtype,
                               const char *mask);

typedef struct oc_convert_options {
    size_t size;
    oc_save_options save;           /* format, dtype, max_shard_size of what is written */
    const char *weights, *revision; /* of what is read, as in oc_model_options */
} oc_convert_options;

/* Writes the model `name` into `folder` (made if missing) in another format, type or
 * number of shards: what oc_model_save writes of it, but one tensor at a time from file
 * to file, so that memory for the largest tensor is enough. OC_E_ARGUMENT: `folder` is
 * the model's own, or has weights of another format. */
OC_API oc_status oc_convert(oc_context *cx, const char *name, const char *folder,
                            const oc_convert_options *options);

typedef struct oc_inspect_options {
    size_t size;
    bool tensors;           /* tell of every tensor */
    const char *class_name; /* as in oc_model_options: what that class would miss */
    const char *weights, *revision;         /* as there, too */
} oc_inspect_options;

/* What `ocelli inspect` tells, as one JSON object in a new string: reads headers only. */
OC_API OC_NODISCARD char *oc_inspect(oc_context *cx, const char *name,
                                     const oc_inspect_options *options);

typedef struct oc_doctor_options {
    size_t size;
    const char *class_name, *weights, *revision;        /* as in oc_model_options */
    const char *in;                 /* a safetensors file: the arguments of the forward
                                       pass; NULL: seeded ones */
    const char *save_inputs;        /* where to write those, for a reference to be run
                                       on */
    const char *against;            /* a safetensors file of outputs, as oc_forward
                                       names them: compared one by one, to 1e-4 of the
                                       largest number */
    oc_dtype weights_dtype;         /* as in oc_model_options: of the forward pass */
} oc_doctor_options;

/* What `ocelli doctor` tells, as one JSON object in a new string (oc_string_free): what
 * the folder is, whether all of it can be read, what is missing, unused, tied or at odds,
 * the tokenizer there and back, and a hash of a forward pass, which one machine's kernels
 * give again and again. "findings" are {level, about, text}, with what Transformers makes
 * of each; "healthy" is true if none is an "error". Only a folder that is not there is an
 * error of the call. */
OC_API OC_NODISCARD char *oc_doctor(oc_context *cx, const char *name,
                                    const oc_doctor_options *options);

/* ---- the hub ---- */

typedef struct oc_pull_progress {   /* borrowed until the callback returns */
    const char *file;               /* what is being downloaded */
    uint64_t done, total;           /* bytes of all files that are wanted so far */
} oc_pull_progress;

typedef struct oc_pull_options {
    size_t size;
    const char *revision;           /* a branch, a tag or a commit; NULL: "main" */
    const char *const *include;     /* [include_count] patterns of file names
                                       ("*.json"): these and no others; NULL: what
                                       opening the model takes */
    size_t include_count;
    int64_t retries;                /* of a request, after a failure that may pass; 0: 5;
                                       -1: none */
    void (*progress)(void *user, const oc_pull_progress *progress);
    void *progress_user;
} oc_pull_options;

/* Downloads a model ("org/name") from the Hugging Face hub into its cache, where
 * oc_model_open then finds it, and gives the folder in a new string (oc_string_free).
 * Unless `include` says otherwise: its configs, tokenizer and processor, and of its
 * weights the files that from_pretrained would take. What is in the cache is not fetched
 * again, what was interrupted is resumed, checksums are compared, and until all is there
 * a revision is what it was.
 *
 * The environment is huggingface_hub's: HF_HUB_CACHE, HF_HOME, HF_TOKEN, HF_ENDPOINT,
 * HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT, and libcurl's for proxies. Errors: OC_E_FILE
 * (no such model or file, no right to it, no network), OC_E_MALFORMED (what came is not
 * what was announced), OC_E_WRITE, OC_E_UNSUPPORTED (a build without libcurl). */
OC_API OC_NODISCARD char *oc_pull(oc_context *cx, const char *name,
                                  const oc_pull_options *options);

/* ---- making and changing models: none of these while another call uses the model --- */

typedef struct oc_make_options {
    size_t size;
    uint64_t seed;          /* of what is drawn; each parameter depends on it and its
                               name only */
    bool trainable;
    const char *options;    /* oc_model_join: a JSON object of options. "model_type" says
                               what is joined (below); the others are routed by their
                               prefixes, as from_encoder_decoder_pretrained does:
                               encoder_NAME and decoder_NAME (or vision_NAME and
                               text_NAME) into that part's config, NAME (and
                               decoder_start_token_id) into the whole's */
} oc_make_options;

/* A model of a config (JSON text, as config.json holds it) with every parameter drawn as
 * Transformers' initialisers draw it. */
OC_API OC_NODISCARD oc_model *oc_model_create(oc_context *cx, const char *config,
                                              const oc_make_options *options);
/* A VisionEncoderDecoder of a pretrained encoder and a pretrained decoder, by folder or
 * name. The decoder gets cross-attention; what neither folder has is drawn
 * (oc_model_fresh). Special ids are not derived: set them by `options`,
 * {"decoder_start_token_id": 101, …}. Or, with {"model_type":
 * "vision-text-dual-encoder"}, a VisionTextDualEncoder of a vision and a text tower; a
 * whole CLIP gives its vision tower. The projections and logit_scale are drawn. With
 * oc_model_freeze(cx, model, "vision_model.") it is ready to be trained as LiT. */
OC_API OC_NODISCARD oc_model *oc_model_join(oc_context *cx, const char *encoder,
                                            const char *decoder,
                                            const oc_make_options *options);
/* The config that oc_model_join makes, of two configs, all as JSON texts, `options` as
 * above or NULL; in a new string (oc_string_free). */
OC_API OC_NODISCARD char *oc_config_join(oc_context *cx, const char *encoder,
                                         const char *decoder, const char *options);
/* Name number `index` of the parameters that were drawn because no file had them (joined
 * models, allow_missing); NULL beyond the last. */
OC_API const char *oc_model_fresh(const oc_model *model, size_t index);
/* num_parameters(): how many numbers, tied ones once. -1: error set. */
OC_API int64_t oc_model_parameters(oc_context *cx, const oc_model *model);
/* resize_token_embeddings: `tokens` (0: as many as now) rounded up to a multiple of
 * `multiple_of` (0: 1). New rows are drawn, tied heads and the config follow. */
OC_API oc_status oc_model_resize_tokens(oc_context *cx, oc_model *model, int64_t tokens,
                                        int64_t multiple_of, uint64_t seed);
/* prune_heads: takes heads out of self-attention, as JSON {"LAYER": [HEAD, …]}, by the
 * numbers that they had at first; of a composite {"encoder": {…}, "decoder": {…}}. The
 * config remembers them as pruned_heads. OC_E_UNSUPPORTED: 4.37.2 has no pruning for this
 * architecture, or no head of a layer would be left. */
OC_API oc_status oc_model_prune_heads(oc_context *cx, oc_model *model, const char *heads);
/* Parameters whose names begin with `prefix` ("encoder.") get no gradient from now on,
 * and no optimizer changes them; none of that name is OC_E_ARGUMENT. */
OC_API oc_status oc_model_freeze(oc_context *cx, oc_model *model, const char *prefix);
/* Copies of the parameters whose names begin with `prefix` ("": all), as F32. */
OC_API OC_NODISCARD oc_tensors *oc_model_get(oc_context *cx, const oc_model *model,
                                             const char *prefix);
/* Overwrites parameters with tensors of the same names and shapes; misfits are found
 * before anything is written. */
OC_API oc_status oc_model_set(oc_context *cx, oc_model *model, const oc_tensors *values);

typedef struct oc_forward_options {
    size_t size;
    const char *class_name;         /* NULL: architectures[0] of config.json */
    bool output_hidden_states, output_attentions, use_cache;
    bool gradients;                 /* d loss / d parameter as grad.NAME; needs a
                                       trainable model */
} oc_forward_options;

/* One forward pass. `in` holds the arguments, and the result the outputs, under
 * Transformers' names (docs: "Raw commands"). */
OC_API OC_NODISCARD oc_tensors *oc_forward(oc_context *cx, const oc_model *model,
                                           const oc_tensors *in,
                                           const oc_forward_options *options);

/* pixel_values F32 [count, 3, H, W] as the folder's preprocessor_config.json asks. All
 * images must come out at one size. */
OC_API OC_NODISCARD oc_tensors *oc_preprocess(oc_context *cx, const oc_model *model,
                                              oc_image *const *images, size_t count);
/* Texts, pictures or both as one set of arguments, as VisionTextDualEncoderProcessor and
 * CLIPProcessor give them with padding=True: input_ids, token_type_ids where the
 * tokenizer has them, attention_mask, and last pixel_values. Neither is OC_E_ARGUMENT. */
OC_API OC_NODISCARD oc_tensors *oc_process(oc_context *cx, const oc_model *model,
                                           const char *const *texts, size_t text_count,
                                           oc_image *const *images, size_t image_count);
OC_API const oc_tokenizer *oc_model_tokenizer(oc_context *cx, const oc_model *model);

/* ---- generation -------------------------------------------------------------------- */

/* One decided token of row `row` of the result; `text` is what can be shown of it (never
 * half a code point), NULL where the model has no tokenizer. Returning false stops that
 * row. Beam search decides at its end: all of row 0, then all of row 1, … */
typedef bool (*oc_token_callback)(void *user, int64_t row, int64_t token,
                                  const char *text);

/* prefix_allowed_tokens_fn: which ids may follow `ids` [count], a row of picture
 * `picture`, prompt included. Gives the list, which must stay until the next call, and
 * its length; an empty one is OC_E_ARGUMENT. */
typedef const int64_t *(*oc_prefix_callback)(void *user, int64_t picture,
                                             const int64_t *ids, size_t count,
                                             size_t *allowed);

typedef struct oc_generate_options {
    size_t size;
    const char *config;             /* a JSON object of GenerationConfig's names, laid
                                       over generation_config.json; NULL: nothing. "seed"
                                       is ours */
    bool output_scores;             /* scores.N, every step; of beam search also
                                       sequences_scores and beam_indices */
    bool output_logprobs;           /* token_logprobs F32 [rows, steps]: log softmax of
                                       the raw logits at each chosen token; 0 after a
                                       row's end */
    oc_token_callback callback;
    void *callback_user;
    bool output_attentions;         /* encoder_attentions.LAYER,
                                       decoder_attentions.STEP.LAYER,
                                       cross_attentions.STEP.LAYER */
    bool output_hidden_states;      /* encoder_hidden_states.N,
                                       decoder_hidden_states.STEP.N */
    oc_prefix_callback prefix_allowed_tokens;
    void *prefix_user;
    int64_t first_picture;          /* number of the first picture, where a call does a
                                       part of more: what sampling draws depends on it,
                                       not on the batch */
    oc_dtype kv_dtype;              /* of the keys and values kept between steps: OC_F32
                                       (or 0), which is exact, OC_BF16, or OC_INT8 with a
                                       scale for each position and head
                                       (docs/GENERATION.md has the errors) */
} oc_generate_options;

/* `in` holds pixel_values and, if wanted, decoder_input_ids. The result holds
 * sequences I64, padded as Transformers pads, num_return_sequences rows a picture.
 * Sampling is Transformers' in distribution; its draws are a function of seed,
 * picture, return and step alone. */
OC_API OC_NODISCARD oc_tensors *oc_generate(oc_context *cx, const oc_model *model,
                                            const oc_tensors *in,
                                            const oc_generate_options *options);

/* ---- reading text from images ------------------------------------------------------ */

typedef struct oc_texts oc_texts;

typedef struct oc_text {            /* borrowed from its oc_texts */
    const char *text;               /* UTF-8, NUL-terminated; special tokens left out,
                                       unless oc_read_options.whole asks for them */
    double confidence;              /* geometric mean of the chosen tokens'
                                       probabilities */
    int64_t tokens;                 /* generated, the end token included */
    const int64_t *ids;             /* [tokens] */
    const float *logprobs;          /* [tokens] */
    bool is_json;                   /* oc_parse: `text` is JSON */
} oc_text;

typedef struct oc_timings {         /* seconds of the last oc_read, summed over its
                                       images */
    double preprocess, encode, decode;
    int64_t tokens;
} oc_timings;

typedef struct oc_read_options {
    size_t size;
    const char *config;             /* as in oc_generate_options */
    oc_token_callback callback;
    void *callback_user;
    oc_timings *timings;            /* filled if not NULL */
    const char *prompt;             /* what the decoder begins with, tokenized without
                                       special tokens; NULL: its start token alone */
    bool whole;                     /* texts hold the prompt and all special tokens,
                                       too */
    int64_t first_picture;          /* as in oc_generate_options */
    oc_dtype kv_dtype;              /* as in oc_generate_options */
} oc_read_options;

/* Image → processor → encoder → decoder → text, all images as one batch; result i belongs
 * to image i and does not depend on the others. For VisionEncoderDecoder models. */
OC_API OC_NODISCARD oc_texts *oc_read(oc_context *cx, const oc_model *model,
                                      oc_image *const *images, size_t count,
                                      const oc_read_options *options);
OC_API size_t oc_texts_count(const oc_texts *texts);
OC_API const oc_text *oc_texts_get(const oc_texts *texts, size_t index);
OC_API void oc_texts_free(oc_texts *texts);

typedef struct oc_parse_options {
    size_t size;
    const char *task;               /* Donut: "cord-v2" is the prompt <s_cord-v2>; a task
                                       whose tag the tokenizer lacks is OC_E_ARGUMENT */
    const char *question;           /* Donut: asked in the prompt; the task is then
                                       "docvqa" unless it is given */
    const char *config;             /* as in oc_generate_options */
    oc_token_callback callback;
    void *callback_user;
    oc_timings *timings;            /* filled if not NULL */
    int64_t first_picture;          /* as in oc_generate_options */
    oc_dtype kv_dtype;              /* as in oc_generate_options */
} oc_parse_options;

/* Documents to data: as oc_read, but up to the last position of the decoder, and the
 * texts are JSON by Donut's rules or, of a Nougat, markup (oc_document_markup). */
OC_API OC_NODISCARD oc_texts *oc_parse(oc_context *cx, const oc_model *model,
                                       oc_image *const *images, size_t count,
                                       const oc_parse_options *options);

/* What Donut writes (`<s_total>9.50</s_total>`) as JSON (`{"total":"9.50"}`) in a new
 * string (oc_string_free), also for text that is not well-formed, as the reference reads
 * it. The tokenizer, which may be NULL, tells its added tokens (`<yes/>`) from text. */
OC_API OC_NODISCARD char *oc_document_json(oc_context *cx, const char *text, size_t size,
                                           const oc_tokenizer *tokenizer);

/* What a Nougat writes as the markup that it means, in a new string (oc_string_free),
 * its length in *result_size if given: repetitions, made up references and broken
 * tables are dealt with as by post_process_generation; `fix_markdown` adds its changes
 * for Markdown. At most 1 MiB. */
OC_API OC_NODISCARD char *oc_document_markup(oc_context *cx, const char *text,
                                             size_t size, bool fix_markdown,
                                             size_t *result_size);

/* ---- conversations about pictures -------------------------------------------------- */

typedef struct oc_chat oc_chat;     /* one thread at a time; any number of them on
                                       one model */

typedef struct oc_chat_options {
    size_t size;
    const char *style;              /* "vipllava", "vicuna", "llava", "llama", "plain";
                                       NULL: by the folder's chat template, which is
                                       OC_E_UNSUPPORTED if it is none of these, or without
                                       one "vipllava" */
    const char *system;             /* what it begins with; NULL: the style's own */
    const char *config;             /* as in oc_generate_options; beams are not for
                                       talking. max_new_tokens: 512 unless it says else */
    int64_t context;                /* positions it may take; 0:
                                       max_position_embeddings */
    oc_dtype kv_dtype;              /* as in oc_generate_options */
} oc_chat_options;

/* A piece of the answer, in order; the pieces joined are the answer.
 * Returning false ends it. */
typedef bool (*oc_chat_callback)(void *user, const char *text);

/* With a ViP-LLaVA, which it borrows. */
OC_API OC_NODISCARD oc_chat *oc_chat_create(oc_context *cx, const oc_model *model,
                                            const oc_chat_options *options);
OC_API void oc_chat_free(oc_chat *chat);
/* A picture that the next question is about; it is encoded now, and never again. */
OC_API oc_status oc_chat_add_image(oc_context *cx, oc_chat *chat, oc_image *image);
/* Asks, and gives the answer: borrowed until the next call with this chat. Only what is
 * new of the conversation is read. The new pictures' places are before the question, or
 * where it says <image>. `callback` may be NULL. OC_E_LIMIT: the context is full. After
 * any error, and after a cancel, the conversation is as it was before the question, whose
 * pictures still wait. */
OC_API const char *oc_chat_say(oc_context *cx, oc_chat *chat, const char *question,
                               oc_chat_callback callback, void *user);
/* The same in steps, so that several conversations are answered side by side:
 * oc_chat_begin reads the question and decides the answer's first token; oc_chat_step
 * decides one more in each of `count` chats, all of one model and none twice, in a single
 * pass that reads the weights once; oc_chat_end gives the answer. Answers are the bits
 * that oc_chat_say gives, whatever the company.
 *
 * Between begin and end a chat takes no other call than these, oc_chat_length and
 * oc_chat_free. oc_chat_step returns how many go on; chats whose answers are complete may
 * stay in the list. If it fails or is cancelled (0, error set) no token was lost: once
 * the error is cleared it can be called again, with the same chats or fewer. oc_chat_end
 * before the answer is complete keeps what there is of it; with an error set it gives
 * NULL, and the conversation is as it was before the question. */
OC_API oc_status oc_chat_begin(oc_context *cx, oc_chat *chat, const char *question,
                               oc_chat_callback callback, void *user);
OC_API size_t oc_chat_step(oc_context *cx, oc_chat *const *chats, size_t count);
OC_API const char *oc_chat_end(oc_context *cx, oc_chat *chat);
/* Takes back the last question with its pictures, and those that wait. */
OC_API oc_status oc_chat_undo(oc_context *cx, oc_chat *chat);

typedef struct oc_chat_turn {       /* borrowed until the next call with this chat */
    const char *question, *answer;
    size_t images;                  /* that came with the question */
    bool whole;                     /* the answer came to its end by itself */
} oc_chat_turn;
OC_API size_t oc_chat_count(const oc_chat *chat);
OC_API oc_chat_turn oc_chat_get(const oc_chat *chat, size_t index);
/* Positions of the context that are taken, and how many of
 * them the last question read. */
OC_API int64_t oc_chat_length(const oc_chat *chat, int64_t *fresh);

/* ---- pictures and texts in one space ----------------------------------------------- */

typedef struct oc_embed_options {
    size_t size;
    bool normalize;                 /* rows of length 1 */
    bool truncate;                  /* cut texts that are longer than the model's
                                       positions; otherwise they are OC_E_MALFORMED */
} oc_embed_options;

/* "image_embeds" and "text_embeds", F32 [count, E]: of a dual encoder what
 * get_image_features and get_text_features give, of a model that is one tower (CLIP's,
 * ViT, BERT, …) its pooled output. Row i belongs to input i and does not depend on the
 * others; a batch of texts takes as long as its tokens, whatever their lengths. */
OC_API OC_NODISCARD oc_tensors *oc_embed_images(oc_context *cx, const oc_model *model,
                                                oc_image *const *images, size_t count,
                                                const oc_embed_options *options);
OC_API OC_NODISCARD oc_tensors *oc_embed_texts(oc_context *cx, const oc_model *model,
                                               const char *const *texts, size_t count,
                                               const oc_embed_options *options);

typedef struct oc_classify_options {
    size_t size;
    const char *pattern;            /* "a photo of a {}": the label goes wherever {} is;
                                       NULL: "{}", the label alone */
    const oc_tensors *earlier;      /* what an earlier call with the same model, labels
                                       and pattern gave: the labels are not run again */
} oc_classify_options;

/* Zero-shot classes by a VisionTextDualEncoder: "logits_per_image" and their softmax
 * "probabilities", F32 [count, label_count], and the labels' "text_embeds". With a count
 * of 0 these alone, so that what is wrong with a label shows before any picture is
 * opened. */
OC_API OC_NODISCARD oc_tensors *oc_classify(oc_context *cx, const oc_model *model,
                                            oc_image *const *images, size_t count,
                                            const char *const *labels, size_t label_count,
                                            const oc_classify_options *options);

/* ---- regions of pictures, and questions about them --------------------------------- */

/* Features of regions from a file: visual_embeds F32 [pictures, regions, D] and, if
 * they are there, visual_attention_mask and visual_token_type_ids, of .safetensors,
 * .npz or .npy; of a .tsv also boxes and image_size (docs/FORMAT-regions.md).
 * `which` is an image_id of a .tsv, or the number of a picture, from 0; NULL: all
 * there are, of a .tsv its only one. */
OC_API OC_NODISCARD oc_tensors *oc_regions_open(oc_context *cx, const char *path,
                                                const char *which);

typedef struct oc_region_options {
    size_t size;
    const char *file;       /* a regions.json: its boxes and its form; NULL: `boxes`, … */
    const double *boxes;    /* [count, 4] x0, y0, x1, y1, as fractions of width and
                               height, …; */
    size_t count;           /* neither: the regions.json of the model's folder */
    bool normalize;         /* of `boxes`: rows of length 1, … */
    bool append_box;        /* … and the four numbers of the box after each */
} oc_region_options;

/* What regions of a picture are to a VisualBERT: visual_embeds F32 [1, regions, D], with
 * visual_attention_mask, visual_token_type_ids and boxes F32 [regions, 4]. `model` is a
 * dual encoder, or a VisualBERT whose folder has a regions.json. */
OC_API OC_NODISCARD oc_tensors *oc_embed_regions(oc_context *cx, const oc_model *model,
                                                 const oc_image *image,
                                                 const oc_region_options *options);

typedef struct oc_answers oc_answers;

typedef struct oc_answer {          /* borrowed from its oc_answers */
    const char *text;               /* the label's name in the config's id2label */
    int64_t label;
    double probability;             /* softmax of the logits */
} oc_answer;

typedef struct oc_answer_options {
    size_t size;
    size_t top;                     /* answers to give, the most probable first; 0: one */
} oc_answer_options;

/* By a VisualBertForQuestionAnswering, about one picture. `regions` holds visual_embeds
 * [1, V, D] or [V, D] and, if they are not all 1, visual_attention_mask and
 * visual_token_type_ids [1, V]. A width that is not the model's, a mask of another
 * length, a number that is not finite: OC_E_MALFORMED. */
OC_API OC_NODISCARD oc_answers *oc_answer_regions(oc_context *cx, const oc_model *model,
                                                  const char *question,
                                                  const oc_tensors *regions,
                                                  const oc_answer_options *options);
/* oc_embed_regions and oc_answer_regions, for a model whose folder has a regions.json. */
OC_API OC_NODISCARD oc_answers *oc_answer_image(oc_context *cx, const oc_model *model,
                                                const char *question,
                                                const oc_image *image,
                                                const oc_answer_options *options);
OC_API size_t oc_answers_count(const oc_answers *answers);
OC_API const oc_answer *oc_answers_get(const oc_answers *answers, size_t index);
OC_API void oc_answers_free(oc_answers *answers);

/* ---- search ------------------------------------------------------------------------ */

typedef struct oc_index oc_index;           /* vectors of pictures, from a file;
                                               immutable */

/* How far oc_index_build is: a picture at a time, and at last `done` = `total`. `refused`
 * is why `path` could not be read, else NULL. Borrowed until it returns. */
typedef struct oc_index_progress {
    int64_t done, total;
    const char *path, *refused;
} oc_index_progress;

typedef struct oc_index_report {            /* pictures */
    int64_t added, changed, kept, removed, refused;
    int64_t resumed;                        /* of those added or changed: embedded by a
                                               build that did not come to its end */
} oc_index_report;

typedef struct oc_index_options {
    size_t size;
    const char *folder;         /* .jpg, .jpeg, .png and .webp in it and in its folders,
                                   … */
    const char *const *files;   /* … and, or, these [file_count] */
    size_t file_count;
    bool int8;                  /* a byte a number to search, and another for the order of
                                   what is near: half of f32's file, three times as
                                   fast */
    int64_t batch;              /* pictures embedded together; 0: 8 */
    const char *model_name;     /* kept for whoever searches; NULL: the model's folder */
    void (*progress)(void *user, const oc_index_progress *progress);
    void *progress_user;
    oc_index_report *report;    /* filled if not NULL */
} oc_index_options;

/* Makes the index at `path`, or brings it up to date: pictures that are new or have
 * another size or time are embedded, those that are gone leave. What was embedded is kept
 * in PATH.part until the index is written, whole or not at all; after a failure, a cancel
 * or a kill the next call goes on from there, to the same bytes. A picture that cannot be
 * read is reported and left out. OC_E_ARGUMENT: the file at `path` is of another model or
 * kind; OC_E_MALFORMED: or no index. */
OC_API oc_status oc_index_build(oc_context *cx, const oc_model *model, const char *path,
                                const oc_index_options *options);

typedef struct oc_index_open_options {
    size_t size;
    bool map;                   /* map the file instead of reading it: at once, but a file
                                   that shrinks meanwhile kills, and damage to vectors
                                   goes unseen */
} oc_index_open_options;

/* Errors: OC_E_FILE, OC_E_MALFORMED (cut, changed, something else), OC_E_UNSUPPORTED
 * (made by a newer version, or on a machine of the other byte order). */
OC_API OC_NODISCARD oc_index *oc_index_open(oc_context *cx, const char *path,
                                            const oc_index_open_options *options);
OC_API void oc_index_close(oc_index *index);
OC_API size_t oc_index_count(const oc_index *index);
OC_API size_t oc_index_width(const oc_index *index);
/* As oc_index_build got it; NULL beyond the last. */
OC_API const char *oc_index_path(const oc_index *index, size_t picture);
/* Copies the vector, of length 1, to `vector` [width]; false beyond the last. */
OC_API bool oc_index_vector(const oc_index *index, size_t picture, float *vector);
/* What oc_index_build was told. */
OC_API const char *oc_index_model_name(const oc_index *index);

typedef struct oc_hit {
    size_t picture;
    float score;                /* product of the vectors: -1..1 if the query has length
                                   1 */
} oc_hit;

/* The `top` (or all) pictures nearest to each of `count` queries [count,
 * width], best first; of equal ones the first in the index. Returns how many
 * each has in hits [count, top]. */
OC_API size_t oc_index_search(oc_context *cx, const oc_index *index, const float *queries,
                              size_t count, size_t top, oc_hit *hits);
/* The same by a text or a picture, through the model of the index; another is
 * OC_E_ARGUMENT. */
OC_API size_t oc_index_search_text(oc_context *cx, const oc_index *index,
                                   const oc_model *model, const char *text, size_t top,
                                   oc_hit *hits);
OC_API size_t oc_index_search_image(oc_context *cx, const oc_index *index,
                                    const oc_model *model, oc_image *image, size_t top,
                                    oc_hit *hits);

/* ---- training ---------------------------------------------------------------------- */

typedef struct oc_trainer oc_trainer;

typedef enum oc_optimizer { OC_SGD, OC_ADAMW } oc_optimizer;

typedef struct oc_trainer_options {
    size_t size;
    oc_optimizer optimizer;
    const char *class_name;         /* NULL: architectures[0] */
    double learning_rate;           /* 0: 1e-3 */
    double beta1, beta2, eps;       /* AdamW; 0: 0.9, 0.999, 1e-8 */
    double weight_decay;            /* AdamW */
} oc_trainer_options;

/* Trains `model` (opened as trainable) in place; nobody else may use it meanwhile. */
OC_API OC_NODISCARD oc_trainer *oc_trainer_create(oc_context *cx, oc_model *model,
                                                  const oc_trainer_options *options);
/* One step on a batch under the names of oc_forward, labels included: forward, backward,
 * update. *loss is that of before the update. */
OC_API oc_status oc_trainer_step(oc_context *cx, oc_trainer *trainer,
                                 const oc_tensors *batch, float *loss);
OC_API void oc_trainer_free(oc_trainer *trainer);

/* ---- measuring --------------------------------------------------------------------- */

typedef struct oc_machine {         /* what this machine reaches at best, measured now */
    double fma_gflops;              /* f32 multiply-adds, two operations each */
    double read_gbps;               /* bytes read from memory, 1e9 a second */
} oc_machine;

/* With the context's ISA and threads; takes about half a second. */
OC_API oc_status oc_measure_machine(oc_context *cx, oc_machine *machine);

#ifdef __cplusplus
}
#endif
#endif /* OCELLI_H */
