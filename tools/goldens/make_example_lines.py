#!/usr/bin/env python3
"""Draws examples/lines: printed lines in differing type, colour and quality (Pillow, DejaVu).

The fonts are Debian's fonts-dejavu-core and -extra. With --check FOLDER the model in that
folder reads them through Transformers, and what it says is printed beside the text drawn.
"""
import random
import sys

from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = "/usr/share/fonts/truetype/dejavu/"
OUT = "examples/lines/"
LINES = [  # file, text, font, size, ink, paper
    ("fox.png", "The quick brown fox jumps over the lazy dog.", "DejaVuSerif", 28, "#111", "#fff"),
    ("night.png", "Open daily 9:30 - 18:00, closed on Mondays", "DejaVuSans-Bold", 26, "#ffe9a8",
     "#1d2a44"),
    ("code.png", 'if (n > 0) return "ok";', "DejaVuSansMono", 24, "#24292e", "#f6f8fa"),
    ("receipt.jpg", "Total: $42.50 (incl. 19% VAT)", "DejaVuSansCondensed", 30, "#333",
     "#e9e4d8"),
]


def draw(name, text, font, size, ink, paper):
    font = ImageFont.truetype(FONTS + font + ".ttf", size)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("RGB", (right - left + 24, bottom - top + 18), paper)
    ImageDraw.Draw(picture).text((12 - left, 9 - top), text, font=font, fill=ink)
    if not name.endswith(".jpg"):
        picture.save(OUT + name, optimize=True)
        return
    rng = random.Random(7)  # a scan: slightly turned, soft, speckled
    picture = picture.rotate(0.6, Image.BICUBIC, fillcolor=paper)
    picture = picture.filter(ImageFilter.GaussianBlur(0.8))
    pixels = picture.load()
    for _ in range(picture.width * picture.height // 12):
        x, y = rng.randrange(picture.width), rng.randrange(picture.height)
        shift = rng.randrange(-28, 29)
        pixels[x, y] = tuple(max(0, min(255, v + shift)) for v in pixels[x, y])
    picture.save(OUT + name, quality=70)


def check(folder):
    from transformers import (AutoImageProcessor, AutoTokenizer,
                              VisionEncoderDecoderModel)

    processor = AutoImageProcessor.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = VisionEncoderDecoderModel.from_pretrained(folder).float().eval()
    for name, text, *_ in LINES:
        pixels = processor(Image.open(OUT + name).convert("RGB"), return_tensors="pt")
        ids = model.generate(pixels.pixel_values)
        print(name, tokenizer.decode(ids[0], skip_special_tokens=True) == text, repr(text),
              repr(tokenizer.decode(ids[0], skip_special_tokens=True)))


for line in LINES:
    draw(*line)
if len(sys.argv) == 3 and sys.argv[1] == "--check":
    check(sys.argv[2])
