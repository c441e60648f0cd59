#!/usr/bin/env python3
"""Make tests/data/models for VisualBERT: every class of 4.37.2 with and without each argument,
what it refuses, its losses and their gradients; and emoji_vqa, questions to the bundled model.

    python make_visual_bert.py [--out tests/data/models] [--only CASE,...] [--scenes FOLDER]

Cases are those of make_models.py in form, their weights seeded (seeded.py); INDEX-visual-bert.txt
lists the calls.  emoji_vqa needs the scenes of the emoji models and models/emoji-match, and is
left as it is without --scenes.
"""
import json
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import (AutoTokenizer, VisualBertConfig, VisualBertForMultipleChoice,
                          VisualBertForPreTraining, VisualBertForQuestionAnswering,
                          VisualBertForRegionToPhraseAlignment, VisualBertForVisualReasoning,
                          VisualBertModel)

import make_models as base
from make_models import ids, rand
from make_pruned import Case

base.CLASSES.update({k.__name__: k for k in (
    VisualBertModel, VisualBertForPreTraining, VisualBertForMultipleChoice,
    VisualBertForQuestionAnswering, VisualBertForVisualReasoning,
    VisualBertForRegionToPhraseAlignment)})
TAPS = dict(output_hidden_states=True, output_attentions=True)
GRAD = dict(gradients=True, keep="^loss|^grad")
POOLED = "^pooler_output"       # which every position reaches: enough of a base call
GAIN, VOCAB, WIDTH, FEATURES, PLACES, TYPES = 1.5, 23, 12, 5, 9, 3
B, T, V = 2, 4, 3


def config(**kw):
    return VisualBertConfig(**dict(dict(
        vocab_size=VOCAB, hidden_size=WIDTH, visual_embedding_dim=FEATURES, num_hidden_layers=2,
        num_attention_heads=3, intermediate_size=14, max_position_embeddings=PLACES,
        type_vocab_size=TYPES), **kw))


def tokens():
    return ids(1, VOCAB, B, T, low=1)           # 1, the padding row, among them


def regions(seed=2, n=V, batch=B):
    return rand(seed, batch, n, FEATURES)


def rows(*texts):
    return torch.tensor([[int(c) for c in text] for text in texts])


def text(**kw):
    return {**{"input_ids": tokens(), "attention_mask": rows("1111", "1110")}, **kw}


def both(**kw):
    return text(**{**{"visual_embeds": regions(),
                      "visual_attention_mask": rows("111", "101")}, **kw})


# ---------------------------------------------------------------- the base model

