/* stdout: lines of text and of JSON, checked. And stdin, line by line. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* The library takes no longer text (ocelli help limits: text_bytes). */
static const size_t longest_line = (size_t)1 << 26;

/* Remembers and reports that stdout does not take more. A pipe whose reader left is no
 * news: `ocelli ... | head` ends without a word. */
static void write_failed(cli *c)
{
    if (c->stdout_failed) return;
    int error = errno;
    c->stdout_failed = true;
    c->status = CLI_FAILED;
    if (error != EPIPE) cli_error(c, "standard output: %s", strerror(error));
}

void cli_print_line(cli *c, const char *text, size_t size)
{
    if (c->stdout_failed) return;
    cli_progress_clear();
    errno = 0;
    if (fwrite(text, 1, size, stdout) != size || putchar('\n') == EOF) write_failed(c);
}

void cli_print_piece(cli *c, const char *text, size_t size)
{
    if (c->stdout_failed) return;
    cli_progress_clear();
    errno = 0;
    if (fwrite(text, 1, size, stdout) != size || fflush(stdout) != 0) write_failed(c);
}

void cli_print(cli *c, const char *format, ...)
{
    if (c->stdout_failed) return;
    va_list list;
    cli_progress_clear();
    errno = 0;
    va_start(list, format);
    if (vprintf(format, list) < 0 || putchar('\n') == EOF) write_failed(c);
    va_end(list);
}

void cli_flush(cli *c)
{
    errno = 0;
    if (!c->stdout_failed && (fflush(stdout) != 0 || ferror(stdout))) write_failed(c);
}

void cli_print_json(cli *c, json_t *value)
{
    /* Six digits are more than any measured number here deserves. */
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(6) |
                                           JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    if (text) {
        cli_print_line(c, text, strlen(text));
    } else {
        cli_error(c, "out of memory");
        c->status = CLI_LIMIT;
    }
    free(text);
}

/* Bytes of the well-formed UTF-8 sequence at s (Unicode 15, table 3-7), or 0. */
static size_t sequence_size(const unsigned char *s, size_t left)
{
    size_t size = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 :
                  s[0] < 0xf5 ? 4 : 0;
    if (size > left) return 0;
    for (size_t i = 1; i < size; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return size;
}

json_t *cli_json_text(const char *text, size_t size)
{
    json_t *string = json_stringn(text, size);
    char *clean = string ? NULL : malloc(size * 3 + 1);
    if (!clean) return string;
    const unsigned char *s = (const unsigned char *)text;
    size_t filled = 0;
    for (size_t i = 0; i < size; ) {
        size_t n = sequence_size(s + i, size - i);
        memcpy(clean + filled, n ? text + i : "\xef\xbf\xbd", n ? n : 3);   /* U+FFFD */
        filled += n ? n : 3;
        i += n ? n : 1;
    }
    string = json_stringn(clean, filled);
    free(clean);
    return string;
}

void cli_print_tensors(cli *c, const char *path, const oc_tensors *set)
{
    static const char *const names[] = {
#define NAME(name, bytes) #name,
        OC_DTYPE_MAP(NAME)
#undef NAME
    };
    if (!c->json) return;
    json_t *list = json_array();
    for (size_t i = 0; i < oc_tensors_count(set); i++) {
        oc_tensor_view t = oc_tensors_get(set, i);
        json_t *shape = json_array();
        for (int k = 0; k < t.rank; k++)
            json_array_append_new(shape, json_integer(t.shape[k]));
        json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "name",
                                              cli_json_text(t.name, strlen(t.name)),
                                              "dtype", names[t.dtype], "shape", shape));
    }
    cli_print_json(c, json_pack("{s:o, s:o}", "file", cli_json_text(path, strlen(path)),
                                "tensors", list));
}

static bool append(cli *c, cli_line *line, char byte)
{
    if (line->size + 1 >= line->room) {
        size_t room = line->room ? line->room * 2 : 256;
        char *text = realloc(line->text, room);
        if (!text) {
            cli_error(c, "line %lld: out of memory", (long long)line->number);
            c->status = CLI_LIMIT;
            return false;
        }
        line->text = text;
        line->room = room;
    }
    line->text[line->size++] = byte;
    line->text[line->size] = '\0';
    return true;
}

bool cli_read_line(cli *c, cli_line *line)
{
    int byte;
    line->size = 0;
    line->too_long = false;
    line->number++;
    errno = 0;
    FILE *file = line->file ? line->file : stdin;
    while ((byte = getc_unlocked(file)) != EOF && byte != '\n') {
        if (line->size >= longest_line) line->too_long = true;
        else if (!append(c, line, (char)byte)) return false;
    }
    if (byte == EOF && ferror(file)) {
        if (!cli_interrupted())
            cli_error(c, "%s: %s", file == stdin ? "standard input" : line->path,
                      strerror(errno));
        if (!c->status) c->status = oc_status_exit_code(OC_E_FILE);
        return false;
    }
    if (byte == EOF && line->size == 0) return false;
    /* So that an empty line has a text, too. */
    if (!line->text && append(c, line, '\0')) line->size = 0;
    return line->text != NULL;
}
