"""Makes tests/data/documents/captions.tsv: what Transformers 4.37.2 says to the scenes with
models/emoji-caption.

    python tools/goldens/make_captions.py SCENES [--out tests/data/documents/captions.tsv]

SCENES is a folder of pictures; three of them are in examples/scenes. Columns: picture, number
of beams, text, geometric mean of the tokens' probabilities (greedy search only).
"""
import argparse
import pathlib

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=pathlib.Path)
    parser.add_argument("--model", default="models/emoji-caption")
    parser.add_argument("--out", default="tests/data/documents/captions.tsv")
    options = parser.parse_args()
    processor = AutoImageProcessor.from_pretrained(options.model)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = VisionEncoderDecoderModel.from_pretrained(options.model, torch_dtype=torch.float32)
    model.eval()
    lines = []
    for path in sorted(options.scenes.glob("*.png")):
        pixels = processor(Image.open(path).convert("RGB"), return_tensors="pt").pixel_values
        for beams in (1, 4):
            with torch.no_grad():
                made = model.generate(pixels, num_beams=beams, output_scores=True,
                                      return_dict_in_generate=True)
            text = tokenizer.decode(made.sequences[0], skip_special_tokens=True)
            confidence = ""
            if beams == 1:
                ids = made.sequences[0, 1:]
                logs = [torch.log_softmax(s[0], -1)[i] for s, i in zip(made.scores, ids)]
                confidence = f"{torch.stack(logs).mean().exp().item():.6f}"
            lines.append(f"{path.name}\t{beams}\t{text}\t{confidence}\n")
    pathlib.Path(options.out).write_text("".join(lines))


if __name__ == "__main__":
    main()
