/* Image processors of Transformers 4.37.2: a class is a row of geometry steps, each with its
 * switch in preprocessor_config.json, followed by the value maths that all classes share. A
 * new class is a row in `classes` and whatever steps it has that are not here yet.
 *
 * Values: there are only 256 inputs a channel, so rescale and normalise are done once for each
 * of them, in the reference's arithmetic, and images go through a table. */
#include "image/processor.h"

#include <stddef.h>
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"
#include "io/file.h"
#include "io/json.h"
#include "io/quote.h"

enum { CHANNELS = 3, MAX_STEPS = 8 };

typedef struct processor_class processor_class;

struct oci_processor {
    const processor_class *class;
    bool do_resize, do_rescale, do_normalize;
    int64_t height, width;              /* of resize */
    oci_resample resample;
    double rescale_factor;
    double mean[CHANNELS], std[CHANNELS];
    float values[CHANNELS][256];        /* what a byte becomes */
};

/* ---- steps -------------------------------------------------------------------------------- */

typedef struct step {
    size_t enabled;                     /* offset of a bool in oci_processor */
    /* Height and width after the step, given those before. */
    void (*size)(const oci_processor *p, int64_t *height, int64_t *width);
    oc_image *(*apply)(oc_context *cx, const oci_processor *p, const oc_image *image);
} step;

/* ViT: to exactly height x width; the picture's own proportions do not matter. */
static void resize_size(const oci_processor *p, int64_t *height, int64_t *width)
{
    *height = p->height;
    *width = p->width;
}

static oc_image *resize_apply(oc_context *cx, const oci_processor *p, const oc_image *image)
{
    return oci_image_resize(cx, image, p->width, p->height, p->resample);
}

#define RESIZE_EXACT { offsetof(oci_processor, do_resize), resize_size, resize_apply }

struct processor_class {
    const char *name;                   /* without "ImageProcessor" or "FeatureExtractor" */
    step steps[MAX_STEPS];              /* in order; ends with one that has no `apply` */
    int64_t height, width;              /* defaults of the class */
    oci_resample resample;
    double mean[CHANNELS], std[CHANNELS];
};

static const processor_class classes[] = {
    { "ViT", { RESIZE_EXACT }, 224, 224, OCI_BILINEAR, { 0.5, 0.5, 0.5 }, { 0.5, 0.5, 0.5 } },
};

/* A step is switched by the do_* field that it names, so a class needs no code for it. */
static bool is_enabled(const oci_processor *p, const step *s)
{
    return *(const bool *)(const void *)((const char *)p + s->enabled);
}

/* ---- preprocessor_config.json ------------------------------------------------------------- */

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
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s: expected ViTImageProcessor, found %s",
                 doc->name, field, oci_quote(&quoted, name));
    return class;
}

