/* Options: `--name value`, `--name=value`, flags, `--` before what only looks like one.
 * The tables that say what a command takes also print its help. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { COMMON_COUNT = 7, NAME_ROOM = 64 };
enum { MOST_THREADS = 256 };    /* of a context; tests/cli/test_usage.sh compares */

int cli_usage(cli *c, const char *format, ...)
{
    char message[512];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    const char *name = c->command ? c->command->name : "";
    cli_error(c, "%s", message);
    fprintf(stderr, "Try: ocelli %s%s--help\n", name, *name ? " " : "");
    return c->status = CLI_USAGE;
}

/* Fills common[COMMON_COUNT] with what every command takes. */
static void common_options(cli *c, cli_option *common)
{
    const cli_option list[COMMON_COUNT] = {
        { "threads", CLI_NUMBER, &c->threads, "N",
          "threads to use; 0: all that the process may run on", 0, MOST_THREADS, false },
        { "isa", CLI_CHOICE, &c->isa, "auto|generic|avx2|avx512",
          "kernels to use", 0, 0, 0 },
        { "device", CLI_TEXT, &c->device, "cpu", "where to compute", 0, 0, 0 },
        { "limit", CLI_TEXT, NULL, "NAME=N",
          "lower a bound (ocelli help limits)", 0, 0, 0 },
        { "json", CLI_FLAG, &c->json, NULL, "one JSON object a line", 0, 0, 0 },
        { "quiet", CLI_FLAG, &c->quiet, NULL, "no progress and no warnings", 0, 0, 0 },
        { 0 }
    };
    memcpy(common, list, sizeof list);
}

static const cli_option *find_option(const cli_option *options, const char *name)
{
    for (; options->name; options++)
        if (strcmp(options->name, name) == 0) return options;
    return NULL;
}

/* Decimal digits with a sign at most: no blanks, no hexadecimal, nothing after. */
static bool parse_number(const char *text, int64_t *number)
{
    const char *digits = *text == '-' ? text + 1 : text;
    if (!*digits || strspn(digits, "0123456789") != strlen(digits)) return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    *number = value;
    return errno == 0;
}

static bool parse_choice(const char *text, const char *words, int *index)
{
    size_t size = strlen(text);
    *index = 0;
    for (const char *word = words; ; word++) {
        size_t length = strcspn(word, "|");
        if (length == size && memcmp(word, text, size) == 0) return true;
        word += length;
        if (!*word) return false;
        ++*index;
    }
}

/* --limit NAME=N; the library knows the names and the largest numbers. */
static bool take_limit(cli *c, const char *text)
{
    char name[NAME_ROOM];
    const char *equals = strchr(text, '=');
    int64_t number;
    if (!equals || equals == text || equals - text >= NAME_ROOM ||
        !parse_number(equals + 1, &number) || number < 0) {
        cli_usage(c, "--limit: expected NAME=N, found '%s'", text);
        return false;
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    if (!c->limits) c->limits = json_object();
    return json_object_set_new(c->limits, name, json_integer(number)) == 0;
}

static bool take_value(cli *c, const cli_option *o, const char *value)
{
    int64_t number;
    int index;
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)o->to = true;
        return true;
    case CLI_TEXT:
        if (!o->to) return take_limit(c, value);
        *(const char **)o->to = value;
        return true;
    case CLI_OUT:
        if (strcmp(value, "-") == 0) {
            cli_usage(c,
                      "--%s: expected a file, found - (tensors, tables and pictures do "
                      "not go to standard output)",
                      o->name);
            return false;
        }
        *(const char **)o->to = value;
        return true;
    case CLI_NUMBER:
        if (parse_number(value, &number) && number >= o->low && number <= o->high) {
            *(int64_t *)o->to = number;
            return true;
        }
        cli_usage(c, "--%s: expected a whole number from %lld to %lld, found '%s'",
                  o->name, (long long)o->low, (long long)o->high, value);
        return false;
    case CLI_MARK:
        return cli_take_mark(c, o->to, o->name, value);
    case CLI_CHOICE:
        if (parse_choice(value, o->value, &index)) {
            *(int *)o->to = index;
            return true;
        }
        cli_usage(c, "--%s: expected %s, found '%s'", o->name, o->value, value);
        return false;
    }
    return false;
}

/* The option whose name is most like `name`, of either table. */
static const char *nearest_option(const cli_option *options, const cli_option *common,
                                  const char *name)
{
    const char *names[NAME_ROOM] = { "help" };
    size_t count = 1;
    for (; options->name && count < NAME_ROOM - 1; options++)
        names[count++] = options->name;
    for (; common->name && count < NAME_ROOM - 1; common++) names[count++] = common->name;
    return cli_nearest(name, names);
}

