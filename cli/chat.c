/* ocelli chat: a conversation about pictures, a line a question. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

typedef struct talk {
    cli *c;
    oc_chat *chat;
    bool terminal;              /* somebody types: prompts, and errors are not the end */
    bool over;
} talk;

static const char commands_help[] =
    "/image FILE  a picture for the next question\n"
    "/undo        takes the last question and its pictures back\n"
    "/save FILE   writes the conversation as JSON\n"
    "/quit        or the end of input\n";

/* Reports what a line met and goes on: a conversation survives a bad one. */
static bool met_error(talk *t)
{
    cli *c = t->c;
    oc_status status = oc_context_status(c->cx);
    if (status == OC_OK) return false;
    if (status == OC_E_CANCELLED && t->terminal) {
        oc_context_clear(c->cx);
        cli_resume(c);                 /* Ctrl-C ended the answer, not the conversation */
        cli_print_line(c, "", 0);
        return true;
    }
    cli_input_failed(c, NULL);
    if (t->terminal) c->status = CLI_DONE;
    return true;
}

/* ---- questions ---- */

static bool on_piece(void *user, const char *text)
{
    talk *t = user;
    cli_print_piece(t->c, text, strlen(text));
    return cli_go_on(t->c);
}

static void print_turn(talk *t, double ms)
{
    int64_t fresh, length = oc_chat_length(t->chat, &fresh);
    oc_chat_turn turn = oc_chat_get(t->chat, oc_chat_count(t->chat) - 1);
    json_t *out = json_pack("{s:o, s:o, s:b, s:I, s:I, s:I}", "question",
                            cli_json_text(turn.question, strlen(turn.question)), "answer",
                            cli_json_text(turn.answer, strlen(turn.answer)), "whole",
                            (int)turn.whole, "images", (json_int_t)turn.images,
                            "positions", (json_int_t)length, "read", (json_int_t)fresh);
    if (out) json_object_set_new(out, "ms", json_real(ms));
    cli_print_json(t->c, out);
}

static void ask(talk *t, const char *question)
{
    double start = cli_seconds();
    const char *answer = oc_chat_say(t->c->cx, t->chat, question,
                                     t->c->json ? NULL : on_piece, t);
    if (met_error(t) || !answer) return;
    if (t->c->json) print_turn(t, (cli_seconds() - start) * 1000);
    else cli_print_line(t->c, "", 0);
    cli_flush(t->c);
}

/* ---- commands ---- */

static oc_image *open_picture(cli *c, const char *path)
{
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    return oc_image_open(c->cx, path, &turned);
}

static void add_picture(talk *t, const char *path)
{
    oc_image *image = open_picture(t->c, path);
    oc_chat_add_image(t->c->cx, t->chat, image);
    oc_image_free(image);
    met_error(t);
}

static json_t *turns_of(const talk *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < oc_chat_count(t->chat); i++) {
        oc_chat_turn turn = oc_chat_get(t->chat, i);
        json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "question",
                                              turn.question, "answer", turn.answer,
                                              "images", (json_int_t)turn.images));
    }
    return list;
}

/* Whole or not at all: written beside the file, then in its place. */
static void save(talk *t, const char *path)
{
    char temp[4096];
    struct stat st;
    json_t *turns = turns_of(t);
    int n = snprintf(temp, sizeof temp, "%s.%ld.tmp", path, (long)getpid());
    bool good = n > 0 && (size_t)n < sizeof temp;
    errno = good ? 0 : ENAMETOOLONG;
    /* Renaming over a device or a link would take it from everybody. */
    if (good && lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        good = false;
        errno = EEXIST;
    }
    bool begun = good;
    good = good && json_dump_file(turns, temp, JSON_INDENT(2)) == 0 &&
           rename(temp, path) == 0;
    if (!good) {
        cli_error(t->c, "%s: could not be written: %s", path, strerror(errno));
        if (begun) unlink(temp);
        cli_input_bad(t->c, CLI_FAILED);
    }
    json_decref(turns);
}

