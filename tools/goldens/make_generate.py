#!/usr/bin/env python3
"""Make the goldens of generation: every search and option of Transformers 4.37.2 on tiny
models, and what its warpers and its sampling do to scores.

    python make_generate.py [--out tests/data/models] [--only CASE,...]

Cases as make_models.py writes them, indexed in INDEX-generate.txt; ../generate/warpers.json,
scores before and after as the hexadecimal digits of their bits; ../generate/sampling.json, the
probabilities that sampling draws by.

A golden must not rest on luck: candidates, hypotheses and stopping rules that are decided by
less than MIN_GAP are refused. Ties of -infinity and of beams that have not begun are meant.
"""
import json
import math
import os
import struct

import torch
import transformers
from transformers import GenerationConfig, TrOCRForCausalLM, VisionEncoderDecoderModel
from transformers.generation import beam_search, utils
from transformers.generation.utils import GenerationMixin

import make_decoders
import make_models as base
from make_models import Case, flatten, ids, rand, to_arguments

MIN_GAP = 2e-5          # sums reach 20 or so, and are within 5e-6 of float64 there
EOS = base.EOS
P3 = torch.tensor([[2, 5, 9], [2, 8, 21], [2, 11, 30]])


# ---------------------------------------------------------------- closeness

class Gaps:
    """Listens to every decision of a search and keeps the closest one."""

    def __init__(self):
        self.least, self.tops = math.inf, []
        self.saved = (torch.topk, beam_search.BeamHypotheses.is_done,
                      beam_search.BeamSearchScorer.finalize,
                      beam_search.BeamSearchScorer.process, utils._ranking_fast)

    def note(self, values):
        """values: descending; those far below are beams that have not begun."""
        v = [float(x) for x in values if x > -1e8]
        for a, b in zip(v, v[1:]):
            self.least = min(self.least, a - b)

    def __enter__(self):
        topk, is_done, finalize, process, ranking = self.saved
        gaps = self

        def listening_topk(x, k, dim=-1, **kw):
            gaps.tops = [topk(row, min(k + 1, len(row)))[0]
                         for row in x.reshape(-1, x.shape[-1])]
            return topk(x, k, dim=dim, **kw)

        def listening_process(self, input_ids, *args, **kw):
            g = kw.get("group_index", 0)
            drawn = len(gaps.tops) != len(self._beam_hyps) // self.num_beam_groups
            for i, top in enumerate([] if drawn else gaps.tops):
                if not self._done[i * self.num_beam_groups + g]:
                    gaps.note(top)
            gaps.tops = []
            return process(self, input_ids, *args, **kw)

        def listening_is_done(self, best, length, prompt=0):
            if len(self) == self.num_beams and self.early_stopping is not True:
                n = length - prompt
                if self.early_stopping == "never" and self.length_penalty > 0:
                    n = self.max_length - prompt
                gap = abs(self.worst_score - best / n ** self.length_penalty)
                if gap > 0:     # else both are of the candidate that was just stored
                    gaps.least = min(gaps.least, gap)
            return is_done(self, best, length, prompt)

        def listening_finalize(self, *args, **kw):
            out = finalize(self, *args, **kw)
            for store in self._beam_hyps:
                gaps.note(sorted((h[0] for h in store.beams), reverse=True))
            return out

        def listening_ranking(context, hidden, p, alpha, k):
            c = context / context.norm(dim=2, keepdim=True)
            h = hidden / hidden.norm(dim=2, keepdim=True)
            alike = torch.matmul(c, h.transpose(1, 2)).squeeze(-1).max(-1).values
            score = (1 - alpha) * p.reshape(-1) - alpha * alike
            for top in gaps.tops:       # the order among candidates is none
                gaps.note(top[-2:])
            for row in score.view(-1, k):
                gaps.note(topk(row, min(2, k))[0])
            return ranking(context, hidden, p, alpha, k)

        torch.topk = listening_topk
        beam_search.BeamHypotheses.is_done = listening_is_done
        beam_search.BeamSearchScorer.finalize = listening_finalize
        beam_search.BeamSearchScorer.process = listening_process
        utils._ranking_fast = listening_ranking
        return self

    def __exit__(self, *_):
        (torch.topk, beam_search.BeamHypotheses.is_done,
         beam_search.BeamSearchScorer.finalize, beam_search.BeamSearchScorer.process,
         utils._ranking_fast) = self.saved


