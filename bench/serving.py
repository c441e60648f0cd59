"""The peers' end of the protocol of bench_models --serve (README.md), and what they share.

A peer is a table of works, {name: function}; a function opens what it needs and returns another
that does the work once, and that returns None, or the time of the parts in ms by name.
"""
import json
import os
import resource
import sys
import time

import numpy as np

TOKENS = 32
LINES = ["fox.png", "night.png", "code.png", "receipt.jpg"]


def line_files(count):
    """The pictures that bench_models reads, from the repository's root."""
    return [os.path.join("examples", "lines", LINES[i % 4]) for i in range(count)]


def scatter(n):
    return np.arange(n, dtype=np.uint32) * np.uint32(2654435761)


def floats(*shape):
    """The same numbers as bench/inputs.c makes."""
    x = scatter(int(np.prod(shape))).view(np.int32).astype(np.float32) * np.float32(2.0**-31)
    return x.reshape(shape)


def pixels(batch, side):
    return floats(batch, 3, side, side)


def ids(*shape):
    return 1000 + (scatter(int(np.prod(shape))) // 256 % 20000).astype(np.int64).reshape(shape)


def mixed_texts(count):
    """Texts of 5 to 64 tokens, as bench/inputs.c makes them."""
    def text(i):
        words = 5 + int(scatter(i + 1)[i]) // 256 % 60 - 2
        at = (np.arange(words, dtype=np.uint32) + np.uint32(i * 64)) * np.uint32(2654435761)
        return " ".join(f"w{1000 + int(x) // 256 % 20000}" for x in at)
    return [text(i) for i in range(count)]


def word(size):
    """Letters in no order, one word: the same as bench_tokenizers makes."""
    return (97 + scatter(size) // 256 % 26).astype(np.uint8).tobytes().decode()


def now_ms():
    return 1e3 * time.perf_counter()


def timed_generation(generate):
    """Work of a greedy generation: token_ms is what one more token takes."""
    def once():
        start = now_ms()
        generate(1)
        first = now_ms()
        generate(TOKENS)
        end = now_ms()
        return {"ms": end - first, "token_ms": ((end - first) - (first - start)) / (TOKENS - 1)}
    return once


class Peer:
    def __init__(self, works, check):
        self.works, self.check, self.opened = works, check, {}

    def open(self, name):
        if name not in self.opened:
            self.opened[name] = self.works[name]()
        return self.opened[name]

    def answer(self, request):
        words = request.split(maxsplit=2)
        if words[0] == "check":
            return {"work": words[1], **self.check(words[1], words[2].strip())}
        once = self.open(words[0])
        warm, repeat = (int(w) for w in words[1:3]) if len(words) > 1 else (0, 1)
        for _ in range(warm):
            once()
        times = {}
        for _ in range(repeat):
            start = now_ms()
            parts = once() or {"ms": now_ms() - start}
            for key, value in parts.items():
                times.setdefault(key, []).append(round(value, 4))
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"work": words[0], **times, "rss_mb": round(rss, 1)}

    def serve(self, hello):
        # Libraries print where they like; only answers may reach the driver.
        out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

        def say(answer):
            out.write(json.dumps(answer) + "\n")
            out.flush()
        say(hello)
        for request in sys.stdin:
            if not request.strip():
                continue
            try:
                say(self.answer(request))
            except Exception as e:      # a work that fails here is a line of the results
                say({"work": request.split()[0], "error": f"{type(e).__name__}: {e}"[:300]})


def difference(ours, theirs):
    """How far a peer's numbers are from ocelli's, beside their size."""
    return {"max_abs_diff": float(np.abs(ours - theirs).max()),
            "max_abs": float(np.abs(theirs).max())}
