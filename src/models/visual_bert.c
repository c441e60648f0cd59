/* VisualBERT — Li et al. 2019, arXiv:1908.03557. Transformers: VisualBertModel; the
 * classes with heads are in visual_bert_heads.c.
 *
 *   input_ids [B,T] → word + token type + position embeddings [B,T,D]
 *   visual_embeds [B,V,E] → projection + position + token type embeddings [B,V,D]
 *     where the position is the mean of those of the words that a region belongs to
 *     (image_text_alignment), or none, plus row 0 of a table of its own
 *   text, then regions → LayerNorm [B,S,D] → BERT's layers [B,S,D] → pooler [B,D]
 */
#include "models/visual_bert.h"

#include <float.h>
#include <string.h>

#include "models/prune.h"

static const oci_field fields[] = {
    OCI_INT(oci_bert_config, vocab_size, 30522, 1, 1 << 24),
    OCI_INT(oci_bert_config, hidden_size, 768, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bert_config, num_hidden_layers, 12, 0, OCI_MAX_LAYERS),
    OCI_INT(oci_bert_config, num_attention_heads, 12, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bert_config, intermediate_size, 3072, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bert_config, max_position_embeddings, 512, 1, 1 << 20),
    OCI_INT(oci_bert_config, type_vocab_size, 2, 1, 1 << 20),
    OCI_ACT(oci_bert_config, hidden_act, OCI_ACT_GELU),
    OCI_REAL(oci_bert_config, layer_norm_eps, 1e-12, 0, 1),
    OCI_REAL(oci_bert_config, initializer_range, 0.02, 0, 1e3),
    OCI_BOOL(oci_bert_config, tie_word_embeddings, true),
    OCI_FIELDS_END
};

/* special_visual_initialize copies two tables that Transformers then draws anew: it is
 * read, and kept in the config, but has no effect there either. */
static const oci_field visual_fields[] = {
    OCI_INT(oci_visual_config, visual_embedding_dim, 512, 1, OCI_MAX_WIDTH),
    OCI_BOOL(oci_visual_config, bypass_transformer, false),
    OCI_BOOL(oci_visual_config, special_visual_initialize, true),
    OCI_BOOL(oci_visual_config, is_decoder, false),
    OCI_FIELDS_END
};

static oci_visual_head head_of(oc_context *cx, const oci_config_source *from)
{
    const char *name = oci_config_class(from);
    if (!name) return OCI_VISUAL_BASE;
    for (int i = 0; oci_visual_bert_classes[i].name; i++)
        if (!strcmp(oci_visual_bert_classes[i].name, name)) return (oci_visual_head)i;
    oci_fail(cx, OC_E_UNSUPPORTED,
             "%s: architectures: expected a class of visual_bert, found %.80s",
             from->doc->name, name);
    return OCI_VISUAL_BASE;
}

static void visual_bert_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_visual_bert *m = model;
    oci_bert_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c) ||
        !oci_config_read(cx, from, visual_fields, &m->visual)) return;
    c->pad_token_id = oci_config_pad(cx, from, 1, c->vocab_size);
    m->visual.num_labels = oci_config_labels(cx, from);
    m->head = head_of(cx, from);
    oci_config_divides(cx, from, "num_attention_heads", c->num_attention_heads,
                       "hidden_size", c->hidden_size);
    if (m->visual.is_decoder)   /* its causal mask takes two shapes for one, and raises */
        oci_config_fail(cx, from, "is_decoder", "expected false, found true");
    m->layers = oci_calloc(cx, (size_t)c->num_hidden_layers, sizeof *m->layers);
    if (m->layers)
        oci_heads_read(cx, from, c->num_attention_heads, c->num_hidden_layers,
                       &m->layers->self, sizeof *m->layers);
}

static void visual_bert_close(void *model)
{
    oci_free(((oci_visual_bert *)model)->layers);
}

/* Of the encoder; additional_layer keeps its heads, as in Transformers. */
static const oci_attention_layer *visual_bert_attention(const void *model, int64_t layer)
{
    const oci_visual_bert *m = model;
    return layer < m->cfg.num_hidden_layers ? &m->layers[layer].self : NULL;
}

/* ---- names ---- */

static void table_walk(oci_walk w, const char *name, oci_tensor **table, int64_t rows,
                       int64_t D)
{
    oci_walk_param(oci_walk_enter(w, "%s", name), "weight", table, OCI_PARAM_TABLE,
                   OCI_SHAPE(rows, D));
}

