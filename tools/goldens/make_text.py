#!/usr/bin/env python3
"""Tokenizer goldens: what Transformers 4.37.2 answers for small vocabularies.

    make_text.py OUT_FOLDER            writes OUT_FOLDER/<name>/ for each vocabulary below
    make_text.py --hash VOCAB…         prints lines for tests/data/text/random.txt, where
                                       a shared vocabulary is called shared/<name>

Each folder holds a vocabulary and goldens.jsonl, one JSON object a line: kind text, pair, batch
or decode. The vocabulary is trained here, on this script's own sentences, with a fixed result."""
import json
import os
import random
import shutil
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import AddedToken
from transformers import AutoTokenizer

SENTENCES = """The committee met on the third of May to discuss the repair of the old bridge.
Nobody could agree whether stone or timber would last longer, and they weren't in a hurry.
It's what we've seen: they'll say that I'm late, she'd know, you're right, we don't care.
def main(argv): return [x ** 2 for x in range(10) if x % 3 == 0]
for (int i = 0; i < count; i++) total += values[i] * weights[i];
Der schnelle braune Fuchs springt über den faulen Hund. Größe, Straße, Übung.
Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë.
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío.
В чащах юга жил бы цитрус? Да, но фальшивый экземпляр!
Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία. 猫が座っています。今日は天気がいいですね。
안녕하세요 세계. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया। สวัสดีชาวโลก
Total: 1,234.56 € on 2024-01-31 at 23:59; call +1 (555) 010-9999 or mail a.b@example.org.
"""

TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n", "\n ", "\t\tx", "a", " a", "a ", "  a  b  ",
    "Hello world", " Hello  world ", "Hello\nworld\r\n\r\nagain", "I'm, you're, they'll, don't",
    "'s't're've'm'll'd", "'S'T'RE'VE'M'LL'D", "x's", "x 's", "'", "''", "' s", "’s", "don’t",
    "abc123def456", "123456789", "1 2  3", "½²³①Ⅷ٣४", "3.14", "a_b-c", "...", "?!", "a.b,c;d",
    " ' ", "it ' s", "end .", "a , b ! c ? d n't 'm 's 've 're",
    "naïve café", "cafe\u0301", "ﬁn ﬂow", "ＡＢＣ１２３", "ΑΒΓ αβγς", "Привет, мир!",
    "你好世界", "こんにちは、世界", "안녕하세요", "שלום", "مرحبا", "हिन्दी", "ไทย",
    "😀", "😀😀", "👩‍👩‍👧‍👦", "🇫🇷🇯🇵", "👍🏽 ok", "a😀b", "\u200b", "a\u200bb", "\ufeffx", "\u00a0x",
    "x\u00a0y", "\u3000x\u3000", "\u2028\u2029", "\u0085x", "\x1c\x1d\x1e\x1f", "\x00", "a\x00b",
    "\x7f\x80\x9f", "\ufffd", "\ufffe\uffff", "\U0001fffe", "\U0010ffff", "\ue000", "\u0378",
    "\u0301", " \u0301x", "e\u0301\u0323", "Ⅷ", "ª º", "ǅ", "ʰ", "ͅ", "\u1734", "𝔘𝔫𝔦", "𠀀𪛖",
    "\u2c2f\u2c5f", "\ua7c0\ua7d0", "\U0001e2c0", "\u0870", "\U00011a00", "a" * 60, " " * 30,
    "ab" * 20, "\n" * 20 + "x", "é" * 10, "😀" * 6, "The  committee   met", "the bridge.",
    "https://example.org/a?b=c&d=e#f", "C:\\Users\\x", "<s>", "</s>", "<mask>", "a<mask>b",
    "a <mask> b", "a  <mask>  b", "<mask><mask> <mask>", "\n<mask>\n", "<s> a </s>", "<s>a</s>b",
    "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|endoftext|><|endoftext|>",
    "<|endoftext", "<mask", "< mask>", "<MASK>", "<unk>", "<pad>x", "<unk> <pad> </s>",
    "[LEFT]x [LEFT] y\u3000[LEFT]", "x [RIGHT]  y[RIGHT]\u00a0z[RIGHT]", " [BOTH] [BOTH]  [BOTH] ",
    "word aword word_ wordy éword word. -word- 9word wordé word\u200dx", "[PLAIN] [PLAIN][LEFT]",
    "[PLA][PLAIN][PLAIN", "ĠhelloĠ", "Ġ", " Ġ ", "[A][AB][ABC][ABCD]", "[ABC", "x[A]", "[SEP] a",
    "[RIGHT] [LEFT] [RIGHT]  [LEFT]", "naïve[PLAIN]naïve",
]
PAIRS = [("What is it?", "A cat."), ("", "only second"), ("only first", ""), ("a", "b"),
         ("naïve 😀", " x "), (" a ", "  b  c"), ("<mask> a", "b <mask>"), ("1", "2" * 30),
         ("the bridge of stone", "the old bridge which had been closed"), ("\n", "\t")]
