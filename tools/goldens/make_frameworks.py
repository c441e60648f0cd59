#!/usr/bin/env python3
"""Make the goldens of what TensorFlow's and Flax' classes answer in another way than PyTorch's.

    python make_frameworks.py [--out tests/data/models]

Needs TensorFlow and Flax beside PyTorch (the environment of make_formats.py). Weights are seeded
(seeded.py); the foreign classes load the PyTorch model. Every golden here is one that PyTorch's
class does not give: that is checked. Index: INDEX-frameworks.txt; docs/FRAMEWORKS.md.
"""
import argparse
import json
import os
import shutil
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
import torch
import transformers
from safetensors.numpy import save_file
from transformers import (BertConfig, RobertaConfig, ViTConfig, VisionEncoderDecoderConfig,
                          VisionTextDualEncoderConfig)

import seeded

VOCAB, PAD, START, GAIN = 23, 1, 2, 1.5
VIT = dict(hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=16,
           image_size=8, patch_size=4)
TEXT = dict(vocab_size=VOCAB, hidden_size=12, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=16)
rng = np.random.RandomState(4)
PIXELS = rng.randn(3, 3, 8, 8).astype(np.float32)
LARGE = rng.randn(2, 3, 12, 20).astype(np.float32)      # 3 x 5 patches from a grid of 2 x 2
IDS = rng.randint(3, VOCAB, (3, 6))
IDS[1, 4:] = PAD                                        # pads behind, and …
IDS[2, 0] = PAD                                         # … before
MASK = (IDS != PAD).astype(np.int64)
HIDDEN = MASK.copy()
HIDDEN[2] = 0                                           # a row that is hidden whole
LABELS = np.where(MASK == 1, IDS, -100)


def checkpoint(out, name, klass, config, seed):
    """The case's folder, and the PyTorch model's for the foreign classes to load."""
    folder, files = os.path.join(out, name), tempfile.mkdtemp()
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model = getattr(transformers, klass)(config).eval()
    seeded.fill(model, seed, GAIN)
    model.save_pretrained(files)
    shutil.copy(os.path.join(files, "config.json"), folder)
    seeded.write_weights(folder, seed, GAIN)
    from make_models import shorten
    shorten(os.path.join(folder, "config.json"))
    return folder, files, model


def arrays(values):
    return {k: np.asarray(v) for k, v in values.items()}


def write(case, call, klass, framework, command, inputs, options, wanted):
    folder = case[0]
    record = {"class": klass, "command": command, "framework": framework, "only": True,
              "options": options}
    if wanted is None:
        record["error"] = "refused"
    with open(f"{folder}/{call}.json", "w", encoding="utf-8") as f:
        json.dump(record, f, sort_keys=True, indent=1)
        f.write("\n")
    save_file({k: np.ascontiguousarray(v) for k, v in arrays(inputs).items()},
              f"{folder}/{call}.in.safetensors")
    if wanted is not None:
        save_file({k: np.ascontiguousarray(v) for k, v in arrays(wanted).items()},
                  f"{folder}/{call}.out.safetensors")


def torch_answer(model, inputs, field):
    with torch.no_grad():
        return model(**{k: torch.from_numpy(np.asarray(v)) for k, v in inputs.items()})[field]


def forward(case, call, klass, framework, fields, **inputs):
    """What the foreign class gives of these fields; the first must not be PyTorch's."""
    prefix = {"tf": "TF", "flax": "Flax"}[framework]
    model = getattr(transformers, prefix + klass).from_pretrained(case[1], from_pt=True)
    if framework == "tf":
        given = {k: tf.constant(v) if not isinstance(v, bool) else v for k, v in inputs.items()}
        out = model(**given)
    else:
        out = model(**inputs)
    wanted = {f: np.asarray(out[f], np.float32) for f in fields}
    plain = np.asarray(torch_answer(case[2], inputs, fields[0]))
    first = wanted[fields[0]]
    assert first.shape != plain.shape or np.abs(first - plain).max() > 1e-4 * np.abs(plain).max()
    stored = {k: np.uint8(v) if isinstance(v, bool) else v for k, v in inputs.items()}
    write(case, call, klass, framework, "forward", stored, {}, wanted)


def refused(case, call, klass, framework, **inputs):
    stored = {k: np.uint8(v) if isinstance(v, bool) else v for k, v in inputs.items()}
    write(case, call, klass, framework, "forward", stored, {}, None)


