"""One decoder that any `ModelSpec` describes: no branch in it asks which family it is.

Glossary: B rows of the batch, T new tokens, S all tokens so far (remembered and new), V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, grad_enabled, no_grad
from ..generation import generate
from ..layers import Context, Embedding, LearnedPositions, Linear, ModelMemory, Module, balancing_loss
from .checks import check_ids, check_mask, check_positions, check_prefix, check_segments
from .spec import ModelSpec
from .summary import Summary, summary


class Decoder(Module):
    """A language model: token ids in, logits out.

    rng: draws the initial parameters; None leaves placeholders that take no memory, to be filled by loading.
    """

    def __init__(self, spec: ModelSpec, rng: np.random.Generator | None = None) -> None:
        self.spec = spec
        width = self.embedding_width
        self.embedding = Embedding(spec.vocab_size, width, init=spec.embedding_init, rng=rng)
        self.embedding_projection = self.head_projection = None
        if spec.embedding_size is not None:
            projection: dict[str, Any] = {"bias": False, "init": spec.head_init, "rng": rng}
            self.embedding_projection = Linear(width, spec.hidden_size, **projection)
            self.head_projection = Linear(spec.hidden_size, width, **projection)
        self.positions = None
        if spec.positions is not None:
            table = spec.positions
            self.positions = LearnedPositions(
                table.count, spec.hidden_size, offset=table.offset, init=table.init, rng=rng
            )
        self.embedding_norm = None if spec.embedding_norm is None else spec.embedding_norm.build(rng)
        self.layers = [layer.build(rng) for layer in spec.layers]
        self.norm = None if spec.norm is None else spec.norm.build(rng)
        self.head = None
        if not spec.tied:
            self.head = Linear(width, spec.vocab_size, bias=False, init=spec.head_init, rng=rng)
        self._record: dict[str, list[np.ndarray]] | None = None

    def __call__(
        self,
        ids: Any,
        *,
        memory: ModelMemory | None = None,
        mask: Any = None,
        positions: Any = None,
        segments: Any = None,
        prefix_length: Any = None,
        rng: np.random.Generator | None = None,
    ) -> Tensor:
        """Logits for the token after each position: ids (B, T) -> (B, T, V).

        memory: from `new_memory`; the ids continue what it holds, and it is extended.
        mask (B, T): False or 0 marks padding, which no token sees. positions (B, T): default 0, 1, 2, … over the
        tokens that are not padding, anew in each document. segments (B, T): document numbers; attention does not cross
        them. prefix_length: that many first tokens see each other in both directions. rng: switches dropout on.

        Raises TypeError or ValueError for ids that are not integers in 0..V-1, empty sequences, wrong shapes, or
        positions beyond a learned table.
        """
        x = self._hidden(ids, memory, mask, positions, segments, prefix_length, rng)
        weight, transposed = self._head()
        return F.linear(x, weight, transposed=transposed)

    def loss(
        self,
        batch: Mapping[str, Any],
        *,
        normaliser: int | None = None,
        rng: np.random.Generator | None = None,
        auxiliary: bool | None = None,
    ) -> Tensor:
        """What training minimises: the sum of the token losses / normaliser, a single number.

        batch: "ids" and "targets", both (B, T), where targets[:, t] is what position t has to predict and -100 does not
        count; and, if wanted, "mask", "positions", "segments", "prefix_length". normaliser: default the number of
        targets that count; shards of one batch pass the batch's, so that their gradients add up.
        auxiliary: whether layers' own losses (load balancing) are added. By default they are when gradients are
        recorded: under `no_grad` the loss is the bare cross-entropy, which stays comparable. Balance is no sum over
        tokens: each shard adds its own, weighted by its share of the targets.
        """
        known = {"ids", "targets", "mask", "positions", "segments", "prefix_length"}
        if not {"ids", "targets"} <= set(batch) <= known:
            raise ValueError(f"a batch has 'ids' and 'targets', and may have {sorted(known)}; got {sorted(batch)}")
        more = {name: batch.get(name) for name in ("mask", "positions", "segments", "prefix_length")}
        targets = np.asarray(batch["targets"])
        routed: list[Any] | None = [] if (grad_enabled() if auxiliary is None else auxiliary) else None
        x = self._hidden(batch["ids"], None, **more, rng=rng, auxiliary=routed)
        if targets.shape != x.shape[:2]:
            raise ValueError(f"targets have shape {targets.shape}, the ids {x.shape[:2]}: they must be equal")
        weight, transposed = self._head()
        loss = F.linear_cross_entropy(
            x.reshape(-1, x.shape[-1]), weight, targets.reshape(-1), normaliser=normaliser, transposed=transposed
        )
        if routed:
            share = 1.0 if normaliser is None else int((targets != -100).sum()) / normaliser
            loss = loss + balancing_loss(routed, batch.get("mask")) * share
        return loss

    def _head(self) -> tuple[Tensor, bool]:
        return (self.embedding.weight, True) if self.head is None else (self.head.weight, False)

    def _hidden(
        self,
        ids: Any,
        memory: ModelMemory | None,
        mask: Any,
        positions: Any,
        segments: Any,
        prefix_length: Any,
        rng: np.random.Generator | None,
        auxiliary: list[Any] | None = None,
    ) -> Tensor:
        """Everything but the head: (B, T) -> (B, T, width of the head's rows)."""
        ids = check_ids(ids, self.spec.vocab_size)
        context = self._context(ids.shape, memory, mask, positions, segments, prefix_length)
        context.rng, context.record, context.auxiliary = rng, self._record, auxiliary
        asked = ids.shape[1]
        if memory is not None:
            ids, context = memory.admit(ids, context)  # all tokens so far, where they have to be run again
        x = self.embedding(ids)
        if self.spec.embedding_gradient_scale != 1.0 and grad_enabled():
            # a·e + (1 - a)·stop_gradient(e), written so that the value is e to the last bit.
            x = x.detach() + (x - x.detach()) * self.spec.embedding_gradient_scale
        if self.embedding_projection is not None:
            x = self.embedding_projection(x)
        if self.positions is not None:
            x = x + self.positions(context.positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        if rng is not None and self.spec.embedding_dropout:
            x = F.dropout(x, rate=self.spec.embedding_dropout, rng=rng)
        for i, layer in enumerate(self.layers):
            if self._record is not None:
                self._record.setdefault("hidden", []).append(x.data.copy())
            x = layer(x, None if memory is None else memory.layers[i], context)
        if memory is not None:
            memory.length += ids.shape[1]
        x = x if self.norm is None else self.norm(x)
        if self._record is not None:
            self._record.setdefault("hidden", []).append(x.data.copy())
        x = x if x.shape[1] == asked else x[:, -asked:]
        return x if self.head_projection is None else self.head_projection(x)

    def _context(
        self,
        shape: tuple[int, int],
        memory: ModelMemory | None,
        mask: Any,
        positions: Any,
        segments: Any,
        prefix_length: Any,
    ) -> Context:
        batch, length = shape
        offset, seen = 0, np.zeros((batch, 1), np.int64)
        if memory is not None:
            if memory.batch_size != batch:
                raise ValueError(f"the memory holds {memory.batch_size} rows, the ids have {batch}")
            if segments is not None and memory.length:
                raise ValueError(
                    "segments describe whole rows: a memory that holds tokens cannot be combined with them"
                )
            if memory.packed and memory.keeps_keys:
                raise ValueError(
                    "the memory holds packed documents, and attention would see all of them: run the one to be "
                    "continued alone"
                )
            offset, seen = memory.length, memory.real_tokens
        mask = check_mask(mask, shape)
        segments = check_segments(segments, shape)
        if positions is not None:
            positions = check_positions(positions, shape)
        elif segments is not None:
            positions = _positions_in_segments(segments)
        elif mask is not None:
            positions = np.maximum(seen + np.cumsum(mask, axis=1) - 1, 0)
        else:
            every_row_alike = memory is None or memory.mask is None
            positions = (seen[:1] if every_row_alike else seen) + np.arange(length)
        if self.positions is not None and int(positions.max()) >= self.positions.count:
            raise ValueError(
                f"position {int(positions.max())} is beyond the {self.positions.count} positions "
                "this model has learned: shorten the input"
            )
        prefix_length = check_prefix(prefix_length, batch, offset + length, offset)  # last check: memory may change
        if memory is not None and segments is not None:
            memory.packed = bool((segments != segments[:, :1]).any())
        key_mask = mask
        if memory is not None and (mask is not None or memory.mask is not None):
            past = np.ones((batch, offset), bool) if memory.mask is None else memory.mask
            new = np.ones(shape, bool) if mask is None else mask
            key_mask = memory.mask = np.concatenate([past, new], axis=1)
        key_bias = None
        if key_mask is not None and not key_mask.all():
            key_bias = np.where(key_mask, 0.0, -np.inf).astype(self.dtype)
        return Context(positions, offset, key_bias, segments, prefix_length)

    @property
    def embedding_width(self) -> int:
        """The width of the embedding's rows, which the head shares."""
        return self.spec.embedding_size or self.spec.hidden_size

    @property
    def position_limit(self) -> int | None:
        """How many positions the model has learned; None where any length can be computed."""
        return None if self.spec.positions is None else self.spec.positions.count

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The ids that end a text: none, as far as a bare network knows (`checkpoints.Decoder` reads a config)."""
        return ()

    @property
    def begin_token(self) -> int | None:
        """The id that begins a text, where it is known."""
        return None

    def new_memory(self, batch_size: int = 1) -> ModelMemory:
        """An empty memory for `batch_size` rows."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}")
        return ModelMemory([layer.new_memory() for layer in self.layers], int(batch_size))

    def step(
        self, ids: Any, memory: ModelMemory, mask: Any = None, *, positions: Any = None, prefix_length: Any = None
    ) -> np.ndarray:
        """Continue `memory` by ids (B, T); the logits after the last of them, (B, V), without gradients.

        mask, positions, prefix_length: as in a call. A bidirectional prefix has to enter as one chunk, since its tokens
        see each other; what follows may come in any pieces.
        """
        with no_grad():
            x = self._hidden(ids, memory, mask, positions, None, prefix_length, None)
            weight, transposed = self._head()
            return F.linear(x[:, -1], weight, transposed=transposed).data

    def generate(self, ids: Any, **settings: Any) -> np.ndarray:
        """Continue ids (B, T) -> (B, T + new); see `llm_from_scratch.generation.generate` for the settings.

        Of generation_config.json only what ends and begins a text is used; how to choose is for the caller to say.
        """
        return generate(self, ids, **settings)

    def summary(self, ids: Any) -> Summary:
        """The model part by part for ids (B, T): shapes, parameters, forward FLOPs and bytes. Print it to read it.

        Nothing is computed, so that a model of any size can be asked before it is built (`Decoder(spec)`). Raises
        TypeError or ValueError as a call would.
        """
        ids = check_ids(ids, self.spec.vocab_size)
        self._context(ids.shape, None, None, None, None, None)  # positions beyond a learned table
        return summary(self, *ids.shape)

    @contextmanager
    def record(self) -> Iterator[dict[str, list[np.ndarray]]]:
        """Collect what passes through the model inside the block.

        Yields a dictionary: "hidden" gets the input of every layer and the final normed state, (B, T, hidden) each, and
        "attention" one map a layer, (B, H, T, S). The fast path never keeps them.
        """
        before, self._record = self._record, {}
        try:
            yield self._record
        finally:
            self._record = before


def _positions_in_segments(segments: np.ndarray) -> np.ndarray:
    """Positions that start again at 0 in each document of a packed row.

    >>> _positions_in_segments(np.array([[0, 0, 1, 1, 1]]))
    array([[0, 1, 0, 1, 2]])
    """
    index = np.arange(segments.shape[1])
    starts = np.zeros(segments.shape, np.int64)
    starts[:, 1:] = np.where(segments[:, 1:] != segments[:, :-1], index[1:], 0)
    return index - np.maximum.accumulate(starts, axis=1)