# ---------------------------------------------------------------- one call

def as_arguments(options):
    kw = dict(options)
    if "sequence_bias" in kw:
        kw["sequence_bias"] = {tuple(k): v for k, v in kw["sequence_bias"]}
    if "exponential_decay_length_penalty" in kw:
        kw["exponential_decay_length_penalty"] = tuple(kw["exponential_decay_length_penalty"])
    kw.pop("output_scores", None)
    return kw


def outputs(result, options, scores, beams):
    out = {"sequences": result.sequences.clone()}
    if beams and options.get("output_scores"):
        out["sequences_scores"] = result.sequences_scores.clone()
        out["beam_indices"] = result.beam_indices.clone()
    if scores:
        flatten("scores", result.scores, out)
    for name in ("encoder_attentions", "encoder_hidden_states", "decoder_attentions",
                 "decoder_hidden_states", "cross_attentions"):
        flatten(name, getattr(result, name, None), out)
    return out


def logprobs_of(result, raw, prompt):
    """Log softmax of the raw logits at each token of a beam's text, along its trace."""
    rows, width = result.sequences.shape
    out = torch.zeros(rows, width - prompt)
    for r in range(rows):
        trace = [int(i) for i in result.beam_indices[r] if i >= 0]
        for t, row in enumerate(trace):
            token = int(result.sequences[r, prompt + t])
            p = raw[t][row if raw[t].shape[0] > row else -1].log_softmax(-1)
            out[r, t] = p[token]
    return out


def attempt(c, inputs, options, error):
    """Result, raw logits, closest decision; or the error that was expected."""
    model = c.model("VisionEncoderDecoderModel")
    raw, gaps = [], Gaps()
    hook = model.register_forward_hook(lambda m, a, o: raw.append(o.logits[:, -1].clone()))
    try:
        torch.manual_seed(3)
        with gaps, torch.no_grad():
            return model.generate(**to_arguments(inputs), **as_arguments(options),
                                  output_scores=True, return_dict_in_generate=True), raw, gaps
    except Exception as e:              # noqa: BLE001 - the message is the golden
        if not error:
            raise
        return None, f"{type(e).__name__}: {e}"[:300], gaps
    finally:
        hook.remove()


def generate(c, call, inputs, error=False, scores=False, close=False, drop=(), logprobs=False,
             **options):
    """scores: keep scores.N, too. close: the closeness of a decision is meant. drop: outputs
    that ties may change. Where a decision is close by chance, other pictures are taken."""
    beams = options.get("num_beams", 1) > 1
    if beams or scores:
        options["output_scores"] = True
    for shift in range(20):
        given = dict(inputs)
        if shift:
            given["pixel_values"] = rand(900 + shift, *inputs["pixel_values"].shape)
        result, raw, gaps = attempt(c, given, options, error)
        if close or error or gaps.least >= MIN_GAP:
            break
    else:
        raise AssertionError((c.name, call, gaps.least))
    assert (result is None) == error, (c.name, call, raw)
    record = {"command": "generate", "class": "VisionEncoderDecoderModel", "options": options}
    out = None
    if error:
        record["error"] = raw
    else:
        record["smallest_gap"] = round(min(gaps.least, 1e6), 6)
        out = outputs(result, options, scores, beams)
        if logprobs:
            prompt = inputs["decoder_input_ids"].shape[1] if "decoder_input_ids" in inputs else 1
            out["token_logprobs"] = logprobs_of(result, raw, prompt)
        for name in drop:
            del out[name]
        record["only"] = sorted(out)
    c.write(getattr(c, "prefix", "") + call, given, out, record)
    return out


# ---------------------------------------------------------------- beams

GEN = dict(base.GREEDY_GEN)