def generate(case, call, klass, **options):
    """Flax' own generate() fails with a RoBERTa decoder (4.37.2 hands decode()'s arguments on in
    the wrong order), so each step is a whole forward pass of the Flax class."""
    model = getattr(transformers, "Flax" + klass).from_pretrained(case[1], from_pt=True)
    ids = np.full((len(PIXELS), 1), START)
    while ids.shape[1] < options["max_length"]:
        logits = np.asarray(model(pixel_values=PIXELS, decoder_input_ids=ids).logits)[:, -1]
        best = np.sort(logits)[:, -2:]
        assert (best[:, 1] - best[:, 0]).min() > 1e-3 and logits.argmax(-1).all(), best
        ids = np.concatenate([ids, logits.argmax(-1)[:, None]], 1)
    plain = case[2].generate(torch.from_numpy(PIXELS), **options).numpy()
    assert ids.shape != plain.shape or (ids != plain).any()
    write(case, call, klass, "flax", "generate", {"pixel_values": PIXELS}, options,
          {"sequences": ids.astype(np.int64)})


def pairs(out):
    klass = "VisionEncoderDecoderModel"
    for name, legacy in (("fw_pair", False), ("fw_legacy", True)):
        config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
            ViTConfig(**VIT), RobertaConfig(**TEXT))
        config.decoder_start_token_id, config.pad_token_id = START, PAD
        if legacy:
            config.tf_legacy_loss = True
        case = checkpoint(out, name, klass, config, 36)
        forward(case, "tf_loss", klass, "tf", ["loss", "logits"], pixel_values=PIXELS,
                labels=LABELS)
        if legacy:
            continue
        forward(case, "tf_hidden", klass, "tf", ["logits"], pixel_values=PIXELS,
                decoder_input_ids=IDS, decoder_attention_mask=HIDDEN)
        forward(case, "flax", klass, "flax", ["logits"], pixel_values=PIXELS,
                decoder_input_ids=IDS)
        forward(case, "flax_mask", klass, "flax", ["logits"], pixel_values=PIXELS,
                decoder_input_ids=IDS, decoder_attention_mask=MASK)
        refused(case, "flax_labels", klass, "flax", pixel_values=PIXELS, decoder_input_ids=IDS,
                labels=LABELS)
        refused(case, "flax_no_ids", klass, "flax", pixel_values=PIXELS)
        generate(case, "flax_greedy", klass, max_length=12, num_beams=1, do_sample=False,
                 decoder_start_token_id=START, pad_token_id=PAD, eos_token_id=0)


def duals(out):
    klass = "VisionTextDualEncoderModel"
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(**VIT), RobertaConfig(**TEXT), projection_dim=10)
    case = checkpoint(out, "fw_dual", klass, config, 32)
    both = dict(pixel_values=PIXELS, input_ids=IDS)
    fields = ["logits_per_image", "text_embeds"]
    forward(case, "flax", klass, "flax", fields, **both)
    forward(case, "flax_mask", klass, "flax", fields, attention_mask=MASK, **both)
    refused(case, "flax_loss", klass, "flax", return_loss=True, **both)
    forward(case, "tf_loss", klass, "tf", ["loss"], attention_mask=MASK, return_loss=True, **both)
    forward(case, "tf_hidden", klass, "tf", fields, attention_mask=HIDDEN, **both)


def towers(out):
    case = checkpoint(out, "fw_vit", "ViTModel", ViTConfig(**VIT), 33)
    forward(case, "tf_interpolate", "ViTModel", "tf", ["last_hidden_state"], pixel_values=LARGE,
            interpolate_pos_encoding=True)
    case = checkpoint(out, "fw_bert", "BertModel", BertConfig(**TEXT), 34)
    forward(case, "tf_hidden", "BertModel", "tf", ["last_hidden_state"], input_ids=IDS,
            attention_mask=HIDDEN)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="tests/data/models")
    out = parser.parse_args().out
    transformers.logging.set_verbosity_error()
    pairs(out), duals(out), towers(out)
    with open(os.path.join(out, "INDEX-frameworks.txt"), "w", encoding="utf-8") as index:
        for name in ("fw_bert", "fw_dual", "fw_legacy", "fw_pair", "fw_vit"):
            for file in sorted(os.listdir(os.path.join(out, name))):
                if file.endswith(".json") and file not in ("config.json", "weights.json"):
                    index.write(f"{name} {file[:-len('.json')]}\n")


main()
