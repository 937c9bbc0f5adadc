"""Freeze the offsets of the library tokenizers: python make_places.py, beside the repository's own tests.

The tokenizers are those of fixtures/pipelines.json (see make_pipeline_fixtures.py), every third of them.
Writes fixtures/places.json.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import tokenizers
from test_pipeline import FROZEN, NAMES, document

TEXTS = [
    "hello world, what is it?", " two  spaces  and one ", "Straße ﬁsh É né 漢字 ✨ e\u0301 end", "a<s>b</s> c <mask> d",
    "tabs\tand\nlines\r\n\n and 1234", "xyz<s> <s>  y",
]  # fmt: skip


def main() -> None:
    cases = {}
    for name in NAMES[::3]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.json"
            path.write_text(json.dumps(document(FROZEN["cases"][name])), encoding="utf-8")
            library = tokenizers.Tokenizer.from_file(str(path))
        cases[name] = []
        for text in TEXTS:
            try:
                found = library.encode(text, add_special_tokens=False)
            except Exception:  # a character that the vocabulary does not have
                cases[name].append(None)
                continue
            cases[name].append({"ids": found.ids, "offsets": [list(pair) for pair in found.offsets]})
    made = {"made by": f"make_places.py, tokenizers {tokenizers.__version__}", "texts": TEXTS, "cases": cases}
    (Path(__file__).parent / "fixtures" / "places.json").write_text(
        json.dumps(made, ensure_ascii=False) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
