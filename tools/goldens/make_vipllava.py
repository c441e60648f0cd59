#!/usr/bin/env python3
"""Make the goldens of ViP-LLaVA and of Llama alone: every combination of arguments, both
paddings, uneven pictures, caches, gradients, generation, and what Transformers 4.37.2 refuses.

    python make_vipllava.py [--out tests/data/models] [--only CASE,...]

Files as make_models.py writes them; the index is INDEX-vipllava.txt. Weights are seeded
(seeded.py) but for vipllava_zeros, whose pad row is zeros.
"""

import torch
from transformers import (CLIPVisionConfig, LlamaConfig, LlamaForCausalLM, LlamaModel,
                          VipLlavaConfig, VipLlavaForConditionalGeneration)

import make_generate
import make_models
from make_models import Case, flatten, rand, smallest_gap

VIP = "VipLlavaForConditionalGeneration"
make_models.CLASSES.update({c.__name__: c for c in (
    LlamaForCausalLM, LlamaModel, VipLlavaForConditionalGeneration)})
VOCAB, IMAGE, PAD, SIDE = 24, 23, 0, 4          # 4 patches
ALL = dict(output_hidden_states=True, output_attentions=True, use_cache=True)


def vision_config(**kw):
    base = dict(hidden_size=12, intermediate_size=14, num_hidden_layers=3,
                num_attention_heads=3, image_size=SIDE, patch_size=2, projection_dim=512)
    base.update(kw)
    return CLIPVisionConfig(**base)


def llama_config(**kw):
    base = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=18, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32)
    base.update(kw)
    return LlamaConfig(**base)


def build(c, seed, gain=0.9, text=None, vision=None, gen=None, **kw):
    base = dict(vision_feature_layers=[-2, 1, -1, 0, 1], image_token_index=IMAGE,
                pad_token_id=PAD)
    base.update(kw)
    torch.manual_seed(seed)
    model = VipLlavaForConditionalGeneration(
        VipLlavaConfig(vision_config(**(vision or {})), llama_config(**(text or {})), **base))
    c.save_seeded(model, seed, gain, gen=gen)


def pictures(n, seed=5):
    return rand(seed, n, 3, SIDE, SIDE)


def t(*rows):
    return torch.tensor(rows)


ONE = t([1, IMAGE, 7, 12, 9, 21], [1, 14, IMAGE, 8, 5, 6])
LEFT = t([PAD, PAD, 1, IMAGE, 9, 21], [1, 14, IMAGE, 8, 5, 6])
RIGHT = t([1, IMAGE, 9, 21, PAD, PAD], [1, 14, IMAGE, 8, 5, 6])
UNEVEN = t([PAD, 1, IMAGE, 9, 21, 4], [1, IMAGE, 14, IMAGE, 5, 6])
UNEVEN_RIGHT = t([1, IMAGE, 9, 21, 4, PAD], [1, IMAGE, 14, IMAGE, 5, 6])
NONE = t([PAD, 1, 3, 9, 21, 4], [1, IMAGE, 14, IMAGE, 5, 6])


def given(ids, images=None, mask=torch.long, **more):
    x = {"input_ids": ids, **more}
    if images is not None:
        x["pixel_values"] = pictures(images)
    if mask is not None:
        x["attention_mask"] = (ids != PAD).to(mask)
    return x


def labels_of(ids):
    y = ids.clone()
    y[y == IMAGE] = -100
    y[0, 3] = -100
    return y


def f(c, call, x, error=False, **options):
    return c.forward(call, x, klass=VIP, error=error, **options)


