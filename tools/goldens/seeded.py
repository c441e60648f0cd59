"""Weights that need no file: a parameter's values are a function of seed, gain, name and shape,
and tests/support/seeded.c computes the same ones.  Gradients as a few numbers ("sketches").

    stream = FNV-1a(name) ^ seed * G         G = 0x9E3779B97F4A7C15, all modulo 2^64
    z[i] = splitmix64's i-th output from that state: mix(stream + (i + 1) G)
    u[i] = (z[i] >> 40) / 2^23 - 1           24 bits, in [-1, 1): exact in float32

    one dimension, "….weight" or "…lambda_N" (norms, layer scale):  1 + u / 4
    one dimension, else (biases):                                   0.2 u
    more: u * gain * sqrt(3 / F), F = product of all dimensions but the first
          (of [1, T, D] tables: D), so that products keep deviation `gain`
    none (a scale): stays as the config makes it

Gradients are kept as one matrix, "sketches" [rows, 8], in the order of their sorted names.  A
gradient, flat, is cut into P = min(4, ceil(n / 1024)) pieces of ceil(n / P) numbers, a row each:
its products with eight vectors of signs, sign j of element i being bit 63 - j of z[i] of the
stream of "sketch." + name, seed 0; 1 is minus.
"""
import json
import math
import os

import numpy as np
import torch

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2 ** 64 - 1
CHUNK = 1 << 20         # keeps the work in the cache and the memory small
VECTORS, PIECE, MOST_PIECES = 8, 1024, 4


def stream(seed, name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h ^ (seed * GOLDEN & MASK)


def bits(state, first, count):
    """splitmix64's outputs number first … first + count - 1."""
    with np.errstate(over="ignore"):
        z = np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        z += np.uint64(state)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fan_in(shape):
    shape = list(shape)
    while len(shape) > 2 and shape[0] == 1:
        shape.pop(0)
    return math.prod(shape[1:])


def values(seed, gain, name, shape):
    """float32, flat."""
    n, state = math.prod(shape), stream(seed, name)
    out = np.empty(n, np.float32)
    scale = np.float32(0.2)
    if len(shape) > 1:
        scale = np.float32(gain * math.sqrt(3 / fan_in(shape)))
    last = name.rsplit(".", 1)[-1]
    around_one = len(shape) == 1 and (last == "weight" or last.startswith("lambda_"))
    for i in range(0, n, CHUNK):
        count = min(CHUNK, n - i)
        u = (bits(state, i, count) >> np.uint64(40)).astype(np.float32)
        u = u * np.float32(2.0 ** -23) - np.float32(1)
        out[i:i + count] = 1 + u * np.float32(0.25) if around_one else u * scale
    return out


def fill(model, seed, gain):
    """Tied parameters once, under the name that named_parameters() gives."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim:
                p.copy_(torch.from_numpy(values(seed, gain, name, p.shape)).reshape(p.shape))
        # TrOCR's sinusoidal table registers an uninitialised one-element buffer.
        for name, b in model.named_buffers():
            if name.endswith("_float_tensor"):
                b.fill_(1.0)


def write_weights(folder, seed, gain):
    with open(os.path.join(folder, "weights.json"), "w", encoding="utf-8") as f:
        json.dump({"seed": seed, "gain": gain}, f)
        f.write("\n")


# ---------------------------------------------------------------- gradients

def sketch(name, gradient):
    n, state = gradient.size, stream(0, "sketch." + name)
    pieces = min(MOST_PIECES, -(-n // PIECE))
    width, out = -(-n // pieces), np.zeros((pieces, VECTORS))
    for piece in range(pieces):
        end = min(n, (piece + 1) * width)
        for i in range(piece * width, end, CHUNK):
            z = bits(state, i, min(CHUNK, end - i))
            g = gradient[i:i + z.size].astype(np.float64)
            for j in range(VECTORS):
                minus = (z >> np.uint64(63 - j)) & np.uint64(1)
                out[piece, j] += np.where(minus, -g, g).sum()
    return out.astype(np.float32)


def sketch_gradients(out):
    """The answers of a call with "sketches" in place of grad.NAME, and its largest gradient."""
    grads = {k: v for k, v in out.items() if k.startswith("grad.")}
    rest = {k: v for k, v in out.items() if k not in grads}
    rows = [sketch(k[len("grad."):], grads[k].numpy().reshape(-1)) for k in sorted(grads)]
    rest["sketches"] = torch.from_numpy(np.concatenate(rows))
    return rest, max(float(v.abs().max()) for v in grads.values())
