#!/usr/bin/env python3
"""Weights through Transformers 4.37.2 and ocelli, in both directions and every format.

    check_formats.py OCELLI WORKDIR [CASE …]

OCELLI is the command, or any program that takes IN OUT --to FORMAT --dtype TYPE
--max-shard-size BYTES behind the word `convert`. Needs PyTorch, TensorFlow and Flax
(requirements-tf-flax.txt of the reference environment) and no network. For each model:

    theirs: the PyTorch model is saved as .bin, .safetensors (whole, in shards, bf16, f16), by its
            TensorFlow and Flax classes (Flax' also after to_bf16 and to_fp16); ocelli converts
            each to .safetensors; every tensor must be bit for bit the PyTorch model's, rounded
            to that type.
    ours:   ocelli converts to bin, h5, msgpack, safetensors, whole and in shards, in f32, bf16
            and f16 (h5: f32 where bf16 is asked for); the classes of Transformers load it;
            every variable must be bit for bit that of the class loaded from the PyTorch file,
            rounded to that type.

Prints a Markdown table (docs/FORMATS.md has it): = equal in every type, - no such class in
Transformers, x (with the reason below the table) otherwise. A pair has no class where one half
has none."""
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import glob
import shutil
import subprocess

import ml_dtypes
import numpy as np
import torch
import transformers
from flax.traverse_util import flatten_dict
from safetensors.torch import load_file
from transformers import *

transformers.logging.set_verbosity_error()
OCELLI, WORK = sys.argv[1], sys.argv[2]
SMALL = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=16)


def cases():
    vit = ViTConfig(**SMALL, image_size=8, patch_size=4)
    deit = DeiTConfig(**SMALL, image_size=8, patch_size=4)
    beit = BeitConfig(**SMALL, image_size=8, patch_size=4, vocab_size=20,
                      use_relative_position_bias=True, use_mean_pooling=True)
    swin = SwinConfig(embed_dim=12, depths=[1, 1], num_heads=[3, 3], image_size=16, patch_size=2,
                      window_size=2)
    bert = BertConfig(vocab_size=20, **SMALL)
    bert_decoder = BertConfig(vocab_size=20, **SMALL, is_decoder=True, add_cross_attention=True)
    roberta = RobertaConfig(vocab_size=20, **SMALL, max_position_embeddings=20)
    roberta_decoder = RobertaConfig(vocab_size=20, **SMALL, max_position_embeddings=20,
                                    is_decoder=True, add_cross_attention=True)
    distil = DistilBertConfig(vocab_size=20, dim=12, n_layers=2, n_heads=3, hidden_dim=16)
    gpt2 = dict(vocab_size=20, n_embd=12, n_layer=2, n_head=3, n_positions=16)
    gpt2_decoder = GPT2Config(**gpt2, add_cross_attention=True, is_decoder=True)
    bart = dict(vocab_size=20, d_model=12, encoder_layers=1, decoder_layers=1,
                encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=16,
                decoder_ffn_dim=16, max_position_embeddings=16)
    clip = CLIPConfig.from_text_vision_configs(
        CLIPTextConfig(vocab_size=20, **SMALL, projection_dim=8, max_position_embeddings=16),
        CLIPVisionConfig(**SMALL, image_size=8, patch_size=4, projection_dim=8), projection_dim=8)
    visual = VisualBertConfig(vocab_size=20, **SMALL, visual_embedding_dim=8)
    pair = VisionEncoderDecoderConfig.from_encoder_decoder_configs
    dual = VisionTextDualEncoderConfig.from_vision_text_configs
    yield "ViT", "ViTModel", vit
    yield "ViT classifier", "ViTForImageClassification", vit
    yield "DeiT", "DeiTModel", deit
    yield "BEiT", "BeitModel", beit
    yield "Swin", "SwinModel", swin
    yield "BERT", "BertModel", bert
    yield "BERT pretraining", "BertForPreTraining", bert
    yield "BERT decoder", "BertLMHeadModel", bert_decoder
    yield "RoBERTa", "RobertaModel", roberta
    yield "RoBERTa decoder", "RobertaForCausalLM", roberta_decoder
    yield "DistilBERT", "DistilBertModel", distil
    yield "GPT-2", "GPT2LMHeadModel", GPT2Config(**gpt2)
    yield "GPT-2 cross", "GPT2LMHeadModel", gpt2_decoder
    yield "BART", "BartForConditionalGeneration", BartConfig(**bart)
    yield "mBART", "MBartForConditionalGeneration", MBartConfig(**bart)
    yield "CLIP", "CLIPModel", clip
    yield "CLIP vision", "CLIPVisionModel", clip.vision_config
    yield "VisualBERT", "VisualBertForPreTraining", visual
    yield "ViT + GPT-2", "VisionEncoderDecoderModel", pair(vit, gpt2_decoder)
    yield "ViT + BERT", "VisionEncoderDecoderModel", pair(vit, bert_decoder)
    yield "DeiT + RoBERTa", "VisionEncoderDecoderModel", pair(deit, roberta_decoder)
    yield "Swin + GPT-2", "VisionEncoderDecoderModel", pair(swin, gpt2_decoder)
    yield "BEiT + BERT", "VisionEncoderDecoderModel", pair(beit, bert_decoder)
    yield "ViT, BERT dual", "VisionTextDualEncoderModel", dual(vit, bert, projection_dim=8)
    yield "CLIP, BERT dual", "VisionTextDualEncoderModel", dual(clip.vision_config, bert,
                                                                projection_dim=8)