def vb_base(c):
    c.save_seeded(VisualBertModel(config()), 801, GAIN)
    run = lambda name, inputs, **kw: c.forward(name, inputs, klass="VisualBertModel", **kw)
    run("all", both(token_type_ids=rows("0011", "0120"), visual_token_type_ids=rows("012", "211"),
                    position_ids=rows("0123", "7654"), image_text_alignment=alignment()), **TAPS)
    run("text", {"input_ids": tokens()})
    run("text_and_regions", {"input_ids": tokens(), "visual_embeds": regions()}, keep=POOLED)
    several = {
        "embeds": {"inputs_embeds": rand(3, B, T, WIDTH), "visual_embeds": regions()},
        "ids_int32": {"input_ids": tokens().int()},
        "text_mask_alone": text(visual_embeds=regions()),
        "visual_mask_alone": {"input_ids": tokens(), "visual_embeds": regions(),
                              "visual_attention_mask": rows("100", "011")},
        "nothing_seen": both(attention_mask=rows("0000", "1111"),
                             visual_attention_mask=rows("000", "000")),
        "float_masks": both(attention_mask=torch.tensor([[1, 0.5, 1, 1], [1, 1, 0.25, 0]]),
                            visual_attention_mask=torch.tensor([[1, 0, 1.0], [2, 1, 1]])),
        "bool_masks": both(attention_mask=rows("1101", "1111").bool(),
                           visual_attention_mask=rows("110", "111").bool()),
        "rows_mask": {"input_ids": tokens(), "attention_mask": causal(T)},
        "one_row_mask": {"input_ids": tokens(), "attention_mask": rows("1101", "0111")[:, None]},
        "rows_masks": both(attention_mask=causal(T + V)[:, :, :T],
                           visual_attention_mask=causal(T + V)[:, :, T:]),
        "types_shared": both(token_type_ids=rows("0120"), visual_token_type_ids=rows("201")),
        "positions_shared": both(position_ids=rows("8012")),
        "head_mask": both(head_mask=torch.tensor([1, 0, 0.5])),
        "head_masks": both(head_mask=torch.tensor([[1, 0, 0.5], [0.25, 1, 1]])),
        "alignment_longer": both(image_text_alignment=alignment(V + 2)),
        "alignment_shared": both(image_text_alignment=alignment()[:1]),
        "alignment_empty": both(image_text_alignment=torch.full((B, V, 1), -1)),
        # Without regions nothing of theirs is looked at.
        "no_regions": text(visual_attention_mask=rows("11111"), visual_token_type_ids=rows("9"),
                           image_text_alignment=alignment() + 100),
        "one_region": {"input_ids": tokens()[:1, :1], "visual_embeds": regions(4, 1, 1)},
        "many_regions": {"input_ids": tokens()[:1], "visual_embeds": regions(5, 20, 1)},
    }
    for name, inputs in several.items():
        run(name, inputs, keep=POOLED)
    nan = both()
    nan["visual_embeds"][1, 0, 0] = float("nan")
    run("nan_features", nan, keep=POOLED)
    refused = {
        "neither": {"visual_embeds": regions()},
        "ids_and_embeds": text(inputs_embeds=rand(3, B, T, WIDTH)),
        "embeds_width": {"inputs_embeds": rand(3, B, T, WIDTH + 1)},
        "features_width": both(visual_embeds=rand(3, B, V, FEATURES + 1)),
        "features_batch": both(visual_embeds=regions(2, V, 1)),
        "mask_length": both(attention_mask=rows("111", "111")),
        "visual_mask_length": both(visual_attention_mask=rows("1111", "1111")),
        "mask_batch": both(attention_mask=rows("1111")),
        "one_rows_mask": both(attention_mask=causal(T + V)[:, :, :T]),
        "types_length": both(token_type_ids=rows("000", "111")),
        "visual_types_length": both(visual_token_type_ids=rows("0000", "1111")),
        "visual_type_outside": both(visual_token_type_ids=rows("013", "111")),
        "id_outside": {"input_ids": tokens() + VOCAB},
        "position_outside": both(position_ids=rows("0129")),
        "too_long": {"input_ids": ids(6, VOCAB, 1, PLACES + 1)},
        "alignment_short": both(image_text_alignment=alignment(V - 1)),
        "alignment_outside": both(image_text_alignment=alignment() + PLACES - 2),
        "alignment_below": both(image_text_alignment=alignment() - 1),
        "head_mask_width": both(head_mask=torch.ones(4)),
        "labels": both(labels=tokens()),
    }
    for name, inputs in refused.items():
        run(name, inputs, error=True)


def alignment(n=V):
    """Regions with two words, with one, with none; the next pad in the middle."""
    a = torch.tensor([[[0, 3], [2, -1], [-1, -1], [1, 1], [0, -1]],
                      [[-1, 1], [3, 2], [0, 0], [2, 1], [-1, -1]]])
    return a[:, :n].contiguous()


def causal(n):
    return torch.ones(n, n, dtype=torch.long).tril().repeat(B, 1, 1)


def vb_bypass(c):
    c.save_seeded(VisualBertModel(config(bypass_transformer=True, num_hidden_layers=1,
                                         hidden_act="relu", layer_norm_eps=1e-3)), 802, GAIN)
    c.forward("text", text(), klass="VisualBertModel", keep=POOLED)
    c.forward("regions", both(), klass="VisualBertModel", error=True)


# ---------------------------------------------------------------- heads