def texts(c):
    plain = t([3, 1, 7, 12, 9], [2, 14, 8, 5, 6])
    embeds = rand(7, 2, 5, 16)
    f(c, "text", {"input_ids": plain}, **ALL)
    f(c, "text_left", given(t([PAD, PAD, 7, 12, 9], [2, 14, 8, 5, 6])), use_cache=True)
    f(c, "text_left_attentions", given(t([PAD, PAD, 7, 12, 9], [2, 14, 8, 5, 6])),
      keep="logits|attentions.1", output_attentions=True)
    f(c, "text_right", given(t([3, 1, 7, PAD, PAD], [2, 14, 8, 5, 6])))
    f(c, "text_all_masked", given(t([PAD] * 5, [2, 14, 8, 5, 6])))
    f(c, "text_float_mask", {"input_ids": plain, "attention_mask":
                             t([1., 1, .5, 1, 1], [0, 1, 1, 1, 1])})
    f(c, "text_positions", {"input_ids": plain, "position_ids": t([4, 4, 0, 1, 2])})
    f(c, "text_positions_from_end", {"input_ids": plain, "position_ids": t([-1, 0, 1, -5, 3])})
    f(c, "text_positions_beyond", {"input_ids": plain, "position_ids": t([0, 1, 2, 3, 5])},
      error=True)
    f(c, "embeds", {"inputs_embeds": embeds}, output_hidden_states=True)
    f(c, "embeds_pictures", {"inputs_embeds": embeds, "pixel_values": pictures(1),
                             "labels": plain}, gradients=True)
    f(c, "text_labels", {"input_ids": plain, "labels": labels_of(plain)}, gradients=True)
    f(c, "text_labels_left", given(t([PAD, PAD, 7, 12, 9], [2, 14, 8, 5, 6]),
                                   labels=labels_of(plain)), gradients=True)
    f(c, "one_id", given(t([5], [IMAGE]), 1))
    f(c, "neither", {"pixel_values": pictures(1)}, error=True)
    f(c, "both", {"input_ids": plain, "inputs_embeds": embeds})
    f(c, "id_beyond", {"input_ids": t([3, VOCAB])}, error=True)


def merges(c):
    f(c, "image", given(ONE, 2), keep="logits|loss|states.[02]|attentions.1|values.1", **ALL)
    f(c, "left", given(LEFT, 2), keep="logits|loss|values.0", use_cache=True)
    f(c, "left_attentions", given(LEFT, 2, labels=labels_of(LEFT)), keep="^l",
      output_attentions=True)
    f(c, "right", given(RIGHT, 2), keep="logits|hidden_states.1", output_hidden_states=True)
    f(c, "right_attentions", given(RIGHT, 2), keep="^l", output_attentions=True)
    f(c, "uneven", given(UNEVEN, 3))
    f(c, "uneven_right", given(UNEVEN_RIGHT, 3))
    f(c, "no_image_in_a_row", given(NONE, 2))
    f(c, "three", given(t([IMAGE, 3, IMAGE, IMAGE, 5]), 3))
    f(c, "image_last", given(t([1, 3, IMAGE]), 1, labels=t([1, 3, 7])))
    f(c, "labels", given(ONE, 2, labels=labels_of(ONE)), gradients=True)
    f(c, "labels_left", given(LEFT, 2, labels=labels_of(LEFT)), gradients=True)
    f(c, "labels_uneven_right", given(UNEVEN_RIGHT, 3, labels=labels_of(UNEVEN_RIGHT)),
      gradients=True)
    f(c, "bool_mask", given(LEFT, 2, mask=torch.bool))
    f(c, "bool_mask_labels", given(LEFT, 2, mask=torch.bool, labels=labels_of(LEFT)))
    f(c, "int32_mask", given(LEFT, 2, mask=torch.int32))
    f(c, "mask_of_twos", {**given(ONE, 2), "attention_mask": 2 * (ONE == 9).long()})
    f(c, "positions_replaced", given(ONE, 2, position_ids=t([9, 9, 9, 9, 9, 9])))
    f(c, "other_layers", given(ONE, 2, vision_feature_layers=t(0, -4, 3, 2, 2)))
    f(c, "bf16_pictures", {**given(ONE, 2), "pixel_values": pictures(2).bfloat16()})
    for name, x in {
            "float_mask": given(ONE, 2, mask=torch.float32), "no_mask": given(ONE, 2, mask=None),
            "too_many_pictures": given(ONE, 3), "too_few_pictures": given(ONE, 1),
            "no_token": given(t([1, 3, 4]), 1),
            "layers_narrow": given(ONE, 2, vision_feature_layers=t(0, 1)),
            "layers_beyond": given(ONE, 2, vision_feature_layers=t(0, 1, 2, 3, 4)),
            "layers_before": given(ONE, 2, vision_feature_layers=t(0, 1, 2, 3, -5)),
            "wrong_size": {**given(ONE), "pixel_values": rand(1, 2, 3, 4, 6)}}.items():
        f(c, name, x, error=True)


