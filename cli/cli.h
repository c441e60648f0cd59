/* What the commands share: options, output, errors, progress. A command is one function
 * that reads top to bottom:
 *
 *     if (!cli_begin(c, options, 1, 1)) return c->status;      parses, makes the context
 *     ... calls of ocelli.h with c->cx, results by cli_print_… ...
 *     return cli_end(c);                                       the exit status
 *
 * Results go to stdout by output.c alone; everything else goes to stderr. */
#ifndef OCELLI_CLI_H
#define OCELLI_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "ocelli.h"

/* Exit statuses as in ocelli.h's table, for what the command itself finds. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_UNSUPPORTED = 5, CLI_LIMIT = 6,
       CLI_INTERRUPTED = 130 };

typedef struct cli cli;

typedef struct cli_command {
    const char *name;
    int (*run)(cli *c);
    const char *synopsis;       /* what follows the name */
    const char *summary;        /* one line of `ocelli --help` */
    const char *help;           /* of `ocelli NAME --help`: details, … */
    const char *examples;       /* … and lines that work in the top folder */
} cli_command;

/* ---- options.c ---- */

typedef enum cli_kind {
    CLI_FLAG,                   /* bool: no value */
    CLI_TEXT,                   /* const char *: borrowed from argv */
    CLI_OUT,                    /* the same, a file that is written: not "-" */
    CLI_NUMBER,                 /* int64_t between low and high */
    CLI_CHOICE,                 /* int: which of value's words, "a|b|c" */
    CLI_MARK                    /* cli_marks: one more, of the shape that the name says */
} cli_kind;

typedef struct cli_option {     /* a table of these ends with one whose name is NULL */
    const char *name;           /* without the dashes */
    cli_kind kind;
    void *to;                   /* holds the default, takes the value */
    const char *value;          /* names the value in the help; NULL for a flag */
    const char *help;
    int64_t low, high;
    bool required;
} cli_option;

struct cli {
    const cli_command *command;
    char **args;                /* what follows the command's name */
    int arg_count;
    const char **operands;      /* those of args that are no options; owned */
    int operand_count;
    json_t *config;             /* GenerationConfig's options; NULL: takes none */
    const char *config_name, *config_value;   /* the last of them that took an argument */
    int64_t threads;
    int isa;                    /* an oc_isa */
    const char *device;
    json_t *limits;             /* name → number, as --limit gave them */
    bool quiet, json;
    const char *weights, *revision;     /* CLI_FILE_OPTIONS */
    int weights_dtype, arithmetic;      /* CLI_MODEL_OPTIONS: which of the words, and … */
    int framework;                      /* … an oc_framework */
    int kv_dtype;                       /* CLI_KV_OPTION: the same */
    oc_context *cx;
    int status;                 /* the exit status so far */
    int inputs, bad_inputs;
    bool stdout_failed;
};

/* Rows for the tables of commands that open a model (cli_open_model), or its folder. */
#define CLI_REVISION_OPTION(c)                                                           \
    { "revision", CLI_TEXT, &(c)->revision, "R",                                         \
      "branch, tag or commit of a MODEL in the hub's cache", 0, 0, 0 }
#define CLI_FILE_OPTIONS(c)                                                              \
    { "weights", CLI_TEXT, &(c)->weights, "FILE",                                        \
      "file of MODEL, or index of shards, to take the weights from", 0, 0, 0 },          \
    CLI_REVISION_OPTION(c)
#define CLI_WEIGHTS_DTYPES "as-is|f32|bf16|f16|int8|int8-channel|int4"
#define CLI_MODEL_OPTIONS(c)                                                             \
    { "weights-dtype", CLI_CHOICE, &(c)->weights_dtype, CLI_WEIGHTS_DTYPES,              \
      "type to keep the weights in; as in their file", 0, 0, 0 },                        \
    { "arithmetic", CLI_CHOICE, &(c)->arithmetic, "f32|bf16|int8",                       \
      "rounds what narrow weights are multiplied by, for speed; f32: not", 0, 0, 0 },    \
    { "framework", CLI_CHOICE, &(c)->framework, "pt|tf|flax",                            \
      "whose answers, where Transformers' classes differ; pt", 0, 0, 0 },                \
    CLI_FILE_OPTIONS(c)

/* Parses args into `options` and the common ones, checks the number of operands (`most`
 * < 0: no bound), makes the context. False: the command is over, with c->status. */