def vb_pretraining(c):
    c.save_seeded(VisualBertForPreTraining(config()), 811, GAIN)
    run = lambda name, inputs, **kw: c.forward(name, inputs, klass="VisualBertForPreTraining", **kw)
    labels = ids(7, VOCAB, B, T + V)
    labels[0, 2:5] = labels[1, 6] = base.IGNORED
    pairs = torch.tensor([1, 0])
    run("all", both(labels=labels, sentence_image_labels=pairs), **TAPS)
    run("grad", both(labels=labels, sentence_image_labels=pairs), **GRAD)
    run("words_grad", both(labels=labels, image_text_alignment=alignment(),
                           visual_token_type_ids=rows("012", "211")), **GRAD)
    run("no_labels", {"input_ids": tokens()}, keep="^seq")
    run("pairs_alone", both(sentence_image_labels=pairs[:, None]), keep="^seq|^loss")
    run("all_ignored", both(labels=torch.full((B, T + V), base.IGNORED)), keep="^loss")
    run("pairs_ignored", both(labels=labels, sentence_image_labels=pairs * 0 - 100), keep="^loss")
    c.forward("base", both(), klass="VisualBertModel", keep=POOLED)
    refused = {
        "no_mask": {"input_ids": tokens(), "visual_embeds": regions(), "labels": labels,
                    "visual_attention_mask": rows("111", "111")},
        "no_visual_mask": text(visual_embeds=regions(), labels=labels),
        "no_regions": text(labels=labels[:, :T]),
        "labels_of_text": both(labels=labels[:, :T].contiguous()),
        "labels_batch": both(labels=labels[:1]),
        "label_outside": both(labels=labels + VOCAB),
        "pairs_count": both(labels=labels, sentence_image_labels=torch.tensor([1, 0, 1])),
        "pair_outside": both(labels=labels, sentence_image_labels=pairs + 1),
        "answers": both(labels=rand(1, B, 2)),
    }
    for name, inputs in refused.items():
        run(name, inputs, error=True)


def vb_untied(c):
    c.save_seeded(VisualBertForPreTraining(config(tie_word_embeddings=False, hidden_act="tanh",
                                                  num_hidden_layers=1)), 812, GAIN)
    labels = ids(7, VOCAB, B, T + V)
    c.forward("grad", both(labels=labels), klass="VisualBertForPreTraining", **GRAD)


def vb_choice(c):
    c.save_seeded(VisualBertForMultipleChoice(config(num_hidden_layers=1)), 821, GAIN)
    run = lambda name, inputs, **kw: c.forward(name, inputs, klass="VisualBertForMultipleChoice",
                                               **kw)
    C = 3
    many = {"input_ids": ids(8, VOCAB, B, C, T), "attention_mask": torch.ones(B, C, T).long(),
            "visual_embeds": rand(9, B, C, V, FEATURES),
            "visual_attention_mask": torch.ones(B, C, V).long()}
    many["attention_mask"][0, 1, 3] = many["visual_attention_mask"][1, 2, 0] = 0
    labels = torch.tensor([2, 0])
    everything = dict(many, labels=labels, token_type_ids=ids(10, TYPES, B, C, T, low=0),
                      position_ids=ids(11, PLACES, B, C, T, low=0),
                      visual_token_type_ids=ids(12, TYPES, B, C, V, low=0),
                      image_text_alignment=ids(13, T, B * C, V, 2, low=-1),
                      head_mask=torch.tensor([1, 0.5, 0]))
    run("all", everything, keep="^loss|^logits|^attentions", **TAPS)
    run("grad", everything, **GRAD)
    run("no_labels", many)
    run("text", {"input_ids": many["input_ids"], "labels": labels})
    run("embeds", {"inputs_embeds": rand(14, B, C, T, WIDTH), "labels": labels})
    run("flat_masks", dict(many, attention_mask=many["attention_mask"].view(B * C, T),
                           visual_embeds=many["visual_embeds"].view(B * C, V, FEATURES)))
    run("all_ignored", dict(many, labels=labels * 0 + base.IGNORED))
    refused = {"label_outside": dict(many, labels=labels + 1),
               "labels_shape": dict(many, labels=labels[:, None]),
               "labels_count": dict(many, labels=torch.tensor([1, 0, 1])),
               "alignment_by_choice": dict(many, image_text_alignment=ids(13, T, B, C, V, 2)),
               "neither": {"visual_embeds": many["visual_embeds"]},
               "mask_length": dict(many, attention_mask=many["attention_mask"][..., 1:])}
    for name, inputs in refused.items():
        run(name, inputs, error=True)


