/* ocelli inspect: what is in a model folder. oc_inspect tells it as JSON; here it is set
 * as a table. A field that is absent is left out. */
#include <string.h>

#include "cli.h"

enum { TEXT_ROOM = 512 };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "?";
}

/* 16359664 → "16.4 MB". */
static void format_bytes(char text[32], double bytes)
{
    static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB" };
    int unit = 0;
    for (; bytes >= 1000 && unit < 4; unit++) bytes /= 1000;
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

/* 8175872 → "8,175,872". */
static void format_count(char text[32], long long count)
{
    char digits[32];
    size_t size = (size_t)snprintf(digits, sizeof digits, "%lld", count), filled = 0;
    for (size_t i = 0; i < size; i++) {
        text[filled++] = digits[i];
        size_t left = size - i - 1;
        if (left && left % 3 == 0 && digits[i] != '-') text[filled++] = ',';
    }
    text[filled] = '\0';
}

/* Adds to text[TEXT_ROOM], cutting what does not fit. */
static void append(char *text, const char *separator, const char *more)
{
    size_t size = strlen(text);
    snprintf(text + size, TEXT_ROOM - size, "%s%s", size ? separator : "", more);
}

/* A number, a text, or a list of such, with `separator` between. */
static void format_value(char *text, const json_t *value, const char *separator)
{
    char word[TEXT_ROOM];
    size_t i;
    const json_t *item;
    if (json_is_string(value)) {
        append(text, separator, json_string_value(value));
    } else if (json_is_integer(value)) {
        snprintf(word, sizeof word, "%lld", (long long)json_integer_value(value));
        append(text, separator, word);
    } else if (json_is_number(value)) {
        snprintf(word, sizeof word, "%g", json_number_value(value));
        append(text, separator, word);
    } else if (json_is_boolean(value)) {
        append(text, separator, json_is_true(value) ? "true" : "false");
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item) format_value(text, item, separator);
    }
}

static void print_field(cli *c, const char *label, const json_t *value,
                        const char *separator)
{
    char text[TEXT_ROOM] = "";
    format_value(text, value, separator);
    if (*text) cli_print(c, "%-14s%s", label, text);
}

static void print_bytes(cli *c, const char *label, const json_t *value)
{
    char text[32];
    if (!json_is_number(value)) return;
    format_bytes(text, json_number_value(value));
    cli_print(c, "%-14s%s", label, text);
}

/* {"BF16": 210, "F32": 2} */
static void print_types(cli *c, json_t *types)
{
    char text[TEXT_ROOM] = "", word[96];
    const char *name;
    const json_t *count;
    json_object_foreach(types, name, count) {
        snprintf(word, sizeof word, "%s (%lld tensors)", name,
                 (long long)json_integer_value(count));
        append(text, ", ", word);
    }
    if (*text) cli_print(c, "%-14s%s", "dtype", text);
}

/* "memory  as-is 16.4 MB, f32 32.7 MB, …" */
static void print_memory(cli *c, const json_t *o)
{
    char text[TEXT_ROOM] = "", word[96], bytes[32];
    const char *name;
    const json_t *size, *position = json_object_get(o, "memory_per_position");
    json_object_foreach(json_object_get(o, "memory"), name, size) {
        format_bytes(bytes, json_number_value(size));
        snprintf(word, sizeof word, "%s %s", name, bytes);
        append(text, ", ", word);
    }
    if (*text) cli_print(c, "%-14s%s", "memory", text);
    if (!position) return;
    format_bytes(bytes, json_number_value(position));
    cli_print(c, "%-14s%s for a position's keys and values", "", bytes);
}

/* A tower: its type, and what its config says of it. */
static void print_part(cli *c, const char *label, json_t *part)
{
    const char *key;
    json_t *value;
    if (!json_is_object(part)) return;
    cli_print(c, "%-14s%s", label, text_of(part, "model_type"));
    json_object_foreach(part, key, value) {
        char text[TEXT_ROOM] = "";
        if (strcmp(key, "model_type") != 0) format_value(text, value, " x ");
        if (*text) cli_print(c, "  %-26s%s", key, text);
    }
}