bool cli_begin(cli *c, const cli_option *options, int least, int most);
/* Prints the usage, help, options and examples of c->command on stdout. */
void cli_print_help(cli *c, const cli_option *options);
/* "ocelli COMMAND: message" and where to look; sets and returns CLI_USAGE. */
int cli_usage(cli *c, const char *format, ...) OC_PRINTF(2, 3);

/* ---- spelling.c ---- */

/* Letters to add, take away or change to make one word of the other. */
size_t cli_distance(const char *a, const char *b);
/* The one of `words` (ended by NULL) near enough to be what was meant, or NULL. */
const char *cli_nearest(const char *word, const char *const *words);

/* ---- config.c ---- */

/* Takes the argument at *i, and its value if it has one, as an option of GenerationConfig
 * into c->config: false when it cannot be one. Names are the library's to check. */
bool cli_config_option(cli *c, const char *name, const char *value, int *i);
/* c->config as JSON for oc_generate_options and oc_read_options; NULL: empty. free(). */
char *cli_config_text(const cli *c);

/* ---- session.c ---- */

bool cli_open_context(cli *c);
void cli_close(cli *c);
/* The type that CLI_WEIGHTS_DTYPES' word number `index` means. */
oc_dtype cli_weights_dtype(int index);
/* For commands that generate: what they keep of the positions before, and its type. */
#define CLI_KV_OPTION(c)                                                                 \
    { "kv-dtype", CLI_CHOICE, &(c)->kv_dtype, "f32|bf16|int8",                           \
      "keep keys and values of earlier positions so: f32 is exact", 0, 0, 0 }
oc_dtype cli_kv_dtype(const cli *c);
/* oc_model_open, with what CLI_MODEL_OPTIONS took laid over the options (may be NULL). */
oc_model *cli_open_model(cli *c, const char *name, const oc_model_options *options);
/* From now on SIGINT, SIGTERM and SIGHUP end the running call with OC_E_CANCELLED; the
 * third one ends the process. */
void cli_catch_signals(cli *c);
bool cli_interrupted(void);
/* The interruption has done what it was for; the next one counts again. */
void cli_resume(cli *c);
/* "ocelli COMMAND: message", over the progress bar. */
void cli_error(cli *c, const char *format, ...) OC_PRINTF(2, 3);
/* True when the context holds an error: it was reported, and the command should end. */
bool cli_failed(cli *c);
/* The same for one of several inputs: counts it as bad and clears the context, so that
 * the next one can be done. `what` (may be NULL) goes before a message that does not
 * name the input by itself. */
bool cli_input_failed(cli *c, const char *what);
/* Counts an input as bad for which the command itself gave the message. */
void cli_input_bad(cli *c, int status);
/* False when nothing more can be done: interrupted, or stdout is gone. */
bool cli_go_on(const cli *c);
/* Reports what is pending, flushes stdout, gives the exit status. */
int cli_end(cli *c);
double cli_seconds(void);

/* ---- marks.c ---- */

enum { CLI_MARKS_MOST = 64, CLI_MARK_NUMBERS = 256 };

typedef struct cli_mark {       /* as it was given */
    oc_mark_shape shape;
    double numbers[CLI_MARK_NUMBERS];
    size_t number_count;
    char color[32], file[1024];     /* "": none */
    double width, alpha;
} cli_mark;

typedef struct cli_marks {      /* in the order in which they came, behind those of
                                   `file` */
    cli_mark at[CLI_MARKS_MOST];
    int count;
    const char *file, *save;
} cli_marks;

#define CLI_MARK_ROW(m, name, points)                                                    \
    { name, CLI_MARK, (m), points, "draws one on the picture", 0, 0, 0 }
#define CLI_MARKS_HELP                                                                   \
    "marks as JSON: [{\"shape\": \"box\", \"points\": [X0,Y0,X1,Y1], \"color\": \"red\"}]"
#define CLI_MARK_OPTIONS(m)                                                              \
    CLI_MARK_ROW(m, "box", "X0,Y0,X1,Y1[:COLOR[:WIDTH]]"),                               \
    CLI_MARK_ROW(m, "ellipse", "X0,Y0,X1,Y1[:COLOR[:WIDTH]]"),                           \
    CLI_MARK_ROW(m, "arrow", "TAILX,TAILY,TIPX,TIPY[:COLOR[:WIDTH]]"),                   \
    CLI_MARK_ROW(m, "point", "X,Y[:COLOR[:RADIUS]]"),                                    \
    CLI_MARK_ROW(m, "scribble", "X,Y,X,Y,...[:COLOR[:WIDTH]]"),                          \
    CLI_MARK_ROW(m, "triangle", "X,Y,X,Y,X,Y[:COLOR[:WIDTH]]"),                          \
    CLI_MARK_ROW(m, "contour", "X,Y,X,Y,X,Y,...[:COLOR[:WIDTH]]"),                       \
    { "mask", CLI_MARK, (m), "FILE[:COLOR[:ALPHA]]",                                     \
      "colours what is light on a picture of the same size", 0, 0, 0 },                  \
    { "marks", CLI_TEXT, &(m)->file, "FILE", CLI_MARKS_HELP, 0, 0, 0 },                  \
    { "save-prompt", CLI_OUT, &(m)->save, "FILE",                                        \
      "writes the marked picture as PNG", 0, 0, 0 }
