/* WebP by libwebp: lossy, lossless, and the first frame of an animation. Alpha is
 * dropped, not blended. Pillow decodes through WebPAnimDecoder, whose first frame is
 * drawn unblended on a canvas of zeros; here it is drawn straight into the picture, which
 * gives the same bytes. */
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "base/alloc.h"
#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"

/* libwebp says no more than one of seven codes. */
static void fail_decode(oc_context *cx, const oci_encoded *file, VP8StatusCode code)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        oci_fail(cx, OC_E_MEMORY, "%s: WebP: out of memory", file->name);
        break;
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: WebP: a feature of this file", file->name);
        break;
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        oci_fail(cx, OC_E_IMAGE, "%s: WebP: the data ends before the picture is complete",
                 file->name);
        break;
    default:
        oci_fail(cx, OC_E_IMAGE, "%s: WebP: the picture data is broken", file->name);
    }
}

/* Decodes one frame to its place in the picture. The library allocates for
 * itself; four bytes a pixel, what the lossless decoder takes, are charged
 * to the context meanwhile. */
static void draw_frame(oc_context *cx, const oci_encoded *file, const WebPIterator *frame,
                       oc_image *image)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) {
        oci_fail(cx, OC_E_FAILED, "%s: libwebp is of another version", file->name);
        return;
    }
    /* The demuxer checks frames against the canvas; we write
     * by these numbers, so again. */
    int64_t x = frame->x_offset, y = frame->y_offset, w = frame->width, h = frame->height;
    if (x < 0 || y < 0 || w < 1 || h < 1 || x + w > image->width ||
        y + h > image->height) {
        oci_fail(cx, OC_E_IMAGE, "%s: WebP: a frame lies outside of the picture",
                 file->name);
        return;
    }
    if (w < image->width || h < image->height)
        memset(image->buffer->data, 0, image->buffer->size);
    size_t stride = (size_t)image->width * 3;
    size_t start = (size_t)y * stride + (size_t)x * 3;
    /* MODE_RGB gives the colours of MODE_RGBA, not multiplied by alpha; alpha is decoded
     * and checked all the same. */
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = image->buffer->data + start;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = image->buffer->size - start;
    uint64_t held = (uint64_t)(w * h) * 4;
    if (!oci_heap_charge(cx, held)) return;
    VP8StatusCode code = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
    oci_heap_discharge(cx->heap, held);
    if (code != VP8_STATUS_OK) fail_decode(cx, file, code);
}

/* The size is the canvas's, which the container states; a bare
 * bitstream is its own canvas. */
static oc_image *read_first_frame(oc_context *cx, const oci_encoded *file,
                                  const WebPDemuxer *demuxer)
{
    WebPIterator frame;
    oc_image *image = oci_image_new(cx, file->name,
                                    WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                                    WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT));
    if (!image) return NULL;
    if (WebPDemuxGetFrame(demuxer, 1, &frame)) {
        draw_frame(cx, file, &frame, image);
        WebPDemuxReleaseIterator(&frame);
    } else {
        oci_fail(cx, OC_E_IMAGE, "%s: WebP: there is no frame in it", file->name);
    }
    if (!oci_failed(cx)) return image;
    oc_image_free(image);
    return NULL;
}

/* The chunk lies in the file already; the limit is on the work that it may cause. */
static void find_orientation(oc_context *cx, oci_encoded *file,
                             const WebPDemuxer *demuxer)
{
    WebPChunkIterator chunk;
    if (!WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) return;
    if (chunk.chunk.size > cx->limits.image_chunk_bytes)
        oci_fail(cx, OC_E_LIMIT, "%s: WebP: an EXIF chunk of %zu bytes, more than "
                 "image_chunk_bytes %llu allows", file->name, chunk.chunk.size,
                 (unsigned long long)cx->limits.image_chunk_bytes);
    else
        file->orientation = oci_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
}

oc_image *oci_webp_decode(oc_context *cx, oci_encoded *file)
{
    WebPDemuxState state;
    const WebPData data = { file->data, file->size };
    /* The partial form tells a cut file from a broken one;
     * only a complete one is read. */
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    oc_image *image = NULL;
    if (demuxer && state == WEBP_DEMUX_DONE) {
        if (file->want_orientation) find_orientation(cx, file, demuxer);
        if (!oci_failed(cx)) image = read_first_frame(cx, file, demuxer);
    } else {
        bool cut = state == WEBP_DEMUX_PARSING_HEADER ||
                   state == WEBP_DEMUX_PARSED_HEADER;
        fail_decode(cx, file,
                    cut ? VP8_STATUS_NOT_ENOUGH_DATA : VP8_STATUS_BITSTREAM_ERROR);
    }
    WebPDemuxDelete(demuxer);
    return image;
}
