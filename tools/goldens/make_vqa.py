"""Makes tests/data/embed/vqa.json and vqa.safetensors: what Transformers answers to questions
about pictures through regions.json, step by step as docs/FORMAT-regions.md says it, and the
features that it makes.

    python tools/goldens/make_vqa.py [SHARED]

SHARED (../shared) has images/emoji, whose scenes.json says what is on them.
"""
import json
import os
import sys

import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from transformers import (AutoTokenizer, VisionTextDualEncoderModel, ViTImageProcessor,
                          VisualBertForQuestionAnswering)

MODEL = os.path.join("models", "emoji-vqa")
OUT = os.path.join("tests", "data", "embed")
TOP = 5
NUMBERS = ["zero", "one", "two", "three", "four"]
# Pictures of other sizes: where boxes end between pixels.
ODD = ["examples/lines/fox.png", "examples/lines/receipt.jpg", "examples/lines/code.png"]


class Pipeline:
    def __init__(self):
        with open(os.path.join(MODEL, "regions.json")) as f:
            self.spec = json.load(f)
        features = os.path.normpath(os.path.join(MODEL, self.spec["feature_model"]))
        self.dual = VisionTextDualEncoderModel.from_pretrained(
            features, torch_dtype=torch.float32).eval()
        self.processor = ViTImageProcessor.from_pretrained(features)
        self.model = VisualBertForQuestionAnswering.from_pretrained(
            MODEL, torch_dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL)

    def embeds(self, path):
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        w, h = image.size
        boxes = self.spec["regions"]
        crops = [image.crop((round(x0 * w), round(y0 * h), round(x1 * w), round(y1 * h)))
                 for x0, y0, x1, y1 in boxes]
        pixels = self.processor(images=crops, return_tensors="pt")["pixel_values"]
        rows = self.dual.get_image_features(pixel_values=pixels)
        if self.spec["normalize"]:
            rows = rows / rows.norm(dim=-1, keepdim=True)
        if self.spec["append_box"]:
            rows = torch.cat([rows, torch.tensor(boxes, dtype=torch.float32)], -1)
        return rows[None]

    def answer(self, embeds, question):
        text = self.tokenizer(question, return_tensors="pt")
        V = embeds.shape[1]
        logits = self.model(**text, visual_embeds=embeds,
                            visual_attention_mask=torch.ones(1, V, dtype=torch.long),
                            visual_token_type_ids=torch.full((1, V), self.spec["visual_token_type"])
                            ).logits
        p, ids = logits.double().softmax(-1)[0].topk(TOP)
        names = self.model.config.id2label
        return [[names[i], float(f"{x:.8f}")] for i, x in zip(ids.tolist(), p.tolist())]


def questions(scene):
    """Five a scene, of the kinds that the model was trained on, with what is true."""
    names = [o["name"] for o in scene["objects"]]
    first = names[0]
    yield "How many objects are there?", NUMBERS[len(names)]
    yield f"Is there a {first} in the picture?", "yes"
    yield "Is there a zebra in the picture?", "yes" if "zebra" in names else "no"
    yield "What color is the background?", scene["background"]
    if len(names) == 1:
        yield "What is in the picture?", first
    else:
        x0, y0, x1, y1 = scene["objects"][0]["box"]
        third = lambda a, b, words: words[min(2, int((a + b) / 2 / (scene["size"] / 3)))]
        place = " ".join(p for p in (third(y0, y1, ["top", "", "bottom"]),
                                     third(x0, x1, ["left", "", "right"])) if p) or "center"
        yield f"Where is the {first}?", place


@torch.no_grad()
def main():
    torch.set_num_threads(2)            # one thread sums in another order: 1e-7 of a feature
    shared = sys.argv[1] if len(sys.argv) > 1 else os.path.join("..", "shared")
    pipeline, rows, kept, right, asked = Pipeline(), [], {}, 0, 0
    with open(os.path.join(shared, "images", "emoji", "scenes.json")) as f:
        scenes = json.load(f)
    for scene in scenes:
        path = os.path.join(shared, "images", "emoji", scene["file"])
        scene["size"] = Image.open(path).size[0]
        embeds = pipeline.embeds(path)
        if scene["file"] == "scene-01.png":
            kept["scene-01"] = embeds
        for question, truth in questions(scene):
            top = pipeline.answer(embeds, question)
            rows.append({"file": scene["file"], "question": question, "truth": truth, "top": top})
            right += top[0][0] == truth
            asked += 1
    for path in ODD:
        embeds = pipeline.embeds(path)
        kept[os.path.basename(path).split(".")[0]] = embeds
        for question in ("How many objects are there?", "What color is the background?"):
            rows.append({"file": path, "question": question,
                         "top": pipeline.answer(embeds, question)})
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "vqa.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    save_file(kept, os.path.join(OUT, "vqa.safetensors"))
    print(f"{right} of {asked} answers are true")


if __name__ == "__main__":
    main()
