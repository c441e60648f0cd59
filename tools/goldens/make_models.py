#!/usr/bin/env python3
"""Make tests/data/models: tiny checkpoints and what Transformers 4.37.2 answers for them.

    python make_models.py [--out tests/data/models] [--only CASE,...]

One folder a case: the checkpoint as save_pretrained writes it, and per call
CALL.in.safetensors, CALL.out.safetensors (names as in the raw commands of the
command line) and CALL.json (command, class, options; "error" where the
reference refuses).  Everything runs in float32 on one CPU thread from fixed
seeds, so a second run writes the same bytes.  See README.md here.
"""
import argparse
import copy
import inspect
import json
import math
import os
import re
import shutil
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (CONFIG_MAPPING, GenerationConfig, TrOCRConfig, TrOCRForCausalLM,
                          ViTConfig, ViTForImageClassification, ViTModel,
                          VisionEncoderDecoderConfig, VisionEncoderDecoderModel)

import seeded

WANTED = "4.37.2"
# Two candidates closer than this could swap under another order of summation;
# a golden sequence resting on such a step would test luck, so the maker refuses it.
MIN_GREEDY_GAP = 1e-3
CLASSES = {"ViTModel": ViTModel, "TrOCRForCausalLM": TrOCRForCausalLM,
           "VisionEncoderDecoderModel": VisionEncoderDecoderModel}
IGNORED = -100
NO_ENCODER = "^(?!encoder_)"    # leaves what every call of a case would repeat


# ---------------------------------------------------------------- weights

