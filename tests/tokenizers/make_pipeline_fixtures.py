"""Freeze how the library tokenizers reads many ways to write a tokenizer.json: python make_pipeline_fixtures.py

Three small models trained on fixtures/texts.json (BPE over characters, byte-level BPE, unigram), each under
normalizers, pre-tokenizers, decoders and flags of added tokens; random strings with composed letters, runs of spaces and
the texts of added tokens. Writes fixtures/pipelines.json: the changes to a model's file, texts, ids, and decoded texts.
"""

# ruff: noqa: E501
from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, trainers
from tokenizers import pre_tokenizers as pre

FIXTURES = Path(__file__).parent / "fixtures"
TRAINING = json.loads((FIXTURES / "texts.json").read_text(encoding="utf-8"))["training"][:20000]
SPECIAL = ["<unk>", "<s>", "</s>"]
SPACE = "▁"
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
PREPEND = {"type": "Prepend", "prepend": SPACE}
LLAMA = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
]}  # fmt: skip
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
PIECES = ["the", "low", "lower", "Hello", "LOW", "don't", "I'LL", "2023", "a.b", "0x1F", "é", "e\u0301", "café", "cafe\u0301",
          "ß", "İ", "ΑΣ", "ﬁ", "①", "½", "Ａ", "漢字", "ｶﾞ", "한", "\u1112\u1161", "😀", "👩\u200d👧", "\u0338", "<", "\t", "\n", "\r\n",
          "\xa0", "\u2028", "\u3000", "\x85", "\x1c", "\x00", SPACE, *SPECIAL, "<|x|>", "_", ",", "…"]  # fmt: skip


def sequence(kind: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Sequence", kind: steps}


def metaspace(scheme: str, split: bool = True) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split}


def split(pattern: str, behavior: str, invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def token(content: str, **flags: bool) -> dict[str, Any]:
    usual = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return {"content": content, **usual, **flags}


STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}
NORMALIZERS: dict[str, Any] = {
    **{kind: {"type": kind} for kind in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")},
    "Strip": STRIP,
    "llama": sequence("normalizers", [PREPEND, REPLACE]),
    "regex": {"type": "Replace", "pattern": {"Regex": r" {2,}|\h\h+"}, "content": r"\0"},
    "several": sequence("normalizers", [{"type": "NFKC"}, {"type": "Lowercase"}, STRIP, PREPEND, REPLACE]),
}
BEHAVIOURS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
WORDS: dict[str, Any] = {
    **{f"metaspace {scheme} {cut}": metaspace(scheme, cut) for scheme in ("always", "first", "never") for cut in (True, False)},
    **{f"split {how} {turned}": split(r"\w+|\p{Han}", how, turned) for how in BEHAVIOURS for turned in (True, False)},
    "empty matches": split("x*", "Isolated"),
    "possessive": split(r"\w++|(?i:'ll|'t)|\p{N}{1,3}| ?[^(\s|[.,!?])]+", "Isolated"),
    "whitespace": {"type": "Whitespace"},
    "white split": {"type": "WhitespaceSplit"},
    "delimiter": {"type": "CharDelimiterSplit", "delimiter": "a"},
    "several": sequence("pretokenizers", [metaspace("first"), {"type": "Digits", "individual_digits": True},
                                          {"type": "Punctuation", "behavior": "MergedWithNext"}]),
}  # fmt: skip
ADDED = {
    "plain": [token("<|x|>", special=True), token("café"), token("low")],
    "normalized": [token("<|x|>", normalized=True, special=True), token("café", normalized=True), token("LOW", normalized=True)],
    "strips": [token("<|x|>", lstrip=True, rstrip=True), token("low", rstrip=True, normalized=True), token("é", lstrip=True)],
    "single": [token("low", single_word=True), token("<|x|>", single_word=True), token("e", single_word=True, rstrip=True)],
}  # fmt: skip


def cases() -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for model in ("bpe", "unigram"):
        words = metaspace("always")
        for name, normalizer in NORMALIZERS.items():
            for added in ("plain", "normalized"):
                kept = None if "llama" in name or "several" in name else words
                parts = {"normalizer": normalizer, "pre_tokenizer": kept, "decoder": LLAMA}
                made[f"{model} {name} {added}"] = {"model": model, "added": added, **parts}
        for name, pre_tokenizer in WORDS.items():
            made[f"{model} {name}"] = {
                "model": model,
                "added": "plain",
                "pre_tokenizer": pre_tokenizer,
                "decoder": LLAMA,
            }
        for added in ADDED:
            parts = {"pre_tokenizer": words, "decoder": {**words, "type": "Metaspace"}}
            made[f"{model} added {added}"] = {"model": model, "added": added, **parts}
        for flag in ("byte_fallback", "fuse_unk", "ignore_merges")[: 3 if model == "bpe" else 1]:
            made[f"{model} {flag}"] = {
                "model": model,
                "added": "plain",
                "pre_tokenizer": words,
                "decoder": None,
                "flag": flag,
            }
    for name, normalizer in NORMALIZERS.items():
        for added in ("plain", "normalized"):
            made[f"byte {name} {added}"] = {"model": "byte", "added": added, "normalizer": normalizer,
                                            "pre_tokenizer": BYTES, "decoder": BYTES}  # fmt: skip
    made["byte strips"] = {"model": "byte", "added": "strips", "pre_tokenizer": BYTES, "decoder": BYTES}
    made["byte single"] = {"model": "byte", "added": "single", "pre_tokenizer": BYTES, "decoder": BYTES}
    made["byte no decoder"] = {"model": "byte", "added": "plain", "pre_tokenizer": BYTES, "decoder": None}
    return made


def train(kind: str) -> dict[str, Any]:
    special: dict[str, Any] = {"special_tokens": SPECIAL, "show_progress": False}
    if kind == "unigram":
        tokenizer, trainer = (
            Tokenizer(models.Unigram()),
            trainers.UnigramTrainer(vocab_size=350, unk_token="<unk>", **special),
        )
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if kind == "bpe" else None))
        alphabet = pre.ByteLevel.alphabet() if kind == "byte" else []
        trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, **special)
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False) if kind == "byte" else pre.Metaspace()
    tokenizer.train_from_iterator([TRAINING], trainer)
    return json.loads(tokenizer.to_str())


