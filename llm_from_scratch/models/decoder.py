"""One decoder that any `ModelSpec` describes: no branch in it asks which family it is.

Glossary: B rows of the batch, T new tokens, S all tokens so far (remembered and new), V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, grad_enabled, no_grad
from ..generation import generate
from ..kernels.row_products import is_batch_invariant
from ..layers import Context, Embedding, LearnedPositions, Linear, ModelMemory, balancing_loss, parameter
from ..layers.context import drawing
from ..layers.initialization import ZEROS
from ..layers.one_token import Link, OneToken
from ..layers.recomputed import recomputed
from .heads import Head, TiedHead, cross_entropy, with_targets
from .inputs import Inputs, Prefix
from .observed import Observed
from .spec import ModelSpec
from .summary import Summary, overview, summary


class Decoder(Observed):
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
        self.head: Any
        if spec.tied:
            self.head = TiedHead(self.embedding, parameter(rng, (spec.vocab_size,), ZEROS) if spec.head_bias else None)
        else:
            self.head = Head(width, spec.vocab_size, bias=spec.head_bias, init=spec.head_init, rng=rng)
        self.prefix: Prefix | None = None  # what stands before every text: see `models.inputs`
        self._one_token = OneToken()

    def __call__(
        self,
        ids: Any = None,
        *,
        embeddings: Any = None,
        memory: ModelMemory | None = None,
        mask: Any = None,
        positions: Any = None,
        segments: Any = None,
        prefix_length: Any = None,
        rng: np.random.Generator | None = None,
    ) -> Tensor:
        """Logits for the token after each position: ids (B, T) -> (B, T, V).

        embeddings (B, T, width of the embedding's rows): what stands in place of the rows that ids would look up;
        gradients flow into it.

        memory: from `new_memory`; the ids continue what it holds, and it is extended.
        mask (B, T): False or 0 marks padding, which no token sees. positions (B, T): default 0, 1, 2, … over the
        tokens that are not padding, anew in each document. segments (B, T): document numbers; attention does not cross
        them. prefix_length: that many first tokens see each other in both directions. rng: switches dropout on.

        Raises TypeError or ValueError for ids that are not integers in 0..V-1, empty sequences, wrong shapes, or
        positions beyond a learned table.
        """
        about: dict[str, Any] = {"mask": mask, "positions": positions, "segments": segments}
        inputs = self._inputs(ids, embeddings=embeddings, prefix_length=prefix_length, **about)
        with drawing(rng):
            return self._logits(inputs, memory, rng)

    def loss(
        self,
        batch: Mapping[str, Any],
        *,
        normaliser: int | None = None,
        rng: np.random.Generator | None = None,
        auxiliary: bool | None = None,
    ) -> Tensor:
        """What training minimises: the sum of the token losses / normaliser, a single number.

        batch: "ids" (or in their place "embeddings", from `embed`) and "targets", both (B, T), where targets[:, t] is
        what position t has to predict and -100 does not count; and, if wanted, "mask", "positions", "segments",
        "prefix_length". normaliser: default the number of targets that count; shards of one batch
        pass the batch's, so that their gradients add up.
        auxiliary: whether layers' own losses (load balancing) are added. By default they are when gradients are
        recorded: under `no_grad` the loss is the bare cross-entropy, which stays comparable. Balance is no sum over
        tokens: each shard adds its own, weighted by its share of the targets.
        """
        inputs, targets = self._batch(batch)
        routed: list[Any] | None = [] if (grad_enabled() if auxiliary is None else auxiliary) else None
        with drawing(rng):
            x, wanted, _ = with_targets(self._hidden(inputs, None, rng, routed), targets)
            loss = cross_entropy(self.head, x, wanted, normaliser)
        if routed:
            share = 1.0 if normaliser is None else int((targets != -100).sum()) / normaliser
            loss = loss + balancing_loss(routed) * share
        return loss

    def token_log_probabilities(self, batch: Mapping[str, Any], *, rng: np.random.Generator | None = None) -> Tensor:
        """The log-probability of each target, (B, T); 0 where the target is -100. batch: as for `loss`."""
        inputs, targets = self._batch(batch)
        with drawing(rng):
            x, wanted, places = with_targets(self._hidden(inputs, None, rng), targets)
            values = -F.cross_entropy(self.head(x), wanted, reduction="none")
        if places is not None:  # the others read the 0 behind the last
            values = F.concatenate(values, Tensor(np.zeros(1, values.dtype)), axis=0)[places]
        return values.reshape(targets.shape)

    def states(
        self,
        batch: Mapping[str, Any],
        *,
        rng: np.random.Generator | None = None,
        hidden: list[Tensor] | None = None,
        routed: list[Any] | None = None,
    ) -> Tensor:
        """What the head reads: (B, T, width of the head's rows), normed. batch: as for `loss`; targets may be left out.

        `self.head(states)` are the logits; another head (a reward, a value) may read the same. hidden: a list to which
        the input of every layer and the final normed state are added, (B, T, hidden) each, for losses on them. routed:
        one to which is added what the routers of mixtures did that want to be balanced, for `balancing_loss`.
        """
        inputs, _ = self._batch(batch, aimed=False)
        with drawing(rng):
            return self._hidden(inputs, None, rng, routed, hidden)

    def embed(self, ids: Any) -> Tensor:
        """The rows of the embedding for ids (B, T), to be changed and passed on as "embeddings": (B, T, width)."""
        inputs = self._inputs(ids)
        assert inputs.ids is not None
        return self._looked_up(inputs.ids)

    def _inputs(self, ids: Any = None, **about: Any) -> Inputs:
        return Inputs.of(ids, self.spec.vocab_size, width=self.embedding_width, **about)

    def _batch(self, batch: Mapping[str, Any], *, aimed: bool = True) -> tuple[Inputs, Any]:
        """What a batch says, and its targets; None, and they may be missing, unless it is `aimed` at some."""
        about = {"mask", "positions", "segments", "prefix_length"}
        known = set(batch) <= {"ids", "embeddings", "targets", *about}
        if not known or len({"ids", "embeddings"} & set(batch)) != 1 or (aimed and "targets" not in batch):
            raise ValueError(
                f"a batch has 'ids' (or 'embeddings' in their place) and 'targets', and may have {sorted(about)}; "
                f"got {sorted(batch)}"
            )
        inputs = self._inputs(**{name: value for name, value in batch.items() if name != "targets"})
        targets = np.asarray(batch["targets"]) if aimed else None
        if targets is not None and targets.shape != inputs.shape:
            raise ValueError(f"targets have shape {targets.shape}, the ids {inputs.shape}: they must be equal")
        return inputs, targets

    def _looked_up(self, ids: np.ndarray) -> Tensor:
        x = self.embedding(ids)
        if self.spec.embedding_gradient_scale == 1.0 or not grad_enabled():
            return x
        # a·e + (1 - a)·stop_gradient(e), written so that the value is e to the last bit.
        return x.detach() + (x - x.detach()) * self.spec.embedding_gradient_scale

    def _hidden(
        self,
        inputs: Inputs,
        memory: ModelMemory | None,
        rng: np.random.Generator | None,
        auxiliary: list[Any] | None = None,
        hidden: list[Tensor] | None = None,
    ) -> Tensor:
        """Everything but the head: (B, T) -> (B, T, width of the head's rows)."""
        x, memory, context = self._entered(inputs, memory, rng, auxiliary)
        return self._through(x, memory, context, inputs.shape[1], hidden)

    def _logits(
        self, inputs: Inputs, memory: ModelMemory | None, rng: np.random.Generator | None, *, last: bool = False
    ) -> Tensor:
        """Everything: (B, T) -> (B, T, V), or (B, V) after the last token. A single token of one row, without
        gradients, goes as a program where layers can be told as one (`layers.one_token`)."""
        x, memory, context = self._entered(inputs, memory, rng)
        told = context.plain and rng is None and context.record is None and not grad_enabled()
        if told and not is_batch_invariant() and memory is not None and x.shape[:2] == (1, 1) and x.dtype == np.float32:
            parts = [*self.layers, self.norm, self.head_projection, self.head]
            logits = self._one_token.run(parts, self._links, x.data[0, 0], memory.layers, context)
            if logits is not None:
                memory.length += 1
                return Tensor(logits[None] if last else logits[None, None])
        states = self._through(x, memory, context, inputs.shape[1])
        return self.head(states[:, -1] if last else states)

    def _links(self) -> list[Link]:
        """What a token passes behind the embedding."""
        width = self.spec.hidden_size
        links = [Link(layer, width, number) for number, layer in enumerate(self.layers)]
        links += [Link(self.norm, width)] * (self.norm is not None)
        if self.head_projection is not None:
            links.append(Link(self.head_projection, self.embedding_width))
        return [*links, Link(self.head, self.spec.vocab_size)]

    def _entered(
        self,
        inputs: Inputs,
        memory: ModelMemory | None,
        rng: np.random.Generator | None,
        auxiliary: list[Any] | None = None,
    ) -> tuple[Tensor, ModelMemory | None, Context]:
        """What the first layer reads, (B, T, hidden), T being more than was asked for where all has to be run again."""
        if self.prefix is not None and (memory is None or not memory.length):
            inputs, memory = self.prefix.begin(self, inputs, memory)
        limit = None if self.spec.positions is None else self.spec.positions.count
        collected: dict[str, Any] = {"rng": rng, "record": self._record, "auxiliary": auxiliary}
        context = inputs.context(memory, self.dtype, limit, **collected)
        ids = inputs.ids
        if memory is not None:
            ids, context = memory.admit(ids, context)  # all tokens so far, where they have to be run again
        if (record := context.record) is not None:
            record.begin()
        x: Any = inputs.embeddings if ids is None else self._looked_up(ids)
        if self.spec.embedding_scale != 1.0:
            x = x * self.spec.embedding_scale
        if self.embedding_projection is not None:
            x = self.embedding_projection(x)
        if self.positions is not None:
            x = x + self.positions(context.positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        if rng is not None and self.spec.embedding_dropout:
            x = F.dropout(x, rate=self.spec.embedding_dropout, rng=rng)
        return x, memory, context

    def _through(
        self,
        x: Tensor,
        memory: ModelMemory | None,
        context: Context,
        asked: int,
        hidden: list[Tensor] | None = None,
    ) -> Tensor:
        """All layers, and what stands behind them but the head."""
        record = context.record
        # Recordings want what is inside a layer to pass once; what is remembered must not be added to it twice.
        recompute = self._recompute and grad_enabled() and record is None and memory is None
        if self._recompute and grad_enabled() and memory is not None and self.prefix is not None:
            raise ValueError(
                "recompute: gradients of a learned prefix pass through the memory, which a second run would find "
                "changed: model.recompute(False), or learn a prompt (add_prompt) instead"
            )
        for i, layer in enumerate(self.layers):
            x = x if record is None else record.keep("hidden", x)
            if hidden is not None:
                hidden.append(x)
            if recompute:
                x = recomputed(layer, x, context)
            else:
                x = layer(x, None if memory is None else memory.layers[i], context)
        if memory is not None:
            memory.length += x.shape[1]
        x = x if self.norm is None else self.norm(x)
        x = x if record is None else record.keep("hidden", x)
        if hidden is not None:
            hidden.append(x)
        x = x if x.shape[1] == asked else x[:, -asked:]
        return x if self.head_projection is None else self.head_projection(x)

    @property
    def embedding_width(self) -> int:
        """The width of the embedding's rows, which the head shares."""
        return self.spec.embedding_size or self.spec.hidden_size

    @property
    def position_limit(self) -> int | None:
        """How many tokens a text may have where positions are learned; None where any length can be computed."""
        if self.spec.positions is None:
            return None
        return self.spec.positions.count - (0 if self.prefix is None else self.prefix.length)

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
            inputs = self._inputs(ids, mask=mask, positions=positions, prefix_length=prefix_length)
            return self._logits(inputs, memory, None, last=True).data

    def step_each(self, ids: Any, memory: ModelMemory) -> np.ndarray:
        """As `step`, with the logits after each of the ids: (B, T, V)."""
        with no_grad():
            return self(ids, memory=memory).data

    def step_states(self, ids: Any, memory: ModelMemory, mask: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """As `step`, with what the head reads at each of the ids: (B, T, width of the head's rows), and (B, V)."""
        with no_grad():
            states = self._hidden(self._inputs(ids, mask=mask), memory, None)
            return states.data, self.head(states[:, -1]).data

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
        inputs = self._inputs(ids)
        inputs.context(None, self.dtype, self.position_limit)  # positions beyond a learned table
        return summary(self, *inputs.shape)

    def __repr__(self) -> str:
        return overview(self)
