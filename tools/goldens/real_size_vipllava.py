#!/usr/bin/env python3
"""ocelli beside PyTorch on a ViP-LLaVA of 7B's shape, layer by layer. No golden: 14 GB.

    python real_size_vipllava.py [--ocelli build/ocelli] [--threads 2] [--folder DIR]
                                 [--layers 32]

Makes a checkpoint of bf16 shards with seeded weights (seeded.py) in DIR, or takes the one that is
there, and lets both run one prompt with a picture, in f32 arithmetic.  Prints the largest
difference of every state over the largest number in it, names the first beyond 1e-4, and exits
with 1 if there is one.  ocelli takes 15 GB of memory.  The reference would take 28: it is
Transformers' own class, but a layer of the language model gets its weights when it is called, and
loses them after.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, LlamaConfig, VipLlavaConfig
from transformers import VipLlavaForConditionalGeneration

import seeded

LIMIT, SEED, GAIN, WORDS, SIDE, IMAGE = 1e-4, 2026, 1.0, 24, 336, 32000
SHARD = 1 << 30

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--ocelli", default=os.path.join("build", "ocelli"))
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--folder", help="for checkpoint and outputs; a temporary one")
parser.add_argument("--layers", type=int, default=32, help="of a language model that is made")
args = parser.parse_args()


# ---------------------------------------------------------------- the checkpoint

def config_of_7b():
    text = LlamaConfig(vocab_size=32064, num_hidden_layers=args.layers,
                       max_position_embeddings=4096, rms_norm_eps=1e-5, pad_token_id=32001)
    vision = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
                              num_attention_heads=16, image_size=SIDE, patch_size=14,
                              projection_dim=768)
    config = VipLlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE)
    config.pad_token_id = 32001
    config.architectures = ["VipLlavaForConditionalGeneration"]
    config.torch_dtype = "bfloat16"
    return config


def empty_model(config):
    """Without memory for its parameters, but with its tables."""
    with torch.device("meta"):
        model = VipLlavaForConditionalGeneration(config).eval()
    for layer in model.language_model.model.layers:
        layer.self_attn._init_rope()
    embeddings = model.vision_tower.vision_model.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions).expand((1, -1))
    return model


def make(folder):
    """Shard by shard; the index at last, so that it stands for all of them."""
    config, shards, sizes = config_of_7b(), [[]], 0
    for name, p in empty_model(config).named_parameters():
        if sizes + 2 * p.numel() > SHARD and shards[-1]:
            shards.append([])
            sizes = 0
        shards[-1].append((name, tuple(p.shape)))
        sizes += 2 * p.numel()
    where = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        print(f"writing {file}", flush=True)
        save_file({name: torch.from_numpy(seeded.values(SEED, GAIN, name, shape)).to(torch.bfloat16)
                   .reshape(shape) for name, shape in shard},
                  os.path.join(folder, file), metadata={"format": "pt"})
        where.update((name, file) for name, _ in shard)
    config.save_pretrained(folder)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {}, "weight_map": where}, f)


def inputs():
    ids = 3 + seeded.bits(seeded.stream(SEED, "ids"), 0, WORDS).astype("int64") % 30000
    ids[0], ids[3] = 1, IMAGE
    pixels = torch.from_numpy(seeded.values(SEED, 1.0, "pixels", (3, SIDE, SIDE)))
    pixels = pixels.reshape(1, 3, SIDE, SIDE)
    ids = torch.from_numpy(ids)[None]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids),
            "pixel_values": pixels / pixels.abs().max()}


# ---------------------------------------------------------------- the reference

class Weights:
    def __init__(self, folder):
        with open(os.path.join(folder, "model.safetensors.index.json"), encoding="utf-8") as f:
            self.where = json.load(f)["weight_map"]
        self.files = {file: safe_open(os.path.join(folder, file), "pt")
                      for file in set(self.where.values())}

    def fill(self, module, prefix):
        values = {name: self.files[self.where[prefix + name]].get_tensor(prefix + name).float()
                  for name, _ in module.named_parameters()}
        module.load_state_dict(values, strict=False, assign=True)

    def lend(self, module, prefix):
        """For as long as each call of it takes."""
        module.register_forward_pre_hook(lambda m, _: self.fill(m, prefix))
        module.register_forward_hook(lambda m, *_: (m.to("meta"), None)[1])


def reference(folder, given):
    config = VipLlavaConfig.from_pretrained(folder)
    model, weights = empty_model(config), Weights(folder)
    for name in ("vision_tower.", "multi_modal_projector."):
        weights.fill(model.get_submodule(name[:-1]), name)
    weights.fill(model.language_model.model.norm, "language_model.model.norm.")
    weights.lend(model.language_model.model.embed_tokens, "language_model.model.embed_tokens.")
    weights.lend(model.language_model.lm_head, "language_model.lm_head.")
    for i, layer in enumerate(model.language_model.model.layers):
        weights.lend(layer, f"language_model.model.layers.{i}.")
        # Its table would go with its weights.
        layer.register_forward_pre_hook(lambda m, _: m.self_attn._init_rope())
    out = model(**given, output_hidden_states=True, use_cache=False)
    states = {f"hidden_states.{i}": state for i, state in enumerate(out.hidden_states)}
    return {**states, "logits": out.logits}


# ---------------------------------------------------------------- both

def ocelli(folder, given):
    path, out = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
    save_file(given, path)
    subprocess.run([args.ocelli, "forward", folder, "--in", path, "--out", out, "--threads",
                    str(args.threads), "--output-hidden-states", "--quiet"], check=True)
    return load_file(out)


def compare(ours, theirs):
    """In the order of the computation; True if all agree."""
    first = None
    for key, b in theirs.items():
        difference = float((ours[key] - b).abs().max() / b.abs().max())
        print(f"{key} {list(b.shape)}: {difference:.1e} of {float(b.abs().max()):.3g}", flush=True)
        if not difference <= LIMIT and first is None:
            first = key
    print(f"first state beyond {LIMIT:g}: {first or 'none'}")
    return first is None


def run(folder):
    if not os.path.exists(os.path.join(folder, "model.safetensors.index.json")):
        make(folder)
    given, start = inputs(), time.time()
    ours, middle = ocelli(folder, given), time.time()
    theirs = reference(folder, given)
    print(f"ocelli {middle - start:.0f} s, reference {time.time() - middle:.0f} s, reading included")
    return compare(ours, theirs)


def main():
    torch.set_num_threads(args.threads)
    folder = args.folder or tempfile.mkdtemp()
    os.makedirs(folder, exist_ok=True)
    try:
        with torch.inference_mode():
            good = run(folder)
    finally:
        if not args.folder:
            shutil.rmtree(folder)
    sys.exit(0 if good else 1)


main()
