/* ocelli forward: one forward pass, arguments and outputs in safetensors files. */
#include "cli.h"

int command_forward(cli *c)
{
    const char *in_path = NULL, *out_path = NULL;
    oc_forward_options o = { .size = sizeof o };
    oc_model_options open = { .size = sizeof open, .weights_only = true };
    const cli_option options[] = {
        { "in", CLI_TEXT, &in_path, "IN", "arguments, a safetensors file", 0, 0, true },
        { "out", CLI_OUT, &out_path, "OUT", "where the outputs go", 0, 0, true },
        { "class", CLI_TEXT, &o.class_name, "NAME",
          "Transformers class; without it, architectures[0] of config.json", 0, 0, 0 },
        { "allow-missing", CLI_FLAG, &open.allow_missing, NULL,
          "draw the weights that the class has and no file does", 0, 0, 0 },
        { "output-hidden-states", CLI_FLAG, &o.output_hidden_states, NULL,
          "add every layer's states", 0, 0, 0 },
        { "output-attentions", CLI_FLAG, &o.output_attentions, NULL,
          "add attention probabilities", 0, 0, 0 },
        { "use-cache", CLI_FLAG, &o.use_cache, NULL,
          "add past_key_values.LAYER.INDEX", 0, 0, 0 },
        { "gradients", CLI_FLAG, &o.gradients, NULL,
          "add grad.NAME, d loss / d parameter, for each that the loss reaches", 0, 0,
          0 },
        CLI_MODEL_OPTIONS(c),
        { 0 }
    };
    if (!cli_begin(c, options, 1, 1)) return c->status;

    oc_tensors *in = oc_tensors_open(c->cx, in_path);
    open.trainable = o.gradients;
    open.class_name = o.class_name;
    oc_model *model = cli_open_model(c, c->operands[0], &open);
    oc_tensors *out = oc_forward(c->cx, model, in, &o);
    oc_tensors_save(c->cx, out, out_path);
    if (!cli_failed(c)) cli_print_tensors(c, out_path, out);

    oc_tensors_free(out);
    oc_model_close(model);
    oc_tensors_free(in);
    return cli_end(c);
}
