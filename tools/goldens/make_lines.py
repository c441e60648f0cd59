#!/usr/bin/env python3
"""Make tests/data/lines: pictures of text lines and what Transformers 4.37.2 reads there.

    python make_lines.py render [--photos DIR]   set the pictures with other programs
    python make_lines.py answer [--model DIR]    let the reference read what is there

`render` needs pango-view, ImageMagick 6, groff, pdftoppm and Chromium; its pictures
are committed, so `answer` alone re-makes the goldens.  No picture comes from the
program that set the model's training lines.  See README.md here.
"""
import argparse
import html
import io
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from PIL import Image, ImageChops, ImageFilter, ImageOps
from safetensors.torch import save_file
from transformers import RobertaTokenizerFast, ViTImageProcessor, VisionEncoderDecoderModel

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "../../tests/data/lines")
MODEL = os.path.join(HERE, "../../models/printed-line-ocr")
CONVERT = "/usr/bin/convert"        # named in full: other programs share the name

# engine, font, size, text, file ending, looks
# Looks: fg, bg; pad (l, t, r, b); noise (sigma), blur (radius), turn (degrees), q (JPEG
# and WebP quality), mode (PNG), gray (JPEG), orient (EXIF tag), invert.
LINES = [
    ("pango", "DejaVu Serif 20", 96,
     "The harbour was quiet before the first ferry.", "png", {}),
    ("pango", "DejaVu Sans Bold 18", 96,
     "CAUTION: wet floor, use other door", "png", dict(mode="L")),
    ("pango", "Liberation Serif Italic 24", 96,
     "as he had written in the margin", "jpg", dict(q=85)),
    ("pango", "Liberation Mono 16", 96,
     "for (i = 0; i < n; i++) sum += a[i];", "png", dict(mode="P")),
    ("pango", "FreeSerif Bold 26", 96,
     "Chapter 7. Return of the Comet", "webp", dict(q=80)),
    ("pango", "FreeSans 19", 96,
     "Order #58213 shipped on 03/11/2021", "jpg", dict(q=60, gray=True)),
    ("pango", "C059 20", 96,
     "Dear Mrs. Whitcombe, thank you for yours", "png", dict(fg="#333344", bg="#f4efe2")),
    ("pango", "P052 Italic 22", 96,
     "quite another matter, said the judge.", "png", dict(mode="RGBA")),
    ("pango", "URW Bookman 18", 96,
     "Serves 4 - bake 25 min. at 180 C", "jpg", dict(q=75, bg="#fff8d8")),
    ("pango", "Noto Sans 17", 96,
     "https://example.org/map?lat=52.1&lon=4.3", "png", dict(mode="L")),
    ("pango", "Noto Serif Bold 21", 96, "Volume II: Rivers & Lakes", "webp", dict(q=90)),
    ("pango", "Nimbus Sans Narrow 22", 96,
     "Platform 9 to Bristol via Reading 14:52", "png", dict(mode="L", noise=9)),
    ("pango", "DejaVu Sans Mono 14", 96,
     "$ tar -xzf backup.tar.gz --strip=1", "png", dict(fg="#d8d8d8", bg="#202428")),
    ("magick", "DejaVu-Sans", 32, "Total due: $1,204.75", "png", dict(mode="L")),
    ("magick", "DejaVu-Serif-Bold", 28, "NOTICE OF PUBLIC HEARING", "jpg", dict(q=50)),
    ("magick", "Liberation-Sans", 26,
     "Please keep this ticket until you leave.", "png", {}),
    ("magick", "Liberation-Sans-Bold", 24, "Gate B42 closes at 06:15", "webp", dict(q=60)),
    ("magick", "Liberation-Serif", 30,
     "It rained for the rest of the week;", "png", dict(mode="1")),
    ("magick", "FreeMono-Bold", 30, "SKU 00417-XJ  QTY 12", "jpg", dict(q=70, noise=6)),
    ("magick", "FreeSans-Oblique", 28,
     "(see also pages 88, 91 and 140)", "png", dict(mode="LA")),
    ("magick", "FreeSerif", 34,
     "\"Nobody,\" she answered, \"knows.\"", "png", dict(mode="L", blur=0.7)),
    ("magick", "Nimbus-Roman-Regular", 27,
     "Fig. 3: Yield vs. temperature (n = 48)", "jpg", dict(q=80)),
    ("magick", "URW-Gothic-Book", 27,
     "Open daily except Monday 10-18", "png", dict(mode="P")),
    ("magick", "P052-Roman", 30,
     "whose gardens reach down to the sea", "webp", dict(lossless=True)),
    ("magick", "DejaVu-Sans-Mono", 22,
     "ERROR 0x7F: device not ready", "png", dict(fg="#b00000")),
    ("magick", "Liberation-Mono-Bold", 24,
     "A1B2-C3D4-E5F6-G7H8", "png", dict(mode="L", noise=14)),
    ("groff", "TR 16", 110,
     "The committee met twice in the spring.", "png", dict(mode="L")),
    ("groff", "TB 18", 100, "Section 4.2 Safety of Machinery", "png", {}),
    ("groff", "TI 18", 110, "ibid., vol. 3, pp. 211-219", "jpg", dict(q=75)),
    ("groff", "HR 15", 100, "Balance brought forward 3,918.20", "png", dict(mode="L")),
    ("groff", "HB 16", 100, "FOR OFFICIAL USE ONLY", "jpg", dict(q=40, gray=True)),
    ("groff", "CR 15", 110, "char *p = strchr(line, ':');", "png", dict(mode="P")),
    ("groff", "CB 16", 100, "NAME  ls - list directory", "png", dict(mode="L", noise=5)),
    ("groff", "PR 17", 110, "A letter came from Lisbon that evening,", "webp", dict(q=75)),
    ("groff", "PI 18", 110,
     "translated from the French by the author", "png", dict(fg="#202060", bg="#eef2ff")),
    ("groff", "NR 16", 105,
     "We regret the delay of your parcel.", "jpg", dict(q=85, turn=0.6)),
    ("groff", "NB 16", 105,
     "Twelfth Annual Report, 1987", "png", dict(mode="L", pad=(14, 9, 22, 7))),
    ("groff", "BMR 15", 110,
     "Add 250 g flour, 2 eggs & 1/2 tsp salt", "png", dict(mode="L", blur=0.5)),
    ("groff", "AR 16", 110, "Room 101: Dr. J. K. Ostrander", "jpg", dict(q=90)),
    ("chrome", "24px 'Liberation Sans'", 0,
     "Your cart is empty. Continue shopping?", "png", {}),
    ("chrome", "bold 22px 'Noto Sans'", 0, "Sign in to your account", "webp", dict(q=85)),
    ("chrome", "22px 'DejaVu Sans'", 0,
     "Unread (27)  Drafts (3)  Spam", "png", dict(mode="RGBA")),
    ("chrome", "italic 26px 'Liberation Serif'", 0,
     "Posted by admin on 12 May, 9:41 PM", "jpg", dict(q=70)),
    ("chrome", "20px 'DejaVu Sans Mono'", 0,
     "git commit -m \"Fix off-by-one\"", "png", dict(fg="#e6e6e6", bg="#1e1e1e")),
    ("chrome", "28px 'Noto Serif'", 0,
     "Weather: 17 degrees, light rain", "jpg", dict(q=65, noise=4)),
    ("chrome", "24px 'C059'", 0, "To whom it may concern:", "png", dict(mode="L")),
    ("chrome", "bold 26px 'Nimbus Sans'", 0,
     "SALE! 30% off until Sunday", "png", dict(fg="#ffffff", bg="#c01030")),
    ("chrome", "23px 'Liberation Sans Narrow'", 0,
     "Passport No. K4472190, expires 08/2029", "jpg", dict(q=80, orient=6)),
    ("chrome", "25px 'P052'", 0,
     "nor any drop to drink, it seemed", "png", dict(mode="P", pad=(4, 3, 30, 3))),
    ("chrome", "20px 'FreeSans'", 0,
     "support@example.com / +44 20 7946 0018", "webp", dict(q=70)),
    ("chrome", "30px 'URW Gothic'", 0, "Grand Hotel Aurora", "jpg", dict(q=75, orient=3)),
    ("chrome", "24px 'FreeSerif'", 0, "x^2 + y^2 = r^2 {a|b} ~ [c]", "png", dict(mode="L")),
]