/* {"height": …, "width": …}; in old files an int, which means a square, or [height, width]. */
static void read_size(oc_context *cx, oci_processor *p, const oci_json *doc)
{
    const int64_t side = (int64_t)cx->limits.image_side;
    const json_t *size = json_object_get(doc->root, "size");
    if (!size || json_is_null(size)) return;
    if (json_is_object(size)) {
        p->height = oci_json_int(cx, doc, size, "size.height", 0, 1, side);
        p->width = oci_json_int(cx, doc, size, "size.width", 0, 1, side);
    } else if (json_is_integer(size)) {
        p->height = p->width = json_integer_value(size);
    } else if (json_is_array(size) && json_array_size(size) == 2 &&
               json_is_integer(json_array_get(size, 0)) &&
               json_is_integer(json_array_get(size, 1))) {
        p->height = json_integer_value(json_array_get(size, 0));
        p->width = json_integer_value(json_array_get(size, 1));
    } else {
        p->height = 0;
    }
    if (p->height < 1 || p->height > side || p->width < 1 || p->width > side)
        oci_json_expected(cx, doc, "size", "height and width, each of 1 to image_side", size);
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

/* Absent fields and nulls mean the defaults of the class. Unknown fields are left alone, as
 * Transformers leaves them: hub files carry many. */
static void read_config(oc_context *cx, oci_processor *p, const oci_json *doc)
{
    const processor_class *class = p->class = read_class(cx, doc);
    if (!class) return;
    p->height = class->height;
    p->width = class->width;
    memcpy(p->mean, class->mean, sizeof p->mean);
    memcpy(p->std, class->std, sizeof p->std);
    p->do_resize = oci_json_bool(cx, doc, doc->root, "do_resize", true);
    p->do_rescale = oci_json_bool(cx, doc, doc->root, "do_rescale", true);
    p->do_normalize = oci_json_bool(cx, doc, doc->root, "do_normalize", true);
    p->resample = (oci_resample)oci_json_int(cx, doc, doc->root, "resample", class->resample,
                                             OCI_NEAREST, OCI_HAMMING);
    p->rescale_factor = oci_json_real(cx, doc, doc->root, "rescale_factor", 1.0 / 255.0,
                                      -1e30, 1e30);
    read_size(cx, p, doc);
    read_channels(cx, doc, "image_mean", p->mean);
    read_channels(cx, doc, "image_std", p->std);
    /* What counts is the f32 that will divide: 1e-60 is 0 there. */
    for (int c = 0; c < CHANNELS; c++) {
        if ((float)p->std[c] == 0.0f)
            oci_json_expected(cx, doc, "image_std", "numbers other than 0",
                              json_object_get(doc->root, "image_std"));
    }
}

/* Rescale is a product in double, then rounded; normalise has mean and std rounded first and
 * rounds after each of its two operations. */
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

/* ---- the processor ------------------------------------------------------------------------ */

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

/* infer_channel_dimension_format looks at the array's first side first: where it is 1 or 3 the
 * rows are taken for channels, [3, W, 3] for three planes of W rows. What the reference
 * answers then is not what its user meant, but it is what its user gets. */
static bool rows_read_as_channels(const oc_image *image)
{
    return image->height == 1 || image->height == CHANNELS;
}

/* The picture that the reference sees: row y, channel c becomes column c, channel y. */
static oc_image *misread(oc_context *cx, const oc_image *image)
{
    if (image->height == 1) {
        oci_fail(cx, OC_E_IMAGE, "an image of %lld x 1: expected more than one row (one row is "
                 "taken for one channel)", (long long)image->width);
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

void oci_processor_size(const oci_processor *processor, const oc_image *image,
                        int64_t *height, int64_t *width)
{
    bool turned = rows_read_as_channels(image);
    *height = turned ? image->width : image->height;
    *width = turned ? CHANNELS : image->width;
    for (const step *s = processor->class->steps; s->apply; s++)
        if (is_enabled(processor, s)) s->size(processor, height, width);
}

/* Interleaved bytes to planes of floats. */
static void write_planes(const oci_processor *p, const oc_image *image, float *pixel_values)
{
    const int64_t pixels = image->width * image->height;
    const uint8_t *from = image->buffer->data;
    for (int64_t i = 0; i < pixels; i++, from += CHANNELS) {
        pixel_values[i] = p->values[0][from[0]];
        pixel_values[pixels + i] = p->values[1][from[1]];
        pixel_values[2 * pixels + i] = p->values[2][from[2]];
    }
}

oc_status oci_processor_run(oc_context *cx, const oci_processor *processor,
                            const oc_image *image, float *pixel_values)
{
    if (oci_failed(cx)) return cx->status;
    oc_image *made = NULL;              /* the last step's result, ours to free */
    if (rows_read_as_channels(image) && !(made = misread(cx, image))) return cx->status;
    for (const step *s = processor->class->steps; s->apply; s++) {
        if (!is_enabled(processor, s)) continue;
        oc_image *next = s->apply(cx, processor, made ? made : image);
        oc_image_free(made);
        made = next;
        if (!made) return cx->status;
    }
    write_planes(processor, made ? made : image, pixel_values);
    oc_image_free(made);
    return cx->status;
}
