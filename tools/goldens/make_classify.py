"""Makes tests/data/embed/classify.json: the classes that Transformers 4.37.2 finds on the scenes
with models/emoji-match.

    python tools/goldens/make_classify.py SCENES [--out tests/data/embed/classify.json]

SCENES is a folder of pictures; three of them are in examples/scenes. The labels are every third
of the 145 that models/emoji-vqa knows, so that some are on the pictures and most are not.
"texts" are get_text_features, the first eight numbers, of texts of several lengths, padded.
"""
import argparse
import json
import pathlib

import torch
from PIL import Image
from transformers import VisionTextDualEncoderModel, VisionTextDualEncoderProcessor

PATTERN = "a picture of a {}"
TEXTS = ["", "cat", "a picture of a cat", "an image of two cats and a key on a blue background",
         "Is there a rocket in the picture? " * 4]


def rounded(rows):
    return [[float(f"{x:.7g}") for x in row] for row in rows.tolist()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=pathlib.Path)
    parser.add_argument("--model", default="models/emoji-match")
    parser.add_argument("--out", default="tests/data/embed/classify.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    processor = VisionTextDualEncoderProcessor.from_pretrained(options.model)
    model = VisionTextDualEncoderModel.from_pretrained(options.model, torch_dtype=torch.float32)
    model.eval()
    names = json.loads(pathlib.Path("models/emoji-vqa/config.json").read_text())["id2label"]
    labels = [names[str(i)] for i in range(0, 145, 3)]
    paths = sorted(options.scenes.glob("*.png"))
    images = [Image.open(p).convert("RGB") for p in paths]
    with torch.no_grad():
        inputs = processor(text=[PATTERN.format(x) for x in labels], images=images,
                           return_tensors="pt", padding=True)
        logits = model(**inputs).logits_per_image
        texts = processor(text=TEXTS, return_tensors="pt", padding=True)
        features = model.get_text_features(**texts)
    record = {"pattern": PATTERN, "labels": labels, "pictures": [p.name for p in paths],
              "logits": rounded(logits), "probabilities": rounded(logits.softmax(-1)),
              "texts": TEXTS, "text_features": rounded(features[:, :8])}
    pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in record.items())
    pathlib.Path(options.out).write_text("{\n" + text + "\n}\n")


if __name__ == "__main__":
    main()