def past_of(c, x, klass=VIP):
    with torch.no_grad():
        past = c.model(klass)(**x, use_cache=True).past_key_values
    return {f"past_key_values.{i}.{j}": past[i][j] for i in range(len(past)) for j in range(2)}


def steps(c):
    for name, ids, n in (("image", ONE, 2), ("left", LEFT, 2), ("right", RIGHT, 2),
                         ("uneven", UNEVEN, 3), ("uneven_right", UNEVEN_RIGHT, 3)):
        x = given(ids, n)
        mask = torch.cat((x["attention_mask"], torch.ones(2, 1, dtype=torch.long)), 1)
        f(c, f"step_{name}", {"input_ids": t([11], [4]), "attention_mask": mask,
                              "pixel_values": pictures(1), **past_of(c, x)},
          keep="logits", use_cache=True)
    left = given(t([PAD, PAD, 7, 12, 9], [2, 14, 8, 5, 6]))
    past = past_of(c, left)
    more = lambda k: torch.cat((left["attention_mask"], torch.ones(2, k, dtype=torch.long)), 1)
    f(c, "step_text", {"input_ids": t([11], [4]), "attention_mask": more(1), **past},
      use_cache=True)
    f(c, "step_text_two", {"input_ids": t([11, 12], [4, 3]), "attention_mask": more(2),
                           "position_ids": t([3, 4], [5, 6]), **past}, keep="logits",
      use_cache=True)
    f(c, "step_text_no_mask", {"input_ids": t([11, 12], [4, 3]), **past}, keep="logits",
      use_cache=True)
    f(c, "step_embeds", {"inputs_embeds": rand(8, 2, 1, 16), **past}, keep="logits",
      use_cache=True)
    f(c, "step_labels", {"input_ids": t([11], [4]), "attention_mask": more(1),
                         "labels": t([1], [2]), **past}, use_cache=True, error=True)
    far = given(t([PAD, PAD, PAD, 12, 9], [2, 14, 8, 5, 6]))
    f(c, "step_text_far", {"input_ids": t([11, 12], [4, 3]), "attention_mask": torch.cat(
        (far["attention_mask"], torch.ones(2, 2, dtype=torch.long)), 1), **past_of(c, far)},
      use_cache=True, error=True)
    f(c, "step_short_mask", {"input_ids": t([11], [4]), **past,
                             "attention_mask": left["attention_mask"]}, use_cache=True,
      error=True)


def base(c):
    build(c, 801)
    texts(c)
    merges(c)
    steps(c)


def other(c):
    """No pad token, biases, tied head, linear rope, another activation, ignore_index."""
    build(c, 802, pad_token_id=None, ignore_index=7, projector_hidden_act="relu",
          projector_layernorm_eps=0.1, vision_feature_layers=[1, -3],
          text=dict(attention_bias=True, tie_word_embeddings=True, hidden_act="gelu",
                    num_key_value_heads=None, rope_theta=500.0, rms_norm_eps=0.05,
                    rope_scaling={"type": "linear", "factor": 2.5}, pad_token_id=3),
          vision=dict(hidden_act="gelu", layer_norm_eps=1e-3))
    f(c, "right", given(RIGHT, 2))
    f(c, "labels", given(LEFT, 2, labels=labels_of(LEFT)), gradients=True)
    f(c, "step", {"input_ids": t([11], [4]), "pixel_values": pictures(1),
                  "attention_mask": torch.ones(2, 7, dtype=torch.long),
                  **past_of(c, given(ONE, 2))}, keep="logits", use_cache=True)


def dynamic(c):
    """Tables that grow beyond max_position_embeddings; one head of keys."""
    build(c, 803, vision_feature_layers=[-1],
          text=dict(max_position_embeddings=6, num_key_value_heads=1,
                    rope_scaling={"type": "dynamic", "factor": 2.0}))
    f(c, "short", {"input_ids": t([3, 1, 7, 12, 9])}, use_cache=True)
    past = past_of(c, {"input_ids": t([3, 1, 7, 12, 9])})
    c.loaded.clear()                    # its tables stay grown, a fresh run's are not
    f(c, "grows", {"input_ids": t([3, 1, 7, 12, 9, 4, 8, 2])})
    c.loaded.clear()
    f(c, "image", given(ONE, 2, labels=labels_of(ONE)), gradients=True)
    c.loaded.clear()
    f(c, "step", {"input_ids": t([11, 4]), **past}, use_cache=True)
    c.loaded.clear()


