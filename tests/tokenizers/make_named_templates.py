"""Freeze what others make of the named formats: python make_named_templates.py PUBLISHED CONVERSATION TRAIN

PUBLISHED     a JSON object: name of a format -> [name of the model, the chat_template of its tokenizer_config.json]
CONVERSATION  fastchat/conversation.py of the repository lm-sys/FastChat
TRAIN         train.py of the repository tatsu-lab/stanford_alpaca

The templates are rendered by the transformers library; FastChat's formats by its own code; Alpaca's by its prompt and
its rule that the target is the output and the end token. Only what comes out is written, with a digest of what was
read, to fixtures/named_templates.json.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

TURNS = [("user", "Why?"), ("assistant", "Because."), ("user", "Oh, so?"), ("assistant", "Yes, so.")]
SYSTEM = ("system", "Be kind.")
TALKS = {
    "asked": TURNS[:3],
    "answered": TURNS,
    "asked with system": [SYSTEM, *TURNS[:3]],
    "answered with system": [SYSTEM, *TURNS],
}
FASTCHAT = {
    "vicuna": "vicuna_v1.1", "xgen": "xgen", "mpt": "mpt-30b-chat", "falcon": "falcon-chat", "qwen": "qwen-7b-chat",
    "yi": "Yi-34b-chat", "starling": "openchat_3.5",
}  # fmt: skip


def main(published: str, conversation: str, train: str) -> None:
    found = {}
    for name, (model, source) in json.loads(Path(published).read_text(encoding="utf-8")).items():
        template = _compile_jinja_template(source)
        cases = {}
        for talk, turns in TALKS.items():
            messages = [{"role": role, "content": text} for role, text in turns]
            try:
                cases[talk] = template.render(
                    messages=messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=talk.startswith("asked")
                )
            except Exception:  # the template refuses
                cases[talk] = None
        found[name] = {"of": f"{model}, tokenizer_config.json", "sha256": _digest(source), "cases": cases}
    spec = importlib.util.spec_from_file_location("conversation", conversation)
    module = importlib.util.module_from_spec(spec)
    sys.modules["conversation"] = module
    spec.loader.exec_module(module)
    for name, theirs in FASTCHAT.items():
        cases = {}
        for talk, turns in TALKS.items():
            chat = module.get_conv_template(theirs)
            for role, text in turns:
                if role == "system":
                    chat.set_system_message(text)
                else:
                    chat.append_message(chat.roles[role == "assistant"], text)
            if talk.startswith("asked"):
                chat.append_message(chat.roles[1], None)
            cases[talk] = chat.get_prompt()
        digest = _digest(Path(conversation).read_text(encoding="utf-8"))
        found[name] = {"of": f"FastChat, conversation.py ({theirs})", "sha256": digest, "cases": cases}
    text = Path(train).read_text(encoding="utf-8")
    (prompts,) = [
        ast.literal_eval(node.value) for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "PROMPT_DICT"
    ]  # fmt: skip
    prompt = prompts["prompt_no_input"].format(instruction="Why?")
    cases = {"asked once": prompt, "answered once": prompt + "Because." + "</s>"}
    found["alpaca"] = {"of": "Stanford Alpaca, train.py", "sha256": _digest(text), "cases": cases}
    made = {"made by": f"make_named_templates.py, transformers {transformers.__version__}", "formats": found}
    out = Path(__file__).parent / "fixtures" / "named_templates.json"
    out.write_text(json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
