"""Goals: rows that name what there is, and verdicts that follow from the numbers."""

import pytest

from llm_from_scratch.bench.cases import cases
from llm_from_scratch.bench.goals import BYTES, GOALS, LEVEL, PRODUCTS, THEIR_PRODUCTS, Goal, bound, judged


def numbers(*rounds, **others):
    return {"median": sorted(rounds)[len(rounds) // 2], "low": min(rounds), "high": max(rounds), "rounds": [*rounds],
            "peak": 100, "growth": 50, "parts": {}, **others}  # fmt: skip


def result(ours, others=(), beside=(), threads=2):
    contenders = {"ours": ours, **dict(others)}
    return {"title": "a case", "unit": "", "threads": threads, "contenders": contenders, "beside": dict(beside)}


def test_every_row_has_its_case_and_the_peer_in_it():
    known = cases(2)
    for goal in GOALS:
        case = known[goal.case]
        assert goal.figure in ("speed", "memory", "growth", "logits", "bandwidth", "seconds", "cost"), goal
        higher = goal.figure in ("speed", "bandwidth")
        assert goal.must > 0 and (goal.aim is None or (goal.aim > goal.must if higher else goal.aim < goal.must)), goal
        if goal.figure in ("speed", "memory", "cost"):
            assert goal.peer in list(case.contenders)[1:], goal
        if goal.figure == "growth":
            assert goal.peer in known and known[goal.peer].threads == case.threads, goal
        assert (goal.figure != "bandwidth") or BYTES in case.beside, goal
        assert (goal.else_ is None) or {PRODUCTS, THEIR_PRODUCTS} <= case.beside.keys(), goal
    assert len({(goal.case, goal.peer, goal.figure) for goal in GOALS}) == len(GOALS)


def test_the_rows_of_the_claim_are_all_there():
    must = {(goal.case, goal.peer, goal.figure): (goal.must, goal.aim) for goal in GOALS}
    for case in ("step-128", "step-384", "step-512"):
        for peer in ("torch", "torch, compiled"):
            assert must[case, peer, "speed"] == (1.1, 1.3) and must[case, peer, "memory"] == (0.8, None)
    assert must["llama-128", "torch", "speed"] == must["llama-256", "torch", "speed"] == (1.1, 1.5)
    assert must["smollm2-prompt", "llama.cpp", "speed"] == (2.0, 3.0)
    assert (
        must["smollm2-decode-16", "llama.cpp", "speed"]
        == must["smollm2-decode-512", "llama.cpp", "speed"]
        == (1.0, 1.5)
    )
    assert must["smollm2-decode-float32", "", "bandwidth"] == (0.8, 0.9)
    assert must["scan-backward", "torch (loop over time)", "speed"][0] == 100
    assert {must[f"attention-{n}", "torch", "speed"] for n in (256, 1024, 4096)} == {(1.0, 1.2)}
    assert must["bpe-train-100", "tokenizers", "speed"] == (2.0, 5.0)
    assert must["first-step-warm", "", "seconds"][0] == 2 and must["first-step-cold", "", "seconds"][0] == 30
    both = [name for name, case in cases(2).items() if len(case.threads) == 2]
    assert {"attention-256", "attention-4096", "smollm2-decode-16", "smollm2-decode-512", "smollm2-prompt"} <= set(both)


@pytest.mark.parametrize("theirs, reached", [(numbers(3.0, 2.0, 2.2), True), (numbers(2.0, 2.1, 3.0), False)])
def test_speed_is_their_time_by_ours(theirs, reached):
    ours = numbers(1.0, 2.0, 2.0)
    (verdict,) = judged({"c": result(ours, {"peer": theirs})}, (Goal("c", "peer", 1.1, 1.3),))
    assert verdict["value"] == theirs["median"] / 2.0 and verdict["reached"] is reached
    ratios = [a / b for a, b in zip(theirs["rounds"], ours["rounds"])]
    assert (verdict["low"], verdict["high"]) == (min(ratios), max(ratios))


@pytest.mark.parametrize("ours, reached", [(numbers(2.4, 2.6, 2.5), True), (numbers(2.7, 2.8, 1.0), False)])
def test_cost_is_our_time_by_theirs(ours, reached):
    theirs = numbers(2.0, 2.0, 1.9)
    (verdict,) = judged({"c": result(ours, {"without": theirs})}, (Goal("c", "without", 1.3, figure="cost"),))
    assert verdict["value"] == ours["median"] / 2.0 and verdict["reached"] is reached
    ratios = [a / b for a, b in zip(ours["rounds"], theirs["rounds"])]
    assert (verdict["low"], verdict["high"]) == (min(ratios), max(ratios))


@pytest.mark.parametrize("read, reached", [(0.7, False), (0.9, True)])
def test_bandwidth_is_the_time_of_reading_by_ours(read, reached):
    beside = {"another": numbers(5.0), BYTES: numbers(read)}
    (verdict,) = judged({"c": result(numbers(1.0), beside=beside)}, (Goal("c", "", 0.8, 0.9, figure="bandwidth"),))
    assert verdict["value"] == read and verdict["reached"] is reached


@pytest.mark.parametrize("slower, must", [(LEVEL - 0.01, 1.1), (LEVEL + 0.01, 1.0)])
def test_less_must_be_reached_where_numpys_products_are_behind(slower, must):
    beside = {PRODUCTS: numbers(slower), THEIR_PRODUCTS: numbers(1.0)}
    goal = Goal("c", "peer", 1.1, else_=1.0)
    (verdict,) = judged({"c": result(numbers(2.0), {"peer": numbers(2.1)}, beside)}, (goal,))
    assert verdict["must"] == must and verdict["reached"] is (must == 1.0)
    (verdict,) = judged({"c": result(numbers(2.0), {"peer": numbers(2.1)})}, (goal,))
    assert verdict["must"] == 1.1  # nothing is known of the products


def test_figures_that_must_be_small():
    cold = result(numbers(31.0))
    large = result(numbers(1.0, peak=90, growth=500), {"peer": numbers(9.0)})
    head = result(numbers(1.0, growth=350, logits=100, gradients=200))
    results = {"cold": cold, "c": large, "small": result(numbers(1.0, growth=100)), "head": head}
    goals = (
        Goal("cold", "", 30.0, figure="seconds"),
        Goal("c", "peer", 0.9, figure="memory"),
        Goal("c", "small", 5.0, figure="growth"),
        Goal("head", "", 1.5, figure="logits"),
    )
    verdicts = judged(results, goals)
    assert [verdict["value"] for verdict in verdicts] == [31.0, 0.9, 5.0, 1.5]
    assert [verdict["reached"] for verdict in verdicts] == [False, True, True, True]


def test_each_number_of_threads_is_judged_with_its_own():
    results = {
        "long@1": result(numbers(1.0, growth=40), threads=1), "long": result(numbers(1.0, growth=90)),
        "short@1": result(numbers(1.0, growth=10), threads=1), "short": result(numbers(1.0, growth=9)),
    }  # fmt: skip
    verdicts = judged(results, (Goal("long", "short", 5.0, figure="growth"),))
    assert [(v["threads"], v["value"], v["reached"]) for v in verdicts] == [(1, 4.0, True), (2, 10.0, False)]
    (verdict,) = judged({"long": results["long"]}, (Goal("long", "short", 5.0, figure="growth"),))
    assert verdict["reached"] is None and "not measured in this run" in verdict["note"]


def test_what_is_not_reached_has_its_bound_and_what_it_is_made_of():
    ours = numbers(4.0, parts={"kernels/attention.forward": 0.6, "functional/linear": 0.39, "rest": 0.01})
    others = {"before": numbers(9.0), "peer": numbers(3.0), "behind": numbers(8.0)}  # the bound is the peer's
    (verdict,) = judged({"c": result(ours, others, {BYTES: numbers(2.0)})}, (Goal("c", "peer", 1.0),))
    assert verdict["reached"] is False
    assert verdict["note"] == (
        f"{BYTES}: 50% of ours, bound 1.50 x; its time: kernels/attention.forward 60%, functional/linear 39%"
    )
    assert bound(result(numbers(1.0), beside={BYTES: {"absent": "no"}})) == ""


@pytest.mark.parametrize(
    "ours, theirs", [({"absent": "no file"}, numbers(1.0)), (numbers(1.0), {"absent": "no module"})]
)
def test_what_is_absent_is_neither_reached_nor_not(ours, theirs):
    (verdict,) = judged({"c": result(ours, {"peer": theirs})}, (Goal("c", "peer", 1.0),))
    assert verdict["reached"] is None and verdict["note"] in ("ours: no file", "peer: no module")


def test_memory_that_the_system_does_not_tell_is_not_judged():
    blind = numbers(1.0, peak=None)
    (verdict,) = judged({"c": result(blind, {"peer": blind})}, (Goal("c", "peer", 0.8, figure="memory"),))
    assert verdict["reached"] is None and verdict["note"] == "memory was not measured here"
