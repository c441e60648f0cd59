/* Image processors of Transformers 4.37.2: a class is a row of geometry steps,
 * each with its switch in preprocessor_config.json, followed by the value maths
 * that all classes share. A new class is a row in `classes` and whatever steps
 * it has that are not here yet.
 *
 * Values: there are only 256 inputs a channel, so rescale and normalise are done once for
 * each of them, in the reference's arithmetic, and images go through a table. */
#include "image/processor.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"
#include "image/steps.h"
#include "io/file.h"
#include "io/json.h"
#include "io/quote.h"

enum { CHANNELS = 3, MAX_STEPS = 8 };

typedef struct processor_class processor_class;

struct oci_processor {
    const processor_class *class;
    bool do_crop_margin, do_align_long_axis, do_resize, do_thumbnail, do_center_crop,
        do_pad, do_rescale, do_normalize;
    int64_t height, width;              /* of "size", */
    int64_t shortest;                   /* or its shortest_edge; 0: height and width, */
    int64_t crop_height, crop_width;    /* and of "crop_size" */
    oci_resample resample;
    double rescale_factor;
    double mean[CHANNELS], std[CHANNELS];
    float values[CHANNELS][256];        /* what a byte becomes */
};

/* ---- steps ------------------------------------------------------------------------- */

/* The picture on its way. `turned`: its rows were read as channels (see misread). */
typedef struct step_input {
    const oc_image *image;
    bool turned;
} step_input;

typedef struct step {
    size_t enabled;                     /* offset of a bool in oci_processor */
    oc_image *(*apply)(oc_context *cx, const oci_processor *p, step_input in);
} step;

/* ViT, DeiT, BEiT: to exactly height x width; the picture's own
 * proportions do not matter. */
static oc_image *resize_exact(oc_context *cx, const oci_processor *p, step_input in)
{
    return oci_image_resize(cx, in.image, p->width, p->height, p->resample);
}

/* Donut, Nougat: so that the short side is as long as that of `size`. */
static oc_image *resize_shortest(oc_context *cx, const oci_processor *p, step_input in)
{
    return oci_step_shortest_edge(cx, in.image, oci_min(p->height, p->width),
                                  p->resample);
}

/* CLIP: either, as `size` says. */
static oc_image *resize_as_told(oc_context *cx, const oci_processor *p, step_input in)
{
    if (p->shortest == 0) return resize_exact(cx, p, in);
    return oci_step_shortest_edge(cx, in.image, p->shortest, p->resample);
}

static oc_image *center_crop(oc_context *cx, const oci_processor *p, step_input in)
{
    return oci_step_center_crop(cx, in.image, p->crop_height, p->crop_width);
}

/* 4.37.2 turns the first two axes of the array. Those of a picture whose rows
 * were read as channels are not its height and width, and what comes out has
 * no three channels any more. */
static oc_image *align_long_axis(oc_context *cx, const oci_processor *p, step_input in)
{
    oc_image *out = oci_step_align_long_axis(cx, in.image, p->height, p->width);
    if (!in.turned || !out || out->height == in.image->height) return out;
    oc_image_free(out);
    oci_fail(cx, OC_E_IMAGE,
             "an image of %lld x %d: expected more rows to align its long axis (%d rows "
             "are taken for channels)",
             (long long)in.image->height, CHANNELS, CHANNELS);
    return NULL;
}

static oc_image *thumbnail(oc_context *cx, const oci_processor *p, step_input in)
{
    return oci_step_thumbnail(cx, in.image, p->height, p->width);
}

static oc_image *pad(oc_context *cx, const oci_processor *p, step_input in)
{
    return oci_step_pad(cx, in.image, p->height, p->width);
}

static oc_image *crop_margin(oc_context *cx, const oci_processor *p, step_input in)
{
    (void)p;
    return oci_step_crop_margin(cx, in.image);
}

#define STEP(function, field) { offsetof(oci_processor, field), function }
#define DONUT_STEPS                                                                      \
    STEP(align_long_axis, do_align_long_axis), STEP(resize_shortest, do_resize),         \
    STEP(thumbnail, do_thumbnail), STEP(pad, do_pad)

