/* One table holds every name of GenerationConfig; reading, inheriting, warnings and the
 * search for a misspelt name all go through it. */
#include "generate/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate/config_table.h"
#include "io/quote.h"

/* Where values are read from. */
typedef struct source {
    const char *name;       /* of the document, for messages */
    const char *path;       /* "" or "decoder.", likewise */
    oc_status fault;        /* what a wrong type is */
} source;

/* ---- messages ---------------------------------------------------------------------- */

/* "NAME: PATH+FIELD: expected WHAT, found VALUE"; returns false. */
static bool expected(oc_context *cx, const source *from, oc_status status, const field *f,
                     const char *what, const json_t *found)
{
    oci_quoted text;
    char dump[64];
    const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII;
    size_t n = json_dumpb(found, dump, sizeof dump - 1, flags);
    const char *value = dump;
    if (n < sizeof dump) dump[n] = '\0';
    else if (json_is_string(found)) value = json_string_value(found);
    else value = json_is_array(found) ? "a long array" : "a large object";
    oci_fail(cx, status, "%s: %s%s: expected %s, found %s", from->name, from->path,
             f->name, what, oci_quote(&text, value));
    return false;
}

static bool expected_number(oc_context *cx, const source *from, const field *f,
                            const json_t *found)
{
    char what[96];
    const char *kind = f->type == INT ? "an integer" : "a number";
    const char *or_null = isnan(f->null) ? "" : " or null";
    if (f->low == POSITIVE)
        snprintf(what, sizeof what, "%s greater than 0%s", kind, or_null);
    else if (f->high >= LARGEST && f->low <= -DBL_MAX)
        snprintf(what, sizeof what, "%s%s", kind, or_null);
    else if (f->high >= LARGEST)
        snprintf(what, sizeof what, "%s from %.0f on%s", kind, f->low, or_null);
    else
        snprintf(what, sizeof what, "%s in %.0f..%.0f%s", kind, f->low, f->high, or_null);
    return expected(cx, from, from->fault, f, what, found);
}

/* ---- values ------------------------------------------------------------------------ */

static bool is_id(const field *f, const json_t *value)
{
    return json_is_integer(value) && (double)json_integer_value(value) >= f->low &&
           (double)json_integer_value(value) <= f->high;
}

static void clear_ids(oci_ids *ids)
{
    oci_free(ids->at);
    *ids = (oci_ids){ 0 };
}

static void clear_biases(oci_biases *list)
{
    if (list->count) oci_free(list->at[0].ids.at);     /* the block of all entries' ids */
    oci_free(list->at);
    *list = (oci_biases){ 0 };
}

static bool set_ids(oc_context *cx, const source *from, const field *f, oci_ids *ids,
                    const json_t *value)
{
    bool list = json_is_array(value);
    size_t n = list ? json_array_size(value) : 1;
    int64_t *at = n ? oci_calloc(cx, n, sizeof *at) : NULL;
    if (n && !at) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = list ? json_array_get(value, i) : value;
        if (!is_id(f, id)) {
            oci_free(at);
            return expected(cx, from, from->fault, f, "a token id or a list of them", id);
        }
        at[i] = json_integer_value(id);
    }
    clear_ids(ids);
    *ids = (oci_ids){ .at = at, .count = n };
    return true;
}

/* [[index, id or null], …] */
static bool set_pairs(oc_context *cx, const source *from, const field *f, oci_ids *ids,
                      const json_t *value)
{
    size_t n = json_array_size(value);
    int64_t *at = n ? oci_calloc(cx, n, 2 * sizeof *at) : NULL;
    if (n && !at) return false;
    bool good = json_is_array(value);
    for (size_t i = 0; good && i < n; i++) {
        const json_t *pair = json_array_get(value, i), *id = json_array_get(pair, 1);
        good = json_array_size(pair) == 2 && is_id(f, json_array_get(pair, 0)) &&
               (json_is_null(id) || is_id(f, id));
        if (!good) break;
        at[2 * i] = json_integer_value(json_array_get(pair, 0));
        at[2 * i + 1] = json_is_null(id) ? -1 : json_integer_value(id);
    }
    if (!good) {
        oci_free(at);
        return expected(cx, from, from->fault, f, "[[index, token id or null], ...]",
                        value);
    }
    clear_ids(ids);
    *ids = (oci_ids){ .at = at, .count = 2 * n };
    return true;
}

