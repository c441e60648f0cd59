"""bench_models' works in ONNX Runtime, on the same checkpoints.

    PYTHON bench/peers_ort.py --export --models DIR         writes DIR/onnx; minutes, 4 GB
    PYTHON bench/peers_ort.py --variant plain|fused --threads 2 --models DIR

The second form answers requests on stdin (serving.py). Run from the repository's root.

plain    as optimum exports it; ONNX Runtime's own passes run when it is loaded
fused    after onnxruntime.transformers.optimizer, which joins attention, GELU and norms
                where it finds them

Decoding is a greedy loop over OrtValues, which copies no cache: it shows the engine, and not
the Python around it.
"""
import argparse
import json
import os
import sys

import numpy as np
import onnxruntime

import serving

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--variant", default="plain", choices=["plain", "fused"])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--models", default=os.path.join("build", "bench", "models"))
parser.add_argument("--reader", default=os.path.join("models", "printed-line-ocr"))
parser.add_argument("--export", action="store_true")
args = parser.parse_args()

ENDING = {"plain": ".onnx", "fused": ".fused.onnx"}
# graph: (kind for the optimizer, heads, width)
GRAPHS = {
    "vit/model": ("vit", 12, 768),
    "trocr/encoder_model": ("vit", 12, 768),
    "trocr/decoder_model": ("bart", 16, 1024),
    "trocr/decoder_with_past_model": ("bart", 16, 1024),
    "line/encoder_model": ("vit", 4, 256),
    "line/decoder_model": ("bart", 4, 256),
    "line/decoder_with_past_model": ("bart", 4, 256),
}


def onnx(name):
    return os.path.join(args.models, "onnx", name)


# ---- export ----------------------------------------------------------------------------------

def export_model(source, name, task):
    last = "model.onnx" if name == "vit" else "decoder_with_past_model.onnx"
    if not os.path.exists(onnx(f"{name}/{last}")):
        from optimum.exporters.onnx import main_export
        main_export(source, onnx(name), task=task, no_post_process=True, do_validation=False,
                    library_name="transformers")


def export():
    os.environ["HF_HUB_OFFLINE"] = "1"
    export_model(os.path.join(args.models, "vit-b16-224"), "vit", "feature-extraction")
    export_model(os.path.join(args.models, "trocr-base-384"), "trocr",
                 "image-to-text-with-past")
    export_model(args.reader, "line", "image-to-text-with-past")
    for name, (kind, heads, width) in GRAPHS.items():
        if os.path.exists(onnx(name + ENDING["fused"])):
            continue
        from onnxruntime.transformers.optimizer import optimize_model
        model = optimize_model(onnx(name + ENDING["plain"]), model_type=kind, num_heads=heads,
                               hidden_size=width)
        done = {k: v for k, v in model.get_fused_operator_statistics().items() if v}
        print(f"{name}: {done}", file=sys.stderr)
        model.save_model_to_file(onnx(name + ENDING["fused"]))


# ---- works -----------------------------------------------------------------------------------

def session(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    return onnxruntime.InferenceSession(onnx(name + ENDING[args.variant]), options,
                                        providers=["CPUExecutionProvider"])


def value(array):
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


class Reader:
    """Encoder, first step and further steps of one export."""

    def __init__(self, folder):
        self.encoder = session(f"{folder}/encoder_model")
        self.graphs = [session(f"{folder}/decoder_model"),
                       session(f"{folder}/decoder_with_past_model")]
        self.takes = [{i.name for i in g.get_inputs()} for g in self.graphs]
        self.gives = [[o.name for o in g.get_outputs()] for g in self.graphs]

    def encode(self, x):
        return self.encoder.run_with_ort_values(["last_hidden_state"],
                                                {"pixel_values": value(x)})[0]

    def generate(self, x, most, end=None):
        """Ids [rows, steps], without the start token; until all rows have met `end`."""
        states, known, steps = self.encode(x), {}, []
        ids = np.full((x.shape[0], 1), 2, np.int64)
        ended = np.zeros((x.shape[0], 1), bool)
        for step in range(most):
            part = min(step, 1)
            feeds = {"input_ids": value(ids), "encoder_hidden_states": states, **known}
            feeds = {k: v for k, v in feeds.items() if k in self.takes[part]}
            out = dict(zip(self.gives[part],
                           self.graphs[part].run_with_ort_values(self.gives[part], feeds)))
            for name, cache in out.items():
                if name.startswith("present"):
                    known["past_key_values" + name[len("present"):]] = cache
            ids = out["logits"].numpy()[:, -1:].argmax(-1).astype(np.int64)
            steps.append(np.where(ended, 1, ids))
            ended |= ids == end
            if end is not None and ended.all():
                break
        return np.concatenate(steps, 1)


def vit_work(batch):
    graph, x = session("vit/model"), serving.pixels(batch, 224)
    return lambda: (graph.run(["last_hidden_state"], {"pixel_values": x}), None)[1]


def trocr_work(batch):
    reader, x = Reader("trocr"), serving.pixels(batch, 384)
    return serving.timed_generation(lambda tokens: reader.generate(x, tokens))


def reader_work(batch):
    from PIL import Image
    from tokenizers import Tokenizer
    reader = Reader("line")
    tokenizer = Tokenizer.from_file(os.path.join(args.reader, "tokenizer.json"))
    with open(os.path.join(args.reader, "preprocessor_config.json")) as f:
        size = json.load(f)["size"]
    files = serving.line_files(batch)

    def pixels(file):
        image = Image.open(file).convert("RGB")
        image = image.resize((size["width"], size["height"]), Image.BILINEAR)
        return ((np.asarray(image, np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)

    def once():
        ids = reader.generate(np.stack([pixels(f) for f in files]), 65, end=2)
        tokenizer.decode_batch(ids.tolist(), skip_special_tokens=True)
    return once


def check(work, path):
    from safetensors.numpy import load_file
    ours = load_file(path)
    if work == "vit-b1":
        x = serving.pixels(1, 224)
        out = session("vit/model").run(["last_hidden_state"], {"pixel_values": x})[0]
        return serving.difference(ours["last_hidden_state"], out)
    reader, x, ids = Reader("trocr"), serving.pixels(1, 384), ours["sequences"]
    feeds = {"input_ids": value(ids), "encoder_hidden_states": reader.encode(x)}
    logits = reader.graphs[0].run_with_ort_values(["logits"], feeds)[0].numpy()
    equal = reader.generate(x, serving.TOKENS) == ids[:, 1:]
    return {"equal_tokens": int(equal.sum()), "tokens": int(equal.size),
            **serving.difference(ours["logits"], logits)}


if args.export:
    export()
else:
    onnxruntime.set_default_logger_severity(3)
    serving.Peer({
        "vit-b1": lambda: vit_work(1), "vit-b8": lambda: vit_work(8), "trocr-b1": lambda: trocr_work(1),
        "trocr-b4": lambda: trocr_work(4),
        "line-warm": lambda: reader_work(1), "line-batch": lambda: reader_work(64),
    }, check).serve({
        "who": "ort-" + args.variant, "threads": args.threads, "isa": "",
        "version": f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}"})