LONG = "The committee met on the third of May to discuss the repair of the old bridge; nobody " \
       "could agree whether stone or timber would last longer."


def train(size):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator([s for s in SENTENCES.splitlines() for _ in range(3)], trainer)
    return json.loads(tok.to_str())["model"]


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))


def added(content, id, **flags):
    token = dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False,
                 normalized=False, special=False)
    return {**token, **flags}


def byte_level(prefix=False, trim=True, regex=True):
    return dict(type="ByteLevel", add_prefix_space=prefix, trim_offsets=trim, use_regex=regex)


def tokenizer_json(vocab, merges, tokens, post, pre=None, **model):
    return dict(version="1.0", truncation=None, padding=None, added_tokens=tokens,
                normalizer=None, pre_tokenizer=pre or byte_level(), post_processor=post,
                decoder=byte_level(True),
                model=dict(type="BPE", dropout=None, unk_token=None,
                           continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False,
                           byte_fallback=False, vocab=vocab, merges=merges, **model))


def with_special(model, before, after):
    """The trained vocabulary behind and before some special tokens; merges stay."""
    order = before + sorted(model["vocab"], key=model["vocab"].get) + after
    return {token: i for i, token in enumerate(order)}


def write_slow(folder, vocab, merges):
    write_json(f"{folder}/vocab.json", vocab)
    with open(f"{folder}/merges.txt", "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(m + "\n" for m in merges))


def make_vocabularies(out):
    model = train(480)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    names = {}

    def folder(name, config):
        path = f"{out}/{name}"
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        write_json(f"{path}/tokenizer_config.json", config)
        names[name] = path
        return path

    gpt2 = with_special(model, [], ["<|endoftext|>"])
    end = gpt2["<|endoftext|>"]
    eot = added("<|endoftext|>", end, normalized=True, special=True)
    roberta = with_special(model, ["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"])
    specials = [added(t, roberta[t], normalized=True, special=True)
                for t in ("<s>", "<pad>", "</s>", "<unk>")]
    mask = added("<mask>", roberta["<mask>"], lstrip=True, special=True)
    cls = dict(sep=["</s>", 2], cls=["<s>", 0], trim_offsets=True, add_prefix_space=False)

    # The short configs of old checkpoints.
    path = folder("gpt2", {"tokenizer_class": "GPT2Tokenizer", "model_max_length": 64})
    write_json(f"{path}/tokenizer.json",
               tokenizer_json(gpt2, merges, [eot], byte_level(True, False)))
    path = folder("roberta", {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True})
    write_json(f"{path}/tokenizer.json",
               tokenizer_json(roberta, merges, specials + [mask],
                              dict(type="RobertaProcessing", **cls)))
    # vocab.json + merges.txt, with settings and tokens from all companions.
    path = folder("gpt2-slow", {"tokenizer_class": "GPT2TokenizerFast", "add_bos_token": True,
                                "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
                                "unk_token": "<|endoftext|>", "padding_side": "left",
                                "clean_up_tokenization_spaces": False, "pad_token": None,
                                "added_tokens_decoder": {
                                    str(end): {k: v for k, v in eot.items() if k != "id"},
                                    str(end + 1): {k: v for k, v in added(
                                        "[PLAIN]", 0, normalized=True).items() if k != "id"},
                                    str(end + 2): {k: v for k, v in added(
                                        "[LEFT]", 0, lstrip=True, special=True).items()
                                        if k != "id"}}})
    write_slow(path, gpt2, merges)
    base = {t: i for t, i in roberta.items() if t != "<mask>"}
    path = folder("roberta-slow", {"tokenizer_class": "RobertaTokenizer", "trim_offsets": True,
                                   "model_max_length": int(1e30),
                                   "mask_token": {"__type": "AddedToken", "content": "<mask>",
                                                  "lstrip": True, "rstrip": False,
                                                  "single_word": False, "normalized": True}})
    write_slow(path, base, merges[:200])
    write_json(f"{path}/special_tokens_map.json",
               {"additional_special_tokens": ["[BOTH]", "[SEP]"], "unk_token": "<unk>"})
    write_json(f"{path}/added_tokens.json", {"<mask>": len(base), "[PLAIN]": len(base) + 1})
    # Templates, several ids in one special token, token types.
    path = folder("template", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>",
                               "unk_token": "<unk>", "truncation_side": "left",
                               "model_input_names": ["input_ids", "token_type_ids"]})
    write_json(f"{path}/tokenizer.json", tokenizer_json(
        roberta, merges, specials + [mask],
        dict(type="TemplateProcessing",
             single=[{"SpecialToken": {"id": "<s>", "type_id": 0}},
                     {"Sequence": {"id": "A", "type_id": 2}},
                     {"SpecialToken": {"id": "END", "type_id": 1}}],
             pair=[{"Sequence": {"id": "A", "type_id": 1}},
                   {"SpecialToken": {"id": "END", "type_id": 3}},
                   {"Sequence": {"id": "B", "type_id": 0}},
                   {"SpecialToken": {"id": "<s>", "type_id": 0}}],
             special_tokens={"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                             "END": {"id": "END", "ids": [2, 3],
                                     "tokens": ["</s>", "<unk>"]}}),
        pre=byte_level(True)))
    # Every flag of added tokens.
    next_id = end + 1
    flags = [added("[LEFT]", next_id, lstrip=True), added("[RIGHT]", next_id + 1, rstrip=True),
             added("[BOTH]", next_id + 2, lstrip=True, rstrip=True, normalized=True),
             added("word", next_id + 3, single_word=True),
             added("[PLAIN]", next_id + 4, normalized=True), added("[A]", next_id + 5),
             added("[AB]", next_id + 6), added("[ABC]", next_id + 7, normalized=True),
             added("ĠhelloĠ", next_id + 8), added("naïve", next_id + 9, special=True)]
    path = folder("flags", {"tokenizer_class": "GPT2Tokenizer", "pad_token": "[PLAIN]",
                            "sep_token": "[SEP]", "padding_side": "left"})
    write_json(f"{path}/tokenizer.json", tokenizer_json(
        gpt2, merges, [eot] + flags, byte_level(False, True), pre=byte_level(False)))
    # A vocabulary without most bytes: an unknown token, fused; and none at all.
    small = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for c in "Ġabcdefghilmnorstu,.":
        small[c] = len(small)
    small_merges = ["Ġ t", "h e", "Ġt he", "o n", "i n", "Ġ b", "<unk> a"]
    for m in small_merges:
        small.setdefault(m.replace(" ", ""), len(small))
    path = folder("unknown", {"tokenizer_class": "PreTrainedTokenizerFast",
                              "eos_token": "</s>", "pad_token": "</s>"})
    value = tokenizer_json(small, small_merges, [added("<unk>", 0, special=True)],
                           dict(type="BertProcessing", sep=["</s>", 2], cls=["<s>", 1]))
    value["model"].update(unk_token="<unk>", fuse_unk=True)
    write_json(f"{path}/tokenizer.json", value)
    path = folder("plain", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "</s>"})
    value = tokenizer_json(small, small_merges, [], None, pre=byte_level(True, True, False))
    value["decoder"] = None
    write_json(f"{path}/tokenizer.json", value)
    # As GPT-2's published file: no "type" in the model; roles that turn a token special.
    path = folder("legacy", {"tokenizer_class": "GPT2Tokenizer"})
    value = tokenizer_json(gpt2, ["#version: 0.2"] + merges,
                           [eot, added("[PLAIN]", end + 1, normalized=True)],
                           byte_level(True, True))
    del value["model"]["type"]
    value["padding"] = dict(strategy="BatchLongest", direction="Left", pad_to_multiple_of=None,
                            pad_id=end, pad_type_id=0, pad_token="<|endoftext|>")
    write_json(f"{path}/tokenizer.json", value)
    write_json(f"{path}/special_tokens_map.json",
               {"cls_token": "[PLAIN]", "sep_token": {"content": "[SEP]", "lstrip": True,
                "rstrip": False, "single_word": False, "normalized": False}})
    # Files that contradict each other: who wins, and which flags the matching goes by.
    path = folder("companions", {
        "tokenizer_class": "BartTokenizer", "add_prefix_space": False,
        "bos_token": {"__type": "AddedToken", "content": "the", "single_word": False,
                      "lstrip": True, "rstrip": False, "normalized": False},
        "unk_token": "x ", "sep_token": "[SEP]",
        "pad_token": {"__type": "AddedToken", "content": "[SEP]", "single_word": True,
                      "lstrip": True, "rstrip": True, "normalized": True},
        "mask_token": "[LEFT]"})
    write_json(f"{path}/tokenizer.json", tokenizer_json(
        gpt2, merges, [eot, added("x ", next_id, rstrip=True), added("[LEFT]", next_id + 1),
                       added("[PLAIN]", next_id + 2, single_word=True)],
        byte_level(False, False)))
    write_json(f"{path}/added_tokens.json", {"x ": next_id + 7, "the": next_id + 8,
                                             "[PLAIN]": next_id + 9})
    return names


