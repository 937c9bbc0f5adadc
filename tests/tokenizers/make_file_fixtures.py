"""Freeze how tiktoken and tokenizers read files in the styles of published models: python make_file_fixtures.py

Small vocabularies, trained on fixtures/texts.json, with the settings of the published ones: rank files for tiktoken
(Qwen, XGen, and three patterns of OpenAI's), `tokenizer.json` as BLOOM, Falcon, GPT-NeoX, SmolLM, Qwen2, LLaMA 3 and
RoBERTa have it. Writes fixtures/ranks/ and fixtures/styles.json.
"""

from __future__ import annotations

import base64
import json

import tiktoken
from make_fixtures import FIXTURES, _byte_characters
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

from llm_from_scratch.kernels.splitting import SCHEMES
from llm_from_scratch.tokenizers.pre_tokenizer import PUBLISHED

TEXTS = json.loads((FIXTURES / "texts.json").read_text(encoding="utf-8"))
NASTY = (
    TEXTS["nasty"] + TEXTS["special"] + ["x" + " " * n + "y" + "\t" * n + "z" for n in (2, 3, 7, 30, 31, 32, 40, 70)]
)
RANK_FILES = {"qwen": "qwen2", "r50k_base": "gpt2", "cl100k_base": "cl100k", "o200k_base": "o200k"}
BYTE_LEVEL = pre.ByteLevel(add_prefix_space=False, use_regex=False)

STYLES = {
    "bloom": (pre.Sequence([pre.Split(Regex(PUBLISHED["bloom"]), "isolated"), BYTE_LEVEL]), None),
    "falcon": (
        pre.Sequence([
            pre.Punctuation("contiguous"), pre.ByteLevel(add_prefix_space=False), pre.Digits(individual_digits=False),
            pre.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
        ]),
        None,
    ),
    "neox": (pre.ByteLevel(add_prefix_space=False), normalizers.NFC()),
    "smollm": (pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]), None),
    "qwen2": (pre.Sequence([pre.Split(Regex(PUBLISHED["qwen2"]), "isolated"), BYTE_LEVEL]), normalizers.NFC()),
    "llama3": (pre.Sequence([pre.Split(Regex(PUBLISHED["cl100k"]), "isolated"), BYTE_LEVEL]), None),
    "roberta": (pre.ByteLevel(add_prefix_space=True), None),
    "digits+prefix": (pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=True)]), None),
}  # fmt: skip


def train(style: str) -> Tokenizer:
    splitter, normalizer = STYLES[style]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = splitter, decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(
        [TEXTS["training"]],
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if style == "neox":
        tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if style == "llama3":
        content = json.loads(tokenizer.to_str())
        content["model"]["ignore_merges"] = True
        content["model"]["vocab"] |= {"Ġcouldn": 420, "lantern": 421}
        tokenizer = Tokenizer.from_str(json.dumps(content))
        begin = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), begin])
    return tokenizer


def xgen(ranks: dict[bytes, int], special: dict[str, int]) -> None:
    """What XGen's own tokenizer adds to GPT-2's, in the same order."""
    number = len(ranks) + len(special)
    runs = [" " * n for n in reversed(range(2, 32))] + ["\t" * n for n in reversed(range(2, 10))]
    for run in runs:
        ranks[run.encode()] = number
        number += 1
    for name in ("fim_prefix", "fim_middle", "fim_suffix", "fim_pad"):
        special[f"<{name}>"] = number
        number += 1


def main() -> None:
    (FIXTURES / "ranks").mkdir(exist_ok=True)
    order = {character: byte for byte, character in enumerate(_byte_characters())}
    cases = json.loads((FIXTURES / "parity.json").read_text(encoding="utf-8"))
    expected = {}
    for name, pattern in RANK_FILES.items():
        tokens = [bytes([byte]) for byte in sorted(range(256), key=_byte_characters().__getitem__)]
        tokens += [bytes(order[c] for c in merge.replace(" ", "")) for merge in cases[pattern]["merges"]]
        # A token without a merge of its own: found whole, and by joining others in any way that spells it.
        tokens += [b"aaaaaaaaaaa", b" aaaaa", "漢字か".encode()]
        tokens = list(dict.fromkeys(tokens))
        lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
        (FIXTURES / "ranks" / f"{name}.tiktoken").write_bytes("\n".join(lines).encode() + b"\n")
        ranks = {token: rank for rank, token in enumerate(tokens)}
        published = SCHEMES.get(pattern) or PUBLISHED[pattern]
        encoding = tiktoken.Encoding(name, pat_str=published, mergeable_ranks=ranks, special_tokens={})
        expected[name] = [encoding.encode_ordinary(text) for text in NASTY]
        if pattern == "gpt2":
            special = {"<|endoftext|>": len(ranks)}
            xgen(ranks, special)
            encoding = tiktoken.Encoding("xgen", pat_str=published, mergeable_ranks=ranks, special_tokens=special)
            expected["xgen"] = [encoding.encode(text, allowed_special="all") for text in [*NASTY, "<fim_pad>a"]]
    (FIXTURES / "ranks" / "expected.json").write_text(
        json.dumps({"texts": NASTY, "ids": expected}) + "\n", encoding="utf-8"
    )

    styles = {}
    for style in STYLES:
        tokenizer = train(style)
        styles[style] = {
            "file": json.loads(tokenizer.to_str()),
            "ids": [tokenizer.encode(text).ids for text in NASTY],
        }
    (FIXTURES / "styles.json").write_text(json.dumps({"texts": NASTY, "styles": styles}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