struct processor_class {
    const char *name;                   /* without "ImageProcessor" or
                                           "FeatureExtractor" */
    step steps[MAX_STEPS];              /* in order; ends with one that has no `apply` */
    int64_t height, width;              /* defaults of the class */
    oci_resample resample;
    double mean[CHANNELS], std[CHANNELS];
    bool width_first;                   /* a size given as a list is [width, height] */
    bool shortest;                      /* a size of one number: the shortest edge's */
};

#define HALVES { 0.5, 0.5, 0.5 }, { 0.5, 0.5, 0.5 }
#define IMAGENET { 0.485, 0.456, 0.406 }, { 0.229, 0.224, 0.225 }
#define OPENAI                                                                           \
    { 0.48145466, 0.4578275, 0.40821073 }, { 0.26862954, 0.26130258, 0.27577711 }

static const processor_class classes[] = {
    { "ViT", { STEP(resize_exact, do_resize) },
      224, 224, OCI_BILINEAR, HALVES, false, false },
    { "DeiT", { STEP(resize_exact, do_resize), STEP(center_crop, do_center_crop) },
      256, 256, OCI_BICUBIC, HALVES, false, false },
    { "Beit", { STEP(resize_exact, do_resize), STEP(center_crop, do_center_crop) },
      256, 256, OCI_BICUBIC, HALVES, false, false },
    { "CLIP", { STEP(resize_as_told, do_resize), STEP(center_crop, do_center_crop) },
      224, 224, OCI_BICUBIC, OPENAI, false, true },
    { "Donut", { DONUT_STEPS },
      2560, 1920, OCI_BILINEAR, HALVES, true, false },
    { "Nougat", { STEP(crop_margin, do_crop_margin), DONUT_STEPS },
      896, 672, OCI_BILINEAR, IMAGENET, false, false },
};
enum { CROP_SIDE = 224 };       /* of the classes that crop, if they are not told */

/* A step is switched by the do_* field that it names, so a class needs no code for it. */
static bool is_enabled(const oci_processor *p, const step *s)
{
    return *(const bool *)(const void *)((const char *)p + s->enabled);
}

/* ---- preprocessor_config.json ------------------------------------------------------ */

/* The class of "ViTImageProcessor" and of its old name "ViTFeatureExtractor". */
static const processor_class *find_class(const char *name)
{
    static const char *const endings[] = { "ImageProcessor", "FeatureExtractor" };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t length = strlen(classes[i].name);
        if (strncmp(name, classes[i].name, length) != 0) continue;
        for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
            if (!strcmp(name + length, endings[e])) return &classes[i];
    }
    return NULL;
}

/* New files name the class in image_processor_type, old ones in feature_extractor_type; a
 * TrOCRProcessor folder names its inner class in the same places. */
static const processor_class *read_class(oc_context *cx, const oci_json *doc)
{
    const char *field = "image_processor_type";
    const char *name = oci_json_text(cx, doc, doc->root, field, NULL);
    if (!name) {
        field = "feature_extractor_type";
        name = oci_json_text(cx, doc, doc->root, field, NULL);
    }
    if (oci_failed(cx)) return NULL;
    if (!name) {
        oci_json_expected(cx, doc, "image_processor_type", "the name of a class", NULL);
        return NULL;
    }
    const processor_class *class = find_class(name);
    oci_quoted quoted;
    if (!class)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: %s: expected ViT-, DeiT-, Beit-, CLIP-, Donut- or "
                 "NougatImageProcessor, found %s",
                 doc->name, field, oci_quote(&quoted, name));
    return class;
}

/* A side in pixels; `name` is for the message. */
static int64_t read_side(oc_context *cx, const oci_json *doc, const char *field,
                         const char *name, const json_t *value)
{
    char path[32];
    int64_t most = (int64_t)cx->limits.image_side;
    int64_t side = json_is_integer(value) ? json_integer_value(value) : 0;
    snprintf(path, sizeof path, "%s%s%s", field, name ? "." : "", name ? name : "");
    if (side < 1 || side > most)
        oci_json_expected(cx, doc, path, "whole numbers from 1 to image_side", value);
    return side;
}

/* {"height": …, "width": …}; in old files an int, which means a square, or a list. Absent
 * or null leaves the defaults. */
