#!/usr/bin/env python3
"""Make the goldens of the text models: every decoder under VisionEncoderDecoder over a ViT,
the causal language models by themselves, and the base models as text encoders.

    python make_decoders.py [--out tests/data/models] [--only CASE,...]

Files as make_models.py writes them; the index is INDEX-decoders.txt.
"""
import json
import os
import re

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (BartConfig, BartForCausalLM, BertConfig, BertLMHeadModel, BertModel,
                          CamembertConfig, DistilBertConfig, DistilBertModel, GPT2Config,
                          GPT2LMHeadModel, GPT2Model, MBartConfig, MBartForCausalLM,
                          RobertaConfig, RobertaForCausalLM, RobertaModel,
                          VisionEncoderDecoderConfig, VisionEncoderDecoderModel,
                          XLMRobertaConfig, XLMRobertaForCausalLM, XLMRobertaModel)

import make_models
from make_models import ALL, IGNORED, Case, ids, labels_of, rand, vit_config

make_models.CLASSES.update({c.__name__: c for c in (
    BartForCausalLM, BertLMHeadModel, BertModel, DistilBertModel, GPT2LMHeadModel, GPT2Model,
    MBartForCausalLM, RobertaForCausalLM, RobertaModel, XLMRobertaForCausalLM,
    XLMRobertaModel)})
VOCAB, POSITIONS, LAYERS, HEADS, WIDTH = 40, 16, 2, 3, 15
DECODER = "^(?!encoder_)"


# ---------------------------------------------------------------- configs

def bert_like(klass, **kw):
    base = dict(vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS,
                num_attention_heads=HEADS, intermediate_size=17, type_vocab_size=2,
                max_position_embeddings=POSITIONS, hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0)
    base.update(kw)
    return klass(**base)


def bart_like(klass, **kw):
    base = dict(vocab_size=VOCAB, d_model=WIDTH, decoder_layers=LAYERS, encoder_layers=1,
                decoder_attention_heads=HEADS, decoder_ffn_dim=17, encoder_ffn_dim=8,
                encoder_attention_heads=2, max_position_embeddings=POSITIONS, dropout=0.0)
    base.update(kw)
    return klass(**base)


def gpt2_config(**kw):
    base = dict(vocab_size=VOCAB, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
                n_positions=POSITIONS, n_inner=19, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                bos_token_id=2, eos_token_id=3)
    base.update(kw)
    return GPT2Config(**base)


def distilbert_config(**kw):
    base = dict(vocab_size=VOCAB, dim=WIDTH, n_layers=LAYERS, n_heads=HEADS, hidden_dim=17,
                max_position_embeddings=POSITIONS, dropout=0.0, attention_dropout=0.0)
    base.update(kw)
    return DistilBertConfig(**base)


CONFIGS = {"bert": lambda **kw: bert_like(BertConfig, **kw),
           "roberta": lambda **kw: bert_like(RobertaConfig, **kw),
           "xlm_roberta": lambda **kw: bert_like(XLMRobertaConfig, **kw),
           "camembert": lambda **kw: bert_like(CamembertConfig, **kw),
           "gpt2": gpt2_config,
           "bart": lambda **kw: bart_like(BartConfig, **kw),
           "mbart": lambda **kw: bart_like(MBartConfig, **kw)}
BERTS = ("bert", "roberta", "xlm_roberta", "camembert")


