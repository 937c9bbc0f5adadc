"""`python -m llm_from_scratch chat`: a conversation with a chat model in the terminal, in the model's own template."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HELP = "talk with a model: a real pretrained one such as smollm2, or one of your own"
EPILOG = """
examples:
  python -m llm_from_scratch chat --model smollm2                      fetches it (93 MB) the first time
  python -m llm_from_scratch chat --model smollm2 --system "You answer in one sentence."
  python -m llm_from_scratch chat --model smollm2 --prompt "Name three rivers." --temperature 0
  python -m llm_from_scratch chat --model path/to/model.gguf           any llama-architecture GGUF with a template
  python -m llm_from_scratch chat --model runs/quickstart --template tales    a model that was never taught to chat

In the conversation: Ctrl-C stops an answer, /clear begins anew, Ctrl-D (Ctrl-Z Enter on Windows) or /quit ends.
A model of 135 million parameters writes good English and knows little: do not believe it.
"""
_PROMPT = "> "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--model", default="smollm2", metavar="MODEL", help="smollm2, a .gguf file, or a model's directory"
    )
    parser.add_argument(
        "--adapter", type=Path, metavar="DIR", help="an adapter that acts on the model, as peft saves it"
    )
    parser.add_argument("--template", metavar="NAME", help="chat template by name (default: the model's own)")
    parser.add_argument("--system", metavar="TEXT", help="how the model shall behave (default: the template's own)")
    parser.add_argument("--prompt", metavar="TEXT", help="ask once and end; - reads it from standard input")
    parser.add_argument(
        "--max-new-tokens", type=int, metavar="N", help="longest answer (default 512, of a smaller context a quarter)"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.3, metavar="X", help="0: the same answer every time (default 0.3)"
    )
    parser.add_argument("--top-p", type=float, default=0.9, metavar="P", help="see generate --help (default 0.9)")
    parser.add_argument("--repetition-penalty", type=float, default=1.1, metavar="X", help="1: off (default 1.1)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choices (default 0)")
    parser.add_argument("--expand", action="store_true", help="expand quantised weights: more memory, slower answers")
    parser.add_argument("--threads", type=int, metavar="N", help="that share the work of a token (default: all cores)")
    parser.add_argument("--json", action="store_true", help="with --prompt: print the answer as one line of JSON")


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    from ..files.download import find_model
    from ..generation import Sampling, print_stream
    from ._options import in_options

    if args.max_new_tokens is not None and args.max_new_tokens < 1:
        raise ValueError(f"--max-new-tokens must be at least 1, got {args.max_new_tokens}")
    if args.json and args.prompt is None:
        raise ValueError("--json prints one answer: give a --prompt as well")
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, got {args.seed}")
    with in_options():
        sampling = Sampling(args.temperature, None, args.top_p, args.repetition_penalty)
    began = time.perf_counter()
    path = find_model(args.model)
    model, tokenizer, template = load(path, packed=not args.expand, template=args.template, adapter=args.adapter)
    loaded = time.perf_counter() - began
    longest = min(512, model.spec.context_length // 4) if args.max_new_tokens is None else args.max_new_tokens
    chat = Conversation(model, tokenizer, template, sampling, system=args.system, seed=args.seed)
    write = print_stream()
    if args.prompt is not None:
        prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
        if not prompt.strip():
            raise ValueError("the prompt is empty: ask something")
        answer = chat.ask(prompt, longest, stream=None if args.json else write)
        if args.json:
            print(json.dumps({"prompt": prompt, "answer": answer, **chat.speed, "load_seconds": round(loaded, 3)}))
        else:
            write("\n")
        return 0
    greeting = f"{model.parameter_count:,} parameters, loaded in {loaded:.1f} s. /quit or end of input ends."
    print(greeting, file=sys.stderr, flush=True)
    _converse(chat, longest, write)
    return 0


def load(path: Path, *, packed: bool, template: str | None = None, adapter: Path | None = None) -> tuple[Any, Any, Any]:
    """Model, tokenizer and chat template from one place; the template first, because it may not be there.

    template: the name of another one. adapter: a directory with one for this model, and maybe the template it was
    trained with.
    """
    from ..adapters import load_adapter
    from ..checkpoints import from_pretrained
    from ..tokenizers import Tokenizer
    from ..tokenizers.chat_template import ChatTemplate
    from ..tokenizers.templates import named_template

    place = path if adapter is None or not (adapter / "chat_template.jinja").exists() else adapter
    own = ChatTemplate.from_pretrained(place) if template is None else None
    tokenizer = Tokenizer.from_pretrained(path)
    chosen = named_template(template, tokenizer) if template is not None else own
    model = from_pretrained(path, packed=packed and path.suffix.lower() == ".gguf")
    if adapter is not None:
        load_adapter(model, adapter)
    return model, tokenizer, chosen


class Conversation:
    """Messages so far, and the model's memory of them: each turn runs only what the memory does not hold yet."""

    def __init__(
        self, model: Any, tokenizer: Any, template: Any, sampling: Any, *, system: str | None = None, seed: int = 0
    ) -> None:
        from ..generation import end_tokens

        self.model, self.tokenizer, self.template, self.sampling = model, tokenizer, template, sampling
        self._rng = np.random.default_rng(seed)
        self._first = [] if system is None else [{"role": "system", "content": system}]
        self._stops = {*end_tokens(model, tokenizer), tokenizer.special_tokens.get(template.eos)}
        self.speed: dict[str, float] = {}
        self.clear()

    def clear(self) -> None:
        """Forget the conversation (not the system message)."""
        self.messages = list(self._first)
        self._forget()

    def _forget(self) -> None:
        self._seen: list[int] = []  # what the memory holds
        self._memory = self.model.new_memory(1)

    def ask(self, text: str, max_new_tokens: int, stream: Any = None) -> str:
        """The model's answer, also noted in `messages`. Ctrl-C ends it early and keeps what was said.

        When the conversation outgrows the model's context, its oldest turns are left out. Raises ValueError when a
        single question does not fit. A question that gets no answer is not kept.
        """
        before = list(self.messages)
        self.messages.append({"role": "user", "content": text})
        try:
            answer = self._continue(self._fitting(max_new_tokens), max_new_tokens, stream)
        except Exception:
            self.messages = before
            self._forget()
            raise
        self.messages.append({"role": "assistant", "content": answer})
        return answer

    def _fitting(self, max_new_tokens: int) -> list[int]:
        limit = self.model.spec.context_length
        while True:
            ids = self.template.encode(self.tokenizer, self.messages)
            if len(ids) + max_new_tokens <= limit:
                return ids
            start = len(self._first)
            if len(self.messages) - start < 3:
                raise ValueError(
                    f"the question ({len(ids)} tokens with its frame) and an answer of {max_new_tokens} exceed the "
                    f"model's context of {limit} tokens: shorten it, or lower --max-new-tokens"
                )
            del self.messages[start : start + 2]

    def _return_to(self, length: int) -> None:
        """Let the memory hold the first `length` tokens, or none where a layer cannot go back so far."""
        column = length + self._memory.virtual if length else 0  # a learned prefix stands before them
        if column < min(self._memory.shortest, self._memory.length):
            column = length = 0
        self._memory.crop(column)
        self._seen = self._seen[:length]

    def _continue(self, ids: list[int], max_new_tokens: int, stream: Any) -> str:
        from ..generation import TextStream
        from ..training.workers import one_blas_thread

        # What the memory holds from earlier turns is not computed again; at least one token must be.
        common = 0
        while common < min(len(ids) - 1, len(self._seen)) and ids[common] == self._seen[common]:
            common += 1
        self._return_to(common)
        common = len(self._seen)
        text, pieces, count = TextStream(self.tokenizer), [], 0
        began = decoding = time.perf_counter()
        try:
            logits = self.model.step([ids[common:]], self._memory)
            self._seen = list(ids)
            decoding = time.perf_counter()
            with one_blas_thread():  # one token at a time: a second thread of the products waits more than it works
                while True:
                    token = self.sampling.choose(logits[0], self._seen, self._rng)
                    if token in self._stops:
                        break
                    count += 1
                    pieces.append(text.push(token))
                    if stream is not None and pieces[-1]:
                        stream(pieces[-1])
                    if count == max_new_tokens:
                        break
                    logits = self.model.step([[token]], self._memory)
                    self._seen.append(token)
        except KeyboardInterrupt:
            # A step may have been cut in the middle: some layers remember a token more than others.
            held = 0 if self._memory.shortest else self._memory.length - self._memory.virtual
            self._return_to(max(0, min(len(self._seen), held)))
        pieces.append(text.finish())
        if stream is not None and pieces[-1]:
            stream(pieces[-1])
        ended = time.perf_counter()
        self.speed = {
            "prompt_tokens": len(ids) - common,
            "prompt_tokens_per_second": round((len(ids) - common) / max(decoding - began, 1e-9), 1),
            "tokens": count,
            "tokens_per_second": round(count / max(ended - decoding, 1e-9), 1),
        }
        return "".join(pieces)


def _converse(chat: Conversation, max_new_tokens: int, write: Any) -> None:
    while True:
        try:
            text = input(_PROMPT)
        except (EOFError, KeyboardInterrupt):
            write("\n")
            return
        if text.strip() == "/quit":
            return
        if text.strip() == "/clear":
            chat.clear()
        elif text.strip():
            try:
                chat.ask(text, max_new_tokens, stream=write)
            except ValueError as error:
                print(f"error: {error}", file=sys.stderr)
            write("\n")
