"""bench_tokenizers' works by the `tokenizers` library and by Transformers' fast tokenizers.

    PYTHON bench/peers_tokenizers.py --variant encode|batch|transformers --text FILE --vocabs DIR

answers requests on stdin (serving.py); usually started by run.py. One thread.

encode        Tokenizer.encode, a call a text
transformers  tokenizer(text): encode, and what AutoTokenizer's class does apart
"""
import argparse
import os
import time

# Read by the library when it starts; run.py sets them, too.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import numpy as np
import tokenizers
import transformers
from safetensors.numpy import load_file

import serving

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--variant", default="encode", choices=["encode", "transformers"])
parser.add_argument("--text", required=True)
parser.add_argument("--vocabs", required=True)
args = parser.parse_args()

opened = {}


def texts_of(work):
    """Kind of the work, vocabulary, texts."""
    kind, vocab = work.split("-", 1)
    if kind == "word":
        size, vocab = vocab.split("-", 1)
        return vocab, [serving.word(int(size) << 10)]
    with open(args.text, encoding="utf-8", newline="") as f:
        text = f.read()
    if kind == "lines":
        text = text.replace("\n", "\0")
    return vocab, [t for t in text.split("\0") if t]


def tokenizer_of(vocab):
    """The library's, cut and padded nowhere; or the whole class."""
    if vocab not in opened:
        folder = os.path.join(args.vocabs, vocab)
        if args.variant == "transformers":
            opened[vocab] = transformers.AutoTokenizer.from_pretrained(folder)
        else:
            opened[vocab] = tokenizers.Tokenizer.from_file(os.path.join(folder,
                                                                        "tokenizer.json"))
            opened[vocab].no_truncation()
            opened[vocab].no_padding()
    return opened[vocab]


class Work:
    def __init__(self, name):
        vocab, self.texts = texts_of(name)
        self.tokenizer = tokenizer_of(vocab)

    def __call__(self):
        """Each result is let go before the next, as ocelli's are."""
        encode = self.tokenizer.encode if args.variant == "encode" else self.tokenizer
        start, cpu = serving.now_ms(), time.process_time()
        for text in self.texts:
            encode(text)
        return {"ms": serving.now_ms() - start, "cpu_ms": 1e3 * (time.process_time() - cpu)}


def check(work, path):
    """Ids and offsets of every text beside those that bench_tokenizers dumped."""
    ours, w = load_file(path), Work(work)
    at = wrong_ids = wrong_offsets = 0
    encode = w.tokenizer.encode
    if args.variant == "transformers":
        encode = lambda text: w.tokenizer(text).encodings[0]
    for text, count in zip(w.texts, ours["counts"]):
        e = encode(text)
        same = len(e.ids) == count and np.array_equal(e.ids, ours["ids"][at:at + count])
        wrong_ids += not same
        wrong_offsets += same and not np.array_equal(e.offsets, ours["offsets"][at:at + count])
        at += count
    return {"texts": len(w.texts), "ours": len(ours["counts"]), "tokens": len(ours["ids"]),
            "other_ids": int(wrong_ids), "other_offsets": int(wrong_offsets)}


class Works(dict):
    """Every name that can be opened is a work; texts of the last one only are kept."""
    def __missing__(self, name):
        return lambda: Work(name)


class Peer(serving.Peer):
    def open(self, name):
        if name not in self.opened:
            self.opened.clear()
        return super().open(name)


transformers.logging.set_verbosity_error()
Peer(Works(), check).serve({
    "who": "tokenizers-" + args.variant, "threads": 1,
    "version": f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}"})