def randomise(model, seed):
    """As make_models does it, for the names of text models: nothing stays at 0 or 1."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            r = torch.randn(p.shape, generator=gen)
            if p.ndim > 1:
                table = re.search(r"embeddings?\.|embed_|wte|wpe|_token$", name)
                p.copy_(r * (0.8 if table and "patch" not in name else 0.3))
            elif re.search(r"norm|ln_", name.lower()) and name.endswith("weight"):
                p.copy_(1 + 0.3 * r)
            else:
                p.copy_(0.2 * r)


def build(c, seed, decoder, enc=None, top=None, dtype=None, **kw):
    """A pair over a ViT of 13 tokens; saved, and read again by every call."""
    encoder = dict(hidden_size=12, num_attention_heads=3, num_hidden_layers=1,
                   intermediate_size=14, image_size=[12, 16], patch_size=4)
    encoder.update(enc or {})
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        vit_config(**encoder), CONFIGS[decoder](**kw))
    for key, value in (dict(decoder_start_token_id=2, pad_token_id=1, eos_token_id=3)
                       if top is None else top).items():
        setattr(config, key, value)
    torch.manual_seed(seed)
    model = VisionEncoderDecoderModel(config)
    randomise(model, seed)
    c.save(model, dtype=dtype)
    return rand(seed, 3, 3, 12, 16)


def alone(c, seed, klass, config, **save):
    torch.manual_seed(seed)
    model = klass(config)
    randomise(model, seed)
    c.save(model, **save)


# ---------------------------------------------------------------- pairs

def masks_of(b, t):
    right, left = torch.ones(b, t, dtype=torch.long), torch.ones(b, t, dtype=torch.long)
    right[1, t - 2:] = 0
    right[2, t - 4:] = 0
    left[1, :2] = 0
    left[2, :4] = 0
    return right, left


def pair(decoder, seed, gradients=None, **kw):
    """Every call that a decoder answers under VisionEncoderDecoder."""
    def make(c):
        px = build(c, seed, decoder, **kw)
        dec = ids(31, VOCAB, 3, 7)
        c.forward("all", {"pixel_values": px[:2], "decoder_input_ids": dec[:2].clone()},
                  keep=None if decoder == "bert" else DECODER, **ALL)
        c.forward("labels_grad", {"pixel_values": px, "labels": labels_of(VOCAB, 3, 6)},
                  keep=gradients, gradients=True)
        # Smaller than pictures, and any number of encoder states will do.
        x = {"encoder_outputs.0": rand(33, 3, 5, 12), "decoder_input_ids": dec}
        padding(c, x)
        c.forward("embeds", {"encoder_outputs.0": rand(33, 2, 5, 12), "decoder_inputs_embeds":
                             rand(34, 2, 4, WIDTH)}, keep=DECODER)
        head_masks(c, x, decoder)
        cached(c, x)
        arguments(c, x, decoder)
        c.forward("too_long", dict(x, decoder_input_ids=ids(32, VOCAB, 3, POSITIONS + 1)),
                  error=True)
        generation(c, px)
    return make


def padding(c, x):
    dec, (right, left) = x["decoder_input_ids"], masks_of(3, 7)
    att = dict(output_attentions=True, keep="^logits|^decoder_attentions.1")
    c.forward("mask_right", dict(x, decoder_attention_mask=right,
                                 decoder_input_ids=torch.where(right.bool(), dec, 1)), **att)
    lefts = dict(x, decoder_attention_mask=left,
                 decoder_input_ids=torch.where(left.bool(), dec, 1))
    c.forward("mask_left", dict(lefts, labels=dec.clone()), keep="^logits|^loss")
    c.forward("mask_left_att", lefts, **att)
    odd = right.float()
    odd[0, 2], odd[0, 4] = 0.5, 0.25
    c.forward("mask_odd", dict(x, decoder_attention_mask=odd), keep="^logits")


def head_masks(c, x, decoder):
    hm = torch.ones(LAYERS, HEADS)
    hm[0, 1], hm[1, 0], hm[1, 2] = 0.0, 0.25, 0.5
    x = dict(x, decoder_head_mask=hm)
    if decoder in ("bart", "mbart"):
        x["decoder_cross_attn_head_mask"] = hm.flip(1)
    c.forward("head_masks", x, output_attentions=True, keep="^logits|tions.1$")
    c.forward("head_mask_1d", dict(x, decoder_head_mask=hm[1].clone()), keep="^logits",
              error=decoder in ("bart", "mbart"))


def cached(c, x):
    """Three tokens with a cache, then one more, then two more at once."""
    dec, states = x["decoder_input_ids"][:2].clone(), x["encoder_outputs.0"][:2].clone()
    step = lambda a, b: {"encoder_outputs.0": states, "decoder_input_ids": dec[:, a:b]}
    take = lambda out: {k: v for k, v in out.items() if k.startswith("past")}
    first = c.forward("past_0", step(0, 3), keep="^logits|^past", use_cache=True)
    second = c.forward("past_1", {**step(3, 4), **take(first)}, keep="^logits|^past",
                       use_cache=True)
    mask = torch.ones(2, 6, dtype=torch.long)
    mask[1, 0] = 0
    c.forward("past_2", {**step(4, 6), **take(second), "decoder_attention_mask": mask},
              use_cache=True, output_attentions=True, keep="^logits|tions.1$")


def arguments(c, x, decoder):
    dec = x["decoder_input_ids"]
    takes = decoder in BERTS or decoder == "gpt2"
    high = 2 if decoder in BERTS else VOCAB
    c.forward("token_types", dict(x, decoder_token_type_ids=ids(41, high, 3, 7, low=0)),
              keep="^logits", error=not takes)
    c.forward("positions", dict(x, decoder_position_ids=ids(42, POSITIONS, 3, 7, low=0)),
              keep="^logits", error=not takes)
    if takes:
        c.forward("cross_head_mask", dict(x, decoder_cross_attn_head_mask=torch.ones(2, 3)),
                  error=True)
    pads = dec.clone()
    pads[0, 0] = pads[0, 3] = pads[1, 5] = pads[2, 6] = 1
    c.forward("pads_grad", dict(x, decoder_input_ids=pads, labels=dec), gradients=True,
              keep="^logits|^loss|embed|wte|wpe")


def generation(c, px):
    x = {"pixel_values": px}
    c.generate("default", x, max_new_tokens=10)
    c.generate("no_cache", x, max_new_tokens=10, use_cache=False)
    c.generate("prompt", dict(x, decoder_input_ids=torch.tensor([[2, 5, 9], [2, 8, 1],
                                                                 [2, 11, 30]])),
               max_new_tokens=6)


def no_start(c):
    """What a BERT decoder has by itself: no start, no bos."""
    px = build(c, 708, "bert", top={}, num_hidden_layers=1)
    c.generate("default", {"pixel_values": px}, error=True)
    c.generate("given", {"pixel_values": px}, decoder_start_token_id=2, max_new_tokens=6)
    c.forward("labels", {"pixel_values": px, "labels": ids(31, VOCAB, 3, 4)}, error=True)


def inherited(c):
    """Start, end and pad come from the decoder's config; mBART forces its last token."""
    px = build(c, 709, "mbart", top={}, decoder_layers=1, decoder_start_token_id=5, max_length=7)
    c.generate("default", {"pixel_values": px})
    c.generate("longer", {"pixel_values": px}, max_length=10)


