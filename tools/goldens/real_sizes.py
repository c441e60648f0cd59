#!/usr/bin/env python3
"""ocelli beside PyTorch on models of published sizes, layer by layer. No golden: 1 to 1.5 GB each.

    python real_sizes.py [--ocelli build/ocelli] [--only trocr-base,...] [--threads 2]
                         [--folder DIR]

Makes a checkpoint with seeded weights (seeded.py) and lets both run it in f32: one forward pass
with all hidden states, and 24 tokens by greedy and by beam search (4).  Prints the largest
difference of every state over the largest number in it, names the first beyond 1e-4, and compares
the ids.  Exits with 1 if a state is beyond 1e-4 or an id differs.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import (DonutSwinConfig, GPT2Config, MBartConfig, TrOCRConfig, ViTConfig,
                          VisionEncoderDecoderConfig, VisionEncoderDecoderModel)

import seeded

LIMIT, SEED, GAIN, TOKENS, PROMPT = 1e-4, 2026, 1.0, 24, 8
IDS = dict(bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2)


def trocr():
    """microsoft/trocr-base-*"""
    return (ViTConfig(image_size=384, qkv_bias=False),
            TrOCRConfig(d_model=1024, cross_attention_hidden_size=768), (384, 384))


def vit_gpt2():
    """nlpconnect/vit-gpt2-image-captioning"""
    return ViTConfig(), GPT2Config(), (224, 224)


def donut(height, width):
    """naver-clova-ix/donut-base, for pictures of height x width"""
    encoder = DonutSwinConfig(image_size=[height, width], embed_dim=128, depths=[2, 2, 14, 2],
                              num_heads=[4, 8, 16, 32], window_size=10)
    decoder = MBartConfig(vocab_size=57525, d_model=1024, decoder_layers=4, scale_embedding=True,
                          add_final_layer_norm=True, max_position_embeddings=1536)
    return encoder, decoder, (height, width)


MODELS = {"trocr-base": trocr, "vit-gpt2": vit_gpt2, "donut-base-640": lambda: donut(640, 480),
          "donut-base": lambda: donut(2560, 1920)}

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--ocelli", default=os.path.join("build", "ocelli"))
parser.add_argument("--only", default=",".join(MODELS))
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--folder", help="for checkpoints and outputs; a temporary one")
args = parser.parse_args()


def make(name, folder):
    """The model, with its checkpoint in `folder`, and the arguments of its forward pass."""
    encoder, decoder, size = MODELS[name]()
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder, **IDS)
    model = VisionEncoderDecoderModel(config).eval()
    seeded.fill(model, SEED, GAIN)
    # Random models say one word for ever, unless they must not: then each step is a choice.
    model.generation_config.update(max_new_tokens=TOKENS, no_repeat_ngram_size=1, **IDS)
    model.save_pretrained(folder)
    ids = 3 + seeded.bits(seeded.stream(SEED, "ids"), 0, PROMPT).astype("int64") % 40000
    pixels = torch.from_numpy(seeded.values(SEED, 1.0, "pixels", (3,) + size))
    pixels = pixels.reshape(1, 3, *size)
    return model, {"pixel_values": pixels / pixels.abs().max(),
                   "decoder_input_ids": torch.from_numpy(ids)[None]}


def reference(model, inputs):
    out = model(**inputs, output_hidden_states=True, use_cache=False)
    states = {"logits": out.logits}
    for side in ("encoder", "decoder"):
        for i, state in enumerate(out[f"{side}_hidden_states"]):
            states[f"{side}_hidden_states.{i}"] = state
    states["encoder_last_hidden_state"] = out.encoder_last_hidden_state
    return states


def ocelli(folder, command, out, *options):
    subprocess.run([args.ocelli, command, folder, "--in", os.path.join(folder, "in.safetensors"),
                    "--out", os.path.join(folder, out), "--threads", str(args.threads),
                    "--quiet", *options], check=True)
    return load_file(os.path.join(folder, out))


def compare_states(name, ours, theirs):
    """In the order of the computation; True if all agree."""
    first, count = None, lambda side: sum(k.startswith(side + "_hidden") for k in theirs)
    order = [f"encoder_hidden_states.{i}" for i in range(count("encoder"))]
    order += ["encoder_last_hidden_state"]
    order += [f"decoder_hidden_states.{i}" for i in range(count("decoder"))] + ["logits"]
    for key in order:
        a, b = ours[key].float(), theirs[key].float()
        difference = float((a - b).abs().max() / b.abs().max())
        print(f"{name}: {key} {list(b.shape)}: {difference:.1e}", flush=True)
        if not difference <= LIMIT and first is None:
            first = key
    print(f"{name}: first state beyond {LIMIT:g}: {first or 'none'}")
    return first is None


def compare_ids(name, folder, model, pixels):
    good = True
    save_file({"pixel_values": pixels}, os.path.join(folder, "in.safetensors"))
    for beams in (1, 4):
        theirs = model.generate(pixel_values=pixels, num_beams=beams, do_sample=False)
        ours = ocelli(folder, "generate", "ids.safetensors", "--num-beams", str(beams))["sequences"]
        same = torch.equal(ours, theirs)
        good = good and same
        print(f"{name}: {'beams 4' if beams > 1 else 'greedy'}: {theirs.shape[1]} ids, "
              f"{len(set(theirs[0].tolist()))} different ones: {'equal' if same else 'DIFFER'}")
        if not same:
            print(f"  PyTorch {theirs.tolist()}\n  ocelli  {ours.tolist()}")
    return good


def run(name, folder):
    model, inputs = make(name, folder)
    save_file(inputs, os.path.join(folder, "in.safetensors"))
    theirs = reference(model, inputs)
    ours = ocelli(folder, "forward", "out.safetensors", "--output-hidden-states")
    good = compare_states(name, ours, theirs)
    return compare_ids(name, folder, model, inputs["pixel_values"]) and good


def main():
    torch.set_num_threads(args.threads)
    good = True
    for name in args.only.split(","):
        folder = os.path.join(args.folder or tempfile.mkdtemp(), name)
        os.makedirs(folder, exist_ok=True)
        try:
            with torch.inference_mode():
                good = run(name, folder) and good
        finally:
            if not args.folder:
                shutil.rmtree(os.path.dirname(folder))
    sys.exit(0 if good else 1)


main()