# ---- goldens -------------------------------------------------------------------------------

def text_line(tok, text):
    e = tok(text, return_offsets_mapping=True)
    ids = e["input_ids"]
    tokens = tok.convert_ids_to_tokens(ids)
    line = dict(kind="text", text=text, ids=ids,
                ids_no_special=tok(text, add_special_tokens=False)["input_ids"], tokens=tokens,
                offsets=[list(o) for o in e["offset_mapping"]],
                decoded=tok.decode(ids, skip_special_tokens=True),
                decoded_with_special=tok.decode(ids))
    if e.tokens() != tokens:
        line["encoding_tokens"] = e.tokens()
    return line


def pair_line(tok, text, pair):
    e = tok(text, pair, return_offsets_mapping=True, return_token_type_ids=True)
    return dict(kind="pair", text=text, pair=pair, ids=e["input_ids"],
                token_type_ids=e["token_type_ids"],
                offsets=[list(o) for o in e["offset_mapping"]],
                sequence_ids=[-1 if s is None else s for s in e.sequence_ids(0)])


def batch_line(tok, texts, pairs, **params):
    line = dict(kind="batch", texts=texts, pairs=pairs, params=params,
                padding_side=tok.padding_side, truncation_side=tok.truncation_side,
                pad_token=tok.pad_token)
    keep = ("input_ids", "token_type_ids", "attention_mask", "special_tokens_mask")
    try:
        e = tok(texts, pairs, return_token_type_ids=True, return_attention_mask=True, **params)
        line["result"] = {k: e[k] for k in keep if k in e}
    except BaseException as error:  # pylint: disable=broad-except
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        line["error"] = str(error)
    return line