def vb_answer(c):
    K = 4
    c.save_seeded(VisualBertForQuestionAnswering(config(num_labels=K)), 831, GAIN)
    run = lambda name, inputs, **kw: c.forward(name, inputs,
                                               klass="VisualBertForQuestionAnswering", **kw)
    labels = torch.tensor([[0.3, 0, 0.9, 0], [0, 1, 0, 0]])
    run("all", both(labels=labels), **TAPS)
    run("grad", both(labels=labels, image_text_alignment=alignment()), **GRAD)
    several = {
        "no_labels": both(), "text": text(),
        "double_labels": both(labels=labels.double()),
        "negative_label": both(labels=labels - 0.5),
        "no_answer": both(labels=labels * 0),
        "left_pads": both(attention_mask=rows("0111", "0011")),
        "bool_mask": both(attention_mask=rows("1111", "1100").bool()),
        "byte_mask": both(attention_mask=rows("1111", "1110").byte()),
        # The sum may lead on into the regions.
        "mask_of_twos": both(attention_mask=rows("2222", "1110")),
        "one_row": dict({k: v[:1] for k, v in both().items()}, labels=labels[None, :1]),
    }
    for name, inputs in several.items():
        run(name, inputs)
    refused = {
        "no_mask": {"input_ids": tokens(), "visual_embeds": regions()},
        "float_mask": both(attention_mask=torch.ones(B, T)),
        "rows_mask": {"input_ids": tokens(), "attention_mask": causal(T)},
        "one_token": both(attention_mask=rows("1111", "1000")),
        "no_token": both(attention_mask=rows("1111", "0000")),
        "beyond": both(attention_mask=rows("1111", "3333")),
        "whole_labels": both(labels=rows("0100", "0020")),
        "labels_width": both(labels=rand(1, B, K + 1)),
        "labels_batch": both(labels=rand(1, B + 1, K)),
    }
    for name, inputs in refused.items():
        run(name, inputs, error=True)


def vb_reasoning(c):
    c.save_seeded(VisualBertForVisualReasoning(config(num_labels=3, num_hidden_layers=1)), 841,
                  GAIN)
    run = lambda name, inputs, **kw: c.forward(name, inputs, klass="VisualBertForVisualReasoning",
                                               **kw)
    labels = torch.tensor([2, 0])
    run("all", both(labels=labels), **TAPS)
    run("grad", both(labels=labels, head_mask=torch.tensor([1, 0, 0.5])), **GRAD)
    run("no_labels", text())
    run("labels_column", both(labels=labels[:, None].int()))
    run("one_ignored", both(labels=torch.tensor([base.IGNORED, 1])))
    run("all_ignored", both(labels=torch.tensor([base.IGNORED] * 2)))
    refused = {"label_outside": both(labels=labels + 1), "label_below": both(labels=labels - 1),
               "labels_count": both(labels=torch.tensor([1, 0, 1])),
               "labels_float": both(labels=labels.float())}
    for name, inputs in refused.items():
        run(name, inputs, error=True)


def vb_phrase(c):
    c.save_seeded(VisualBertForRegionToPhraseAlignment(config(num_hidden_layers=1)), 851, GAIN)
    klass = "VisualBertForRegionToPhraseAlignment"
    run = lambda name, inputs, **kw: c.forward(name, inputs, klass=klass, **kw)
    places = torch.tensor([[1, 3, -1], [2, 6, 0]])
    labels = rand(15, B, 3, V).softmax(-1)
    labels[0, 2] = 0
    some = dict(both(), region_to_phrase_position=places)
    seen = dict(some, visual_attention_mask=rows("111", "111"), labels=labels)
    run("all", seen, **TAPS)
    run("grad", seen, **GRAD)
    run("hidden_grad", dict(some, labels=labels * some["visual_attention_mask"][:, None]), **GRAD)
    run("no_labels", some)
    run("float_mask", dict(some, visual_attention_mask=torch.tensor([[1, 0.5, 1], [1, 1, 1.0]])))
    run("places_int32", dict(some, region_to_phrase_position=places[:, :1].int()))
    c.forward("base", both(), klass="VisualBertModel", keep=POOLED)
    refused = {
        "no_places": both(),
        "no_mask": {k: v for k, v in some.items() if k != "attention_mask"},
        "no_visual_mask": {k: v for k, v in some.items() if k != "visual_attention_mask"},
        "no_regions": text(region_to_phrase_position=places,
                           visual_attention_mask=rows("111", "101")),
        "place_outside": dict(some, region_to_phrase_position=places + 1),
        "place_below": dict(some, region_to_phrase_position=places - 1),
        "places_batch": dict(some, region_to_phrase_position=places.repeat(2, 1)),
        "places_float": dict(some, region_to_phrase_position=places.float()),
        "whole_labels": dict(some, labels=(labels > 0.4).long()),
        "labels_width": dict(some, labels=rand(15, B, 3, V + 1)),
        "labels_places": dict(some, labels=rand(15, B, 4, V)),
    }
    for name, inputs in refused.items():
        run(name, inputs, error=True)


