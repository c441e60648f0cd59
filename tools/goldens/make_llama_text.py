#!/usr/bin/env python3
"""Goldens of Llama's tokenizer: what Transformers 4.37.2 answers for small vocabularies.

    make_llama_text.py OUT_FOLDER      writes OUT_FOLDER/llama, llama-slow, llama-unigram,
                                       llama-unknown, llama-pieces

In form those of make_text.py, which has the sentences; `make_text.py --hash` takes these too."""
import io
import itertools
import json
import os
import shutil
import sys

import sentencepiece
from transformers import AutoTokenizer

import make_text as base
from make_text import added, write_json

TEXTS = [
    "", " ", "   ", "a", " a", "  a  b ", "\n", "\n\nx", "\t", "▁", "▁▁ a▁", "The committee met",
    "<image>\nWhat is it?###Assistant:", "<image>", " <image> ", "a<image>b <image>", "<s> a</s>",
    "<pad><unk>x", "<0x0A>", "<0x41><0xff>", "naïve café", "猫が座る 😀👍🏽", "\x00a\x7f", "e\u0301\u0323",
    "###Human: hi###Assistant: lo", "the bridge of stone " * 3, "ǅᾳ🇫🇷\ufffd\U0010ffff", "[X]a[X]",
    "a, b . c n't", "１２３", "<imag", "http://x.y/z?q=1",
]


def train(kind, size):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(base.SENTENCES.splitlines()[:6] * 3), model_writer=model,
        vocab_size=size, model_type=kind, byte_fallback=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, hard_vocab_limit=False, character_coverage=0.98,
        split_digits=True, num_threads=1, minloglevel=2)
    return model.getvalue()


def fallback_json(vocab, merges, decoders, **model):
    """A tokenizer of characters with Llama's normalizers, and without a post-processor."""
    space = dict(type="Replace", pattern=dict(String=" "), content="▁")
    value = base.tokenizer_json(vocab, merges, [added("<unk>", 0, special=True)], None)
    value.update(pre_tokenizer=None, decoder=dict(type="Sequence", decoders=decoders),
                 normalizer=dict(type="Sequence",
                                 normalizers=[dict(type="Prepend", prepend="▁"), space]))
    value["model"].update(continuing_subword_prefix=None, end_of_word_suffix=None,
                          unk_token="<unk>", **model)
    return value


def make_vocabularies(out):
    names = {}

    def folder(name, config, model=None):
        path = names[name] = f"{out}/{name}"
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        write_json(f"{path}/tokenizer_config.json", config)
        if model:
            with open(f"{path}/tokenizer.model", "wb") as f:
                f.write(model)
        return path

    bpe = train("bpe", 420)
    size = sentencepiece.SentencePieceProcessor(model_proto=bpe).get_piece_size()
    plain = dict(single_word=False, lstrip=False, rstrip=False)
    # The file alone, with the companions of before 4.34, which make <image> special.
    path = folder("llama-slow", dict(tokenizer_class="LlamaTokenizer", add_eos_token=True,
                                     legacy=False, padding_side="right", pad_token="<pad>",
                                     bos_token=dict(content="<s>", __type="AddedToken",
                                                    normalized=True, **plain)), bpe)
    write_json(f"{path}/added_tokens.json", {"<image>": size, "<pad>": size + 1, "[X]": size + 2})
    write_json(f"{path}/special_tokens_map.json", {"additional_special_tokens": ["<image>"]})
    # As the conversion of ViP-LLaVA saves it; the post-processor in the file loses.
    value = json.loads(AutoTokenizer.from_pretrained(path).backend_tokenizer.to_str())
    value["added_tokens"] = value["added_tokens"][:3] + [
        added("<image>", size), added("<pad>", size + 1, special=True)]
    config = dict(tokenizer_class="LlamaTokenizer", legacy=True, pad_token="<pad>",
                  clean_up_tokenization_spaces=True, model_max_length=48)
    config["added_tokens_decoder"] = {
        str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in value["added_tokens"]}
    path = folder("llama", config)
    write_json(f"{path}/tokenizer.json", value)
    # Unigram pieces, without a first token.
    folder("llama-unigram", dict(tokenizer_class="LlamaTokenizerFast", add_bos_token=False,
                                 pad_token="</s>", unk_token="<unk>"), train("unigram", 420))
    # A few bytes only: unknown tokens beside bytes, whole or one a character.
    few = {t: i for i, t in enumerate(
        ["<unk>", "<0xC3>", "<0xA9>", "<0xAF>", "<0x0A>", "▁", "a", "t", "h", "e", "▁t", "▁th",
         "▁the", "<0x+A>", "<0xf>>", "</s>"])}
    merges = ["▁ t", "▁t h", "▁th e"]
    parts = [dict(type="Replace", pattern=dict(String="▁"), content=" "), dict(type="ByteFallback"),
             dict(type="Fuse"), dict(type="Strip", content=" ", start=2, stop=0)]
    config = dict(tokenizer_class="PreTrainedTokenizerFast", pad_token="</s>")
    path = folder("llama-unknown", config)
    write_json(f"{path}/tokenizer.json",
               fallback_json(few, merges, parts, fuse_unk=True, byte_fallback=True))
    path = folder("llama-pieces", config)
    write_json(f"{path}/tokenizer.json",
               fallback_json(few, merges, [parts[0], parts[1], parts[3]], byte_fallback=True))
    return names


def main():
    paths = make_vocabularies(sys.argv[1])
    # Batches are no business of the vocabulary's; what comes out of ids is.
    decodings = base.decode_lines
    base.PAIRS, base.batch_lines = base.PAIRS[:2], lambda tok: []
    base.decode_lines = lambda tok, rng: itertools.islice(decodings(tok, rng), 10)
    base.write_goldens(paths["llama"], f"{paths['llama']}/goldens.jsonl", TEXTS[::2])
    base.PAIRS = []
    for name in ("llama-slow", "llama-unigram", "llama-unknown", "llama-pieces"):
        base.write_goldens(paths[name], f"{paths[name]}/goldens.jsonl",
                           TEXTS[1::8] + ["éaïatheñ\n中\né ñ", "  the", "ñéñ", "aïñ\n"])


if __name__ == "__main__":
    main()
