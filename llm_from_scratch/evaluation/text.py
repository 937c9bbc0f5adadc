"""Perplexity of texts, per token, byte and word, and bits per byte: what a model's surprise is divided by.

The surprise of a text is one number, -log p(text); perplexities differ in what it is shared out among. Tokens depend on
the tokenizer, so a perplexity per token compares models of one tokenizer only; bytes do not, so bits per byte compare
any two models. Where a begin token exists it stands in front and every token is scored; else the first token has no
probability, and neither its bytes nor its word count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..scoring.intervals import Estimate, bootstrap
from ..scoring.windows import perplexity
from ..tokenizers import Tokenizer
from ..tokenizers.ends import begin_ids
from ..tokenizers.places import encode_with_places
from .fitting import check_left_to_right
from .kept import Kept

_BLOCK = 256  # bytes that are drawn together when an interval is made: neighbouring words are not independent


@dataclass(frozen=True)
class BitsPerByte(Estimate):
    """value: bits per byte; count: the blocks of about 256 bytes that the interval is drawn from.

    nats: the surprise of all that was scored; tokens, bytes, words: among what it can be shared out. block_bits and
    block_bytes (count,): the same block by block, equal blocks for any tokenizer, so that two models can be paired.
    """

    nats: float
    tokens: int
    bytes: int
    words: int
    block_bits: np.ndarray
    block_bytes: np.ndarray

    @property
    def token_perplexity(self) -> float:
        """Per token, so only comparable between models of one tokenizer."""
        return _exp(self.nats / self.tokens)

    @property
    def byte_perplexity(self) -> float:
        """Per byte of UTF-8: comparable between tokenizers."""
        return _exp(self.nats / self.bytes)

    @property
    def word_perplexity(self) -> float:
        """Per word between white space; infinite where no word was scored."""
        return _exp(self.nats / self.words) if self.words else math.inf


def bits_per_byte(
    model: Any,
    tokenizer: Tokenizer,
    text: str | Sequence[str],
    *,
    context: int,
    stride: int | None = None,
    begin: list[int] | None = None,
    batch_size: int = 8,
    seed: int = 0,
    cache: Any = None,
    progress: Callable[[int], object] = lambda count: None,
) -> BitsPerByte:
    """Bits per byte of a text, or of several documents, each scored from its own beginning.

    context, stride: as for `perplexity`. begin: ids that stand before a text, by default what the tokenizer says.
    cache: a file in which documents' scores are kept. progress: called with the number of documents done. The interval
    is from blocks of neighbouring bytes.

    Raises TypeError or ValueError for what is no text, for one of which no token can be scored, and what `perplexity`
    raises.

    >>> from llm_from_scratch.checkpoints import build
    >>> tokenizer = Tokenizer.train("a", 256)                      # a token a byte
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=256, n_positions=16)
    >>> model.embedding.weight.data[:] = 0.0                       # every byte is as likely as any other
    >>> round(float(bits_per_byte(model, tokenizer, "any text at all", context=8)), 4)
    8.0
    """
    documents = [text] if isinstance(text, str) else list(text)
    if not documents or not all(isinstance(document, str) for document in documents):
        raise TypeError("a text or several were expected")
    check_left_to_right(model)
    before = begin_ids(tokenizer) if begin is None else list(begin)
    encoded = []
    for number, document in enumerate(documents):
        ids, starts, ends = encode_with_places(tokenizer, document, lambda start, end: False)
        if len(before) + len(ids) < 2 or not len(ids):
            raise ValueError(f"document {number} has {len(ids)} tokens: there is none to score; leave it out")
        encoded.append((ids, starts, ends))
    kept = Kept.of(cache, model)
    nats, tokens, words = 0.0, 0, 0
    bits: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    for number, (document, (ids, _, ends)) in enumerate(zip(documents, encoded)):
        front = np.array(before, np.int64)
        key = kept.key(front, ids, int(context), None if stride is None else int(stride))
        found = kept.get(key)
        if found is None:
            whole = np.concatenate([front, ids])
            found = perplexity(model, whole, context=context, stride=stride, batch_size=batch_size).log_probabilities
            kept.put(key, found.tolist())
        found = np.asarray(found)
        found = found[max(len(before) - 1, 0) :]  # of the text's tokens, without those that begin it
        skipped = 0 if before else 1  # the first token has no probability
        at = _bytes_before(document)
        unscored = int(ends[0]) if skipped else 0
        blocks = at[ends[skipped:]] - at[unscored]
        count = max(1, round((at[-1] - at[unscored]) / _BLOCK))
        edges = np.linspace(0, at[-1] - at[unscored], count + 1).round().astype(int)
        place = np.clip(np.searchsorted(edges, blocks, side="left") - 1, 0, count - 1)
        bits.append(np.bincount(place, -found / math.log(2), minlength=count))
        sizes.append(np.diff(edges))
        nats -= float(found.sum())
        tokens += len(found)
        words += len(document[unscored:].split())
        progress(number + 1)
    block_bits, block_bytes = np.concatenate(bits), np.concatenate(sizes)
    if not block_bytes.sum():
        raise ValueError("the text is a single token, of which nothing can be scored without a begin token")
    mean = bootstrap(block_bits, seed, counts=block_bytes)
    return BitsPerByte(
        mean.value, mean.interval, mean.count, nats, tokens, int(block_bytes.sum()), words, block_bits, block_bytes
    )


def _bytes_before(text: str) -> np.ndarray:
    """How many bytes stand before each character, and before the end, (characters + 1,)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.concatenate([[0], np.cumsum(1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000))])


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
