#!/usr/bin/env python3
"""Make tests/data/models for DeiT, BEiT, Swin and DonutSwin: alone and before a TrOCR decoder.

    python make_encoders.py [--out tests/data/models] [--only CASE,...]

Cases are those of make_models.py in form; INDEX-encoders.txt lists the calls.
"""

import torch
from transformers import (BeitConfig, BeitModel, DeiTConfig, DeiTModel, DonutSwinConfig,
                          DonutSwinModel, SwinConfig, SwinModel,
                          VisionEncoderDecoderConfig, VisionEncoderDecoderModel)

import make_models as base
from make_models import ALL, ids, labels_of, rand, randomise

base.CLASSES.update(DeiTModel=DeiTModel, BeitModel=BeitModel, SwinModel=SwinModel,
                    DonutSwinModel=DonutSwinModel)
TAPS = dict(output_hidden_states=True, output_attentions=True)
FLAG = torch.tensor(1, dtype=torch.uint8)


class Case(base.Case):
    def encoder(self, model, seed, std=0.3):
        torch.manual_seed(seed)
        randomise(model, seed, std)
        self.save(model)

    def model(self, klass, **kw):
        """Fresh for every call: a Swin that saw a small picture keeps its windows small."""
        self.loaded.clear()
        return super().model(klass, **kw)

    def pair(self, config, seed, gen, dec=None, std=0.35):
        dec = base.trocr_config(**dict(dict(vocab_size=40, decoder_layers=1,
                                            tie_word_embeddings=False), **(dec or {})))
        both = VisionEncoderDecoderConfig.from_encoder_decoder_configs(config, dec)
        both.decoder_start_token_id, both.pad_token_id, both.eos_token_id = 2, 1, 2
        model = VisionEncoderDecoderModel(both)
        randomise(model, seed, std)
        self.save(model, gen=dict(decoder_start_token_id=2, pad_token_id=1, eos_token_id=20,
                                  max_length=gen))


# ---------------------------------------------------------------- DeiT

def deit_config(**kw):
    return DeiTConfig(**dict(dict(hidden_size=15, num_hidden_layers=2, num_attention_heads=3,
                                  intermediate_size=22, image_size=[8, 12], patch_size=4),
                             **kw))


def deit(c):
    c.encoder(DeiTModel(deit_config()), 601)
    px = rand(1, 2, 3, 8, 12)
    c.forward("all", {"pixel_values": px}, klass="DeiTModel", **TAPS)
    hm = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 2.0]])
    c.forward("head_mask", {"pixel_values": px, "head_mask": hm}, klass="DeiTModel",
              keep="^last|^pooler")
    c.forward("wrong_size", {"pixel_values": rand(2, 1, 3, 8, 8)}, klass="DeiTModel",
              error=True)
    c.forward("wrong_channels", {"pixel_values": rand(2, 1, 1, 8, 12)}, klass="DeiTModel",
              error=True)
    c.forward("interpolate", {"pixel_values": px, "interpolate_pos_encoding": FLAG},
              klass="DeiTModel", error=True)
    c.forward("no_mask_token", {"pixel_values": px, "bool_masked_pos": ids(3, 2, 2, 6, low=0)},
              klass="DeiTModel", error=True)


def deit_masked(c):
    c.encoder(DeiTModel(deit_config(qkv_bias=False, hidden_act="relu", layer_norm_eps=1e-3),
                        use_mask_token=True), 602)
    c.forward("masked", {"pixel_values": rand(1, 2, 3, 8, 12),
                         "bool_masked_pos": ids(3, 2, 2, 6, low=0)}, klass="DeiTModel",
              load=dict(use_mask_token=True), keep="^last|^pooler")


def deit_nopooler(c):
    c.encoder(DeiTModel(deit_config(num_hidden_layers=1), add_pooling_layer=False), 603)
    c.forward("all", {"pixel_values": rand(1, 1, 3, 8, 12)}, klass="DeiTModel",
              load=dict(add_pooling_layer=False))


# ---------------------------------------------------------------- BEiT

def beit_config(**kw):
    return BeitConfig(**dict(dict(hidden_size=15, num_hidden_layers=2, num_attention_heads=3,
                                  intermediate_size=22, image_size=[8, 12], patch_size=4),
                             **kw))


def beit_sizes(c, sizes):
    for h, w in sizes:
        c.forward(f"s{h}x{w}", {"pixel_values": rand(h * 100 + w, 1, 3, h, w)},
                  klass="BeitModel", keep="^last|^pooler")


def beit_default(c):
    """No positions at all, so any picture will do."""
    c.encoder(BeitModel(beit_config()), 611)
    px = rand(1, 2, 3, 8, 12)
    c.forward("all", {"pixel_values": px}, klass="BeitModel", **TAPS)
    hm = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 2.0]])
    c.forward("head_mask", {"pixel_values": px, "head_mask": hm}, klass="BeitModel",
              keep="^last|^pooler")
    beit_sizes(c, [(4, 4), (20, 9), (12, 8)])
    c.forward("too_small", {"pixel_values": rand(2, 1, 3, 3, 12)}, klass="BeitModel",
              error=True)
    c.forward("wrong_channels", {"pixel_values": rand(2, 1, 4, 8, 12)}, klass="BeitModel",
              error=True)
    c.forward("interpolate", {"pixel_values": px, "interpolate_pos_encoding": FLAG},
              klass="BeitModel", error=True)
    c.forward("no_mask_token", {"pixel_values": px, "bool_masked_pos": ids(3, 2, 2, 6, low=0)},
              klass="BeitModel", error=True)


