#!/usr/bin/env python3
"""Mixed text for bench_tokenizers and its peer: the same bytes for the same sources and seed.

    bench/mixed_text.py VOCABS FILE [MB]

English, code, several scripts, numbers and emoji, from the texts of the vocabularies' goldens
(VOCABS/*/goldens.jsonl) and from this repository's documents, header and examples. Those are
130 KB, and ten megabytes of people's text have rarer words than the same 130 KB again and again,
which any cache of words would do too well by. So digits are drawn anew everywhere, and one word
in RARE has a letter changed: 5 % of the words between spaces are then outside the 10 000 most
frequent. Lines end in "\\n", documents of 2 to 64 KB in U+0000, which no line holds.
"""
import glob
import json
import math
import os
import random
import re
import sys

SEED, RARE = 20240219, 30
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
# Percent of the bytes, and the goldens' groups that each kind takes; left out are those that
# are no text: lone specials, kilobytes of one letter, spaces alone, code points unassigned.
KINDS = {
    "english": (40, {"prose", "contractions"}, ["README.md", "docs/*.md"]),
    "code": (20, {"code", "urls"}, ["include/*.h", "examples/*.c"]),
    "scripts": (25, {"latin", "greek_cyrillic", "cjk", "korean", "rtl_indic_thai",
                     "fullwidth", "mixed"}, []),
    "numbers": (8, {"numbers", "math_box", "punctuation"}, []),
    "emoji": (7, {"emoji", "invisible"}, []),
}


def golden_texts(vocabs):
    """{group: texts}, each text once, in the order of the files."""
    groups, seen = {}, set()
    for path in sorted(glob.glob(os.path.join(vocabs, "*", "goldens.jsonl"))):
        with open(path, encoding="ascii") as f:
            for line in f:
                o = json.loads(line)
                if o["kind"] == "text" and o["text"] not in seen:
                    seen.add(o["text"])
                    groups.setdefault(o["group"], []).append(o["text"])
    return groups


def lines_of(texts):
    return [line for text in texts for line in re.split("[\0\n]", text) if line.strip()]


def sources(vocabs):
    """[(percent, lines of goldens, lines of documents)] of each kind."""
    groups = golden_texts(vocabs)
    if not groups:
        sys.exit(f"mixed_text.py: no goldens in {vocabs}")
    for percent, names, patterns in KINDS.values():
        documents = []
        for pattern in patterns:
            for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
                with open(path, encoding="utf-8") as f:
                    documents.append(f.read())
        yield (percent, lines_of(t for name in sorted(names) for t in groups.get(name, [])),
               lines_of(documents))


def vary(rng, line):
    """Digits drawn anew; now and then another letter in a word of ASCII."""
    def digit(match):
        return rng.choice("0123456789")

    def word(match):
        w = match[0]
        if rng.randrange(RARE):
            return w
        at = rng.randrange(len(w))
        return w[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + w[at + 1:]
    return re.sub("[A-Za-z]{3,}", word, re.sub("[0-9]", digit, line))


def make_line(rng, golden, documents):
    """Short texts of the goldens stand together, as sentences do."""
    if documents and (not golden or rng.randrange(4)):
        return vary(rng, rng.choice(documents))
    return " ".join(vary(rng, rng.choice(golden)) for _ in range(rng.randint(1, 4)))


def make(vocabs, size):
    rng = random.Random(SEED)
    kinds = list(sources(vocabs))
    written, out, due = [0] * len(kinds), [], 0
    while sum(written) < size:
        # The kind that is furthest behind its share: a run of it, as in a file of one kind.
        k = max(range(len(kinds)),
                key=lambda i: kinds[i][0] / 100 * sum(written) - written[i])
        percent, golden, documents = kinds[k]
        for _ in range(rng.randint(1, 12)):
            line = (make_line(rng, golden, documents) + "\n").encode()
            out.append(line)
            written[k] += len(line)
        if sum(written) >= due:
            due = sum(written) + int(2048 * math.exp(rng.random() * math.log(32)))
            out.append(b"\0")
    return b"".join(out)


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: mixed_text.py VOCABS FILE [MB]")
    megabytes = float(sys.argv[3]) if len(sys.argv) > 3 else 10
    text = make(sys.argv[1], int(megabytes * 1e6))
    with open(sys.argv[2], "wb") as f:
        f.write(text)


if __name__ == "__main__":
    main()
