#!/usr/bin/env python3
"""Make tests/data/generate: what Transformers 4.37.2 does to scores, and to configs.

    python make_processors.py [--out tests/data/generate]

processors.json: calls of the reference's own list of processors on random scores; floats
as the hexadecimal digits of their bits, so that a test can ask for every one of them.
config.json: generation_config.json, config.json and options laid over each other as
from_pretrained and generate() do it, with every value that is not the default then, or the error.
"""
import argparse
import copy
import json
import os
import struct
import warnings

import torch
import transformers
from transformers import AutoConfig, GenerationConfig
from transformers.generation.utils import GenerationMixin
from transformers.utils import logging

WANTED = "4.37.2"
# What describes a config or belongs to modes that need a second model.
SKIPPED = {"transformers_version", "_from_model_config", "_commit_hash", "generation_kwargs",
           "num_assistant_tokens", "num_assistant_tokens_schedule", "low_memory",
           "force_words_ids", "constraints"}


def bits(values):
    return "".join(struct.pack(">f", v).hex() for v in values)


# ---------------------------------------------------------------- processors

def scores_of(kind, seed, rows, vocab):
    g = torch.Generator().manual_seed(seed)
    s = 4 * torch.randn(rows, vocab, generator=g)
    if kind == "negative":
        s = -s.abs() - 0.1
    if kind == "odd":           # what a model should not, but may, answer
        s[:, 1::5] = float("nan")
        s[:, 2::7] = float("inf")
        s[:, 3::6] = -float("inf")
        s[:, 4::9] = -0.0
    return s


def as_reference(options):
    """sequence_bias travels as a list, and is a dict of tuples in 4.37.2."""
    o = dict(options)
    if "sequence_bias" in o:
        o["sequence_bias"] = {tuple(ids): float(b) for ids, b in o["sequence_bias"]}
    for name in ("repetition_penalty",):
        if name in o:
            o[name] = float(o[name])
    return o


def processed(case, scores):
    config = GenerationConfig(**as_reference(case["options"]))
    config.max_length = case["max_length"]
    mixin = GenerationMixin()
    ids = torch.tensor(case["ids"])
    processors = GenerationMixin._get_logits_processor(
        mixin, config, case["prompt"], None, None, [], {"use_cache": True})
    return processors(ids, scores.clone())


OPTIONS = {
    "repetition_up": {"repetition_penalty": 1.7},
    "repetition_down": {"repetition_penalty": 0.3},
    "ngram_1": {"no_repeat_ngram_size": 1},
    "ngram_2": {"no_repeat_ngram_size": 2},
    "ngram_3": {"no_repeat_ngram_size": 3},
    "ngram_9": {"no_repeat_ngram_size": 9},
    "bias": {"sequence_bias": [[[1], 0.3], [[2, 3], -1.7], [[3, 1, 2], 2.9], [[2], 0.1],
                               [[1, 2], 5.5], [[3, 2], 0.7], [[7], -3.25]]},
    "bias_twice": {"sequence_bias": [[[1], 0.3], [[2, 1], 9.0], [[1], -7.7], [[2, 1], 0.9]]},
    "bad_words": {"bad_words_ids": [[1], [4], [2, 3], [1, 2], [3, 1, 2], [1, 2, 3, 1, 2, 3, 1]],
                  "eos_token_id": 4},
    "bad_words_eos": {"bad_words_ids": [[4]], "eos_token_id": [4, 5]},
    "min_length": {"min_length": 6, "eos_token_id": 4},
    "min_length_list": {"min_length": 9, "eos_token_id": [4, 0]},
    "min_new": {"min_new_tokens": 3, "eos_token_id": [4, 5]},
    "forced_bos": {"forced_bos_token_id": 3},
    "forced_eos": {"forced_eos_token_id": 2},
    "forced_eos_list": {"forced_eos_token_id": [2, 5]},
    "remove_invalid": {"remove_invalid_values": True},
    "decay": {"exponential_decay_length_penalty": [2, 1.1], "eos_token_id": [4, 6]},
    "decay_at_once": {"exponential_decay_length_penalty": [0, 0.83], "eos_token_id": 1},
    "suppress": {"suppress_tokens": [0, 5, 6]},
    "begin": {"begin_suppress_tokens": [0, 6]},
    "begin_bos": {"begin_suppress_tokens": [0, 6], "forced_bos_token_id": 3},
    "begin_pairs": {"begin_suppress_tokens": [0, 6], "forced_decoder_ids": [[2, 3], [1, None]]},
    "pairs": {"forced_decoder_ids": [[5, 3], [7, 1], [5, 2], [2, None]]},
    "pairs_null": {"forced_decoder_ids": [[5, 3], [5, None]]},
    "renormalize": {"renormalize_logits": True},
    "all": {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_length": 8,
            "eos_token_id": [4, 2], "bad_words_ids": [[1], [2, 5]], "suppress_tokens": [7],
            "sequence_bias": [[[3], -1.1], [[1, 2], 0.4]], "begin_suppress_tokens": [6],
            "exponential_decay_length_penalty": [1, 1.21], "remove_invalid_values": True,
            "forced_eos_token_id": 4},
}
ROWS = {1: [[3], [1]], 5: [[1, 2, 3, 1, 2], [0, 3, 3, 3, 3]],
        7: [[1, 2, 3, 1, 2, 3, 1], [2, 1, 2, 1, 2, 1, 2]],
        12: [[5, 1, 2, 3, 1, 2, 0, 3, 1, 2, 3, 1], [2] * 12]}