def few(decoder, seed, **kw):
    """What tells a variant from the decoder it belongs to."""
    def make(c):
        px = build(c, seed, decoder, **kw)
        dec = ids(31, VOCAB, 2, 6)
        dec[0, 2] = 1
        c.forward("all", {"pixel_values": px[:2], "decoder_input_ids": dec},
                  keep="^logits|^decoder|^cross", **ALL)
        c.forward("labels_grad", {"pixel_values": px[:2], "labels": dec.clone()},
                  gradients=True, keep="^loss|decoder.*(emb|wte|attn|fc|lm_head|cls)")
        c.generate("default", {"pixel_values": px}, max_new_tokens=8)
    return make


# ---------------------------------------------------------------- by themselves

def causal(klass, config, seed, **extra):
    """A causal language model of its own, with encoder states and without."""
    def make(c):
        alone(c, seed, klass, config)
        name, tr = klass.__name__, dict(klass=klass.__name__)
        dec, enc = ids(31, VOCAB, 3, 6), rand(51, 3, 5, WIDTH)
        right, left = masks_of(3, 6)
        mask = torch.ones(3, 5, dtype=torch.long)
        mask[1, 3:] = 0
        mask[2, 0] = 0
        crossed = getattr(config, "add_cross_attention", False) or "Bart" in name
        x = {"input_ids": dec}
        # With cross-attention but no states 4.37.2 trips over its own attentions.
        c.forward("plain", x, output_hidden_states=True, use_cache=True,
                  output_attentions="Bart" in name or not crossed, **tr)
        c.forward("labels_grad", dict(x, labels=labels_of(VOCAB, 3, 6)), gradients=True,
                  keep="^loss|^logits|emb|wte|wpe|lm_head|cls", **tr)
        c.forward("labels_cache", dict(x, labels=dec.clone()), use_cache=True, **tr)
        c.forward("labels_one", {"input_ids": dec[:, :1].clone(),
                                 "labels": dec[:, :1].clone()}, **tr)
        c.forward("mask", dict(x, attention_mask=right), **tr)
        c.forward("mask_left", dict(x, attention_mask=left), **tr)
        c.forward("embeds", {"inputs_embeds": rand(52, 2, 4, WIDTH)}, **tr)
        c.forward("both", dict(x, inputs_embeds=rand(52, 3, 6, WIDTH)), error=True, **tr)
        if crossed:
            c.forward("cross", dict(x, encoder_hidden_states=enc,
                                    encoder_attention_mask=mask), **tr, **ALL)
        elif name != "BertLMHeadModel":
            c.forward("cross", dict(x, encoder_hidden_states=enc), error=True, **tr)
    return make


