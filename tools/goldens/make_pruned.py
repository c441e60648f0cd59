#!/usr/bin/env python3
"""Make the goldens of pruned heads: models whose config has pruned_heads, and models that are
pruned before a call ("prune" in CALL.json).

    python make_pruned.py [--out tests/data/models] [--only CASE,...]

Weights are seeded (seeded.py).  Index: INDEX-pruned.txt.
"""

import torch
from transformers import (BartConfig, BartForCausalLM, BeitConfig, BeitModel, BertConfig,
                          DeiTConfig, DistilBertConfig, DistilBertModel, GPT2Config, SwinConfig,
                          SwinModel, ViTConfig, VisionEncoderDecoderConfig,
                          VisionEncoderDecoderModel)

import make_models as base
from make_generate import MIN_GAP, attempt
from make_models import ids, labels_of, rand

base.CLASSES.update(BeitModel=BeitModel, DistilBertModel=DistilBertModel, SwinModel=SwinModel,
                    BartForCausalLM=BartForCausalLM)
PAIR = "VisionEncoderDecoderModel"
VOCAB, WIDTH, HEADS = 19, 12, 3
GRID = dict(hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=HEADS, num_channels=1,
            intermediate_size=18, image_size=[8, 12], patch_size=4)


class Case(base.Case):
    prune = None

    def model(self, klass, **kw):
        if (klass, str(kw)) in self.loaded or not self.prune:
            return super().model(klass, **kw)
        model = super().model(klass, **kw)
        for part, heads in (self.prune.items() if klass == PAIR else [(None, self.prune)]):
            (getattr(model, part) if part else model).prune_heads(
                {int(layer): of for layer, of in heads.items()})
        return model

    def write(self, call, tensors_in, tensors_out, record):
        if self.prune:
            record = dict(record, prune=self.prune)
        super().write(call, tensors_in, tensors_out, record)

    def pruned(self, heads):
        """From here on, calls are answered after this pruning."""
        self.loaded.clear()
        self.prune = heads


def pair(encoder, decoder, heads):
    """4.37.2 cannot read pruned_heads in a part of a config (its keys stay texts), so both parts
    are pruned in place. The test also saves the model and reads it again."""
    def make(c):
        config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
        config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 1, 3
        c.save_seeded(VisionEncoderDecoderModel(config), 1, 1.5,
                      gen=dict(decoder_start_token_id=2, pad_token_id=1, eos_token_id=3,
                               max_length=9))
        c.pruned(heads)
        pair_calls(c)
        cached(c)
    return make


def pair_calls(c):
    model, beams = c.model(PAIR), dict(num_beams=3)
    for seed in range(1, 50):
        px = {"pixel_values": rand(seed, 2, 1, 8, 12)}
        greedy, lead = base.run_generate(model, px, {})
        found, _, gaps = attempt(c, px, beams, False)
        if lead > base.MIN_GREEDY_GAP and gaps.least > MIN_GAP:
            break
    else:
        raise AssertionError(c.name)
    c.forward("grad", dict(px, labels=labels_of(VOCAB, 2, 6)), gradients=True,
              keep="^loss|^logits|^encoder_last|^grad")
    record = {"command": "generate", "class": PAIR, "only": ["sequences"]}
    c.write("greedy", px, {"sequences": greedy["sequences"]},
            dict(record, options={}, smallest_gap=round(lead, 6)))
    c.write("beams", px, {"sequences": found.sequences},
            dict(record, options=beams, smallest_gap=round(gaps.least, 6)))


def cached(c):
    """Layers with different numbers of heads, in and out."""
    dec, states = ids(31, VOCAB, 2, 4), rand(33, 2, 5, WIDTH)
    step = lambda a, b: {"encoder_outputs.0": states, "decoder_input_ids": dec[:, a:b]}
    first = c.forward("past_0", step(0, 3), keep="^logits|^past", use_cache=True)
    past = {k: v for k, v in first.items() if k.startswith("past")}
    c.forward("past_1", {**step(3, 4), **past}, keep="^logits|^past|tions.1$",
              use_cache=True, output_attentions=True)
    past["past_key_values.0.0"] = past["past_key_values.0.0"][:, :1].clone()
    c.forward("past_wrong", {**step(3, 4), **past}, error=True, use_cache=True)