/* The regions' tables have the sizes of the words': positions as many, types as many. */
static void embeddings_walk(oci_walk w, oci_visual_bert *m)
{
    const oci_bert_config *c = &m->cfg;
    int64_t D = c->hidden_size;
    bool tied = m->head == OCI_VISUAL_PRETRAINING && c->tie_word_embeddings;
    oci_text_tokens_walk(oci_walk_enter(w, "word_embeddings"), &m->word_embeddings, tied,
                         c->vocab_size, D);
    table_walk(w, "position_embeddings", &m->position_embeddings,
               c->max_position_embeddings, D);
    table_walk(w, "token_type_embeddings", &m->token_type_embeddings, c->type_vocab_size,
               D);
    oci_walk_norm(oci_walk_enter(w, "LayerNorm"), &m->norm, D, c->layer_norm_eps);
    table_walk(w, "visual_token_type_embeddings", &m->visual_token_type_embeddings,
               c->type_vocab_size, D);
    table_walk(w, "visual_position_embeddings", &m->visual_position_embeddings,
               c->max_position_embeddings, D);
    oci_walk_linear(oci_walk_enter(w, "visual_projection"), &m->visual_projection, D,
                    m->visual.visual_embedding_dim, true);
}

static void visual_bert_walk(oci_walk w, void *model)
{
    oci_visual_bert *m = model;
    const oci_bert_config *c = &m->cfg;
    int64_t D = c->hidden_size;
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->initializer_range);
    oci_walk base = m->head == OCI_VISUAL_BASE ? w : oci_walk_enter(w, "visual_bert");
    embeddings_walk(oci_walk_enter(base, "embeddings"), m);
    /* add_cross_attention is no field of this config and stays false. */
    for (int64_t i = 0; i < c->num_hidden_layers; i++)
        oci_bert_layer_walk(oci_walk_enter(base, "encoder.layer.%lld", (long long)i),
                            &m->layers[i], c);
    oci_walk_linear(oci_walk_enter(base, "pooler.dense"), &m->pooler, D, D, true);
    if (m->visual.bypass_transformer)
        oci_bert_layer_walk(oci_walk_enter(base, "additional_layer"), &m->additional, c);
    oci_visual_heads_walk(w, m);
}

/* ---- arguments ---- */

oci_visual_call oci_visual_call_of(oc_context *cx, const oc_tensors *in,
                                   const oci_input_spec *specs)
{
    return (oci_visual_call){
        .text = { .input_ids = oci_input(cx, in, specs, "input_ids"),
                  .inputs_embeds = oci_input(cx, in, specs, "inputs_embeds"),
                  .token_type_ids = oci_input(cx, in, specs, "token_type_ids"),
                  .position_ids = oci_input(cx, in, specs, "position_ids"),
                  .attention_mask = oci_input(cx, in, specs, "attention_mask"),
                  .head_mask = oci_input(cx, in, specs, "head_mask") },
        .visual_embeds = oci_input(cx, in, specs, "visual_embeds"),
        .visual_attention_mask = oci_input(cx, in, specs, "visual_attention_mask"),
        .visual_token_type_ids = oci_input(cx, in, specs, "visual_token_type_ids"),
        .image_text_alignment = oci_input(cx, in, specs, "image_text_alignment") };
}

/* [B, N], or one row for all. */
static void check_ids(oc_context *cx, const char *name, const oci_tensor *x, int64_t B,
                      int64_t N)
{
    char found[128];
    if (x && (x->rank != 2 || (x->shape[0] != 1 && x->shape[0] != B) || x->shape[1] != N))
        oci_fail(cx, OC_E_MALFORMED, "input %s: expected [%lld, %lld], found %s", name,
                 (long long)B, (long long)N, oci_shape_text(x, found));
}

/* [B, N], or [B, 1|S, N]: a row of its own for each query. */
static void check_mask(oc_context *cx, const char *name, const oci_tensor *x, int64_t B,
                       int64_t S, int64_t N)
{
    char found[128];
    if (!x) return;
    bool rows = x->rank == 3 && (x->shape[1] == 1 || x->shape[1] == S);
    if ((x->rank == 2 || rows) && x->shape[0] == B && x->shape[x->rank - 1] == N) return;
    oci_fail(cx, OC_E_MALFORMED,
             "input %s: expected [%lld, %lld] or [%lld, %lld, %lld], found %s", name,
             (long long)B, (long long)N, (long long)B, (long long)S, (long long)N,
             oci_shape_text(x, found));
}

