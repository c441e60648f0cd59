"""Makes tests/data/image: pictures of every kind that the decoders read, and what Pillow and
Transformers 4.37.2 make of them.

    python tools/goldens/make_image.py [--out tests/data/image]

Pillow must be 13 (12 and later resize in another order than 10 and 11). Needs cc and libjpeg's headers for the JPEG
variants that Pillow cannot write. Manifests are plain text, one case a line:
    pictures.txt   file width height crc32(rgb) turned_width turned_height crc32(turned rgb)
    resize.txt     in_width in_height seed out_width out_height filter crc32(rgb)
    processor.txt  folder width height seed out_height out_width crc32(float32 little-endian)
    documents.txt  folder kind width height seed out_height out_width crc32(…); 0 0 0: an error
    reduce.txt     as resize.txt, with reducing_gap=2.0
Sources of resize and processor cases are noise(width, height, seed), which the tests make too.
"""
import argparse
import io
import json
import pathlib
import struct
import subprocess
import tempfile
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

RAW_LIMIT = 4000        # bytes; smaller expected pictures are kept whole beside their hash


def noise(width, height, seed):
    """The same bytes as picture_noise() in tests/image/support.h."""
    x = np.arange(width * height * 3, dtype=np.uint32) + np.uint32(seed * 7919)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x2C1B3C6D)
    x ^= x >> np.uint32(12)
    x *= np.uint32(0x297A2D39)
    x ^= x >> np.uint32(15)
    return (x & np.uint32(255)).astype(np.uint8).reshape(height, width, 3)


def scene(width, height):
    """Smooth colours, a hard edge and a little noise: what lossy coders see in photographs."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rgb = np.stack([255 * x / width, 255 * y / height,
                    127 + 120 * np.sin(x / 5) * np.cos(y / 7)], axis=-1)
    rgb[height // 4:height // 2, width // 3:width // 2] = (250, 10, 30)
    rgb += noise(width, height, 5) / 16.0
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8), "RGB")


# ---- PNG: Pillow writes neither interlaced files nor every depth --------------------------

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack_row(samples, depth):
    """Samples of one row to bytes, most significant bit first."""
    if depth == 16:
        return samples.astype(">u2").tobytes()
    if depth == 8:
        return samples.astype(np.uint8).tobytes()
    bits = ((samples[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).ravel()
    return np.packbits(bits).tobytes()


def filter_row(kind, row, above, bpp):
    """PNG filter `kind` (0..4) applied to a row."""
    out = bytearray([kind])
    for i, value in enumerate(row):
        a = row[i - bpp] if i >= bpp else 0
        b = above[i]
        c = above[i - bpp] if i >= bpp else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        out.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
    return bytes(out)


def png(samples, kind, depth, interlaced=False, before=b"", after=b"", level=9):
    """samples: [height, width, channels] of `depth` bits; kind: the colour type."""
    height, width, channels = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                  (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    bpp = max(1, channels * depth // 8)
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        if part.size == 0:
            continue
        above = bytes(len(pack_row(part[0].ravel(), depth)))
        for y in range(part.shape[0]):
            row = pack_row(part[y].ravel(), depth)
            raw += filter_row((y + depth) % 5, row, above, bpp)
            above = row
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    data = zlib.compress(raw, level)
    half = len(data) // 2
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
            + chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:]) + after
            + chunk(b"IEND", b""))


def png_files():
    rng = np.random.default_rng(7)

    def samples(width, height, channels, depth):
        return rng.integers(0, 1 << depth, (height, width, channels), dtype=np.int64)

    palette = chunk(b"PLTE", rng.integers(0, 256, 768, dtype=np.uint8).tobytes())
    for interlaced in (False, True):
        end = "-interlaced.png" if interlaced else ".png"
        for depth in (1, 2, 4, 8, 16):
            yield f"grey{depth}{end}", png(samples(19, 13, 1, depth), 0, depth, interlaced)
        for depth in (1, 2, 4, 8):
            colours = chunk(b"PLTE", rng.integers(0, 256, 3 << depth, dtype=np.uint8).tobytes())
            yield f"palette{depth}{end}", png(samples(19, 13, 1, depth), 3, depth, interlaced,
                                              colours)
        for depth in (8, 16):
            yield f"rgb{depth}{end}", png(samples(17, 11, 3, depth), 2, depth, interlaced)
            yield f"grey-alpha{depth}{end}", png(samples(17, 11, 2, depth), 4, depth, interlaced)
            yield f"rgba{depth}{end}", png(samples(17, 11, 4, depth), 6, depth, interlaced)
    clear = chunk(b"tRNS", bytes(range(0, 256, 4)))
    yield "palette-trns.png", png(samples(19, 13, 1, 8), 3, 8, False, palette + clear)
    yield "palette-short.png", png(samples(19, 13, 1, 8), 3, 8, False,
                                   chunk(b"PLTE", bytes(range(30))))
    yield "grey-trns.png", png(samples(9, 9, 1, 8), 0, 8, False, chunk(b"tRNS", b"\0\7"))
    yield "rgb-trns.png", png(samples(9, 9, 3, 8), 2, 8, False, chunk(b"tRNS", b"\0\7\0\1\0\2"))
    yield "grey16-low.png", png(samples(19, 13, 1, 9), 0, 16)
    yield "gamma.png", png(samples(9, 9, 3, 8), 2, 8, False, chunk(b"gAMA", b"\0\0\x20\0"))
    yield "one-pixel.png", png(samples(1, 1, 3, 8), 2, 8)
    yield "one-pixel-interlaced.png", png(samples(1, 1, 4, 8), 6, 8, True)
    yield "column-interlaced.png", png(samples(1, 23, 1, 4), 0, 4, True)
    frame = struct.pack(">IIIIIHHBB", 0, 17, 11, 0, 0, 1, 10, 0, 0)
    second = struct.pack(">IIIIIHHBB", 1, 17, 11, 0, 0, 1, 10, 0, 0)
    moving = (chunk(b"fcTL", second) + chunk(b"fdAT", struct.pack(">I", 2)
              + zlib.compress(bytes((17 * 3 + 1) * 11))))
    yield "animated.png", png(samples(17, 11, 3, 8), 2, 8, False,
                              chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", frame),
                              moving)
    for name, before, after in exif_chunks():
        yield name, png(samples(7, 5, 3, 8), 2, 8, False, before, after)


def tiff(orientation, order="<", kind=3):
    """EXIF data with a first tag of no interest and the orientation."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + ("H2x" if kind == 3 else "I"), orientation)
    return (head + struct.pack(order + "I", 8) + struct.pack(order + "H", 2)
            + struct.pack(order + "HHII", 0x0100, 4, 1, 640)
            + struct.pack(order + "HHI", 0x0112, kind, 1) + value
            + struct.pack(order + "I", 0))


