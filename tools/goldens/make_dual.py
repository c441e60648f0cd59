#!/usr/bin/env python3
"""Make the goldens of VisionTextDualEncoder: five vision towers beside four text towers, and
what the two towers that 4.37.2 does not run would give.

    python make_dual.py [--out tests/data/models] [--only CASE,...]

Weights are seeded (seeded.py).  Every pair has one forward pass with masks, types, loss and all
gradients; one text tower for each vision tower also every output.  Index: INDEX-dual.txt.
"""
import json
import os

import torch
import transformers
from transformers import (BeitConfig, BertConfig, CamembertConfig, CLIPTextConfig,
                          CLIPTextModel, CLIPVisionConfig, DeiTConfig, DistilBertConfig,
                          DistilBertModel, RobertaConfig, SwinConfig, ViTConfig,
                          VisionTextDualEncoderConfig, VisionTextDualEncoderModel,
                          XLMRobertaConfig)
from transformers.modeling_outputs import BaseModelOutputWithPooling

import make_models as base
import seeded
from make_models import ids, rand

KLASS = "VisionTextDualEncoderModel"
VOCAB, TOKENS, BATCH, GAIN = 23, 7, 3, 1.5
PICTURE = (BATCH, 1, 12, 12)
FLAG = torch.tensor(1, dtype=torch.uint8)
TAPS = dict(output_hidden_states=True, output_attentions=True)
base.CLASSES[KLASS] = VisionTextDualEncoderModel

VIT = dict(hidden_size=15, num_hidden_layers=2, num_attention_heads=3, num_channels=1,
           intermediate_size=18, image_size=12, patch_size=4)
TEXT = dict(vocab_size=VOCAB, hidden_size=14, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=17, max_position_embeddings=TOKENS + 4)
VISION = {
    "vit": lambda: ViTConfig(**VIT), "deit": lambda: DeiTConfig(**VIT),
    "beit": lambda: BeitConfig(**VIT, use_relative_position_bias=True,
                               use_absolute_position_embeddings=True),
    "swin": lambda: SwinConfig(embed_dim=6, depths=[2, 1], num_heads=[1, 3], window_size=3,
                               num_channels=1, image_size=12, patch_size=2),
    "clip": lambda: CLIPVisionConfig(**VIT),
}
TEXTS = {
    "bert": lambda: BertConfig(**TEXT), "roberta": lambda: RobertaConfig(**TEXT),
    "xlm_roberta": lambda: XLMRobertaConfig(**TEXT, type_vocab_size=2),
    "camembert": lambda: CamembertConfig(**TEXT, hidden_act="relu"),
}


def flatten(prefix, value, out):
    """As base.flatten, and outputs within outputs by their names."""
    if isinstance(value, dict):
        for key, item in value.items():
            flatten(f"{prefix}.{key}", item, out)
    else:
        plain(prefix, value, out)


plain, base.flatten = base.flatten, flatten


def pictures(seed, batch=BATCH):
    """Numbers that bfloat16 holds exactly."""
    return rand(seed, batch, *PICTURE[1:]).bfloat16().float()


def masks():
    """All of the first text, the beginning of the second, the end of the third."""
    mask = torch.ones(BATCH, TOKENS, dtype=torch.long)
    mask[1, 5:], mask[2, :2] = 0, 0
    return mask


def texts(pad):
    return torch.where(masks().bool(), ids(11, VOCAB, BATCH, TOKENS), pad)


def arguments(config, seed):
    kinds = config.text_config.type_vocab_size
    return {"pixel_values": pictures(seed),
            "input_ids": texts(config.text_config.pad_token_id), "attention_mask": masks(),
            "token_type_ids": ids(12, kinds, BATCH, TOKENS, low=0)}


class Case(base.Case):
    def pair(self, vision, text, seed, **top):
        config = VisionTextDualEncoderConfig.from_vision_text_configs(
            VISION[vision](), TEXTS[text](), **dict(dict(projection_dim=9), **top))
        self.save_seeded(VisionTextDualEncoderModel(config), seed, GAIN)
        return config

    def write(self, call, tensors_in, tensors_out, record):
        super().write(call, {k: v.bfloat16() if k == "pixel_values" else v
                             for k, v in tensors_in.items()}, tensors_out, record)

    def features(self, call, inputs, side):
        name = f"get_{side}_features"
        with torch.no_grad():
            y = getattr(self.model(KLASS), name)(**inputs)
        self.write(call, inputs, {f"{side}_features": y},
                   {"command": "forward", "class": f"{KLASS}.{name}", "options": {}})


def steady(c, inputs):
    """Whether float32 is good for it: norms of few numbers may stand on next to nothing."""
    off = base.noise_of(c.model(KLASS), inputs, KLASS, dict(gradients=True))
    return off[0] < 1.5e-6 and off[1] < 3e-6


def steady_pair(c, vision, text, **top):
    """The pair and arguments of the first seed that float32 is good for."""
    for seed in range(1, 100):
        c.loaded.clear()
        inputs = arguments(c.pair(vision, text, seed, **top), seed)
        if steady(c, {**inputs, "return_loss": FLAG}):
            return inputs
    raise AssertionError(c.name)


def loss(c, inputs):
    c.forward("loss_grad", {**inputs, "return_loss": FLAG}, klass=KLASS, gradients=True,
              keep="^loss|^logits_per_image|_embeds|pooler|^grad")


def pair(vision, text):
    def make(c):
        inputs = steady_pair(c, vision, text)
        loss(c, inputs)
        if (vision, text) in ALL_OUTPUTS:
            one = {k: v[1:2] for k, v in inputs.items()}        # the one with pads
            # A single logit may be next to nothing, a difference of large numbers.
            c.forward("all", one, klass=KLASS, keep="^(?!logits)", **TAPS)
    return make