def batch_lines(tok):
    if tok.pad_token is None:
        tok.pad_token = tok.eos_token
    texts = ["A dog.", LONG, "", "猫 naïve"]
    for side in ("right", "left"):
        tok.padding_side = tok.truncation_side = side
        yield batch_line(tok, texts, None, padding=True)
        yield batch_line(tok, texts, None, padding="max_length", max_length=12, truncation=True)
        yield batch_line(tok, [LONG[:30]], [LONG[30:50]], truncation=True, max_length=15, stride=2,
                         return_overflowing_tokens=True, padding=True)
        yield batch_line(tok, [LONG], None, truncation=True, max_length=20, stride=7,
                         return_overflowing_tokens=True, return_special_tokens_mask=True)
    tok.padding_side = tok.truncation_side = "right"
    yield batch_line(tok, texts, None, padding=True, pad_to_multiple_of=8)
    yield batch_line(tok, texts, ["x", LONG, LONG, "y z"], padding=True, truncation=True, max_length=21)
    yield batch_line(tok, [LONG], ["a b"], truncation="only_first", max_length=24)
    yield batch_line(tok, ["a b"], [LONG], truncation="only_second", max_length=24)
    yield batch_line(tok, ["a b"], [LONG], truncation="only_first", max_length=10)
    yield batch_line(tok, ["a b"], None, truncation="only_second", max_length=4)
    yield batch_line(tok, [LONG], None, truncation=True, max_length=6, stride=6)
    yield batch_line(tok, [LONG], None, truncation=True, max_length=1)
    yield batch_line(tok, [LONG], ["x"], truncation=True, max_length=4)
    yield batch_line(tok, [LONG], None, truncation=True, max_length=8, add_special_tokens=False)


