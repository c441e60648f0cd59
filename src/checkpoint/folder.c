#include "checkpoint/folder.h"

#include <stdio.h>
#include <string.h>

#include "io/companions.h"
#include "io/file.h"
#include "io/locate.h"
#include "base/size.h"

/* Moves the context's error into a part's place and clears it. Memory and interrupts are
 * the whole call's business. */
static void keep_error(oc_context *cx, oc_status *status, char **message)
{
    if (!oci_failed(cx) || cx->status == OC_E_MEMORY || cx->status == OC_E_CANCELLED)
        return;
    char text[OCI_MAX_MESSAGE];
    snprintf(text, sizeof text, "%s", cx->message);
    *status = cx->status;
    oc_context_clear(cx);
    *message = oci_strdup(cx, text);
}

static void open_surroundings(oc_context *cx, oc_model *model, bool regions)
{
    char path[OCI_MAX_PATH];
    snprintf(path, sizeof path, "%s/generation_config.json", model->folder);
    if (oci_file_exists(cx, path)) oci_json_open(cx, &model->generation, path);
    if (oci_failed(cx)) return;
    model->tokenizer = oc_tokenizer_open(cx, model->folder);
    keep_error(cx, &model->tokenizer_status, &model->tokenizer_message);
    model->processor = oci_processor_open(cx, model->folder);
    keep_error(cx, &model->processor_status, &model->processor_message);
    snprintf(path, sizeof path, "%s/regions.json", model->folder);
    if (regions && oci_file_exists(cx, path))
        oci_regions_open(cx, &model->regions, path, model->folder);
    keep_error(cx, &model->regions_status, &model->regions_message);
}

static oc_model *open_folder(oc_context *cx, const char *name,
                             const oc_model_options *options, bool alone)
{
    if (!cx || oci_failed(cx)) return NULL;
    oc_model_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    oc_model *model = oci_calloc(cx, 1, sizeof *model);
    if (!model) return NULL;
    model->folder = oci_model_locate(cx, name, o.revision);
    if (model->folder && !o.no_weights)
        oci_model_load(cx, &model->core, model->folder, &o);
    if (!oci_failed(cx) && !o.weights_only)
        open_surroundings(cx, model, !alone && !o.no_weights);
    if (!oci_failed(cx)) return model;
    oc_model_close(model);
    return NULL;
}

oc_model *oc_model_open(oc_context *cx, const char *name, const oc_model_options *options)
{
    return open_folder(cx, name, options, false);
}

oc_model *oci_model_open_alone(oc_context *cx, const char *name)
{
    return open_folder(cx, name, NULL, true);
}

void oc_model_close(oc_model *model)
{
    if (!model) return;
    oci_model_unload(&model->core);
    oc_tokenizer_close(model->tokenizer);
    oci_processor_close(model->processor);
    oci_regions_close(&model->regions);
    oci_json_close(&model->generation);
    oci_free(model->tokenizer_message);
    oci_free(model->processor_message);
    oci_free(model->regions_message);
    oci_free(model->folder);
    oci_free(model);
}

const char *oc_model_type(const oc_model *model)
{
    return model && model->core.arch ? model->core.arch->model_type : NULL;
}

char *oc_model_folder(oc_context *cx, const char *name, const char *revision)
{
    return cx ? oci_model_locate(cx, name, revision) : NULL;
}

const oc_tokenizer *oc_model_tokenizer(oc_context *cx, const oc_model *model)
{
    if (!oci_given(cx, model, __func__, "a model")) return NULL;
    if (model->tokenizer_message)
        oci_fail(cx, model->tokenizer_status, "%s", model->tokenizer_message);
    else if (!model->tokenizer)
        oci_fail(cx, OC_E_ARGUMENT, "%s: was opened without its tokenizer",
                 model->folder);
    return model->tokenizer;
}

bool oci_model_has_weights(oc_context *cx, const oc_model *model)
{
    if (!model->core.root)
        oci_fail(cx, OC_E_ARGUMENT, "%s: was opened without its weights", model->folder);
    return model->core.root != NULL;
}

const oci_processor *oci_model_processor(oc_context *cx, const oc_model *model)
{
    if (model->processor_message)
        oci_fail(cx, model->processor_status, "%s", model->processor_message);
    else if (!model->processor)
        oci_fail(cx, OC_E_ARGUMENT, "%s: was opened without its image processor",
                 model->folder);
    return model->processor;
}

