/* ocelli preprocess: pictures to pixel_values. */
#include <stdlib.h>

#include "cli.h"

/* Opens what can be opened of the operands after the model; the count of those. All are
 * held at once, as the result holds all their rows. */
static size_t open_images(cli *c, oc_image **images)
{
    size_t count = 0;
    for (int i = 1; i < c->operand_count && cli_go_on(c); i++) {
        images[count] = oc_image_open(c->cx, c->operands[i], NULL);
        if (!cli_input_failed(c, NULL)) count++;
        cli_progress(c, i, c->operand_count - 1, "pictures");
    }
    return count;
}

int command_preprocess(cli *c)
{
    const char *out_path = NULL;
    const cli_option options[] = {
        { "out", CLI_OUT, &out_path, "OUT", "where pixel_values go, a safetensors file",
          0, 0, true },
        CLI_REVISION_OPTION(c),
        { 0 }
    };
    if (!cli_begin(c, options, 2, -1)) return c->status;
    c->inputs = c->operand_count - 1;

    oc_model_options without = OC_OPTIONS(oc_model_options, .no_weights = true);
    oc_model *model = cli_open_model(c, c->operands[0], &without);
    oc_image **images = calloc((size_t)c->inputs, sizeof *images);
    size_t count = images && !cli_failed(c) ? open_images(c, images) : 0;
    if (count > 0 && cli_go_on(c)) {
        oc_tensors *out = oc_preprocess(c->cx, model, images, count);
        oc_tensors_save(c->cx, out, out_path);
        if (!cli_failed(c)) cli_print_tensors(c, out_path, out);
        oc_tensors_free(out);
        if (count < (size_t)c->inputs)
            cli_error(c, "%s: holds %zu of %d pictures", out_path, count, c->inputs);
    }
    for (size_t i = 0; i < count; i++) oc_image_free(images[i]);
    free(images);
    oc_model_close(model);
    return cli_end(c);
}
