"""What was found of a spike, as a page of text."""

from __future__ import annotations

import math

from .depth import layer_of
from .excursions import Excursion
from .forensics import Explanation
from .suspects import Piece

_SHOWN = 4
_EXCERPT = 300
_FIGURES = {"rms": "rms", "largest": "largest number", "weight": "length", "gradient": "length"}
_IN_SHORT = {
    "step length": "Step {step} moved the weights by {moved:.0%} of their length; a thousandth is usual. Try a lower "
    "learning rate (it was {lr:.3g}), or a longer warmup.",
    "weights": "Something changed {path} before step {began}, and no update of the usual size did: look at what runs "
    "between steps, and at where the weights came from.",
    "document": "Read the text above: where it is not what the model shall learn, clean it and begin again from the "
    "snapshot; where it is, a smaller clip (it was {clip:g}) bounds what one document can do.",
    "layer": "It began in {layer}: no document stands out, and no step was unusually long. A lower learning rate, or a "
    "smaller clip, are what is mostly tried.",
}


def page(found: Explanation) -> str:
    """The page: what happened, whether the replay is the run, the batch, where it began, whose text it was."""
    blocks = [
        _happened(found),
        _replayed(found),
        _batch(found),
        _began(found.began),
        _documents(found),
        _in_short(found),
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _happened(found: Explanation) -> list[str]:
    parts = []
    for name, value, usual in (
        ("loss", found.loss, found.usual_loss),
        ("gradient", found.gradient, found.usual_gradient),
    ):
        about = f" (about {usual:.4g} before)" if usual is not None else ""
        parts.append(f"{name} {'not finite' if value is None else format(value, '.4g')}{about}")
    lines = [f"step {found.step}: {', '.join(parts)}, learning rate {found.lr:.3g}"]
    return [*lines, f"  {found.diverged}"] if found.diverged else lines


def _replayed(found: Explanation) -> list[str]:
    lines = [f"replayed from {found.snapshot}, {found.steps} steps"]
    if found.equal:
        lines[0] += ": loss, gradient and rate of each are those of the log, to the last digit"
    else:
        lines[0] += f": it is NOT the run that the log tells of ({len(found.differences)} numbers differ)"
        lines += [f"  {text}" for text in found.differences[:_SHOWN]]
        lines.append("  what follows is about the replay; something else than the run's settings decided the run")
    return lines + [f"  note: {note}" for note in found.notes]


def _batch(found: Explanation) -> list[str]:
    lines = []
    for one in found.batches:
        number = str(one.get("batch", "(not numbered)"))
        whose = "".join(f" of {name} {one[name] + 1}" for name in ("stage", "epoch") if name in one)
        which = f", micro-batch {one['micro_batch']} of {len(found.batches)}" if len(found.batches) > 1 else ""
        lines.append(f"batch {number}{whose}{which}")
    return lines


def _began(began: tuple[Excursion, ...]) -> list[str]:
    if not began:
        return ["every layer's activations, gradients and weights are in the range that they had before"]
    first, told = began[0], _once_each(began)
    lines = [f"it began at step {first.step}, in {layer_of(first.path)}:"]
    lines += [f"  {_told(out)}" for out in told[:_SHOWN]]
    more = len(told) - _SHOWN
    return [*lines, f"  … and {more} more, behind these"] if more > 0 else lines


def _once_each(began: tuple[Excursion, ...]) -> list[Excursion]:
    """The first of each path and kind: that a layer's rms and its largest number both rose is said once."""
    firsts: dict[tuple[str, str], Excursion] = {}
    for out in began:
        firsts.setdefault((out.kind, out.path), out)
    return list(firsts.values())


def _told(out: Excursion) -> str:
    what = {"weight": "the weights of ", "activation": "what comes out of ", "gradient": "the gradient of "}[out.kind]
    if out.value is None:
        return f"{what}{out.path}: not finite"
    usual = f"{out.low:.3g} to {out.high:.3g} in the {out.steps} steps before"
    return f"{what}{out.path}: {_FIGURES[out.figure]} {out.value:.3g}; it was {usual}"


def _documents(found: Explanation) -> list[str]:
    if not found.documents:
        return ["the batch could not be told apart by documents: only losses on tokens can"]
    culprits = found.culprits
    if not culprits:
        first = found.documents[0]
        return [f"no document stands out among {len(found.documents)}; the most unusual is {_piece(first)}"]
    lines = [f"{len(culprits)} of {len(found.documents)} documents stand{'s' * (len(culprits) == 1)} out:"]
    lines += [f"  {_piece(piece)}" for piece in culprits[:_SHOWN]]
    if found.excerpt is not None:
        text = " ".join(found.excerpt.split())
        lines += ["", f"  the first says: {text[:_EXCERPT]!r}{' …' * (len(text) > _EXCERPT)}"]
    return lines


def _piece(piece: Piece) -> str:
    name = f"document {piece.document}" if piece.document is not None else "a piece"
    where = f"row {piece.row + 1}, tokens {piece.first + 1} to {piece.last}"
    if piece.start is not None:
        where += f"; token {piece.start:,} of {piece.source or 'the training text'}"
    loss = f"loss {piece.loss:.3g}" if math.isfinite(piece.loss) else "loss not finite"
    unusual = f", {piece.deviation:.1f} deviations from the usual" if math.isfinite(piece.deviation) else ""
    pull = f", {piece.pull:.1f} times the usual gradient" if piece.pull is not None else ""
    return f"{name} ({where}): {loss} over {piece.tokens} tokens{unusual}{pull}"


def _in_short(found: Explanation) -> list[str]:
    moved, step = found.moved or (0.0, 0)
    first = found.began[0] if found.began else None
    about: dict[str, object] = {"step": step, "moved": moved, "lr": found.lr, "clip": found.clip}
    if first is not None:
        about |= {"path": first.path, "began": first.step, "layer": layer_of(first.path)}
    return [_IN_SHORT[cause].format(**about) for cause in found.causes]