def make_processors():
    cases, seed = [], 0
    for name, options in OPTIONS.items():
        for length, ids in ROWS.items():
            late = {2} if name.startswith(("begin", "decay", "min_new")) and length > 2 else set()
            for prompt in sorted({1, length} | late):
                for kind in ("plain", "negative", "odd"):
                    seed += 1
                    if (kind == "negative" and length != 5) or (kind == "odd" and length != 7):
                        continue
                    vocab = 9 + seed % 5
                    scores = scores_of(kind, seed, len(ids), vocab)
                    case = {"name": f"{name} {kind} L{length} P{prompt}", "options": options,
                            "prompt": prompt, "max_length": 8 if length != 12 else 40,
                            "ids": ids}
                    out = processed(case, scores)
                    case["scores"] = [bits(r) for r in scores.tolist()]
                    case["expected"] = [bits(r) for r in out.tolist()]
                    cases.append(case)
    return cases


# ---------------------------------------------------------------- config

VIT = {"model_type": "vit"}


def ved(decoder, **top):
    return {"model_type": "vision-encoder-decoder", "encoder": VIT, "decoder": decoder, **top}


CONFIGS = [
    # generation_config.json, config.json, options
    (None, None, {}),
    ({"max_length": 66, "eos_token_id": 2, "pad_token_id": 1, "_from_model_config": True},
     ved({"model_type": "trocr"}), {}),
    ({"eos_token_id": [2, 7], "suppress_tokens": [3, 4], "unknown_name": 3, "top_h": None,
      "transformers_version": "5.0.0"}, ved({"model_type": "trocr"}), {"suppress_tokens": None}),
    (None, ved({"model_type": "trocr"}), {}),
    (None, ved({"model_type": "trocr", "use_cache": False, "max_length": 11, "min_length": 6,
                "no_repeat_ngram_size": 3, "renormalize_logits": True}), {}),
    (None, ved({"model_type": "mbart", "forced_eos_token_id": 5}), {}),
    (None, ved({"model_type": "mbart"}, eos_token_id=9, pad_token_id=3), {}),
    (None, ved({"model_type": "bart"}, max_length=20, decoder_start_token_id=7), {}),
    (None, ved({"model_type": "gpt2"}), {}),
    (None, ved({"model_type": "gpt2", "eos_token_id": None}), {"eos_token_id": [4, 5]}),
    (None, ved({"model_type": "bert"}, eos_token_id=102, decoder_start_token_id=101,
               use_cache=True), {}),
    (None, ved({"model_type": "bert", "use_cache": False}, use_cache=True), {}),
    (None, ved({"model_type": "roberta", "num_beams": 4, "early_stopping": True}), {}),
    (None, ved({"model_type": "xlm-roberta", "length_penalty": 2.0}, num_beams=3), {}),
    (None, ved({"model_type": "camembert"}, repetition_penalty=1.25), {}),
    (None, {"model_type": "vipllava", "text_config": {"model_type": "llama"}}, {}),
    (None, {"model_type": "vipllava", "text_config": {"pad_token_id": 0, "max_length": 77}}, {}),
    (None, {"model_type": "vipllava", "text_config": {"model_type": "mistral"}}, {}),
    # A file that says it was derived gives way to a config that sets something.
    ({"max_length": 66, "_from_model_config": True}, ved({"model_type": "trocr"}, max_length=31),
     {}),
    ({"max_length": 66, "_from_model_config": True},
     ved({"model_type": "trocr", "max_length": 31}), {}),
    ({"max_length": 66, "_from_model_config": False},
     ved({"model_type": "trocr"}, max_length=31), {}),
    ({"max_length": 66}, ved({"model_type": "trocr"}, max_length=31), {}),
    ({"max_length": 66, "_from_model_config": True},
     ved({"model_type": "trocr"}, eos_token_id=31, use_cache=False), {}),
    # Options.
    (None, None, {"max_new_tokens": 5, "max_length": 9, "min_new_tokens": 2, "max_time": 1.5}),
    (None, None, {"num_beams": 4, "num_return_sequences": 3, "early_stopping": "never",
                  "length_penalty": -1.5}),
    (None, None, {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.5}),
    (None, None, {"do_sample": True, "temperature": 0.7, "top_k": 5, "top_p": 0.9,
                  "typical_p": 0.8, "epsilon_cutoff": 0.01, "eta_cutoff": 0.02,
                  "num_return_sequences": 3}),
    (None, None, {"penalty_alpha": 0.6, "top_k": 4, "guidance_scale": 1.5}),
    (None, None, {"bad_words_ids": [[5], [6, 7]], "forced_bos_token_id": 3,
                  "forced_eos_token_id": [2, 3], "begin_suppress_tokens": [1],
                  "forced_decoder_ids": [[1, 5], [2, None]],
                  "exponential_decay_length_penalty": [5, 1.1], "remove_invalid_values": True}),
    (None, None, {"output_scores": True, "output_attentions": True, "use_cache": False,
                  "output_hidden_states": True, "return_dict_in_generate": True,
                  "encoder_no_repeat_ngram_size": 2, "encoder_repetition_penalty": 1.5,
                  "prompt_lookup_num_tokens": 3, "renormalize_logits": True}),
    ({"num_beams": 3, "max_new_tokens": 4, "bos_token_id": 5}, None,
     {"num_beams": None, "max_new_tokens": None, "bos_token_id": None}),
    # What is refused.
    (None, None, {"early_stopping": "always"}),
    ({"early_stopping": None}, None, {}),
    (None, None, {"num_return_sequences": 2}),
    ({"num_return_sequences": 2}, None, {"num_beams": 2}),
    (None, None, {"num_beams": 2, "num_return_sequences": 3}),
    (None, None, {"num_beams": 4, "num_beam_groups": 2}),
    (None, None, {"num_beams": 4, "num_beam_groups": 3, "diversity_penalty": 0.5}),
    (None, None, {"num_beams": 4, "diversity_penalty": 0.5, "do_sample": True}),
    (None, None, {"num_beams": 2, "constraints": [1], "do_sample": True}),
    (None, None, {"num_beams": 2, "constraints": [1], "num_beam_groups": 2,
                  "diversity_penalty": 0.5}),
    ({"streamer": None}, None, {}),
    ({"logits_processor": []}, None, {}),
    (None, ved({"model_type": "trocr"}, num_return_sequences=4), {}),
    # Fields that are idle are no fault.
    (None, None, {"num_beam_groups": 2, "diversity_penalty": 0.5}),
    ({"temperature": 0.2, "top_p": 0.5, "early_stopping": True, "length_penalty": 2.0}, None, {}),
]