def beit(c):
    """Heads that are gone already count by their first numbers, and go but once."""
    c.save_seeded(BeitModel(BeitConfig(**GRID, pruned_heads={0: [1]})), 2, 1.5)
    px = {"pixel_values": rand(1, 2, 1, 8, 12)}
    c.forward("all", px, klass="BeitModel", output_attentions=True)
    c.pruned({"0": [1, 0], "1": [2]})
    c.forward("cut", px, klass="BeitModel", output_attentions=True)
    c.forward("cut_head_mask", dict(px, head_mask=torch.tensor([0.5, 1.0, 2.0])), klass="BeitModel",
              error=True)


def distilbert(c):
    c.save_seeded(DistilBertModel(DistilBertConfig(
        vocab_size=VOCAB, dim=WIDTH, n_layers=2, n_heads=HEADS, hidden_dim=17,
        max_position_embeddings=9)), 3, 1.5)
    c.pruned({"0": [2], "1": [0]})
    x = {"input_ids": ids(3, VOCAB, 2, 6)}
    c.forward("cut", x, klass="DistilBertModel", output_attentions=True)
    # As many heads in every layer: a mask of their number fits.
    c.forward("cut_head_mask", dict(x, head_mask=torch.tensor([0.5, 2.0])),
              klass="DistilBertModel")
    c.forward("cut_old_mask", dict(x, head_mask=torch.tensor([0.5, 2.0, 1.0])),
              klass="DistilBertModel", error=True)


def refused(model, klass, heads, inputs):
    """Where the reference trips over its own pruning."""
    def make(c):
        c.save_seeded(model, 4, 1.5)
        c.pruned(heads)
        try:
            c.model(klass)(**inputs)
        except Exception as e:              # noqa: BLE001
            c.write("cut", inputs, None, {"command": "forward", "class": klass, "options": {},
                                          "error": f"{type(e).__name__}: {e}"})
        else:
            raise AssertionError(c.name)
    return make


def bert(**kw):
    return BertConfig(vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=2,
                      num_attention_heads=HEADS, intermediate_size=17,
                      max_position_embeddings=9, **kw)


def gpt2():
    return GPT2Config(vocab_size=VOCAB, n_embd=WIDTH, n_layer=2, n_head=HEADS, n_positions=9)


CASES = {
    "pruned_vit_bert": pair(ViTConfig(**GRID), bert(),
                            {"encoder": {"0": [1, 2]}, "decoder": {"0": [2], "1": [0, 1]}}),
    "pruned_deit_gpt2": pair(DeiTConfig(**GRID), gpt2(),
                             {"encoder": {"1": [0, 2]}, "decoder": {"0": [1], "1": [0, 1]}}),
    "pruned_beit": beit, "pruned_distilbert": distilbert,
    "pruned_beit_biases": refused(BeitModel(BeitConfig(**GRID, use_relative_position_bias=True)),
                                  "BeitModel", {"0": [1]},
                                  {"pixel_values": rand(1, 1, 1, 8, 12)}),
    "pruned_swin": refused(SwinModel(SwinConfig(embed_dim=4, depths=[1], num_heads=[2],
                                                window_size=2, image_size=8, patch_size=2)),
                           "SwinModel", {"0": [1]}, {"pixel_values": rand(1, 1, 3, 8, 8)}),
    "pruned_bart": refused(BartForCausalLM(BartConfig(
        vocab_size=VOCAB, d_model=WIDTH, decoder_layers=1, encoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=9, max_position_embeddings=9,
        encoder_attention_heads=2, encoder_ffn_dim=9)), "BartForCausalLM", {"0": [1]},
        {"input_ids": ids(1, VOCAB, 1, 3)}),
}


if __name__ == "__main__":
    base.run(Case, CASES, "INDEX-pruned.txt")