static void check_visual(oc_context *cx, const oci_visual_bert *m,
                         const oci_visual_call *call, int64_t B, int64_t T)
{
    const oci_tensor *regions = call->visual_embeds, *a = call->image_text_alignment;
    const oci_tensor *mask = call->visual_attention_mask,
                     *text = call->text.attention_mask;
    char found[128];
    int64_t V = regions->rank == 3 ? regions->shape[1] : 0;
    if (regions->rank != 3 || regions->shape[0] != B ||
        regions->shape[2] != m->visual.visual_embedding_dim)
        oci_fail(cx, OC_E_MALFORMED,
                 "input visual_embeds: expected [%lld, regions, visual_embedding_dim "
                 "%lld], found %s",
                 (long long)B, (long long)m->visual.visual_embedding_dim,
                 oci_shape_text(regions, found));
    check_mask(cx, "visual_attention_mask", mask, B, T + V, V);
    int rank = mask ? mask->rank : 2, text_rank = text ? text->rank : 2;
    if (rank != text_rank || (rank == 3 && text->shape[1] != mask->shape[1]))
        oci_fail(cx, OC_E_MALFORMED,
                 "input visual_attention_mask: expected the dimensions of "
                 "attention_mask, with its last one %lld",
                 (long long)V);
    check_ids(cx, "visual_token_type_ids", call->visual_token_type_ids, B, V);
    if (a && (a->rank != 3 || (a->shape[0] != 1 && a->shape[0] != B) || a->shape[1] < V))
        oci_fail(cx, OC_E_MALFORMED,
                 "input image_text_alignment: expected [%lld, %lld or more, words], "
                 "found %s",
                 (long long)B, (long long)V, oci_shape_text(a, found));
    oci_inputs_within(cx, "image_text_alignment", a, -1,
                      m->cfg.max_position_embeddings - 1);
}

/* Everything that the layers take for granted. Without regions the other visual arguments
 * are not looked at, as in Transformers. */
static void check(oc_context *cx, const oci_visual_bert *m, const oci_visual_call *call)
{
    const oci_decode_call *text = &call->text;
    const oci_tensor *first = text->input_ids ? text->input_ids : text->inputs_embeds;
    if (!text->input_ids == !text->inputs_embeds) {
        oci_fail(cx, OC_E_MALFORMED,
                 "visual_bert: expected either input_ids or inputs_embeds, found %s",
                 first ? "both" : "neither");
        return;
    }
    int64_t B = first->shape[0], T = first->shape[1];
    int64_t V = call->visual_embeds && call->visual_embeds->rank == 3
                    ? call->visual_embeds->shape[1] : 0;
    if (text->inputs_embeds && first->shape[2] != m->cfg.hidden_size)
        oci_fail(cx, OC_E_MALFORMED,
                 "input inputs_embeds: expected width %lld, found %lld",
                 (long long)m->cfg.hidden_size, (long long)first->shape[2]);
    oci_inputs_within(cx, "input_ids", text->input_ids, 0, m->cfg.vocab_size - 1);
    check_mask(cx, "attention_mask", text->attention_mask, B, T + V, T);
    check_ids(cx, "token_type_ids", text->token_type_ids, B, T);
    check_ids(cx, "position_ids", text->position_ids, B, T);
    oci_inputs_within(cx, "position_ids", text->position_ids, 0,
                      m->cfg.max_position_embeddings - 1);
    if (call->visual_embeds) check_visual(cx, m, call, B, T);
    /* 4.37.2 raises there for every input: it reads row T of a mask with one row. */
    if (call->visual_embeds && m->visual.bypass_transformer)
        oci_fail(cx, OC_E_UNSUPPORTED, "visual_bert: bypass_transformer: expected no "
                 "visual_embeds, which Transformers 4.37.2 cannot run either");
}

/* ---- forward ---- */

/* One row of the same id for a whole batch. */
static oci_tensor *same_ids(oc_context *cx, int64_t N, int64_t id)
{
    oci_tensor *ids = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, N));
    for (int64_t i = 0; ids && i < N; i++) oci_i64(ids)[i] = id;
    return ids;
}

/* Rows of token types: `ids`, or all of type `usual`. [1|B, N, D] */
static oci_tensor *types(oc_context *cx, oci_tensor *table, const char *name,
                         oci_tensor *ids, int64_t N, int64_t usual)
{
    if (!ids) ids = same_ids(cx, N, usual);
    if (table) oci_inputs_within(cx, name, ids, 0, table->shape[0] - 1);
    return oci_op_embedding(cx, table, ids, -1);
}

static oci_tensor *embed_regions(oc_context *cx, const oci_visual_bert *m,
                                 const oci_visual_call *call)
{
    int64_t V = call->visual_embeds->shape[1];
    oci_tensor *x = oci_linear(cx, &m->visual_projection,
                               call->visual_embeds);                    /* [B, V, D] */
    oci_tensor *p = oci_op_embedding(cx, m->visual_position_embeddings,
                                     same_ids(cx, V, 0), -1);           /* [1, V, D] */
    if (call->image_text_alignment) {
        oci_tensor *words = oci_op_embedding_mean(cx, m->position_embeddings,
                                                  call->image_text_alignment);
        p = oci_op_add(cx, oci_op_slice(cx, words, 0, V), p);           /* [1|B, V, D] */
    }
    x = oci_op_add(cx, x, p);
    return oci_op_add(cx, x,
                      types(cx, m->visual_token_type_embeddings, "visual_token_type_ids",
                            call->visual_token_type_ids, V, 1));
}