def beams(c, x):
    for k in (2, 3, 4, 5):
        generate(c, f"{k}", x, num_beams=k, scores=k == 3, logprobs=True)
    generate(c, "all_returns", x, num_beams=4, num_return_sequences=4, logprobs=True)
    generate(c, "two_returns", x, num_beams=3, num_return_sequences=2, length_penalty=2.0)
    one = {"pixel_values": x["pixel_values"][1:2]}
    generate(c, "one_picture", one, num_beams=4, scores=True)
    for early in (True, False, "never"):
        for penalty in (-1.0, 0.0, 0.6, 1.0, 2.0):
            generate(c, f"early_{early}_{penalty}".lower(), x, num_beams=3,
                     early_stopping=early, length_penalty=penalty, max_length=10,
                     num_return_sequences=2)
    generate(c, "eos_list", x, num_beams=3, eos_token_id=[EOS, 30, 7], scores=True,
             num_return_sequences=3)
    generate(c, "no_eos", x, num_beams=3, eos_token_id=39, max_length=9)
    generate(c, "no_cache", x, num_beams=3, use_cache=False, max_length=9, scores=True)
    generate(c, "max_new_tokens", x, num_beams=4, max_new_tokens=3, num_return_sequences=3)
    generate(c, "max_length_2", x, num_beams=2, max_length=2)
    generate(c, "max_length_1", x, num_beams=2, max_length=1, error=True)
    generate(c, "prompt", dict(x, decoder_input_ids=P3), num_beams=3, scores=True)
    generate(c, "prompt_bare", dict(x, decoder_input_ids=P3[:, 1:]), num_beams=4,
             num_return_sequences=2)
    generate(c, "prompt_too_long", dict(x, decoder_input_ids=ids(62, 40, 3, 9)), num_beams=2,
             max_length=6, error=True)
    generate(c, "pad_other", x, num_beams=3, pad_token_id=33, num_return_sequences=3)
    generate(c, "too_many_returns", x, num_beams=2, num_return_sequences=3, error=True)
    generate(c, "25", x, num_beams=25, close=True)
    generate(c, "more_beams_than_words", x, num_beams=41, close=True, max_length=2,
             drop=("beam_indices",))


def beam_processors(c, x):
    s = dict(num_beams=3, num_return_sequences=2)
    generate(c, "min_length", x, min_length=8, **s)
    generate(c, "min_new_tokens", x, min_new_tokens=6, scores=True, **s)
    generate(c, "repetition", x, repetition_penalty=1.7, scores=True, **s)
    generate(c, "ngram", x, no_repeat_ngram_size=2, **s)
    generate(c, "bad_words", x, bad_words_ids=[[5], [26, 26], [14, 25, 7], [EOS]], **s)
    generate(c, "forced_bos", x, forced_bos_token_id=17, drop=("beam_indices",), **s)
    generate(c, "forced_eos", x, forced_eos_token_id=EOS, max_length=9, **s)
    generate(c, "forced_eos_2", x, forced_eos_token_id=EOS, max_length=5, num_beams=2,
             early_stopping=True)
    generate(c, "suppress", x, suppress_tokens=[5, 26, 30], begin_suppress_tokens=[14], **s)
    generate(c, "sequence_bias", x, sequence_bias=[[[5], -3.0], [[26, 26], -9.5], [[30], 1.5]],
             **s)
    generate(c, "exp_decay", x, exponential_decay_length_penalty=[3, 1.6], **s)
    generate(c, "renormalize", x, renormalize_logits=True, repetition_penalty=1.3, scores=True,
             **s)
    generate(c, "remove_invalid", x, remove_invalid_values=True, **s)
    generate(c, "captioning", x, num_beams=4, max_length=12, early_stopping=True,
             no_repeat_ngram_size=3, length_penalty=2.0)
    generate(c, "everything", dict(x, decoder_input_ids=P3), num_beams=4,
             num_return_sequences=3, repetition_penalty=1.3, no_repeat_ngram_size=2,
             bad_words_ids=[[28], [35, 35]], min_length=6, eos_token_id=[EOS, 30],
             exponential_decay_length_penalty=[4, 1.2], suppress_tokens=[12],
             begin_suppress_tokens=[26], early_stopping="never", length_penalty=0.7,
             renormalize_logits=True, scores=True)


