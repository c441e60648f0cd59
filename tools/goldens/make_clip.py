#!/usr/bin/env python3
"""Make tests/data/models for CLIP: both towers, with and without their projections, the vision
tower before a TrOCR decoder, and CLIP as a whole with the classes that open its folder.

    python make_clip.py [--out tests/data/models] [--only CASE,...]

Cases are those of make_models.py in form, their weights seeded (seeded.py); INDEX-clip.txt
lists the calls.
"""
import json
import os

import torch
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel,
                          CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModel,
                          CLIPVisionModelWithProjection, VisionEncoderDecoderConfig,
                          VisionEncoderDecoderModel)

import make_models as base
from make_dual import FLAG      # whose flatten() names outputs within outputs
from make_models import ids, labels_of, rand

base.CLASSES.update(CLIPModel=CLIPModel, CLIPVisionModel=CLIPVisionModel,
                    CLIPTextModel=CLIPTextModel,
                    CLIPVisionModelWithProjection=CLIPVisionModelWithProjection,
                    CLIPTextModelWithProjection=CLIPTextModelWithProjection)
# 4.37.2 has no Auto class for it; base.shorten asks there for a part's defaults.
base.CONFIG_MAPPING.register("clip_text_model", CLIPTextConfig)
TAPS = dict(output_hidden_states=True, output_attentions=True)
GAIN = 1.5


class Case(base.Case):
    def write(self, call, tensors_in, tensors_out, record):
        """Pictures are exact in bfloat16 and kept as such."""
        super().write(call, {k: v.bfloat16() if k == "pixel_values" else v
                             for k, v in tensors_in.items()}, tensors_out, record)


def pictures(seed, *shape):
    return rand(seed, *shape).bfloat16().float()


def mask(*rows):
    return torch.tensor([[int(c) for c in row] for row in rows])


# ---------------------------------------------------------------- vision

def vision_config(**kw):
    return CLIPVisionConfig(**dict(dict(hidden_size=18, num_hidden_layers=2,
                                        num_attention_heads=3, intermediate_size=22,
                                        image_size=17, patch_size=5, projection_dim=7), **kw))


def clip_vision(c):
    """17 pixels by patches of 5: 3 x 3, and two rows and columns that nothing sees."""
    c.save_seeded(CLIPVisionModel(vision_config()), 701, GAIN)
    px = pictures(1, 2, 3, 17, 17)
    c.forward("all", {"pixel_values": px}, klass="CLIPVisionModel", use_cache=True, **TAPS)
    c.forward("one", {"pixel_values": px[:1]}, klass="CLIPVisionModel")
    # Any shape of as many patches passes.
    c.forward("same_count", {"pixel_values": pictures(2, 1, 3, 5, 46)}, klass="CLIPVisionModel")
    refused = {"wrong_size": {"pixel_values": pictures(2, 1, 3, 17, 20)},
               "wrong_channels": {"pixel_values": pictures(2, 1, 1, 17, 17)},
               "head_mask": {"pixel_values": px, "head_mask": torch.ones(3)},
               "no_pixels": {}}
    for name, inputs in refused.items():
        c.forward(name, inputs, klass="CLIPVisionModel", error=True)


def clip_vision_projection(c):
    c.save_seeded(CLIPVisionModelWithProjection(
        vision_config(num_hidden_layers=1, hidden_act="gelu", layer_norm_eps=1e-2,
                      num_channels=1, image_size=8, patch_size=4)), 702, GAIN)
    px = pictures(3, 3, 1, 8, 8)
    c.forward("all", {"pixel_values": px}, klass="CLIPVisionModelWithProjection", **TAPS)
    c.forward("base", {"pixel_values": px}, klass="CLIPVisionModel")


# ---------------------------------------------------------------- text

def text_config(**kw):
    return CLIPTextConfig(**dict(dict(vocab_size=60, hidden_size=20, num_hidden_layers=2,
                                      num_attention_heads=4, intermediate_size=26,
                                      max_position_embeddings=11, projection_dim=7,
                                      bos_token_id=58, eos_token_id=2), **kw))


