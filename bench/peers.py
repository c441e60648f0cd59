"""bench_models' works in PyTorch and Transformers 4.37.2, on the same checkpoints.

    PYTHON bench/peers.py --variant eager|compile|freeze|bf16 --threads 2 --models DIR

answers requests on stdin (serving.py). Run from the repository's root, usually by run.py.

eager    Transformers as it is, in f32; bf16 files are widened when they are loaded
compile  the ViT through torch.compile, shapes static; the first request takes minutes
freeze   the same with Inductor's folded and prepacked weights
bf16     weights and arithmetic in bf16
"""
import argparse
import os
import warnings

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.numpy import load_file
from transformers import (AutoTokenizer, BertModel, CLIPVisionModel, DonutSwinModel,
                          ViTImageProcessor, ViTModel, VisionEncoderDecoderModel,
                          VisionTextDualEncoderModel, VisualBertForQuestionAnswering)

import serving

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--variant", default="eager",
                    choices=["eager", "compile", "freeze", "bf16"])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--models", default=os.path.join("build", "bench", "models"))
parser.add_argument("--reader", default=os.path.join("models", "printed-line-ocr"))
args = parser.parse_args()

DTYPE = torch.bfloat16 if args.variant == "bf16" else torch.float32
cache = {}


def once_only(key, make):
    if key not in cache:
        cache[key] = make()
    return cache[key]


def vit():
    folder = os.path.join(args.models, "vit-b16-224")
    return once_only("vit", lambda: ViTModel.from_pretrained(
        folder, add_pooling_layer=False, torch_dtype=DTYPE).eval())


def trocr(folder):
    return once_only(folder, lambda: VisionEncoderDecoderModel.from_pretrained(
        os.path.join(args.models, folder), torch_dtype=DTYPE).eval())


def runnable_vit():
    """The ViT as this variant runs it."""
    if args.variant not in ("compile", "freeze"):
        return vit()
    from torch import _dynamo
    from torch._inductor import config
    # One graph for each batch size, as for eager's fixed shapes; not one for all of them.
    _dynamo.config.automatic_dynamic_shapes = False
    config.freezing = args.variant == "freeze"
    return once_only("compiled vit", lambda: torch.compile(vit()))


def vit_work(batch):
    x = torch.from_numpy(serving.pixels(batch, 224)).to(DTYPE)
    model = runnable_vit()
    return lambda: (model(x).last_hidden_state, None)[1]


def opened(cls, folder, **options):
    return once_only(folder, lambda: cls.from_pretrained(
        os.path.join(args.models, folder), torch_dtype=DTYPE, **options).eval())


def swin_work():
    model, x = opened(DonutSwinModel, "donut-swin-1280"), serving.floats(1, 3, 1280, 960)
    x = torch.from_numpy(x).to(DTYPE)
    return lambda: (model(x), None)[1]


def clip_work(folder):
    model, x = opened(CLIPVisionModel, folder), torch.from_numpy(serving.pixels(1, 336)).to(DTYPE)
    return lambda: (model(x), None)[1]


def bert_work(batch):
    model, ids = opened(BertModel, "bert-base"), torch.from_numpy(serving.ids(batch, 32))
    mask = torch.ones_like(ids)
    return lambda: (model(input_ids=ids, attention_mask=mask), None)[1]


def visual_bert_work(batch):
    model = opened(VisualBertForQuestionAnswering, "visual-bert-vqa")
    ids, ones = torch.from_numpy(serving.ids(batch, 20)), torch.ones(batch, 36, dtype=torch.long)
    inputs = dict(input_ids=ids, attention_mask=torch.ones_like(ids),
                  token_type_ids=torch.zeros_like(ids),
                  visual_embeds=torch.from_numpy(serving.floats(batch, 36, 2048)).to(DTYPE),
                  visual_attention_mask=ones, visual_token_type_ids=ones)
    return lambda: (model(**inputs), None)[1]