# ---------------------------------------------------------------- engines

def run(args, **kw):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, **kw).stdout


def by_pango(tmp, font, dpi, text, fg, bg):
    out = os.path.join(tmp, "p.png")
    run(["pango-view", "--no-display", "--font", font, "--dpi", str(dpi), "--margin", "20",
         "--foreground", fg, "--background", bg, "--text", text, "-o", out])
    return Image.open(out).convert("RGB")


def by_magick(tmp, font, size, text, fg, bg):
    out = os.path.join(tmp, "m.png")
    text = text.replace("\\", "\\\\").replace("%", "%%")
    run([CONVERT, "-background", bg, "-fill", fg, "-font", font, "-pointsize", str(size),
         "label:" + text, "-bordercolor", bg, "-border", "20",
         "-depth", "8", "PNG24:" + out])    # left alone it may write 16 bits of grey
    return Image.open(out).convert("RGB")


def by_groff(tmp, font, dpi, text, fg, bg):
    """A typesetter's page through PDF; colours are put in afterwards."""
    name, size = font.split()
    for a, b in (("\\", "\\[rs]"), ("-", "\\-"), ("'", "\\[aq]"), ("`", "\\[ga]"),
                 ("^", "\\[ha]"), ("~", "\\[ti]"), ('"', "\\[dq]")):
        text = text.replace(a, b)
    page = (f".pl 3i\n.ll 20i\n.ps {size}\n.vs 24\n.nf\n"
            f".fam {name[:-1]}\n.ft {name[-1]}\n\\&{text}\n")
    pdf, out = os.path.join(tmp, "g.pdf"), os.path.join(tmp, "g")
    with open(pdf, "wb") as f:
        f.write(run(["groff", "-Tpdf", "-P-p11i,22i"], input=page.encode()))
    run(["pdftoppm", "-r", str(dpi), "-gray", "-png", "-singlefile", pdf, out])
    return ImageOps.colorize(Image.open(out + ".png").convert("L"), fg, bg)


