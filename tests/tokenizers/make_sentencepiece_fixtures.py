"""Freeze what the libraries sentencepiece and tokenizers do: python make_sentencepiece_fixtures.py MISTRAL.model

MISTRAL.model is `data/tokenizer.model.v1` of the package mistral-common; it is not committed, only its ids of some
texts and the pieces that these can use. The small models are trained here, on the text of fixtures/texts.json. Writes
fixtures/sentencepiece/. Needs sentencepiece and tokenizers, and nothing of llm_from_scratch but `save` for the files
that tokenizers reads.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
from pathlib import Path

import sentencepiece
import tokenizers

HERE = Path(__file__).parent / "fixtures"
OUT = HERE / "sentencepiece"
SIGNS = [
    *"abcstlrevmdABSTé ñß漢字한ٱ0123٣½Ⅻ² \t\n\r\x0b\x85\u00a0\u2003\u3000▁▁.,!?()[]|-_#$%&*+/<=>@\\^`{}~…。",
    *"\u0301\u200d\ufeff👍🏽\U0010ffff\x00\x1c", "</s>", "<s>", "<unk>", "<0x41>", "    ", "the ", "of",
    "<sep>", "<|im|>", "ab+", "<c>", " ", " ", "  ",
]  # fmt: skip

LLAMA = {"byte_fallback": True, "split_digits": True, "allow_whitespace_only_pieces": True}
MODELS = {
    # As LLaMA's: bytes, single digits, runs of spaces as pieces, nothing taken away.
    "llama": {"vocab_size": 640, "remove_extra_whitespaces": False, **LLAMA},
    # The trainer's own defaults: an unknown piece instead of bytes, extra spaces taken away.
    "default": {"vocab_size": 400, "character_coverage": 0.99},
    "user": {
        "vocab_size": 560,
        "byte_fallback": True,
        "user_defined_symbols": ["<sep>", "<|im|>", "ab+"],
        "control_symbols": ["<c>"],
    },
    # No space in front; pieces that reach across spaces.
    "across": {
        "vocab_size": 560,
        "byte_fallback": True,
        "split_by_whitespace": False,
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
    },
}


def texts() -> list[str]:
    frozen = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    choose = random.Random(7)
    made = ["".join(choose.choice(SIGNS) for _ in range(choose.randrange(30))) for _ in range(60)]
    return frozen["nasty"] + frozen["special"] + made


def id_lists(size: int) -> list[list[int]]:
    choose = random.Random(11)
    return [
        [choose.choice([choose.randrange(3, 259), choose.randrange(size)]) for _ in range(choose.randrange(1, 7))]
        for _ in range(80)
    ]


def frozen(model: sentencepiece.SentencePieceProcessor) -> dict:
    # Control pieces (1, 2 ...) between bytes end a run of bytes there and not here: only leading ones are drawn.
    lists = [[i for n, i in enumerate(ids) if n == 0 or not model.is_control(i)] for ids in id_lists(len(model))]
    return {
        "ids": [model.encode(text) for text in texts()],
        "decoded": [[ids, model.decode(ids)] for ids in lists],
    }


def write(name: str, content: object) -> None:
    (OUT / name).write_text(json.dumps(content, ensure_ascii=True) + "\n", encoding="utf-8")


def main(mistral: Path) -> None:
    OUT.mkdir(exist_ok=True)
    write("texts.json", texts())
    corpus = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))["training"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", newline="", delete=False) as file:
        file.write(corpus)
    for name, settings in MODELS.items():
        sentencepiece.SentencePieceTrainer.train(
            input=file.name, model_prefix=str(OUT / name), model_type="bpe", normalization_rule_name="identity",
            minloglevel=2, num_threads=1, **settings,
        )  # fmt: skip
        (OUT / f"{name}.vocab").unlink()
        write(f"{name}.json", frozen(sentencepiece.SentencePieceProcessor(str(OUT / f"{name}.model"))))

    # What Tokenizer.train must find: the pieces of the library's trainer, on English, without rare characters.
    english = "\n".join(line for line in corpus.split("\n") if line.isascii() and line.isprintable())
    Path(file.name).write_bytes(english.encode())
    sentencepiece.SentencePieceTrainer.train(
        input=file.name, model_prefix=str(OUT / "learnt"), model_type="bpe", normalization_rule_name="identity",
        minloglevel=2, num_threads=1, vocab_size=600, remove_extra_whitespaces=False, **LLAMA,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(str(OUT / "learnt.model"))
    write("learnt.json", {"text": english, "pieces": [model.id_to_piece(i) for i in range(len(model))]})
    for suffix in ("vocab", "model"):
        (OUT / f"learnt.{suffix}").unlink()
    Path(file.name).unlink()

    # tokenizer.json in the ways in which it is published, read by the library tokenizers.
    from llm_from_scratch.tokenizers import Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.from_pretrained(OUT / "llama.model").save(folder)
        content = json.loads((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))
    files = {"prepend": content}
    for scheme in ("always", "first", "never"):
        for split in (False, True):
            space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}
            files[f"{scheme}{'+split' if split else ''}"] = content | {"normalizer": None, "pre_tokenizer": space}
    written = {}
    for name, described in files.items():
        reader = tokenizers.Tokenizer.from_str(json.dumps(described))
        written[name] = {
            "normalizer": described["normalizer"],
            "pre_tokenizer": described["pre_tokenizer"],
            "ids": [reader.encode(text).ids for text in texts()],
        }
    write("json.json", written)

    # Of Mistral's 32,000 pieces those that these texts and ids can use; a piece is made only where a text holds it.
    model = sentencepiece.SentencePieceProcessor(str(mistral))
    content = frozen(model)
    everything = "\n".join("▁" + text.replace(" ", "▁") for text in texts())
    used = {number for ids, _ in content["decoded"] for number in ids}
    kept = [number for number in range(259, len(model)) if number in used or model.id_to_piece(number) in everything]
    content["pieces"] = [[number, model.id_to_piece(number), model.get_score(number)] for number in kept]
    content["size"] = len(model)
    content["sha256"] = hashlib.sha256(mistral.read_bytes()).hexdigest()
    write("mistral.json", content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