def decode_lines(tok, rng):
    size = len(tok)
    for i in range(30):
        ids = [rng.randrange(size + (i == 8)) for _ in range(rng.choice((1, 2, 5, 20)))]
        clean, skip = rng.choice((None, True, False)), rng.random() < 0.5
        yield dict(kind="decode", ids=ids, skip_special_tokens=skip,
                   clean_up_tokenization_spaces=clean,
                   decoded=tok.decode(ids, skip_special_tokens=skip,
                                      clean_up_tokenization_spaces=clean))


def write_goldens(vocabulary, path, texts):
    tok = AutoTokenizer.from_pretrained(vocabulary)
    assert tok.is_fast
    lines = [text_line(tok, t) for t in texts] + [pair_line(tok, *p) for p in PAIRS]
    lines += decode_lines(tok, random.Random(7))
    lines += batch_lines(tok)
    with open(path, "w", encoding="ascii") as f:
        for line in lines:
            f.write(json.dumps(line, separators=(",", ":")) + "\n")


# ---- random strings ------------------------------------------------------------------------

class Rng:
    """The generator that tests/text/test_random.c has too."""
    def __init__(self):
        self.state = 1

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n


RANGES = [(32, 126), (97, 122), (32, 32), (9, 13), (48, 57), (39, 39), (0xA0, 0x24F),
          (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xE7F), (0x1E00, 0x218F), (0x2000, 0x206F),
          (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xFFFF),
          (0x10000, 0x1FFFF), (0x1F300, 0x1F9FF), (0, 0x10FFFF), (101, 116)]


def random_text(rng):
    text, last = [], 0
    for _ in range(rng.below(60)):
        if rng.below(4) or not text:
            last = rng.below(len(RANGES))
        low, high = RANGES[last]
        code = low + rng.below(high - low + 1)
        text.append(chr(code) if not 0xD800 <= code <= 0xDFFF else " ")
    return "".join(text)


def called(folder):
    above, name = os.path.split(os.path.abspath(folder))
    return f"shared/{name}" if os.path.basename(above) == "vocabs" else name


def hash_ids(folder):
    """FNV-1a over every id and offset of 2000 random texts."""
    tok, rng, h = AutoTokenizer.from_pretrained(folder), Rng(), 0xCBF29CE484222325
    for _ in range(2000):
        e = tok(random_text(rng), return_offsets_mapping=True)
        for i, (begin, end) in zip(e["input_ids"], e["offset_mapping"]):
            for number in (i, begin, end):
                h = (h ^ number) * 0x100000001B3 % 2**64
        h = (h ^ 0xFFFFFFFF) * 0x100000001B3 % 2**64
    return h


def main():
    if sys.argv[1] == "--hash":
        for folder in sys.argv[2:]:
            print("%s %016x" % (called(folder), hash_ids(folder)))
        return
    out = sys.argv[1]
    for name, path in make_vocabularies(out).items():
        full = name in ("roberta", "flags")
        write_goldens(path, f"{path}/goldens.jsonl", TEXTS if full else TEXTS[::4] + TEXTS[-20:])
    os.makedirs(f"{out}/bundled", exist_ok=True)
    write_goldens("models/printed-line-ocr", f"{out}/bundled/goldens.jsonl", TEXTS[::6])


if __name__ == "__main__":
    main()