def document(base: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer.json of a case; the test builds it the same way."""
    content = json.loads(json.dumps(base))
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        content[name] = case.get(name)
    model = content["model"]
    if case.get("flag"):
        model[case["flag"]] = True
    if case.get("flag") == "byte_fallback":
        for byte in range(256):
            name = f"<0x{byte:02X}>"
            if isinstance(model["vocab"], dict):
                model["vocab"][name] = len(model["vocab"])
            else:
                model["vocab"].append([name, -30.0])
    texts = (
        model["vocab"] if isinstance(model["vocab"], dict) else {text: n for n, (text, _) in enumerate(model["vocab"])}
    )
    new = len(texts)
    for entry in ADDED[case["added"]]:
        number = texts.get(entry["content"], new)
        new += number == new
        content["added_tokens"].append({"id": number, **entry})
    return content


def main() -> None:
    rng = random.Random(0)
    texts = [
        "".join(rng.choice([" ", "  ", "", ""]) + rng.choice(PIECES) for _ in range(rng.randint(0, 9)))
        for _ in range(4000)
    ]
    bases = {kind: train(kind) for kind in ("bpe", "byte", "unigram")}
    frozen: dict[str, Any] = {}
    for name, case in cases().items():
        tokenizer = Tokenizer.from_str(json.dumps(document(bases[case["model"]], case)))
        chosen = rng.sample(texts, 12)
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in chosen]
        decoded = [tokenizer.decode(numbers, skip_special_tokens=False) for numbers in ids]
        frozen[name] = {**case, "texts": chosen, "ids": ids, "decoded": decoded}
    written = json.dumps({"bases": bases, "added": ADDED, "cases": frozen}, ensure_ascii=True, separators=(",", ":"))
    (FIXTURES / "pipelines.json").write_text(written + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
