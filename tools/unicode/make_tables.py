#!/usr/bin/env python3
"""Writes src/text/unicode_table.inc: what tokenizers 0.15.2 takes each code point for.

    make_tables.py CLASSES.json > src/text/unicode_table.inc

CLASSES.json is the list of classes that was measured from the reference (unicode_classes.json
beside the shared vocabularies). What is not in it is measured here, so the reference
environment is needed: the regex crate's \\w, on which `single_word` of an added token depends,
char::is_numeric, combining marks, and where grapheme clusters break.

The result is a list of sets of classes, and a sorted list of breakpoints: the code point from
which on a set holds, and its place in the list of sets, packed as code << 11 | place."""
import json
import struct
import sys
import unicodedata

CLASSES = [  # name in the C header, key in CLASSES.json or how it is measured
    ("LETTER", "regex_letter"),
    ("NUMBER", "regex_number"),
    ("SPACE", "regex_space"),
    ("WHITE", "whitespace"),
    ("WORD", "measure_word"),
    ("BERT_REMOVED", "bert_removed"),
    ("BERT_SPACE", "bert_to_space"),
    ("BERT_CJK", "bert_cjk"),
    ("PUNCTUATION", "bert_punctuation"),
    ("BERT_MARK", "bert_mark_stripped"),
    ("INERT", "find_inert"),
    ("MARK", "measure_marks"),
    ("NUMERIC", "measure_numeric"),
]
BREAK_SHIFT = 24
BREAKS = ["OTHER", "CONTROL", "CR", "LF", "EXTEND", "ZWJ", "SPACING", "PREPEND", "PICTOGRAPH",
          "REGIONAL", "L", "V", "T", "LV", "LVT"]
LAST = 0x10FFFF
CODES = [c for c in range(LAST + 1) if not 0xD800 <= c <= 0xDFFF]


def measure_word(_):
    """\\w: a single_word token is not matched before such a character."""
    from tokenizers import AddedToken, Tokenizer, models
    tok = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tok.add_tokens([AddedToken("ab", single_word=True, normalized=False)])
    ab = tok.token_to_id("ab")
    found = []
    for at in range(0, len(CODES), 64):
        part = CODES[at:at + 64]
        text = "".join("\u2028ab" + chr(c) for c in part) + "\u2028"
        encoding = tok.encode(text)
        free = {o[1] for i, o in zip(encoding.ids, encoding.offsets) if i == ab}
        # Every group is 4 code points long, the measured one last.
        found += [c for k, c in enumerate(part) if 4 * k + 3 not in free]
    return found


def find_inert(known):
    """No decomposition, no combining class: what is newer than the crate's Unicode 9 and has
    either by now, and what no Unicode that this was measured with has (it may get them)."""
    lists = ("nfd_mark_order_differs", "nfd_differs", "nfkd_differs")
    new = {c for key in lists for first, last in known[key] for c in range(first, last + 1)}
    return new | {c for c in CODES if unicodedata.category(chr(c)) == "Cn"}


def measure_marks(_):
    from tokenizers import normalizers
    strip = normalizers.StripAccents()
    return [c for c in CODES if strip.normalize_str("x" + chr(c)) == "x"]


def measure_numeric(_):
    from tokenizers import pre_tokenizers
    split = pre_tokenizers.Digits(individual_digits=True)
    return [c for c in CODES if len(split.pre_tokenize_str("x" + chr(c))) == 2]


# ---- grapheme clusters ---------------------------------------------------------------------

def charsmap(table):
    """A Precompiled normalizer that replaces what begins with a byte of `table`."""
    from tokenizers import normalizers
    units, texts = [0] * 1024, b""
    units[0] = 256 << 10
    for byte, text in table.items():
        at = 256 ^ byte
        units[at] = byte | 1 << 8 | 512 << 10
        units[at ^ 512] = len(texts)
        texts += text.encode() + b"\0"
    blob = struct.pack("<%dI" % (len(units) + 1), len(units) * 4, *units) + texts
    return normalizers.Precompiled(blob).normalize_str


def measure_breaks():
    """A cluster of fewer than six bytes is looked up, and replaced, as a whole; a longer one
    code point by code point. So what is replaced tells what was one cluster."""
    leads = list(range(1, 0x80)) + list(range(0xC2, 0xF5))
    a, every = charsmap({0x61: "X"}), charsmap({b: "X" for b in leads})
    sign, acute = charsmap({0xC2: "X"}), charsmap({0xCC: "Y"})
    breaks = {}
    for c in CODES[1:]:
        x = chr(c)
        if a("a" + x) == "X":
            # An emoji, extenders and ZWJ join what follows; SpacingMark is no extender.
            extends = sign("\U0001F600" + x + "\u200d\u00a9\u0301").endswith("X\u0301")
            breaks[c] = "EXTEND" if extends else "SPACING"
        elif every(x + "a") == "X":
            breaks[c] = "PREPEND"
        elif "\u200d" in sign("\u00a9\u200d" + x)[:2]:
            breaks[c] = "PICTOGRAPH"
        elif not acute(x + "\u0301\u0301").endswith("YY"):
            breaks[c] = "CONTROL"
    breaks.update({0: "CONTROL", 13: "CR", 10: "LF", 0x200D: "ZWJ"})
    for first, last, name in ((0x1F1E6, 0x1F1FF, "REGIONAL"), (0x1100, 0x115F, "L"),
                              (0xA960, 0xA97C, "L"), (0x1160, 0x11A7, "V"),
                              (0xD7B0, 0xD7C6, "V"), (0x11A8, 0x11FF, "T"),
                              (0xD7CB, 0xD7FB, "T"), (0xAC00, 0xD7A3, "LVT")):
        breaks.update({c: name for c in range(first, last + 1)})
    # Of the Hangul syllables every 28th has no final consonant; C tells them apart.
    return breaks


# ---- the table -----------------------------------------------------------------------------

def print_numbers(numbers):
    line = ""
    for n in numbers:
        if len(line) + len(n) + 1 > 90:
            print(line)
            line = ""
        line += n + ","
    print(line)


def main():
    known = json.load(open(sys.argv[1], encoding="ascii"))
    bits = [0] * (LAST + 2)
    for bit, (_, how) in enumerate(CLASSES):
        codes = (c for first, last in known[how] for c in range(first, last + 1)) \
            if how in known else globals()[how](known)
        for c in codes:
            bits[c] |= 1 << bit
    for c, name in measure_breaks().items():
        bits[c] |= BREAKS.index(name) << BREAK_SHIFT
    points = [(c, bits[c]) for c in range(LAST + 1) if c == 0 or bits[c] != bits[c - 1]]
    sets = sorted({b for _, b in points})
    assert len(sets) < 2048
    print("/* Made by tools/unicode/make_tables.py: do not edit. */")
    print("static const uint32_t sets[] = {")
    print_numbers("0x%x" % s for s in sets)
    print("};\n\n/* Of the code points below 128, by code point. */")
    print("static const uint32_t ascii_sets[] = {")
    print_numbers("0x%x" % bits[c] for c in range(128))
    print("};\n\n/* code << 11 | place in `sets`; an entry holds up to the next one's code. */")
    print("static const uint32_t breakpoints[] = {")
    print_numbers("0x%x" % (c << 11 | sets.index(b)) for c, b in points)
    print("};")


if __name__ == "__main__":
    main()