def zeros(c):
    """The pad's embedding is zeros, as torch makes it: its slots are taken for free ones."""
    torch.manual_seed(804)
    model = VipLlavaForConditionalGeneration(VipLlavaConfig(
        vision_config(hidden_size=4, intermediate_size=4, num_hidden_layers=1,
                      num_attention_heads=1), llama_config(
            hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1), vision_feature_layers=[1], image_token_index=IMAGE,
        pad_token_id=PAD))
    make_models.randomise(model, 804)
    with torch.no_grad():
        model.language_model.model.embed_tokens.weight[PAD] = 0
    c.save(model)
    f(c, "left", given(LEFT, 2), error=True)
    f(c, "uneven", given(UNEVEN, 3), error=True)
    f(c, "middle", given(t([1, PAD, IMAGE, 4]), 1), error=True)
    # Two zeros in the row that has one picture less: they and the filler make up for it.
    f(c, "balanced", given(ONE, 2), use_cache=True)
    f(c, "step", {"input_ids": t([11], [4]), "pixel_values": pictures(1),
                  "attention_mask": torch.ones(2, 7, dtype=torch.long),
                  **past_of(c, given(ONE, 2))}, use_cache=True)


def llama(klass, seed):
    def make(c):
        torch.manual_seed(seed)
        c.save_seeded(make_models.CLASSES[klass](llama_config(attention_bias=True)), seed, 0.9)
        left = given(t([PAD, PAD, 7, 12, 9], [2, 14, 8, 5, 6]))
        run = lambda call, x, **kw: c.forward(call, x, klass=klass, **kw)
        run("all", left, **ALL)
        run("embeds", {"inputs_embeds": rand(7, 2, 5, 16)})
        run("positions", {**left, "position_ids": t([0, 0, 0, 1, 2], [0, 1, 2, 3, 4])})
        if klass == "LlamaForCausalLM":
            run("labels", {**left, "labels": labels_of(left["input_ids"])}, gradients=True)
        past = past_of(c, {"input_ids": t([3, 1, 7, 12, 9])}, klass)
        run("past", {"input_ids": t([3, 9]), **past}, use_cache=True)
    return make


# ---------------------------------------------------------------- generation

def attempt(model, x, options, raw, gaps):
    hook = model.register_forward_hook(lambda m, a, o: raw.append(o.logits[:, -1].clone()))
    torch.manual_seed(3)
    try:
        with gaps, torch.no_grad():
            return model.generate(**x, **make_generate.as_arguments(options), output_scores=True,
                                  return_dict_in_generate=True)
    finally:
        hook.remove()


def answers(x, options, result, raw, beams, keep):
    out = {"sequences": result.sequences.clone()}
    if beams:
        out["sequences_scores"] = result.sequences_scores.clone()
        out["beam_indices"] = result.beam_indices.clone()
    elif "penalty_alpha" not in options:
        chosen = result.sequences[:, x["input_ids"].shape[1]:]
        out["token_logprobs"] = torch.stack([r.log_softmax(-1) for r in raw], 1).gather(
            2, chosen[:, :, None])[:, :, 0]
    for name in keep:
        flatten(name, getattr(result, name), out)
    return out


def g(c, call, x, error=False, keep=(), **options):
    """One generate(). Where a decision is close, other pictures, or words, are taken."""
    model, beams = c.model(VIP), options.get("num_beams", 1) > 1
    if beams or "scores" in keep:
        options["output_scores"] = True
    record = {"command": "generate", "class": VIP, "options": options}
    for shift in range(40):
        given_, raw, gaps = dict(x), [], make_generate.Gaps()
        if shift and "pixel_values" in x:
            given_["pixel_values"] = rand(900 + shift, *x["pixel_values"].shape)
        elif shift:
            given_["input_ids"] = x["input_ids"].clone()
            given_["input_ids"][:, -1] = 3 + shift % 19
        try:
            result = attempt(model, given_, options, raw, gaps)
        except Exception as e:              # noqa: BLE001 - the message is the golden
            if not error:
                raise
            record["error"] = f"{type(e).__name__}: {e}"[:200]
            c.write(call, given_, None, record)
            return
        assert not error, (c.name, call, "was expected to fail")
        least = gaps.least
        if not beams and "penalty_alpha" not in options:
            steps = result.sequences.shape[1] - x["input_ids"].shape[1]
            least = smallest_gap(result.scores, result.sequences[:, -steps:], model, options)
        if least >= (make_generate.MIN_GAP if beams else make_models.MIN_GREEDY_GAP):
            break
    else:
        raise AssertionError((c.name, call, least))
    out = answers(given_, options, result, raw, beams, keep)
    record["smallest_gap"], record["only"] = round(min(least, 1e6), 6), sorted(out)
    c.write(call, given_, out, record)


