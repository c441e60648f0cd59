#include "models/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/make.h"
#include "nn/param.h"

/* ---- reading ---- */

/* The number that a key of pruned_heads stands for, -1 if it is none below `layers`. */
static int64_t layer_of(const char *key, int64_t layers)
{
    char *end;
    long layer = strtol(key, &end, 10);
    return *key >= '0' && *key <= '9' && !*end && layer < layers ? layer : -1;
}

static bool is_listed(const json_t *list, int64_t head)
{
    const json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        if (json_integer_value(item) == head) return true;
    return false;
}

/* Different ones in a list of heads below `heads`; -1 if something else is in it. A list
 * may be as long as a config can be, and there may be as many: each is looked at once.
 * `listed` has a flag a head, all false before and after. */
static int64_t count_listed(const json_t *list, int64_t heads, bool *listed)
{
    int64_t count = 0;
    const json_t *item;
    size_t i;
    if (!json_is_array(list)) return -1;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        if (!json_is_integer(item) || json_integer_value(item) < 0 ||
            json_integer_value(item) >= heads)
            return -1;
    json_array_foreach((json_t *)(uintptr_t)list, i, item) {
        bool *flag = &listed[json_integer_value(item)];
        count += !*flag;
        *flag = true;
    }
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        listed[json_integer_value(item)] = false;
    return count;
}

void oci_heads_read(oc_context *cx, const oci_config_source *from, int64_t heads,
                    int64_t layers, oci_attention_layer *first, size_t stride)
{
    const char *key;
    json_t *list, *all = json_object_get(from->object, "pruned_heads");
    if (oci_failed(cx) || !json_is_object(all)) return;
    bool *listed = oci_calloc(cx, (size_t)heads, sizeof *listed);
    if (!listed) return;
    json_object_foreach(all, key, list) {
        int64_t layer = layer_of(key, layers), gone = count_listed(list, heads, listed);
        if (layer < 0 || gone < 0) {
            oci_config_fail(cx, from, "pruned_heads",
                            "expected {\"LAYER\": [HEAD, …]} of %lld layers and %lld "
                            "heads",
                            (long long)layers, (long long)heads);
        } else if (gone == heads) {
            oci_fail(cx, OC_E_UNSUPPORTED,
                     "%s: %spruned_heads: expected a head that is left in layer %lld, "
                     "found none",
                     from->doc->name, from->path, (long long)layer);
        } else {
            oci_attention_layer *a = (void *)((char *)first + (size_t)layer * stride);
            a->heads = heads - gone;
        }
    }
    oci_free(listed);
}

void oci_heads_check(oc_context *cx, const oci_config_source *from, const oci_arch *arch)
{
    const json_t *gone = json_object_get(from->object, "pruned_heads");
    if (!oci_failed(cx) && !arch->attention && json_object_size(gone))
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: %spruned_heads: 4.37.2 does not prune heads of a %s",
                 from->doc->name, from->path, arch->model_type);
}

/* ---- pruning ---- */

/* VisionEncoderDecoder's; of other composites no heads are pruned. */
static const char *const part_names[] = { "encoder", "decoder" };

/* Where a parameter of the new model belongs, and which heads that layer had lost before
 * and has lost now. */
typedef struct place {
    const oci_attention_layer *attention;
    const json_t *before, *now;
} place;

static bool holds(const oci_attention_layer *a, oci_tensor *const *slot)
{
    return slot == &a->q.weight || slot == &a->q.bias || slot == &a->k.weight ||
           slot == &a->k.bias || slot == &a->v.weight || slot == &a->v.bias ||
           slot == &a->out.weight || slot == &a->fused.weight || slot == &a->fused.bias;
}

/* A layer's list in pruned_heads; NULL: it has lost none. */
static const json_t *lost(const json_t *config, int64_t layer)
{
    char key[32];
    snprintf(key, sizeof key, "%lld", (long long)layer);
    return json_object_get(json_object_get(config, "pruned_heads"), key);
}

/* In one model, which may be a part of another; false: not there. */
static bool find_in(const oci_arch *arch, const void *root, const json_t *before,
                    const json_t *now, const oci_param *p, place *at)
{
    if (!arch || !arch->attention) return false;
    for (int64_t i = 0; (at->attention = arch->attention(root, i)); i++)
        if (holds(at->attention, p->slot)) {
            at->before = lost(before, i);
            at->now = lost(now, i);
            return true;
        }
    return false;
}

static bool find(const oci_model *next, const json_t *before, const oci_param *p,
                 place *at)
{
    const json_t *now = next->config.root;
    if (!next->arch->part) return find_in(next->arch, next->root, before, now, p, at);
    for (int i = 0; i < 2; i++) {
        const void *root;
        const oci_arch *arch = next->arch->part(next->root, part_names[i], &root);
        if (find_in(arch, root, json_object_get(before, part_names[i]),
                    json_object_get(now, part_names[i]), p, at)) return true;
    }
    return false;
}

/* Of `values`, in the file's order, what belongs to heads that stay. The one
 * dimension that became shorter is [parts, heads, head_dim]; parts are q, k
 * and v of a fused product. */
