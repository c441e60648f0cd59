"""bench_vipllava's works in llama.cpp: its llama-bench on GGUF files of the same shapes.

    PYTHON bench/peers_llama.py --threads 2 --bench BUILD/bin/llama-bench --gguf DIR

answers requests on stdin (README.md), usually by run.py. DIR has SHAPE-TYPE.gguf (1b-q4_0.gguf,
7b-q8_0.gguf, 1b-bf16.gguf, …) and beside each, in SHAPE-TYPE.gguf.json, "bytes_per_token". Each
request starts llama-bench anew, for it is no server; what it needs to load is not timed.
"""
import argparse
import json
import os
import resource
import subprocess

import serving

TYPES = {"int4": "q4_0", "int8": "q8_0"}        # others: as ours
STEPS, PROMPT = 16, 640

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--bench", required=True)
parser.add_argument("--gguf", required=True)
args = parser.parse_args()


class Llama(serving.Peer):
    """Its works are whatever there is a file for."""

    def answer(self, request):
        name, warm, repeat = request.split()
        shape, weights, what = name.split("/")
        kind = weights.split("+")[0]
        model = os.path.join(args.gguf, f"{shape}-{TYPES.get(kind, kind)}.gguf")
        tokens = {"decode": STEPS, "prefill": PROMPT}[what]
        if not os.path.exists(model):
            raise FileNotFoundError(model)
        if int(repeat) == 0:
            return {"work": name, "ms": []}
        size = ["-p", "0", "-n", str(STEPS)] if what == "decode" else ["-p", str(PROMPT), "-n", "0"]
        # Its own untimed run, which it does by default, is one token or as long as the prompt.
        warmth = [] if int(warm) or what == "decode" else ["--no-warmup"]
        # One core a thread, as bench_vipllava has it.
        mask = hex(sum(1 << core for core in os.sched_getaffinity(0)))
        out = subprocess.run([args.bench, "-C", mask, "--cpu-strict", "1", "-m", model, "-t", str(args.threads), *size, "-r",
                              repeat, *warmth, "-o", "jsonl"], capture_output=True, text=True,
                             check=True).stdout
        speeds = json.loads(out.splitlines()[-1])["samples_ts"]
        # A step of decoding, or all of the prompt.
        ms = [1e3 / s * (1 if what == "decode" else tokens) for s in speeds]
        answer = {"work": name, "ms": ms,
                  "rss_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}
        if what == "decode":
            with open(model + ".json", encoding="utf-8") as f:
                answer["gb"] = 1e-9 * json.load(f)["bytes_per_token"]
        return answer


Llama({}, None).serve({"who": "llama.cpp", "threads": args.threads, "isa": "native"})
