"""`python -m llm_from_scratch generate`: let a model continue a text, shown as it arrives."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

HELP = "let a trained model continue a text"
EPILOG = """
examples:
  python -m llm_from_scratch generate --model runs/quickstart
  python -m llm_from_scratch generate --model runs/quickstart --prompt "Once there was a fox" --temperature 0.5
  python -m llm_from_scratch generate --model runs/mine --prompt "ROMEO:" --top-p 0.9 --stop "JULIET:" --seed 3
  echo "A tale" | python -m llm_from_scratch generate --model runs/quickstart --prompt - --samples 3 --json

MODEL is a directory in the Hugging Face layout: config.json, *.safetensors, tokenizer.json.
"""
# With few parameters a second thread of the matrix products waits longer than it works.
_SMALL = 20_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("--model", required=True, metavar="DIR", help="the model's directory")
    parser.add_argument("--adapter", metavar="DIR", help="an adapter that acts on the model, as peft saves it")
    parser.add_argument(
        "--prompt",
        default="",
        metavar="TEXT",
        help="the text to continue; - reads it from standard input; without one the model begins a text of its own",
    )
    parser.add_argument("--max-new-tokens", type=int, default=300, metavar="N", help="stop after so many (default 300)")
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.8,
        metavar="X",
        help="0 always takes the most probable "
        "token, 1 follows the model's probabilities, more is wilder (default 0.8)",
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K most probable tokens only")
    parser.add_argument(
        "--top-p",
        type=float,
        metavar="P",
        help="choose among the most probable tokens that together hold a probability of P",
    )
    parser.add_argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="X",
        help="above 1 makes tokens that were seen before less probable (default 1: off)",
    )
    parser.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end where this text would come; may be given several times",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed gives the same text (default 0)"
    )
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="how many continuations (default 1)")
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    from ..adapters import load_adapter
    from ..checkpoints import from_pretrained
    from ..generation import print_stream
    from ..tokenizers import Tokenizer

    if args.samples < 1:
        raise ValueError(f"--samples must be at least 1, got {args.samples}")
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    model = from_pretrained(args.model)
    if args.adapter is not None:
        load_adapter(model, args.adapter)
    tokenizer = Tokenizer.from_pretrained(args.model)
    texts, tokens = [], 0
    write = print_stream()
    began = time.perf_counter()
    for number in range(args.samples):
        if not args.json:
            if number:
                write("\n\n---\n\n")
            write(prompt)
        text, count = continue_text(
            model,
            tokenizer,
            prompt,
            stream=None if args.json else write,
            max_new_tokens=args.max_new_tokens,
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
            repetition_penalty=args.repetition_penalty,
            stop_strings=args.stop,
            seed=args.seed + number,
        )
        texts.append(text)
        tokens += count
    seconds = time.perf_counter() - began
    if args.json:
        result = {"prompt": prompt, "texts": texts, "tokens": tokens, "seconds": round(seconds, 3)}
        print(json.dumps(result, ensure_ascii=False))
    else:
        write("\n")
        print(f"({tokens} tokens, {tokens / max(seconds, 1e-9):.0f} a second)", file=sys.stderr)
    return 0


def continue_text(model: Any, tokenizer: Any, prompt: str, *, stream: Any = None, **settings: Any) -> tuple[str, int]:
    """The new text and how many tokens it has; stops at whatever ends a text: see `generation.end_tokens`.

    The prompt begins a text: what the tokenizer's file asks for is put around it, or, if it asks for nothing, the token
    for the beginning in front. No prompt at all is that token, or the one that the model's config names.
    """
    from ..generation import end_tokens, generate
    from ..tokenizers.ends import begin_ids
    from ..training.workers import one_blas_thread

    ids = [*begin_ids(tokenizer), *tokenizer.encode(prompt), *tokenizer.parts.ends.after]
    if not ids:
        begin = getattr(model, "begin_token", None) if tokenizer.bos_id is None else tokenizer.bos_id
        ids = [] if begin is None else [begin]
    if not ids:
        raise ValueError("this model has no token for the beginning of a text: give it a --prompt to continue")
    pieces: list[str] = []

    def collect(piece: str) -> None:
        pieces.append(piece)
        if stream is not None:
            stream(piece)

    stops = end_tokens(model, tokenizer)

    def run_it() -> Any:
        return generate(model, [ids], tokenizer=tokenizer, stop_tokens=stops, stream=collect, **settings)

    if model.parameter_count < _SMALL:
        with one_blas_thread():
            out = run_it()
    else:
        out = run_it()
    new = out[0, len(ids) :]
    return "".join(pieces), int(len(new) - (len(new) > 0 and int(new[-1]) in stops))