def beit_absolute(c):
    """Positions, resized to the picture; masked patches lose theirs."""
    c.encoder(BeitModel(beit_config(use_absolute_position_embeddings=True, use_mask_token=True,
                                    num_hidden_layers=1)), 612)
    c.forward("all", {"pixel_values": rand(1, 2, 3, 8, 12)}, klass="BeitModel", **TAPS)
    beit_sizes(c, [(4, 4), (12, 8), (28, 40), (8, 13), (5, 44)])
    c.forward("masked", {"pixel_values": rand(1, 2, 3, 8, 12),
                         "bool_masked_pos": ids(3, 2, 2, 6, low=0)}, klass="BeitModel",
              keep="^last|^pooler")


def beit_relative(c):
    c.encoder(BeitModel(beit_config(use_relative_position_bias=True)), 613)
    c.forward("all", {"pixel_values": rand(1, 2, 3, 8, 12)}, klass="BeitModel", **TAPS)
    beit_sizes(c, [(12, 8), (4, 24)])       # as many patches: the biases fit by accident
    c.forward("wrong_size", {"pixel_values": rand(1, 1, 3, 12, 12)}, klass="BeitModel",
              error=True)


def beit_shared(c):
    c.encoder(BeitModel(beit_config(use_shared_relative_position_bias=True,
                                    num_channels=1, patch_size=[2, 6])), 614)
    c.forward("all", {"pixel_values": rand(1, 1, 1, 8, 12)}, klass="BeitModel", **TAPS)
    c.forward("wrong_size", {"pixel_values": rand(1, 1, 1, 12, 12)}, klass="BeitModel",
              error=True)


def beit_everything(c):
    """All biases and positions, no layer scale, and the class token as the pooled output."""
    c.encoder(BeitModel(beit_config(
        use_relative_position_bias=True, use_shared_relative_position_bias=True,
        use_absolute_position_embeddings=True, use_mean_pooling=False,
        layer_scale_init_value=0, layer_norm_eps=1e-3, hidden_act="gelu_new")), 615)
    c.forward("all", {"pixel_values": rand(1, 2, 3, 8, 12)}, klass="BeitModel", **TAPS)


def beit_nopooler(c):
    c.encoder(BeitModel(beit_config(num_hidden_layers=1), add_pooling_layer=False), 616)
    c.forward("all", {"pixel_values": rand(1, 1, 3, 8, 12)}, klass="BeitModel",
              load=dict(add_pooling_layer=False))


# ---------------------------------------------------------------- Swin

def swin_config(klass=SwinConfig, **kw):
    return klass(**dict(dict(image_size=16, patch_size=2, embed_dim=6, depths=[2, 2],
                             num_heads=[1, 3], window_size=2), **kw))


def swin_sizes(c, sizes, klass="SwinModel"):
    for h, w in sizes:
        c.forward(f"s{h}x{w}", {"pixel_values": rand(h * 100 + w, 1, 3, h, w)}, klass=klass,
                  keep="^last|^pooler")


def swin(c):
    c.encoder(SwinModel(swin_config()), 621)
    c.forward("all", {"pixel_values": rand(1, 2, 3, 16, 16)}, klass="SwinModel", **TAPS)
    c.forward("odd", {"pixel_values": rand(2, 2, 3, 13, 17)}, klass="SwinModel", **TAPS)
    # 8x24: the second stage's map is as high as its window, so nothing shifts there.
    swin_sizes(c, [(12, 20), (20, 11), (8, 24), (7, 33), (24, 8)])
    c.forward("too_small", {"pixel_values": rand(1, 1, 3, 4, 16)}, klass="SwinModel",
              error=True)
    c.forward("wrong_channels", {"pixel_values": rand(1, 1, 1, 16, 16)}, klass="SwinModel",
              error=True)
    c.forward("head_mask", {"pixel_values": rand(1, 1, 3, 16, 16),
                            "head_mask": torch.ones(2, 3)}, klass="SwinModel", error=True)
    c.forward("interpolate", {"pixel_values": rand(1, 1, 3, 16, 16),
                              "interpolate_pos_encoding": FLAG}, klass="SwinModel", error=True)
    c.forward("no_mask_token", {"pixel_values": rand(1, 1, 3, 16, 16),
                                "bool_masked_pos": ids(3, 2, 1, 64, low=0)}, klass="SwinModel",
              error=True)