ALL_OUTPUTS = {("deit", "roberta"), ("beit", "camembert"), ("swin", "xlm_roberta"),
               ("clip", "bert")}


def vit_bert(c):
    """Every argument, with and without, and what is refused."""
    x = steady_pair(c, "vit", "bert", projection_dim=5, logit_scale_init_value=-0.5)
    loss(c, x)
    c.forward("all", x, klass=KLASS, **TAPS)
    px, tokens = x["pixel_values"], x["input_ids"]
    plain = {"pixel_values": px, "input_ids": tokens}
    keep = "^loss|^logits|_embeds"
    c.forward("plain", plain, klass=KLASS, keep=keep)
    c.forward("no_loss", {**plain, "return_loss": FLAG * 0}, klass=KLASS, keep=keep)
    c.forward("positions", {**x, "position_ids": ids(13, TOKENS + 4, 1, TOKENS, low=0)},
              klass=KLASS, keep=keep)
    c.forward("two_pictures", {**x, "pixel_values": px[:2]}, klass=KLASS, keep=keep)
    c.forward("one_text", {**x, **{k: v[:1] for k, v in x.items() if k != "pixel_values"}},
              klass=KLASS, keep=keep)
    c.forward("one_each", {**{k: v[:1] for k, v in x.items()}, "return_loss": FLAG},
              klass=KLASS, keep=keep)
    c.features("image_features", {"pixel_values": px}, "image")
    c.features("text_features", {k: v for k, v in x.items() if k != "pixel_values"}, "text")
    refused = {
        "counts_differ": {**x, "pixel_values": px[:2], "return_loss": FLAG},
        "no_pixels": {"input_ids": tokens}, "no_ids": {"pixel_values": px},
        "embeds": {**plain, "inputs_embeds": rand(14, BATCH, TOKENS, 14)},
        "channels": {**plain, "pixel_values": rand(15, 2, 3, 12, 12)},
        "size": {**plain, "pixel_values": rand(15, 2, 1, 12, 16)},
        "outside": {**plain, "input_ids": tokens + VOCAB},
        "mask_length": {**plain, "attention_mask": masks()[:, 1:]},
        "types_outside": {**plain, "token_type_ids": tokens * 0 + 2},
        "too_long": {**plain, "input_ids": ids(16, VOCAB, BATCH, TOKENS + 5)},
    }
    for name, inputs in refused.items():
        c.forward(name, inputs, klass=KLASS, error=True)


def clip_whole(c):
    """A whole CLIP's config in place of its vision part."""
    inputs = steady_pair(c, "clip", "roberta")
    for folder in (c.dir, c.files):
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        part = dict(config["vision_config"])
        del part["model_type"]
        config["vision_config"] = {"model_type": "clip", "vision_config": part}
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f, sort_keys=True)
            f.write("\n")
    c.loaded.clear()
    loss(c, inputs)


# ---------------------------------------------------------------- towers of ours alone

class FirstToken(DistilBertModel):
    """DistilBERT as a text tower: what stands for a text is the state of its first token."""

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, position_ids=None,
                **kw):
        out = super().forward(input_ids, attention_mask, **kw)
        return BaseModelOutputWithPooling(pooler_output=out[0][:, 0], **out)


class ClipText(CLIPTextModel):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None, position_ids=None,
                **kw):
        return super().forward(input_ids, attention_mask, position_ids, **kw)


def ours(tower, text):
    """The model that 4.37.2 would make, had it taken that config."""
    def make(c):
        config = VisionTextDualEncoderConfig.from_vision_text_configs(
            ViTConfig(**VIT), BertConfig(**TEXT), projection_dim=9)
        model = VisionTextDualEncoderModel(config)
        model.text_model = tower(text)
        model.eval()
        seeded.fill(model, 5, GAIN)
        written = dict(model_type=config.model_type, architectures=[KLASS], projection_dim=9,
                       vision_config=dict(VIT, model_type="vit"),
                       text_config=text.to_diff_dict())
        seeded.write_weights(c.dir, 5, GAIN)
        with open(os.path.join(c.dir, "config.json"), "w", encoding="utf-8") as f:
            json.dump(written, f, sort_keys=True)
            f.write("\n")
        c.loaded[KLASS, "{}"] = model
        tokens = torch.where(masks().bool(), texts(0), 0)
        loss_of_ours(c, {"pixel_values": pictures(5), "input_ids": tokens,
                         "attention_mask": masks()})
    return make


def loss_of_ours(c, inputs):
    c.forward("loss_grad", {**inputs, "return_loss": FLAG}, klass=KLASS, gradients=True,
              keep="^loss|^logits_per_image|_embeds|^grad")
    c.features("text_features", {k: v for k, v in inputs.items() if k != "pixel_values"}, "text")


CASES = {
    "dual_vit_bert": vit_bert,
    **{f"dual_{v}_{t}": pair(v, t) for v in VISION for t in TEXTS if (v, t) != ("vit", "bert")},
    "dual_clip_whole": clip_whole,
    "dual_ours_distilbert": ours(FirstToken, DistilBertConfig(
        vocab_size=VOCAB, dim=14, n_layers=2, n_heads=2, hidden_dim=17,
        max_position_embeddings=TOKENS + 4)),
    "dual_ours_clip_text": ours(ClipText, CLIPTextConfig(**TEXT, eos_token_id=3)),
}


if __name__ == "__main__":
    base.run(Case, CASES, "INDEX-dual.txt")