def base(klass, config, seed, types=True, full=True):
    """A base model as a text encoder: padding masks, pooler, every output."""
    def make(c):
        alone(c, seed, klass, config)
        tr = dict(klass=klass.__name__)
        x, (right, left) = ids(31, VOCAB, 3, 13), masks_of(3, 13)
        x[1, 4] = 1
        out = dict(output_hidden_states=True, output_attentions=True)
        c.forward("all", {"input_ids": x}, **tr, **out)
        c.forward("mask", {"input_ids": x, "attention_mask": right}, **tr, **out)
        if not full:
            return
        c.forward("mask_left", {"input_ids": x, "attention_mask": left.bool()}, **tr)
        odd = right.float()
        odd[0, 3] = 0.5
        c.forward("mask_odd", {"input_ids": x, "attention_mask": odd}, **tr)
        blind = right.clone()
        blind[0] = 0
        c.forward("mask_none", {"input_ids": x, "attention_mask": blind}, **tr)
        c.forward("embeds", {"inputs_embeds": rand(52, 2, 4, WIDTH)}, **tr)
        c.forward("heads", {"input_ids": x, "head_mask": torch.tensor([1.0, 0.5, 0.0])}, **tr)
        c.forward("one", {"input_ids": x[:1, :1].int()}, **tr)
        c.forward("too_long", {"input_ids": ids(3, VOCAB, 1, POSITIONS + 1)}, error=True, **tr)
        c.forward("none", {}, error=True, **tr)
        if types:
            c.forward("types", {"input_ids": x, "token_type_ids": ids(4, 2, 3, 13, low=0),
                                "position_ids": ids(5, POSITIONS, 1, 13, low=0)}, **tr)
    return make