bool cli_take_mark(cli *c, cli_marks *marks, const char *name, const char *value);
/* The picture with all marks on it, and saved if asked for; `image` is released. */
oc_image *cli_draw_marks(cli *c, const cli_marks *marks, oc_image *image);

/* Rows for an oc_chat_options. */
#define CLI_CHAT_OPTIONS(o)                                                              \
    { "template", CLI_TEXT, &(o)->style, "NAME",                                         \
      "prompts as vipllava, vicuna, llava, llama or plain; the folder's own", 0, 0, 0 }, \
    { "system", CLI_TEXT, &(o)->system, "TEXT",                                          \
      "what the conversation begins with", 0, 0, 0 }

/* ---- output.c ---- */

/* A line on stdout. After a failed write (reported once; a closed pipe silently) does
 * nothing. */
void cli_print(cli *c, const char *format, ...) OC_PRINTF(2, 3);
void cli_print_line(cli *c, const char *text, size_t size);
/* A part of one, at once. */
void cli_print_piece(cli *c, const char *text, size_t size);
/* One compact line; takes the reference. NULL is out of memory. */
void cli_print_json(cli *c, json_t *value);
void cli_flush(cli *c);
/* A JSON string of bytes that need not be UTF-8: file names are any bytes. */
json_t *cli_json_text(const char *text, size_t size);
/* With --json, what is now in `path`: {"file", "tensors": [{name, dtype, shape}]}. */
void cli_print_tensors(cli *c, const char *path, const oc_tensors *set);

typedef struct cli_line {       /* of a file, without its break; may hold U+0000 */
    char *text;                 /* owned; NUL-terminated */
    size_t size, room;
    int64_t number;             /* from 1 */
    bool too_long;              /* longer than a text may be: cut */
    FILE *file;                 /* NULL: stdin; borrowed */
    const char *path;           /* of `file`, for messages; borrowed */
} cli_line;
/* The next line; false at the end, or when reading failed (reported). */
bool cli_read_line(cli *c, cli_line *line);

/* ---- pictures.c ---- */

enum { CLI_BATCH_MOST = 256 };

typedef struct cli_pictures {
    int first;                  /* operand: it and all behind it are pictures */
    int64_t batch;              /* most at a time, up to CLI_BATCH_MOST */
    /* Does `count` pictures; false if the context then has an error. */
    bool (*run)(void *user, oc_image *const *images, const char *const *files,
                size_t count);
    void *user;
    const oc_model *model;      /* whose image processor they need */
} cli_pictures;
/* Whether the context's error is about an input, and not about the call. */
bool cli_about_input(const cli *c);
/* Opens the pictures, turned as EXIF says, and runs batches of them. Bad ones are
 * reported and counted, the others done. False: the command should end. */
bool cli_each_picture(cli *c, const cli_pictures *pictures);
/* Every line of a file ("-": stdin), until `take` returns false. The same. A byte order
 * mark is no part of the first one. */
bool cli_each_line(cli *c, const char *path,
                   bool (*take)(void *user, const cli_line *line), void *user);

/* ---- progress.c ---- */

/* A bar on stderr, if that is a terminal and --quiet was not given. */
void cli_progress(cli *c, int64_t done, int64_t all, const char *unit);
/* Takes the bar away; every other line on the terminal asks for that first. */
void cli_progress_clear(void);

/* ---- the commands ---- */

int command_read(cli *c);
int command_caption(cli *c);
int command_parse(cli *c);
int command_image_to_text(cli *c);
int command_ask(cli *c);
int command_chat(cli *c);
int command_classify(cli *c);
int command_embed(cli *c);
int command_inspect(cli *c);
int command_forward(cli *c);
int command_generate(cli *c);
int command_preprocess(cli *c);
int command_tokenize(cli *c);
int command_detokenize(cli *c);
int command_search(cli *c);
int command_bench(cli *c);
int command_pull(cli *c);
int command_convert(cli *c);
int command_doctor(cli *c);

#endif
