/* oc_convert: a folder of one format from a folder of another, through no
 * model: the config is opened, its parameters are walked, and each goes
 * from file to file on its own. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "checkpoint/folder.h"
#include "io/file.h"
#include "io/locate.h"
#include "io/weights.h"

typedef struct conversion {
    oc_context *cx;
    oci_model model;                /* config and empty slots */
    oci_weights weights;
    bool *used;                     /* [weights.count] */
} conversion;

/* What from_pretrained would draw afresh is no part of a checkpoint. */
static void visit(oci_walker *walker, const oci_param *p)
{
    conversion *c = walker->user;
    const oci_weight_ref *ref = oci_model_weight(c->model.arch, &c->weights, p->name);
    if (ref) c->used[ref - c->weights.refs] = true;
    else if (!p->optional && !p->tied)
        oci_fail(walker->cx, OC_E_MALFORMED, "%s: %s: required, but missing",
                 c->weights.folder, p->name);
}

static void check_tensors(conversion *c)
{
    size_t unused = 0;
    const char *first = NULL;
    c->used = oci_calloc(c->cx, c->weights.count, sizeof *c->used);
    if (!c->used) return;
    oci_model_walk(c->cx, &c->model, visit, c);
    for (size_t i = c->weights.count; i > 0; i--) {
        const char *name = c->weights.refs[i - 1].name;
        if (c->used[i - 1] || oci_key_ignored(name)) continue;
        first = name;
        unused++;
    }
    if (unused && !oci_failed(c->cx))
        oci_log(c->cx, OC_LOG_WARNING,
                "%s: %zu tensors are not part of this model and are taken along as they "
                "are, the first of them %s",
                c->weights.folder, unused, first);
    oci_free(c->used);
}

/* The one type that all weights have, which the new config then names as save_pretrained
 * would; 0: there are several. */
static oc_dtype common_dtype(const conversion *c)
{
    oc_dtype found = (oc_dtype)0;
    for (size_t i = 0; i < c->weights.count; i++) {
        oc_dtype dtype = c->weights.refs[i].entry->dtype;
        if (oci_dtype_is_blocks(dtype)) return (oc_dtype)0;   /* and others beside them */
        if (dtype != OC_F32 && dtype != OC_BF16 && dtype != OC_F16) continue;
        if (found && dtype != found) return (oc_dtype)0;
        found = dtype;
    }
    return found;
}

/* Weights of two formats in one folder: which of them it is
 * would depend on the reader. */
static void check_target(oc_context *cx, const char *from, const char *to,
                         const char *format)
{
    if (oci_same_file(from, to)) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: expected another folder than the one that is converted", to);
        return;
    }
    for (const oci_weight_format *f = oci_weight_formats; f->suffix; f++) {
        const char *const names[] = { f->single, f->index };
        if (!strcmp(f->suffix + 1, format)) continue;
        for (size_t i = 0; i < 2; i++) {
            char *path = oci_path_join(cx, to, names[i]);
            if (path && oci_file_exists(cx, path))
                oci_fail(cx, OC_E_ARGUMENT,
                         "%s: expected a folder without weights of another format, found "
                         "%s",
                         to, names[i]);
            oci_free(path);
        }
    }
}

static void write_folder(conversion *c, const char *from, const char *to,
                         oc_save_options save)
{
    const char *format = save.format ? save.format : "safetensors";
    check_target(c->cx, from, to, format);
    check_tensors(c);
    if (!save.dtype && !save.mask) save.dtype = common_dtype(c);
    if (!strcmp(format, "h5") && save.dtype == OC_BF16) {
        oci_log(c->cx, OC_LOG_WARNING,
                "%s: Keras has no BF16: written as F32, which holds the same numbers",
                to);
        save.dtype = OC_F32;
    }
    oci_folders folders = { from, to };
    /* Weights, and then the config, without which a folder is no model. */
    oci_model_write(c->cx, &c->model, &c->weights, to, &save,
                    &(oci_write_begin){ oci_folder_begin, &folders });
}

oc_status oc_convert(oc_context *cx, const char *name, const char *folder,
                     const oc_convert_options *options)
{
    conversion c = { .cx = cx };
    oc_convert_options o = { .size = sizeof o };
    if (!oci_given(cx, folder, __func__, "a folder")) return oc_context_status(cx);
    oci_take_options(&o, sizeof o, options);
    char *from = oci_model_locate(cx, name, o.revision);
    if (from && oci_model_load_config(cx, &c.model, from, NULL)) {
        if (oci_weights_open(cx, &c.weights, from, o.weights, false)) {
            write_folder(&c, from, folder, o.save);
            oci_weights_close(&c.weights);
        }
        oci_model_unload(&c.model);
    }
    oci_free(from);
    return cx->status;
}