def clip_text(c):
    """eos_token_id 2, as in configs of 2022: the largest id is taken for the end."""
    c.save_seeded(CLIPTextModel(text_config()), 711, GAIN)
    tokens = ids(41, 60, 3, 7)
    call = dict(klass="CLIPTextModel")
    c.forward("all", {"input_ids": tokens}, use_cache=True, **call, **TAPS)
    right = mask("1111111", "1111000", "1000000")
    c.forward("pads_right", {"input_ids": tokens, "attention_mask": right}, **call)
    # Rows that see no key at all weigh those that only one of the two masks hides.
    left = mask("0011111", "0000001", "0000000")
    c.forward("pads_left", {"input_ids": tokens, "attention_mask": left}, **call, **TAPS)
    holes = torch.tensor([[1.0, 0.5, 1, 2, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1, 0]])
    c.forward("holes", {"input_ids": tokens, "attention_mask": holes}, **call)
    twice = tokens.clone()
    twice[:, 2] = twice[:, 5] = 59
    c.forward("largest_twice", {"input_ids": twice.int()}, **call)
    places = ids(42, 11, 3, 7, low=0)
    c.forward("positions", {"input_ids": tokens, "position_ids": places}, **call)
    c.forward("positions_shared", {"input_ids": tokens, "position_ids": places[:1]}, **call)
    c.forward("one", {"input_ids": tokens[:1, :1], "attention_mask": mask("0")}, **call, **TAPS)
    c.forward("longest", {"input_ids": ids(43, 60, 1, 11)}, **call)
    refused = {"too_long": {"input_ids": ids(43, 60, 1, 12)},
               "mask_of_other_length": {"input_ids": tokens, "attention_mask": right[:, 1:]},
               "mask_of_other_batch": {"input_ids": tokens, "attention_mask": right[:2]},
               "position_outside": {"input_ids": tokens, "position_ids": places + 1},
               "id_outside": {"input_ids": tokens + 40},
               "no_ids": {"attention_mask": right},
               "embeds": {"inputs_embeds": rand(1, 3, 7, 20)},
               "types": {"input_ids": tokens, "token_type_ids": tokens * 0}}
    for name, inputs in refused.items():
        c.forward(name, inputs, error=True, **call)


def clip_text_projection(c):
    """An eos_token_id of its own: the first one is the end; where there is none, id 0 is."""
    c.save_seeded(CLIPTextModelWithProjection(
        text_config(eos_token_id=50, num_hidden_layers=1, hidden_act="gelu_new",
                    layer_norm_eps=1e-3)), 712, GAIN)
    tokens = ids(44, 50, 4, 6)
    tokens[0, 5] = tokens[1, 2] = tokens[1, 4] = tokens[2, 0] = tokens[2, 3] = 50
    tokens[1, 1] = 59
    right = mask("111111", "111000", "111100", "111110")
    c.forward("all", {"input_ids": tokens, "attention_mask": right},
              klass="CLIPTextModelWithProjection", **TAPS)
    c.forward("base", {"input_ids": tokens}, klass="CLIPTextModel")


# ---------------------------------------------------------------- before a decoder

def ved_clip(c):
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        vision_config(), base.trocr_config(vocab_size=40, decoder_layers=1))
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 1, 2
    c.save_seeded(VisionEncoderDecoderModel(config), 721, GAIN,
                  gen=dict(decoder_start_token_id=2, pad_token_id=1, eos_token_id=20,
                           max_length=9))
    px, dec = pictures(1, 2, 3, 17, 17), ids(31, 40, 2, 5)
    c.forward("all", {"pixel_values": px, "decoder_input_ids": dec}, **base.ALL)
    c.forward("grad", {"pixel_values": px, "labels": labels_of(40, 2, 5)}, gradients=True,
              keep="^loss|^grad")
    c.generate("greedy", {"pixel_values": px}, output_scores=True)
    c.forward("head_mask", {"pixel_values": px, "decoder_input_ids": dec,
                            "head_mask": torch.ones(3)}, error=True)


