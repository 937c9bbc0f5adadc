"""What must hold of every mixer and every feed-forward part, whoever wrote it: `check_mixer(spec)`.

A layer is trained on whole rows, packed rows and padded batches, and generates token by token from what it remembers.
A mixer that is wrong in one of these still trains, and its loss still falls. So each is tried here, on random numbers
in float64: what two ways of computing the same must agree on. The contract itself stands in `layers.block`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor, gradcheck, no_grad
from .recording import Recording
from .trial import ROWS, Trial

Check = Callable[[Trial], None]
CHECKS: dict[str, Check] = {}


def check_mixer(spec: Any, *, width: int | None = None, causal: bool | None = None, tokens: int = 12) -> None:
    """Try everything that the contract of a mixer or feed-forward part promises (see `layers.block.FunctionSpec`).

    spec: a small one (every entry of every parameter is moved twice), with `build(rng)`. width: the size of the vectors
    it works on, where it has no `hidden_size`. causal: whether a token may see later ones; else `spec.causal`, and True
    where there is no such thing. tokens: in a row; more than any window, so that forgetting is tried as well.

    Raises AssertionError that names the check, the place and the two numbers that should be one.

    >>> from llm_from_scratch.layers import FeedForwardSpec
    >>> check_mixer(FeedForwardSpec(hidden_size=4, intermediate_size=6))
    """
    trial = Trial(spec, width, causal, tokens)
    for name, check in CHECKS.items():
        with trial.named(name):
            check(trial)


def _check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


@_check
def keeps_shape_and_dtype(trial: Trial) -> None:
    """float32 in, float32 out; so for float64: gradients, padding and memory included."""
    mask = _padding(trial)
    for dtype in (np.float32, np.float64):
        module, x = trial.build(dtype), trial.x.astype(dtype)
        leaf = Tensor(x, requires_grad=True)
        y = trial.tensor(leaf, module=module)
        y.sum().backward()
        found = {"the output": y, "the gradient of the input": leaf.grad}
        found |= {f"the gradient of {name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
        found["the output beside padding"] = trial.run(x, module=module, mask=mask, dtype=dtype)
        memory = trial.memory(module=module)
        found["the output of a first step"] = trial.run(x, 0, 3, memory=memory, module=module)
        found["the output of a later step"] = trial.run(x, 3, 4, memory=memory, module=module)
        for what, array in found.items():
            assert array is not None, f"{what} is missing"
            assert array.dtype == dtype, f"{what} is {array.dtype} in a model of {np.dtype(dtype)}"


@_check
def repeats_with_a_seed(trial: Trial) -> None:
    """The same seed builds the same parameters, and the same call gives the same bytes."""
    first, second = (trial.build(np.float64).state_dict() for _ in range(2))
    assert list(first) == list(second), "the same seed built other parameters"
    for name in first:
        assert np.array_equal(first[name], second[name]), f"the same seed built another {name}: use the rng it is given"
    trial.run(trial.x[:, :3])  # what another call leaves behind must not be seen
    trial.same(trial.run(trial.x), trial.whole, "a second call gives something else than the first")


@_check
def takes_no_memory_as_a_placeholder(trial: Trial) -> None:
    """build(None) has the same parameters, holds none of them, and computes the same once they are loaded."""
    module = trial.spec.build(None)
    shapes = {name: p.shape for name, p in module.named_parameters()}
    expected = {name: p.shape for name, p in trial.module.named_parameters()}
    assert shapes == expected, f"build(None) has the parameters {shapes}, not {expected}"
    for name, p in module.named_parameters():
        low, high = np.lib.array_utils.byte_bounds(p.data)
        assert p.size == 1 or high - low <= p.data.itemsize, f"{name} holds {high - low} bytes: use layers.parameter"
    module.astype(np.float64).load_state_dict(trial.module.state_dict())
    trial.same(trial.run(trial.x, module=module), trial.whole, "loaded into placeholders it computes something else")


@_check
def owns_what_it_learns(trial: Trial) -> None:
    """Every tensor that gets a gradient is found by `named_parameters`."""
    leaf = Tensor(trial.x, requires_grad=True)
    reached: dict[Tensor, np.ndarray] = {}
    trial.tensor(leaf).sum().backward(into=reached)
    known = {id(leaf), *(id(p) for p in trial.module.parameters())}
    lost = [tensor.shape for tensor in reached if id(tensor) not in known]
    assert not lost, f"tensors of shapes {lost} get gradients, but named_parameters() does not find them"
    fixed = [name for name, p in trial.module.named_parameters() if not p.requires_grad]
    assert not fixed, f"{fixed} want no gradient as built: make them with layers.parameter"


@_check
def leaves_its_inputs_alone(trial: Trial) -> None:
    """Neither pass changes the input, the context or a parameter."""
    leaf, parameters = Tensor(trial.x.copy(), requires_grad=True), copy.deepcopy(trial.module.state_dict())
    context = trial.context(ROWS, 0, trial.tokens, mask=_padding(trial))
    told = copy.deepcopy(context)
    y = trial.module(leaf, None, context)
    for name in ("positions", "key_bias"):
        assert np.array_equal(getattr(context, name), getattr(told, name)), f"context.{name} was changed in place"
    given = np.random.default_rng(3).normal(size=y.shape)
    cotangent = given.copy()
    y.backward(cotangent)
    trial.module.zero_grad()
    assert np.array_equal(leaf.data, trial.x), "the input was changed in place"
    assert np.array_equal(cotangent, given), "the gradient that arrives was changed in place"
    for name, array in trial.module.state_dict().items():
        assert np.array_equal(array, parameters[name]), f"the parameter {name} was changed by a pass"


@_check
def sees_nothing_later(trial: Trial) -> None:
    """Other tokens from some place on leave all outputs before it as they are."""
    for cut in range(1, trial.tokens if trial.causal else 0):
        changed = trial.x.copy()
        changed[:, cut:] = np.random.default_rng(cut).normal(size=changed[:, cut:].shape)
        trial.same(trial.run(changed)[:, :cut], trial.whole[:, :cut], f"it saw that token {cut} and later ones changed")


@_check
def keeps_rows_apart(trial: Trial) -> None:
    """A row gives the same alone, and in another place of the batch."""
    for row in range(ROWS):
        trial.same(
            trial.run(trial.x[row : row + 1]), trial.whole[row : row + 1], f"row {row} is another one when alone"
        )
    trial.same(trial.run(trial.x[::-1].copy()), trial.whole[::-1], "rows in another order are other rows")


@_check
def gives_the_same_in_chunks(trial: Trial) -> None:
    """Any split of a row, one memory running through."""
    T = trial.tokens
    one, other = trial.module.new_memory(), trial.module.new_memory()
    assert one is None or one is not other, "new_memory() gave the same object twice"
    cuts: list[tuple[int, ...]] = [(), tuple(range(1, T)), (1,), (T - 1,), (T // 3, T // 2), tuple(range(2, T, 2))]
    for chosen in cuts if trial.causal else []:
        trial.continues(trial.x, chosen, trial.memory(), f"in a row that comes in pieces, cut at {list(chosen)}")
    with_gradients = trial.tensor(Tensor(trial.x, requires_grad=True), memory=trial.memory()).data
    trial.same(with_gradients, trial.whole, "a first step from an empty memory, gradients recorded")


@_check
def remembers_as_a_memory_does(trial: Trial) -> None:
    """`nbytes`, `select` and `crop`: see `layers.Memory`."""
    part = trial.module.new_memory()
    if part is None or not trial.causal:
        return
    assert part.nbytes == 0, f"an empty memory says that it holds {part.nbytes} bytes"
    T, half, rows = trial.tokens, trial.tokens // 2, np.array([1, 0, 0])
    other = np.random.default_rng(2).normal(size=(len(rows), T, trial.width))
    other[:, :half] = trial.x[rows, :half]
    memory = trial.memory()
    trial.run(trial.x, 0, half, memory=memory)
    held = memory.nbytes
    assert isinstance(held, int) and held > 0, f"nbytes of a memory of {half} tokens is {held!r}, not a positive int"
    memory.select(rows)
    trial.continues(other, (half + 1,), memory, "after select([1, 0, 0])", half)
    if hasattr(part, "join"):
        _joins(trial, half)
    other = other[:ROWS]
    for length in range(T):
        memory = trial.memory()
        trial.run(trial.x, 0, T - 1, memory=memory)
        trial.run(trial.x, T - 1, T, memory=memory)
        part = memory.layers[0]["mixer"]
        if 0 < length < getattr(part, "shortest", 0):
            refusal = _refusal(part.crop, length)
            assert refusal, f"crop({length}) of {T} tokens is beyond `shortest` = {part.shortest}: raise a ValueError"
            more = np.concatenate([trial.x, other[:, -1:]], axis=1)
            trial.continues(more, (), memory, "after a refused crop", T)
            continue
        memory.crop(length)
        after = np.concatenate([trial.x[:, :length], other[:, length:]], axis=1)
        cuts = (length + 1,) if length + 1 < T else ()
        trial.continues(after, cuts, memory, f"after {T} tokens and crop({length})", length)


def _joins(trial: Trial, half: int) -> None:
    """`join`: rows that have seen all but two tokens and rows that have seen `half` go on side by side, as if alone."""
    ends, T = (trial.tokens - 2, half), trial.tokens
    memories = [trial.memory() for _ in ends]
    for memory, end in zip(memories, ends):
        trial.run(trial.x, 0, end, memory=memory)
    memories[0].join(memories[1])
    shifted = [np.pad(trial.x[:, : end + 2], ((0, 0), (T - end - 2, 0), (0, 0))) for end in ends]
    mask = np.repeat([np.arange(T) >= T - end - 2 for end in ends], ROWS, axis=0)
    got = trial.run(np.concatenate(shifted), T - 2, memory=memories[0], mask=mask)
    alone = np.concatenate([trial.run(trial.x, 0, end + 2)[:, -2:] for end in ends])
    trial.same(got, alone, f"after a memory of {ends[0]} tokens and one of {ends[1]} were joined", T - 2)


@_check
def ignores_padding_on_the_left(trial: Trial) -> None:
    """Tokens that the mask hides, whatever they are, in front of a shorter row: whole, and continued from a memory."""
    mask = _padding(trial)
    loud = np.where(mask[..., None], trial.x, 100.0)
    T = trial.tokens
    ways = {"": [(0, T, trial.run(loud, mask=mask))]}
    for cuts in ((T - 2,), (2, 3)) if trial.causal else ():
        ways[f" that comes in pieces, cut at {list(cuts)}"] = list(trial.pieces(loud, cuts, trial.memory(), mask=mask))
    for row, begin in enumerate(mask.argmax(axis=1)):
        for how, pieces in ways.items():
            for first, end, got in pieces:
                if end > begin:
                    alone = trial.run(trial.x[row : row + 1, begin:end])[:, -(end - max(first, begin)) :]
                    why = f"padding is seen in a batch of unequal rows{how}"
                    trial.same(got[row : row + 1, -alone.shape[1] :], alone, why, max(first, begin))


@_check
def keeps_packed_documents_apart(trial: Trial) -> None:
    """Documents in one row give what they give alone, or a ValueError says that they cannot be told apart."""
    T = trial.tokens
    ends = [(0, T // 2, T), (0, T // 4, T // 2 + 1, T)]
    segments = np.array([np.repeat([7, 3, 5][: len(e) - 1], np.diff(e)) for e in ends])
    try:
        found = trial.run(trial.x, segments=segments)
    except ValueError as error:
        _says(error, "segment|packed|document", "packed documents")
        return
    for row, borders in enumerate(ends):
        for a, b in zip(borders, borders[1:]):
            alone = trial.run(trial.x[row : row + 1, a:b])
            trial.same(
                found[row : row + 1, a:b], alone, f"tokens {a}..{b - 1} are a document of their own in row {row}", a
            )


@_check
def knows_a_bidirectional_prefix(trial: Trial) -> None:
    """The first tokens see each other, and nothing behind them; or a ValueError says that they cannot."""
    if trial.module.new_memory() is None or not trial.causal:
        return
    changed = trial.x.copy()
    changed[:, 1] += 1.0
    try:
        before, after = (trial.run(x, prefix=2) for x in (trial.x, changed))
    except ValueError as error:
        _says(error, "prefix", "a bidirectional prefix (context.prefix_length)")
        return
    assert not np.allclose(before[:, 0], after[:, 0], rtol=1e-9), (
        "the first token does not see the second one of a prefix of 2; where that cannot be, raise a ValueError that "
        "says so"
    )
    changed = trial.x.copy()
    changed[:, 3:] += 1.0
    trial.same(trial.run(changed, prefix=2)[:, :3], before[:, :3], "behind a prefix of 2 it saw that token 3 changed")


@_check
def can_be_watched(trial: Trial) -> None:
    """Recorded, and without gradients, it computes the same; without gradients nothing is kept for a backward."""
    for recording in (Recording(), Recording(gradients=True)):
        trial.same(trial.run(trial.x, record=recording), trial.whole, "while recorded")
    gradients: list[Any] = []
    for record in (None, Recording(), Recording(gradients=True)):
        leaf = Tensor(trial.x, requires_grad=True)
        y = trial.tensor(leaf, record=record)
        trial.same(y.data, trial.whole, "with gradients" if record is None else "while recorded with gradients")
        (y * y).sum().backward()
        gradients.append(leaf.grad)
        trial.same(gradients[-1], gradients[0], "the gradient of the input, while recorded")
    trial.module.zero_grad()
    with no_grad():
        assert not trial.tensor(trial.x).requires_grad, "under no_grad its output still wants a gradient"


@_check
def agrees_with_central_differences(trial: Trial) -> None:
    """The gradients of the input and of every parameter; of the input also in padded and packed rows, and of a step."""
    names, parameters = zip(*trial.module.named_parameters()) if trial.module.parameter_count else ((), ())
    leaf = Tensor(trial.x[:, :5].copy(), requires_grad=True)

    def check(run: Callable[[], Tensor], label: str, *more: Tensor) -> None:
        # gradients below the floor are compared to 1e-10, where rounding begins
        gradcheck(lambda *_: run(), leaf, *more, names=[label, *(names if more else ())], floor=1e-4)

    def step() -> Tensor:
        memory = trial.memory()
        trial.run(trial.x, 0, 3, memory=memory)
        return trial.tensor(leaf, 3, 5, memory=memory)

    check(lambda: trial.tensor(leaf), "the input", *parameters)
    check(lambda: trial.tensor(leaf, mask=_padding(trial)[:, :5]), "the input beside padding")
    segments = np.array([[7, 7, 3, 3, 3], [3, 3, 3, 3, 7]])
    if not _refusal(trial.run, leaf.data, segments=segments):
        check(lambda: trial.tensor(leaf, segments=segments), "the input of packed rows")
    if trial.causal:
        check(step, "the input of a step behind 3 tokens")


def _padding(trial: Trial) -> np.ndarray:
    """The second row is shorter by a third, filled up on the left: (rows, tokens) booleans."""
    return np.arange(trial.tokens) >= np.arange(ROWS)[:, None] * (trial.tokens // 3)


def _refusal(function: Callable[..., Any], *arguments: Any, **more: Any) -> str:
    """The text of the ValueError that it raises; empty if it raises none."""
    try:
        function(*arguments, **more)
    except ValueError as error:
        return str(error) or type(error).__name__
    return ""


def _says(error: Exception, words: str, what: str) -> None:
    assert re.search(words, str(error), re.IGNORECASE), f"of {what} the ValueError should speak, it says: {error}"