/* The ids of entry i of bad_words_ids ([id, …]) or sequence_bias ([[id, …], bias]); NULL
 * if it is not of that form. */
static const json_t *entry_ids(const field *f, const json_t *value, size_t i, float *bias)
{
    const json_t *entry = json_array_get(value, i), *ids = entry;
    *bias = -INFINITY;
    if (f->type == BIAS) {
        const json_t *number = json_array_get(entry, 1);
        ids = json_array_get(entry, 0);
        if (json_array_size(entry) != 2 || !json_is_number(number)) return NULL;
        *bias = (float)json_number_value(number);
    }
    size_t n = json_array_size(ids);
    for (size_t k = 0; k < n; k++)
        if (!is_id(f, json_array_get(ids, k))) return NULL;
    return n ? ids : NULL;
}

static int compare_entries(const void *left, const void *right)
{
    const oci_bias *a = *(oci_bias *const *)left, *b = *(oci_bias *const *)right;
    if (a->ids.count != b->ids.count) return a->ids.count < b->ids.count ? -1 : 1;
    for (size_t i = 0; i < a->ids.count; i++)
        if (a->ids.at[i] != b->ids.at[i]) return a->ids.at[i] < b->ids.at[i] ? -1 : 1;
    return (a > b) - (a < b);       /* equal ones in their order */
}

/* Equal entries become one, at the place of the first and with the value of the last:
 * what a Python dict makes of them. */
static bool merge_equal(oc_context *cx, oci_biases *list)
{
    size_t n = list->count, kept = 0;
    oci_bias **order = oci_calloc(cx, n, sizeof *order);
    if (!order) return false;
    for (size_t i = 0; i < n; i++) order[i] = &list->at[i];
    qsort(order, n, sizeof *order, compare_entries);
    oci_bias *first = order[0];
    for (size_t i = 1; i < n; i++) {
        const oci_ids *a = &first->ids, *b = &order[i]->ids;
        if (a->count == b->count && !memcmp(a->at, b->at, a->count * sizeof *a->at)) {
            first->bias = order[i]->bias;
            order[i]->ids.count = 0;
        } else {
            first = order[i];
        }
    }
    oci_free(order);
    for (size_t i = 0; i < n; i++)
        if (list->at[i].ids.count) list->at[kept++] = list->at[i];
    list->count = kept;
    return true;
}

/* All or nothing, and an empty list is a fault: that of 4.37.2's processors,
 * a ValueError. */
static bool set_biases(oc_context *cx, const source *from, const field *f, oci_biases *to,
                       const json_t *value)
{
    const char *what = f->type == BIAS ? "a list, not empty, of [[token id, ...], number]"
                                       : "a list, not empty, of lists of token ids";
    size_t n = json_array_size(value), total = 0;
    float bias;
    if (n == 0) return expected(cx, from, OC_E_ARGUMENT, f, what, value);
    for (size_t i = 0; i < n; i++) {
        const json_t *ids = entry_ids(f, value, i, &bias);
        if (!ids)
            return expected(cx, from, OC_E_ARGUMENT, f, what, json_array_get(value, i));
        total += json_array_size(ids);      /* each is a value in memory: no overflow */
    }
    oci_biases list = { .at = oci_calloc(cx, n, sizeof *list.at) };
    int64_t *ids_at = oci_calloc(cx, total, sizeof *ids_at);
    if (!list.at || !ids_at) {
        oci_free(list.at);
        oci_free(ids_at);
        return false;
    }
    for (; list.count < n; list.count++) {
        oci_bias *entry = &list.at[list.count];
        const json_t *ids = entry_ids(f, value, list.count, &entry->bias);
        entry->ids = (oci_ids){ .at = ids_at, .count = json_array_size(ids) };
        for (size_t k = 0; k < entry->ids.count; k++)
            *ids_at++ = json_integer_value(json_array_get(ids, k));
    }
    if (!merge_equal(cx, &list)) {
        clear_biases(&list);
        return false;
    }
    clear_biases(to);
    *to = list;
    return true;
}

