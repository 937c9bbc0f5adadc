"""A whole model quantised, layer by layer: each reads what the layers before it, already quantised, put out.

Every matrix of a linear layer in a block is quantised, whatever the family: attention, feed-forward parts, experts, the
projections of Mamba and Hyena. Heads, embeddings and routers are not (an expert is chosen by small differences), nor is
what is no matrix; `Report.kept` names every tensor that stays in float, and why. At work are the model, the states
between two layers, and one layer more.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..checkpoints.lineage import record_lineage
from ..kernels.grid import WIDTHS
from ..layers import Linear, StoredWeight
from ..quantization import PackedLinear
from .calibration import Flow, check_calibration
from .layerwise import METHODS, NEEDS_TEXT, Quantized, Way, quantized_layer
from .progress import Finished

NO_TOKEN = "no token of the calibration text reached it"
ASKED = "asked to be kept"


@dataclass
class Report:
    """What became of each matrix, and which tensors stay in float: {name: why}."""

    way: Way
    matrices: list[Quantized] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def starved(self) -> list[str]:
        """Matrices of experts that too few tokens reached: none, or fewer than they have inputs."""
        none = [name.removesuffix(".weight") for name, why in self.kept.items() if why == NO_TOKEN]
        return none + [matrix.path for matrix in self.matrices if matrix.few]


def quantize_model(
    model: Any,
    method: str = "gptq",
    calibration: Any = None,
    *,
    bits: int = 4,
    group_size: int | None = 64,
    symmetric: bool = False,
    act_order: bool = False,
    damping: float = 0.01,
    keep: Sequence[str] = (),
    directory: str | Path | None = None,
    on_layer: Callable[[int, int, Report], None] | None = None,
) -> Any:
    """Quantise a model's linear layers, in place; the model, whose `quantization` is a `Report`.

    method: "gptq", "awq", "rtn" (round to nearest), which put weights on grids of 2, 3, 4 or 8 `bits` with a scale for
    each `group_size` inputs (None: a row; a row that is shorter, as of Mamba's steps, is a group); "nf4", 4 bits in
    blocks of `group_size`; "int8", 8 bits with a scale a row. calibration: token ids (N, T), or one text (N,), of the
    kind that the model will read; GPTQ and AWQ need it, the others only measure errors on it. symmetric, act_order,
    damping: see `compression.gptq`. keep: patterns of paths ("layers.0.*") whose matrices stay in float. directory:
    keeps each finished layer there; the same call again goes on from there, to the byte, and after other settings, text
    or weights refuses to. on_layer: is told of every finished layer (its number from 0, how many there are, the report
    so far).

    Raises TypeError or ValueError, naming the matrix, before anything is changed: for settings out of range, a group
    that does not divide a matrix' inputs, weights that are not finite, calibration text that is missing, too short or
    constant, and a model that has no plain matrices. Later only where a layer puts out what is not finite, or its
    Hessian is singular. A matrix that no token reached (an idle expert's) stays in float under GPTQ and AWQ: the report
    says so.

    >>> import llm_from_scratch as lfs
    >>> model = lfs.build("gpt2", n_layer=1, n_head=2, n_embd=32, vocab_size=50, n_positions=64)
    >>> ids = np.random.default_rng(0).integers(0, 50, (8, 16))
    >>> report = quantize_model(model, "gptq", ids, bits=4, group_size=32).quantization
    >>> len(report.matrices), report.kept["embedding.weight"], max(m.error for m in report.matrices) < 0.02
    (6, 'embedding', True)
    """
    way = Way(method, bits, group_size, symmetric, act_order, damping)
    way, chosen, asked, rows = check_sweep(model, way, calibration, keep)
    finished = None
    if directory is not None:
        finished = Finished(Path(directory), model, {**asdict(way), "keep": list(keep)}, rows)

    report = Report(way)
    starved: list[str] = []
    flow = None if rows is None else Flow.of(model, rows)
    for number, layer in enumerate(model.layers):
        prefix = f"layers.{number}."
        done = finished.load(model, number) if finished else None
        if done is None:
            paths = [path.removeprefix(prefix) for path in chosen if path.startswith(prefix)]
            try:
                done = _one_layer(model, prefix, layer, way, paths, flow)
            except ValueError as error:
                raise ValueError(f"layer {number}: {error}") from None
            if finished:
                finished.save(model, number, done)
        report.matrices += done
        reached = {matrix.path for matrix in done}
        starved += [path for path in chosen if path.startswith(prefix) and path not in reached]
        if flow and number + 1 < len(model.layers):
            try:
                flow.advance(layer)
            except ValueError as error:
                raise ValueError(f"layer {number}: {error}") from None
        if on_layer is not None:
            on_layer(number, len(model.layers), report)
    report.kept = _kept(model, starved, asked)
    model.quantization = report
    if hasattr(model, "lineage"):
        record_lineage(model, "quantised from", **_details(way))
    return model


def check_sweep(
    model: Any, way: Way, calibration: Any, keep: Sequence[str] = ()
) -> tuple[Way, list[str], set[str], np.ndarray | None]:
    """The settings, the matrices' paths, those asked to be kept, and the text (N, T), as a sweep will use them.

    Raises as `quantize_model`, and changes nothing.
    """
    way = _checked(way, calibration)
    if model.dtype != np.float32:
        raise TypeError(f"quantised layers compute in float32, the model is {model.dtype}: .astype(np.float32) first")
    if getattr(model, "prefix", None) is not None:
        raise ValueError("the model has a learned prefix, which its layers would not see: take it away first")
    if hasattr(model, "check_saving"):
        model.check_saving()  # an adapted model: merge its adapters first
    every = matrices_of(model)
    chosen = matrices_of(model, keep)
    _check_matrices(model, chosen, way)
    limit = getattr(model, "position_limit", None)
    rows = None if calibration is None else check_calibration(calibration, model.spec.vocab_size, limit)
    return way, list(chosen), every.keys() - chosen.keys(), rows


def matrices_of(model: Any, keep: Sequence[str] = ()) -> dict[str, Any]:
    """The linear layers to be quantised, by their paths.

    ValueError where there are none, or some are quantised already, and for a pattern in `keep` that means none.
    """
    patterns = [keep] if isinstance(keep, str) else list(keep)
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        if not path.startswith("layers.") or path.endswith(".router"):
            continue
        if type(module) in (Linear, PackedLinear):
            found[path] = module
        elif isinstance(getattr(module, "weight", None), StoredWeight):
            done = f"{path} is quantised already ({type(module).__name__})"
            raise ValueError(f"{done}: load the model with dequantize=True first")
    for pattern in patterns:
        if not fnmatch.filter(found, pattern):
            known = next(iter(found), "none")
            raise ValueError(f"keep={pattern!r} is the path of no matrix that would be quantised, such as {known}")
    chosen = {
        path: module
        for path, module in found.items()
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
    }
    if not chosen:
        raise ValueError("the model has no linear layer to quantise" + " besides those to be kept" * bool(patterns))
    return chosen


def _one_layer(model: Any, prefix: str, layer: Any, way: Way, paths: list[str], flow: Flow | None) -> list[Quantized]:
    """Quantise the matrices of one layer, in place."""
    modules = dict(layer.named_modules())
    packed = {id(modules[path]) for path in paths if type(modules[path]) is PackedLinear}
    model.replace(lambda _, module: id(module) in packed, _plain)
    found = quantized_layer(layer, way, paths, flow)
    modules = dict(layer.named_modules())
    made = {id(modules[path]): new for path, (new, _) in found.items()}
    model.replace(lambda _, module: id(module) in made, lambda module: made[id(module)])
    return [replace(what, path=prefix + path) for path, (_, what) in found.items()]


def _plain(layer: Any) -> Linear:
    """A packed layer with its numbers."""
    new = Linear(*layer.weight.shape, bias=layer.bias is not None, rng=None)
    new.weight, new.bias = Tensor(np.ascontiguousarray(layer.weight.expand()), requires_grad=True), layer.bias
    return new


def _checked(way: Way, calibration: Any) -> Way:
    """The settings as they will be used; ValueError or TypeError for such as cannot be."""
    if way.method not in METHODS:
        raise ValueError(f"there is no method {way.method!r}; there are {', '.join(METHODS)}")
    if calibration is None and way.method in NEEDS_TEXT:
        raise ValueError(f"{way.method} chooses by what layers read: it needs calibration text")
    widths = {"nf4": (4,), "int8": (8,)}.get(way.method, WIDTHS)
    unset = way.method == "int8" and way.bits == 4  # what the bits are where nobody says
    if isinstance(way.bits, bool) or (way.bits not in widths and not unset):
        raise ValueError(f"{way.method} has {' or '.join(map(str, widths))} bits, not {way.bits!r}")
    size = way.group_size
    if size is not None and (isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1):
        raise ValueError(f"group_size is a positive whole number, or None for a row, not {size!r}")
    if not 0 <= way.damping < np.inf:
        raise ValueError(f"damping is a number >= 0, a share of the Hessian's mean diagonal, not {way.damping!r}")
    if way.method == "int8":
        return replace(way, bits=8, group_size=None)
    return replace(way, bits=int(way.bits), group_size=None if size is None else int(size))


def _check_matrices(model: Any, chosen: Mapping[str, Any], way: Way) -> None:
    """ValueError naming the first matrix that is not finite, or whose inputs the groups do not divide."""
    size = way.group_size if way.method in ("gptq", "awq", "rtn") else None
    if size is not None:
        inputs = {path: layer.weight.shape[0] for path, layer in chosen.items()}
        longest = max(inputs.values())
        wrong = [path for path in chosen if inputs[path] % size and (inputs[path] > size or longest < size)]
        if wrong:
            others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            fits = [n for n in (256, 128, 64, 48, 32, 24, 16, 8, 4, 2, 1) if all(i % n == 0 for i in inputs.values())]
            raise ValueError(
                f"groups of {size} do not divide the {inputs[wrong[0]]} inputs of {wrong[0]}{others}: groups of "
                f"{fits[0]} would divide all; or keep such matrices in float (keep)"
            )
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(parameter.data))[0])
            raise ValueError(f"{name} at {place} is {parameter.data[place]}: only finite numbers can be quantised")


def _kept(model: Any, starved: list[str], asked: set[str]) -> dict[str, str]:
    """Every tensor that stays in float, and why."""
    known = {f"{path}.weight": ASKED for path in asked} | {f"{path}.weight": NO_TOKEN for path in starved}
    weights = [name for name, weight in model.named_weights() if not isinstance(weight, StoredWeight)]
    return {name: known.get(name) or _reason(name) for name in weights}


def _reason(name: str) -> str:
    path, _, last = name.rpartition(".")
    if path in ("embedding", "head", "positions"):
        return path
    for part, why in (("bias", last), ("norm", path.rpartition(".")[2]), ("router", path.rpartition(".")[2])):
        if part in why:
            return part
    return "no matrix of a linear layer" if name.startswith("layers.") else "outside the layers"


def _details(way: Way) -> dict[str, Any]:
    """What the lineage says of a quantised model."""
    if way.method in ("nf4", "int8"):
        return {"method": way.method, **({"block": way.group_size or 64} if way.method == "nf4" else {})}
    return {"method": way.method, "bits": way.bits, "group": way.group_size or "row"}
