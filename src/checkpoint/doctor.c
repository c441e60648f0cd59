/* oc_doctor: from the files up to a forward pass, telling on the way what
 * is wrong, odd or missing. */
#include "checkpoint/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "io/companions.h"
#include "io/file.h"
#include "io/locate.h"
#include "io/quote.h"
#include "io/weights.h"
#include "nn/param.h"

enum { NAMES_SHOWN = 5 };

void oci_doctor_find(oci_doctor *d, const char *level, const char *about,
                     const char *format, ...)
{
    char text[OCI_MAX_MESSAGE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (strcmp(level, "error") == 0) d->errors++;
    json_t *finding = json_pack("{s:s, s:s, s:s}", "level", level, "about", about, "text",
                                text);
    /* A message can quote bytes that are no UTF-8. */
    if (!finding)
        finding = json_pack("{s:s, s:s, s:s}", "level", level, "about", about, "text",
                            "(a message that is not UTF-8)");
    if (finding) json_array_append_new(d->findings, finding);
}

bool oci_doctor_take_error(oci_doctor *d, const char *level, const char *about)
{
    char text[OCI_MAX_MESSAGE];
    oc_context *cx = d->cx;
    if (!oci_failed(cx)) return true;
    if (cx->status == OC_E_MEMORY || cx->status == OC_E_CANCELLED) return false;
    snprintf(text, sizeof text, "%s", cx->message);
    oc_context_clear(cx);
    oci_doctor_find(d, level, about, "%s", text);
    return false;
}

/* ---- the files --------------------------------------------------------------------- */

/* JSON files that nothing below opens, or that would be opened without a word. */
static void check_companions(oci_doctor *d)
{
    for (size_t i = 0; i < OCI_COMPANIONS && !oci_failed(d->cx); i++) {
        const char *name = oci_companions[i], *dot = strrchr(name, '.');
        oci_json doc;
        char *path = oci_path_join(d->cx, d->folder, name);
        if (path && dot && !strcmp(dot, ".json") && oci_file_exists(d->cx, path)) {
            if (oci_json_open(d->cx, &doc, path)) oci_json_close(&doc);
            oci_doctor_take_error(d, "error", name);
        }
        oci_free(path);
    }
}

/* Two kinds of weights: from_pretrained takes the first and never looks at the others. */
static void check_formats(oci_doctor *d)
{
    const char *taken = NULL;
    for (const oci_weight_format *f = oci_weight_formats; f->suffix; f++) {
        const char *const names[] = { f->single, f->index };
        for (size_t i = 0; i < 2; i++) {
            char *path = oci_path_join(d->cx, d->folder, names[i]);
            bool there = path && oci_file_exists(d->cx, path);
            oci_free(path);
            if (there && taken)
                oci_doctor_find(d, "note", names[i],
                                "not read: %s comes first, here and in Transformers "
                                "(--weights %s takes this one)",
                                taken, names[i]);
            else if (there)
                taken = names[i];
        }
    }
}

/* ---- the weights ------------------------------------------------------------------- */

typedef struct tie {
    oci_tensor **slot;
    const oci_weight_ref *ref;      /* of the first name; NULL: no file has it */
    const char *name;
} tie;

typedef struct examination {
    oci_doctor *d;
    oci_model model;                /* config and empty slots */
    oci_weights weights;
    bool *used;                     /* [weights.count] */
    tie *params;                    /* [room] those that are not tied */
    size_t count, room;
    oci_arena names;
    json_t *missing, *unused, *tied;
    int64_t parameters;
} examination;

static void visit_count(oci_walker *walker, const oci_param *p)
{
    (void)p;
    ((examination *)walker->user)->room++;
}

/* The element bytes of one tensor in a block of its own (oci_free): two are compared. */
static void *bytes_of(oc_context *cx, const oci_weight_ref *ref)
{
    oci_weight_room room = { 0 };
    const void *bytes = oci_weight_bytes(cx, ref, &room);
    void *copy = bytes ? oci_alloc(cx, ref->entry->bytes) : NULL;
    if (copy) memcpy(copy, bytes, ref->entry->bytes);
    oci_weight_room_free(&room);
    return copy;
}

static void check_tie(examination *e, const oci_param *p, const oci_weight_ref *ref)
{
    const tie *first = NULL;
    for (size_t i = 0; i < e->count && !first; i++)
        if (e->params[i].slot == p->shared) first = &e->params[i];
    if (!first) return;
    json_array_append_new(e->tied, json_pack("[s, s]", first->name, p->name));
    if (!first->ref && !ref && !p->optional) {
        json_array_append_new(e->missing, json_string(first->name));
    } else if (first->ref && ref && first->ref != ref) {
        void *a = bytes_of(e->d->cx, first->ref), *b = bytes_of(e->d->cx, ref);
        if (a && b &&
            (first->ref->entry->bytes != ref->entry->bytes ||
             memcmp(a, b, ref->entry->bytes)))
            oci_doctor_find(e->d, "warning", p->name,
                            "is tied to %s, but the file has other values for it; "
                            "Transformers loads one over the other, and so do we: the "
                            "later one stays",
                            first->name);
        oci_free(a);
        oci_free(b);
    }
}

static void visit(oci_walker *walker, const oci_param *p)
{
    examination *e = walker->user;
    oc_context *cx = walker->cx;
    if (oci_failed(cx)) return;
    const oci_weight_ref *ref = oci_model_weight(e->model.arch, &e->weights, p->name);
    if (ref) {
        e->used[ref - e->weights.refs] = true;
        oci_weight_fits(cx, p, ref);
        oci_doctor_take_error(e->d, "error", p->name);
    }
    if (p->tied) {
        check_tie(e, p, ref);
        return;
    }
    if (ref) e->parameters += oci_param_count(p);
    size_t size = strlen(p->name) + 1;
    char *name = oci_arena_alloc(cx, &e->names, size);
    if (!name || e->count == e->room) return;
    memcpy(name, p->name, size);
    e->params[e->count++] = (tie){ p->slot, ref, name };
    if (!ref && !p->optional) json_array_append_new(e->missing, json_string(p->name));
}

/* "a, b, c and 7 more" */
static const char *some_names(const json_t *names, char *text, size_t room)
{
    size_t n = 0, count = json_array_size(names);
    for (size_t i = 0; i < count && i < NAMES_SHOWN && n < room; i++)
        n += (size_t)snprintf(text + n, room - n, "%s%.100s", i ? ", " : "",
                              json_string_value(json_array_get(names, i)));
    if (count > NAMES_SHOWN && n < room)
        snprintf(text + n, room - n, " and %zu more", count - NAMES_SHOWN);
    return text;
}

/* What a training wrapper saves has its own name before each parameter's ("module."). */
static void tell_wrapper(examination *e)
{
    const char *wanted = json_string_value(json_array_get(e->missing, 0));
    const size_t size = wanted ? strlen(wanted) : 0;
    for (size_t i = 0; wanted && i < json_array_size(e->unused); i++) {
        const char *name = json_string_value(json_array_get(e->unused, i));
        const size_t more = strlen(name) > size ? strlen(name) - size : 0;
        if (!more || name[more - 1] != '.' || strcmp(name + more, wanted)) continue;
        oci_doctor_find(e->d, "note", "weights", "%s may be %s, saved from a training "
                        "wrapper: neither Transformers nor we take \"%.*s\" off", name,
                        wanted, (int)more, name);
        return;
    }
}

static void tell_names(examination *e)
{
    char text[OCI_MAX_MESSAGE / 2] = "";
    tell_wrapper(e);
    if (json_array_size(e->missing))
        oci_doctor_find(e->d, "error", "weights",
                        "%zu parameters are in no file: %s. Transformers draws them at "
                        "random and warns; --allow-missing does so",
                        json_array_size(e->missing),
                        some_names(e->missing, text, sizeof text));
    if (json_array_size(e->unused))
        oci_doctor_find(e->d, "warning", "weights",
                        "%zu tensors are no part of this class: %s. Transformers leaves "
                        "them out and warns",
                        json_array_size(e->unused),
                        some_names(e->unused, text, sizeof text));
}

/* Every byte of every file, whether a parameter wants it or not. */
static void read_all(examination *e, const oci_weight_file *file)
{
    oc_context *cx = e->d->cx;
    oci_weight_room room = { 0 };
    int64_t bytes = 0, nan = 0;
    const char *first = NULL, *slash = strrchr(file->path, '/');
    const char *name = slash ? slash + 1 : file->path;
    for (size_t i = 0; i < e->weights.count && !oci_cancelled(cx) && !oci_failed(cx);
         i++) {
        const oci_weight_ref *ref = &e->weights.refs[i];
        if (ref->file != file) continue;
        const void *data = oci_weight_bytes(cx, ref, &room);
        oc_dtype t = ref->entry->dtype;
        bool floats = t == OC_F32 || t == OC_F16 || t == OC_BF16 || t == OC_F64;
        bytes += (int64_t)ref->entry->bytes;
        if (data && oci_dtype_is_blocks(t) && !oci_weight_finite(cx, ref, data, true))
            oci_doctor_take_error(e->d, "error", ref->name);
        if (!data || !floats ||
            !oci_bits_nan(t, data, ref->entry->bytes / oci_dtype_size(t)))
            continue;
        if (!first) first = ref->name;
        nan++;
    }
    oci_weight_room_free(&room);
    bool ok = oci_doctor_take_error(e->d, "error", name);
    if (nan)
        oci_doctor_find(e->d, "warning", name,
                        "%lld tensors have NaN in them, the first of them %s; "
                        "Transformers loads them without a word",
                        (long long)nan, first);
    json_array_append_new(json_object_get(e->d->report, "files"),
                          json_pack("{s:s, s:I, s:b}", "name", name, "bytes",
                                    (json_int_t)bytes, "read", ok));
}

static void put_dtypes(examination *e)
{
    json_t *dtypes = json_object();
    json_int_t of[OC_INT4 + 1] = { 0 };
    for (size_t i = 0; i < e->weights.count; i++) of[e->weights.refs[i].entry->dtype]++;
    for (int t = 0; t <= OC_INT4; t++)
        if (of[t])
            json_object_set_new(dtypes, oci_dtype_name((oc_dtype)t), json_integer(of[t]));
    json_object_set_new(e->d->report, "dtype", dtypes);
}

static void examine_weights(examination *e)
{
    oc_context *cx = e->d->cx;
    oci_model_walk(cx, &e->model, visit_count, e);
    e->used = oci_calloc(cx, e->weights.count, sizeof *e->used);
    e->params = oci_calloc(cx, e->room, sizeof *e->params);
    if (!e->used || !e->params) return;
    oci_model_walk(cx, &e->model, visit, e);
    for (size_t i = 0; i < e->weights.count; i++)
        if (!e->used[i] && !oci_key_ignored(e->weights.refs[i].name))
            json_array_append_new(e->unused, json_string(e->weights.refs[i].name));
    tell_names(e);
    put_dtypes(e);
    json_object_set_new(e->d->report, "parameters", json_integer(e->parameters));
    for (size_t i = 0; i < e->weights.file_count && !oci_failed(cx); i++)
        read_all(e, &e->weights.files[i]);
}

/* ---- all --------------------------------------------------------------------------- */

static void put_class(examination *e)
{
    json_t *report = e->d->report;
    const char *name = json_string_value(
        json_array_get(json_object_get(e->model.config.root, "architectures"), 0));
    json_object_set_new(report, "model_type", json_string(e->model.arch->model_type));
    json_object_set_new(report, "architecture",
                        json_string(name ? name : e->model.arch->classes[0].name));
    json_object_set(report, "missing", e->missing);
    json_object_set(report, "unused", e->unused);
    json_object_set(report, "tied", e->tied);
}

static void examine(oci_doctor *d)
{
    const oc_doctor_options *o = d->options;
    examination e = { .d = d, .missing = json_array(), .unused = json_array(),
                      .tied = json_array() };
    bool config = oci_model_load_config(d->cx, &e.model, d->folder, o->class_name);
    oci_doctor_take_error(d, "error", "config.json");
    bool weights = !oci_failed(d->cx) &&
                   oci_weights_open(d->cx, &e.weights, d->folder, o->weights, false);
    oci_doctor_take_error(d, "error", "weights");
    if (!oci_failed(d->cx)) check_companions(d);
    if (!oci_failed(d->cx)) check_formats(d);
    if (config) put_class(&e);
    if (config && !oci_failed(d->cx))
        oci_doctor_config(d, e.model.config.root, e.model.arch,
                          weights ? &e.weights : NULL);
    if (config && weights && !oci_failed(d->cx)) examine_weights(&e);
    oci_free(e.used);
    oci_free(e.params);
    oci_arena_deinit(&e.names);
    oci_weights_close(&e.weights);
    if (config) oci_model_unload(&e.model);
    json_decref(e.missing);
    json_decref(e.unused);
    json_decref(e.tied);
    if (config && weights && !oci_failed(d->cx)) oci_doctor_run(d);
}

char *oc_doctor(oc_context *cx, const char *name, const oc_doctor_options *options)
{
    if (!cx || oci_failed(cx)) return NULL;
    oc_doctor_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    char *text = NULL, *folder = oci_model_locate(cx, name, o.revision);
    if (!folder) return NULL;
    oci_doctor d = { .cx = cx, .folder = folder, .options = &o, .report = json_object(),
                     .findings = json_array() };
    json_object_set_new(d.report, "folder", json_string(folder));
    json_object_set_new(d.report, "files", json_array());
    json_object_set(d.report, "findings", d.findings);
    examine(&d);
    json_object_set_new(d.report, "healthy", json_boolean(d.errors == 0));
    if (!oci_failed(cx)) text = oci_json_text_of(cx, d.report);
    json_decref(d.findings);
    json_decref(d.report);
    oci_free(folder);
    return text;
}
