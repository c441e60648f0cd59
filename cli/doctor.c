/* ocelli doctor: what a model folder is and what is wrong with it. oc_doctor tells it as
 * JSON; here it is set as text. */
#include <string.h>

#include "cli.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "?";
}

static void print_files(cli *c, const json_t *files)
{
    size_t i;
    const json_t *file;
    json_array_foreach(files, i, file)
        cli_print(c, "%-14s%s, %.1f MB, %s", i ? "" : "files", text_of(file, "name"),
                  1e-6 * json_number_value(json_object_get(file, "bytes")),
                  json_is_true(json_object_get(file, "read")) ? "read whole"
                                                              : "not readable");
}

static void print_ties(cli *c, const json_t *ties)
{
    size_t i;
    const json_t *tie;
    json_array_foreach(ties, i, tie) cli_print(c, "%-14s%s = %s", i ? "" : "tied",
                                               json_string_value(json_array_get(tie, 0)),
                                               json_string_value(json_array_get(tie, 1)));
}

static void print_dtypes(cli *c, json_t *dtypes)
{
    const char *name;
    json_t *count;
    json_object_foreach(dtypes, name, count)
        cli_print(c, "%-14s%s (%lld tensors)", "dtype", name,
                  (long long)json_integer_value(count));
}

static void print_run(cli *c, const json_t *o)
{
    const json_t *tokenizer = json_object_get(o, "tokenizer"),
                 *forward = json_object_get(o, "forward");
    if (tokenizer)
        cli_print(c, "%-14s%lld ids and back: %s", "tokenizer",
                  (long long)json_integer_value(json_object_get(tokenizer, "tokens")),
                  json_is_true(json_object_get(tokenizer, "same_text"))  ? "the same text"
                  : json_is_true(json_object_get(tokenizer, "same_ids")) ? "the same ids"
                                                                         : "other ids");
    if (forward)
        cli_print(c, "%-14s%s, %lld outputs, %s", "forward hash",
                  text_of(forward, "hash"),
                  (long long)json_integer_value(json_object_get(forward, "outputs")),
                  text_of(forward, "isa"));
}

static void print_comparison(cli *c, const json_t *against)
{
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(against, "tensors"), i, row) {
        const json_t *difference = json_object_get(row, "difference");
        cli_print(c, "  %-9s%-40s%s%.2e of %.2e",
                  json_is_true(json_object_get(row, "same")) ? "same" : "DIFFERS",
                  text_of(row, "name"), difference ? "" : "other type, shape or values, ",
                  json_number_value(difference),
                  json_number_value(json_object_get(row, "largest")));
    }
}

static void print_report(cli *c, const json_t *o)
{
    size_t i;
    const json_t *finding;
    cli_print(c, "%-14s%s", "folder", text_of(o, "folder"));
    cli_print(c, "%-14s%s (%s)", "architecture", text_of(o, "architecture"),
              text_of(o, "model_type"));
    if (json_object_get(o, "parameters"))
        cli_print(c, "%-14s%lld", "parameters",
                  (long long)json_integer_value(json_object_get(o, "parameters")));
    print_dtypes(c, json_object_get(o, "dtype"));
    print_files(c, json_object_get(o, "files"));
    print_ties(c, json_object_get(o, "tied"));
    print_run(c, o);
    print_comparison(c, json_object_get(o, "against"));
    json_array_foreach(json_object_get(o, "findings"), i, finding)
        cli_print(c, "%s: %s: %s", text_of(finding, "level"), text_of(finding, "about"),
                  text_of(finding, "text"));
    cli_print(c, "%s",
              json_is_true(json_object_get(o, "healthy")) ? "healthy" : "not healthy");
}

int command_doctor(cli *c)
{
    oc_doctor_options o = { .size = sizeof o };
    const cli_option options[] = {
        { "against", CLI_TEXT, &o.against, "REF",
          "compare outputs with these, a safetensors file", 0, 0, 0 },
        { "in", CLI_TEXT, &o.in, "IN",
          "arguments of the forward pass; without, seeded ones", 0, 0, 0 },
        { "save-inputs", CLI_OUT, &o.save_inputs, "FILE",
          "where to write those arguments", 0, 0, 0 },
        { "class", CLI_TEXT, &o.class_name, "NAME",
          "Transformers class; without it, architectures[0] of config.json", 0, 0, 0 },
        CLI_MODEL_OPTIONS(c),
        { 0 }
    };
    if (!cli_begin(c, options, 1, 1)) return c->status;
    o.weights = c->weights;
    o.revision = c->revision;
    o.weights_dtype = cli_weights_dtype(c->weights_dtype);
    char *text = oc_doctor(c->cx, c->operands[0], &o);
    json_t *report = cli_failed(c) ? NULL : json_loads(text, JSON_ALLOW_NUL, NULL);
    if (report) {
        if (c->json) cli_print_line(c, text, strlen(text));
        else print_report(c, report);
        if (!json_is_true(json_object_get(report, "healthy"))) c->status = CLI_FAILED;
    }
    json_decref(report);
    oc_string_free(text);
    return cli_end(c);
}