/* [start, factor] */
static bool set_decay(oc_context *cx, const source *from, const field *f,
                      oci_generation_config *g, const json_t *value)
{
    const json_t *start = json_array_get(value, 0), *factor = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !is_id(f, start) || !json_is_number(factor))
        return expected(cx, from, from->fault, f, "[start, factor]", value);
    g->decay_start = json_integer_value(start);
    g->decay_factor = json_number_value(factor);
    return true;
}

static bool set_early(oc_context *cx, const source *from, const field *f,
                      oci_early_stopping *to, const json_t *value)
{
    const char *text = json_string_value(value);
    if (json_is_boolean(value)) *to = json_is_true(value) ? OCI_EARLY_YES : OCI_EARLY_NO;
    else if (text && !strcmp(text, "never")) *to = OCI_EARLY_NEVER;
    else return expected(cx, from, OC_E_ARGUMENT, f, "true, false or \"never\"", value);
    return true;
}

/* The value of a scalar field, whatever its type, as a number. */
static double get_number(const oci_generation_config *g, const field *f)
{
    const char *at = (const char *)g + f->offset;
    switch (f->type) {
    case INT: case DECAY: return (double)*(const int64_t *)(const void *)at;
    case REAL: return *(const double *)(const void *)at;
    case BOOL: case GIVEN: return *(const bool *)at;
    case EARLY: return *(const oci_early_stopping *)(const void *)at;
    default: return 0;
    }
}

/* Only for fields that a number can set; those with lists are emptied. */
static void set_number(oci_generation_config *g, const field *f, double value)
{
    void *at = (char *)g + f->offset;
    switch (f->type) {
    case INT: case DECAY: *(int64_t *)at = (int64_t)value; break;
    case REAL: *(double *)at = value; break;
    case BOOL: case GIVEN: *(bool *)at = value != 0; break;
    case EARLY: *(oci_early_stopping *)at = (oci_early_stopping)value; break;
    case IDS: case PAIRS: clear_ids(at); break;
    case WORDS: case BIAS: clear_biases(at); break;
    case NOTHING: break;
    }
}

static bool is_default(const oci_generation_config *g, const field *f)
{
    const void *at = (const char *)g + f->offset;
    switch (f->type) {
    case IDS: case PAIRS: return ((const oci_ids *)at)->count == 0;
    case WORDS: case BIAS: return ((const oci_biases *)at)->count == 0;
    default: return get_number(g, f) == f->fallback;
    }
}

static bool set_field(oc_context *cx, const source *from, oci_generation_config *g,
                      const field *f, const json_t *value)
{
    void *at = (char *)g + f->offset;
    if (json_is_null(value) && !isnan(f->null)) {
        set_number(g, f, f->null);
        return true;
    }
    switch (f->type) {
    case INT:
        if (!is_id(f, value)) return expected_number(cx, from, f, value);
        *(int64_t *)at = json_integer_value(value);
        return true;
    case REAL:
        if (!json_is_number(value) || !(json_number_value(value) >= f->low))
            return expected_number(cx, from, f, value);
        *(double *)at = json_number_value(value);
        return true;
    case BOOL:
        if (!json_is_boolean(value))
            return expected(cx, from, from->fault, f, "true or false", value);
        *(bool *)at = json_is_true(value);
        return true;
    case GIVEN: *(bool *)at = true; return true;
    case EARLY: return set_early(cx, from, f, at, value);
    case IDS: return set_ids(cx, from, f, at, value);
    case PAIRS: return set_pairs(cx, from, f, at, value);
    case WORDS: case BIAS: return set_biases(cx, from, f, at, value);
    case DECAY: return set_decay(cx, from, f, g, value);
    case NOTHING: return true;
    }
    return true;
}

/* ---- sources ----------------------------------------------------------------------- */

static void set_defaults(oci_generation_config *g)
{
    for (const field *f = fields; f < fields_end; f++) set_number(g, f, f->fallback);
}

/* Every field that the object has; `inherit`: only into those
 * that are at their default. */
static bool read_object(oc_context *cx, const source *from, oci_generation_config *g,
                        const json_t *object, bool inherit)
{
    for (const field *f = fields; f < fields_end; f++) {
        const json_t *value = json_object_get(object, f->name);
        if (!value || (inherit && !is_default(g, f))) continue;
        if (!set_field(cx, from, g, f, value)) return false;
    }
    return true;
}