const oci_regions *oci_model_regions(oc_context *cx, const oc_model *model)
{
    if (model->regions_message)
        oci_fail(cx, model->regions_status, "%s", model->regions_message);
    else if (!model->regions.boxes)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: expected a regions.json, which says how regions are made of a "
                 "picture, found none: the features must be given",
                 model->folder);
    return oci_failed(cx) ? NULL : &model->regions;
}

oc_tensors *oc_forward(oc_context *cx, const oc_model *model, const oc_tensors *in,
                       const oc_forward_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") ||
        !oci_given(cx, in, __func__, "named tensors") ||
        !oci_model_has_weights(cx, model))
        return NULL;
    oc_forward_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    return oci_model_forward(cx, &model->core, in, &o);
}

/* ---- pixel values ---- */

/* Rows for `count` pictures of this size. */
static float *make_rows(oc_context *cx, oc_tensors *set, size_t count,
                        const oc_image *first)
{
    const int64_t shape[] = { (int64_t)count, 3, first->height, first->width };
    oc_tensor_view view;
    oc_tensors_add(cx, set, "pixel_values", OC_F32, 4, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(set, "pixel_values", &view)) return NULL;
    return (float *)(uintptr_t)view.data;       /* our own set, just made */
}

/* The size is known once the first picture has its shape. */
oc_tensors *oc_preprocess(oc_context *cx, const oc_model *model, oc_image *const *images,
                          size_t count)
{
    if (!oci_given(cx, model, __func__, "a model")) return NULL;
    const oci_processor *p = oci_model_processor(cx, model);
    oc_tensors *set = p ? oc_tensors_create(cx) : NULL;
    int64_t height = 0, width = 0;
    float *row = NULL;
    if (count == 0 || !images)
        oci_fail(cx, OC_E_ARGUMENT, "preprocess: expected images, found none");
    for (size_t i = 0; i < count && set && !oci_failed(cx); i++) {
        if (!images[i])
            oci_fail(cx, OC_E_ARGUMENT, "image %zu: expected one, found NULL", i);
        oc_image *shaped = oci_processor_shape(cx, p, images[i]);
        if (!shaped) break;
        if (i == 0) {
            height = shaped->height;
            width = shaped->width;
            row = make_rows(cx, set, count, shaped);
        } else if (shaped->height != height || shaped->width != width) {
            oci_fail(cx, OC_E_ARGUMENT,
                     "image %zu: expected %lld x %lld like the first, found %lld x %lld",
                     i, (long long)height, (long long)width, (long long)shaped->height,
                     (long long)shaped->width);
        }
        if (!oci_failed(cx)) oci_processor_values(p, shaped, row);
        oc_image_free(shaped);
        if (row) row += 3 * height * width;
    }
    if (!oci_failed(cx)) return set;
    oc_tensors_free(set);
    return NULL;
}

/* ---- saving ---- */

static void copy_file(oc_context *cx, const char *from, const char *to)
{
    oci_buffer *bytes = oci_file_read(cx, from, cx->limits.file_bytes);
    oci_save *save = oci_save_begin(cx, to);
    if (bytes) oci_save_write(cx, save, bytes->data, bytes->size);
    oci_save_end(cx, save, true);
    oci_buffer_unref(&bytes);
}

void oci_companions_copy(oc_context *cx, const char *from, const char *to)
{
    char source[OCI_MAX_PATH], target[OCI_MAX_PATH];
    for (size_t i = 0; i < OCI_COMPANIONS && !oci_failed(cx); i++) {
        snprintf(source, sizeof source, "%s/%s", from, oci_companions[i]);
        snprintf(target, sizeof target, "%s/%s", to, oci_companions[i]);
        if (oci_file_exists(cx, source)) copy_file(cx, source, target);
    }
}

void oci_folder_begin(oc_context *cx, void *user)
{
    const oci_folders *f = user;
    oci_folder_make(cx, f->to);
    if (!oci_failed(cx) && !oci_same_file(f->from, f->to))
        oci_companions_copy(cx, f->from, f->to);
}

oc_status oc_model_save(oc_context *cx, const oc_model *model, const char *folder,
                        const oc_save_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return oc_context_status(cx);
    if (!folder)
        return oci_fail(cx, OC_E_ARGUMENT, "save: expected a folder, found NULL");
    oci_folders folders = { model->folder, folder };
    /* The weights come last but for the config: a folder with a config is whole. */
    return oci_model_write(cx, &model->core, NULL, folder, options,
                           &(oci_write_begin){ oci_folder_begin, &folders });
}