static void read_size(oc_context *cx, const oci_json *doc, const char *field,
                      bool width_first, int64_t *height, int64_t *width)
{
    const json_t *size = json_object_get(doc->root, field);
    if (!size || json_is_null(size)) return;
    if (json_is_object(size)) {
        *height = read_side(cx, doc, field, "height", json_object_get(size, "height"));
        *width = read_side(cx, doc, field, "width", json_object_get(size, "width"));
    } else if (json_is_array(size) && json_array_size(size) == 2) {
        *height = read_side(cx, doc, field, NULL, json_array_get(size, width_first));
        *width = read_side(cx, doc, field, NULL, json_array_get(size, !width_first));
    } else {
        *height = *width = read_side(cx, doc, field, NULL, size);
    }
}

/* CLIP's "size": {"shortest_edge": …}, of which a longest_edge changes
 * nothing, or a number alone; or as above. KOSMOS-2's files say
 * use_square_size for a square of that edge. */
static void read_shortest(oc_context *cx, oci_processor *p, const oci_json *doc)
{
    const json_t *size = json_object_get(doc->root, "size");
    bool object = json_is_object(size);
    const json_t *edge = object ? json_object_get(size, "shortest_edge") : size;
    size_t keys = edge && !json_object_get(size, "longest_edge") ? 1 : 2;
    if (object && json_object_size(size) != keys)
        oci_json_expected(cx, doc, "size", "shortest_edge, or height and width", size);
    if (!size || json_is_null(size))
        p->shortest = p->class->height;
    else if (edge && !json_is_array(edge))
        p->shortest = read_side(cx, doc, "size", object ? "shortest_edge" : NULL, edge);
    else
        read_size(cx, doc, "size", false, &p->height, &p->width);
    if (!json_object_get(doc->root, "use_square_size")) return;
    p->height = p->width = p->shortest;
    p->shortest = 0;
    if (p->height == 0) oci_json_expected(cx, doc, "size", "shortest_edge", size);
}

/* One number for all channels or a list of three; absent leaves the class default. */
static void read_channels(oc_context *cx, const oci_json *doc, const char *field,
                          double values[CHANNELS])
{
    const json_t *found = json_object_get(doc->root, field);
    if (!found || json_is_null(found)) return;
    bool list = json_is_array(found) && json_array_size(found) == CHANNELS;
    if (!list && !json_is_number(found)) {
        oci_json_expected(cx, doc, field, "a number or a list of 3 numbers", found);
        return;
    }
    for (size_t i = 0; i < CHANNELS; i++) {
        const json_t *item = list ? json_array_get(found, i) : found;
        if (!json_is_number(item)) {
            oci_json_expected(cx, doc, field, "a list of 3 numbers", found);
            return;
        }
        values[i] = json_number_value(item);
    }
}

/* Of the switches alone, null is not the default: it is kept, and as good as false. */
static bool read_switch(oc_context *cx, const oci_json *doc, const char *field,
                        bool fallback)
{
    if (json_is_null(json_object_get(doc->root, field))) return false;
    return oci_json_bool(cx, doc, doc->root, field, fallback);
}

/* Absent fields and nulls mean the defaults of the class. Unknown fields are left alone,
 * as Transformers leaves them: hub files carry many. */
static void read_config(oc_context *cx, oci_processor *p, const oci_json *doc)
{
    const processor_class *class = p->class = read_class(cx, doc);
    if (!class) return;
    p->height = class->height;
    p->width = class->width;
    memcpy(p->mean, class->mean, sizeof p->mean);
    memcpy(p->std, class->std, sizeof p->std);
    p->crop_height = p->crop_width = CROP_SIDE;
    p->do_crop_margin = read_switch(cx, doc, "do_crop_margin", true);
    p->do_align_long_axis = read_switch(cx, doc, "do_align_long_axis", false);
    p->do_resize = read_switch(cx, doc, "do_resize", true);
    p->do_thumbnail = read_switch(cx, doc, "do_thumbnail", true);
    p->do_center_crop = read_switch(cx, doc, "do_center_crop", true);
    p->do_pad = read_switch(cx, doc, "do_pad", true);
    p->do_rescale = read_switch(cx, doc, "do_rescale", true);
    p->do_normalize = read_switch(cx, doc, "do_normalize", true);
    p->resample = (oci_resample)oci_json_int(cx, doc, doc->root, "resample",
                                             class->resample, OCI_NEAREST, OCI_HAMMING);
    p->rescale_factor = oci_json_real(cx, doc, doc->root, "rescale_factor", 1.0 / 255.0,
                                      -1e30, 1e30);
    if (class->shortest) read_shortest(cx, p, doc);
    else read_size(cx, doc, "size", class->width_first, &p->height, &p->width);
    read_size(cx, doc, "crop_size", false, &p->crop_height, &p->crop_width);
    read_channels(cx, doc, "image_mean", p->mean);
    read_channels(cx, doc, "image_std", p->std);
    /* What counts is the f32 that will divide: 1e-60 is 0 there. */
    for (int c = 0; c < CHANNELS; c++) {
        if ((float)p->std[c] == 0.0f)
            oci_json_expected(cx, doc, "image_std", "numbers other than 0",
                              json_object_get(doc->root, "image_std"));
    }
}

