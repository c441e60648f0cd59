#!/usr/bin/env python3
"""Make the goldens of all pairs: five vision encoders before seven decoders.

    python make_pairs.py [--out tests/data/models] [--only CASE,...]

Weights are seeded (seeded.py), so a case is its configs, inputs and answers: what a forward pass
with labels and padding gives, all its gradients, greedy search and three beams.  Index:
INDEX-pairs.txt.
"""
import os

import torch
from transformers import (BartConfig, BeitConfig, BertConfig, DeiTConfig, DonutSwinConfig,
                          GPT2Config, MBartConfig, RobertaConfig, SwinConfig, TrOCRConfig,
                          ViTConfig, VisionEncoderDecoderConfig, VisionEncoderDecoderModel,
                          XLMRobertaConfig)

import make_models as base
from make_generate import MIN_GAP, attempt, outputs
from make_models import labels_of, rand

VOCAB, WIDTH, HEADS, TOKENS, BATCH = 19, 12, 3, 13, 3
PAD, START, EOS = 1, 2, 3
GAIN = 1.5      # more makes float32 noisy, less makes all texts one word
# One picture channel and pixels that bfloat16 holds exactly: 35 pairs in 400 KB.
PICTURE = (BATCH, 1, 12, 16)

VIT = dict(hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=HEADS, num_channels=1,
           intermediate_size=18, image_size=[12, 16], patch_size=4)
SWIN = dict(embed_dim=6, depths=[2, 1], num_heads=[1, 3], window_size=2, num_channels=1,
            image_size=[12, 16], patch_size=2)
ENCODERS = {
    "vit": lambda: ViTConfig(**VIT), "deit": lambda: DeiTConfig(**VIT),
    "beit": lambda: BeitConfig(**VIT, use_relative_position_bias=True,
                               use_absolute_position_embeddings=True),
    "swin": lambda: SwinConfig(**SWIN), "donut": lambda: DonutSwinConfig(**SWIN),
}


def bert(klass, width):
    return klass(vocab_size=VOCAB, hidden_size=width, num_hidden_layers=1,
                 num_attention_heads=HEADS, intermediate_size=17, type_vocab_size=2,
                 max_position_embeddings=TOKENS + 3)


def bart(klass, width, **kw):
    return klass(vocab_size=VOCAB, d_model=width, decoder_layers=1, encoder_layers=1,
                 decoder_attention_heads=HEADS, decoder_ffn_dim=17, encoder_ffn_dim=8,
                 encoder_attention_heads=HEADS, max_position_embeddings=TOKENS + 1, **kw)


# Where the width is another than the encoder's, there is an enc_to_dec_proj, but in TrOCR, whose
# cross-attention reads the encoder's width.
DECODERS = {
    "bert": lambda: bert(BertConfig, WIDTH),
    "roberta": lambda: bert(RobertaConfig, 15),
    "xlm_roberta": lambda: bert(XLMRobertaConfig, WIDTH),
    "gpt2": lambda: GPT2Config(vocab_size=VOCAB, n_embd=15, n_layer=1, n_head=HEADS,
                               n_positions=TOKENS + 1, n_inner=19),
    "trocr": lambda: TrOCRConfig(vocab_size=VOCAB, d_model=15, decoder_layers=1,
                                 decoder_attention_heads=HEADS, decoder_ffn_dim=17,
                                 max_position_embeddings=TOKENS + 1,
                                 cross_attention_hidden_size=WIDTH),
    "bart": lambda: bart(BartConfig, WIDTH), "mbart": lambda: bart(MBartConfig, 15,
                                                                   scale_embedding=True),
}


def pictures(seed):
    return rand(seed, *PICTURE).bfloat16().float()


class Case(base.Case):
    def pair(self, encoder, decoder, seed):
        """A pair and pictures whose searches hang on nothing close, and are no monotony."""
        config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
            ENCODERS[encoder](), DECODERS[decoder]())
        config.decoder_start_token_id, config.pad_token_id = START, PAD
        config.eos_token_id = EOS
        self.save_seeded(VisionEncoderDecoderModel(config), seed, GAIN,
                         gen=dict(decoder_start_token_id=START, pad_token_id=PAD,
                                  eos_token_id=EOS, max_length=TOKENS))

    def write(self, call, tensors_in, tensors_out, record):
        """Pictures as bfloat16, and but once: generation takes the forward pass's."""
        tensors_in = {k: v.bfloat16() if k == "pixel_values" else v
                      for k, v in tensors_in.items()}
        super().write(call, tensors_in, tensors_out, record)
        if call != "labels_grad":
            os.remove(os.path.join(self.dir, call + ".in.safetensors"))


def search(c, px, **options):
    """Result of a search and its closest decision; None where that is too close or the texts
    are too dull to prove caches by."""
    result, _, gaps = attempt(c, {"pixel_values": px}, options, False)
    texts = [tuple(t) for t in result.sequences.tolist()]
    varied = len(set(texts)) == BATCH and len({x for t in texts for x in t}) >= 6
    ends = min(t.index(EOS) if EOS in t else TOKENS for t in texts)
    return (result, gaps.least) if gaps.least > MIN_GAP and varied and ends > 3 else None


def inputs_of(px):
    """Labels under padding masks, left and right; what is hidden has no label."""
    labels, mask = labels_of(VOCAB, BATCH, TOKENS), torch.ones(BATCH, TOKENS, dtype=torch.long)
    mask[1, 9:], mask[2, :4] = 0, 0
    return {"pixel_values": px, "decoder_attention_mask": mask,
            "labels": torch.where(mask.bool(), labels, base.IGNORED)}


def steady(c, px):
    """Whether float32 is good for it: six-wide norms may stand on next to nothing."""
    klass = "VisionEncoderDecoderModel"
    outputs_off, gradients_off = base.noise_of(c.model(klass), inputs_of(px), klass,
                                               dict(gradients=True))
    return outputs_off < 1.5e-6 and gradients_off < 3e-6


def case(encoder, decoder):
    def make(c):
        for seed in range(1, 200):
            c.loaded.clear()
            c.pair(encoder, decoder, seed)
            for shift in range(5):
                px = pictures(1000 * seed + shift)
                found = steady(c, px) and [search(c, px), search(c, px, num_beams=3)]
                if found and all(found):
                    return calls(c, px, found[1])
        raise AssertionError(c.name)
    return make


def calls(c, px, beams):
    c.forward("labels_grad", inputs_of(px), gradients=True,
              keep="^loss|^logits|^encoder_last|^grad")
    record = {"command": "generate", "class": "VisionEncoderDecoderModel",
              "pictures_of": "labels_grad"}
    out, gap = base.run_generate(c.model("VisionEncoderDecoderModel"), {"pixel_values": px}, {})
    assert gap > base.MIN_GREEDY_GAP, (c.name, gap)
    c.write("greedy", {"pixel_values": px}, out,
            dict(record, options={}, smallest_gap=round(gap, 6)))
    options, (result, gap) = dict(num_beams=3, output_scores=True), beams
    out = outputs(result, options, False, True)
    c.write("beams", {"pixel_values": px}, out,
            dict(record, options=options, only=sorted(out), smallest_gap=round(gap, 6)))


CASES = {f"pair_{e}_{d}": case(e, d) for e in ENCODERS for d in DECODERS}


if __name__ == "__main__":
    base.run(Case, CASES, "INDEX-pairs.txt", calls=("labels_grad", "greedy", "beams"))
