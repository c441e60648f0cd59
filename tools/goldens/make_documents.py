"""Makes tests/data/documents: what Transformers 4.37.2 makes of what document models write.

    python tools/goldens/make_documents.py [--out tests/data/documents]

    trees.jsonl      [text, DonutProcessor.token2json(text)] a line
    tokenizer/       a small tokenizer whose added tokens the trees refer to
"""
import argparse
import json
import pathlib
import random

from transformers import DonutProcessor

ADDED = ["<unk>", "<pad>", "</s>", "<sep/>", "<yes/>", "<no/>", "<s_a>", "</s_a>", "<s_answer>"]

BY_HAND = [
    # upstream's own case
    "<s_name>John Doe</s_name><s_age>99</s_age><s_city>Atlanta</s_city><s_state>GA</s_state>"
    "<s_zip>30301</s_zip><s_phone>123-4567</s_phone><s_nicknames><s_nickname>Johnny</s_nickname>"
    "<sep/><s_nickname>JD</s_nickname></s_nicknames>",
    "", " ", "no tags at all", "  spaces around  ", "<s_a>", "</s_a>", "<s_a></s_a>", "<s_>x</s_>",
    "<s_a> x </s_a>", "<s_a>x", "x</s_a>", "</s_a><s_a>x</s_a>", "</s_a>y<s_a>x</s_a>z",
    "<S_A>x</s_a>", "<s_A>x</S_a>", "<s_k>x</s_\u212a>", "<s_\u00c4>x</s_\u00e4>",
    "<\u017f_a>x</s_a>", "<s_\u03c3>x</s_\u03c2>", "<s_i>x</s_\u0131>", "<s_\u0130>x</s_i>",
    "<s_a>one</s_a><s_a>two</s_a>", "<s_a>one</s_a><s_b>2</s_b><s_a>three</s_a>",
    "<s_a>x\ny</s_a>", "<s_a>x\ny</s_a><s_a>z</s_a>", "<s_a\n>x</s_a>", "<s_a>x\ry</s_a>",
    "<s_a>\u2028x</s_a>", "<s_a>\x1c x \x1f</s_a>", "<s_a>\u200bx\u200b</s_a>",
    "<s_a>x<sep/>y</s_a>", "<s_a>x<sep/></s_a>", "<s_a><sep/></s_a>", "<s_a><sep/>x<sep/></s_a>",
    "<s_a><yes/></s_a>", "<s_a> <no/> <sep/> <yes/></s_a>", "<s_a><maybe/></s_a>",
    "<s_a><sep/></s_a><s_b><unk></s_b>", "<s_a></></s_a>", "<s_a>yes/></s_a>",
    "<s_a><s_b>x</s_b></s_a>", "<s_a><s_b>x</s_b><s_c>y</s_c></s_a>",
    "<s_a><s_b>x</s_b><sep/><s_b>y</s_b></s_a>", "<s_a><s_b>x</s_b><sep/></s_a>",
    "<s_a><s_b></s_c></s_a>", "<s_a><s_b>x</s_b>rest</s_a>", "<s_a>before<s_b>x</s_b></s_a>",
    "<s_a><s_a>x</s_a></s_a>", "<s_a><s_a>x</s_a><s_a>y</s_a></s_a>",
    "<s_a>x</s_a><sep/><s_a>y</s_a>", "<s_a>x</s_a> <sep/> <s_a>y</s_a> tail",
    "<s_a>x</s_a><sep/>", "<s_a>x</s_a><sep/>tail", "<s_a>x<sep/><s_b>y</s_b></s_a>",
    "<s_a>x</s_b></s_a>", "<s_a><s_b>x</s_a></s_b>", "<s_a>x</s_a>tail", "head<s_a>x</s_a>",
    "<s_<s_a>b>x</s_a>", "<s_a><s_a><s_a>x", "<s_a>x</s_a><s_a>y", "<s_a><s_b><s_c>x</s_c>",
    "<s_x.y>1</s_x.y>", "<s_x(>1</s_x(>", "<s_a b>1</s_a b>", "<s_\">1</s_\">", "<s_a>\"\\</s_a>",
    "<s_a>\u65e5\u672c</s_a><s_\u540d>\u5024</s_\u540d>", "<s_a>\U0001f600</s_a>",
    "<s_a><S_b>x</S_b></s_a>", "<s_a><s_b>x</S_B></s_a>", "<s_a>x</s_a", "<s_a", "<s_", "<",
    "<s_menu><s_nm>Coffee</s_nm><s_cnt>2</s_cnt><s_price>5.00</s_price><sep/><s_nm>Tea</s_nm>"
    "<s_price>2.50</s_price></s_menu><s_total><s_total_price>7.50</s_total_price></s_total>",
    "<s_question>When is the break?</s_question><s_answer>11:14 to 11:39 a.m.</s_answer>",
    "<s_class><advertisement/></s_class>",
]
PIECES = ["<s_a>", "</s_a>", "<s_b>", "</s_b>", "<s_a>", "</s_a>", "<S_B>", "</s_B>", "<s_c>", "<sep/>",
          "<sep/>", "x", " y ", "\n", "<yes/>", "<no/>", "<maybe/>", "<", ">", "<s_", "/s_a>", "12.50",
          "\u00e9", "</s_c>", "<s_b>1</s_b>", "<s_a>2</s_a>", "<s_c><s_b>3</s_b></s_c>"]


class Reader:
    token2json = DonutProcessor.token2json


def tokenizer():
    vocab = {token: i for i, token in enumerate(ADDED)}
    vocab |= {chr(c): len(ADDED) + i for i, c in enumerate(range(33, 127))}
    added = [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": i < 3} for i, token in enumerate(ADDED)]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/data/documents")
    out = pathlib.Path(parser.parse_args().out)
    (out / "tokenizer").mkdir(parents=True, exist_ok=True)
    (out / "tokenizer" / "tokenizer.json").write_text(json.dumps(tokenizer(), indent=1) + "\n")
    (out / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "<pad>",
         "unk_token": "<unk>"}, indent=1) + "\n")
    rng = random.Random(4)
    texts = BY_HAND + ["".join(rng.choices(PIECES, k=rng.randint(1, 14))) for _ in range(1500)]
    with open(out / "trees.jsonl", "w", encoding="utf-8") as file:
        for text in texts:
            tree = Reader().token2json(text, added_vocab=ADDED)
            file.write(json.dumps([text, tree], ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
