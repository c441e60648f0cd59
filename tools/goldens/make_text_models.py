#!/usr/bin/env python3
"""Goldens for the models and parts other than byte-level BPE, in the format of make_text.py:
WordPiece and Unigram in every layout of files, normalizers, pre-tokenizers.

    make_text_models.py OUT_FOLDER     writes OUT_FOLDER/<name>/ for each vocabulary below
    make_text.py --hash OUT_FOLDER/*   prints lines for tests/data/text/random.txt

Vocabularies are trained here, on make_text.py's sentences. The parts are tried with a
vocabulary of the 256 bytes and no merges, whose ids are the text as the parts left it."""
import base64
import io
import json
import os
import random
import shutil
import sys

import sentencepiece
from tokenizers import normalizers, pre_tokenizers
from transformers import AutoTokenizer

from make_text import (LONG, PAIRS, SENTENCES, TEXTS, added, batch_lines, byte_level,
                       decode_lines, pair_line, text_line, tokenizer_json, write_json)

MORE_TEXTS = [
    "Hello, World! It's a naïve café.", "[CLS] a [SEP] b", "[MASK]ed [mask] [UNK]", "##ing", "don't do not",
    "unaffable, unaffordable", "word" * 40, "中文漢字かな交じり文", "ÀÉÎÕÜ ñ ç ß ẞ İI ıi", "ＡＢＣ　ｄｅｆ ｱｶﾞ",
    "s\u0323\u0307 s\u0307\u0323 \u1e69 \u1e9b\u0323", "か\u3099 か゛ が", "\r\n \r \n", "a\r\nb", "①②③ ½ ㎏ ﬁ ﬃ ™ ℃",
    "<s>x</s> ＜s＞ ＜unk＞ <mask>  y", "▁a ▁ ▁▁b", "a  b   c    ", "   a", "a\u0085b\u00a0c\u3000d", "\u200b\u200d\ufeff",
    "\x01\x02a\x03", "\x01", "x\u0301\u0301\u0301\u0301", "\u0600a \u0600\u0601b", "©\u200d© ©\u0301", "🇫🇷🇫 👩\u200d👩\u200d👧",
    "\u1100\u1161\u11a8 \uac00\u11a8", "\u0958\u0344\u0f77", "\ufdfa \ufb2c", "a\u0345\u0300\u0301\u0323\u0327", "\u11935\u11930",
    "<s_menu><s_nm>Tea</s_nm></s_menu>", "＜s_menu＞<sep/> <S_MENU>", "100,000 a1b22c333 ١٢٣ ½Ⅷ", "((a)) [b]{c} --- ...!!!??",
    "SPL1T-TH1S-Pl3A5Exy", "a\nb\n\nc", "  lead", "trail  ", "en_XX hello ro_RO", "ﬀ ﬁrst İstanbul ǅ ΑΣ", "\u0130", "e\u0301" * 4,
]
RULES = {                               # of the small charsmap: NFKC's kind of things, and losses
    "Ａ": "A", "ａ": "a", "ｂ": "b", "ｃ": "c", "＜": "<", "＞": ">", "ﬁ": "fi", "ﬃ": "ffi", "½": "1⁄2", "①": "1",
    "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\r": " ", "\x01": "", "\x02": "", "\u200b": " ", "\ufeff": "",
    "e\u0301": "é", "s\u0323": "ṣ", "s\u0323\u0307": "ṩ", "ｶ": "カ", "ｶﾞ": "ガ", "a\u0300": "à", "™": "TM",
}


def folder(out, name, config=None):
    path = f"{out}/{name}"
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    if config is not None:
        write_json(f"{path}/tokenizer_config.json", config)
    return path


def lines():
    return [s for s in SENTENCES.splitlines() for _ in range(3)]


def specials(*texts):
    return [added(t, i, special=True) for i, t in enumerate(texts)]


# ---- WordPiece -----------------------------------------------------------------------------

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def template(first, last, ids, pair_types=(0, 1), double=False):
    a, b = ({"SpecialToken": {"id": first, "type_id": 0}}, {"SpecialToken": {"id": last, "type_id": 0}})
    one = [a, {"Sequence": {"id": "A", "type_id": 0}}, b]
    two = one + [b] * double + [{"Sequence": {"id": "B", "type_id": pair_types[1]}},
                                {"SpecialToken": {"id": last, "type_id": pair_types[1]}}]
    return dict(type="TemplateProcessing", single=one, pair=two, special_tokens={
        t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (first, last)})


