#!/usr/bin/env python3
"""Writes src/text/unicode_table.inc: what tokenizers 0.15.2 takes each code point for.

    make_tables.py CLASSES.json > src/text/unicode_table.inc

CLASSES.json is the list of classes that was measured from the reference (unicode_classes.json
beside the shared vocabularies). One class is not in it, the regex crate's \\w, on which
`single_word` of an added token depends; it is measured here, so the reference environment is
needed.

The table is a sorted list of breakpoints: the code point from which on a set of classes holds,
and that set, packed in one 32-bit number (code << 11 | classes)."""
import json
import sys

CLASSES = [  # bit, name in the C header, key in CLASSES.json
    ("LETTER", "regex_letter"),
    ("NUMBER", "regex_number"),
    ("SPACE", "regex_space"),
    ("WHITE", "whitespace"),
    ("WORD", None),
    ("BERT_REMOVED", "bert_removed"),
    ("BERT_SPACE", "bert_to_space"),
    ("BERT_CJK", "bert_cjk"),
    ("BERT_PUNCTUATION", "bert_punctuation"),
    ("BERT_MARK", "bert_mark_stripped"),
    ("UNORDERED_MARK", "nfd_mark_order_differs"),
]
LAST = 0x10FFFF


def measure_word():
    """\\w: a single_word token is not matched before such a character."""
    from tokenizers import AddedToken, Tokenizer, models
    tok = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tok.add_tokens([AddedToken("ab", single_word=True, normalized=False)])
    ab = tok.token_to_id("ab")
    codes = [c for c in range(LAST + 1) if not 0xD800 <= c <= 0xDFFF]
    found = []
    for at in range(0, len(codes), 64):
        part = codes[at:at + 64]
        text = "".join("\u2028ab" + chr(c) for c in part) + "\u2028"
        encoding = tok.encode(text)
        free = {o[1] for i, o in zip(encoding.ids, encoding.offsets) if i == ab}
        # Every group is 4 code points long, the measured one last.
        found += [c for k, c in enumerate(part) if 4 * k + 3 not in free]
    return found


def main():
    known = json.load(open(sys.argv[1], encoding="ascii"))
    bits = [0] * (LAST + 2)
    for bit, (_, key) in enumerate(CLASSES):
        codes = (c for first, last in known[key] for c in range(first, last + 1)) \
            if key else measure_word()
        for c in codes:
            bits[c] |= 1 << bit
    print("/* Made by tools/unicode/make_tables.py: do not edit. code << %d | classes. */"
          % len(CLASSES))
    points = [(c, bits[c]) for c in range(LAST + 1) if c == 0 or bits[c] != bits[c - 1]]
    numbers = ["0x%x" % (c << len(CLASSES) | b) for c, b in points]
    line = ""
    for n in numbers:
        if len(line) + len(n) + 1 > 90:
            print(line)
            line = ""
        line += n + ","
    print(line)


if __name__ == "__main__":
    main()