# ---------------------------------------------------------------- the whole

def features(c, call, inputs, side):
    name = f"get_{side}_features"
    with torch.no_grad():
        y = getattr(c.model("CLIPModel"), name)(**inputs)
    c.write(call, inputs, {f"{side}_features": y},
            {"command": "forward", "class": f"CLIPModel.{name}", "options": {}})


def clip_model(c):
    """Parts of different widths, which project to the width that each of them says too."""
    config = CLIPConfig.from_text_vision_configs(
        text_config(), vision_config(num_channels=1, image_size=9, patch_size=4),
        projection_dim=7, logit_scale_init_value=1.5)
    c.save_seeded(CLIPModel(config), 731, GAIN)
    px, tokens = pictures(1, 3, 1, 9, 9), ids(41, 60, 3, 7)
    pixels, text = {"pixel_values": px}, {
        "input_ids": tokens, "attention_mask": mask("1111111", "1111000", "0011111")}
    call = dict(klass="CLIPModel")
    contrast = {**pixels, **text, "return_loss": FLAG}
    off = base.noise_of(c.model("CLIPModel"), contrast, "CLIPModel", dict(gradients=True))
    assert off[0] < 1.5e-6 and off[1] < 3e-6, off       # float32 is good for it
    c.forward("loss_grad", contrast, gradients=True,
              keep="^loss|^logits_per_image|_embeds|^grad", **call)
    c.forward("all", {"pixel_values": px[:1], "input_ids": tokens[:2]}, **call, **TAPS)
    c.forward("positions", {**pixels, **text, "position_ids": ids(42, 11, 1, 7, low=0)},
              keep="^logits|_embeds", **call)
    features(c, "image_features", pixels, "image")
    features(c, "text_features", text, "text")
    refused = {"counts_differ": {"pixel_values": px[:2], **text, "return_loss": FLAG},
               "no_pixels": text, "no_ids": pixels,
               "types": {**pixels, **text, "token_type_ids": tokens * 0}}
    for name, inputs in refused.items():
        c.forward(name, inputs, error=True, **call)
    # The folder as each of its parts.
    keep = "^last|^pooler|_embeds"
    c.forward("vision", pixels, klass="CLIPVisionModel", keep=keep)
    c.forward("text", text, klass="CLIPTextModel", keep=keep)
    c.forward("image_embeds", pixels, klass="CLIPVisionModelWithProjection", keep=keep)
    c.forward("text_embeds", text, klass="CLIPTextModelWithProjection", keep=keep)


def clip_dicts(c):
    """A config as those of 2022: what the parts' dicts say counts, and what they leave out is
    the default, here an eos_token_id that no text has. No text_config: all defaults but those."""
    config = CLIPConfig.from_text_vision_configs(text_config(eos_token_id=49407),
                                                 vision_config(num_hidden_layers=1),
                                                 projection_dim=5)
    c.save_seeded(CLIPModel(config), 732, GAIN)
    wrong = dict(hidden_size=24, eos_token_id=2, patch_size=4, num_hidden_layers=7)
    for folder in (c.dir, c.files):
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as f:
            written = json.load(f)
        written["vision_config_dict"] = written["vision_config"]
        written["vision_config"] = wrong
        written["text_config_dict"] = written.pop("text_config")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(written, f, sort_keys=True)
            f.write("\n")
    c.forward("all", {"pixel_values": pictures(4, 2, 3, 17, 17),
                      "input_ids": ids(45, 60, 1, 5)}, klass="CLIPModel", keep="^logits|_embeds")


CASES = {
    "clip_vision": clip_vision, "clip_vision_projection": clip_vision_projection,
    "clip_text": clip_text, "clip_text_projection": clip_text_projection,
    "ved_clip": ved_clip, "clip_model": clip_model, "clip_dicts": clip_dicts,
}


if __name__ == "__main__":
    base.run(Case, CASES, "INDEX-clip.txt")
