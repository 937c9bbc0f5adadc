"""Freeze the transformers library's masks of assistant tokens under our formats: python make_assistant_masks.py

The tokenizer is trained by this package (the text and settings stand in test_encoding.py) and read by that library from
its file; the templates are ours, with {% generation %}. Writes fixtures/assistant_masks.json.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import transformers
from test_encoding import PLAIN_TALK, byte_level

from llm_from_scratch.tokenizers.templates import named_template, template_names


def main() -> None:
    tokenizer, cases = byte_level(), {}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    for name in template_names():
        talk = PLAIN_TALK[1:] if name == "mistral" else PLAIN_TALK
        source = named_template(name, tokenizer).source
        made = theirs.apply_chat_template(
            talk, chat_template=source, return_dict=True, return_assistant_tokens_mask=True
        )
        cases[name] = {"ids": made["input_ids"], "trained": made["assistant_masks"]}
    out = Path(__file__).parent / "fixtures" / "assistant_masks.json"
    out.parent.mkdir(exist_ok=True)
    frozen = {"made by": f"make_assistant_masks.py, transformers {transformers.__version__}", "cases": cases}
    out.write_text(json.dumps(frozen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