static void print_files(cli *c, const json_t *files)
{
    size_t i;
    const json_t *file;
    char bytes[32];
    if (json_array_size(files)) cli_print(c, "files");
    json_array_foreach(files, i, file) {
        format_bytes(bytes, json_number_value(json_object_get(file, "bytes")));
        cli_print(c, "  %-25s %s", text_of(file, "name"), bytes);
    }
}

static void print_names(cli *c, const char *label, const json_t *names)
{
    size_t i;
    const json_t *name;
    if (json_array_size(names)) cli_print(c, "%s", label);
    json_array_foreach(names, i, name) {
        char text[TEXT_ROOM] = "";
        format_value(text, name, " ");
        cli_print(c, "  %s", text);
    }
}

static void print_tensors(cli *c, const json_t *tensors)
{
    size_t i;
    const json_t *tensor;
    if (json_array_size(tensors)) cli_print(c, "tensors");
    json_array_foreach(tensors, i, tensor) {
        char shape[TEXT_ROOM] = "", bytes[32];
        format_value(shape, json_object_get(tensor, "shape"), " x ");
        format_bytes(bytes, json_number_value(json_object_get(tensor, "bytes")));
        cli_print(c, "  %-72s%-8s%10s  %s", text_of(tensor, "name"),
                  text_of(tensor, "dtype"), bytes, shape);
    }
}

static void print_table(cli *c, const json_t *o)
{
    char count[32];
    print_field(c, "folder", json_object_get(o, "folder"), " ");
    print_field(c, "architecture", json_object_get(o, "architecture"), ", ");
    print_field(c, "model type", json_object_get(o, "model_type"), ", ");
    if (json_is_integer(json_object_get(o, "parameters"))) {
        format_count(count, json_integer_value(json_object_get(o, "parameters")));
        cli_print(c, "%-14s%s", "parameters", count);
    }
    print_bytes(c, "weights", json_object_get(o, "bytes"));
    print_types(c, json_object_get(o, "dtype"));
    print_memory(c, o);
    print_field(c, "vocabulary", json_object_get(o, "vocab_size"), " ");
    print_field(c, "image size", json_object_get(o, "image_size"), " x ");
    print_part(c, "encoder", json_object_get(o, "encoder"));
    print_part(c, "decoder", json_object_get(o, "decoder"));
    print_part(c, "vision", json_object_get(o, "vision_config"));
    print_part(c, "text", json_object_get(o, "text_config"));
    print_files(c, json_object_get(o, "files"));
    print_names(c, "missing tensors", json_object_get(o, "missing"));
    print_names(c, "unused tensors", json_object_get(o, "unused"));
    print_names(c, "lacks", json_object_get(o, "lacks"));
    print_tensors(c, json_object_get(o, "tensors"));
}

int command_inspect(cli *c)
{
    oc_inspect_options o = { .size = sizeof o };
    const cli_option options[] = {
        { "tensors", CLI_FLAG, &o.tensors, NULL, "add the table of tensors", 0, 0, 0 },
        { "class", CLI_TEXT, &o.class_name, "NAME",
          "Transformers class to look for; without it, architectures[0]", 0, 0, 0 },
        CLI_FILE_OPTIONS(c),
        { 0 }
    };
    if (!cli_begin(c, options, 1, 1)) return c->status;

    o.weights = c->weights;
    o.revision = c->revision;
    char *text = oc_inspect(c->cx, c->operands[0], &o);
    if (!cli_failed(c)) {
        json_t *object = c->json ? NULL : json_loads(text, JSON_ALLOW_NUL, NULL);
        if (object) print_table(c, object);
        else cli_print_line(c, text, strlen(text));
        json_decref(object);
    }
    oc_string_free(text);
    return cli_end(c);
}