def swin_window_3(c):
    c.encoder(SwinModel(swin_config(window_size=3, depths=[3, 2, 2], num_heads=[2, 1, 4],
                                    embed_dim=4, mlp_ratio=2.5, qkv_bias=False,
                                    hidden_act="relu", layer_norm_eps=1e-3)), 622)
    c.forward("all", {"pixel_values": rand(1, 1, 3, 24, 30)}, klass="SwinModel", **TAPS)
    swin_sizes(c, [(32, 32), (27, 49), (20, 50)])
    c.forward("too_small", {"pixel_values": rand(1, 1, 3, 16, 40)}, klass="SwinModel",
              error=True)


def swin_head_mask(c):
    """Only stages of one block take a head mask."""
    c.encoder(SwinModel(swin_config(depths=[1, 1], num_heads=[3, 3])), 623)
    px = rand(1, 2, 3, 10, 12)
    c.forward("heads", {"pixel_values": px, "head_mask": torch.tensor([1.0, 0.0, 0.5])},
              klass="SwinModel", **TAPS)
    c.forward("stages", {"pixel_values": px, "head_mask": torch.tensor([[0.0, 1.0, 2.0],
                                                                        [1.0, 0.5, 0.0]])},
              klass="SwinModel", keep="^last|^pooler")


def swin_masked(c):
    c.encoder(SwinModel(swin_config(depths=[1], num_heads=[2], num_channels=1,
                                    patch_size=[2, 3]), use_mask_token=True), 624)
    c.forward("masked", {"pixel_values": rand(1, 2, 1, 8, 12),
                         "bool_masked_pos": ids(3, 2, 2, 16, low=0)}, klass="SwinModel",
              load=dict(use_mask_token=True), **TAPS)


def swin_absolute(c):
    """N + 1 positions for N patches: never fits the config's own size."""
    c.encoder(SwinModel(swin_config(image_size=4, window_size=1, depths=[2], num_heads=[2],
                                    use_absolute_embeddings=True)), 625)
    c.forward("own", {"pixel_values": rand(1, 1, 3, 4, 4)}, klass="SwinModel", error=True)
    c.forward("one_more", {"pixel_values": rand(1, 1, 3, 2, 10)}, klass="SwinModel")


def donut_swin(c):
    c.encoder(DonutSwinModel(swin_config(DonutSwinConfig, image_size=[12, 20])), 631)
    c.forward("all", {"pixel_values": rand(1, 2, 3, 12, 20)}, klass="DonutSwinModel", **TAPS)
    swin_sizes(c, [(16, 16), (15, 9)], klass="DonutSwinModel")


# ---------------------------------------------------------------- before a decoder

def pair(make, seed, size, gen=9, dec=None, other=None):
    def run(c):
        c.pair(make(), seed, gen, dec)
        px = rand(1, 3, 3, *size)
        dec_ids = ids(31, 40, 3, 5)
        c.forward("all", {"pixel_values": px[:2], "decoder_input_ids": dec_ids[:2]}, **ALL)
        c.forward("grad", {"pixel_values": px, "labels": labels_of(40, 3, 5)}, gradients=True,
                  keep="^loss|^grad")
        c.generate("greedy", {"pixel_values": px}, output_scores=True)
        if other:
            c.forward("other_size", {"pixel_values": rand(2, 2, 3, *other),
                                     "labels": labels_of(40, 2, 5)}, gradients=True,
                      keep="^loss|^grad")
            c.generate("other_size_greedy", {"pixel_values": rand(2, 2, 3, *other)})
        c.forward("interpolate", {"pixel_values": px, "decoder_input_ids": dec_ids,
                                  "interpolate_pos_encoding": FLAG}, error=True)
    return run


def beit_all():
    return beit_config(use_relative_position_bias=True, use_shared_relative_position_bias=True,
                       use_absolute_position_embeddings=True, use_mask_token=True)


CASES = {
    "deit": deit, "deit_masked": deit_masked, "deit_nopooler": deit_nopooler,
    "beit_default": beit_default, "beit_absolute": beit_absolute,
    "beit_relative": beit_relative, "beit_shared": beit_shared,
    "beit_everything": beit_everything, "beit_nopooler": beit_nopooler,
    "swin": swin, "swin_window_3": swin_window_3, "swin_head_mask": swin_head_mask,
    "swin_masked": swin_masked, "swin_absolute": swin_absolute, "donut_swin": donut_swin,
    "ved_deit": pair(deit_config, 641, (8, 12)),
    "ved_beit": pair(beit_all, 642, (8, 12), dec=dict(cross_attention_hidden_size=15)),
    "ved_beit_positions": pair(lambda: beit_config(use_absolute_position_embeddings=True,
                                                   num_hidden_layers=1),
                               643, (8, 12), other=(16, 20)),
    "ved_swin": pair(lambda: swin_config(window_size=3, depths=[2, 1]), 651, (18, 14),
                     other=(13, 22)),
    "ved_donut": pair(lambda: swin_config(DonutSwinConfig, image_size=[12, 20]), 645, (12, 20),
                      dec=dict(cross_attention_hidden_size=12, scale_embedding=True)),
}


if __name__ == "__main__":
    base.run(Case, CASES, "INDEX-encoders.txt")