def model_of(name, config):
    torch.manual_seed(1)
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * 0.3)
    model.tie_weights()
    return model


def foreign_class(framework, name):
    prefix = {"tf": "TF", "flax": "Flax"}[framework]
    found = getattr(transformers, prefix + name, None)
    return found if found is not None and hasattr(found, "from_pretrained") else None


def convert(source, target, **options):
    shutil.rmtree(target, ignore_errors=True)
    words = [w for k, v in options.items() for w in ("--" + k.replace("_", "-"), str(v))]
    run = subprocess.run([*OCELLI.split(), "convert", source, target, *words], capture_output=True,
                         text=True)
    if run.returncode:
        raise RuntimeError((run.stderr + run.stdout).strip()[-300:])


def tensors_in(folder):
    files = glob.glob(folder + "/*.safetensors")
    return {k: v for f in files for k, v in load_file(f).items()}


def check_tensors(got, model, dtype=None):
    """Every parameter is there under one of its names, bit for bit."""
    for name, value in model.named_parameters():
        want = value.detach().to(dtype or value.dtype)
        if name not in got:     # Keras and Flax keep the base model's scope
            name = model.base_model_prefix + "." + name
        if not torch.equal(got[name].reshape(want.shape).view(torch.uint8) if want.dim() else
                           got[name].reshape(()), want.view(torch.uint8) if want.dim() else want):
            raise RuntimeError(name + " differs")


def variables(framework, model):
    if framework == "flax":
        return {"/".join(k): np.asarray(v) for k, v in flatten_dict(model.params).items()}
    return {"/".join(w.name.split("/")[1:]) or w.name: w.numpy() for w in model.weights}


def load_foreign(framework, name, folder, **options):
    return foreign_class(framework, name).from_pretrained(folder, **options)


def check_foreign(framework, name, folder, want, dtype):
    got = variables(framework, load_foreign(framework, name, folder))
    for key, value in want.items():
        # TensorFlow's own reload does not look at what is in no layer.
        if key.startswith("logit_scale") and framework == "tf":
            continue
        if np.issubdtype(value.dtype, np.floating):
            value = value.astype(dtype)
            # Keras casts what it loads to the variable's own type, Flax leaves it.
            if framework == "tf":
                value = value.astype(np.float32)
        if got[key].tobytes() != value.tobytes():
            raise RuntimeError(key + " differs")