static oci_tensor *embed(oc_context *cx, const oci_visual_bert *m,
                         const oci_visual_call *call)
{
    const oci_decode_call *text = &call->text;
    oci_tensor *x = oci_text_embed(cx, m->word_embeddings, text, m->cfg.pad_token_id);
    if (!x) return NULL;
    int64_t T = x->shape[1];
    x = oci_op_add(cx, x, types(cx, m->token_type_embeddings, "token_type_ids",
                                text->token_type_ids, T, 0));
    x = oci_op_add(cx, x, oci_text_positions(cx, m->position_embeddings, text, T, 0));
    if (call->visual_embeds) x = oci_op_concat(cx, x, embed_regions(cx, m, call));
    return oci_layer_norm(cx, &m->norm, x);                             /* [B, S, D] */
}

/* get_extended_attention_mask of text's and regions' masks side by
 * side, (1 - m) * lowest, [B, 1, 1|S, S]; what is not given is seen.
 * NULL when there is nothing to add. */
static oci_tensor *scores_mask(oc_context *cx, const oci_visual_call *call, int64_t T,
                               int64_t V)
{
    const oci_tensor *text = call->text.attention_mask;
    const oci_tensor *visual = V ? call->visual_attention_mask : NULL;
    const oci_tensor *any = text ? text : visual;
    bool hides = false;
    if (!any || oci_failed(cx)) return NULL;
    int64_t B = any->shape[0], rows = any->rank == 3 ? any->shape[1] : 1, S = T + V;
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, 1, rows, S));
    for (int64_t i = 0; y && i < B * rows * S; i++) {
        int64_t row = i / S, key = i % S;
        float seen = 1;
        if (key < T && text) seen = oci_f32(text)[row * T + key];
        if (key >= T && visual) seen = oci_f32(visual)[row * V + key - T];
        oci_f32(y)[i] = (1 - seen) * -FLT_MAX;
        hides = hides || seen != 1;
    }
    return hides ? y : NULL;
}

oci_tensor *oci_visual_bert_hidden(oc_context *cx, const oci_visual_bert *m,
                                   const oci_visual_call *call)
{
    const oci_bert_config *c = &m->cfg;
    if (!oci_failed(cx)) check(cx, m, call);
    if (oci_failed(cx)) return NULL;
    int64_t V = call->visual_embeds ? call->visual_embeds->shape[1] : 0;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = embed(cx, m, call);                                 /* [B, S, D] */
    if (!x) return NULL;
    oci_text_stack stack = { .layers = m->layers, .count = c->num_hidden_layers,
                             .heads = c->num_attention_heads, .act = c->hidden_act,
                             .bidirectional = true,
                             .mask = scores_mask(cx, call, x->shape[1] - V, V) };
    return oci_text_stack_run(cx, &stack, mark, x, &call->text);        /* [B, S, D] */
}

oci_tensor *oci_visual_bert_pool(oc_context *cx, const oci_visual_bert *m, oci_tensor *x)
{
    if (!x || oci_failed(cx)) return NULL;
    oci_tensor *first = oci_op_slice(cx, x, 0, 1);                      /* [B, 1, D] */
    first = oci_linear(cx, &m->pooler, first, .act = OCI_ACT_TANH);
    return oci_op_reshape(cx, first, OCI_SHAPE(x->shape[0], m->cfg.hidden_size));
}

/* It decodes nothing; but its tokens can be counted and resized. */
static oci_decoder_shape visual_bert_shape(const void *model)
{
    const oci_bert_config *c = &((const oci_visual_bert *)model)->cfg;
    return (oci_decoder_shape){ .layers = c->num_hidden_layers,
                                .heads = c->num_attention_heads,
                                .head_dim = c->hidden_size / c->num_attention_heads,
                                .width = c->hidden_size, .vocab_size = c->vocab_size,
                                .max_positions = c->max_position_embeddings,
                                .pad_token_id = c->pad_token_id };
}

const oci_arch oci_visual_bert_arch = {
    .model_type = "visual_bert", .base_prefix = "visual_bert.",
    .size = sizeof(oci_visual_bert), .classes = oci_visual_bert_classes,
    .open = visual_bert_open, .close = visual_bert_close, .walk = visual_bert_walk,
    .attention = visual_bert_attention, .decoder_shape = visual_bert_shape };
