"""`python -m llm_from_scratch generate`: let a model continue a text, shown as it arrives."""

from __future__ import annotations

import argparse
import contextlib
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
  python -m llm_from_scratch generate --model runs/quickstart --prompt "Once there was a fox" --beams 4
  python -m llm_from_scratch generate --model runs/large --draft runs/draft
  echo "A tale" | python -m llm_from_scratch generate --model runs/quickstart --prompt - --samples 3 --json

MODEL is a directory in the Hugging Face layout: config.json, *.safetensors, tokenizer.json.
With --draft a smaller model with the same tokenizer guesses ahead, and MODEL keeps what it could have said itself:
every text is as likely as without, at temperature 0 it is the same one. What that was worth is measured and told.
"""
TEMPERATURE = 0.8
# With few parameters a second thread of the matrix products waits longer than it works.
_SMALL = 20_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("--model", required=True, metavar="DIR", help="the model's directory")
    parser.add_argument("--draft", metavar="DIR", help="a smaller model that guesses ahead, so that it goes faster")
    parser.add_argument("--guesses", type=int, metavar="N", help="tokens that the draft guesses at once (default 5)")
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
        metavar="X",
        help="0 always takes the most probable token, 1 follows the model's probabilities, more is wilder (default "
        f"{TEMPERATURE}, if there are no beams)",
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K most probable tokens only")
    parser.add_argument(
        "--top-p",
        type=float,
        metavar="P",
        help="choose among the most probable tokens that together hold a probability of P",
    )
    parser.add_argument(
        "--min-p", type=float, metavar="P", help="choose among the tokens at least P times as probable as the best one"
    )
    parser.add_argument(
        "--typical-p",
        type=float,
        metavar="P",
        help="choose among the tokens about as surprising as is to be expected, that together hold a probability of P",
    )
    parser.add_argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="X",
        help="above 1 makes tokens that were seen before less probable (default 1: off)",
    )
    parser.add_argument(
        "--no-repeat-ngram", type=int, metavar="N", help="never write N tokens in a row that were there before"
    )
    parser.add_argument(
        "--beams",
        type=int,
        default=1,
        metavar="N",
        help="draw nothing: search for the text that is most probable as a whole, with N open beginnings (default 1: "
        "no search)",
    )
    parser.add_argument(
        "--length-penalty",
        type=float,
        default=1.0,
        metavar="X",
        help="with beams: above 0 favours long texts, below 0 short ones (default 1)",
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
    parser.add_argument("--threads", type=int, metavar="N", help="that share the work of a token (default: all cores)")
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="how many continuations (default 1)")
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    from ..adapters import load_adapter
    from ..checkpoints import from_pretrained
    from ..generation import print_stream
    from ..tokenizers import Tokenizer
    from ._drafting import GUESSES, Drafting, open_draft, told

    if args.guesses is not None and args.draft is None:
        raise ValueError("--guesses says how far a draft looks ahead: name one with --draft")
    if args.guesses is not None and args.guesses < 1:
        raise ValueError(f"--guesses must be at least 1, got {args.guesses}")
    if args.draft is not None and args.beams > 1:
        raise ValueError("--draft guesses for one text, and --beams are several at a time: choose one of the two")
    if args.samples < 1:
        raise ValueError(f"--samples must be at least 1, got {args.samples}")
    if args.beams > 1 and args.samples > 1:
        raise ValueError(
            f"beam search draws nothing: all {args.samples} samples would be the same, leave --samples out"
        )
    temperature = args.temperature
    if temperature is None:
        temperature = 1.0 if args.beams > 1 else TEMPERATURE
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    model = from_pretrained(args.model)
    if args.adapter is not None:
        load_adapter(model, args.adapter)
    tokenizer = Tokenizer.from_pretrained(args.model)
    choice: dict[str, Any] = {
        "temperature": temperature,
        "top_k": args.top_k,
        "top_p": args.top_p,
        "min_p": args.min_p,
        "typical_p": args.typical_p,
        "repetition_penalty": args.repetition_penalty,
        "no_repeat_ngram_size": args.no_repeat_ngram,
    }
    draft = None
    if args.draft is not None:
        draft = Drafting(open_draft(args.draft, tokenizer), GUESSES if args.guesses is None else args.guesses)
    texts, tokens = [], 0
    write = print_stream()
    began = time.perf_counter()
    for number in range(args.samples):
        if not args.json:
            if number:
                write("\n\n---\n\n")
            write(prompt)
        shown = None if args.json or args.beams > 1 else write
        try:
            text, count = continue_text(
                model,
                tokenizer,
                prompt,
                **choice,
                **({"stream": shown} if draft is None else draft.settings(shown)),
                max_new_tokens=args.max_new_tokens,
                num_beams=args.beams,
                length_penalty=args.length_penalty,
                stop_strings=args.stop,
                seed=args.seed + number,
            )
        except ValueError:
            if not args.json:
                write("\n")  # the message begins a line of its own
            raise
        if args.beams > 1 and not args.json:
            write(text)
        if draft is not None:
            draft.ended()
        texts.append(text)
        tokens += count
    seconds = time.perf_counter() - began
    account = None
    if draft is not None:
        ids = opening(model, tokenizer, prompt)
        with _threads(model):
            account = draft.account(model, ids, tokenizer.encode(texts[0]), **choice)
    if args.json:
        result = {"prompt": prompt, "texts": texts, "tokens": tokens, "seconds": round(seconds, 3)}
        print(json.dumps(result | ({} if account is None else {"draft": account}), ensure_ascii=False))
    else:
        write("\n")
        print(f"({tokens} tokens, {tokens / max(seconds, 1e-9):.0f} a second)", file=sys.stderr)
        if account is not None:
            print(told(account, greedy=temperature == 0), file=sys.stderr)
    return 0


def continue_text(model: Any, tokenizer: Any, prompt: str, *, stream: Any = None, **settings: Any) -> tuple[str, int]:
    """The new text and how many tokens it has; stops at whatever ends a text: see `generation.end_tokens`."""
    from ..generation import continue_rows, end_tokens
    from ._options import in_options

    ids, stops = opening(model, tokenizer, prompt), end_tokens(model, tokenizer)
    with _threads(model), in_options():
        row = continue_rows(model, [ids], tokenizer=tokenizer, stop_tokens=stops, stream=stream, **settings)[0]
    return row.text, len(row.kept) - (row.kept[-1:] != [] and row.kept[-1] in stops)


def opening(model: Any, tokenizer: Any, prompt: str) -> list[int]:
    """The ids of a prompt that begins a text.

    What the tokenizer's file asks for is put around it, or, if it asks for nothing, the token for the beginning in
    front. No prompt at all is that token, or the one that the model's config names.
    """
    from ..tokenizers.ends import begin_ids

    ids = [*begin_ids(tokenizer), *tokenizer.encode(prompt), *tokenizer.parts.ends.after]
    if not ids:
        begin = getattr(model, "begin_token", None) if tokenizer.bos_id is None else tokenizer.bos_id
        ids = [] if begin is None else [begin]
    if not ids:
        raise ValueError("this model has no token for the beginning of a text: give it a --prompt to continue")
    return ids


def _threads(model: Any) -> Any:
    from ..training.workers import one_blas_thread

    return one_blas_thread() if model.parameter_count < _SMALL else contextlib.nullcontext()
