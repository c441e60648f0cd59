"""Makes tests/data/documents/markup.jsonl: what NougatTokenizerFast of Transformers 4.37.2 makes of
what a Nougat writes.

    python tools/goldens/make_markup.py [--out tests/data/documents] [--check N] [--seed N]

A line is [text, post_process_generation(text, False), post_process_generation(text, True)]; null
for a result that is as the text before it. Needs Levenshtein and nltk, but not nltk's words: without
them every last word is followed by a space. --check writes N random texts to standard output.
"""
import argparse
import json
import pathlib
import random
import signal
import sys

from transformers.models.nougat.tokenization_nougat_fast import NougatTokenizerFast

LONG = "a title that is far too long to be one and goes on and on until it has more than a hundred " \
       "characters in it"
SENTENCE = "The quick brown fox jumps over the lazy dog and comes back. "
REFERENCE = "* [{}] A. Author and B. Writer, On the theory of everything, J. Phys. **{}** (19{})."
ROW = "a & b \\\\ "

BY_HAND = [
    "", " ", "\n", "x", "X", "A\n", "5", "word", "A sentence.", "{x}", "# Title", "## 1.2.3 ", "# 1 \n\n x",
    "# ivx.2\nText", "# ii.", "# ..1\n\nText", "Text\n# Title", "Text\n#Title", "Text\n## ", "Text\n### T\n",
    "# " + LONG, "## 12. " + LONG, "x\n# 12345" + LONG + "\ny", "x\n#" + LONG, "# \n" + LONG, "#  x" + LONG,
    "x\n# 1" + "2" * 120, "x\n# " + "2" * 99, "x\n# " + "2" * 100, "x\n# " + "2" * 101,
    "a\n* [leftmargin=*]\nb", "a\n* [leftmargin=*]\n* [leftmargin=*]\nb",
    SENTENCE * 5, "Intro. " + SENTENCE * 4, SENTENCE.upper() + SENTENCE * 3, "x" * 200, "ab" * 61, "abc" * 45,
    "Text here. " + "and again the same words without an end " * 4, "\n".join(["the very same line of text here"] * 5),
    "\u0130" * 70, "\u03a3\u0391\u03a3 " * 20, "\u03a3 " * 60, "It is \u0130stanbul. " + "One \u0130 more of this and that thing " * 3,
    "short", "a" * 59, "a" * 60, "a" * 61, "a" * 62, "a" * 63, "." * 80, "\n".join("ab" * 40),
    "* [1] A. B. C. D. E. F. G. H. I. J. K. and more\nx", "* [1] A. B. C. D. E. F. G. H. I.\nx",
    "* [1]A.B.C.D.E.F.G.H.I.J.\nnext line\nx", "* [1] A.  B.  C.  D.  E.  F.  G.  H.  I.  J.  K.\nx",
    "* [12] A...B. C. D. E. F. G. H. I. J. X. K", "* [1][] Author", "* [12][]", "x * [1][] y",
    "a\n\nText", "Text\n\nb", "Text\n\nb\n", "\u00e9\n\nText", "_\n\nText\n\n\u4e00", "a\n\nb",
    "let _x__1_ be", "(_x__ab_)", " _x__abcd_ ", " _x__1_._y__2_ ", " _x_ and _y_, 1_z_2", ",_a_;", "\u00a0_a_\u0663",
    "x\nFootnote 1: footnotetext: The note\n\ny", "x\nFootnote 1: thanks: The note", "x\nFootnote 1: thanks: The note\ny",
    "x\nFootnote 1: thanks:  \n\n", "x\nFootnote: a: thanks: b: thanks:\n\nc\n\nd", "x\nFootnote 2: thanks:!\ny",
    "x\nFootnote 2: thanks: ...\n.\n\ny", "x\nFootnote 1: thanks:",
    "a [FOOTNOTE:1] note [ENDFOOTNOTE] b", "[FOOTNOTE:] x] y [ENDFOOTNOTE]", "[FOOTNOTE:1\n] x[ENDFOOTNOTE]",
    "[FOOTNOTE:a][ENDFOOTNOTE][FOOTNOTE:b]c[ENDFOOTNOTE]", "[FOOTNOTE:a[ENDFOOTNOTE]",
    "* first item * second item * third item", "- one thing - two things - 1.2 three things", "* a b * c * d e",
    "text\n* 1 one item * 1.1 sub item * 1.1.1 sub sub item\nmore", "* i one - ii two things", "- one thing * two things",
    "*one thing * two things", "** one * two things", "* - one * two", "* 1 - foo", "* i - foo * bar baz", "* * x y",
    "* 1.2 a b * x.1 c d * i.v.x e f * 1.23 g h * 1..2 i j * \u0131.\u0130 k l", "* a * ", "*  * a b", "* a\tb * c d",
    "x\n- a b - c d", "- a b - c d\n\ny", "* a b * c d\n- e f - g h",
    "Figure 1: x", "x\nFigure 1: x", "x\nTable 1", "**Bold** x", "\\begin{x} y", "x.\nTable 1.", ",", ";\n", "a:",
    "\\begin{table} \\begin{tabular}{l l} & \\ \\end{tabular} \\end{table} Table 1: x",
    "x \\begin{tabular}{l l}  & \\\\ \\end{tabular} y", "\\begin{tabular}{}\n\n\\end{tabular}",
    "text \\begin{table} more \\begin{tabular} x", "\\begin{tab", "x\\begin{tab\\begin{tab", "\\begin{array}[]{ll} x",
    "\\begin{tabular}{l l} & & \\\\ \\end{tabular}", "\\begin{tabular}{lcr}\n & \n \\end{tabular} x",
    "\\begin{tabular}{l} & \\\\ \\end{tabular}", "\\begin{tabular}{ll} & \n & \\\\ \\end{tabular}",
    "\\begin{tabular}{ll}\\\\ \\end{tabular}", "\\begin{tabular}{ll} \\end{tabular}", "\\begin{tabular}{ll}\\end{tabular}",
    "x\n" + "\\begin{tabular}" * 16 + "\ny", "x\n" + "\\begin{tabular}" * 15 + "\ny", "\\multicolumn " * 61,
    "\\multicolumn " * 60 + "\nx", "a\n" + ROW * 401 + "\nb\nc " + ROW * 401 + " d", "& " * 400, "&" * 401 + "x\n" + "&" * 401,
    "**S. A. B.**\n**S. A. B.**\n\nx", "**S. A. B.**\nx", "x\n**S. A. B.**\n\n\n**S. A. B.**\n",
    "x\n# a\ny", "x\n## [\ny", "x\n#\ny", "x\n# ab\ny", "x\n### 5\n", "#\n# \nx", "x\n.\ny", "x\n. \n\n y", ".", "x\n.\n\n",
    "a\n\n\n\nb\n\n\nc", "x\n\n\n",
    "(1.2a) \\[x = y\\]", "x\n(1) \\[x\\]\ny", "(1) \\[\\]", "(1) \\[x\\] y", "(1ab) \\[x\\]", "() \\[x\\]",
    "\\[x = y\\] (1.2a)", "\\[x\\] (1) \\[y\\] (2)", "\\[x\\] (1) \\[y\\]", "\\[x\\] (a) \\[y\\] (2) \\[z\\]", "\\[x\\] (1) \\[\\]",
    "\\[\\] (1)", "\\[\\]\\] (1)", "a\\. b", "\\bm{x} {\\\\bm y} {\\bm z}", "\\mbox{\\boldmath$x$} \\mbox{ \\boldmath$y$}",
    "\\mbox{\\boldmath$x", "\\mbox{\\boldmath$$}", "\\mbox{  \\boldmath$x$}", "\\mbox{\\boldmath$x\n$}",
    "see http://example.com/a_b?c=d.", "https://a.b ftp://a.b.c/~x#y, http://a. http://a.b. http://ab.cd:",
    "http://\u00e9.\u00e8/\u4e00", "http://a-b.c_d.e-f", "xhttp://a.bc", "httphttps://a.bc", "http://a.b.http://c.de",
    "http://a..b", "http://a.b-", "http://.a.b", "(https://arxiv.org/abs/1706.03762)", "http://a.bc...:,",
    "```x```", "``` x ```", "```\n\n x y \n```\n```z```", "``` ```", "``````", "```````", "``` \n ``` ```", "``` ```x", "```a",
    "``` ``` ", "```` ````", "```\u00a0a\u00a0```", "`` ` ```x```",
]
REFERENCES = [
    [REFERENCE.format(i, i, 50 + i) for i in range(1, 25)],
    ["## References"] + [REFERENCE.format(i, i, 50 + i) for i in range(1, 25)],
    ["Text before.", "", "## References", ""] + [REFERENCE.format(i, i, 50 + i) for i in range(1, 19)] + ["Other text."],
    ["Text that is something else"] + ["the same line, number %d" % i for i in range(17)] + ["99 the next page"],
    ["Quite different * [1] the same line, number"] + ["the same line, number %d" % i for i in range(17)] + ["the next page"],
    ["x"] + ["the same line", "", ""] * 12 + ["y", "the same liner", "z"],
    ["a"] * 30, ["abcd"] * 15, ["abcd"] * 14 + ["x"], ["abcd"] * 16 + ["x"], ["[MISSING_PAGE_FAIL:1]"] * 20,
    ["q" * 199] * 17 + ["z"], ["q" * 200] * 17, ["abcd"] * 17 + ["", "", "abce", "efgh * [1] tail"],
    ["other", "abcd", "abce"] + ["abcd"] * 17 + ["wxyz * [1] t"], ["first line"] + ["abcd%d" % i for i in range(20)],
    ["one", "two"] + ["abcdefghij"] * 10 + ["x"] + ["abcdefghij"] * 10 + ["x", "y", "z", "w"] + ["abcdefghij"] * 20 + ["end"],
    ["one"] + ["abcdefghijk"] * 20 + ["two and three"] + ["klmnopqrstu"] * 20 + ["12abc", "\u4e00\u4e8cabc"],
    ["head"] + ["* [%d] Some reference text" % i for i in range(20)] + ["* [21] Some quite another thing", "tail"],
    ["## References", "", "[MISSING_PAGE_POST]"], ["## References", "[MISSING_PAGE_POST:12]", "x"], ["## References [MISSING_PAGE_POST]"],
    ["head", "text * [9] abcdefghij and"] + ["abcdefghij"] * 18 + ["abcdefgh next"],
    ["head", "text abcdefghij"] + ["**abcdefghij_1_**"] * 18 + ["\u00bd\u4e00abc"],
]
WORDS = [
    "the", "of", "a", "I", "We", "sum", "x", "_x_", " _x__1_ ", "1", "2.3", "(4)", ".", ",", ":", ";", "?", "!", "\n", "\n\n", "\n", " ",
    "  ", "\t", "# ", "## ", "###", "#", "* ", "- ", " * ", " - ", "* [1] ", "* [12][]", "**", "i", "iv", "x.", "1.2 ", "A. B. ", "A.",
    "\\[", "\\]", " \\[", "\\] ", "(1)", "(1.2a) ", " (3)", "$", "$}", "\\mbox{\\boldmath$", "\\mbox{ \\boldmath$", "\\bm{x}",
    "{\\\\bm ", "\\. ", "\\begin{tabular}", "\\end{tabular}", "\\begin{table}", "\\end{table}", "{l l}", "{ll}", "{lcr}", " & ", "&",
    "\\\\", " \\\\ ", "\\begin{array}[]{", "\\multicolumn", " Tab", "Table", "Figure", "\nFootnote 1:", " footnotetext:", " thanks:",
    "[FOOTNOTE:", "]", "[ENDFOOTNOTE]", "[", "```", "`", "http://", "https://", "ftp://", "a.b", ".c", "/x", "~", "%20", "-", "_",
    "[MISSING_PAGE_POST]", "[MISSING_PAGE_FAIL:1]", "## References\n", "**S. A. B.**\n", "\u00e9", "\u03a3", "\u0130", "\u4e00", "\u0664",
    "\u00a0", "\u2028", "\x85", "\x1c", "\U0001d54f", "\u0301", "same line again\n", "same line again %d\n", SENTENCE, LONG,
]