def rewrite(c, change):
    path = os.path.join(c.dir, "model.safetensors")
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def gpt2_hub(c):
    """As the hub's GPT-2: no prefix, no head, and buffers that nothing reads."""
    alone(c, 741, GPT2LMHeadModel, gpt2_config())

    def change(state):
        out = {k.replace("transformer.", ""): v for k, v in state.items()}
        for i in range(LAYERS):
            out[f"h.{i}.attn.bias"] = torch.ones(1, 1, POSITIONS, POSITIONS)
            out[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
        return out
    rewrite(c, change)
    x = ids(31, VOCAB, 2, 6)
    c.forward("plain", {"input_ids": x}, klass="GPT2LMHeadModel", **ALL)
    c.forward("base", {"input_ids": x}, klass="GPT2Model", output_hidden_states=True)
    c.forward("labels_grad", {"input_ids": x, "labels": x.clone()}, klass="GPT2LMHeadModel",
              gradients=True, keep="^loss|c_attn|wte|c_fc")


def bert_bias(c):
    """A file with one name, the other, of the head's bias; and BertModel out of it."""
    alone(c, 742, BertLMHeadModel, CONFIGS["bert"](is_decoder=True, num_hidden_layers=1))

    def change(state):
        state["cls.predictions.decoder.bias"] = state.pop("cls.predictions.bias")
        return state
    rewrite(c, change)
    x = ids(31, VOCAB, 2, 6)
    c.forward("plain", {"input_ids": x}, klass="BertLMHeadModel")
    c.forward("labels_grad", {"input_ids": x, "labels": x.clone()}, klass="BertLMHeadModel",
              gradients=True, keep="^loss|^grad.cls|word_emb")
    c.forward("base", {"input_ids": x}, klass="BertModel", load=dict(add_pooling_layer=False))


def bert_bidirectional(c):
    """BertLMHeadModel without is_decoder sees all positions and has no caches."""
    alone(c, 743, BertLMHeadModel, CONFIGS["bert"](num_hidden_layers=1))
    x, (right, _) = ids(31, VOCAB, 3, 6), masks_of(3, 6)
    tr = dict(klass="BertLMHeadModel")
    c.forward("plain", {"input_ids": x}, **tr, **ALL)
    c.forward("mask", {"input_ids": x, "attention_mask": right, "labels": x.clone()}, **tr)


DECODING = dict(is_decoder=True, add_cross_attention=True)
ONE = {"bert": dict(num_hidden_layers=1), "gpt2": dict(n_layer=1),
       "bart": dict(decoder_layers=1)}
SHARED = "^loss|^logits|emb|head|proj[.]|norm"      # whose layers are another decoder's
CASES = {
    "ved_bert": pair("bert", 701), "ved_gpt2": pair("gpt2", 703, n_inner=None),
    "ved_roberta": pair("roberta", 702, gradients=SHARED),
    "ved_bart": pair("bart", 704, gradients=SHARED, scale_embedding=True),
    "ved_mbart": pair("mbart", 705),
    "ved_xlm_roberta": few("xlm_roberta", 706, hidden_act="gelu_new", layer_norm_eps=1e-5,
                           **ONE["bert"]),
    "ved_camembert": few("camembert", 707, tie_word_embeddings=False, **ONE["bert"]),
    "ved_bert_no_start": no_start, "ved_mbart_inherit": inherited,
    "ved_gpt2_scales": few("gpt2", 710, enc=dict(hidden_size=WIDTH), scale_attn_weights=False,
                           scale_attn_by_inverse_layer_idx=True, n_inner=20,
                           tie_word_embeddings=False, activation_function="relu"),
    "ved_gpt2_upcast": few("gpt2", 711, reorder_and_upcast_attn=True,
                           scale_attn_by_inverse_layer_idx=True),
    "ved_gpt2_bf16": few("gpt2", 712, dtype=torch.bfloat16, **ONE["gpt2"]),
    "ved_bert_relu": few("bert", 715, enc=dict(hidden_size=WIDTH), hidden_act="relu",
                         tie_word_embeddings=False, **ONE["bert"]),
    "ved_mbart_untied": few("mbart", 714, tie_word_embeddings=False, scale_embedding=True,
                            activation_function="relu", **ONE["bart"]),
    "bert_lm": causal(BertLMHeadModel, CONFIGS["bert"](**DECODING), 721),
    "roberta_lm": causal(RobertaForCausalLM, CONFIGS["roberta"](**DECODING, **ONE["bert"]),
                         722),
    "gpt2_lm": causal(GPT2LMHeadModel, gpt2_config(add_cross_attention=True), 723),
    "bart_lm": causal(BartForCausalLM, CONFIGS["bart"](), 724),
    "mbart_lm": causal(MBartForCausalLM, CONFIGS["mbart"](**ONE["bart"]), 725),
    "gpt2_plain": causal(GPT2LMHeadModel, gpt2_config(**ONE["gpt2"]), 726),
    "bert_base": base(BertModel, CONFIGS["bert"](), 731),
    "roberta_base": base(RobertaModel, CONFIGS["roberta"](**ONE["bert"]), 732),
    "xlm_roberta_base": base(XLMRobertaModel, CONFIGS["xlm_roberta"](**ONE["bert"]), 733,
                             full=False),
    "distilbert_base": base(DistilBertModel, distilbert_config(), 734, types=False),
    "gpt2_hub": gpt2_hub, "bert_bias": bert_bias, "bert_bidirectional": bert_bidirectional,
}


def parameters(out):
    """num_parameters() of fresh models, and what a pair of pretrained parts draws anew."""
    record = {"configs": {}, "joins": []}
    for name in CASES:
        folder = os.path.join(out, name)
        config = transformers.AutoConfig.from_pretrained(folder)
        klass = getattr(transformers, config.architectures[0])
        record["configs"][name] = klass(config).num_parameters()
    transformers.logging.set_verbosity_error()
    for encoder, decoder, options in (
            ("vit_plain", "bert_base", {"decoder_start_token_id": 2, "pad_token_id": 1}),
            ("vit_nopooler", "gpt2_hub", {}), ("vit_prefixed", "bert_lm", {}),
            ("vit_plain", "roberta_base", {"encoder_hidden_dropout_prob": 0.0,
                                           "decoder_use_cache": False, "max_length": 9}),
            ("vit_plain", "bart_lm", {}), ("vit_plain", "mbart_lm", {})):
        parts = [os.path.join(out, x) for x in (encoder, decoder)]
        kw = {k: v for k, v in options.items() if k != "decoder_start_token_id"}
        torch.manual_seed(1)
        first = VisionEncoderDecoderModel.from_encoder_decoder_pretrained(*parts, **kw)
        torch.manual_seed(2)
        again = VisionEncoderDecoderModel.from_encoder_decoder_pretrained(*parts, **kw)
        names = missing_names(parts, first)
        # What is drawn differs between two draws, unless it starts as a constant.
        drawn = {n for (n, a), (_, b) in zip(first.named_parameters(),
                                             again.named_parameters())
                 if not torch.equal(a, b)}
        assert drawn <= set(names), drawn - set(names)
        record["joins"].append({"encoder": encoder, "decoder": decoder, "options": options,
                                "parameters": first.num_parameters(), "fresh": names,
                                "drawn": sorted(drawn)})
    with open(os.path.join(out, "parameters.json"), "w", encoding="utf-8") as f:
        json.dump(record, f, indent=1, sort_keys=True)
        f.write("\n")


DRAWN = ("ved_bert", "ved_roberta", "ved_gpt2", "ved_bart", "ved_mbart_untied", "ved_deit",
         "ved_beit_positions", "beit_everything", "ved_swin", "ved_donut", "distilbert_base",
         "ved_base", "clip_model", "clip_vision_projection")


def initialisers(out):
    """What Transformers draws for each parameter: a constant, or numbers of some deviation."""
    record = {}
    for name in DRAWN:
        config = transformers.AutoConfig.from_pretrained(os.path.join(out, name))
        for part, std in ((config, 0.04), (getattr(config, "encoder", None), 0.05),
                          (getattr(config, "decoder", None), 0.07)):
            for key in ("initializer_range", "init_std"):
                if part is not None and hasattr(part, key):
                    setattr(part, key, std)
        torch.manual_seed(3)
        model = getattr(transformers, config.architectures[0])(config)
        of = record[name] = {}
        for n, p in model.named_parameters():
            p = p.detach()
            rows = p.reshape(p.shape[0], -1) if p.ndim > 1 else p.reshape(-1, 1)
            zero = [i for i, r in enumerate(rows) if not r.any()] if p.any() else []
            if p.min() == p.max():
                of[n] = {"value": float(p.min())}
            else:
                kept = rows[[i for i in range(len(rows)) if i not in zero]]
                of[n] = {"std": round(float(kept.square().mean().sqrt()), 5),
                         "max": round(float(kept.abs().max()), 5)}
                if zero:
                    of[n]["zero_row"] = zero[0]
    with open(os.path.join(out, "initialisers.json"), "w", encoding="utf-8") as f:
        json.dump(record, f, separators=(",", ":"), sort_keys=True)
        f.write("\n")


def missing_names(parts, model):
    """Parameters of a pair that from_pretrained reports as newly initialised."""
    names = [n for n, _ in model.named_parameters() if n.startswith("enc_to_dec_proj")]
    encoder = transformers.AutoModel.from_pretrained(parts[0], output_loading_info=True)[1]
    config = transformers.AutoConfig.from_pretrained(parts[1], is_decoder=True,
                                                     add_cross_attention=True)
    lm, decoder = transformers.AutoModelForCausalLM.from_pretrained(
        parts[1], config=config, output_loading_info=True)
    names += ["encoder." + n.removeprefix("vit.") for n in encoder["missing_keys"]]
    # Of a base model's file the names come without the base model's prefix.
    for prefix in ("decoder.", f"decoder.{lm.base_model_prefix}."):
        names += [prefix + n for n in decoder["missing_keys"]]
    there = dict(model.named_parameters())
    return sorted(n for n in names if n in there)       # not the second names of tied ones


if __name__ == "__main__":
    args = make_models.run(Case, CASES, "INDEX-decoders.txt")
    parameters(args.out)
    initialisers(args.out)
