"""Runs that were never measured: a table of goals, and costs that grow as planted."""

import pytest

from llm_from_scratch.bench.goals import Goal, judged
from llm_from_scratch.bench.growth_cases import ANSWER, ATTENTION, BANDWIDTH, PEAK, STEP, TOKEN


@pytest.fixture
def measured():
    def run(kind=None):
        numbers = {
            "median": 0.02,
            "low": 0.01,
            "high": 0.03,
            "rounds": [0.01, 0.02, 0.03],
            "peak": 2**21,
            "growth": 2**20,
        }
        ours = {**numbers, "kind": {"numpy": "AVX2"}, "parts": {"kernels/a.b": 1.0}}
        case = {"title": "work", "unit": "", "threads": 2, "beside": {"reading": numbers}}
        case |= {"contenders": {"ours": ours, "torch": numbers, "gone": {"absent": "no module named gone"}}}
        machine = {"processor": "A processor", "cores": 2, "memory": 2**34}
        results = {"c": case}
        return {
            "threads": 2,
            "rounds": 3,
            "kind": kind,
            "machine": machine,
            "cases": results,
            "goals": judged(results, run.goals),
        }

    run.goals = (Goal("c", "torch", 0.5, 2.0), Goal("c", "torch", 1.5), Goal("c", "torch", 0.8, figure="memory"))
    run.goals += (Goal("c", "gone", 1.0), Goal("c", "", 0.3, figure="seconds"))
    return run


@pytest.fixture
def planted():
    def run_case(name, case, **settings):
        """Time goes with the size, memory of attention with its square; a machine of 1 TFLOP/s and 10 GB/s."""
        if name == "growth/machine":
            contenders = {
                PEAK: {"median": 2.0, "low": 1.0, "flops": 1e12},
                BANDWIDTH: {"median": 2.0, "low": 1.0, "bytes": 1e10},
            }
        else:
            size = int(name.rsplit("/", 1)[1])
            contenders = {
                STEP: {"median": size * 1e-3, "growth": size * 2**20, "peak": 1, "flops": size * 5e8},
                TOKEN: {
                    "median": size * ANSWER * 1e-3,
                    "peak": size * 2**20 + 7,
                    "base": 7,
                    "bytes": 8e6 * size,
                    "runs": ANSWER,
                },
            }
            if "attention" in name:
                contenders = {ATTENTION: {"median": size * 1e-3, "growth": size**2, "peak": 1}}
            if name == "growth/width/64":
                contenders[TOKEN] = {"absent": "it failed: MemoryError"}
        return {"title": name, "unit": "", "threads": 1, "contenders": contenders, "beside": {}}

    return run_case
