"""What LLVM made of the float32 loops: vector instructions, and no float64 in between.

A single bare literal (`0.5` for `np.float32(0.5)`) turns a float32 loop into a float64 one, at half the
speed, and a call or an unknown stride stops vectorisation; neither changes a result, so only the code itself
can tell.
"""

import importlib

import numpy as np
import pytest

from llm_from_scratch.kernels.dispatch import KERNELS, SETTINGS, backend

TOPICS = (
    "activations",
    "norms",
    "softmax",
    "losses",
    "divergences",
    "embedding",
    "rotary",
    "optimizers",
    "causal_convolution",
    "scan",
    "modal",
    "long_convolution",
    "attention",
    "whole_attention",
    "row_products",
)
PARTS = ("whole_attention_backward",)  # loops of a topic that stand in a file of their own
EXACT = {"optimizers._sum_of_squares"}  # adds up in float64, on purpose
NO_FLOATS = {"losses._find_wrong"}


def _loops():
    if backend() == "numpy":
        return []
    from numba.core.registry import CPUDispatcher

    found = []
    for topic in TOPICS:
        importlib.import_module(f"llm_from_scratch.kernels.{topic}")
    for topic in (*TOPICS, *PARTS):
        module = importlib.import_module(f"llm_from_scratch.kernels.compiled.{topic}")
        found += [
            pytest.param(topic, loop, id=f"{topic}.{name}")
            for name, loop in vars(module).items()
            if isinstance(loop, CPUDispatcher)
            and f"{topic}.{name}" not in NO_FLOATS
            and loop.py_func.__module__ == module.__name__  # not the helpers that it imports
        ]
    return found


@pytest.fixture(scope="module")
def float32_examples():
    for name, kernel in KERNELS.items():
        if name.split(".")[0] in TOPICS:
            for args, kwargs in kernel.examples(np.random.default_rng(0), np.float32):
                kernel(*args, **kwargs)


@pytest.mark.skipif(backend() == "numpy", reason="there is no compiled code in this mode")
@pytest.mark.parametrize("topic, loop", _loops())
def test_float32_loops_are_vectorised_and_stay_float32(topic, loop, float32_examples):
    import numba

    signatures = [s for s in loop.signatures if "float64" not in str(s)]
    assert signatures, "no example runs this loop in float32"
    # Compiled anew, because code that comes from the cache cannot be inspected.
    fresh = numba.njit(signatures[0], **{**SETTINGS, "cache": False})(loop.py_func)
    code = fresh.inspect_llvm(fresh.signatures[0])
    assert " x float>" in code, "no vector of floats: the loop runs one element at a time"
    if f"{topic}.{loop.__name__}" not in EXACT:
        assert "fpext" not in code, "a float32 is widened to float64 somewhere"


@pytest.mark.skipif(backend() == "numpy", reason="there is no compiled code in this mode")
@pytest.mark.parametrize("topic, loop", _loops())
def test_one_version_a_dtype(topic, loop, float32_examples):
    """Layouts, read-only arrays and None must not multiply compiled versions: each costs compile time."""
    kinds = [str(s).replace("float32", "F").replace("float64", "F") for s in loop.signatures]
    assert len(set(kinds)) == 1, f"compiled for {kinds}"