def theirs(folder, name, model, column):
    """Files of Transformers, read by us."""
    made, out, dtype = folder + "/theirs-" + column, folder + "/read", None
    if column in ("bin", "bin shards"):
        model.save_pretrained(made, safe_serialization=False,
                              max_shard_size="4KB" if "shards" in column else "5GB")
    elif column == "safetensors":
        model.save_pretrained(made, max_shard_size="4KB")
    elif column in ("flax bf16", "flax f16"):
        if not foreign_class("flax", name):
            return None
        try:
            other = load_foreign("flax", name, folder + "/theirs-bin", from_pt=True)
        except Exception:
            return None
        dtype = torch.bfloat16 if column.endswith("bf16") else torch.float16
        params = (other.to_bf16 if dtype == torch.bfloat16 else other.to_fp16)(other.params)
        other.save_pretrained(made, params=params)
    elif column in ("bf16", "f16"):
        dtype = torch.bfloat16 if column == "bf16" else torch.float16
        half = type(model)(model.config)
        half.load_state_dict(model.state_dict())
        half.to(dtype).save_pretrained(made, safe_serialization=False)
    elif column == "legacy":
        model.save_pretrained(made, safe_serialization=False)
        torch.save(model.state_dict(), made + "/pytorch_model.bin",
                   _use_new_zipfile_serialization=False)
    else:
        framework = column.split()[0]
        if not foreign_class(framework, name):
            return None
        try:
            other = load_foreign(framework, name, folder + "/theirs-bin", from_pt=True)
        except Exception:       # a pair of which one half has no such class
            return None
        other.save_pretrained(made, max_shard_size="4KB" if "shards" in column else "5GB")
    convert(made, out, to="safetensors")
    check_tensors(tensors_in(out), model, dtype)
    return True


def ours(folder, name, model, column, wants):
    """Files of ours, read by Transformers."""
    out, source = folder + "/ours", folder + "/theirs-bin"
    form, *rest = column.split()
    options = dict(max_shard_size=4000) if "shards" in rest else {}
    framework = {"h5": "tf", "msgpack": "flax"}.get(form)
    if framework and framework not in wants:
        return None
    if framework:
        for short in ("f32", "bf16", "f16"):
            dtype = {"f32": np.float32, "f16": np.float16,
                     "bf16": np.float32 if form == "h5" else ml_dtypes.bfloat16}[short]
            convert(source, out, to=form, dtype=short, **options)
            check_foreign(framework, name, out, wants[framework], dtype)
        return True
    for short, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16), ("f16", torch.float16)):
        convert(source, out, to=form, dtype=short, **options)
        back, info = type(model).from_pretrained(out, output_loading_info=True, torch_dtype=dtype)
        missing = [k for k in info["missing_keys"] if "relative_position_index" not in k]
        if missing or info["unexpected_keys"] or info["mismatched_keys"]:
            raise RuntimeError(str(info)[:200])
        check_tensors(dict(back.state_dict()), model, dtype)
        for file in glob.glob(out + "/*.bin"):
            torch.load(file, weights_only=True)
    return True


THEIRS = ["bin", "bin shards", "legacy", "safetensors", "bf16", "f16", "tf", "tf shards", "flax",
          "flax shards", "flax bf16", "flax f16"]
OURS = ["bin", "bin shards", "safetensors", "safetensors shards", "h5", "h5 shards", "msgpack",
        "msgpack shards"]


def attempt(notes, label, check):
    try:
        return {None: "-", True: "="}[check()]
    except Exception as error:  # the table tells which, and why
        notes.append(f"{label}: {type(error).__name__}: {str(error)[:200]}")
        return "x"


def main():
    notes = []
    print("| model | " + " | ".join("read " + c for c in THEIRS) + " | " +
          " | ".join("write " + c for c in OURS) + " |")
    print("|---" * (1 + len(THEIRS) + len(OURS)) + "|")
    for label, name, config in cases():
        if sys.argv[3:] and label not in sys.argv[3:]:
            continue
        folder = os.path.join(WORK, label.replace(" ", "_"))
        os.makedirs(folder, exist_ok=True)
        model = model_of(name, config)
        row = [attempt(notes, f"{label}, read {c}", lambda: theirs(folder, name, model, c))
               for c in THEIRS]
        wants = {}
        for f in ("tf", "flax"):
            if foreign_class(f, name):
                try:
                    wants[f] = variables(f, load_foreign(f, name, folder + "/theirs-bin",
                                                         from_pt=True))
                except Exception as error:
                    notes.append(f"{label}, {f}: Transformers itself: {str(error)[:120]}")
        row += [attempt(notes, f"{label}, write {c}",
                        lambda: ours(folder, name, model, c, wants)) for c in OURS]
        print(f"| {label} | " + " | ".join(row) + " |", flush=True)
    print("\n" + "\n".join("- " + n for n in notes))


main()
