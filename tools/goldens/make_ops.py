#!/usr/bin/env python3
"""Make tests/data/tensor: each row of the op table, forward and backward, by PyTorch.

    python make_ops.py [--out tests/data/tensor]

ops.json lists the cases: op, arguments (names as in src/tensor/op.h) and which inputs have
a gradient.  ops.safetensors holds CASE.inN, CASE.out, CASE.dout (what is fed into the
backward pass; its first element is 1) and CASE.gradN.
"""
import argparse
import json
import math
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import BeitConfig, SwinConfig
from transformers.activations import ACT2FN
from transformers.models.beit.modeling_beit import BeitRelativePositionBias
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb
from transformers.models.swin.modeling_swin import (SwinLayer, SwinPatchMerging,
                                                    window_partition, window_reverse)

tensors, cases = {}, []
generator = torch.Generator().manual_seed(20240122)


def rand(*shape):
    return torch.randn(shape, generator=generator)


def ints(high, *shape):
    return torch.randint(0, high, shape, generator=generator)


def add(name, op, fn, inputs, wanted, **args):
    """inputs: tensors or None; wanted: indices of those with a gradient."""
    leaves = [t.clone().requires_grad_() if t is not None and i in wanted else t
              for i, t in enumerate(inputs)]
    out = fn(*leaves)
    dout = rand(*out.shape)
    dout.view(-1)[0] = 1
    out.backward(dout)
    for i, t in enumerate(inputs):
        if t is not None:
            tensors[f"{name}.in{i}"] = t.contiguous()
        if i in wanted:
            tensors[f"{name}.grad{i}"] = leaves[i].grad.contiguous()
    tensors[f"{name}.out"] = out.detach().contiguous()
    tensors[f"{name}.dout"] = dout
    cases.append({"name": name, "op": op, "wanted": wanted, "args": args})


