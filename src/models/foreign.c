/* The names were taken from what the classes of 4.37.2 save
 * (tools/goldens/check_formats.py has the list of those that were
 * tried, in both directions). */
#include "models/foreign.h"

#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "models/make.h"

/* ---- which models there are -------------------------------------------------------- */

static const struct kind {
    const char *model_type;
    bool keras, flax, dots;
} kinds[] = {
    { "vit", true, true, false },        { "deit", true, false, false },
    { "beit", false, true, false },      { "swin", true, false, true },
    { "bert", true, true, false },       { "roberta", true, true, false },
    { "xlm-roberta", true, true, false }, { "camembert", true, false, false },
    { "distilbert", true, true, false }, { "gpt2", true, true, false },
    { "bart", true, true, true },        { "mbart", true, true, true },
    { "clip", true, true, false },       { "clip_vision_model", true, true, false },
    { "clip_text_model", true, true, false },
    { "vision-encoder-decoder", true, true, false },
    { "vision-text-dual-encoder", true, true, false },
};

static const struct kind *kind_of(oc_context *cx, oci_layout layout,
                                  const char *model_type)
{
    const bool flax = layout == OCI_LAYOUT_FLAX;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].model_type, model_type) &&
            (flax ? kinds[i].flax : kinds[i].keras))
            return &kinds[i];
    oci_fail(cx, OC_E_UNSUPPORTED,
             "save: format: Transformers 4.37.2 has no %s class of a %.40s",
             flax ? "Flax" : "TensorFlow", model_type);
    return NULL;
}

/* "vit." of the part's architecture; its Keras class has that scope between the part's
 * name and the weights, unless the PyTorch names have it too. */
static bool read_part(oc_context *cx, const oci_model *model, const oci_joint *joint,
                      int part, oci_foreign *f)
{
    const json_t *config = json_object_get(model->config.root, joint->configs[part]);
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const oci_arch *arch = type ? oci_arch_find(type) : NULL;
    const struct kind *kind = type ? kind_of(cx, f->layout, type) : NULL;
    if (!arch || !kind) return false;
    bool decodes = !strcmp(joint->configs[part], "decoder");
    f->parts[part] = decodes ? "" : arch->base_prefix;
    f->dots[part] = kind->dots;
    return true;
}

/* Names of a class with a head have the base model's scope already ("bert.encoder…"). */
static bool has_scope(const char *scope, const oci_param *params, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strncmp(params[i].name, scope, strlen(scope))) return true;
    return false;
}

bool oci_foreign_begin(oc_context *cx, const oci_model *model, oci_layout layout,
                       const oci_param *params, size_t count, oci_foreign *f)
{
    *f = (oci_foreign){
        .layout = layout, .parts = { "", "" }, .scope = "", .count = count
    };
    const struct kind *kind = kind_of(cx, layout, model->arch->model_type);
    const oci_joint *joint = oci_joint_find(model->arch->model_type);
    const char *scope = model->arch->base_prefix;
    if (!kind) return false;
    f->dots[0] = kind->dots;
    f->pair = joint != NULL;
    if (joint)
        return read_part(cx, model, joint, 0, f) && read_part(cx, model, joint, 1, f);
    if (layout != OCI_LAYOUT_FLAX && scope && !has_scope(scope, params, count))
        f->scope = scope;
    return true;
}

/* ---- leaves ------------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && !strcmp(text + n - k, end);
}

/* The weight that a bias stands beside: before it in a state dict, behind
 * it where names are sorted. */
static const oci_param *weight_of(const oci_foreign *f, const oci_param *params,
                                  size_t index)
{
    const char *bias = params[index].name;
    const size_t n = strlen(bias) - strlen("bias");
    for (size_t i = index ? index - 1 : 0; i < f->count && i <= index + 1; i++)
        if (!strncmp(params[i].name, bias, n) && !strcmp(params[i].name + n, "weight"))
            return &params[i];
    return NULL;
}

/* Rows that are looked up. A table that is a head too is a product to the model, and what
 * it does not know at all has no kind: the names tell. */
static bool is_table(const oci_param *p)
{
    static const char *const names[] = {
        "word_embeddings", "position_embeddings", "token_type_embeddings", "wte", "wpe",
        "shared", "embed_tokens", "embed_positions", "token_embedding",
        "position_embedding"
    };
    char end[64];
    if (p->kind == OCI_PARAM_TABLE) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int n = snprintf(end, sizeof end, "%s.weight", names[i]);
        size_t size = strlen(p->name), tail = (size_t)n;
        if (ends_with(p->name, end) && (size == tail || p->name[size - tail - 1] == '.'))
            return true;
    }
    return false;
}

/* The few tables whose variable Keras' classes make themselves. */
static bool is_own_table(const char *name)
{
    return ends_with(name, "word_embeddings.weight") ||
           ends_with(name, "token_embedding.weight");
}

static void turn(oci_foreign_name *n, const oci_param *p)
{
    static const int conv2d[] = { 2, 3, 1, 0 };         /* OIHW → HWIO */
    oci_entry own = { .rank = p->rank };
    for (int i = 0; i < p->rank; i++) {
        n->order[i] = p->rank == 4 ? conv2d[i] : p->rank - 1 - i;
        n->shape[i] = own.shape[i] = p->shape[n->order[i]];
    }
    n->moves = oci_layout_moves(&own, n->order);
}

static const char *weight_leaf(bool flax, const oci_param *p, oci_foreign_name *n)
{
    if (p->rank == 1) return flax ? "scale" : "gamma";
    if (p->rank == 2 && is_table(p))
        return flax ? "embedding" : is_own_table(p->name) ? "weight" : "embeddings";
    /* Keras' Conv1D keeps PyTorch's name and order; Flax' turns it like any product. */
    if (p->kind == OCI_PARAM_TURNED && !flax) return "weight";
    turn(n, p);
    return "kernel";
}

