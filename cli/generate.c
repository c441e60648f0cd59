/* ocelli generate: ids from named tensors, with GenerationConfig's options. */
#include <stdlib.h>

#include "cli.h"

int command_generate(cli *c)
{
    const char *in_path = NULL, *out_path = NULL;
    oc_generate_options o = { .size = sizeof o };
    const cli_option options[] = {
        { "in", CLI_TEXT, &in_path, "IN", "arguments, a safetensors file", 0, 0, true },
        { "out", CLI_OUT, &out_path, "OUT", "where the ids go", 0, 0, true },
        { "output-scores", CLI_FLAG, &o.output_scores, NULL,
          "add scores.N, what the token of step N was picked from; with beams also "
          "sequences_scores and beam_indices", 0, 0, 0 },
        { "output-logprobs", CLI_FLAG, &o.output_logprobs, NULL,
          "add token_logprobs, log-softmax of the raw logits at each token", 0, 0, 0 },
        { "output-attentions", CLI_FLAG, &o.output_attentions, NULL,
          "add encoder_attentions.LAYER, and decoder_attentions.STEP.LAYER and "
          "cross_attentions.STEP.LAYER", 0, 0, 0 },
        { "output-hidden-states", CLI_FLAG, &o.output_hidden_states, NULL,
          "add encoder_hidden_states.N and decoder_hidden_states.STEP.N", 0, 0, 0 },
        CLI_KV_OPTION(c), CLI_MODEL_OPTIONS(c),
        { 0 }
    };
    c->config = json_object();
    if (!cli_begin(c, options, 1, 1)) return c->status;

    char *config = cli_config_text(c);
    o.config = config;
    o.kv_dtype = cli_kv_dtype(c);
    oc_tensors *in = oc_tensors_open(c->cx, in_path);
    oc_model *model = cli_open_model(c, c->operands[0], NULL);
    oc_tensors *out = oc_generate(c->cx, model, in, &o);
    oc_tensors_save(c->cx, out, out_path);
    if (!cli_failed(c)) cli_print_tensors(c, out_path, out);

    oc_tensors_free(out);
    oc_model_close(model);
    oc_tensors_free(in);
    free(config);
    return cli_end(c);
}
