#!/usr/bin/env python3
"""Goldens of conversations: what Transformers 4.37.2 answers, turn by turn, when it is given the
whole conversation as one prompt each time.

    make_chat.py MODEL SCENES OUT_FOLDER

MODEL is emoji-chat, SCENES a folder of pictures with scenes.json; writes chat.jsonl (picture,
style, turns) and prompts.jsonl: chat templates as jinja2 renders them."""
import json
import os
import sys

import jinja2
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessor, VipLlavaForConditionalGeneration

HUMAN = ("A chat between a curious human and an artificial intelligence assistant. The assistant "
         "gives helpful, detailed, and polite answers to the human's questions.")
USER = HUMAN.replace("human", "user")
STYLES = {      # what begins, what is before and behind a question, around a past answer
    "vipllava": (HUMAN, "###Human: ", "###Assistant:", " ", ""),
    "vicuna": (USER + " ", "USER: ", " ASSISTANT:", " ", "</s>"),
    "plain": ("", "", "\n", "", "\n"),
}
MORE = ["What color is the background?", "How many objects are there?", "What is in the picture?"]

# As llava-hf's conversion scripts write them; `generation` marks are for training alone.
IMAGES = ("{# Render all images first #}{% for content in message['content'] | selectattr('type', "
          "'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}{# Render all text next #}")
TEXTS = "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
TEMPLATES = {
    "vipllava": "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content']"
                "[0]['text'] }}{% elif message['role'] == 'user' %}{{ '###Human: '}}{% else %}{{ '###' + "
                "message['role'].title() + ': '}}{% endif %}" + IMAGES + TEXTS +
                "{{ content['text'] }}{% endfor %}{% endfor %}{% if add_generation_prompt %}"
                "{{ '###Assistant:' }}{% endif %}",
    "llava": "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'][0]"
             "['text'] }}{% else %}{{ message['role'].upper() + ': '}}{% endif %}" + IMAGES + TEXTS +
             "{{ content['text'] + ' '}}{% endfor %}{% endfor %}{% if add_generation_prompt %}"
             "{{ 'ASSISTANT:' }}{% endif %}",
    "llava+": "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role']."
              "upper() + ': '}}{% endif %}" + IMAGES + "{% if message['role'] != 'assistant' %}" + TEXTS +
              "{{ content['text'] + ' '}}{% endfor %}{% else %}" + TEXTS + "{% generation %}{{ content['t"
              "ext'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}{% if "
              "add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
    "llama": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set "
             "system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set "
             "system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] "
             "== 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate "
             "user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message "
             "!= false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + "
             "message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if "
             "message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% "
             "elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif "
             "%}{% endfor %}",
}


def prompt_of(style, turns, question):
    begin, before, behind, left, right = STYLES[style]
    text = begin
    for i, (asked, answer) in enumerate(turns + [(question, None)]):
        text += before + ("<image>\n" if i == 0 else "") + asked + behind
        text += left + answer + right if answer is not None else ""
    return text


def answer_of(model, tokenizer, pixels, prompt):
    ids = tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**ids, pixel_values=pixels, max_new_tokens=40, do_sample=False)
    text = tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)
    return text


def talk(model, tokenizer, pixels, style, questions):
    turns = []
    for question in questions:
        text = answer_of(model, tokenizer, pixels, prompt_of(style, turns, question))
        if style == "vipllava":
            text = text.split("###")[0]
        turns.append((question, text.strip()))
    return [dict(question=q, answer=a) for q, a in turns]


def write_prompts(path):
    messages = [("user", "What is it?"), ("assistant", "A cat."), ("user", "And there?")]
    with open(path, "w", encoding="ascii") as f:
        for name, template in TEMPLATES.items():
            plain = name == "llama"
            value = [dict(role=role, content=text if plain else
                          ([dict(type="image")] if i == 0 else []) + [dict(type="text", text=text)])
                     for i, (role, text) in enumerate(messages)]
            runs = template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
            text = jinja2.Environment().from_string(runs).render(
                messages=value, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
            f.write(json.dumps(dict(style=name.rstrip("+"), template=template, images=not plain,
                                    text=text)) + "\n")


def main():
    folder, scenes, out = sys.argv[1:]
    torch.set_num_threads(2)
    model = VipLlavaForConditionalGeneration.from_pretrained(folder).float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = CLIPImageProcessor.from_pretrained(folder)
    with open(f"{out}/chat.jsonl", "w", encoding="ascii") as f:
        for i, scene in enumerate(json.load(open(f"{scenes}/scenes.json", encoding="utf-8"))):
            picture = Image.open(f"{scenes}/{scene['file']}")
            pixels = processor(picture, return_tensors="pt")["pixel_values"]
            for style in STYLES if i % 4 == 0 else ["vipllava"]:
                turns = talk(model, tokenizer, pixels, style, scene["q"] + MORE[: 1 + i % 3])
                f.write(json.dumps(dict(picture=scene["file"], style=style, turns=turns)) + "\n")
    write_prompts(f"{out}/prompts.jsonl")


if __name__ == "__main__":
    main()