def groups(c, x):
    generate(c, "g2", x, num_beams=4, num_beam_groups=2, diversity_penalty=0.5, scores=True)
    generate(c, "g2_returns", x, num_beams=4, num_beam_groups=2, diversity_penalty=1.0,
             num_return_sequences=4)
    generate(c, "g5", x, num_beams=5, num_beam_groups=5, diversity_penalty=1.0,
             num_return_sequences=5)
    generate(c, "g3", x, num_beams=6, num_beam_groups=3, diversity_penalty=0.3,
             early_stopping=True, length_penalty=2.0, num_return_sequences=3, scores=True)
    generate(c, "g2_never", x, num_beams=4, num_beam_groups=2, diversity_penalty=2.0,
             early_stopping="never", eos_token_id=[EOS, 30], num_return_sequences=2)
    one = {"pixel_values": x["pixel_values"][:1]}
    generate(c, "one_picture", one, num_beams=4, num_beam_groups=2, diversity_penalty=0.7,
             num_return_sequences=4)
    generate(c, "prompt", dict(x, decoder_input_ids=P3), num_beams=4, num_beam_groups=2,
             diversity_penalty=0.5, repetition_penalty=1.2, num_return_sequences=2)
    generate(c, "no_cache", x, num_beams=4, num_beam_groups=2, diversity_penalty=0.5,
             use_cache=False, max_length=8)
    generate(c, "negative", x, num_beams=4, num_beam_groups=2, diversity_penalty=-0.5,
             num_return_sequences=4, close=True, drop=("beam_indices",))
    generate(c, "no_diversity", x, num_beams=4, num_beam_groups=2, error=True)
    generate(c, "uneven", x, num_beams=5, num_beam_groups=2, diversity_penalty=0.5, error=True)
    generate(c, "sampling", x, num_beams=4, num_beam_groups=2, diversity_penalty=0.5,
             do_sample=True, error=True)
    generate(c, "no_groups", x, num_beams=4, diversity_penalty=0.5, error=True)
    generate(c, "no_beams", x, diversity_penalty=0.5, error=True)


def beam_sample(c, x):
    """Draws without a choice: each of K beams keeps two tokens, of which 2 K are drawn."""
    s = dict(do_sample=True, top_k=1, close=True, drop=("beam_indices",))
    generate(c, "k2", x, num_beams=2, scores=True, **s)
    generate(c, "k3", x, num_beams=3, num_return_sequences=2, temperature=0.7, **s)
    generate(c, "k2_returns", x, num_beams=2, num_return_sequences=2, length_penalty=2.0,
             early_stopping=True, **s)
    generate(c, "k2_top_p", x, num_beams=2, do_sample=True, top_k=0, top_p=0.0, close=True,
             drop=("beam_indices",))
    generate(c, "k2_prompt", dict(x, decoder_input_ids=P3), num_beams=2, repetition_penalty=1.4,
             renormalize_logits=True, scores=True, **s)
    generate(c, "one_by_one", x, do_sample=True, top_k=1, scores=True)
    generate(c, "one_by_one_returns", x, do_sample=True, top_k=1, num_return_sequences=3,
             scores=True)
    generate(c, "greedy_like", x, do_sample=True, top_k=0, top_p=0.0, temperature=1.5,
             no_repeat_ngram_size=2, num_return_sequences=2)
    generate(c, "no_temperature", x, do_sample=True, temperature=0.0, error=True)
    generate(c, "too_much", x, do_sample=True, typical_p=0.0, error=True)


# ---------------------------------------------------------------- other decoders

PAIR = dict(max_length=13)
WIDTHS = {"bert": dict(hidden_size=18, intermediate_size=22), "gpt2": dict(n_embd=18, n_inner=None),
          "bart": dict(d_model=18, decoder_ffn_dim=22)}


def pair(decoder, seed):
    """Beams on a decoder of its own; contrastive search where the reference runs it."""
    def make(c):
        px = {"pixel_values": make_decoders.build(c, seed, decoder, **WIDTHS[decoder])}
        prompt = torch.tensor([[2, 6, 9], [2, 7, 21], [2, 11, 30]])
        generate(c, "beams", px, num_beams=3, num_return_sequences=2, scores=True, **PAIR)
        generate(c, "early", px, num_beams=2, early_stopping=True, eos_token_id=[3, 12, 20],
                 scores=True, **PAIR)
        generate(c, "groups", px, num_beams=4, num_beam_groups=2, diversity_penalty=0.5, **PAIR)
        generate(c, "prompt", dict(px, decoder_input_ids=prompt), num_beams=4, **PAIR)
        if decoder == "gpt2":
            contrastive_calls(c, px, prompt)
        if decoder == "bert":
            contrastive_bert(c, px, prompt)
    return make