/* What the class of a sub-config adds to its JSON. */
static bool read_class(oc_context *cx, const json_t *object, const char *model_type,
                       oci_generation_config *g)
{
    size_t i = 0, n = sizeof class_ids / sizeof *class_ids;
    while (i < n && strcmp(class_ids[i].model_type, model_type)) i++;
    if (i == n) return true;
    int64_t *const scalars[] = { &g->pad_token_id, &g->bos_token_id,
                                 &g->decoder_start_token_id };
    const char *const names[] = { "pad_token_id", "bos_token_id",
                                  "decoder_start_token_id" };
    const int64_t ids[] = { class_ids[i].pad, class_ids[i].bos, class_ids[i].start };
    for (int k = 0; k < 3; k++)
        if (!json_object_get(object, names[k]) && *scalars[k] < 0) *scalars[k] = ids[k];
    oci_ids *const lists[] = { &g->eos_token_id, &g->forced_eos_token_id };
    const char *const list_names[] = { "eos_token_id", "forced_eos_token_id" };
    const int64_t list_ids[] = { class_ids[i].eos, class_ids[i].forced_eos };
    for (int k = 0; k < 2; k++) {
        if (json_object_get(object, list_names[k]) || lists[k]->count || list_ids[k] < 0)
            continue;
        lists[k]->at = oci_calloc(cx, 1, sizeof *lists[k]->at);
        if (!lists[k]->at) return false;
        lists[k]->at[0] = list_ids[k];
        lists[k]->count = 1;
    }
    return true;
}

/* GenerationConfig.from_model_config: the parts of config.json below its top level. */
static bool inherit(oc_context *cx, const oci_json *config, oci_generation_config *g)
{
    static const struct {
        const char *key, *path, *model_type;    /* type where the part names none */
    } parts[] = { { "decoder", "decoder.", "" }, { "generator", "generator.", "" },
                  { "text_config", "text_config.", "llama" } };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const json_t *part = json_object_get(config->root, parts[i].key);
        source from = { config->name, parts[i].path, OC_E_MALFORMED };
        if (!json_is_object(part)) continue;
        const char *type = json_string_value(json_object_get(part, "model_type"));
        if (!read_object(cx, &from, g, part, true) ||
            !read_class(cx, part, type ? type : parts[i].model_type, g))
            return false;
    }
    return true;
}

static bool sets_something(const oci_generation_config *g)
{
    for (const field *f = fields; f < fields_end; f++)
        if ((f->flags & OLD) && !is_default(g, f)) return true;
    return false;
}

static bool read_files(oc_context *cx, oci_generation_config *g,
                       const oci_json *generation, const oci_json *config)
{
    bool own = generation && generation->root, model = config && config->root;
    if (model && (!own || json_is_true(json_object_get(generation->root,
                                                       "_from_model_config")))) {
        source from = { config->name, "", OC_E_MALFORMED };
        if (!read_object(cx, &from, g, config->root, false)) return false;
        if (!own || sets_something(g)) return inherit(cx, config, g);
        set_defaults(g);
    }
    if (!own) return true;
    source from = { generation->name, "", OC_E_MALFORMED };
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        if (json_object_get(generation->root, arguments[i])) {
            oci_fail(cx, OC_E_ARGUMENT,
                     "%s: %s is an argument of a call, not of a config", generation->name,
                     arguments[i]);
            return false;
        }
    return read_object(cx, &from, g, generation->root, false);
}

/* ---- overrides --------------------------------------------------------------------- */

enum { NAME_ROOM = 40 };        /* longer than every field's name */