def dual_output(work):
    """A function that gives the features of one side; from strings where texts are mixed."""
    model = opened(VisionTextDualEncoderModel, "vtde-base")
    if work == "vtde-images-b8":
        x = torch.from_numpy(serving.pixels(8, 224)).to(DTYPE)
        return lambda: model.get_image_features(pixel_values=x)
    if work == "vtde-texts-b32":
        ids = torch.from_numpy(serving.ids(32, 32))
        mask = torch.ones_like(ids)
        return lambda: model.get_text_features(input_ids=ids, attention_mask=mask)
    tokenizer = AutoTokenizer.from_pretrained(os.path.join(args.models, "vtde-base"))
    texts = serving.mixed_texts(32)
    return lambda: model.get_text_features(
        **tokenizer(texts, padding=True, return_tensors="pt"))


def dual_work(work):
    run = dual_output(work)
    return lambda: (run(), None)[1]


def generate(model, x, tokens, beams=1):
    ids = model.generate(pixel_values=x, min_new_tokens=tokens, max_new_tokens=tokens,
                         num_beams=beams, do_sample=False)
    assert ids.shape == (x.shape[0], tokens + 1), ids.shape
    return ids


def trocr_work(folder, batch=1, beams=1):
    model, x = trocr(folder), torch.from_numpy(serving.pixels(batch, 384)).to(DTYPE)
    return serving.timed_generation(lambda tokens: generate(model, x, tokens, beams))


def reader_work(batch):
    model = once_only("reader", lambda: VisionEncoderDecoderModel.from_pretrained(
        args.reader, torch_dtype=DTYPE).eval())
    tokenizer = AutoTokenizer.from_pretrained(args.reader)
    processor = ViTImageProcessor.from_pretrained(args.reader)
    files = serving.line_files(batch)

    def once():
        images = [Image.open(f).convert("RGB") for f in files]
        x = processor(images, return_tensors="pt").pixel_values.to(DTYPE)
        tokenizer.batch_decode(model.generate(x), skip_special_tokens=True)
    return once


def check(work, path):
    """Outputs beside those that bench_models dumped."""
    ours = load_file(path)
    if work == "vit-b1":
        out = runnable_vit()(torch.from_numpy(serving.pixels(1, 224)).to(DTYPE)).last_hidden_state
        return serving.difference(ours["last_hidden_state"], out.float().numpy())
    if work.startswith("vtde-"):
        (features,) = ours.values()
        return serving.difference(features, dual_output(work)().float().numpy())
    model = trocr("trocr-base-384" if work == "trocr-b1" else "trocr-base-384-bf16")
    x = torch.from_numpy(serving.pixels(1, 384)).to(DTYPE)
    ids = generate(model, x, serving.TOKENS).numpy()
    fed = torch.from_numpy(ours["sequences"])
    logits = model(pixel_values=x, decoder_input_ids=fed).logits.float().numpy()
    return {"equal_tokens": int((ids == ours["sequences"]).sum()),
            "tokens": int(ids.size), **serving.difference(ours["logits"], logits)}


works = {"vit-b1": lambda: vit_work(1), "vit-b8": lambda: vit_work(8)}
if args.variant in ("eager", "bf16"):
    works.update({
        "swin-b1": swin_work,
        "clip-b1": lambda: clip_work("clip-l14-336"),
        "clip-bf16-b1": lambda: clip_work("clip-l14-336-bf16"),
        "bert-b32": lambda: bert_work(32),
        "visual-bert-b8": lambda: visual_bert_work(8),
        **{work: lambda work=work: dual_work(work)
           for work in ("vtde-images-b8", "vtde-texts-b32", "vtde-mixed-b32")},
        "trocr-b1": lambda: trocr_work("trocr-base-384"),
        "trocr-b4": lambda: trocr_work("trocr-base-384", batch=4),
        "trocr-beam4": lambda: trocr_work("trocr-base-384", beams=4),
        "trocr-bf16-b1": lambda: trocr_work("trocr-base-384-bf16"),
        "line-warm": lambda: reader_work(1),
        "line-batch": lambda: reader_work(64),
    })
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
torch.set_num_threads(args.threads)
with torch.inference_mode() if args.variant != "freeze" else torch.no_grad():
    serving.Peer(works, check).serve({
        "who": "torch-" + args.variant, "threads": args.threads,
        "isa": torch.backends.cpu.get_cpu_capability(),
        "version": f"torch {torch.__version__}, transformers {transformers.__version__}, "
                   f"numpy {np.__version__}"})