def random_text(rng):
    kind = rng.random()
    if kind < 0.08:             # lines alike
        base = "".join(rng.choices(WORDS, k=rng.randint(1, 4))).replace("\n", " ")
        made = []
        for _ in range(rng.randint(1, 3)):
            made += ["".join(rng.choices(WORDS, k=3)) for _ in range(rng.randint(0, 6))]
            made += [base + rng.choice(["", "1", "22", "x", "_", "**"]) if rng.random() < 0.95 else "" for _ in range(rng.randint(12, 24))]
            made += [base[:rng.randint(0, len(base))] + rng.choice(["", "7", " next * [3] page", "\u4e00z"])]
        return "\n".join(made)
    text = "".join(rng.choices(WORDS, k=rng.randint(1, 30)))
    if kind < 0.16:             # an end that repeats
        text += "".join(rng.choices(WORDS, k=rng.randint(4, 12))) * rng.randint(2, 4)
    if kind > 0.9:
        text = "\n".join("".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(rng.randint(2, 8)))
    return text.replace("%d", str(rng.randint(1, 99)))


class Tokenizer:
    """The functions alone: they use nothing of the tokenizer."""
    remove_hallucinated_references = NougatTokenizerFast.remove_hallucinated_references
    correct_tables = NougatTokenizerFast.correct_tables
    post_process_single = NougatTokenizerFast.post_process_single


def too_long(*_):
    raise TimeoutError


def results(text):
    """None where the reference does not come to an end, or fails."""
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(5)
    try:
        plain = Tokenizer().post_process_single(text, False)
        fixed = Tokenizer().post_process_single(text, True)
    except TimeoutError:
        print("the reference takes too long:", repr(text)[:200], file=sys.stderr)
        return None
    finally:
        signal.alarm(0)
    if len(fixed) > 100000:
        return None
    return [text, None if plain == text else plain, None if fixed == plain else fixed]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/data/documents")
    parser.add_argument("--check", type=int)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    if options.check:
        texts = [random_text(rng) for _ in range(options.check)]
    else:
        texts = BY_HAND + ["\n".join(lines) for lines in REFERENCES] + [random_text(rng) for _ in range(90)]
    lines = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in map(results, texts) if r]
    if options.check:
        sys.stdout.writelines(lines)
    else:
        pathlib.Path(options.out, "markup.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