static void gather(const oci_param *old, const oci_param *p, const place *at,
                   const float *values, float *out)
{
    const oci_attention_layer *a = at->attention;
    int dim = 0;
    int64_t groups = p->slot == &a->fused.weight || p->slot == &a->fused.bias ? 3 : 1;
    int64_t block = p->shape[0] == old->shape[0] ? p->shape[1] : p->shape[0];
    block /= groups * a->heads;                                         /* head_dim … */
    while (old->shape[dim] == p->shape[dim]) groups *= old->shape[dim++];
    int64_t heads = old->shape[dim] / (p->shape[dim] / a->heads);       /* before */
    for (int i = dim + 1; i < p->rank; i++) block *= p->shape[i];       /* … and behind */
    for (int64_t i = 0; i < groups; i++)
        for (int64_t head = 0, left = heads; left > 0; head++) {
            if (is_listed(at->before, head)) continue;
            if (!is_listed(at->now, head)) {
                memcpy(out, values, (size_t)block * sizeof *out);
                out += block;
            }
            values += block;
            left--;
        }
}

static void prune(oc_context *cx, const oci_model *next, const oci_param *old,
                  const oci_param *p, void *user)
{
    const oci_tensor *t = *old->slot;
    size_t n = (size_t)oci_param_count(p);
    place at;
    if (!find(next, user, p, &at)) return;      /* nothing else changes with the config */
    float *values = oci_param_values(cx, old), *kept = oci_calloc(cx, n, sizeof *kept);
    void *data = oci_calloc(cx, n, oci_dtype_size(t->stored));
    if (values && kept && data) {
        gather(old, p, &at, values, kept);
        oci_dtype_from_f32(t->stored, kept, data, n);
        oci_param_set(cx, p, t->stored, data, t->requires_grad);
    }
    oci_free(values);
    oci_free(kept);
    oci_free(data);
}

/* ---- the config ---- */

static int compare_ints(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Both lists in one, sorted, each head once; NULL: error set. A new reference. */
static json_t *union_of(oc_context *cx, const json_t *a, const json_t *b)
{
    size_t n = json_array_size(a) + json_array_size(b), kept = 0;
    int64_t *heads = oci_calloc(cx, n, sizeof *heads);
    json_t *list = json_array();
    bool good = heads && list;
    for (size_t i = 0; good && i < n; i++) {
        bool first = i < json_array_size(a);
        heads[i] = json_integer_value(json_array_get(first ? a : b,
                                                     first ? i : i - json_array_size(a)));
    }
    if (good) qsort(heads, n, sizeof *heads, compare_ints);
    for (size_t i = 0; good && i < n; i++) {
        if (i > 0 && heads[i] == heads[kept - 1]) continue;
        heads[kept++] = heads[i];
        good = !json_array_append_new(list, json_integer(heads[i]));
    }
    oci_free(heads);
    if (good) return list;
    json_decref(list);
    if (!oci_failed(cx)) oci_fail(cx, OC_E_MEMORY, "no memory for a list of heads");
    return NULL;
}

/* Whether all of it is {"LAYER": [HEAD, …]}; else error set. */
static bool are_heads(oc_context *cx, const json_t *heads)
{
    const char *key;
    json_t *list;
    bool *listed = oci_calloc(cx, OCI_MAX_WIDTH, sizeof *listed);
    if (!listed) return false;
    json_object_foreach((json_t *)(uintptr_t)heads, key, list)
        if (count_listed(list, OCI_MAX_WIDTH, listed) < 0)
            oci_fail(cx, OC_E_ARGUMENT,
                     "heads to prune: expected {\"LAYER\": [HEAD, …]}, found another "
                     "thing at \"%.40s\"",
                     key);
    oci_free(listed);
    return !oci_failed(cx);
}

/* `heads` into config.pruned_heads. */
static bool merge(oc_context *cx, json_t *config, const json_t *heads)
{
    const char *key;
    json_t *list, *all = json_object_get(config, "pruned_heads");
    if (!are_heads(cx, heads)) return false;
    if (!json_is_object(all)) {
        json_object_set_new(config, "pruned_heads", json_object());
        all = json_object_get(config, "pruned_heads");
    }
    json_object_foreach((json_t *)(uintptr_t)heads, key, list) {
        json_t *both = union_of(cx, json_object_get(all, key), list);
        if (!both || json_object_set_new(all, key, both)) return false;
    }
    return true;
}

static bool merge_parts(oc_context *cx, json_t *config, const json_t *heads)
{
    const char *key;
    json_t *part;
    json_object_foreach((json_t *)(uintptr_t)heads, key, part) {
        json_t *of = json_object_get(config, key);
        if (strcmp(key, part_names[0]) != 0 && strcmp(key, part_names[1]) != 0)
            oci_fail(cx, OC_E_ARGUMENT, "heads to prune: expected {\"encoder\": {…}, "
                     "\"decoder\": {…}}, found \"%.40s\"", key);
        if (oci_failed(cx) || !merge(cx, of, part)) return false;
    }
    return true;
}

bool oci_model_prune(oc_context *cx, oci_model *model, const json_t *heads)
{
    json_t *config = json_deep_copy(model->config.root);
    bool good = config && (model->arch->part ? merge_parts : merge)(cx, config, heads);
    if (!good && !oci_failed(cx))
        oci_fail(cx, OC_E_MEMORY, "%s: no memory for a copy", model->config.name);
    if (good) good = oci_model_rebuild(cx, model, config, prune, model->config.root);
    json_decref(config);
    return good;
}