def by_chrome(tmp, font, _, text, fg, bg):
    page, out = os.path.join(tmp, "c.html"), os.path.join(tmp, "c.png")
    with open(page, "w", encoding="utf-8") as f:
        f.write(f"<body style=\"margin:20px;white-space:pre;color:{fg};background:{bg};"
                f"font:{font}\">{html.escape(text)}</body>")
    run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--window-size=1000,120", "--screenshot=" + out, page], timeout=60)
    return Image.open(out).convert("RGB")


ENGINES = {"pango": by_pango, "magick": by_magick, "groff": by_groff, "chrome": by_chrome}


# ---------------------------------------------------------------- looks and formats

def crop(im, bg, pad):
    """Tight around whatever differs from the ground, then the given margins."""
    box = ImageChops.difference(im, Image.new("RGB", im.size, bg)).convert("L").point(
        lambda v: 255 if v > 24 else 0).getbbox()
    left, top, right, bottom = pad
    out = Image.new("RGB", (box[2] - box[0] + left + right, box[3] - box[1] + top + bottom), bg)
    out.paste(im.crop(box), (left, top))
    return out


def spoil(im, seed, look, bg):
    if "turn" in look:
        im = im.rotate(look["turn"], Image.Resampling.BICUBIC, expand=True, fillcolor=bg)
    if "blur" in look:
        im = im.filter(ImageFilter.GaussianBlur(look["blur"]))
    if "noise" in look:
        a = np.asarray(im).astype(np.float32)
        noise = np.random.default_rng(seed).normal(0, look["noise"], a.shape[:2] + (1,))
        im = Image.fromarray(np.clip(a + noise, 0, 255).round().astype(np.uint8))
    return im


UNTURN = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}


def store(im, path, look):
    ending = path.rsplit(".", 1)[1]
    if ending == "png":
        mode = look.get("mode", "RGB")
        if mode == "P":
            im = im.quantize(64)
        elif mode in ("RGBA", "LA"):
            # Alpha falls away without blending: the colours beneath must be right.
            alpha = ImageOps.invert(im.convert("L"))
            im = im.convert(mode[:-1])
            im.putalpha(alpha)
        else:
            im = im.convert(mode)
        im.save(path, optimize=True)
    elif ending == "jpg":
        extra = {}
        if "orient" in look:
            im = im.transpose(UNTURN[look["orient"]])
            exif = Image.Exif()
            exif[0x0112] = look["orient"]
            extra["exif"] = exif
        if look.get("gray"):
            im = im.convert("L")
        im.save(path, quality=look["q"], **extra)
    else:
        im.save(path, quality=look.get("q", 75), lossless=look.get("lossless", False))


