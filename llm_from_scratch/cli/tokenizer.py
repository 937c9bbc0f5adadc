"""The command `tokenizer`: train one on text files, look at one, turn text into ids and ids into text."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..tokenizers import ALIASES, NAMES, Tokenizer
from ..tokenizers.checks import TIES
from ..tokenizers.streams import read_text

HELP = "train a byte-pair tokenizer on text files, look at one, encode and decode"

EXAMPLES = """examples:
  python -m llm_from_scratch tokenizer train --data book.txt --vocab-size 4096 --out runs/tokenizer
  python -m llm_from_scratch tokenizer train --data book.txt --kind sentencepiece --out runs/pieces
  python -m llm_from_scratch tokenizer info --tokenizer runs/tokenizer
  python -m llm_from_scratch tokenizer encode --tokenizer runs/tokenizer --text "Once upon a time"
  python -m llm_from_scratch tokenizer decode --tokenizer runs/tokenizer 412 88 1040
  python -m llm_from_scratch tokenizer compare runs/tokenizer runs/pieces --text "Once upon a time"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    train = actions.add_parser("train", help="learn a vocabulary from text files")
    train.add_argument("--data", nargs="+", required=True, metavar="FILE", help="UTF-8 text files, each one document")
    train.add_argument("--vocab-size", type=int, default=4096, metavar="N", help="tokens in all (default 4096)")
    train.add_argument("--out", required=True, metavar="DIR", help="where tokenizer.json is written")
    train.add_argument(
        "--kind", choices=["byte-level", "sentencepiece"], default="byte-level",
        help="merge bytes inside words (GPT-2's way, the default), or characters with a fallback to bytes (LLaMA's)",
    )  # fmt: skip
    train.add_argument(
        "--pattern", default="gpt2",
        help=f"how text is cut into words: {', '.join([*NAMES, *ALIASES])}, or a regular expression (default gpt2)",
    )  # fmt: skip
    train.add_argument(
        "--character-coverage", type=float, default=0.9995, metavar="SHARE",
        help="sentencepiece: the share of all characters that become pieces, the rest being bytes (default 0.9995)",
    )  # fmt: skip
    train.add_argument("--keep-numbers", action="store_true", help="sentencepiece: let digits merge with each other")
    train.add_argument(
        "--special-token", action="append", metavar="TOKEN",
        help="a special token, such as <|endoftext|> (the default); may be given several times",
    )  # fmt: skip
    train.add_argument(
        "--added-token", action="append", metavar="WORD", default=[],
        help="a word that is one token wherever a text spells it, and nothing special; may be given several times",
    )  # fmt: skip
    train.add_argument("--ties", choices=TIES, default="tokenizers", help="which of equally frequent pairs is merged")
    train.add_argument("--min-frequency", type=int, default=1, metavar="N", help="never merge rarer pairs (default 1)")

    encode = actions.add_parser("encode", help="text to ids")
    given = encode.add_mutually_exclusive_group()
    given.add_argument("--text", help="the text itself")
    given.add_argument("--file", metavar="FILE", help="a UTF-8 text file; - or nothing for the standard input")
    encode.add_argument("--allow-special", action="store_true", help="let the text spell special tokens")

    decode = actions.add_parser("decode", help="ids to text")
    decode.add_argument("ids", nargs="*", type=int, metavar="ID", help="ids; none: from the standard input")

    compare = actions.add_parser("compare", help="the same texts under several tokenizers")
    compare.add_argument(
        "tokenizers", nargs="+", metavar="[NAME=]PATH", help="tokenizers, with names to print if you like"
    )
    given = compare.add_mutually_exclusive_group(required=True)
    given.add_argument("--text", help="the text itself")
    given.add_argument("--file", metavar="FILE", help="a UTF-8 text file; each line is a text")

    info = actions.add_parser("info", help="describe a tokenizer, and measure it on a file")
    info.add_argument("--file", metavar="FILE", help="a UTF-8 text file to measure bytes per token on")

    for action in (encode, decode, info):
        action.add_argument(
            "--tokenizer",
            required=True,
            metavar="PATH",
            help="a directory with tokenizer.json, tokenizer.model or *.tiktoken, or such a file, or a .gguf file",
        )
    for action in (train, encode, decode, compare, info):
        action.add_argument("--json", action="store_true", help="print the result as one line of JSON")


def run(args: argparse.Namespace) -> int:
    return {"train": _train, "encode": _encode, "decode": _decode, "compare": _compare, "info": _info}[args.action](
        args
    )


