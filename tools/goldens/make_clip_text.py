#!/usr/bin/env python3
"""Goldens of CLIP's tokenizer: what Transformers 4.37.2 answers for small vocabularies.

    make_clip_text.py OUT_FOLDER       writes OUT_FOLDER/clip, clip-slow, clip-unknown

In form those of make_text.py, which has the texts; `make_text.py --hash` takes these too."""
import collections
import os
import shutil
import sys

from tokenizers import Regex, pre_tokenizers

import make_text as base
from make_text import added, write_json

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
TEXTS = [
    "", " ", "a", "A Photo of a CAT.", "it's they'll WE'VE don't 'S 'tis x'd '", "!!'s ?'re",
    "a1b22c 333 ½²③", "</w>", "a</w>b <", "</ w </w", "</w></w>", "w>", "end </", "naïve café Ａ",
    "e\u0301\u0323 \u0130I\u0307", "ΣΑΣ", "猫が座る 😀👍🏽", "\ta\n\nb\u3000c\u00a0", "\x1c \x1d a \x1e",
    f"x{END}y", f"{END.upper()} z", f" {BEGIN} a {END} ", "<|startoftext", "! !a!", "[PLAIN]x[plain]",
    "a . b , c ! d n't", "don’t", "\u200bx\ufeff", "the committee met; nobody would agree",
]


def words():
    """How often each word comes in the sentences, as the characters of its bytes."""
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)])
    found = collections.Counter(word for word, _ in split.pre_tokenize_str(base.SENTENCES.lower()))
    return {tuple(word[:-1]) + (word[-1] + "</w>",): n for word, n in found.items()}


def train(count):
    """The trainer of tokenizers breaks ties by the order of a hash table; here the greater pair
    wins, so that a second run writes the same files."""
    merges, counts = [], words()
    while len(merges) < count:
        pairs = collections.Counter()
        for word, n in counts.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(" ".join(best))
        counts = {joined(word, best): n for word, n in counts.items()}
    return merges


def joined(word, pair):
    out, i = [], 0
    while i < len(word):
        both = word[i:i + 2] == pair
        out.append("".join(pair) if both else word[i])
        i += 1 + both
    return tuple(out)


def vocabulary(characters, merges, specials):
    """CLIP's order: characters, the same at the end of a word, merges, two special tokens."""
    tokens = characters + [c + "</w>" for c in characters]
    tokens += [m.replace(" ", "") for m in merges] + specials
    return {t: i for i, t in enumerate(dict.fromkeys(tokens))}


def tokenizer_json(vocab, merges, tokens, **model):
    value = base.tokenizer_json(vocab, merges, tokens, dict(
        type="RobertaProcessing", sep=[END, vocab[END]], cls=[BEGIN, vocab[BEGIN]],
        trim_offsets=False, add_prefix_space=False))
    value["normalizer"] = dict(type="Sequence", normalizers=[
        dict(type="NFC"), dict(type="Replace", pattern=dict(Regex=r"\s+"), content=" "),
        dict(type="Lowercase")])
    value["pre_tokenizer"] = dict(type="Sequence", pretokenizers=[
        dict(type="Split", pattern=dict(Regex=PATTERN), behavior="Removed", invert=True),
        base.byte_level()])
    value["model"].update(unk_token=END, end_of_word_suffix="</w>", **model)
    return value


def make_vocabularies(out):
    names = {}

    def folder(name, config):
        path = names[name] = f"{out}/{name}"
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        write_json(f"{path}/tokenizer_config.json", config)
        return path

    merges = train(190)
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda c: (ord(c) > 255, c))
    vocab = vocabulary(bytes_, merges, [BEGIN, END])
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=True)
    token = lambda text: dict(content=text, __type="AddedToken", **flags)
    specials = [added(t, vocab[t], normalized=True, special=True) for t in (BEGIN, END)]

    # As the published folders: tokens in the config as objects, the pad a string.
    path = folder("clip", dict(tokenizer_class="CLIPTokenizer", model_max_length=77,
                               unk_token=token(END), bos_token=token(BEGIN),
                               eos_token=token(END), pad_token=END, do_lower_case=True))
    write_json(f"{path}/tokenizer.json", tokenizer_json(
        vocab, merges, specials + [added("[PLAIN]", len(vocab), normalized=True)]))
    # The files of the slow class; blanks around the merges, another pad, a token more.
    path = folder("clip-slow", dict(
        tokenizer_class="CLIPTokenizer", pad_token="!", model_max_length=32,
        added_tokens_decoder={str(vocab[t]): dict(content=t, special=True, **flags)
                              for t in (BEGIN, END)} |
        {"0": dict(content="!", special=True, **dict(flags, normalized=False)),
         str(len(vocab)): dict(content="[PLAIN]", special=False, **flags)}))
    write_json(f"{path}/vocab.json", vocab)
    with open(f"{path}/merges.txt", "w", encoding="utf-8") as f:
        f.write("\n \n#version: 0.2\n" + "\n".join(merges) + "\n" + merges[3])
    # Characters that only begin a word or only end one; no class, so "</w>" stays.
    few = {c: i for i, c in enumerate(["e", "t", "h</w>", "e</w>", "th", "the</w>", "!</w>", "!",
                                       "1</w>", BEGIN, END])}
    path = folder("clip-unknown", dict(tokenizer_class="PreTrainedTokenizerFast", pad_token=END))
    write_json(f"{path}/tokenizer.json", tokenizer_json(
        {**few, "h": len(few)}, ["t h", "th e</w>"],
        [added(t, few[t], special=True) for t in (BEGIN, END)], fuse_unk=True))
    return names


def main():
    paths = make_vocabularies(sys.argv[1])
    base.write_goldens(paths["clip"], f"{paths['clip']}/goldens.jsonl", TEXTS)
    # Pairs and batches are no business of the vocabulary's.
    base.PAIRS, base.batch_lines = base.PAIRS[:2], lambda tok: []
    for name in ("clip-slow", "clip-unknown"):
        base.write_goldens(paths[name], f"{paths[name]}/goldens.jsonl", TEXTS[::2])


if __name__ == "__main__":
    main()