def render_lines(out):
    truth = {}
    for i, (engine, font, size, text, ending, look) in enumerate(LINES):
        assert 0 < len(text) <= 60 and all(32 <= ord(ch) < 127 for ch in text), text
        fg, bg = look.get("fg", "#000000"), look.get("bg", "#ffffff")
        rng = np.random.default_rng(1000 + i)
        pad = look.get("pad") or tuple(int(v) for v in rng.integers(2, 9, 4))
        with tempfile.TemporaryDirectory() as tmp:
            im = ENGINES[engine](tmp, font, size, text, fg, bg)
        im = spoil(crop(im, bg, pad), i, look, bg)
        name = f"{i:02d}-{engine}.{ending}"
        store(im, os.path.join(out, name), look)
        truth[name] = text
    return truth


def render_odd(out, photos):
    """Pictures that are no lines: the answer has no sense, yet it must be the same."""
    rng = np.random.default_rng(7)
    line = Image.open(os.path.join(out, "line.png")).convert("L")

    def put(name, im, **kw):
        im.save(os.path.join(out, name), **kw)
    put("odd-3x3.png", Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)))
    # Transformers guesses the layout from the array: one or three rows of pixels are
    # taken for channels, so one row is refused and three rows are read transposed.
    put("odd-1x1.png", Image.new("L", (1, 1), 90))
    put("odd-1-row.png", line.crop((0, 25, 300, 26)))
    put("odd-3-rows.png", line.crop((0, 24, 300, 27)))
    put("odd-2-rows.png", line.crop((0, 24, 300, 26)))
    put("odd-wide.png", Image.fromarray((np.arange(2000)[None] % 251).astype(np.uint8)
                                        .repeat(5, 0)))
    put("odd-tall.png", line.transpose(Image.Transpose.ROTATE_90).crop((0, 0, 20, 623)))
    put("odd-blank.png", Image.new("L", (400, 40), 255))
    put("odd-black.jpg", Image.new("RGB", (64, 200), 0), quality=75)
    put("odd-inverted.png", ImageOps.invert(line))
    put("odd-noise.png", Image.fromarray(rng.integers(0, 256, (40, 160), dtype=np.uint8)))
    # Wholly transparent: the black beneath is what counts.
    put("odd-clear.png", Image.new("RGBA", (90, 30), (0, 0, 0, 0)))
    put("odd-upside-down.webp", line.transpose(Image.Transpose.ROTATE_180).convert("RGB"),
        quality=70)
    for source, name in (("chelsea.png", "odd-cat.jpg"), ("rocket.jpg", "odd-rocket.webp")):
        im = Image.open(os.path.join(photos, source)).convert("RGB")
        im.thumbnail((150, 110))
        put(name, im, quality=70)


def render(args):
    truth = render_lines(args.out)
    if args.photos:
        render_odd(args.out, args.photos)
    with open(os.path.join(args.out, "truth.json"), "w", encoding="utf-8") as f:
        json.dump(truth, f, indent=0, sort_keys=True)
        f.write("\n")


# ---------------------------------------------------------------- answers

class Reader:
    def __init__(self, folder):
        self.images = ViTImageProcessor.from_pretrained(folder)
        self.tokens = RobertaTokenizerFast.from_pretrained(folder)
        self.model = VisionEncoderDecoderModel.from_pretrained(folder).eval()

    def pixels(self, path):
        with open(path, "rb") as f:
            im = Image.open(io.BytesIO(f.read()))
        im = ImageOps.exif_transpose(im).convert("RGB")
        return self.images(im, return_tensors="pt").pixel_values

    def read(self, pixels):
        raw = []
        hook = self.model.register_forward_hook(
            lambda m, a, o: raw.append(o.logits[:, -1].log_softmax(-1)))
        with torch.no_grad():
            ids = self.model.generate(pixels)[0]
        hook.remove()
        steps = torch.stack([r[0] for r in raw])
        lp = steps.gather(1, ids[1:, None])[:, 0]
        best = steps.topk(2).values
        text = self.tokens.decode(ids, skip_special_tokens=True)
        return ids, lp, float((best[:, 0] - best[:, 1]).min()), text


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def answer_of(reader, path, truth):
    try:
        pixels = reader.pixels(path)
    except ValueError as e:
        return {"file": os.path.basename(path), "error": str(e)}
    ids, lp, gap, text = reader.read(pixels)
    out = {"file": os.path.basename(path), "text": text, "ids": ids.tolist(),
           "logprobs": [round(float(v), 6) for v in lp], "smallest_gap": round(gap, 6)}
    if truth is not None:
        out["truth"] = truth
    return out