def contrastive_calls(c, x, prompt):
    generate(c, "k4", x, penalty_alpha=0.5, top_k=4, scores=True, **PAIR)
    generate(c, "k2", x, penalty_alpha=0.9, top_k=2, **PAIR)
    generate(c, "k7", x, penalty_alpha=0.3, top_k=7, repetition_penalty=1.2, scores=True,
             **PAIR)
    generate(c, "k4_prompt", dict(x, decoder_input_ids=prompt), penalty_alpha=0.6, top_k=4,
             **PAIR)
    generate(c, "k4_eos", x, penalty_alpha=0.6, top_k=4, eos_token_id=list(range(3, 9)),
             scores=True, **PAIR)
    generate(c, "k4_outputs", {"pixel_values": x["pixel_values"][:2]}, penalty_alpha=0.6,
             top_k=4, max_new_tokens=3, output_attentions=True, output_hidden_states=True)
    generate(c, "k4_no_cache", x, penalty_alpha=0.6, top_k=4, use_cache=False, error=True)
    generate(c, "too_many", x, penalty_alpha=0.6, top_k=41, error=True)


def contrastive_bert(c, x, prompt):
    """And an end that min_length bars with -inf, of which exponential decay makes NaN: for
    torch.argmax the largest, so that texts end just where they must not.  (Beams do the same,
    but torch.topk leaves open in which order.)"""
    generate(c, "k4", x, penalty_alpha=0.5, top_k=4, **PAIR)
    generate(c, "k3_prompt", dict(x, decoder_input_ids=prompt), penalty_alpha=0.7, top_k=3,
             **PAIR)
    generate(c, "barred_end", x, min_length=9, exponential_decay_length_penalty=[2, 1.3],
             **PAIR)


def contrastive_trocr(c, x):
    """The reference hands TrOCR a mask of the new id alone, which its decoder refuses; without
    that mask, which sees everything, it runs."""
    plain = TrOCRForCausalLM.prepare_inputs_for_generation

    def without_mask(self, *args, **kw):
        return {**plain(self, *args, **kw), "attention_mask": None}
    TrOCRForCausalLM.prepare_inputs_for_generation = without_mask
    try:
        contrastive_calls(c, x, P3)
    finally:
        TrOCRForCausalLM.prepare_inputs_for_generation = plain


def outputs_of_steps(c, x):
    two = {"pixel_values": x["pixel_values"][:2]}
    all_outputs = dict(output_attentions=True, output_hidden_states=True)
    generate(c, "greedy", two, max_new_tokens=4, **all_outputs)
    generate(c, "greedy_prompt", dict(two, decoder_input_ids=P3[:2]), max_new_tokens=3,
             output_attentions=True)
    generate(c, "greedy_no_cache", two, max_new_tokens=3, use_cache=False, **all_outputs)
    generate(c, "sample", two, max_new_tokens=2, do_sample=True, top_k=1,
             num_return_sequences=2, **all_outputs)
    generate(c, "beams", two, num_beams=2, max_new_tokens=4, output_attentions=True)
    generate(c, "beams_states", two, num_beams=3, max_new_tokens=3, output_hidden_states=True)
    generate(c, "beams_no_cache", two, num_beams=2, max_new_tokens=3, use_cache=False,
             output_attentions=True)


def trocr(c):
    """All searches on one model."""
    x = base.greedy_model(c, GEN)
    for name, calls in (("beam", beams), ("processors", beam_processors), ("group", groups),
                        ("draw", beam_sample), ("outputs", outputs_of_steps),
                        ("contrastive", contrastive_trocr)):
        c.prefix = name + "_"
        calls(c, x)


# ---------------------------------------------------------------- warpers

def bits(values):
    return "".join(struct.pack(">f", v).hex() for v in values)