def randomise(model, seed, std=0.3):
    """Give every parameter a value that shows: nothing stays at 0 or 1."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            r = torch.randn(p.shape, generator=gen)
            if p.ndim > 1:
                p.copy_(r * (1.0 if "embed" in name and "patch" not in name else std))
            elif "norm" in name.lower() and name.endswith("weight"):
                p.copy_(1 + 0.3 * r)
            else:
                p.copy_(0.2 * r)
        # TrOCR's sinusoidal table registers an uninitialised one-element buffer.
        for _, b in model.named_buffers():
            if b.is_floating_point():
                b.fill_(1.0)


def rand(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ids(seed, vocab, *shape, low=3):
    """Ids that avoid 0, 1 and 2, the special ones of every case here."""
    gen = torch.Generator().manual_seed(seed)
    return torch.randint(low, vocab, shape, generator=gen)


def vit_config(**kw):
    base = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
                intermediate_size=22, image_size=[8, 12], patch_size=4)
    base.update(kw)
    return ViTConfig(**base)


def trocr_config(**kw):
    base = dict(vocab_size=50, d_model=16, decoder_layers=2, decoder_attention_heads=4,
                decoder_ffn_dim=22, max_position_embeddings=24, dropout=0.0)
    base.update(kw)
    return TrOCRConfig(**base)


# ---------------------------------------------------------------- one case

def shorten(path):
    """Leaves out of the parts of a config what their classes have by default."""
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    for part in [v for v in config.values() if isinstance(v, dict) and "model_type" in v]:
        usual = CONFIG_MAPPING[part["model_type"]]().to_dict()
        for key in [k for k, v in part.items() if k != "model_type" and usual.get(k, 0) == v]:
            del part[key]
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f, sort_keys=True, separators=(",", ":"))
        f.write("\n")


class Case:
    def __init__(self, out, name):
        self.name, self.dir, self.calls = name, os.path.join(out, name), []
        self.loaded, self.files = {}, self.dir
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)

    def save_seeded(self, model, seed, gain, gen=None):
        """As save, but with values that weights.json alone tells (seeded.py): the folder gets
        the configs, and the checkpoint that calls are answered from is not kept."""
        seeded.fill(model, seed, gain)
        self.save(model, gen=gen)
        self.temporary = tempfile.TemporaryDirectory()
        self.files = self.temporary.name
        for name in os.listdir(self.dir):
            shutil.copy(os.path.join(self.dir, name), self.files)
            if ".safetensors" in name:
                os.remove(os.path.join(self.dir, name))
        seeded.write_weights(self.dir, seed, gain)
        shorten(os.path.join(self.dir, "config.json"))

    def save(self, model, dtype=None, shard=None, drop=None, gen=None):
        """save_pretrained, then forget the object: calls use what the files hold."""
        if dtype is not None:
            model = model.to(dtype)
        if isinstance(gen, dict):
            model.generation_config = GenerationConfig(**gen)
        state = None
        if drop is not None:
            state = {k: v for k, v in model.state_dict().items() if not re.search(drop, k)}
        model.save_pretrained(self.dir, state_dict=state, max_shard_size=shard or "5GB")
        if gen is False:
            os.remove(os.path.join(self.dir, "generation_config.json"))

    def ved(self, seed, enc=None, dec=None, top=None, std=0.3, **save):
        config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
            vit_config(**(enc or {})), trocr_config(**(dec or {})))
        for key, value in (dict(decoder_start_token_id=2, pad_token_id=1, eos_token_id=2)
                           if top is None else top).items():
            setattr(config, key, value)
        torch.manual_seed(seed)
        model = VisionEncoderDecoderModel(config)
        randomise(model, seed, std)
        self.save(model, **save)

    def vit(self, seed, std=0.3, model_kw=None, **config):
        torch.manual_seed(seed)
        model = ViTModel(vit_config(**config), **(model_kw or {}))
        randomise(model, seed, std)
        self.save(model)

    def model(self, klass, **kw):
        key = (klass, str(kw))
        if key not in self.loaded:
            torch.manual_seed(1)    # whatever a file lacks is drawn at load time
            self.loaded[key] = CLASSES[klass].from_pretrained(self.files, **kw).eval()
        return self.loaded[key]

    def write(self, call, tensors_in, tensors_out, record):
        base = os.path.join(self.dir, call)
        save_file({k: v.contiguous() for k, v in tensors_in.items()}, base + ".in.safetensors")
        if tensors_out is not None:
            save_file(tensors_out, base + ".out.safetensors")
        with open(base + ".json", "w", encoding="utf-8") as f:
            json.dump(record, f, indent=1, sort_keys=True)
            f.write("\n")
        self.calls.append(call)

    def forward(self, call, inputs, klass="VisionEncoderDecoderModel", load=None,
                keep=None, error=False, **options):
        """Run one forward; error=True says that the reference must refuse it."""
        model = self.model(klass, **(load or {}))
        record = {"command": "forward", "class": klass, "options": options}
        try:
            out = run_forward(model, inputs, klass, options)
        except Exception as e:              # noqa: BLE001 - the message is the golden
            if not error:
                raise
            out, record["error"] = None, f"{type(e).__name__}: {e}"
        else:
            assert not error, (self.name, call, "was expected to fail")
        if out is not None:
            out = self.kept(out, keep, record)
        self.write(call, inputs, out, record)
        return out

    @staticmethod
    def kept(out, keep, record):
        """The answers whose names match `keep`. All gradients of a call become sketches; of some
        calls only a few gradients are kept, and those whole."""
        gradients = {k for k in out if k.startswith("grad.")}
        if keep is not None:
            out = {k: v for k, v in out.items() if re.search(keep, k)}
        if gradients and gradients <= set(out):
            out, record["largest_gradient"] = seeded.sketch_gradients(out)
        if keep is not None:
            record["only"] = sorted(out)
        return out

    def generate(self, call, inputs, error=False, tie=False, **options):
        """Run one generate; tie=True where equal scores are meant (first id wins)."""
        model = self.model("VisionEncoderDecoderModel")
        record = {"command": "generate", "class": "VisionEncoderDecoderModel",
                  "options": options}
        try:
            out, gap = run_generate(model, inputs, options)
        except Exception as e:              # noqa: BLE001
            if not error:
                raise
            out, record["error"] = None, f"{type(e).__name__}: {e}"
        else:
            assert not error, (self.name, call, "was expected to fail")
            assert gap >= MIN_GREEDY_GAP or tie, (self.name, call, gap)
            record["smallest_gap"] = round(gap, 6)
        self.write(call, inputs, out, record)
        return out


def to_arguments(inputs):
    """IN names to call arguments: tuples are rebuilt, 0-d flags become bools."""
    args, past = {}, {}
    for name, value in inputs.items():
        if name.startswith("past_key_values."):
            layer, index = name.split(".")[1:]
            past[int(layer), int(index)] = value
        elif name == "encoder_outputs.0":
            args["encoder_outputs"] = (value,)
        elif value.ndim == 0:
            args[name] = bool(value)
        elif value.dtype == torch.int32:
            args[name] = value.long()       # torch's losses want I64; ours takes both
        else:
            args[name] = value
    if past:
        layers = 1 + max(k[0] for k in past)
        width = 1 + max(k[1] for k in past)
        args["past_key_values"] = tuple(tuple(past[i, j] for j in range(width))
                                        for i in range(layers))
    return args


def flatten(prefix, value, out):
    if value is None:
        return
    if isinstance(value, torch.Tensor):
        value = value.detach()
        value = value.float() if value.is_floating_point() else value.long()
        out[prefix] = value.clone().contiguous()
        return
    for i, item in enumerate(value):
        flatten(f"{prefix}.{i}", item, out)


def run_forward(model, inputs, klass, options):
    args = to_arguments(inputs)
    args["output_hidden_states"] = bool(options.get("output_hidden_states"))
    args["output_attentions"] = bool(options.get("output_attentions"))
    args["return_dict"] = True
    if "use_cache" in inspect.signature(model.forward).parameters:
        args["use_cache"] = bool(options.get("use_cache"))
    model.zero_grad(set_to_none=True)
    with torch.set_grad_enabled(bool(options.get("gradients"))):
        result = model(**args)
    out = {}
    for key, value in result.items():
        flatten(key, value, out)
    if options.get("gradients"):
        result.loss.backward()
        for name, p in model.named_parameters():
            if p.grad is not None:
                flatten("grad." + name, p.grad, out)
        model.zero_grad(set_to_none=True)
    return out


def noise_of(model, inputs, klass, options):
    """How far float32 is from float64 in a forward pass: the worst output, of its largest value,
    and the worst gradient, of the call's largest one.  A golden must not rest on luck."""
    short = run_forward(model, inputs, klass, options)
    torch.set_default_dtype(torch.float64)
    try:
        doubled = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
        long = run_forward(copy.deepcopy(model).double(), doubled, klass, options)
    finally:
        torch.set_default_dtype(torch.float32)
    off = {k: float((short[k] - v).abs().max()) for k, v in long.items()
           if v.is_floating_point()}
    size = {k: float(long[k].abs().max()) for k in off}
    largest = max([v for k, v in size.items() if k.startswith("grad.")], default=1)
    return (max(v / (size[k] or 1) for k, v in off.items() if not k.startswith("grad.")),
            max([v / largest for k, v in off.items() if k.startswith("grad.")], default=0))


