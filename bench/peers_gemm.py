"""One f32 product, x [M, K] times a transposed w [N, K], by other libraries.

    PYTHON bench/peers_gemm.py --variant torch|openblas|onednn --threads 2

torch     x @ w.T of PyTorch: MKL in its x86 builds
openblas  the same in NumPy, whose wheels bring OpenBLAS
onednn    PyTorch's linear layer over a weight that oneDNN packed beforehand

Answers requests on stdin (serving.py): gemm-MxNxK.
"""
import argparse
import sys

import numpy as np
import torch

import serving

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--variant", default="torch", choices=["torch", "openblas", "onednn"])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--models", help="not used")
args = parser.parse_args()


def work(name):
    M, N, K = (int(n) for n in name.removeprefix("gemm-").split("x"))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((M, K), np.float32)
    w = rng.standard_normal((N, K), np.float32)
    if args.variant == "openblas":
        out = np.empty((M, N), np.float32)
        return lambda: (np.matmul(x, w.T, out=out), None)[1]
    x, w = torch.from_numpy(x), torch.from_numpy(w)
    if args.variant == "torch":
        out = torch.empty(M, N)
        return lambda: (torch.mm(x, w.T, out=out), None)[1]
    packed = torch.ops.mkldnn._reorder_linear_weight(w, M)
    return lambda: (torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], ""), None)[1]


class Shapes(dict):
    def __missing__(self, name):
        if not name.startswith("gemm-"):
            raise KeyError(name)
        return lambda: work(name)


torch.set_num_threads(args.threads)
print(torch.__config__.show(), file=sys.stderr)
with torch.inference_mode():
    serving.Peer(Shapes(), None).serve({
        "who": args.variant + "-gemm", "threads": args.threads,
        "version": f"torch {torch.__version__}, numpy {np.__version__}"})