def _train(args: argparse.Namespace) -> int:
    files = [Path(name) for name in args.data]
    for path in files:
        if not path.is_file():
            raise ValueError(f"--data: there is no file {path}")
    usual = ["<|endoftext|>"] if args.kind == "byte-level" else []  # the other kind has <s> and </s>
    special = usual if args.special_token is None else args.special_token
    started = time.perf_counter()
    tokenizer = Tokenizer.train(
        files, args.vocab_size, kind=args.kind, pattern=args.pattern, special_tokens=special,
        added_tokens=args.added_token, ties=args.ties, min_frequency=args.min_frequency,
        progress=not args.json and sys.stderr.isatty(),
        character_coverage=args.character_coverage, split_digits=not args.keep_numbers,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    tokenizer.save(args.out)
    size = sum(path.stat().st_size for path in files)
    if args.json:
        print(json.dumps({"out": args.out, "bytes": size, "seconds": round(seconds, 3), **_describe(tokenizer)}))
        return 0
    print(f"{tokenizer.vocab_size} tokens from {size:,} bytes in {seconds:.1f} s, written to {args.out}")
    if tokenizer.vocab_size < args.vocab_size:
        print(f"(fewer than the {args.vocab_size} asked for: the text holds no more pairs that occur often enough)")
    longest = sorted(tokenizer.vocabulary, key=lambda token: (-len(token), token))[:8]
    print("longest tokens:", ", ".join(repr(token.decode("utf-8", "replace")) for token in longest))
    return 0


def _chunks(args: argparse.Namespace) -> Iterator[str]:
    if args.text is not None:
        yield args.text
    elif args.file not in (None, "-"):
        yield from read_text(args.file)
    else:
        raw = sys.stdin.buffer.read()
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"the standard input is not UTF-8 at byte {error.start}") from None


def _encode(args: argparse.Namespace) -> int:
    tokenizer = Tokenizer.from_pretrained(args.tokenizer)
    allowed = "all" if args.allow_special else ()
    parts = tokenizer.encode_chunks(_chunks(args), allowed_special=allowed)
    if args.json:
        print(json.dumps({"ids": [number for part in parts for number in part.tolist()]}))
        return 0
    for part in parts:  # as they come: the text may be long
        print(" ".join(map(str, part.tolist())))
    return 0


def _decode(args: argparse.Namespace) -> int:
    tokenizer = Tokenizer.from_pretrained(args.tokenizer)
    ids = args.ids
    if not ids:
        words = sys.stdin.read().split()
        try:
            ids = [int(word) for word in words]
        except ValueError:
            wrong = next(word for word in words if not word.lstrip("-").isdigit())
            raise ValueError(f"expected ids, whole numbers with spaces between, got {wrong[:40]!r}") from None
    text = tokenizer.decode(ids)
    print(json.dumps({"text": text}) if args.json else text)
    return 0


def _compare(args: argparse.Namespace) -> int:
    texts = (
        [args.text] if args.text is not None else [line for line in "".join(read_text(args.file)).split("\n") if line]
    )
    results: dict[str, dict[str, Any]] = {}
    for given in args.tokenizers:
        name, _, path = given.rpartition("=")
        tokenizer = Tokenizer.from_pretrained(path)
        cut = [[tokenizer.id_to_token(id) for id in tokenizer.encode(text)] for text in texts]
        results[name or path] = {"kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size, "tokens": cut}
    if args.json:
        print(json.dumps({"texts": texts, "tokenizers": results}))
        return 0
    for number, text in enumerate(texts):
        print(f"{text}  ({len(text.encode('utf-8'))} bytes)")
        for name, result in results.items():
            tokens = result["tokens"][number]
            print(f"  {name}: {len(tokens)} tokens: {' '.join(tokens)}")
    return 0


def _describe(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "merges": len(tokenizer.merges),
        "pattern": tokenizer.pre_tokenizer.pattern,
        "special_tokens": tokenizer.special_tokens,
        "roles": tokenizer.roles,
    }


def _info(args: argparse.Namespace) -> int:
    tokenizer = Tokenizer.from_pretrained(args.tokenizer)
    described = _describe(tokenizer)
    if args.file:
        size = Path(args.file).stat().st_size
        tokens = sum(part.size for part in tokenizer.encode_chunks(read_text(args.file)))
        if not tokens:
            raise ValueError(f"{args.file} is empty: nothing to measure on")
        described |= {"bytes": size, "tokens": tokens, "bytes_per_token": round(size / tokens, 4)}
    if args.json:
        print(json.dumps(described))
        return 0
    for name, value in described.items():
        print(f"{name.replace('_', ' '):16} {value}")
    return 0