def run_generate(model, inputs, options):
    """generate() as the command would call it, with the raw logits listened to."""
    kw = dict(options)
    if "sequence_bias" in kw:
        kw["sequence_bias"] = {tuple(k): v for k, v in kw["sequence_bias"]}
    if "exponential_decay_length_penalty" in kw:
        kw["exponential_decay_length_penalty"] = tuple(
            kw["exponential_decay_length_penalty"])
    store_scores = kw.pop("output_scores", False)
    raw = []
    hook = model.register_forward_hook(lambda m, a, o: raw.append(o.logits[:, -1].clone()))
    try:
        with torch.no_grad():
            result = model.generate(**to_arguments(inputs), **kw, output_scores=True,
                                    return_dict_in_generate=True)
    finally:
        hook.remove()
    out = {"sequences": result.sequences.clone()}
    steps = len(raw)
    chosen = result.sequences[:, -steps:]
    logprobs = torch.stack([r.log_softmax(-1) for r in raw], 1)
    out["token_logprobs"] = logprobs.gather(2, chosen[:, :, None])[:, :, 0].contiguous()
    if store_scores:
        for i, s in enumerate(result.scores):
            out[f"scores.{i}"] = s.clone().contiguous()
    return out, smallest_gap(result.scores, chosen, model, kw)


def smallest_gap(scores, chosen, model, options):
    """Least lead of the chosen token, over rows that are still running."""
    eos = options.get("eos_token_id", model.generation_config.eos_token_id)
    eos = [] if eos is None else eos if isinstance(eos, list) else [eos]
    running = torch.ones(chosen.shape[0], dtype=torch.bool)
    gap = math.inf
    for i, s in enumerate(scores):
        best = s.topk(2, dim=-1).values
        lead = (best[:, 0] - best[:, 1])[running]
        if lead.numel():
            gap = min(gap, float(lead.min()))
        running &= ~torch.isin(chosen[:, i], torch.tensor(eos, dtype=torch.long))
    return min(gap, 1e6)


# ---------------------------------------------------------------- ViT cases

VIT_ALL = dict(klass="ViTModel", output_hidden_states=True, output_attentions=True)


def vit_plain(c):
    c.vit(101, hidden_size=24, num_attention_heads=3, num_hidden_layers=3, image_size=16)
    px = rand(1, 2, 3, 16, 16)
    c.forward("plain", {"pixel_values": px[:1]}, klass="ViTModel")
    c.forward("all", {"pixel_values": px}, **VIT_ALL)
    c.forward("head_mask_h", {"pixel_values": px, "head_mask": torch.tensor([1.0, 0.0, 0.5])},
              **VIT_ALL)
    lh = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.25], [1.0, 1.0, 0.0]])
    c.forward("head_mask_lh", {"pixel_values": px, "head_mask": lh}, **VIT_ALL)
    c.forward("bf16_input", {"pixel_values": px.bfloat16()}, klass="ViTModel")
    c.forward("f16_input", {"pixel_values": px.half()}, klass="ViTModel")
    c.forward("wrong_size", {"pixel_values": rand(2, 1, 3, 16, 20)}, klass="ViTModel",
              error=True)
    c.forward("wrong_channels", {"pixel_values": rand(2, 1, 1, 16, 16)}, klass="ViTModel",
              error=True)


def vit_interpolate(c):
    c.vit(102, hidden_size=16, num_attention_heads=2, image_size=16, patch_size=4)
    flag = torch.tensor(1, dtype=torch.uint8)
    sizes = [(16, 16), (8, 8), (4, 4), (12, 20), (24, 8), (32, 48), (4, 40), (48, 4),
             (36, 28), (18, 17)]
    for h, w in sizes:
        c.forward(f"s{h}x{w}", {"pixel_values": rand(h * 100 + w, 1, 3, h, w),
                                "interpolate_pos_encoding": flag}, klass="ViTModel",
                  keep="^last_hidden|^pooler|^hidden_states.0", output_hidden_states=True)
    # 32x8 has as many patches as the table, yet is not square: it is resampled.
    c.forward("s32x8_same_count", {"pixel_values": rand(5, 1, 3, 32, 8),
                                   "interpolate_pos_encoding": flag}, klass="ViTModel")
    c.forward("off", {"pixel_values": rand(6, 1, 3, 16, 16),
                      "interpolate_pos_encoding": flag * 0}, klass="ViTModel")


def vit_rect(c):
    c.vit(103, hidden_size=16, num_attention_heads=4, image_size=[8, 40], patch_size=8)
    c.forward("all", {"pixel_values": rand(1, 2, 3, 8, 40)}, **VIT_ALL)
    c.forward("wrong_way_round", {"pixel_values": rand(1, 1, 3, 40, 8)}, klass="ViTModel",
              error=True)


def vit_ragged(c):
    """A size that the patch does not divide: the convolution drops the rest."""
    c.vit(104, hidden_size=18, num_attention_heads=3, image_size=[14, 19], patch_size=5,
          layer_norm_eps=1e-5)
    c.forward("all", {"pixel_values": rand(1, 1, 3, 14, 19)}, **VIT_ALL)


def vit_patch_list(c):
    """Patches that are not square, given as a list."""
    c.vit(112, num_attention_heads=2, image_size=[12, 24], patch_size=[4, 6])
    c.forward("all", {"pixel_values": rand(1, 2, 3, 12, 24)}, **VIT_ALL)


def vit_channels(c):
    c.vit(105, hidden_size=16, num_attention_heads=2, num_channels=1, image_size=8)
    c.forward("all", {"pixel_values": rand(1, 2, 1, 8, 8)}, **VIT_ALL)


def vit_act(name):
    def make(c):
        c.vit(110, hidden_size=8, num_attention_heads=2, num_hidden_layers=1,
              intermediate_size=30, image_size=8, hidden_act=name)
        c.forward("all", {"pixel_values": rand(1, 1, 3, 8, 8)}, klass="ViTModel",
                  output_hidden_states=True)
    return make