/* Rescale is a product in double, then rounded; normalise has mean and std rounded first
 * and rounds after each of its two operations. */
static void fill_values(oci_processor *p)
{
    for (int c = 0; c < CHANNELS; c++) {
        const float mean = (float)p->mean[c], std = (float)p->std[c];
        for (int i = 0; i < 256; i++) {
            float x = p->do_rescale ? (float)((double)i * p->rescale_factor) : (float)i;
            if (p->do_normalize) {
                x = x - mean;
                x = x / std;
            }
            p->values[c][i] = x;
        }
    }
}

/* ---- the processor ----------------------------------------------------------------- */

/* The path outlives the document, which keeps a copy for its messages. */
oci_processor *oci_processor_open(oc_context *cx, const char *folder)
{
    oci_json doc = { 0 };
    char *path = oci_path_join(cx, folder, "preprocessor_config.json");
    oci_processor *p = oci_calloc(cx, 1, sizeof *p);
    if (p && oci_json_open(cx, &doc, path)) {
        read_config(cx, p, &doc);
        fill_values(p);
        oci_json_close(&doc);
    }
    oci_free(path);
    if (!oci_failed(cx)) return p;
    oci_free(p);
    return NULL;
}

void oci_processor_close(oci_processor *processor) { oci_free(processor); }

const char *oci_processor_class(const oci_processor *processor)
{
    return processor->class->name;
}

/* infer_channel_dimension_format looks at the array's first side first: where it is 1 or
 * 3 the rows are taken for channels, [3, W, 3] for three planes of W rows. What the
 * reference answers then is not what its user meant, but it is what its user gets. */
static bool rows_read_as_channels(const oc_image *image)
{
    return image->height == 1 || image->height == CHANNELS;
}

/* The picture that the reference sees: row y, channel c becomes column c, channel y. */
static oc_image *misread(oc_context *cx, const oc_image *image)
{
    if (image->height == 1) {
        oci_fail(cx, OC_E_IMAGE,
                 "an image of %lld x 1: expected more than one row (one row is taken for "
                 "one channel)",
                 (long long)image->width);
        return NULL;
    }
    oc_image *out = oci_image_new(cx, "image", CHANNELS, image->width);
    if (!out) return NULL;
    for (int64_t x = 0; x < image->width; x++)
        for (int64_t y = 0; y < CHANNELS; y++)
            for (int64_t c = 0; c < CHANNELS; c++)
                out->buffer->data[(x * CHANNELS + c) * CHANNELS + y] =
                    image->buffer->data[(y * image->width + x) * CHANNELS + c];
    return out;
}

oc_image *oci_processor_shape(oc_context *cx, const oci_processor *processor,
                              const oc_image *image)
{
    if (oci_failed(cx) || !image) return NULL;
    bool turned = rows_read_as_channels(image);
    oc_image *made = turned ? misread(cx, image) : oci_image_share(cx, image);
    for (const step *s = processor->class->steps; made && s->apply; s++) {
        if (!is_enabled(processor, s)) continue;
        oc_image *next = s->apply(cx, processor, (step_input){ made, turned });
        oc_image_free(made);
        made = next;
    }
    return made;
}

/* Interleaved bytes to planes of floats. */
void oci_processor_values(const oci_processor *p, const oc_image *image,
                          float *pixel_values)
{
    const int64_t pixels = image->width * image->height;
    const uint8_t *from = image->buffer->data;
    for (int64_t i = 0; i < pixels; i++, from += CHANNELS) {
        pixel_values[i] = p->values[0][from[0]];
        pixel_values[pixels + i] = p->values[1][from[1]];
        pixel_values[2 * pixels + i] = p->values[2][from[2]];
    }
}
