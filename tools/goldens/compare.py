#!/usr/bin/env python3
"""What of tests/data and fuzz/corpus is not as committed after make_all.sh, and by how much: tensors
and numbers in JSON by the worst difference over the largest value, everything else by its bytes.

    python compare.py [--within 1e-6]

Exits with 1 if a file differs by more, is gone or is new.
"""
import argparse
import json
import os
import subprocess
import sys

import torch
from safetensors.torch import load

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
FAR = float("inf")


def git(*words):
    return subprocess.check_output(("git", "-C", TOP, *words))


def tensors_off(old, new):
    old, new = load(old), load(new)
    if old.keys() != new.keys():
        return FAR
    worst = 0.0
    for name, a in old.items():
        b = new[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            return FAR
        if a.is_floating_point():
            a, b = a.double(), b.double()
            off = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs())
            size = float(a[a.isfinite()].abs().max()) if a.isfinite().any() else 1.0
            worst = max(worst, float(off.max()) / (size or 1.0) if off.numel() else 0.0)
        elif not torch.equal(a, b):
            return FAR
    return worst


def values_off(a, b):
    """Of two JSON values: numbers may differ, nothing else."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) / max(abs(a), 1.0) if a != b else 0.0
    if type(a) is not type(b):
        return FAR
    if isinstance(a, dict):
        return max(map(values_off, a.values(), (b[k] for k in a)), default=0.0) \
            if a.keys() == b.keys() else FAR
    if isinstance(a, list):
        return max(map(values_off, a, b), default=0.0) if len(a) == len(b) else FAR
    return 0.0 if a == b else FAR


def off(path):
    old = git("show", "HEAD:" + path)
    with open(os.path.join(TOP, path), "rb") as f:
        new = f.read()
    if path.endswith(".safetensors"):
        return tensors_off(old, new)
    if path.endswith(".json"):
        return values_off(json.loads(old), json.loads(new))
    if path.endswith(".jsonl"):
        return values_off(*([json.loads(x) for x in y.splitlines()] for y in (old, new)))
    return FAR


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--within", type=float, default=1e-6)
    within, bad = parser.parse_args().within, 0
    for line in git("status", "--porcelain", "-uall", "tests/data", "fuzz/corpus").splitlines():
        how, path = line[:2].decode().strip(), line[3:].decode()
        worst = off(path) if how == "M" else FAR
        bad += worst > within
        print(f"{path}: " + ("new" if how == "??" else "gone" if how == "D" else
                             "another file" if worst == FAR else f"off by {worst:.2g}"))
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