def vit_masked(c):
    c.vit(106, hidden_size=16, num_attention_heads=2, image_size=16,
          model_kw=dict(use_mask_token=True))
    mask = ids(3, 2, 2, 16, low=0)
    px = rand(1, 2, 3, 16, 16)
    load = dict(use_mask_token=True)
    c.forward("bool", {"pixel_values": px, "bool_masked_pos": mask.bool()}, load=load,
              **VIT_ALL)
    c.forward("int", {"pixel_values": px, "bool_masked_pos": mask}, klass="ViTModel",
              load=load)
    c.forward("none", {"pixel_values": px}, klass="ViTModel", load=load)


def vit_noqkvbias(c):
    c.vit(107, hidden_size=16, num_attention_heads=2, image_size=8, qkv_bias=False)
    c.forward("all", {"pixel_values": rand(1, 1, 3, 8, 8)}, **VIT_ALL)


def vit_nopooler(c):
    c.vit(108, hidden_size=16, num_attention_heads=2, image_size=8,
          model_kw=dict(add_pooling_layer=False))
    c.forward("all", {"pixel_values": rand(1, 1, 3, 8, 8)},
              load=dict(add_pooling_layer=False), **VIT_ALL)


# ---------------------------------------------------------------- pair cases

ALL = dict(output_hidden_states=True, output_attentions=True, use_cache=True)


def labels_of(vocab, batch, length, seed=21):
    """Labels with ignored places in the middle and as right padding."""
    lab = ids(seed, vocab, batch, length)
    lab[0, 1] = IGNORED
    lab[-1, length - 2:] = IGNORED
    return lab


def pair_forwards(c, px, enc_width, enc_heads, full=True):
    """The calls every pair answers; `full` adds the argument variants."""
    b, vocab, max_len, layers, heads = px.shape[0], 50, 24, 2, 4
    dec = ids(31, vocab, b, 7)
    c.forward("ids_all", {"pixel_values": px[:2], "decoder_input_ids": dec[:2]}, **ALL)
    c.forward("ids_b1_t1", {"pixel_values": px[:1], "decoder_input_ids": dec[:1, :1]})
    c.forward("labels_grad", {"pixel_values": px, "labels": labels_of(vocab, b, 6)},
              gradients=True)
    if not full:
        return
    c.forward("ids_b3_t2", {"pixel_values": px, "decoder_input_ids": dec[:, :2].int()},
              keep=NO_ENCODER)
    c.forward("ids_max", {"pixel_values": px[:1],
                          "decoder_input_ids": ids(32, vocab, 1, max_len)})
    c.forward("labels", {"pixel_values": px, "labels": labels_of(vocab, b, 5)},
              output_hidden_states=True, keep=NO_ENCODER)
    c.forward("labels_ids", {"pixel_values": px, "decoder_input_ids": dec,
                             "labels": labels_of(vocab, b, 7)}, keep=NO_ENCODER)
    c.forward("labels_nan", {"pixel_values": px[:1],
                             "labels": torch.full((1, 4), IGNORED)})
    mask = torch.ones(b, 7, dtype=torch.long)
    mask[1, 5:] = 0
    mask[2, 3:] = 0
    padded = torch.where(mask.bool(), dec, 1)
    for name, m in (("i64", mask), ("bool", mask.bool()), ("f32", mask.float())):
        c.forward(f"mask_{name}", {"pixel_values": px, "decoder_input_ids": padded,
                                   "decoder_attention_mask": m}, output_attentions=True,
                  keep="^logits|^decoder_attentions.1")
    left = mask.flip(1)
    c.forward("mask_left", {"pixel_values": px, "decoder_input_ids": padded.flip(1),
                            "decoder_attention_mask": left, "labels": dec.flip(1)},
              output_attentions=True, keep="^loss|^logits|^decoder_attentions.0")
    odd = mask.float()
    odd[0, 2], odd[0, 4] = 0.5, 2.0     # whatever is not exactly 1 is masked
    c.forward("mask_odd", {"pixel_values": px, "decoder_input_ids": padded,
                           "decoder_attention_mask": odd}, keep=NO_ENCODER)
    hidden = rand(33, b, 5, enc_width)  # any number of encoder states will do
    c.forward("encoder_outputs", {"encoder_outputs.0": hidden, "decoder_input_ids": dec},
              output_hidden_states=True, output_attentions=True,
              keep="^logits|^encoder|^cross")
    hm = torch.ones(layers, heads)
    hm[0, 1], hm[1, 0], hm[1, heads - 1] = 0.0, 0.0, 0.5
    c.forward("head_masks", {"pixel_values": px[:1], "decoder_input_ids": dec[:1],
                             "head_mask": hm[:, :1].repeat(1, enc_heads),
                             "decoder_head_mask": hm,
                             "decoder_cross_attn_head_mask": hm.flip(1)},
              output_attentions=True)
    cached_steps(c, px, dec)
    c.forward("no_pixels", {"decoder_input_ids": dec}, error=True)
    c.forward("no_ids", {"pixel_values": px}, error=True)


def cached_steps(c, px, dec):
    """Three tokens with a cache, then one more, then two more at once."""
    first = c.forward("past_0", {"pixel_values": px[:2], "decoder_input_ids": dec[:2, :3]},
                      use_cache=True)
    past = {k: v for k, v in first.items() if k.startswith("past")}
    second = c.forward("past_1", {"pixel_values": px[:2],
                                  "decoder_input_ids": dec[:2, 3:4], **past},
                       keep=NO_ENCODER, use_cache=True)
    past = {k: v for k, v in second.items() if k.startswith("past")}
    mask = torch.ones(2, 6, dtype=torch.long)
    mask[1, 0] = 0
    c.forward("past_2", {"pixel_values": px[:2], "decoder_input_ids": dec[:2, 4:6],
                         "decoder_attention_mask": mask, **past}, use_cache=True,
              output_attentions=True, keep="^logits|attentions")


