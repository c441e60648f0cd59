/* ocelli convert: a model folder in another format, type or number of files. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* "500MB", "2GiB", "1000000": bytes, 0 if it is no such size. Transformers takes "Gb" for
 * bits, which nobody means. */
static uint64_t parse_size(const char *text)
{
    static const struct { const char *unit; uint64_t bytes; } units[] = {
        { "", 1 }, { "KB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 },
        { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 },
    };
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 15) return 0;
    uint64_t number = strtoull(text, NULL, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(text + digits, units[i].unit) &&
            number <= UINT64_MAX / units[i].bytes)
            return number * units[i].bytes;
    return 0;
}

int command_convert(cli *c)
{
    static const char *const formats[] = { "safetensors", "bin", "h5", "msgpack" };
    int format = 0, dtype = 0;
    const char *shard = NULL, *mask = NULL;
    const cli_option options[] = {
        { "to", CLI_CHOICE, &format, "safetensors|bin|h5|msgpack",
          "the format; safetensors", 0, 0, 0 },
        { "dtype", CLI_CHOICE, &dtype, "as-is|f32|bf16|f16",
          "type of all weights; as-is", 0, 0, 0 },
        { "max-shard-size", CLI_TEXT, &shard, "SIZE",
          "bytes in one file (2GB, 500MB, 1GiB); 5GB, of h5 and msgpack 10GB", 0, 0, 0 },
        { "weights-dtype", CLI_CHOICE, &c->weights_dtype, CLI_WEIGHTS_DTYPES,
          "the same, or of the matrices alone, quantised; as-is", 0, 0, 0 },
        { "mask", CLI_TEXT, &mask, "PATTERNS",
          "parameters that get the type, '!*norm*' all but those; all", 0, 0, 0 },
        CLI_FILE_OPTIONS(c),
        { 0 }
    };
    if (!cli_begin(c, options, 2, 2)) return c->status;
    uint64_t bytes = shard ? parse_size(shard) : 0;
    if (shard && !bytes)
        return cli_usage(c,
                         "--max-shard-size: expected a size such as 500MB, 5GB or 2GiB, "
                         "found '%s'",
                         shard);

    if (dtype && c->weights_dtype)
        return cli_usage(c, "--dtype and --weights-dtype: expected one of them");

    const oc_convert_options o = OC_OPTIONS(
        oc_convert_options, .weights = c->weights, .revision = c->revision,
        .save = OC_OPTIONS(oc_save_options, .format = formats[format],
                           .dtype = cli_weights_dtype(dtype ? dtype : c->weights_dtype),
                           .max_shard_size = bytes, .mask = mask));
    oc_convert(c->cx, c->operands[0], c->operands[1], &o);
    if (!cli_failed(c)) {
        if (c->json)
            cli_print_json(c, json_pack("{s:o}", "folder", cli_json_text(c->operands[1],
                                                                strlen(c->operands[1]))));
        else
            cli_print(c, "%s", c->operands[1]);
    }
    return cli_end(c);
}