def dump(path, rows):
    """One object a line, so that a change shows as one line."""
    with open(path, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, sort_keys=True) for r in rows) + "\n]\n")


def forward_golden(reader, out):
    """The bundled model at full size: every layer, thinned along the tokens."""
    pixels = reader.pixels(os.path.join(out, "line.png"))
    ids, lp, gap, text = reader.read(pixels)
    with torch.no_grad():
        r = reader.model(pixel_values=pixels, decoder_input_ids=ids[None, :-1],
                         output_hidden_states=True, use_cache=False, output_attentions=False)
    thin = {"encoder_hidden_states": 8, "encoder_last_hidden_state": 8,
            "decoder_hidden_states": 4}
    tensors = {"logits": r.logits, "sequences": ids[None], "token_logprobs": lp[None],
               "encoder_last_hidden_state": r.encoder_last_hidden_state[:, ::8]}
    for key in ("encoder_hidden_states", "decoder_hidden_states"):
        for i, h in enumerate(getattr(r, key)):
            tensors[f"{key}.{i}"] = h[:, ::thin[key]]
    save_file({k: v.contiguous() for k, v in tensors.items()},
              os.path.join(out, "forward.out.safetensors"))
    save_file({"pixel_values": pixels.contiguous(),
               "decoder_input_ids": ids[None, :-1].contiguous()},
              os.path.join(out, "forward.in.safetensors"))
    record = {"class": "VisionEncoderDecoderModel", "command": "forward", "image": "line.png",
              "model": "models/printed-line-ocr", "options": {"output_hidden_states": True},
              "slice": {k: {"dim": 1, "step": v} for k, v in thin.items()}, "text": text,
              "smallest_gap": round(gap, 6)}
    with open(os.path.join(out, "forward.json"), "w", encoding="utf-8") as f:
        json.dump(record, f, indent=1, sort_keys=True)
        f.write("\n")


def answer(args):
    if transformers.__version__ != "4.37.2":
        sys.exit(f"transformers 4.37.2 is the reference; found {transformers.__version__}")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    reader = Reader(args.model)
    with open(os.path.join(args.out, "truth.json"), encoding="utf-8") as f:
        truth = json.load(f)
    lines = [answer_of(reader, os.path.join(args.out, n), t) for n, t in sorted(truth.items())]
    dump(os.path.join(args.out, "lines.json"), lines)
    odd = sorted(n for n in os.listdir(args.out) if n.startswith("odd-"))
    dump(os.path.join(args.out, "odd.json"),
         [answer_of(reader, os.path.join(args.out, n), None) for n in odd])
    forward_golden(reader, args.out)
    wrong = sum(distance(r["truth"], r["text"]) for r in lines)
    total = sum(len(r["truth"]) for r in lines)
    exact = sum(r["truth"] == r["text"] for r in lines)
    print(f"{len(lines)} lines, {exact} exact, CER {100 * wrong / total:.2f} % "
          f"({wrong} of {total}); least gap {min(r['smallest_gap'] for r in lines):.4f}")
    for r in lines:
        if r["truth"] != r["text"]:
            print(f"  {r['file']}: {r['truth']!r} -> {r['text']!r}")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("what", choices=("render", "answer"))
    ap.add_argument("--out", default=OUT)
    ap.add_argument("--model", default=MODEL)
    ap.add_argument("--photos", help="folder with chelsea.png and rocket.jpg (scikit-image)")
    args = ap.parse_args()
    (render if args.what == "render" else answer)(args)


if __name__ == "__main__":
    main()