def embeds_calls(c, px, d):
    emb = rand(34, px.shape[0], 4, d)
    c.forward("embeds", {"pixel_values": px, "decoder_inputs_embeds": emb},
              output_hidden_states=True, keep="^logits|^decoder_hidden_states.0")
    lab = ids(35, 50, px.shape[0], 4)
    c.forward("embeds_labels_grad", {"pixel_values": px[:1],
                                     "decoder_inputs_embeds": emb[:1],
                                     "labels": lab[:1]}, gradients=True,
              keep="^loss|^logits|embed|layers.0.fc1|pooler")


def ved_base(c):
    c.ved(201)
    px = rand(1, 3, 3, 8, 12)
    pair_forwards(c, px, 16, 4)
    embeds_calls(c, px, 16)
    c.forward("ids_too_long", {"pixel_values": px[:1],
                               "decoder_input_ids": ids(32, 50, 1, 25)}, error=True)
    c.forward("bad_id", {"pixel_values": px[:1],
                         "decoder_input_ids": torch.tensor([[3, 50]])}, error=True)
    c.generate("default", {"pixel_values": px})
    c.generate("no_cache", {"pixel_values": px}, use_cache=False, max_new_tokens=8)


def ved_sinusoidal(c):
    c.ved(232, dec=dict(use_learned_position_embeddings=False, scale_embedding=True,
                        layernorm_embedding=False, activation_function="relu",
                        tie_word_embeddings=False))
    px = rand(1, 3, 3, 8, 12)
    pair_forwards(c, px, 16, 4)
    # Pads inside take the table's zero row and the count stands still over them.
    dec = ids(36, 50, 2, 8)
    dec[0, 0] = dec[0, 3] = dec[1, 5] = dec[1, 6] = 1
    c.forward("pads_inside_grad", {"pixel_values": px[:2], "decoder_input_ids": dec,
                                   "labels": ids(37, 50, 2, 8)}, gradients=True,
              keep="^loss|^logits|embed|projection|layers.0.fc1")
    # The table grows on demand: more tokens than max_position_embeddings are answered.
    c.forward("ids_beyond_max", {"pixel_values": px[:1],
                                 "decoder_input_ids": ids(38, 50, 1, 31)})
    c.forward("embeds", {"pixel_values": px, "decoder_inputs_embeds": rand(3, 3, 4, 16)},
              error=True)
    c.generate("default", {"pixel_values": px})


def ved_sinusoidal_odd(c):
    """Odd width: the table's last column is zero."""
    c.ved(203, dec=dict(use_learned_position_embeddings=False, d_model=15,
                        decoder_attention_heads=3, pad_token_id=0, scale_embedding=True,
                        cross_attention_hidden_size=16),
          top=dict(decoder_start_token_id=2, pad_token_id=0, eos_token_id=2))
    px = rand(1, 3, 3, 8, 12)
    pair_forwards(c, px, 16, 4, full=False)
    dec = ids(36, 50, 2, 6)
    dec[0, 2] = dec[1, 4] = 0
    c.forward("pads_inside", {"pixel_values": px[:2], "decoder_input_ids": dec})


def ved_cross_width(c):
    """As the published TrOCR files: own key width, no q/k/v bias, no pooler weights."""
    c.ved(204, enc=dict(hidden_size=12, num_attention_heads=2, qkv_bias=False),
          dec=dict(cross_attention_hidden_size=12), drop=r"encoder\.pooler")
    px = rand(1, 3, 3, 8, 12)
    pair_forwards(c, px, 12, 2)
    embeds_calls(c, px, 16)
    c.generate("default", {"pixel_values": px})


def ved_proj(c):
    c.ved(205, enc=dict(hidden_size=12, num_attention_heads=3, image_size=[8, 16]),
          dec=dict(activation_function="gelu_new"))
    px = rand(1, 3, 3, 8, 16)
    pair_forwards(c, px, 12, 3)
    embeds_calls(c, px, 16)
    c.generate("default", {"pixel_values": px})


def ved_untied(c):
    c.ved(206, dec=dict(tie_word_embeddings=False))
    px = rand(1, 3, 3, 8, 12)
    pair_forwards(c, px, 16, 4, full=False)
    c.generate("default", {"pixel_values": px})


def ved_dtype(dtype):
    def make(c):
        c.ved(207, dtype=dtype)
        px = rand(1, 3, 3, 8, 12)
        pair_forwards(c, px, 16, 4, full=False)
        c.generate("default", {"pixel_values": px})
    return make


def ved_sharded(c):
    c.ved(208, shard="20KB")
    assert os.path.exists(os.path.join(c.dir, "model.safetensors.index.json"))
    px = rand(1, 3, 3, 8, 12)
    c.forward("ids_all", {"pixel_values": px[:1], "decoder_input_ids": ids(31, 50, 1, 7)},
              **ALL)
    c.generate("default", {"pixel_values": px})


def rewrite(c, change):
    """Pass the file's tensors through `change`, keeping the metadata."""
    path = os.path.join(c.dir, "model.safetensors")
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def ved_both_tied(c):
    """A file with both names of the tied table, and different values under them."""
    c.ved(209)

    def change(state):
        state["decoder.output_projection.weight"] = rand(91, 50, 16)
        return state
    rewrite(c, change)
    px, dec = rand(1, 2, 3, 8, 12), ids(31, 50, 2, 5)
    c.forward("ids", {"pixel_values": px, "decoder_input_ids": dec},
              output_hidden_states=True, keep="^logits|^decoder_hidden_states.0")
    c.forward("labels_grad", {"pixel_values": px, "labels": dec}, gradients=True,
              keep="^loss|^logits|embed_tokens|projection")