/* One slip in a name of ours is not left to the library, which would look for it among
 * GenerationConfig's. */
static bool is_slip(const char *name, const char *nearest)
{
    return nearest && strlen(nearest) >= 4 && cli_distance(name, nearest) <= 1;
}

/* Takes the option in args[*i] and moves *i to its last argument. */
static bool take_option(cli *c, const cli_option *options, const cli_option *common,
                        int *i)
{
    const char *arg = c->args[*i] + 2, *equals = strchr(arg, '=');
    const char *value = equals ? equals + 1 : NULL;
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%.*s", (int)(equals ? equals - arg : NAME_ROOM), arg);
    const cli_option *o = find_option(options, name);
    if (!o) o = find_option(common, name);
    if (!o) {
        const char *nearest = nearest_option(options, common, name);
        if (c->config && !is_slip(name, nearest))
            return cli_config_option(c, name, value, i);
        if (nearest)
            cli_usage(c, "unknown option --%s: did you mean --%s?", name, nearest);
        else cli_usage(c, "unknown option --%s", name);
        return false;
    }
    if (o->kind == CLI_FLAG && value) {
        cli_usage(c, "--%s takes no value, found '%s'", name, value);
        return false;
    }
    if (o->kind != CLI_FLAG && !value) {
        if (*i + 1 >= c->arg_count) {
            cli_usage(c, "--%s needs a value: %s", name, o->value);
            return false;
        }
        value = c->args[++*i];
    }
    return take_value(c, o, value);
}

static bool parse(cli *c, const cli_option *options, const cli_option *common)
{
    bool only_operands = false;
    for (int i = 0; i < c->arg_count; i++) {
        const char *arg = c->args[i];
        if (only_operands || arg[0] != '-' || !arg[1]) {    /* "-" is standard input */
            c->operands[c->operand_count++] = arg;
        } else if (arg[1] != '-') {
            cli_usage(c, "unknown option %s (after -- it would be an input)", arg);
            return false;
        } else if (!arg[2]) {
            only_operands = true;
        } else if (!take_option(c, options, common, &i)) {
            return false;
        }
    }
    return true;
}

static bool wants_help(const cli *c)
{
    for (int i = 0; i < c->arg_count && strcmp(c->args[i], "--") != 0; i++)
        if (strcmp(c->args[i], "--help") == 0 || strcmp(c->args[i], "-h") == 0)
            return true;
    return false;
}

static bool check_required(cli *c, const cli_option *options, int least, int most)
{
    if (c->operand_count < least && c->config_name) {
        cli_usage(c,
                  "missing argument: ocelli %s %s (--%s is none of the command's own "
                  "options, so '%s' was taken as its value, for generation)",
                  c->command->name, c->command->synopsis, c->config_name,
                  c->config_value);
        return false;
    }
    if (c->operand_count < least) {
        cli_usage(c, "missing argument: ocelli %s %s", c->command->name,
                  c->command->synopsis);
        return false;
    }
    if (most >= 0 && c->operand_count > most) {
        cli_usage(c, "one argument too many: '%s'", c->operands[most]);
        return false;
    }
    for (; options->name; options++) {
        if (options->required && !*(const char **)options->to) {
            cli_usage(c, "--%s %s is missing", options->name, options->value);
            return false;
        }
    }
    return true;
}

static void print_options(cli *c, const cli_option *options)
{
    for (; options->name; options++) {
        const char *value = options->value ? options->value : "";
        int used = 4 + (int)(strlen(options->name) + strlen(value)) + (*value != '\0');
        /* Help beside short names, below long ones. */
        cli_print(c, "  --%s%s%s%s%*s%s", options->name, *value ? " " : "", value,
                  used > 28 ? "\n" : "", used > 28 ? 30 : 30 - used, "", options->help);
    }
}

void cli_print_help(cli *c, const cli_option *options)
{
    cli_option common[COMMON_COUNT];
    common_options(c, common);
    cli_print(c, "Usage: ocelli %s %s", c->command->name, c->command->synopsis);
    cli_print(c, "%s.\n\n%s", c->command->summary, c->command->help);
    cli_print(c, "Options:");
    print_options(c, options);
    print_options(c, common);
    cli_print(c, "\nExamples:\n%s", c->command->examples);
}

bool cli_begin(cli *c, const cli_option *options, int least, int most)
{
    cli_option common[COMMON_COUNT];
    common_options(c, common);
    if (wants_help(c)) {
        cli_print_help(c, options);
        cli_end(c);
        return false;
    }
    c->operands = calloc((size_t)c->arg_count + 1, sizeof *c->operands);
    if (!c->operands) {
        cli_error(c, "out of memory");
        c->status = CLI_LIMIT;
        return false;
    }
    return parse(c, options, common) && check_required(c, options, least, most) &&
           cli_open_context(c);
}