def bert_json(vocab, tokens, **normalizer):
    return dict(version="1.0", truncation=None, padding=None, added_tokens=tokens,
                normalizer=dict(type="BertNormalizer", clean_text=True, handle_chinese_chars=True,
                                strip_accents=None, lowercase=True, **{}) | normalizer,
                pre_tokenizer={"type": "BertPreTokenizer"}, post_processor=template("[CLS]", "[SEP]", vocab),
                decoder=dict(type="WordPiece", prefix="##", cleanup=True),
                model=dict(type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##",
                           max_input_chars_per_word=100, vocab=vocab))


def wordpieces(size):
    """Characters, words and parts of words by how often they occur. (WordPieceTrainer's choice
    among equals is not the same each time.)"""
    clean = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    counts, letters = {}, set()
    for line in SENTENCES.splitlines():
        for text in (clean.normalize_str(line), clean.normalize_str(line.lower())):
            for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text):
                letters |= set(word) | {"##" + c for c in word[1:]}
                for begin in range(len(word)):
                    for end in range(begin + 2, min(len(word), begin + 6) + 1):
                        piece = "##" * (begin > 0) + word[begin:end]
                        counts[piece] = counts.get(piece, 0) + end - begin
    order = sorted(counts, key=lambda piece: (-counts[piece], piece))
    return sorted(letters) + order[:size]


def make_wordpiece(out, names):
    vocab = {w: i for i, w in enumerate(BERT + wordpieces(350))}
    special = [added(t, vocab[t], special=True) for t in BERT]
    last = len(vocab)

    path = folder(out, "wordpiece", {"tokenizer_class": "BertTokenizer", "model_max_length": 64})
    write_json(f"{path}/tokenizer.json", bert_json(vocab, special))
    names["wordpiece"] = "full"
    # The config changes the normalizer after the added tokens were normalized.
    path = folder(out, "wordpiece-cased", {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False,
                                           "strip_accents": True, "tokenize_chinese_chars": False})
    write_json(f"{path}/tokenizer.json", bert_json(vocab, special + [
        added("[Plain]", last, normalized=True), added("Éa", last + 1, normalized=True, single_word=True),
        added("naïve", last + 2, special=True, normalized=True)]))
    names["wordpiece-cased"] = "some"
    path = folder(out, "wordpiece-slow", {"tokenizer_class": "BertTokenizer", "do_lower_case": True,
                                          "strip_accents": False, "clean_up_tokenization_spaces": False})
    order = list(vocab) + ["", "dup", "dup", "##ing"]
    with open(f"{path}/vocab.txt", "w", encoding="utf-8") as f:
        f.write("\n".join(order))
    names["wordpiece-slow"] = "some"
    path = folder(out, "wordpiece-map", {"tokenizer_class": "DistilBertTokenizer", "padding_side": "left"})
    with open(f"{path}/vocab.txt", "w", encoding="utf-8", newline="") as f:
        f.write("\r\n".join(vocab) + "\r\n")
    write_json(f"{path}/special_tokens_map.json", {"unk_token": "[UNK]", "sep_token": "[SEP]", "cls_token": "[CLS]",
                                                   "mask_token": {"content": "[MASK]", "lstrip": True, "rstrip": False,
                                                                  "single_word": False, "normalized": False},
                                                   "additional_special_tokens": ["[X]", "bridge"]})
    write_json(f"{path}/added_tokens.json", {"[Y]": last, "[X]": last + 1})
    names["wordpiece-map"] = "some"


# ---- Unigram -------------------------------------------------------------------------------

def train_sentencepiece(rules, size):
    tsv = "/tmp/make_text_models.tsv"
    with open(tsv, "w", encoding="utf-8") as f:
        for a, b in rules.items():
            f.write(" ".join("%X" % ord(c) for c in a) + "\t" + " ".join("%X" % ord(c) for c in b) + "\n")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()), model_writer=model, vocab_size=size, model_type="unigram",
        normalization_rule_tsv=tsv, hard_vocab_limit=False, num_threads=1, minloglevel=2)
    os.remove(tsv)
    return model.getvalue()