def ved_legacy_names(c):
    """Norm weights under their TensorFlow-time names, beside buffers nobody reads."""
    c.ved(210)

    def change(state):
        out = {}
        for k, v in state.items():
            if "norm" in k:
                k = k.replace(".weight", ".gamma").replace(".bias", ".beta")
            out[k] = v
        out["encoder.embeddings.position_ids"] = torch.arange(7)[None]
        return out
    rewrite(c, change)
    c.forward("ids", {"pixel_values": rand(1, 2, 3, 8, 12),
                      "decoder_input_ids": ids(31, 50, 2, 5)})


def vit_prefixed(c):
    """A classifier's file read as its base model: the "vit." in front is taken off."""
    torch.manual_seed(111)
    model = ViTForImageClassification(vit_config())
    randomise(model, 111)
    c.save(model)
    c.forward("all", {"pixel_values": rand(1, 1, 3, 8, 12)},
              load=dict(add_pooling_layer=False), **VIT_ALL)


def trocr_causal(c):
    """The decoder on its own, with the arguments only its own class takes."""
    torch.manual_seed(212)
    model = TrOCRForCausalLM(trocr_config(cross_attention_hidden_size=12))
    randomise(model, 212)
    c.save(model)
    tr = dict(klass="TrOCRForCausalLM")
    dec, enc = ids(31, 50, 3, 6), rand(51, 3, 5, 12)
    mask = torch.ones(3, 5, dtype=torch.long)
    mask[1, 3:] = 0
    mask[2, 0] = 0
    c.forward("all", {"input_ids": dec, "encoder_hidden_states": enc}, **tr, **ALL)
    c.forward("encoder_mask", {"input_ids": dec, "encoder_hidden_states": enc,
                               "encoder_attention_mask": mask}, output_attentions=True,
              keep="^logits|^cross", **tr)
    c.forward("no_encoder", {"input_ids": dec}, **tr, **ALL)
    c.forward("labels_grad", {"input_ids": dec, "encoder_hidden_states": enc,
                              "labels": labels_of(50, 3, 6)}, gradients=True, **tr)
    c.forward("embeds", {"inputs_embeds": rand(52, 3, 4, 16), "encoder_hidden_states": enc},
              **tr)
    hm = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.5, 1.0, 1.0, 0.0]])
    am = torch.ones(3, 6, dtype=torch.long)
    am[0, 4:] = 0
    c.forward("masks", {"input_ids": dec, "encoder_hidden_states": enc, "head_mask": hm,
                        "cross_attn_head_mask": hm.flip(1), "attention_mask": am}, **tr)
    first = c.forward("past_0", {"input_ids": dec[:, :4], "encoder_hidden_states": enc},
                      use_cache=True, **tr)
    past = {k: v for k, v in first.items() if k.startswith("past")}
    c.forward("past_1", {"input_ids": dec[:, 4:5], "encoder_hidden_states": enc, **past},
              use_cache=True, **tr)
    c.forward("both_inputs", {"input_ids": dec, "inputs_embeds": rand(52, 3, 6, 16)},
              error=True, **tr)


# ---------------------------------------------------------------- generation

# Found by search: row 0 ends at step 4, row 1 at step 8, row 2 never, and no step's
# choice is close.
GREEDY_SEED, EOS = 525, 20
SMALL = dict(enc=dict(image_size=8), dec=dict(tie_word_embeddings=False, vocab_size=40),
             std=0.35)


def greedy_model(c, gen, dec=None, top=None):
    kw = dict(SMALL, dec=dict(SMALL["dec"], **(dec or {})))
    c.ved(GREEDY_SEED, top=top, gen=gen, **kw)
    return {"pixel_values": rand(41, 3, 3, 8, 8)}


GREEDY_GEN = dict(decoder_start_token_id=2, pad_token_id=1, eos_token_id=EOS, max_length=14)


def ved_greedy(c):
    x = greedy_model(c, GREEDY_GEN)
    one = {"pixel_values": x["pixel_values"][2:]}
    c.generate("default", x, output_scores=True)
    c.generate("batch_1", one)
    c.generate("no_cache", x, use_cache=False, output_scores=True)
    c.generate("max_new_tokens", x, max_new_tokens=5)
    c.generate("max_new_tokens_past_table", x, max_new_tokens=23, eos_token_id=39)
    c.generate("max_length", x, max_length=7)
    c.generate("max_both", x, max_length=4, max_new_tokens=6)
    c.generate("max_length_1", x, max_length=1)
    c.generate("eos_list", x, eos_token_id=[EOS, 30], output_scores=True)
    c.generate("eos_all_early", x, eos_token_id=[5, 26, 14])
    c.generate("pad_other", x, pad_token_id=33)
    prompts(c, x)
    c.generate("start_token", x, decoder_start_token_id=7)
    c.generate("bos_unused", x, bos_token_id=9)
    c.generate("no_pixels", {"decoder_input_ids": ids(61, 40, 2, 2)}, error=True)
    c.generate("n_2", x, num_return_sequences=2, error=True)


def prompts(c, x):
    p = torch.tensor([[2, 5, 9], [2, 8, 21], [2, 11, 30]])
    c.generate("prompt_start", dict(x, decoder_input_ids=p))
    c.generate("prompt_bare", dict(x, decoder_input_ids=p[:, 1:]), max_new_tokens=6)
    # One row begins with the start token: nothing is put before any of them.
    mixed = p[:, 1:].clone()
    mixed[1, 0] = 2
    c.generate("prompt_mixed", dict(x, decoder_input_ids=mixed))
    c.generate("prompt_mask", dict(x, decoder_input_ids=p[:, 1:],
                                   decoder_attention_mask=torch.tensor([[1, 1], [0, 1],
                                                                        [1, 1]])))
    c.generate("prompt_no_cache", dict(x, decoder_input_ids=p), use_cache=False)
    c.generate("prompt_long", dict(x, decoder_input_ids=ids(62, 40, 3, 9)), max_length=6)
    c.generate("prompt_pads", dict(x, decoder_input_ids=torch.tensor(
        [[2, 1, 1, 9], [2, 1, 5, 8], [2, 6, 7, 8]])))


