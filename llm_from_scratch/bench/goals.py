"""What the project claims of its speed, row by row, and whether a run bears it out.

A goal picks a figure out of a case: ours beside a peer's, or beside a limit. What is not reached is reported with its
bound: what the work cannot do without, measured in the same turns, and what ours is made of.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEVEL = 1.03  # products that take up to so much of the peer's time are level with them
PRODUCTS, THEIR_PRODUCTS = "its matrix products alone, NumPy", "its matrix products alone, torch"
BYTES = "its bytes read alone"


@dataclass(frozen=True)
class Goal:
    """One row: of `case`, ours beside `peer`, in what `figure`, must reach `must`; the aim is more.

    figure: "speed"      their time / ours, at least
            "cost"       our time / theirs, at most
            "memory"     our peak / theirs, at most
            "growth"     memory of our work / that of ours in the case named as `peer`, at most
            "logits"     memory of our work without its gradients / the logits, at most
            "bandwidth"  the time in which its bytes can be read / ours, at least
            "seconds"    ours, at most
    else_:  what must be reached instead where NumPy's matrix products, measured beside, are behind the peer's
    """

    case: str
    peer: str
    must: float
    aim: float | None = None
    figure: str = "speed"
    else_: float | None = None


def _training(case: str) -> list[Goal]:
    speed = [Goal(case, peer, 1.1, 1.3, else_=1.0) for peer in ("torch", "torch, compiled")]
    return [*speed, *(Goal(case, peer, 0.8, figure="memory") for peer in ("torch", "torch, compiled"))]


GOALS: tuple[Goal, ...] = (
    *(goal for case in ("step-128", "step-384", "step-512") for goal in _training(case)),
    *(Goal(case, "torch", 1.1, 1.5) for case in ("llama-128", "llama-256")),
    Goal("smollm2-full", "transformers", 1.0, 1.3),
    Goal("smollm2-lora", "peft", 1.0, 1.3),
    *(Goal(case, "llama.cpp", 1.0, 1.5) for case in ("smollm2-decode-16", "smollm2-decode-512")),
    Goal("smollm2-prompt", "llama.cpp", 2.0, 3.0),
    *(Goal(case, "transformers", 4.0) for case in ("tiny-decode-float32", "smollm2-decode-float32")),
    Goal("smollm2-decode-float32", "", 0.8, 0.9, figure="bandwidth"),
    *(Goal(f"attention-{length}", "torch", 1.0, 1.2) for length in (256, 1024, 4096)),
    Goal("attention-4096", "attention-1024", 5.0, 4.0, figure="growth"),  # four times the length; T² would be sixteen
    Goal("scan", "torch (loop over time)", 6.0, 10.0),
    Goal("scan-backward", "torch (loop over time)", 100.0),
    *(Goal(f"convolution-512{part}", "torch (rfft)", 2.0) for part in ("", "-backward")),
    Goal("experts", "transformers", 1.0),
    Goal("adamw", "torch (fused)", 1.0),
    Goal("cross-entropy", "torch", 1.0),
    Goal("cross-entropy", "", 1.5, 1.0, figure="logits"),
    *(Goal(case, "tokenizers", 2.0, 5.0) for case in ("bpe-train", "bpe-train-100")),
    *(Goal("bpe-encode", peer, 2.0) for peer in ("tiktoken", "tokenizers")),
    *(Goal(f"batch-invariant-64{s}", "without the switch", 1.3, figure="cost") for s in ("", "-packed")),
    Goal("import", "", 0.3, figure="seconds"),
    Goal("first-step-warm", "", 2.0, figure="seconds"),
    Goal("first-step-cold", "", 30.0, figure="seconds"),
)


def judged(results: Mapping[str, Any], goals: tuple[Goal, ...] = GOALS) -> list[dict[str, Any]]:
    """A verdict for each goal and each number of threads that was measured, in the order of the goals.

    {"case", "work", "threads", "figure", "peer", "ours", "theirs", "value", "low", "high", "must", "aim", "reached"
    (None: could not be measured), "note"}: value is the ratio, low and high its smallest and largest over the rounds.
    """
    return [
        _verdict(goal, key, result, results)
        for goal in goals
        for key, result in results.items()
        if key.split("@")[0] == goal.case
    ]


def _verdict(goal: Goal, key: str, result: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    verdict: dict[str, Any] = {
        "case": key, "work": result["title"], "threads": result["threads"], "figure": goal.figure, "peer": goal.peer,
        "must": goal.must, "aim": goal.aim, "unit": result["unit"], "reached": None, "note": "",
    }  # fmt: skip
    ours, theirs = _sides(goal, key, result, results)
    for who, numbers in (("ours", ours), (goal.peer, theirs)):
        if numbers is not None and "absent" in numbers:
            return verdict | {"note": f"{who}: {numbers['absent']}"}
    try:
        verdict |= _measured(goal, ours, theirs)
    except (KeyError, TypeError):  # memory is not told on every system, and a fact only by a work that says it
        return verdict | {"note": f"{goal.figure} was not measured here"}
    if goal.else_ is not None and not products_level(result):
        verdict["must"] = goal.else_
    at_least = goal.figure in ("speed", "bandwidth")
    verdict["reached"] = verdict["value"] >= verdict["must"] if at_least else verdict["value"] <= verdict["must"]
    if verdict["reached"]:
        return verdict
    if goal.figure in ("memory", "growth", "logits"):
        before = (ours["peak"] - ours["growth"]) / 2**20
        return verdict | {
            "note": f"{before:,.0f} MiB were there before the work, which adds {ours['growth'] / 2**20:,.0f}"
        }
    return verdict | {"note": bound(result, theirs if at_least else None)}


def _sides(goal: Goal, key: str, result: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[Any, Any]:
    """What was found of ours, and of what it is compared with (None for a goal without)."""
    ours = next(iter(result["contenders"].values()))
    if goal.figure == "bandwidth":
        return ours, result["beside"].get(BYTES)
    if goal.figure == "growth":
        other = results.get(goal.peer + key[len(goal.case) :])  # on as many threads
        return ours, next(iter(other["contenders"].values())) if other else {"absent": "not measured in this run"}
    return ours, result["contenders"][goal.peer] if goal.peer else None


def _measured(goal: Goal, ours: Mapping[str, Any], theirs: Any) -> dict[str, float]:
    """ours, theirs, and the value with its spread."""
    if goal.figure in ("speed", "bandwidth", "cost"):
        over, under = (ours, theirs) if goal.figure == "cost" else (theirs, ours)
        ratios = [a / b for a, b in zip(over["rounds"], under["rounds"])]
        found = {"ours": ours["median"], "theirs": theirs["median"], "low": min(ratios), "high": max(ratios)}
        return found | {"value": over["median"] / under["median"]}
    if goal.figure == "seconds":
        return {"ours": ours["median"], "value": ours["median"], "low": ours["low"], "high": ours["high"]}
    if goal.figure == "logits":
        return {"ours": ours["growth"], "value": (ours["growth"] - ours["gradients"]) / ours["logits"]}
    what = "peak" if goal.figure == "memory" else "growth"
    return {"ours": ours[what], "theirs": theirs[what], "value": ours[what] / theirs[what]}


def products_level(result: Mapping[str, Any]) -> bool:
    """Whether NumPy's matrix products took no longer than the peer's in the same shapes; True if it is not known."""
    ours, theirs = (result["beside"].get(name, {}) for name in (PRODUCTS, THEIR_PRODUCTS))
    if "median" not in ours or "median" not in theirs:
        return True
    return statistics.median(a / b for a, b in zip(ours["rounds"], theirs["rounds"])) <= LEVEL


def bound(result: Mapping[str, Any], theirs: Any = None) -> str:
    """What ours cannot do without: its share, and the ratio if all else were free; what its time is made of."""
    ours = next(iter(result["contenders"].values()))
    told = []
    for name, numbers in result["beside"].items():
        if "median" in numbers:
            words = f"{name}: {numbers['median'] / ours['median']:.0%} of ours"
            told.append(words + (f", bound {theirs['median'] / numbers['median']:.2f} x" if theirs else ""))
    made_of = [f"{name} {share:.0%}" for name, share in list(ours.get("parts", {}).items())[:5] if share >= 0.02]
    return "; ".join([*told, *(["its time: " + ", ".join(made_of)] if made_of else [])])