def combine(generation, config, options):
    """The values that generate() works with (modeling_utils.py, generation/utils.py)."""
    model = None
    if config is not None:
        model = AutoConfig.for_model(**{k: copy.deepcopy(v) for k, v in config.items()})
    if generation is not None:
        g = GenerationConfig.from_dict({**generation, "_commit_hash": None})
        g._original_object_hash = hash(g)
    else:
        g = GenerationConfig.from_model_config(model) if model else GenerationConfig()
        g._original_object_hash = hash(g)
    if (model and g._from_model_config and g._original_object_hash == hash(g)
            and model._has_non_default_generation_parameters()):
        g = GenerationConfig.from_model_config(model)
    g = copy.deepcopy(g)
    unused = g.update(**options)
    assert not unused, unused
    g.validate()
    default = GenerationConfig().to_dict()
    return {k: v for k, v in g.to_dict().items()
            if k in default and k not in SKIPPED and v != default[k]}


def make_configs():
    cases = []
    for generation, config, options in CONFIGS:
        case = {"generation": generation, "config": config, "options": options}
        try:
            case["expected"] = combine(generation, config, options)
        except ValueError as e:
            case["error"] = str(e)[:60]
        cases.append(case)
    return cases


def write(path, cases):
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, sort_keys=True) for c in cases) + "\n]\n")


def main():
    assert transformers.__version__ == WANTED, transformers.__version__
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/data/generate")
    out = parser.parse_args().out
    os.makedirs(out, exist_ok=True)
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    write(os.path.join(out, "processors.json"), make_processors())
    write(os.path.join(out, "config.json"), make_configs())


if __name__ == "__main__":
    main()