def ved_processors(c):
    """Every logits processor alone, and all of them in one call."""
    x = greedy_model(c, GREEDY_GEN)
    s = dict(output_scores=True)
    c.generate("min_length", x, min_length=8, **s)
    c.generate("min_length_list", x, min_length=9, eos_token_id=[EOS, 30])
    c.generate("min_new_tokens", x, min_new_tokens=6)
    c.generate("repetition_up", x, repetition_penalty=1.7, **s)
    c.generate("repetition_down", x, repetition_penalty=0.8)
    for n in (1, 2, 3):
        c.generate(f"ngram_{n}", x, no_repeat_ngram_size=n)
    c.generate("bad_words", x, bad_words_ids=[[5], [26, 26], [14, 25, 7], [EOS]], **s)
    c.generate("bad_words_eos", x, bad_words_ids=[[EOS]])
    c.generate("bad_words_empty", x, bad_words_ids=[], error=True)
    c.generate("bad_words_outside", x, bad_words_ids=[[40]], error=True)
    c.generate("forced_bos", x, forced_bos_token_id=17)
    c.generate("forced_eos", x, forced_eos_token_id=EOS, max_length=9, **s)
    c.generate("forced_eos_list", x, forced_eos_token_id=[EOS, 30], max_length=9,
               tie=True)
    c.generate("suppress", x, suppress_tokens=[5, 26, 30])
    c.generate("begin_suppress", x, begin_suppress_tokens=[5, 26, 14], **s)
    c.generate("begin_suppress_forced", x, begin_suppress_tokens=[5, 26, 14, 35],
               forced_bos_token_id=17)
    p = torch.tensor([[2, 5, 9], [2, 8, 21], [2, 11, 30]])
    c.generate("begin_suppress_prompt", dict(x, decoder_input_ids=p),
               begin_suppress_tokens=[5, 30, 28, 26])
    c.generate("sequence_bias", x, sequence_bias=[[[5], -3.0], [[26, 26], -9.5],
                                                  [[14, 25, 5], -20.0], [[30], 1.5]], **s)
    c.generate("exp_decay", x, exponential_decay_length_penalty=[3, 1.6], **s)
    c.generate("exp_decay_prompt", dict(x, decoder_input_ids=p),
               exponential_decay_length_penalty=[2, 1.4])
    c.generate("renormalize", x, renormalize_logits=True, **s)
    c.generate("remove_invalid", x, remove_invalid_values=True, suppress_tokens=[5], **s)
    c.generate("forced_decoder_ids", x, forced_decoder_ids=[[1, 7], [3, 9]])
    c.generate("min_new_tokens_prompt", dict(x, decoder_input_ids=p), min_new_tokens=7)
    c.generate("everything", x, repetition_penalty=1.3, no_repeat_ngram_size=2,
               bad_words_ids=[[28], [35, 35]], min_length=6, forced_eos_token_id=EOS,
               exponential_decay_length_penalty=[4, 1.2], suppress_tokens=[12],
               begin_suppress_tokens=[26], sequence_bias=[[[30], -1.0]],
               renormalize_logits=True, **s)


def ved_inherit(c):
    """No generation_config.json: values come from the decoder's part of config.json."""
    x = greedy_model(c, False, top={}, dec=dict(
        eos_token_id=EOS, pad_token_id=3, decoder_start_token_id=2, max_length=11,
        min_length=6, no_repeat_ngram_size=3, renormalize_logits=True, use_cache=False))
    c.generate("default", x, output_scores=True)
    c.generate("override", x, max_length=8, no_repeat_ngram_size=0)
    # The shift reads the composite's own ids, which nothing set.
    c.forward("labels", {**x, "labels": ids(21, 40, 3, 4)}, error=True)


def ved_inherit_top(c):
    """Top-level values win over the decoder's; the decoder fills in the rest."""
    x = greedy_model(c, False, top=dict(max_length=9, decoder_start_token_id=7,
                                        pad_token_id=33),
                     dec=dict(eos_token_id=EOS, pad_token_id=3, decoder_start_token_id=2,
                              max_length=13, bad_words_ids=[[35]], min_length=4))
    c.generate("default", x, output_scores=True)
    c.forward("labels", {**x, "labels": labels_of(40, 3, 5)})


def ved_gen_config(c):
    """generation_config.json rules alone, whatever config.json says."""
    x = greedy_model(c, dict(decoder_start_token_id=2, eos_token_id=[EOS, 30],
                             max_new_tokens=9, suppress_tokens=[26],
                             begin_suppress_tokens=[14], repetition_penalty=1.2),
                     dec=dict(max_length=5, min_length=4))
    c.generate("default", x, output_scores=True)    # pad: the first of the eos ids
    c.generate("override", x, suppress_tokens=None, max_new_tokens=12)


def ved_nostart(c):
    x = greedy_model(c, False, top={}, dec=dict(decoder_start_token_id=None,
                                                bos_token_id=None))
    c.generate("default", x, error=True)
    c.generate("given", x, decoder_start_token_id=2)
    c.generate("bos", x, bos_token_id=2)
    c.generate("prompt", dict(x, decoder_input_ids=ids(61, 40, 3, 2)), error=True)


# ---------------------------------------------------------------- training