static const char *bias_leaf(const oci_foreign *f, const oci_param *params, size_t index,
                             oci_foreign_name *n)
{
    const oci_param *weight = weight_of(f, params, index);
    if (f->layout == OCI_LAYOUT_FLAX || !weight) return "bias";
    if (weight->rank == 1) return "beta";
    if (weight->kind == OCI_PARAM_TURNED) {             /* Conv1D's is a row */
        n->rank = 2;
        n->shape[1] = n->shape[0];
        n->shape[0] = 1;
    }
    return "bias";
}

/* The last part of the name as the other side has it; shape and order in *n. */
static const char *leaf(const oci_foreign *f, const oci_param *params, size_t index,
                        const char *last, oci_foreign_name *n)
{
    const oci_param *p = &params[index];
    const bool flax = f->layout == OCI_LAYOUT_FLAX;
    n->rank = p->rank;
    for (int i = 0; i < p->rank; i++) {
        n->order[i] = i;
        n->shape[i] = p->shape[i];
    }
    if (!strcmp(last, "weight")) return weight_leaf(flax, p, n);
    if (!strcmp(last, "bias")) return bias_leaf(f, params, index, n);
    if (p->rank == 0 && !flax) {                        /* CLIP's logit_scale */
        n->rank = 1;
        n->shape[0] = 1;
    }
    return last;
}

/* ---- names ------------------------------------------------------------------------- */

typedef struct text {
    char *data;                 /* [OCI_MAX_NAME] */
    size_t size;
    bool full;
} text;

static void add(text *t, const char *piece, size_t n)
{
    if (t->full || n >= OCI_MAX_NAME - t->size) {
        t->full = true;
        return;
    }
    memcpy(t->data + t->size, piece, n);
    t->size += n;
    t->data[t->size] = '\0';
}

static void add_text(text *t, const char *piece) { add(t, piece, strlen(piece)); }

/* One part of a name, with what joins it to those before: a number is a list's member. */
static void add_part(const oci_foreign *f, text *t, bool dots, const char *part, size_t n)
{
    bool keras = f->layout != OCI_LAYOUT_FLAX, digit = part[0] >= '0' && part[0] <= '9';
    if (t->size) add_text(t, keras && digit ? dots ? "." : "_._" : "/");
    /* The two heads that share BERT's "cls" are layers of their own there. */
    if (keras && n == 3 && !memcmp(part, "cls", 3) &&
        !strncmp(part + 3, ".predictions", 12))
        add_text(t, "mlm___");
    if (keras && n == 3 && !memcmp(part, "cls", 3) &&
        !strncmp(part + 3, ".seq_relationship", 17))
        add_text(t, "nsp___");
    add(t, part, n);
}

/* A prefix such as "bert.", without its dot. */
static void add_scope(const oci_foreign *f, text *t, const char *scope)
{
    if (*scope) add_part(f, t, false, scope, strlen(scope) - 1);
}

/* The parts of PyTorch's name but the last; returns that. */
static const char *add_path(const oci_foreign *f, text *t, const char *name)
{
    static const char *const names[] = { "encoder.", "vision_model.", "decoder.",
                                         "text_model." };
    int part = -1;              /* projections belong to neither */
    for (int i = 0; f->pair && i < 4; i++)
        if (!strncmp(name, names[i], strlen(names[i]))) part = i / 2;
    add_scope(f, t, f->scope);
    for (const char *dot; (dot = strchr(name, '.')) != NULL; name = dot + 1) {
        const bool first = t->size == 0;
        add_part(f, t, f->dots[part == 1], name, (size_t)(dot - name));
        if (first && part >= 0 && f->layout != OCI_LAYOUT_FLAX)
            add_scope(f, t, f->parts[part]);
    }
    return name;
}

/* Keras' variables have their model's name before the path, which nobody looks at, and
 * files the layer's before that. */
static void add_layer(oci_foreign_name *n, const char *path)
{
    static const char shared[] = "model/shared/";
    const int layer = (int)strcspn(path, "/");
    int size;
    if (!strncmp(path, shared, sizeof shared - 1))  /* BART's, under a scope of its own */
        size = snprintf(n->name, sizeof n->name, "model/model.shared/model.shared/%s:0",
                        path + sizeof shared - 1);
    else if (!strcmp(path, "logit_scale"))
        size = snprintf(n->name, sizeof n->name, "top_level_model_weights/tf_model/%s:0",
                        path);
    else if (!strcmp(path, "final_logits_bias"))
        size = snprintf(n->name, sizeof n->name, "%s/%s:0", path, path);
    else
        size = snprintf(n->name, sizeof n->name, "%.*s/tf_model/%s:0", layer, path, path);
    if (size < 0 || (size_t)size >= sizeof n->name) n->name[0] = '\0';
}

bool oci_foreign_entry(oc_context *cx, const oci_foreign *f, const oci_param *params,
                       size_t index, oci_foreign_name *n)
{
    char path[OCI_MAX_NAME] = "";
    text t = { .data = path };
    *n = (oci_foreign_name){ .name = "" };
    const char *last = add_path(f, &t, params[index].name);
    last = leaf(f, params, index, last, n);
    add_part(f, &t, false, last, strlen(last));
    if (f->layout != OCI_LAYOUT_FLAX) add_layer(n, path);
    else memcpy(n->name, path, sizeof path);
    if (t.full || !n->name[0])
        oci_fail(cx, OC_E_LIMIT, "save: %s: too long a name", params[index].name);
    return !oci_failed(cx);
}
