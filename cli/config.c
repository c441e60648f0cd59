/* Options of `generate` and `read` that go to the library as GenerationConfig's fields.
 * Their names and ranges are the library's to know; here is decided what is a value. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Fields that may stand alone, meaning true: after these a word is a value only if such a
 * field can have it. So `--do-sample line.png` is a flag and a picture. */
static const char *const switches[] = {
    "do_sample", "early_stopping", "use_cache", "renormalize_logits",
    "remove_invalid_values", "output_attentions", "output_hidden_states",
    "return_dict_in_generate", NULL
};

static bool is_among(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0) return true;
    return false;
}

/* JSON where the text is JSON (numbers, true, null, lists), else a string ("never"). */
static json_t *value_of(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    return value ? value : cli_json_text(text, strlen(text));
}

bool cli_config_option(cli *c, const char *name, const char *value, int *i)
{
    static const char *const switch_values[] = { "true", "false", "never", NULL };
    char key[64];
    snprintf(key, sizeof key, "%s", name);
    for (char *at = key; *at; at++)
        if (*at == '-') *at = '_';

    const char *next = *i + 1 < c->arg_count ? c->args[*i + 1] : NULL;
    if (!value && is_among(key, switches)) {
        if (next && is_among(next, switch_values)) value = c->args[++*i];
        else value = "true";
    } else if (!value) {
        if (!next || strncmp(next, "--", 2) == 0) {
            cli_usage(c, "--%s: unknown option, or its value is missing", name);
            return false;
        }
        c->config_name = c->args[*i] + 2;
        c->config_value = value = c->args[++*i];
    }
    if (json_object_set_new(c->config, key, value_of(value)) != 0) {
        cli_usage(c, "--%s: '%s' is not a usable value", name, value);
        return false;
    }
    return true;
}

char *cli_config_text(const cli *c)
{
    return json_object_size(c->config) ? json_dumps(c->config, JSON_COMPACT) : NULL;
}