WARPERS = {
    "temperature_down": {"temperature": 0.3}, "temperature_up": {"temperature": 1.7},
    "top_k": {"top_k": 3}, "top_k_1": {"top_k": 1}, "top_k_all": {"top_k": 1000},
    "top_p": {"top_p": 0.7}, "top_p_high": {"top_p": 0.97}, "top_p_0": {"top_p": 0.0},
    "typical": {"typical_p": 0.5}, "typical_high": {"typical_p": 0.95},
    "typical_low": {"typical_p": 0.05}, "epsilon": {"epsilon_cutoff": 0.02},
    "eta": {"eta_cutoff": 0.03}, "eta_high": {"eta_cutoff": 0.4},
    "renormalize": {"renormalize_logits": True},
    "usual": {"temperature": 0.8, "top_k": 20, "top_p": 0.9},
    "all": {"temperature": 1.3, "top_k": 12, "top_p": 0.95, "typical_p": 0.9,
            "epsilon_cutoff": 0.01, "eta_cutoff": 0.02, "renormalize_logits": True},
}


def make_warpers():
    cases, seed = [], 0
    for name, options in WARPERS.items():
        for beams_, eos in ((1, 2), (3, 2), (3, [2, 5, 7])):
            for vocab in (7, 45, 300):
                if vocab > 45 and beams_ > 1:
                    continue
                seed += 1
                g = torch.Generator().manual_seed(seed)
                rows = 1 if vocab > 45 else 3
                s = 3 * torch.randn(rows, vocab, generator=g)
                if vocab == 45:
                    s[1, ::3] = -math.inf       # some are out already
                    s[2] = torch.round(s[2])    # and some are equal
                o = dict(options, do_sample=True, num_beams=beams_, eos_token_id=eos)
                o.setdefault("top_k", 0)
                if vocab == 45 and name in ("top_p", "top_p_high", "top_p_0", "typical",
                                            "typical_high", "typical_low", "usual", "all"):
                    s = s[:2]                   # equals in an order that torch leaves open
                config = GenerationConfig(**o)
                warper = GenerationMixin._get_logits_warper(GenerationMixin(), config)
                out = warper(None, s.clone())
                cases.append({"name": f"{name} V{vocab} K{beams_} eos {eos}", "options": o,
                              "scores": [bits(r) for r in s.tolist()],
                              "expected": [bits(r) for r in out.tolist()]})
    return cases


# ---------------------------------------------------------------- sampling

SAMPLING = {
    "plain": {"top_k": 0}, "default": {}, "warm": {"temperature": 1.6, "top_k": 0},
    "usual": {"temperature": 0.8, "top_k": 10, "top_p": 0.9},
    "typical": {"typical_p": 0.7, "top_k": 0}, "eta": {"eta_cutoff": 0.05, "top_k": 0},
    "epsilon": {"epsilon_cutoff": 0.04, "top_k": 0},
    "biased": {"repetition_penalty": 1.5, "suppress_tokens": [5, 26], "top_k": 12},
}


def make_sampling(folder):
    """For each picture and option: what the first id is drawn by, and for the four most
    probable first ids what the second one is."""
    model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    px = rand(41, 3, 3, 8, 8)
    cases = []
    for name, options in SAMPLING.items():
        for b in range(2):
            def probabilities(prompt):
                with torch.no_grad():
                    out = model.generate(pixel_values=px[b:b + 1], do_sample=True,
                                         decoder_input_ids=prompt, max_new_tokens=1,
                                         output_scores=True, return_dict_in_generate=True,
                                         **options)
                return out.scores[0].softmax(-1)[0]
            first = probabilities(torch.tensor([[2]]))
            second = {}
            for token in first.topk(4).indices.tolist():
                p = probabilities(torch.tensor([[2, token]]))
                second[str(token)] = [round(v, 9) for v in p.tolist()]
            cases.append({"name": name, "picture": b, "options": options,
                          "first": [round(v, 9) for v in first.tolist()], "second": second})
    return cases


CASES = {"gen_trocr": trocr, **{f"gen_{d}": pair(d, s) for d, s in
                                (("bert", 601), ("gpt2", 603), ("bart", 604))}}


if __name__ == "__main__":
    args = base.run(Case, CASES, "INDEX-generate.txt")
    for name, made in (("warpers", make_warpers()),
                       ("sampling", make_sampling(os.path.join(args.out, "gen_trocr")))):
        with open(os.path.join(args.out, "../generate", name + ".json"), "w",
                  encoding="utf-8") as f:
            json.dump(made, f, indent=0, separators=(",", ":"))
            f.write("\n")