/* Says that pictures go with their question: the next one would be about none. */
static void undo(talk *t)
{
    size_t turns = oc_chat_count(t->chat);
    bool pictures = turns == 0 || oc_chat_get(t->chat, turns - 1).images > 0;
    oc_chat_undo(t->c->cx, t->chat);
    if (!met_error(t) && pictures && !t->c->quiet)
        fputs("its picture is taken back, too: /image FILE shows one\n", stderr);
}

/* What follows the command's name, or NULL if the line is another command. */
static const char *operand(const char *line, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(line, name, n) != 0 || (line[n] && line[n] != ' ')) return NULL;
    return line + n + strspn(line + n, " ");
}

static void command(talk *t, const char *line)
{
    const char *rest;
    if ((rest = operand(line, "/image")) && *rest) {
        add_picture(t, rest);
    } else if ((rest = operand(line, "/save")) && *rest) {
        save(t, rest);
    } else if (operand(line, "/undo")) {
        undo(t);
    } else if (operand(line, "/quit") || operand(line, "/exit")) {
        t->over = true;
    } else {
        if (operand(line, "/help")) {
            fputs(commands_help, stderr);
        } else {
            cli_error(t->c, "%s: expected /image FILE, /undo, /save FILE or /quit", line);
            cli_input_bad(t->c, CLI_USAGE);
        }
    }
}

/* ---- lines ---- */

/* A line that would be asked in part is none. */
static bool is_text(talk *t, const cli_line *line)
{
    bool nul = memchr(line->text, '\0', line->size) != NULL;
    if (!line->too_long && !nul) return true;
    cli_error(t->c, "line %lld: %s", (long long)line->number,
              nul ? "expected text, found a NUL" : "longer than a text may be");
    cli_input_bad(t->c, nul ? oc_status_exit_code(OC_E_MALFORMED) : CLI_LIMIT);
    return false;
}

static void prompt(const talk *t)
{
    if (!t->terminal) return;
    fputs("> ", stderr);
    fflush(stderr);
}

static void listen(talk *t)
{
    cli_line line = { 0 };
    t->c->inputs = 2;                   /* a line that fails is one of several */
    for (prompt(t); !t->over && cli_go_on(t->c) && cli_read_line(t->c, &line);
         prompt(t)) {
        while (line.size > 0 && line.text[line.size - 1] == '\r')
            line.text[--line.size] = '\0';
        if (line.size == 0 || !is_text(t, &line)) continue;
        if (line.text[0] == '/') command(t, line.text);
        else ask(t, line.text);
    }
    free(line.text);
}

int command_chat(cli *c)
{
    static cli_marks marks;
    oc_chat_options how = { .size = sizeof how };
    const cli_option options[] = {
        CLI_MODEL_OPTIONS(c), CLI_MARK_OPTIONS(&marks), CLI_CHAT_OPTIONS(&how),
        CLI_KV_OPTION(c), { 0 }
    };
    c->config = json_object();
    if (!cli_begin(c, options, 1, 2)) return c->status;
    char *config = cli_config_text(c);
    how.config = config;
    how.kv_dtype = cli_kv_dtype(c);
    talk t = { .c = c, .terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) };
    oc_model *model = cli_open_model(c, c->operands[0], NULL);
    t.chat = oc_chat_create(c->cx, model, &how);
    if (c->operand_count > 1) {
        oc_image *image = cli_draw_marks(c, &marks, open_picture(c, c->operands[1]));
        oc_chat_add_image(c->cx, t.chat, image);
        oc_image_free(image);
    } else if (marks.count || marks.file || marks.save) {
        cli_usage(c, "marks go on an IMAGE");
    }
    if (!cli_failed(c) && c->status == CLI_DONE) {
        if (t.terminal && !c->quiet) fputs(commands_help, stderr);
        listen(&t);
    }
    oc_chat_free(t.chat);
    oc_model_close(model);
    free(config);
    return cli_end(c);
}