/* Levenshtein's distance of a to b, both cut to NAME_ROOM. */
static int distance(const char *a, const char *b)
{
    int row[NAME_ROOM + 1];
    for (int j = 0; j <= NAME_ROOM; j++) row[j] = j;
    int n = (int)strnlen(b, NAME_ROOM);
    for (int i = 1; i <= NAME_ROOM && a[i - 1]; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static bool check_names(oc_context *cx, const source *from, json_t *object)
{
    for (void *at = json_object_iter(object); at;
         at = json_object_iter_next(object, at)) {
        const char *name = json_object_iter_key(at), *nearest = "";
        int best = INT32_MAX;
        for (const field *f = fields; f < fields_end && best > 0; f++) {
            int d = strcmp(f->name, name) ? distance(name, f->name) + 1 : 0;
            if (d >= best) continue;
            best = d;
            nearest = f->name;
        }
        if (best == 0) continue;
        oci_fail(cx, OC_E_ARGUMENT, "%s: expected a name such as %s, found \"%.60s\"",
                 from->name, nearest, name);
        return false;
    }
    return true;
}

static bool read_overrides(oc_context *cx, oci_generation_config *g, const char *text)
{
    oci_json doc;
    source from = { "generation options", "", OC_E_ARGUMENT };
    if (!oci_json_parse(cx, &doc, from.name, text, strlen(text))) return false;
    bool good = json_is_object(doc.root);
    if (!good) oci_fail(cx, OC_E_ARGUMENT, "%s: expected a JSON object", from.name);
    good = good && check_names(cx, &from, doc.root) &&
           read_object(cx, &from, g, doc.root, false);
    oci_json_close(&doc);
    return good;
}

/* ---- combinations ------------------------------------------------------------------ */

/* GenerationConfig.validate, and what the warpers of sampling refuse to be made with. */
static bool check_combinations(oc_context *cx, const oci_generation_config *g)
{
    bool groups = g->diversity_penalty != 0 || g->num_beam_groups != 1;
    const char *fault = NULL;
    if (g->num_beams > 1 && g->constraints && g->do_sample)
        fault = "constraints and do_sample exclude each other";
    else if (g->num_beams > 1 && g->constraints && g->num_beam_groups != 1)
        fault = "constraints and num_beam_groups exclude each other";
    else if (g->num_beams > 1 && groups && g->do_sample)
        fault = "beam groups and do_sample exclude each other";
    else if (g->num_beams > 1 && groups && g->num_beams % g->num_beam_groups != 0)
        fault = "num_beams: expected a multiple of num_beam_groups";
    else if (g->num_beams > 1 && groups && g->diversity_penalty == 0)
        fault = "diversity_penalty: expected greater than 0 with beam groups, found 0";
    else if (g->num_return_sequences > 1 && g->num_beams == 1 && !g->do_sample)
        fault = "num_return_sequences: expected 1 without beams or sampling";
    else if (g->num_beams > 1 && g->num_return_sequences > g->num_beams)
        fault = "num_return_sequences: expected at most num_beams";
    else if (g->do_sample && g->temperature == 0)
        fault = "temperature: expected greater than 0 with do_sample, found 0";
    else if (g->do_sample && g->typical_p == 0)
        fault = "typical_p: expected greater than 0 with do_sample, found 0";
    if (fault) oci_fail(cx, OC_E_ARGUMENT, "generation config: %s", fault);
    return !fault;
}

static void warn_idle(oc_context *cx, const oci_generation_config *g)
{
    for (const field *f = fields; f < fields_end; f++) {
        bool idle = (f->flags & BEAMS && g->num_beams == 1) ||
                    (f->flags & SAMPLING && !g->do_sample &&
                     (f->offset != AT(top_k) || g->penalty_alpha < 0));
        if (idle && !is_default(g, f))
            oci_log(cx, OC_LOG_WARNING, "generation config: %s has no effect without %s",
                    f->name, f->flags & BEAMS ? "beams" : "do_sample");
    }
}

bool oci_generation_config_read(oc_context *cx, oci_generation_config *g,
                                const oci_json *generation, const oci_json *config,
                                const char *overrides)
{
    *g = (oci_generation_config){ 0 };
    set_defaults(g);
    /* 4.37.2 looks at a file's combinations when it loads it,
     * and again at those of a call. */
    if (oci_failed(cx) || !read_files(cx, g, generation, config) ||
        !check_combinations(cx, g))
        return false;
    if (overrides && (!read_overrides(cx, g, overrides) || !check_combinations(cx, g)))
        return false;
    warn_idle(cx, g);
    return true;
}

void oci_generation_config_deinit(oci_generation_config *g)
{
    for (const field *f = fields; f < fields_end; f++)
        if (f->type == IDS || f->type == PAIRS || f->type == WORDS || f->type == BIAS)
            set_number(g, f, 0);
}