def train(c, method, lr, steps=20, keep_final=False):
    """Plain steps over three fixed batches in turn: no clipping, no schedule."""
    torch.manual_seed(1)
    model = VisionEncoderDecoderModel.from_pretrained(c.dir).train()
    groups = load_file(os.path.join(c.dir, "train.batches.safetensors"))
    if method == "sgd":
        opt = torch.optim.SGD(model.parameters(), lr=lr)
        hyper = {"lr": lr}
    else:
        opt = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
        hyper = {"lr": lr, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
    losses = []
    for step in range(steps):
        i = step % 3
        opt.zero_grad(set_to_none=True)
        loss = model(pixel_values=groups[f"pixel_values.{i}"],
                     labels=groups[f"labels.{i}"]).loss
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0], (c.name, method, losses)
    record = {"command": "train", "optimizer": method, "hyper": hyper, "steps": steps,
              "batches": "train.batches.safetensors", "losses": losses}
    if keep_final:
        record["final"] = f"train_{method}.final.safetensors"
        final = {n: p.detach().clone() for n, p in sorted(model.named_parameters())}
        save_file(final, os.path.join(c.dir, record["final"]))
    with open(os.path.join(c.dir, f"train_{method}.json"), "w", encoding="utf-8") as f:
        json.dump(record, f, indent=1, sort_keys=True)
        f.write("\n")


def train_case(seed, lr_sgd, lr_adamw, keep_final, enc=None, dec=None):
    def make(c):
        c.ved(seed, std=0.2,
              enc=dict(image_size=8, hidden_dropout_prob=0.0,
                       attention_probs_dropout_prob=0.0, **(enc or {})),
              dec=dict(vocab_size=40, dropout=0.0, attention_dropout=0.0,
                       activation_dropout=0.0, **(dec or {})))
        batches = {}
        for i in range(3):
            batches[f"pixel_values.{i}"] = rand(70 + i, 2, 3, 8, 8)
            batches[f"labels.{i}"] = labels_of(40, 2, 5, seed=80 + i)
        save_file(batches, os.path.join(c.dir, "train.batches.safetensors"))
        train(c, "sgd", lr_sgd, keep_final=keep_final)
        train(c, "adamw", lr_adamw, keep_final=keep_final)
    return make


CASES = {
    "vit_plain": vit_plain, "vit_interpolate": vit_interpolate, "vit_rect": vit_rect,
    "vit_ragged": vit_ragged, "vit_patch_list": vit_patch_list,
    "vit_channels": vit_channels,
    **{f"vit_act_{a}": vit_act(a) for a in
       ("gelu", "relu", "gelu_new", "quick_gelu", "silu", "swish", "tanh", "gelu_fast",
        "gelu_pytorch_tanh", "sigmoid", "relu6", "mish", "linear", "relu2", "gelu_10",
        "leaky_relu", "gelu_python", "gelu_accurate", "laplace", "gelu_python_tanh")
       if a in transformers.activations.ACT2FN},
    "vit_masked": vit_masked, "vit_noqkvbias": vit_noqkvbias, "vit_nopooler": vit_nopooler,
    "ved_base": ved_base, "ved_sinusoidal": ved_sinusoidal,
    "ved_sinusoidal_odd": ved_sinusoidal_odd, "ved_cross_width": ved_cross_width,
    "ved_proj": ved_proj, "ved_untied": ved_untied,
    "ved_bf16": ved_dtype(torch.bfloat16), "ved_f16": ved_dtype(torch.float16),
    "ved_sharded": ved_sharded, "ved_both_tied": ved_both_tied,
    "ved_legacy_names": ved_legacy_names, "vit_prefixed": vit_prefixed,
    "trocr_causal": trocr_causal, "ved_greedy": ved_greedy,
    "ved_processors": ved_processors, "ved_inherit": ved_inherit,
    "ved_inherit_top": ved_inherit_top, "ved_gen_config": ved_gen_config,
    "ved_nostart": ved_nostart,
    "train_learned": train_case(401, 0.02, 0.01, True),
    "train_sinusoidal": train_case(
        402, 0.1, 0.01, False, enc=dict(hidden_size=12), dec=dict(
            use_learned_position_embeddings=False, scale_embedding=True,
            layernorm_embedding=False, activation_function="relu",
            tie_word_embeddings=False, cross_attention_hidden_size=12)),
}


# ---------------------------------------------------------------- every maker's main program

def write_index(out, cases, index, calls=None):
    """One "case call" a line, so that the C tests need not read folders."""
    lines = []
    for name in cases:
        folder = os.path.join(out, name)
        if os.path.isdir(folder):
            names = calls or sorted(f[:-len(".in.safetensors")] for f in os.listdir(folder)
                                    if f.endswith(".in.safetensors"))
            lines += [f"{name} {call}\n" for call in names]
    with open(os.path.join(out, index), "w", encoding="utf-8") as f:
        f.writelines(lines)


def arguments():
    """What every maker of cases understands; some add to it."""
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default=os.path.join(here, "../../tests/data/models"))
    parser.add_argument("--only", help="comma-separated cases")
    return parser


def run(klass, cases, index, parser=None, calls=None):
    """Makes the cases, each by a function of an object of `klass`, and the index of all that are
    there: of their IN files, or of `calls` where some calls have none. Returns the arguments."""
    args = (parser or arguments()).parse_args()
    if transformers.__version__ != WANTED:
        sys.exit(f"transformers {WANTED} is the reference; found {transformers.__version__}")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    os.makedirs(args.out, exist_ok=True)
    for name in args.only.split(",") if args.only else cases:
        case = klass(args.out, name)
        cases[name](case)
        size = sum(os.path.getsize(os.path.join(case.dir, f)) for f in os.listdir(case.dir))
        print(f"{name}: {len(case.calls)} calls, {size / 1024:.1f} KiB", flush=True)
    write_index(args.out, cases, index, calls)
    return args


if __name__ == "__main__":
    run(Case, CASES, "INDEX.txt")
