#!/usr/bin/env python3
"""ocelli beside its peers: every program in turn, run by run, on the same cores.

    bench/run.py [--torch-python PYTHON] [--ort-python PYTHON] [--threads 1,2] [--rounds 7]
                 [--only vit,trocr,bf16,line,cold,gemm,tokenizers] [--skip torch-freeze,...]
                 [--check]
    bench/run.py --llama-bench LLAMA/bin/llama-bench --gguf DIR --only 1b,7b [--works int4/decode]

Needs nothing but Python 3.9's own library; the peers need environments of their own
(README.md). In each round each program does the work once, in the order A B C A B C …, so that
load on the machine hits all of them. A round's ratio is a peer's time over ocelli's in that
round; the tables show least and median times, the ratio of the least, and the median of the
rounds' ratios. No round is left out; what precedes the first one is opening and warming up.
Appends one JSON line per program, work and number of threads to --results.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time

VOCABS = ["bert-base-uncased", "gpt2", "roberta-base", "xlm-roberta-base", "donut-xlmr", "clip",
          "llama"]

# group: ([(work, untimed runs, timed runs a round)], programs). Short works repeat within a
# round, after an untimed run, since the programs before them have emptied the caches.
GROUPS = {
    "vit": ([("vit-b1", 1, 2), ("vit-b8", 0, 1)],
            ["ocelli", "torch-eager", "torch-compile", "torch-freeze", "ort-plain",
             "ort-fused"]),
    "trocr": ([("trocr-b1", 0, 1)], ["ocelli", "torch-eager", "ort-plain", "ort-fused"]),
    "batch": ([("trocr-b4", 0, 1)], ["ocelli", "torch-eager", "ort-plain", "ort-fused"]),
    "beam": ([("trocr-beam4", 0, 1)], ["ocelli", "torch-eager"]),
    "swin": ([("swin-b1", 0, 1)], ["ocelli", "torch-eager"]),
    "tower": ([("clip-b1", 1, 2), ("clip-bf16-b1", 1, 2)], ["ocelli", "torch-eager"]),
    "text": ([("bert-b32", 1, 2), ("visual-bert-b8", 1, 2)], ["ocelli", "torch-eager"]),
    "vtde": ([("vtde-images-b8", 1, 2), ("vtde-texts-b32", 1, 2), ("vtde-mixed-b32", 1, 2)],
             ["ocelli", "torch-eager"]),
    "bf16": ([("trocr-bf16-b1", 0, 1)], ["ocelli", "torch-eager", "torch-bf16"]),
    "line": ([("line-warm", 2, 5), ("line-batch", 0, 1)],
             ["ocelli", "torch-eager", "ort-plain", "ort-fused"]),
    "cold": ([("line-cold", 1, 3)], ["ocelli", "tesseract"]),
    "gemm": ([(f"gemm-{shape}", 3, 20) for shape in
              ("1024x1024x1024", "197x768x768", "197x3072x768", "197x768x3072")],
             ["ocelli-products", "torch-gemm", "openblas-gemm", "onednn-gemm"]),
    "tokenizers": ([(f"lines-{v}", 0, 1) for v in VOCABS],
                   ["ocelli-tokenizers", "tokenizers-encode", "tokenizers-transformers"]),
    "documents": ([(f"documents-{v}", 0, 1) for v in VOCABS],
                  ["ocelli-tokenizers", "tokenizers-encode"]),
    "word": ([(f"word-{kb}-{v}", 0, 2) for v in VOCABS for kb in (256, 512, 1024)],
             ["ocelli-tokenizers", "tokenizers-encode"]),
}
# Whole language models: SHAPE/WEIGHTS/WHAT (bench_vipllava.c). llama.cpp has no decode4, and no
# answer about a picture.
SHAPES = ["1b", "7b"]
LLAMA = [(f"{weights}/{what}", warm, runs)
         for what, warm, runs in (("decode", 1, 3), ("decode4", 1, 3), ("prefill", 0, 1),
                                  ("answer", 0, 1))
         for weights in ("int4", "int4+int8", "int8", "int8+int8", "bf16", "bf16+bf16")]
for shape in SHAPES:
    GROUPS[shape] = ([(f"{shape}/{work}", warm, runs) for work, warm, runs in LLAMA],
                     ["ocelli-vipllava", "llama.cpp"])
ONE_THREAD_TOO = {"vit", "gemm", *SHAPES}       # the others' targets are for two threads
ONE_THREAD_ONLY = {"tokenizers", "documents", "word"}
CHECKED = {"vit-b1", "trocr-b1", "trocr-bf16-b1", "vtde-images-b8", "vtde-texts-b32",
           "vtde-mixed-b32"}

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", default=os.environ.get("BUILD", "build"))
parser.add_argument("--torch-python", default=os.environ.get("OCELLI_TORCH_PYTHON"))
parser.add_argument("--ort-python", default=os.environ.get("OCELLI_ORT_PYTHON"))
parser.add_argument("--llama-bench", help="llama.cpp's program of that name")
parser.add_argument("--gguf", help="a folder of the same shapes for it; peers_llama.py")
parser.add_argument("--works", help="of the groups of language models only these: int4/decode,…")
parser.add_argument("--threads", default="1,2")
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--only",
                    default="vit,trocr,batch,beam,swin,tower,text,vtde,bf16,line,cold")
parser.add_argument("--skip", default="torch-freeze", help="programs to leave out")
parser.add_argument("--vocabs", default=os.path.join(os.environ.get("OCELLI_SHARED", "../shared"),
                                                     "vocabs"))
parser.add_argument("--models", help="of checkpoints; BUILD/bench/models")
parser.add_argument("--cores", help="which to use, 2,3; the first that are allowed")
parser.add_argument("--isa", default="auto", help="ocelli's kernels")
parser.add_argument("--check", action="store_true", help="compare the outputs, too")
parser.add_argument("--all-threads", action="store_true",
                    help="one thread also where the target is for two")
parser.add_argument("--results", help="BUILD/bench/results.jsonl")
args = parser.parse_args()

BENCH = os.path.join(args.build, "bench")
MODELS = args.models or os.path.join(BENCH, "models")
MIXED_TEXT = os.path.join(BENCH, "mixed.txt")
HERE = os.path.dirname(os.path.abspath(__file__))


def command_of(who, threads):
    """None where the program, or what it needs, is not there."""
    tail = ["--threads", str(threads), "--models", MODELS]
    if who in ("ocelli", "tesseract"):
        return [os.path.join(BENCH, "bench_models"), "--serve", "--isa", args.isa] + tail
    if who == "ocelli-products":
        return [os.path.join(BENCH, "bench_products"), "--isa", args.isa] + tail[:2]
    if who == "ocelli-vipllava":
        return [os.path.join(BENCH, "bench_vipllava"), "--serve", "--isa", args.isa] + tail
    if who == "llama.cpp":
        return args.llama_bench and [sys.executable, "-B", os.path.join(HERE, "peers_llama.py"),
                                     "--bench", args.llama_bench, "--gguf", args.gguf] + tail[:2]
    text = ["--text", MIXED_TEXT, "--vocabs", args.vocabs]
    if who == "ocelli-tokenizers":
        return [os.path.join(BENCH, "bench_tokenizers")] + text
    if who.startswith("tokenizers-"):
        return args.torch_python and [args.torch_python, os.path.join(HERE,
                                                                      "peers_tokenizers.py"),
                                      "--variant", who.split("-")[1]] + text
    if who.endswith("-gemm"):
        script, python = "peers_gemm.py", args.torch_python
    elif who.startswith("torch-"):
        script, python = "peers.py", args.torch_python
    else:
        script, python = "peers_ort.py", args.ort_python
    variant = who.split("-")[0] if who.endswith("-gemm") else who.split("-", 1)[1]
    return python and [python, os.path.join(HERE, script), "--variant", variant] + tail


class Program:
    def __init__(self, who, threads, cores):
        self.who = who
        # Thread counts of OpenMP, MKL and OpenBLAS, whichever a peer uses. Compiled graphs are
        # kept, so that only the first run ever compiles.
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                   OPENBLAS_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1",
                   PYTHONDONTWRITEBYTECODE="1",
                   TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="",
                   TORCHINDUCTOR_CACHE_DIR=os.path.abspath(os.path.join(BENCH, "inductor")))
        self.log = open(os.path.join(BENCH, f"{who}.log"), "w")
        self.process = subprocess.Popen(
            command_of(who, threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, env=env, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores[:threads]))
        self.about = self.read()

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"ended; see {self.log.name}"}

    def ask(self, request):
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.read()
        # Threads that spin after their work would disturb the next program.
        time.sleep(0.1)
        return answer

    def work(self, name, warm, repeat):
        own = "line-cold-tesseract" if self.who == "tesseract" else name
        return self.ask(f"{own} {warm} {repeat}")

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


# ---- the machine -----------------------------------------------------------------------------

def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def cpu_model():
    with open("/proc/cpuinfo") as f:
        fields = dict((word.strip() for word in line.split(":", 1)) for line in f
                      if ":" in line)
    # Virtual machines hide the name; family and model still tell the core.
    return (f"{fields.get('model name', '?')} (family {fields.get('cpu family')} model "
            f"{fields.get('model')})")


def commit():
    changed = output("git", "status", "--porcelain", "--untracked-files=no", "--", "src",
                     "include", "bench")
    return output("git", "rev-parse", "--short", "HEAD") + ("+" if changed else "")


def busy_seconds():
    """Of all cores since boot, by anything."""
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


def others_load():
    """Cores that other programs use at this moment."""
    before, start = busy_seconds(), time.perf_counter()
    time.sleep(1)
    return (busy_seconds() - before) / (time.perf_counter() - start)


# ---- measuring -------------------------------------------------------------------------------

def measure(programs, work, warm, repeat, rounds, first_runs):
    """{who: [answer of each round]}; a program that fails drops out with its error."""
    answers, errors = {}, {}
    for p in programs:
        first = p.about if "error" in p.about else p.work(work, 0, first_runs)
        if "error" in first:
            errors[p.who] = first["error"]
        else:
            answers[p.who] = []
    for _ in range(rounds):
        for p in programs:
            if p.who in answers:
                answer = p.work(work, warm, repeat)
                if "error" in answer:
                    errors[p.who] = answer["error"]
                    del answers[p.who]
                else:
                    answers[p.who].append(answer)
    return answers, errors


def all_of(answers, key):
    return [v for a in answers for v in a[key]]


def gflops(work, ms):
    """A column for products."""
    M, N, K = (int(n) for n in work.removeprefix("gemm-").split("x"))
    return f"{2e-6 * M * N * K / min(ms):.1f} ({2e-6 * M * N * K / statistics.median(ms):.1f})"


def reading(work, rounds, ours):
    """Columns for decoding: a step of several rows reads the weights once. Shares are of the
    bandwidth that ocelli measured in the same round, and of the best it measured in any."""
    ms, gb = all_of(rounds, "ms"), rounds[0].get("gb", 0)
    rows = int(work.rpartition("decode")[2] or 1)
    limits = [a["read_gbps"] for a in ours or []]
    shares = [1e3 * gb / statistics.median(a["ms"]) / limit for a, limit in zip(rounds, limits)]
    return [f"{1e3 * rows / min(ms):.2f} ({1e3 * rows / statistics.median(ms):.2f})",
            f"{1e3 * gb / min(ms):.1f} ({1e3 * gb / statistics.median(ms):.1f})",
            f"{statistics.median(shares):.0%}" if shares else "–",
            f"{1e3 * gb / min(ms) / max(limits):.0%}" if limits else "–"]


def table(work, threads, answers, errors, base, load):
    print(f"\n{work}, {threads} thread{'s' * (threads > 1)} "
          f"(others used {load:.1f} cores before it)\n")
    gemm = work.startswith("gemm-")
    mb = next((a["mb"] for rounds in answers.values() for a in rounds if "mb" in a), None)
    token = any("token_ms" in a for rounds in answers.values() for a in rounds)
    gb = any("gb" in a for rounds in answers.values() for a in rounds)
    print("| program | least ms | median ms | of ocelli, least | of ocelli, median |"
          + " ms a token, least | median | of ocelli, median |" * token
          + " GFLOP/s, best (median) |" * gemm
          + " tokens/s, best (median) | GB/s, best (median) | of reading | of it, best |" * gb
          + " MB/s, best (median) | CPU ms, median | of ocelli, median |" * bool(mb)
          + " peak MB |")
    print("|---" * (6 + 3 * token + gemm + 4 * gb + 3 * bool(mb)) + "|")

    def ratios(rounds, key):
        ours = answers.get(base)
        return ours and statistics.median(
            statistics.median(a[key]) / statistics.median(b[key])
            for a, b in zip(rounds, ours))
    for who, rounds in answers.items():
        ms = all_of(rounds, "ms")
        cells = [who, f"{min(ms):.4g}", f"{statistics.median(ms):.4g}"]
        ours = answers.get(base)
        cells += [f"{min(ms) / min(all_of(ours, 'ms')):.2f}",
                  f"{ratios(rounds, 'ms'):.2f}"] if ours else ["–", "–"]
        if token:
            t = all_of(rounds, "token_ms")
            cells += [f"{min(t):.4g}", f"{statistics.median(t):.4g}",
                      f"{ratios(rounds, 'token_ms'):.2f}" if ours else "–"]
        if gemm:
            cells.append(gflops(work, ms))
        if gb:
            cells += reading(work, rounds, answers.get(base))
        if mb:
            cells += [f"{1e3 * mb / min(ms):.2f} ({1e3 * mb / statistics.median(ms):.2f})",
                      f"{statistics.median(all_of(rounds, 'cpu_ms')):.4g}",
                      f"{ratios(rounds, 'cpu_ms'):.2f}" if ours else "–"]
        cells.append(f"{rounds[-1].get('rss_mb', 0):.0f}")
        print("| " + " | ".join(cells) + " |")
    for who, error in errors.items():
        print(f"\n{who}: {error}")
    sys.stdout.flush()


def keep(machine, work, threads, answers, programs):
    with open(args.results or os.path.join(BENCH, "results.jsonl"), "a") as f:
        for p in programs:
            if p.who not in answers:
                continue
            rounds = answers[p.who]
            line = {**machine, **p.about, "who": p.who, "work": work, "threads": threads,
                    "ms_min": min(all_of(rounds, "ms")),
                    "ms_median": statistics.median(all_of(rounds, "ms")),
                    "ms": [a["ms"] for a in rounds]}
            if "token_ms" in rounds[0]:
                line["token_ms"] = [a["token_ms"] for a in rounds]
            if "cpu_ms" in rounds[0]:
                line["cpu_ms"] = [a["cpu_ms"] for a in rounds]
            line["rss_mb"] = rounds[-1].get("rss_mb")
            f.write(json.dumps(line) + "\n")


def compare(programs, work):
    """Each peer's numbers beside ocelli's, once."""
    path = os.path.abspath(os.path.join(BENCH, "dump.safetensors"))
    answer = programs[0].ask(f"dump {work} {path}")
    if "error" in answer:
        print(f"\n{work}: {answer['error']}")
        return
    for p in programs[1:]:
        print(f"\n{work}, outputs of {p.who} beside ocelli's: "
              + json.dumps(p.ask(f"check {work} {path}")))
    os.remove(path)


def run_group(group, threads, cores, machine):
    works, sides = GROUPS[group]
    if group in SHAPES and args.works:
        works = [w for w in works if w[0].partition("/")[2] in args.works.split(",")]
    load = others_load()
    programs = []
    for who in sides:
        if who not in args.skip.split(",") and command_of(who, threads):
            programs.append(Program(who, threads, cores))
    if "fma_gflops" in programs[0].about:
        about = programs[0].about
        print(f"\n{group}: {about['isa']}, {threads} threads on cores {cores[:threads]}; "
              f"{about['fma_gflops']:.1f} GFLOP/s, {about['read_gbps']:.1f} GB/s")
    try:
        for work, warm, repeat in works:
            # These are opened by that, not run: seconds that warm nothing but the caches.
            first_runs = 0 if group in ONE_THREAD_ONLY or group in SHAPES else 1
            answers, errors = measure(programs, work, warm, repeat, args.rounds, first_runs)
            table(work, threads, answers, errors, sides[0], load)
            keep(machine, work, threads, answers, programs)
            if args.check and (work in CHECKED or group in ONE_THREAD_ONLY):
                compare(programs, work)
    finally:
        for p in programs:
            p.close()


def prepare_ort():
    """Exports what is not there yet, from checkpoints that bench_models writes."""
    folders = {"vit-b1": "vit-b16-224", "trocr-b1": "trocr-base-384"}
    missing = [work for work, folder in folders.items()
               if not os.path.exists(os.path.join(MODELS, folder, "config.json"))]
    if missing:
        subprocess.run([os.path.join(BENCH, "bench_models"), "--runs", "1", "--threads", "1",
                        "--work", ",".join(missing)], stdout=subprocess.DEVNULL, check=True)
    with open(os.path.join(BENCH, "export.log"), "w") as log:
        subprocess.run([args.ort_python, os.path.join(HERE, "peers_ort.py"), "--export",
                        "--models", MODELS], stdout=log, stderr=log, check=True)


def prepare_text():
    if not os.path.exists(MIXED_TEXT):
        subprocess.run([sys.executable, "-B", os.path.join(HERE, "mixed_text.py"), args.vocabs,
                        MIXED_TEXT], check=True)


def main():
    cores = [int(c) for c in args.cores.split(",")] if args.cores else \
        sorted(os.sched_getaffinity(0))
    threads = [int(t) for t in args.threads.split(",")]
    if max(threads) > len(cores):
        sys.exit(f"run.py: {max(threads)} threads, but cores {cores}")
    machine = {"date": datetime.date.today().isoformat(), "commit": commit(),
               "cpu": cpu_model()}
    print(f"{machine['cpu']}, commit {machine['commit']}, {machine['date']}, "
          f"{args.rounds} rounds")
    if args.ort_python and set(args.only.split(",")) & {"vit", "trocr", "batch", "line"}:
        prepare_ort()
    if set(args.only.split(",")) & ONE_THREAD_ONLY:
        prepare_text()
    for group in args.only.split(","):
        for t in [1] if group in ONE_THREAD_ONLY else threads:
            if (t > 1 or group in ONE_THREAD_TOO | ONE_THREAD_ONLY or args.all_threads
                    or threads == [1]):
                run_group(group, t, cores, machine)


main()