def exif_chunks():
    yield "exif-chunk6.png", chunk(b"eXIf", tiff(6)), b""
    yield "exif-after8.png", b"", chunk(b"eXIf", tiff(8, ">"))
    text = b"\nexif\n      %d\n%s\n" % (len(tiff(5)), (b"Exif\0\0" + tiff(5)).hex().encode())
    yield "exif-profile5.png", chunk(b"tEXt", b"Raw profile type exif\0" + text), b""
    yield ("exif-zprofile7.png", chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(
        text.replace(tiff(5).hex().encode(), tiff(7).hex().encode()))), b"")
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    yield "exif-xmp3.png", chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp), b""
    both = chunk(b"eXIf", tiff(4, "<", 4)) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    yield "exif-both4.png", both, b""
    yield "exif-wrong9.png", chunk(b"eXIf", tiff(9)), b""


# ---- JPEG ---------------------------------------------------------------------------------

WRITER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
/* writer MODE WIDTH HEIGHT < rgb > jpeg */
int main(int argc, char **argv)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr e;
    static jpeg_scan_info scans[3] = { { 1, { 0 }, 0, 63, 0, 0 }, { 1, { 1 }, 0, 63, 0, 0 },
                                       { 1, { 2 }, 0, 63, 0, 0 } };
    const char *mode = argv[1];
    int w = atoi(argv[2]), h = atoi(argv[3]);
    unsigned char *rgb = malloc((size_t)w * h * 3);
    if (argc != 4 || fread(rgb, 3, (size_t)w * h, stdin) != (size_t)w * h) return 1;
    c.err = jpeg_std_error(&e);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, stdout);
    c.image_width = w, c.image_height = h, c.input_components = 3, c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    if (strstr(mode, "plain")) jpeg_set_colorspace(&c, JCS_RGB), c.write_Adobe_marker = 0;
    if (strstr(mode, "progressive")) jpeg_simple_progression(&c);
    if (strstr(mode, "arithmetic")) c.arith_code = TRUE;
    if (strstr(mode, "scans")) c.scan_info = scans, c.num_scans = 3;
    if (strstr(mode, "odd")) c.comp_info[0].h_samp_factor = 4, c.comp_info[0].v_samp_factor = 1;
    if (strstr(mode, "tall")) c.comp_info[0].h_samp_factor = 1, c.comp_info[0].v_samp_factor = 2;
    if (strstr(mode, "restart")) c.restart_interval = 2;
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = rgb + (size_t)c.next_scanline * w * 3;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    return 0;
}
"""


def jpeg_writer(folder):
    source = pathlib.Path(folder, "writer.c")
    source.write_text(WRITER)
    subprocess.run(["cc", "-O1", "-o", f"{folder}/writer", source, "-ljpeg"], check=True)

    def write(mode, picture):
        return subprocess.run([f"{folder}/writer", mode, str(picture.width), str(picture.height)],
                              input=picture.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    return write


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def cut_scans(data, keep):
    """A progressive JPEG with only its first `keep` scans, properly ended."""
    at = -1
    for _ in range(keep + 1):
        at = data.index(b"\xff\xda", at + 1)
    table = data.rfind(b"\xff\xc4", 0, at)      # tables of the scan that is left out
    return data[:table] + b"\xff\xd9"


def jpeg_files(write):
    picture = scene(45, 35)
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"ycc{name}.jpg", saved(picture, "JPEG", quality=85, subsampling=subsampling)
    yield "ycc420-q10.jpg", saved(picture, "JPEG", quality=10)
    yield "grey.jpg", saved(picture.convert("L"), "JPEG")
    yield "grey-progressive.jpg", saved(picture.convert("L"), "JPEG", progressive=True)
    yield "progressive.jpg", saved(picture, "JPEG", progressive=True)
    big = scene(90, 70)
    for name, subsampling in (("", 0), ("-420", 2)):
        progressive = saved(big, "JPEG", progressive=True, quality=60, subsampling=subsampling)
        yield f"progressive-1scan{name}.jpg", cut_scans(progressive, 1)
        yield f"progressive-3scans{name}.jpg", cut_scans(progressive, 3)
    yield "rgb-adobe.jpg", saved(picture, "JPEG", keep_rgb=True)
    cmyk = saved(picture.convert("CMYK"), "JPEG")
    yield "cmyk.jpg", cmyk
    at = cmyk.index(b"Adobe")
    yield "ycck.jpg", cmyk[:at + 11] + b"\x02" + cmyk[at + 12:]
    yield "cmyk-plain.jpg", cmyk[:at - 4] + cmyk[at + 12:]
    yield "restart.jpg", saved(picture, "JPEG", restart_marker_blocks=3)
    for mode in ("rgb-plain", "arithmetic", "arithmetic-progressive", "scans", "odd", "tall",
                 "tall-progressive", "odd-restart"):
        yield f"{mode}.jpg", write(mode, picture)
    yield "one-pixel.jpg", saved(scene(1, 1), "JPEG")
    yield "junk-before-marker.jpg", saved(picture, "JPEG").replace(b"\xff\xdb", b"\0\0\xff\xdb", 1)
    yield "bytes-after.jpg", saved(picture, "JPEG") + b"bytes after the end"
    small = scene(13, 9)
    for orientation in range(1, 9):
        data = b"Exif\0\0" + tiff(orientation, "<>"[orientation % 2])
        yield f"exif{orientation}.jpg", saved(small, "JPEG", exif=data)


# ---- WebP ---------------------------------------------------------------------------------

def riff_chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def u24(value):
    return struct.pack("<I", value)[:3]


def offset_animation():
    """Two frames, the first smaller than the canvas: Pillow shows it on black."""
    def frame(x, y, picture):
        bits = saved(picture, "WEBP", lossless=True)[12:]
        return riff_chunk(b"ANMF", u24(x // 2) + u24(y // 2) + u24(picture.width - 1)
                          + u24(picture.height - 1) + u24(100) + b"\0" + bits)
    body = (riff_chunk(b"VP8X", bytes([0x12, 0, 0, 0]) + u24(39) + u24(29))
            + riff_chunk(b"ANIM", struct.pack("<IH", 0x80FF8040, 0))
            + frame(4, 6, scene(21, 17)) + frame(0, 0, scene(40, 30)))
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_files():
    picture = scene(45, 35)
    alpha = picture.copy()
    alpha.putalpha(Image.fromarray(noise(45, 35, 9)[:, :, 0]))
    yield "lossy.webp", saved(picture, "WEBP", quality=80)
    yield "lossy-q5.webp", saved(picture, "WEBP", quality=5)
    yield "lossless.webp", saved(picture, "WEBP", lossless=True)
    yield "lossy-alpha.webp", saved(alpha, "WEBP", quality=80)
    yield "lossless-alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True)
    yield "one-pixel.webp", saved(scene(1, 1), "WEBP")
    yield "animated.webp", saved(picture, "WEBP", save_all=True, append_images=[scene(45, 35).rotate(90)])
    yield "animated-offset.webp", offset_animation()
    yield "exif6.webp", saved(scene(13, 9), "WEBP", lossless=True, exif=b"Exif\0\0" + tiff(6))
    yield "exif2-bare.webp", saved(scene(13, 9), "WEBP", exif=tiff(2, ">"))


# ---- manifests ----------------------------------------------------------------------------

def write_pictures(out, files):
    lines = []
    for name, data in files:
        pathlib.Path(out, name).write_bytes(data)
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        rgb, turned_rgb = picture.tobytes(), turned.tobytes()
        if len(rgb) <= RAW_LIMIT:
            pathlib.Path(out, name + ".rgb").write_bytes(rgb)
        lines.append(f"{name} {picture.width} {picture.height} {zlib.crc32(rgb):08x} "
                     f"{turned.width} {turned.height} {zlib.crc32(turned_rgb):08x}\n")
    pathlib.Path(out, "pictures.txt").write_text("".join(lines))


SIZES = [(1, 1, 1, 1), (1, 1, 7, 5), (7, 5, 1, 1), (1, 9, 9, 1), (2, 2, 3, 3), (3, 3, 2, 2),
         (5, 7, 5, 3), (5, 7, 9, 7), (16, 16, 16, 16), (17, 13, 8, 6), (8, 6, 17, 13),
         (100, 50, 32, 32), (33, 77, 64, 31), (640, 3, 5, 3), (3, 640, 3, 5), (300, 2, 2, 300),
         (2000, 200, 512, 32), (500, 375, 224, 224), (31, 29, 224, 224), (1024, 1, 1, 1),
         (1, 1024, 1, 1), (999, 7, 101, 64), (64, 64, 63, 65), (255, 257, 256, 256)]


def write_resizes(out):
    lines = []
    rng = np.random.default_rng(11)
    sizes = SIZES + [tuple(int(v) for v in rng.integers(1, 120, 4)) for _ in range(80)]
    for seed, (width, height, to_width, to_height) in enumerate(sizes):
        picture = Image.fromarray(noise(width, height, seed), "RGB")
        for code in range(6):
            rgb = picture.resize((to_width, to_height), resample=code).tobytes()
            lines.append(f"{width} {height} {seed} {to_width} {to_height} {code} "
                         f"{zlib.crc32(rgb):08x}\n")
    pathlib.Path(out, "resize.txt").write_text("".join(lines))
    for code in range(6):       # whole pictures for when a hash does not say enough
        rgb = Image.fromarray(noise(17, 13, 1), "RGB").resize((8, 20), resample=code).tobytes()
        pathlib.Path(out, f"resize-17x13-8x20-{code}.rgb").write_bytes(rgb)


CONFIGS = {
    "vit": {"image_processor_type": "ViTImageProcessor", "do_normalize": True,
            "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5], "resample": 2, "rescale_factor": 0.00392156862745098,
            "size": {"height": 32, "width": 48}},
    "defaults": {"image_processor_type": "ViTImageProcessor"},
    "old": {"feature_extractor_type": "ViTFeatureExtractor", "do_normalize": True,
            "do_resize": True, "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 24},
    "list": {"image_processor_type": "ViTFeatureExtractor", "size": [20, 30], "resample": 1,
             "image_mean": 0.3, "image_std": 0.7},
    "trocr": {"feature_extractor_type": "ViTImageProcessor", "processor_class": "TrOCRProcessor",
              "size": {"height": 16, "width": 64}, "resample": 0},
    "no-resize": {"image_processor_type": "ViTImageProcessor", "do_resize": False},
    "no-rescale": {"image_processor_type": "ViTImageProcessor", "do_rescale": False,
                   "image_mean": [120, 110.5, 99], "image_std": [3, 57.1, 58.2],
                   "size": {"height": 8, "width": 8}, "resample": 5},
    "no-normalize": {"image_processor_type": "ViTImageProcessor", "do_normalize": False,
                     "rescale_factor": 0.017, "size": {"height": 8, "width": 8}, "resample": 4},
    "bytes": {"image_processor_type": "ViTImageProcessor", "do_normalize": False,
              "do_rescale": False, "size": {"height": 8, "width": 8}, "resample": 1},
}

# The shapes that show every branch of the geometry: wider and higher than the target, smaller, long
# enough for a thumbnail in two steps, three rows (which are read as channels), odd deficits.
SHAPES = [(61, 37), (8, 8), (300, 40), (5, 200), (40, 900), (123, 31), (31, 124), (7, 3)]
DONUT = {"image_processor_type": "DonutImageProcessor", "size": {"height": 48, "width": 36}}
NOUGAT = {"image_processor_type": "NougatImageProcessor", "size": {"height": 48, "width": 36}}
DOCUMENTS = {
    "deit": {"image_processor_type": "DeiTImageProcessor", "size": {"height": 40, "width": 44},
             "crop_size": {"height": 32, "width": 33}},
    "deit-defaults": {"image_processor_type": "DeiTImageProcessor"},
    "deit-old": {"feature_extractor_type": "DeiTFeatureExtractor", "size": 40, "crop_size": 32,
                 "resample": 3, "image_mean": [0.485, 0.456, 0.406],
                 "image_std": [0.229, 0.224, 0.225], "do_center_crop": True},
    "deit-crop-even": {"image_processor_type": "DeiTImageProcessor", "do_resize": False,
                       "crop_size": {"height": 62, "width": 61}},
    "deit-crop-odd": {"image_processor_type": "DeiTImageProcessor", "do_resize": False,
                      "crop_size": [38, 64]},
    "deit-no-crop": {"image_processor_type": "DeiTImageProcessor", "size": 9,
                     "do_center_crop": None},
    "beit": {"image_processor_type": "BeitImageProcessor", "size": {"height": 40, "width": 40},
             "crop_size": {"height": 40, "width": 39}, "do_reduce_labels": True},
    "beit-old": {"feature_extractor_type": "BeitFeatureExtractor", "size": 48, "crop_size": 36,
                 "reduce_labels": True, "resample": 2, "do_center_crop": False},
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 30},
             "crop_size": {"height": 28, "width": 29}, "do_convert_rgb": True},
    "clip-defaults": {"image_processor_type": "CLIPImageProcessor"},
    "clip-old": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 24, "crop_size": 24,
                 "resample": 3, "do_center_crop": True, "do_normalize": True, "do_resize": True,
                 "image_mean": [0.48145466, 0.4578275, 0.40821073],
                 "image_std": [0.26862954, 0.26130258, 0.27577711]},
    "clip-exact": {"image_processor_type": "CLIPImageProcessor", "do_center_crop": False,
                   "size": {"height": 20, "width": 31}, "resample": 2},
    "clip-list": {"image_processor_type": "CLIPFeatureExtractor", "size": [21, 26],
                  "crop_size": [25, 25], "do_normalize": False},
    "clip-small": {"image_processor_type": "CLIPImageProcessor", "do_rescale": False,
                   "size": {"shortest_edge": 9, "longest_edge": 12}, "crop_size": 40},
    "clip-no-resize": {"image_processor_type": "CLIPImageProcessor", "do_resize": False,
                       "crop_size": {"height": 36, "width": 63}},
    "clip-square": {"image_processor_type": "CLIPImageProcessor", "use_square_size": True,
                    "size": {"shortest_edge": 17}, "crop_size": {"height": 17, "width": 17}},
    "donut": DONUT,
    "donut-defaults": {"image_processor_type": "DonutImageProcessor"},
    "donut-align": DONUT | {"do_align_long_axis": True, "resample": 3},
    "donut-lying": DONUT | {"size": {"height": 30, "width": 50}, "do_align_long_axis": True},
    "donut-old": {"feature_extractor_type": "DonutFeatureExtractor", "size": [36, 48],
                  "do_align_long_axis": False, "do_pad": True, "do_thumbnail": True,
                  "do_resize": True, "do_normalize": True, "resample": 2},
    "donut-square": DONUT | {"size": 50},
    "donut-thumbnail": DONUT | {"do_resize": False, "resample": 0},
    "donut-no-thumbnail": DONUT | {"do_thumbnail": False},
    "donut-no-pad": DONUT | {"do_pad": False},
    "nougat": NOUGAT,
    "nougat-list": NOUGAT | {"size": [36, 48], "do_align_long_axis": True},
    "nougat-crop-only": NOUGAT | {"do_resize": False, "do_thumbnail": False, "do_pad": False,
                                  "do_normalize": False, "do_rescale": False},
    "nougat-no-crop": NOUGAT | {"do_crop_margin": False, "do_thumbnail": None},
}


def paper(width, height, seed):
    """White with a darker, noisy patch: something for the margin crop to find. The same as
    picture_paper() in tests/image/support.h."""
    rgb = np.full((height, width, 3), 250, np.uint8)
    top, left = height // 5, width // 4
    rows, columns = max(height // 2, 1), max(width // 3, 1)
    rgb[top:top + rows, left:left + columns] = noise(columns, rows, seed) // 2
    return rgb


def write_documents(out):
    """documents.txt: as processor.txt, with the picture's kind before its size; height 0 where
    Transformers raises."""
    from transformers import AutoImageProcessor
    lines = []
    for name, config in DOCUMENTS.items():
        folder = pathlib.Path(out, "processor", name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(config, indent=1) + "\n")
        processor = AutoImageProcessor.from_pretrained(folder)
        shapes = [(61, 37), (300, 400)] if "defaults" in name else SHAPES
        for seed, (width, height) in enumerate(shapes):
            for kind, make in (("noise", noise), ("paper", paper)):
                picture = Image.fromarray(make(width, height, seed), "RGB")
                try:
                    values = processor(picture, return_tensors="np")["pixel_values"][0]
                    assert values.shape[0] == 3
                except (AssertionError, TypeError, ValueError, ZeroDivisionError):
                    lines.append(f"{name} {kind} {width} {height} {seed} 0 0 0\n")
                    continue
                values = np.ascontiguousarray(values, dtype="<f4")
                lines.append(f"{name} {kind} {width} {height} {seed} {values.shape[1]} "
                             f"{values.shape[2]} {zlib.crc32(values.tobytes()):08x}\n")
    pathlib.Path(out, "documents.txt").write_text("".join(lines))


def write_reductions(out):
    """reduce.txt: Image.resize(…, BICUBIC, reducing_gap=2.0), columns as in resize.txt."""
    lines = []
    rng = np.random.default_rng(12)
    for seed in range(160):
        width, height = (int(v) for v in rng.integers(1, 200, 2))
        to_width, to_height = (int(v) for v in (rng.integers(1, max(2, width // rng.integers(1, 9))),
                                                rng.integers(1, max(2, height // rng.integers(1, 9)))))
        rgb = Image.fromarray(noise(width, height, seed), "RGB").resize(
            (to_width, to_height), resample=3, reducing_gap=2.0).tobytes()
        lines.append(f"{width} {height} {seed} {to_width} {to_height} 3 {zlib.crc32(rgb):08x}\n")
    pathlib.Path(out, "reduce.txt").write_text("".join(lines))


def write_processors(out):
    from transformers import AutoImageProcessor
    lines = []
    for name, config in CONFIGS.items():
        folder = pathlib.Path(out, "processor", name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(config, indent=1) + "\n")
        processor = AutoImageProcessor.from_pretrained(folder)
        for seed, (width, height) in enumerate([(61, 37), (8, 8), (300, 40), (5, 200)]):
            picture = Image.fromarray(noise(width, height, seed), "RGB")
            values = processor(picture, return_tensors="np")["pixel_values"][0]
            values = np.ascontiguousarray(values, dtype="<f4")
            lines.append(f"{name} {width} {height} {seed} {values.shape[1]} {values.shape[2]} "
                         f"{zlib.crc32(values.tobytes()):08x}\n")
            if name == "no-rescale" and seed == 0:
                pathlib.Path(out, "no-rescale-61x37-0.f32").write_bytes(values.tobytes())
    pathlib.Path(out, "processor.txt").write_text("".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/data/image")
    parser.add_argument("--any-pillow", action="store_true", help="to compare versions")
    options = parser.parse_args()
    if not PIL.__version__.startswith("13.") and not options.any_pillow:
        parser.error(f"Pillow is {PIL.__version__}, the goldens are of 13")
    pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        jpegs = list(jpeg_files(jpeg_writer(folder)))
    write_pictures(options.out, [*png_files(), *jpegs, *webp_files()])
    write_resizes(options.out)
    write_processors(options.out)
    write_reductions(options.out)
    write_documents(options.out)


if __name__ == "__main__":
    main()
