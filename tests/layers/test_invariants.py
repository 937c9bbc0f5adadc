"""`check_mixer` passes every mixer and feed-forward part of the package, and catches every mistake by its own check."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor, stack
from llm_from_scratch.layers import (
    AttentionSpec,
    DynamicNTK,
    FeedForwardSpec,
    HyenaSpec,
    Linear,
    MambaSpec,
    MixtureSpec,
    ModalFilterSpec,
    Module,
    NormSpec,
    RelativeAttentionSpec,
    Rotary,
    SteppedNTK,
)
from llm_from_scratch.layers.implicit_filter import ImplicitFilterSpec
from llm_from_scratch.layers.initialization import Constant
from llm_from_scratch.layers.invariants import CHECKS, check_mixer
from llm_from_scratch.layers.module import parameter

ATTENTION = AttentionSpec(hidden_size=4, heads=2, key_value_heads=2, head_dim=2)
TURNED = replace(ATTENTION, heads=1, key_value_heads=1, head_dim=4, rotary=Rotary(4))
PARTS = {
    "attention": ATTENTION,
    "grouped": replace(ATTENTION, heads=4, head_dim=1),
    "multi-query": replace(ATTENTION, key_value_heads=1),
    "biased": replace(ATTENTION, bias=True, output_bias=True),
    "rotary": TURNED,
    "part of each head turns": replace(TURNED, rotary=Rotary(2, interleaved=True, factor=2.0)),
    "pairs turn as they like": replace(TURNED, rotary=Rotary(4, base=100.0, factors=(1.0, 3.0))),
    "dynamic NTK": replace(TURNED, rotary=Rotary(4, stretch=DynamicNTK(2.0, 5))),
    "stepped NTK": replace(TURNED, rotary=Rotary(4, stretch=SteppedNTK(4))),
    "ALiBi": replace(ATTENTION, slopes=(0.5, 0.25)),
    "ALiBi in bfloat16": replace(ATTENTION, slopes=(0.5, 0.25), bfloat16_slopes=True),
    "window": replace(ATTENTION, window=3),
    "window of itself": replace(ATTENTION, window=1),
    "turned window": replace(TURNED, window=4),
    "scale": replace(ATTENTION, scale=1.0),
    "both ways": replace(ATTENTION, causal=False),
    "clipped": replace(ATTENTION, clip=0.5),
    "normed": replace(ATTENTION, query_norm=NormSpec(4, bias=False), key_norm=NormSpec(4, "rms", plus_one=True)),
    "normed heads": replace(
        ATTENTION, query_norm=NormSpec(2, "rms", 1e-2, eps_outside=True), key_norm=NormSpec(2, "rms", weight=False)
    ),
    "log n": replace(ATTENTION, log_n=4),
    "relative": RelativeAttentionSpec(4, 2, 2, 2),
    "relative and biased": RelativeAttentionSpec(6, 1, 1, 3, bias=True, output_bias=True, scale=1.0),
    "Mamba": MambaSpec(4, 6, state_size=3, rank=2, convolution_width=3),
    "Mamba without its tail": MambaSpec(4, 4, 2, 1, convolution_width=1, bias=True, convolution_bias=False),
    "Hyena": HyenaSpec(4, ModalFilterSpec(2)),
    "Hyena by FFT": HyenaSpec(2, ModalFilterSpec(20), 2, convolution_bias=False, bias=False),
    "Hyena's first filter": HyenaSpec(4, ImplicitFilterSpec(16, width=5, depth=2)),
    "and a wider one": HyenaSpec(3, ImplicitFilterSpec(20, waves=2, width=4, depth=1, shift=0.1)),
    "feed-forward": FeedForwardSpec(4, 6),
    "SwiGLU": FeedForwardSpec(4, 6, "silu", gated=True),
    "GeGLU of tanh": FeedForwardSpec(4, 6, "gelu_tanh", gated=True, bias=False),
    "ReLU": FeedForwardSpec(4, 6, "relu"),
    "mixture of experts": MixtureSpec(FeedForwardSpec(4, 3), experts=3, chosen=2, balance=0.1),
    "one of two experts": MixtureSpec(FeedForwardSpec(4, 2, "silu", True), experts=2, chosen=1, apart=True),
}
# Settings of what parameters begin with.
BEGINNINGS = {"init", "output_init", "value_init", "router_init", "step", "step_weight_bound", "step_weight_constant"}
BEGINNINGS |= {"output_scale", "longest", "frequency"}


@pytest.mark.parametrize("name", PARTS)
def test_every_part_of_the_package_keeps_the_contract(name):
    check_mixer(PARTS[name])


def test_every_setting_is_tried_in_two_ways():
    """A field that no part here sets is a field that is not checked: add one to PARTS."""
    values: dict[tuple[type, str], set[str]] = {}

    def note(spec):
        for field in fields(spec) if is_dataclass(spec) else ():
            value = getattr(spec, field.name)
            values.setdefault((type(spec), field.name), set()).add(repr(value))
            note(value)

    for part in PARTS.values():
        note(part)
    kinds = (AttentionSpec, Rotary, NormSpec, MambaSpec, HyenaSpec, FeedForwardSpec, MixtureSpec, ImplicitFilterSpec)
    assert {kind for kind, _ in values} >= {*kinds, RelativeAttentionSpec, ModalFilterSpec}
    once = {(kind.__name__, name) for (kind, name), found in values.items() if kind in kinds and len(found) == 1}
    assert {place for place in once if place[1] not in {"hidden_size", *BEGINNINGS}} == set()


@dataclass(frozen=True)
class SmoothSpec:
    """A mixer in order: per channel an exponential average of what went by. `kind`: the module, one in order or not."""

    kind: type
    hidden_size: int = 3

    def build(self, rng):
        return self.kind(self, rng)


class State:
    """What it remembers: its average, (B, hidden)."""

    def __init__(self):
        self.length, self.average = 0, None

    @property
    def nbytes(self):
        return 0 if self.average is None else self.average.nbytes

    @property
    def shortest(self):
        return self.length

    def crop(self, length):
        if 0 < length < self.length:
            raise ValueError("an average cannot go back")
        if length == 0:
            self.__init__()

    def select(self, rows):
        self.average = self.average[rows]


class Smooth(Module):
    def __init__(self, spec, rng):
        self.value = Linear(spec.hidden_size, spec.hidden_size, bias=False, rng=rng)
        self.rate = parameter(rng, (spec.hidden_size,), Constant(1.0))

    def new_memory(self):
        return State()

    def __call__(self, x, memory, context):
        if context.prefix_length is not None:
            raise ValueError("an average has no bidirectional prefix")
        v, keep = self.values(x, context), F.sigmoid(self.rate)
        h = None if memory is None or memory.average is None else Tensor(memory.average)
        averages = []
        for t in range(x.shape[1]):
            if h is not None and context.segments is not None and t:
                same = context.segments[:, t] == context.segments[:, t - 1]
                h = h * Tensor(same.astype(x.dtype)[:, None])
            h = v[:, t] * (1 - keep) if h is None else h * keep + v[:, t] * (1 - keep)
            averages.append(h)
        if memory is not None:
            memory.average, memory.length = h.data, memory.length + x.shape[1]
        return stack(*averages, axis=1)

    def values(self, x, context):
        v = self.value(x)
        if context.key_bias is None:
            return v
        return v * Tensor((context.key_bias[:, -x.shape[1] :] == 0).astype(x.dtype)[..., None])


def test_a_mixer_of_ones_own_in_order():
    check_mixer(SmoothSpec(Smooth))


class LooksAhead(Smooth):
    def values(self, x, context):
        v = super().values(x, context)
        return v + v.mean(axis=1, keepdims=True) if x.shape[1] > 1 else v


class StaleCache(Smooth):
    """Keeps the average of the last call for the next one."""

    last = None

    def __call__(self, x, memory, context):
        y = super().__call__(x, memory, context)
        before, self.last = self.last, y.data[:, -1:].copy()
        return y if before is None or len(before) != len(x) else y + Tensor(0.01 * before.astype(x.dtype))


class ForgetsBetweenSteps(Smooth):
    def __call__(self, x, memory, context):
        y = super().__call__(x, memory, context)
        if memory is not None:
            memory.average = memory.average * 0.5
        return y


class OneMemoryForAll(Smooth):
    def new_memory(self):
        if "shared" not in vars(self):
            self.shared = State()
        return self.shared


class SelectsNothing(Smooth):
    def new_memory(self):
        state = State()
        state.select = lambda rows: setattr(state, "average", state.average[[0, 1, 0][: len(rows)]])
        return state


class CropsSilently(Smooth):
    def new_memory(self):
        class Silent(State):
            shortest = 0

            def crop(self, length):
                self.length = length

        return Silent()


class CropsTooFar(Smooth):
    """Says how far it can go back, and goes further without a word."""

    def new_memory(self):
        class Loose(State):
            def crop(self, length):
                if length == 0:
                    self.__init__()

        return Loose()


class WeighsNothing(Smooth):
    def new_memory(self):
        class Weightless(State):
            nbytes = 0

        return Weightless()


class SeesPadding(Smooth):
    def values(self, x, context):
        return self.value(x)


class MixesDocuments(Smooth):
    def __call__(self, x, memory, context):
        return super().__call__(x, memory, replace(context, segments=None))


class RefusesDocumentsInRiddles(Smooth):
    def __call__(self, x, memory, context):
        if context.segments is not None:
            raise ValueError("operands could not be broadcast together")
        return super().__call__(x, memory, context)


class RefusesDocuments(Smooth):
    def __call__(self, x, memory, context):
        if context.segments is not None:
            raise ValueError("an average cannot tell packed documents apart")
        return super().__call__(x, memory, context)


class OverhearsPrefix(Smooth):
    def __call__(self, x, memory, context):
        return super().__call__(x, memory, replace(context, prefix_length=None))


class MixesRows(Smooth):
    def values(self, x, context):
        v = super().values(x, context)
        return v + v.mean(axis=0, keepdims=True) * 0.1


class ComputesInFloat64(Smooth):
    def __call__(self, x, memory, context):
        return super().__call__(x, memory, context).astype(np.float64)


class Narrow(Smooth):
    def __call__(self, x, memory, context):
        return super().__call__(x, memory, context)[..., :-1]


class ReturnsAnArray(Smooth):
    def __call__(self, x, memory, context):
        return super().__call__(x, memory, context).data


class LosesAGradient(Smooth):
    def __call__(self, x, memory, context):
        rate, self.rate = self.rate, self.rate.detach()
        try:
            return super().__call__(x, memory, context) + 0.0 * rate
        finally:
            self.rate = rate


class LosesAGradientBesidePadding(Smooth):
    def values(self, x, context):
        v = super().values(x, context)
        return v if context.key_bias is None else v.detach() + 0.0 * v


class LosesAGradientInPackedRows(Smooth):
    def values(self, x, context):
        v = super().values(x, context)
        return v if context.segments is None else v.detach() + 0.0 * v


class LosesAGradientInSteps(Smooth):
    def __call__(self, x, memory, context):
        y = super().__call__(x, memory, context)
        return y if memory is None else y.detach() + 0.0 * y


class HidesAParameter(Smooth):
    def __init__(self, spec, rng):
        super().__init__(spec, rng)
        hidden = Tensor(np.ones(spec.hidden_size), requires_grad=True)
        self.scaled = lambda v: v * (hidden if v.dtype == np.float64 else 1.0)

    def values(self, x, context):
        return self.scaled(super().values(x, context))


class FreezesAParameter(Smooth):
    def __init__(self, spec, rng):
        super().__init__(spec, rng)
        self.rate = self.rate.detach()


class DrawsFromTheGlobalDice(Smooth):
    def __init__(self, spec, rng):
        super().__init__(spec, rng)
        self.rate = parameter(rng, (spec.hidden_size,), lambda _, shape: np.random.normal(size=shape))  # noqa: NPY002


class FillsPlaceholders(Smooth):
    def __init__(self, spec, rng):
        super().__init__(spec, rng)
        self.rate = Tensor(np.ones(spec.hidden_size, np.float32), requires_grad=True)


class KnowsItsInitialValues(Smooth):
    """Computes something from a parameter once, before loading gives it its values."""

    def __init__(self, spec, rng):
        super().__init__(spec, rng)
        self.scale = 1.0 + float(self.value.weight.data.sum())

    def values(self, x, context):
        return super().values(x, context) * self.scale


class ChangesItsInput(Smooth):
    def values(self, x, context):
        v = super().values(x, context)
        x.data[:, :, 0] *= 1.0 + 1e-15 * len(x)
        x.data[:, :, 0] += 1e-15
        return v


class ChangesTheContext(Smooth):
    def __call__(self, x, memory, context):
        y = super().__call__(x, memory, context)
        if context.key_bias is not None:
            context.key_bias[np.isneginf(context.key_bias)] = -1e9
        return y


class ChangesAParameter(Smooth):
    def __call__(self, x, memory, context):
        y = super().__call__(x, memory, context)
        self.rate.data = self.rate.data * (1 + 1e-13)
        return y


class RecordsAWrongThing(Smooth):
    def values(self, x, context):
        v = super().values(x, context)
        return v if context.record is None else v * 1.001


BROKEN = {
    LooksAhead: "sees_nothing_later: it saw that token 1 and later ones changed: row ., token 0",
    StaleCache: "repeats_with_a_seed: a second call gives something else",
    ForgetsBetweenSteps: r"gives_the_same_in_chunks: in a row that comes in pieces, cut at \[1, 2, .*: row ., token 1",
    OneMemoryForAll: "gives_the_same_in_chunks: new_memory.. gave the same object twice",
    SelectsNothing: r"remembers_as_a_memory_does: after select\(\[1, 0, 0\]\): row ., token 6",
    CropsSilently: r"remembers_as_a_memory_does: after 12 tokens and crop\(0\)",
    CropsTooFar: r"remembers_as_a_memory_does: crop\(1\) of 12 tokens is beyond `shortest` = 12",
    WeighsNothing: "remembers_as_a_memory_does: nbytes of a memory of 6 tokens is 0",
    SeesPadding: "ignores_padding_on_the_left: padding is seen in a batch of unequal rows: row 0, token 4",
    MixesDocuments: r"keeps_packed_documents_apart: tokens 6\.\.11 are a document of their own in row 0: .* token 6",
    RefusesDocumentsInRiddles: "keeps_packed_documents_apart: of packed documents the ValueError should speak",
    OverhearsPrefix: "knows_a_bidirectional_prefix: the first token does not see the second",
    MixesRows: "keeps_rows_apart: row 0 is another one when alone",
    ComputesInFloat64: "keeps_shape_and_dtype: the output is float64 in a model of float32",
    Narrow: r"keeps_shape_and_dtype: \(2, 12, 3\) went in, \(2, 12, 2\) came out",
    ReturnsAnArray: "keeps_shape_and_dtype: it returned a ndarray, not a Tensor",
    LosesAGradient: r"agrees_with_central_differences: rate\[",
    LosesAGradientBesidePadding: r"agrees_with_central_differences: the input beside padding\[",
    LosesAGradientInPackedRows: r"agrees_with_central_differences: the input of packed rows\[",
    LosesAGradientInSteps: r"agrees_with_central_differences: the input of a step behind 3 tokens\[",
    HidesAParameter: r"owns_what_it_learns: tensors of shapes \[\(3,\)\] get gradients",
    FreezesAParameter: r"owns_what_it_learns: \['rate'\] want no gradient",
    DrawsFromTheGlobalDice: "repeats_with_a_seed: the same seed built another rate",
    FillsPlaceholders: "takes_no_memory_as_a_placeholder: rate holds 12 bytes",
    KnowsItsInitialValues: "takes_no_memory_as_a_placeholder: loaded into placeholders",
    ChangesItsInput: "leaves_its_inputs_alone: the input was changed in place",
    ChangesTheContext: "leaves_its_inputs_alone: context.key_bias was changed in place",
    ChangesAParameter: "leaves_its_inputs_alone: the parameter rate was changed",
    RecordsAWrongThing: "can_be_watched: while recorded",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_mixer_fails_the_check_meant_for_it(kind):
    check, message = BROKEN[kind].split(": ", 1)
    with pytest.raises(AssertionError, match=f"(?s)SmoothSpec fails {check.replace('_', ' ')}: .*{message}"):
        check_mixer(SmoothSpec(kind))


def test_every_check_has_caught_something():
    assert {message.split(":")[0] for message in BROKEN.values()} == CHECKS.keys()


def test_what_cannot_be_done_may_be_refused_in_words():
    check_mixer(SmoothSpec(RefusesDocuments))


def test_an_error_inside_is_told_with_what_was_tried():
    class Stumbles(Smooth):
        def __call__(self, x, memory, context):
            if x.shape[1] == 1:
                raise IndexError("list index out of range")
            return super().__call__(x, memory, context)

    with pytest.raises(
        AssertionError, match="SmoothSpec fails keeps shape and dtype: it raised IndexError: list index"
    ):
        check_mixer(SmoothSpec(Stumbles))


def test_what_may_be_checked():
    nameless = make_dataclass(
        "Nameless", ["size"], namespace={"build": lambda self, rng: Smooth(SmoothSpec(Smooth), rng)}
    )
    with pytest.raises(ValueError, match="Nameless has no hidden_size: .*width="):
        check_mixer(nameless(3))
    check_mixer(nameless(3), width=3)
    with pytest.raises(ValueError, match="65536 numbers, each of which would be moved twice: check a smaller one"):
        check_mixer(FeedForwardSpec(128, 256, bias=False))
    with pytest.raises(ValueError, match="fewer than 4 tokens"):
        check_mixer(ATTENTION, tokens=3)
    with pytest.raises(AssertionError, match="gave a function, which is no layers.Module"):
        check_mixer(SmoothSpec(lambda spec, rng: lambda x: x))
    with pytest.raises(AssertionError, match="building it: the spec is no dataclass"):
        check_mixer(type("Loose", (), {"hidden_size": 3, "build": lambda self, rng: None})())
    with pytest.raises(AssertionError, match="sees nothing later"):
        check_mixer(replace(ATTENTION, causal=False), causal=True)