def vb_pruned(c):
    """Two heads of one layer and one of the other are gone; the unused layer keeps all."""
    c.save_seeded(VisualBertForQuestionAnswering(config(bypass_transformer=True)), 861, GAIN)
    c.pruned({"0": [1], "1": [2, 0]})
    klass = "VisualBertForQuestionAnswering"
    labels = torch.tensor([[0.3, 0.5], [0, 1]])
    c.forward("all", text(labels=labels), klass=klass, **TAPS)
    c.forward("grad", text(labels=labels), klass=klass, **GRAD)


def vb_pruned_phrase(c):
    c.save_seeded(VisualBertForRegionToPhraseAlignment(config(num_hidden_layers=1)), 862, GAIN)
    c.pruned({"0": [2]})
    c.forward("all", dict(both(), region_to_phrase_position=torch.tensor([[1], [6]])),
              klass="VisualBertForRegionToPhraseAlignment", **TAPS)


# ---------------------------------------------------------------- the bundled model

QUESTIONS = ["How many objects are there?", "What is in the picture?",
             "What color is the background?", "What is at the top left?"]


def emoji_vqa(out, models, scenes):
    """features.safetensors: regions of two scenes by regions.json, with emoji-match as the
    reference runs it; answers.safetensors: logits for each question to each of them."""
    from PIL import Image
    from transformers import AutoImageProcessor, VisionTextDualEncoderModel
    folder = os.path.join(out, "emoji_vqa")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(models, "emoji-vqa", "regions.json"), encoding="utf-8") as f:
        how = json.load(f)
    tower = os.path.join(models, "emoji-vqa", how["feature_model"])
    match = VisionTextDualEncoderModel.from_pretrained(tower).float().eval()
    process = AutoImageProcessor.from_pretrained(tower)
    model = VisualBertForQuestionAnswering.from_pretrained(
        os.path.join(models, "emoji-vqa")).float().eval()
    tokenizer = AutoTokenizer.from_pretrained(os.path.join(models, "emoji-vqa"))
    features = []
    for name in ("scene-01.png", "scene-04.png"):
        image = Image.open(os.path.join(scenes, name)).convert("RGB")
        w, h = image.size
        crops = [image.crop((round(x0 * w), round(y0 * h), round(x1 * w), round(y1 * h)))
                 for x0, y0, x1, y1 in how["regions"]]
        with torch.no_grad():
            e = match.get_image_features(**process(crops, return_tensors="pt"))
        features.append(torch.cat((e / e.norm(dim=-1, keepdim=True),
                                   torch.tensor(how["regions"]).float()), -1))
    asked = tokenizer(QUESTIONS * 2, padding=True, return_tensors="pt")
    inputs = {"input_ids": asked["input_ids"], "attention_mask": asked["attention_mask"],
              "visual_embeds": torch.stack(features).repeat_interleave(len(QUESTIONS), 0)}
    with torch.no_grad():
        logits = model(**inputs).logits
    inputs["visual_embeds"] = torch.stack(features)
    save_file(inputs, os.path.join(folder, "features.safetensors"))
    save_file({"logits": logits}, os.path.join(folder, "answers.safetensors"))
    print("emoji_vqa:", [model.config.id2label[i] for i in logits.argmax(-1).tolist()])


CASES = {
    "vb_base": vb_base, "vb_bypass": vb_bypass, "vb_pretraining": vb_pretraining,
    "vb_untied": vb_untied, "vb_choice": vb_choice, "vb_answer": vb_answer,
    "vb_reasoning": vb_reasoning, "vb_phrase": vb_phrase, "vb_pruned": vb_pruned,
    "vb_pruned_phrase": vb_pruned_phrase,
}


if __name__ == "__main__":
    parser = base.arguments()
    parser.add_argument("--models", default=os.path.join(os.path.dirname(__file__), "../../models"))
    parser.add_argument("--scenes", help="folder of scene-01.png …")
    args = base.run(Case, CASES, "INDEX-visual-bert.txt", parser)
    if args.scenes:
        emoji_vqa(args.out, args.models, args.scenes)