def make_unigram(out, names):
    model = train_sentencepiece(RULES, 600)

    def spm(name, config):
        path = folder(out, name, config)
        with open(f"{path}/sentencepiece.bpe.model", "wb") as f:
            f.write(model)
        return path

    def converted(name, config, source, change=None):
        """tokenizer.json as save_pretrained writes it, of the model in `source`."""
        path = folder(out, name, config)
        value = json.loads(AutoTokenizer.from_pretrained(f"{out}/{source}").backend_tokenizer.to_str())
        if change:
            change(value)
        write_json(f"{path}/tokenizer.json", value)
        return path

    spm("unigram-slow", {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 100})
    names["unigram-slow"] = "full"
    spm("mbart-slow", {"tokenizer_class": "MBartTokenizer", "src_lang": "ro_RO",
                       "additional_special_tokens": ["<sep/>", "en_XX"]})
    names["mbart-slow"] = "some"
    converted("mbart", {"tokenizer_class": "MBartTokenizerFast", "src_lang": "fr_XX"}, "mbart-slow")
    names["mbart"] = "some"

    def hub(value):
        value["normalizer"] = value["normalizer"]["normalizers"][0]
        value["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": True}]}
    converted("unigram-hub", {"tokenizer_class": "XLMRobertaTokenizer"}, "unigram-slow", hub)
    names["unigram-hub"] = "full"

    def odd(value):                     # pieces twice, byte fallback, other scores and prefixes
        vocab = value["model"]["vocab"]
        value["model"]["vocab"] = vocab[:5] + [["the", -3], ["▁", 0.5], ["é", -1.25]] + vocab[5:] + [
            ["the", -20.5], ["é", -1]] + [["<0x%02X>" % b, -12.5] for b in range(256) if b != 0xE4]
        value["model"]["byte_fallback"] = True
        value["added_tokens"] = specials("<s>", "<pad>", "</s>", "<unk>")
        value["pre_tokenizer"]["prepend_scheme"] = "first"
        value["decoder"]["add_prefix_space"] = False
    converted("unigram-odd", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>",
                              "clean_up_tokenization_spaces": False}, "unigram-slow", odd)
    names["unigram-odd"] = "some"

    # Two ways of equal score as the file's digits are read by the reference (serde_json), of which
    # one is better by the last bit once they are rounded to the nearest double.
    path = folder(out, "unigram-ties", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"})
    space = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    write_json(f"{path}/tokenizer.json", dict(
        version="1.0", truncation=None, padding=None, added_tokens=specials("<pad>", "<unk>"), normalizer=None,
        pre_tokenizer=space, post_processor=None, decoder=space,
        model=dict(type="Unigram", unk_id=1, vocab=[["<pad>", 0], ["<unk>", 0], *TIES.items()])))
    names["unigram-ties"] = "ties"

    # As a trained Donut is saved: plain tokens that are looked for in normalized text.
    tok = AutoTokenizer.from_pretrained(f"{out}/unigram-slow")
    tok.add_special_tokens({"additional_special_tokens": ["<sep/>", "<s_cord>"]})
    tok.add_tokens(["<s_menu>", "</s_menu>", "<s_nm>", "</s_nm>", "ﬁ"])
    path = folder(out, "donut")
    tok.save_pretrained(path)
    for name in ("sentencepiece.bpe.model",):
        os.path.exists(f"{path}/{name}") and os.remove(f"{path}/{name}")
    names["donut"] = "some"


# What XLM-R has of "flocccnau", with its scores.
TIES = {
    "a": -5.5477118492126465, "au": -9.367286682128906, "c": -8.199555397033691, "cc": -11.443315505981445,
    "cn": -12.274250030517578, "f": -8.649986267089844, "fl": -11.817044258117676, "flo": -12.81014347076416,
    "l": -7.762022495269775, "lo": -8.545232772827148, "loc": -12.85283374786377, "n": -6.093497276306152,
    "na": -7.320949554443359, "nau": -11.500046730041504, "o": -6.417782306671143, "oc": -11.112852096557617,
    "u": -6.467804431915283, "▁": -3.9299705028533936, "▁f": -9.658580780029297, "▁fl": -11.62348461151123,
    "▁flo": -12.078278541564941,
}
TIED_TEXTS = ["flocccnau", "floccc", "ccc", "accca", "cccc", "ccccc", "fllocccun", "oocnna", "locloc", "naunau",
              "xfloccc"]


# ---- parts ---------------------------------------------------------------------------------

def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def split(pattern, behavior, invert=False, kind="String"):
    return dict(type="Split", pattern={kind: pattern}, behavior=behavior, invert=invert)


GALACTICA = r"""[\(\)\[\]\{\}]|([!"\#\$%\&'\*\+,\-\./:;<=>\?\\\^_`\|\~])\1*"""
NOUGAT = sequence("pretokenizers", split("SPL1T-TH1S-Pl3A5E", "Removed"),
                  dict(type="Digits", individual_digits=True), split(GALACTICA, "Isolated", kind="Regex"),
                  split("\n", "Isolated"), byte_level())


def make_parts(out, names):
    small = train_sentencepiece({k: v for k, v in RULES.items()}, 300)
    from transformers.convert_slow_tokenizer import import_protobuf
    proto = import_protobuf().ModelProto()
    proto.ParseFromString(small)
    blob = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    bert = dict(type="BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    replace = lambda kind, a, b: dict(type="Replace", pattern={kind: a}, content=b)
    strip = lambda left, right: dict(type="Strip", strip_left=left, strip_right=right)
    named = {
        "nfc": {"type": "NFC"}, "nfd": {"type": "NFD"}, "nfkc": {"type": "NFKC"}, "nfkd": {"type": "NFKD"},
        "accents": sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}),
        "bert": dict(bert), "bert-plain": dict(bert, lowercase=False, clean_text=False),
        "charsmap": dict(type="Precompiled", precompiled_charsmap=blob),
        "texts": sequence("normalizers", dict(type="Prepend", prepend="▁x"), sequence(
            "normalizers", replace("String", "ab", "é"), replace("Regex", " {2,}", "▁"), strip(True, True)),
            replace("Regex", r"\s+", ""), {"type": "Nmt"}),
        "clip": sequence("normalizers", {"type": "NFC"}, replace("Regex", r"\s+", " "), {"type": "Lowercase"}),
        "long": sequence("normalizers", {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "NFKC"}, strip(False, True),
                         replace("String", " ", "▁")),
    }
    pres = {
        "nougat": NOUGAT, "digits": sequence("pretokenizers", {"type": "Digits", "individual_digits": False}, byte_level(True)),
        "marks": sequence("pretokenizers", {"type": "Whitespace"}, dict(type="Punctuation", behavior="MergedWithPrevious"),
                          byte_level(False, True, False)),
        "behaviors": sequence("pretokenizers", split("a", "MergedWithNext"), sequence(
            "pretokenizers", split(" ", "Contiguous"), split(r"\s+", "Isolated", True, "Regex")),
            {"type": "BertPreTokenizer"}, byte_level(True, True, True)),
    }
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>"] + alphabet)}
    end = len(vocab)
    flags = [added("[Plain]", end, normalized=True), added("É", end + 1, normalized=True, lstrip=True),
             added("AB ", end + 2, normalized=True, rstrip=True), added("ab ", end + 3, normalized=True)]
    for name in list(named) + list(pres):
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
        if name == "nougat":
            config = {"tokenizer_class": "NougatTokenizer", "model_max_length": 40}
        path = folder(out, f"part-{name}", config)
        value = tokenizer_json(vocab, [], specials("<s>", "<pad>", "</s>", "<unk>") + flags,
                               template("<s>", "</s>", vocab) if name == "nougat" else None,
                               pres.get(name, byte_level(False, False, False)))
        value["normalizer"] = named.get(name, {"type": "NFKC"} if name == "nougat" else None)
        write_json(f"{path}/tokenizer.json", value)
        names[f"part-{name}"] = "hash"


# ---- goldens -------------------------------------------------------------------------------

def write_goldens(path, how):
    tok = AutoTokenizer.from_pretrained(path)
    assert tok.is_fast
    texts = MORE_TEXTS + TEXTS[::4]     # random.txt tries thousands more
    if how == "some":
        texts = MORE_TEXTS[::2] + TEXTS[::12]
    elif how == "hash":
        texts = MORE_TEXTS[::4]
    elif how == "ties":
        texts = TIED_TEXTS
    result = [text_line(tok, t) for t in texts]
    if how in ("full", "some"):
        result += [pair_line(tok, *p) for p in PAIRS]
        result += list(decode_lines(tok, random.Random(7)))[:30 if how == "full" else 12]
        result += list(batch_lines(tok))[:18 if how == "full" else 4]
    with open(f"{path}/goldens.jsonl", "w", encoding="ascii") as f:
        for line in result:
            f.write(json.dumps(line, separators=(",", ":")) + "\n")


def main():
    out, names = sys.argv[1], {}
    make_wordpiece(out, names)
    make_unigram(out, names)
    make_parts(out, names)
    for name, how in names.items():
        write_goldens(f"{out}/{name}", how)


if __name__ == "__main__":
    main()