def attention(heads, scale, causal=False):
    def run(q, k, v, mask, head_mask, mask_rows=None):
        B, Tq, D = q.shape
        shared = D // k.shape[2]        # heads of queries on one head of keys
        if mask_rows is not None:
            mask = mask[mask_rows]
        Tk = k.shape[1]
        split = lambda t: t.view(B, t.shape[1], -1, D // heads).transpose(1, 2)
        k, v = (split(t).repeat_interleave(shared, 1) for t in (k, v))
        s = split(q) @ k.transpose(-1, -2) * scale
        if mask is not None:
            s = s + mask
        if causal:
            seen = torch.ones(Tq, Tk).tril(Tk - Tq).bool()
            s = s.masked_fill(~seen, -math.inf)
        w = s.softmax(-1)
        if head_mask is not None:
            w = w * head_mask.view(1, -1, 1, 1)
        return (w @ v).transpose(1, 2).reshape(B, Tq, D)
    return run


def windows():
    """Transformers' own functions, as SwinLayer and SwinPatchMerging call them."""
    for H, W, side, shift in ((6, 8, 2, 1), (5, 7, 3, 1)):
        pad = lambda x, s=side: F.pad(x, (0, 0, 0, -x.shape[2] % s, 0, -x.shape[1] % s))

        def cut(x, H=H, W=W, side=side, shift=shift, pad=pad):
            x = torch.roll(pad(x.view(2, H, W, -1)), (-shift, -shift), (1, 2))
            return window_partition(x, side).view(-1, side * side, x.shape[-1])

        def paste(y, x, H=H, W=W, side=side, shift=shift, pad=pad):
            _, h, w, C = pad(x.view(2, H, W, -1)).shape
            y = window_reverse(y.view(-1, side, side, C), side, h, w)
            y = torch.roll(y, (shift, shift), (1, 2))[:, :H, :W]
            return x + y.reshape(x.shape)

        x = rand(2, H * W, 3)
        add(f"windows.{H}x{W}", "windows", cut, [x], [0], size=[H, W, side, shift])
        add(f"unwindows.{H}x{W}", "unwindows", paste, [rand(*cut(x).shape), x], [0, 1],
            size=[H, W, side, shift])
        merging = SwinPatchMerging((H, W), 3, norm_layer=lambda n: torch.nn.Identity())
        merging.reduction = torch.nn.Identity()
        add(f"merge.{H}x{W}", "merge", lambda x, m=merging, d=(H, W): m(x, d), [x], [0],
            size=[H, W])
    add("pad", "pad", lambda x: F.pad(x, (0, 3, 0, 1)), [rand(2, 2, 3, 4)], [0], size=[4, 7])
    for side, shift in ((3, 0), (3, 1), (4, 2)):
        layer = SwinLayer(SwinConfig(window_size=side), 4, (9, 9), 2, shift_size=shift)
        masks = layer.get_attn_mask(3 * side, 3 * side, torch.float32)

        def bias(table, a=layer.attention.self, masks=masks, T=side * side):
            y = table[a.relative_position_index.view(-1)].view(1, T, T, 2).permute(0, 3, 1, 2)
            return y if masks is None else y + masks[[0, 2, 6, 8]].unsqueeze(1)
        add(f"relative_bias.{side}.{shift}", "relative_bias", bias,
            [rand((2 * side - 1) ** 2, 2)], [0], size=[side, side, shift, 0])
    beit = BeitRelativePositionBias(BeitConfig(num_attention_heads=2), (2, 3))
    index = beit.relative_position_index
    add("relative_bias.beit", "relative_bias",
        lambda table: table[index.view(-1)].view(1, 7, 7, 2).permute(0, 3, 1, 2),
        [rand(beit.num_relative_distance, 2)], [0], size=[2, 3, 0, 1])


def llama():
    """Llama's own functions; a table is [cosines | sines], each half of emb.cos(), emb.sin()."""
    norm = LlamaRMSNorm(11, 1e-2)

    def rms(x, g):
        norm.weight.data = g.detach()
        return torch.func.functional_call(norm, {"weight": g}, x)
    add("rms_norm", "rms_norm", rms, [rand(3, 2, 11), rand(11)], [0, 1], eps=1e-2)
    for act in ("silu", "gelu"):
        add(f"gated.{act}", "gated", lambda g, u, f=ACT2FN[act]: f(g) * u,
            [rand(2, 3, 7), rand(2, 3, 7)], [0, 1], act=act)
    angles = 3 * rand(2, 5, 3)

    def turn(x, table):
        cos, sin = (torch.cat((t, t), -1).view(10, 6) for t in table.split(3, -1))
        heads = x.view(2, 5, 2, 6).transpose(1, 2)
        y, _ = apply_rotary_pos_emb(heads, heads, cos, sin, torch.arange(10).view(2, 5))
        return y.transpose(1, 2).reshape(x.shape)
    add("rope", "rope", turn, [rand(2, 5, 12), torch.cat((angles.cos(), angles.sin()), -1)],
        [0])
    rows = torch.tensor([[0, 7, -1, 3], [9, 9, 2, 0]])

    def gather(a, rows, b):
        table = torch.cat((a.reshape(-1, 5), b.reshape(-1, 5)))
        return table[rows.clamp(min=0)] * (rows >= 0).unsqueeze(-1)
    add("gather", "gather", gather, [rand(2, 3, 5), rows, rand(1, 4, 5)], [0, 2])
    add("attention.grouped", "attention", attention(4, 0.4, True),
        [rand(2, 5, 12), rand(2, 6, 6), rand(2, 6, 6), None, None], [0, 1, 2], heads=4,
        scale=0.4, causal=True)
    add("attention.grouped_bias", "attention", attention(6, 0.6),
        [rand(2, 3, 12), rand(2, 5, 4), rand(2, 5, 4), rand(1, 6, 3, 5),
         torch.tensor([1, 0.5, 1, 0, 2, 1])], [0, 1, 2, 3], heads=6, scale=0.6)


def make():
    lin = lambda x, w, b, r: F.linear(x, w, b)
    add("linear", "linear", lin, [rand(2, 3, 7), rand(5, 7), rand(5), None], [0, 1, 2])
    add("linear.plain", "linear", lin, [rand(4, 19), rand(33, 19), None, None], [0, 1])
    low = torch.finfo(torch.float32).min
    mask = torch.zeros(2, 1, 1, 6)
    mask[0, :, :, 4:] = low
    add("attention", "attention", attention(2, 0.5),
        [rand(2, 3, 10), rand(2, 5, 10), rand(2, 5, 10), None, None], [0, 1, 2], heads=2,
        scale=0.5)
    add("attention.causal", "attention", attention(3, 0.7, True),
        [rand(1, 4, 12), rand(1, 6, 12), rand(1, 6, 12), None, None], [0, 1, 2], heads=3,
        scale=0.7, causal=True)
    add("attention.masks", "attention", attention(4, 0.3),
        [rand(2, 5, 8), rand(2, 6, 8), rand(2, 6, 8), mask, torch.tensor([1, 0, 0.5, 2])],
        [0, 1, 2], heads=4, scale=0.3)
    add("attention.bias", "attention", attention(3, 0.6),
        [rand(4, 5, 9), rand(4, 5, 9), rand(4, 5, 9), rand(2, 3, 5, 5), None,
         torch.tensor([1, 0, 1, 1])], [0, 1, 2, 3], heads=3, scale=0.6)
    windows()
    add("layer_norm", "layer_norm", lambda x, g, b: F.layer_norm(x, x.shape[-1:], g, b, 1e-5),
        [rand(3, 2, 11), rand(11), rand(11)], [0, 1, 2], eps=1e-5)
    for act in ("gelu", "gelu_new", "quick_gelu", "relu", "silu", "tanh", "sigmoid", "gelu_10",
                "laplace", "leaky_relu", "mish", "relu2", "relu6"):
        add(f"act.{act}", "act", ACT2FN[act], [3 * rand(5, 9)], [0], act=act)
    add("add", "add", torch.add, [rand(2, 3, 5), rand(2, 3, 5)], [0, 1])
    add("add.rows", "add", torch.add, [rand(3, 4, 5), rand(4, 5)], [0, 1])
    add("add.one", "add", torch.add, [rand(3, 4, 5), rand(1, 4, 5)], [0, 1])
    add("scale", "scale", lambda x: x * 2.5, [rand(3, 7)], [0], scale=2.5)
    add("multiply", "multiply", torch.mul, [rand(2, 3, 5), rand(5)], [0, 1])
    add("mean", "mean", lambda x: x.mean(1), [rand(2, 7, 3)], [0])
    add("replace", "replace",
        lambda x, t, w: x * (1 - w.unsqueeze(-1)) + t.expand_as(x) * w.unsqueeze(-1),
        [rand(2, 5, 3), rand(1, 1, 3), ints(2, 2, 5).float(), ], [0, 1])
    add("reshape", "reshape", lambda x: x.reshape(5, 6), [rand(2, 3, 5)], [0], like=[5, 6])
    cat = lambda a, b: torch.cat((a.expand(b.shape[0], -1, -1), b), 1)
    add("concat", "concat", cat, [rand(1, 2, 4), rand(3, 5, 4)], [0, 1])
    add("concat.batch", "concat", cat, [rand(3, 2, 4), rand(3, 1, 4)], [0, 1])
    add("slice", "slice", lambda x: x[:, 2:5], [rand(2, 6, 3)], [0], size=[2, 3])
    add("patches", "patches", lambda x: F.unfold(x[:, :, :6, :9], (2, 3), stride=(2, 3))
        .transpose(1, 2), [rand(2, 3, 7, 10)], [0], size=[2, 3])
    for name, (h, w, H, W), (fh, fw) in (("up", (3, 4, 5, 7), (5.1 / 3, 7.1 / 4)),
                                         ("down", (6, 5, 4, 2), (4.1 / 6, 2.1 / 5))):
        def resize(x, h=h, w=w, fh=fh, fw=fw):
            y = x.reshape(1, h, w, -1).permute(0, 3, 1, 2)
            y = F.interpolate(y, scale_factor=(fh, fw), mode="bicubic", align_corners=False)
            return y.permute(0, 2, 3, 1).reshape(1, -1, x.shape[-1])
        add(f"interpolate.{name}", "interpolate", resize, [rand(1, h * w, 3)], [0],
            size=[h, w, H, W], factor=[fh, fw])
    ids = torch.tensor([[1, 4, 4], [0, 2, 1]])
    add("embedding", "embedding", lambda t, i: F.embedding(i, t), [rand(6, 5), ids], [0],
        size=[-1])
    add("embedding.padding", "embedding", lambda t, i: F.embedding(i, t, padding_idx=1),
        [rand(6, 5), ids], [0], size=[1])
    labels = torch.tensor([[3, -100, 0], [6, 2, -100]])
    loss = lambda x, y: F.cross_entropy(x.reshape(-1, x.shape[-1]), y.reshape(-1))
    add("cross_entropy", "cross_entropy", loss, [3 * rand(2, 3, 7), labels], [0])
    add("columns", "columns", lambda x: x[..., 3:7], [rand(2, 3, 11)], [0], size=[3, 4])
    alignment = torch.tensor([[[2, 0, -1], [-1, -1, -1], [1, 1, 3]],
                              [[0, -1, -1], [5, 4, 3], [-1, 2, -1]]])

    def mean_rows(table, ids):      # as VisualBertEmbeddings does
        there = (ids != -1).float()
        rows = F.embedding((there * ids).long(), table) * there.unsqueeze(-1)
        return rows.sum(2) / there.sum(2).clamp(min=1).unsqueeze(-1)
    add("embedding_mean", "embedding_mean", mean_rows, [rand(6, 5), alignment], [0])
    add("scores", "scores", lambda q, k, m: q @ k.transpose(1, 2) * 0.7 + m.unsqueeze(1),
        [rand(2, 3, 5), rand(2, 4, 5), rand(2, 4)], [0, 1], scale=0.7)
    add("log_softmax", "log_softmax", lambda x: x.log_softmax(-1), [2 * rand(2, 3, 7)], [0])
    add("kl_div", "kl_div", lambda x, t: F.kl_div(x, t, reduction="batchmean"),
        [rand(3, 2, 5).log_softmax(-1), rand(3, 2, 5).clamp(min=0)], [0])
    add("normalize", "normalize", lambda x: x / x.norm(dim=-1, keepdim=True), [rand(4, 9)], [0])
    add("scale_exp", "scale_exp", lambda x, s: x * s.exp(), [rand(4, 5), rand()], [0, 1])
    add("transpose", "transpose", lambda x: x.t(), [rand(4, 3)], [0])
    llama()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/data/tensor")
    out = parser.parse_args().out
    os.makedirs(out, exist_ok=True)
    torch.set_num_threads(1)
    make()
    save_file({k: t.clone() for k, t in tensors.items()}, os.path.join(out, "ops.safetensors"))
    with open(os.path.join(out, "ops.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, sort_keys=True) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
