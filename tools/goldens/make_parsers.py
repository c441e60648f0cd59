"""Makes tests/data/documents/{donut-tiny,nougat-tiny} and parse.jsonl: document models of random
weights in the shapes of Donut and Nougat, and what Transformers 4.37.2 reads with them.

    python tools/goldens/make_parsers.py [--out tests/data/documents]

parse.jsonl has a line for each case: [folder, picture, task, question, answer, ids]. The answer
is DonutProcessor's JSON or Nougat's text; both by the code of the model cards. A folder's name
matters: 4.37.2 leaves prompts alone for names with "donut" in them.
"""
import argparse
import json
import pathlib
import re

import torch
from PIL import Image, ImageOps
from tokenizers import Tokenizer
from make_markup import Tokenizer as Markup
from transformers import (DonutImageProcessor, DonutProcessor, DonutSwinConfig, DonutSwinModel,
                          MBartConfig, MBartForCausalLM, NougatImageProcessor,
                          VisionEncoderDecoderModel, XLMRobertaTokenizerFast)

TAGS = ["<s_cord-v2>", "<s_docvqa>", "<s_question>", "</s_question>", "<s_answer>", "</s_answer>",
        "<s_menu>", "</s_menu>", "<s_nm>", "</s_nm>", "<sep/>", "<yes/>"]
PIECES = ["\u2581", "e", "t", "a", "o", "i", "n", "s", "h", "r", "d", "l", "u", "?", ".", "W", "\u2581the",
          "\u2581is", "al", "in", "to", "at", "\u25811", "2", "0"]


def tokenizer(folder):
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocab = [[s, 0.0] for s in special] + [[p, -1.0 - 0.1 * i - (len(p) == 1)]
                                           for i, p in enumerate(PIECES)]
    space = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True,
             "prepend_scheme": "always"}
    raw = {"version": "1.0", "truncation": None, "padding": None,
           "added_tokens": [{"id": i, "content": s, "single_word": False, "lstrip": False,
                             "rstrip": False, "normalized": False, "special": True}
                            for i, s in enumerate(special)],
           "normalizer": None, "pre_tokenizer": space,
           "post_processor": {"type": "TemplateProcessing",
                              "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                         {"Sequence": {"id": "A", "type_id": 0}},
                                         {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                              "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                                       {"Sequence": {"id": "B", "type_id": 0}}],
                              "special_tokens": {s: {"id": s, "ids": [i], "tokens": [s]}
                                                 for i, s in enumerate(special)}},
           "decoder": space, "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab}}
    t = XLMRobertaTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(raw)))
    t.add_special_tokens({"additional_special_tokens": TAGS[:2]})
    t.add_tokens(TAGS[2:])
    t.save_pretrained(folder)
    return t


def model(folder, vocab, seed):
    """Weights large enough for long and varied texts, and clear of ties."""
    torch.manual_seed(seed)
    encoder = DonutSwinModel(DonutSwinConfig(
        image_size=[48, 36], patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4],
        window_size=3, initializer_range=0.3))
    decoder = MBartForCausalLM(MBartConfig(
        vocab_size=vocab, d_model=32, decoder_layers=2, decoder_attention_heads=4,
        decoder_ffn_dim=48, max_position_embeddings=40, is_decoder=True, add_cross_attention=True,
        is_encoder_decoder=False, scale_embedding=True, init_std=0.4, forced_eos_token_id=None,
        tie_word_embeddings=False))
    decoder.model.decoder.embed_positions.weight.data *= 8      # or one word would come for ever
    both = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    both.config.decoder_start_token_id = 0
    both.config.pad_token_id = 1
    both.config.eos_token_id = 2
    both.generation_config.decoder_start_token_id = 0
    both.generation_config.pad_token_id = 1
    both.generation_config.eos_token_id = 2
    both.save_pretrained(folder)
    return VisionEncoderDecoderModel.from_pretrained(folder).eval()


def clear_of_ties(made):
    return min((s[0].topk(2).values[0] - s[0].topk(2).values[1]).item() for s in made.scores) > 1e-3


def read_donut(both, processor, path, task, question):
    prompt = f"<s_{task}>" if task else None
    if question:
        prompt = f"<s_{task or 'docvqa'}><s_question>{question}</s_question><s_answer>"
    pixels = processor(ImageOps.exif_transpose(Image.open(path)).convert("RGB"),
                       return_tensors="pt").pixel_values
    t = processor.tokenizer
    ids = t(prompt, add_special_tokens=False, return_tensors="pt").input_ids if prompt else None
    with torch.no_grad():
        made = both.generate(
            pixels, decoder_input_ids=ids, max_length=both.decoder.config.max_position_embeddings,
            pad_token_id=t.pad_token_id, eos_token_id=t.eos_token_id,
            bad_words_ids=[[t.unk_token_id]], return_dict_in_generate=True, output_scores=True)
    text = t.batch_decode(made.sequences)[0].replace(t.eos_token, "").replace(t.pad_token, "")
    text = re.sub(r"<.*?>", "", text, count=1).strip()
    return processor.token2json(text), made


def put_right(text):
    """NougatProcessor.post_process_generation(text)."""
    return Markup().post_process_single(text, fix_markdown=True)


def read_nougat(both, processor, path):
    pixels = processor.image_processor(ImageOps.exif_transpose(Image.open(path)).convert("RGB"),
                                       return_tensors="pt").pixel_values
    t = processor.tokenizer
    with torch.no_grad():
        made = both.generate(pixels, min_length=1, bad_words_ids=[[t.unk_token_id]],
                             max_length=both.decoder.config.max_position_embeddings,
                             return_dict_in_generate=True, output_scores=True)
    return put_right(t.batch_decode(made.sequences, skip_special_tokens=True)[0]), made


CASES = [("cord-v2", None), (None, "What is the total?"), ("docvqa", "Is it at 120?"), (None, None)]


def make(out, name, image_processor, seed):
    folder = pathlib.Path(out, name)
    t = tokenizer(folder)
    image_processor.save_pretrained(folder)
    both = model(folder, len(t), seed)
    processor = DonutProcessor(image_processor, t)
    lines = []
    for path in sorted(pathlib.Path("examples/lines").glob("*.*g")):
        for task, question in CASES if "donut" in name else [(None, None)]:
            answer, made = (read_donut(both, processor, path, task, question) if "donut" in name
                            else read_nougat(both, processor, path))
            if not clear_of_ties(made):
                return None
            lines.append(json.dumps([name, str(path), task, question, answer,
                                     made.sequences[0].tolist()], ensure_ascii=False) + "\n")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/data/documents")
    parser.add_argument("--seeds", type=int, nargs=2, default=[17, 4])
    options = parser.parse_args()
    size = {"height": 48, "width": 36}
    donut = make(options.out, "donut-tiny", DonutImageProcessor(size=size), options.seeds[0])
    nougat = make(options.out, "nougat-tiny", NougatImageProcessor(size=size), options.seeds[1])
    if donut is None or nougat is None:
        parser.error("a choice was nearly a tie: take another seed")
    pathlib.Path(options.out, "parse.jsonl").write_text("".join(donut + nougat))


if __name__ == "__main__":
    main()