def generation(c):
    build(c, 807, gain=1.1)
    six = dict(max_new_tokens=6)
    words = t([PAD, PAD, 7, 12, 9], [2, 14, 8, 5, 6])
    g(c, "text", {"input_ids": words}, **six)           # its mask is made of the pads
    g(c, "text_mask", given(words), max_length=12)
    g(c, "text_pad_is_eos", {"input_ids": words}, eos_token_id=PAD, **six)
    g(c, "text_beams", {"input_ids": words}, num_beams=3, num_return_sequences=2, **six)
    g(c, "contrastive", {"input_ids": words}, penalty_alpha=0.6, top_k=3, **six)
    g(c, "contrastive_image", given(ONE, 2), penalty_alpha=0.6, top_k=3, error=True, **six)
    g(c, "one_id", given(t([5], [7]), 1), **six)
    g(c, "long_prompt", given(ONE, 2), max_length=4)
    for name, ids, n in (("image", ONE, 2), ("left", LEFT, 2), ("right", RIGHT, 2),
                         ("uneven", UNEVEN, 3), ("uneven_right", UNEVEN_RIGHT, 3),
                         ("no_image_in_a_row", NONE, 2)):
        g(c, f"greedy_{name}", given(ids, n), **six)
        g(c, f"beams_{name}", given(ids, n), num_beams=2, **six)
    for name, ids, n in (("left", LEFT, 2), ("uneven", UNEVEN, 3)):
        g(c, f"no_cache_{name}", given(ids, n), use_cache=False, eos_token_id=[2, 5, 8, 11, 14],
          **six)
    g(c, "ends", given(LEFT, 2), eos_token_id=[2, 5, 8, 11, 14, 17], keep=("scores",), **six)
    g(c, "beams_no_cache", given(LEFT, 2), use_cache=False, num_beams=2, max_new_tokens=4)
    g(c, "beams_ends", given(LEFT, 2), num_beams=3, num_return_sequences=3, max_new_tokens=5,
      length_penalty=0.5, eos_token_id=[2, 5, 8], keep=("scores",))
    g(c, "groups", given(UNEVEN, 3), num_beams=4, num_beam_groups=2, diversity_penalty=0.7,
      **six)
    g(c, "tell", given(words), max_new_tokens=3, output_attentions=True,
      output_hidden_states=True, keep=("attentions", "hidden_states"))
    g(c, "beams_tell", given(ONE[:1], 1), max_new_tokens=2, num_beams=2,
      output_attentions=True, keep=("attentions",))
    g(c, "processors", given(ONE, 2), max_new_tokens=7, repetition_penalty=1.4, min_length=9,
      no_repeat_ngram_size=2, bad_words_ids=[[4], [7, 8]], forced_eos_token_id=2,
      suppress_tokens=[6], begin_suppress_tokens=[9],
      exponential_decay_length_penalty=[3, 1.2], sequence_bias=[[[3], -2.0]])
    for beams in (1, 2):
        g(c, f"prompt_penalty_{beams}", given(ONE, 2), encoder_repetition_penalty=1.7,
          encoder_no_repeat_ngram_size=2, num_beams=beams, **six)
    for name, x in {"float_mask": given(ONE, 2, mask=torch.float32),
                    "too_many_pictures": given(ONE, 3), "too_few_pictures": given(ONE, 1),
                    "no_token": given(t([1, 3, 4]), 1)}.items():
        g(c, name, x, error=True, **six)


CASES = {"vipllava_generate": generation, "vipllava_base": base, "vipllava_other": other,
         "vipllava_dynamic": dynamic, "vipllava_zeros": zeros,
         "llama_causal": llama("LlamaForCausalLM", 805), "llama_model": llama("LlamaModel", 806)}


if __name__ == "__main__":
    make_models.run(Case, CASES, "INDEX-vipllava.txt")
