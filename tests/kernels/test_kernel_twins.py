"""Every kernel's compiled version against its NumPy twin, on the example that stands beside the twin.

Tolerances are relative to the largest entry of the result: 4e-6 in float32 (two ways of rounding and summing;
the polynomials' own errors are in test_elementary.py) and 2e-13 in float64. With
LLM_FROM_SCRATCH_KERNELS=numpy the twins run on both sides, which still checks dtypes, layouts and arguments
left unchanged.
"""

import contextlib
import copy
import importlib
import pkgutil

import numpy as np
import pytest

import llm_from_scratch.kernels as package
from llm_from_scratch.kernels.dispatch import KERNELS, backend

for module in pkgutil.iter_modules(package.__path__):
    if module.name != "compiled":
        importlib.import_module(f"{package.__name__}.{module.name}")
TOLERANCE = {np.dtype(np.float32): 4e-6, np.dtype(np.float64): 2e-13}


def _flat(value):
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in _flat(part)]
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _flat(part)]
    return [value]


def _assert_alike(got, wanted, dtype):
    got, wanted = _flat(got), _flat(wanted)
    assert len(got) == len(wanted)
    for ours, reference in zip(got, wanted, strict=True):
        if not isinstance(reference, (np.ndarray, np.floating, float)):
            assert ours == reference or ours is reference
            continue
        a, b = np.asarray(ours), np.asarray(reference)
        assert a.shape == b.shape
        if isinstance(reference, (np.ndarray, np.floating)):
            assert a.dtype == b.dtype, f"{a.dtype} from the compiled version, {b.dtype} from the twin"
        if b.dtype.kind == "f":
            # no dtype creep; a plain Python float (a sum in float64) has no dtype to keep
            assert b.dtype == dtype or isinstance(reference, float)
            finite = np.isfinite(b)
            np.testing.assert_array_equal(a[~finite], b[~finite])
            scale = np.abs(b[finite]).max(initial=0.0)
            error = np.abs(a[finite].astype(float) - b[finite].astype(float)).max(initial=0.0)
            assert error <= TOLERANCE[np.dtype(dtype)] * scale
        else:
            np.testing.assert_array_equal(a, b)


def _apply(function, args, kwargs):
    """The result and the arguments as the call left them."""
    args, kwargs = copy.deepcopy((args, kwargs))
    with np.errstate(all="raise", under="ignore"):
        result = function(*args, **kwargs)
    return result, args, kwargs


@contextlib.contextmanager
def _twins_only():
    """Inside the block kernels that a twin calls are twins, too: else an error of theirs would be on both sides."""
    with pytest.MonkeyPatch.context() as patch:
        for kernel in KERNELS.values():
            patch.setattr(kernel, "_implementation", kernel.__wrapped__)
        yield


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_version_agrees_with_the_twin(name, dtype):
    kernel = KERNELS[name]
    cases = list(kernel.examples(np.random.default_rng(0), dtype))
    assert cases, f"the example of {name} yields nothing"
    for args, kwargs in cases:
        got = _apply(kernel, args, kwargs)
        with _twins_only():
            wanted = _apply(kernel.__wrapped__, args, kwargs)
        _assert_alike(got, wanted, dtype)


def _scattered(value):
    """The same entries with gaps between them, read-only."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value
    wide = np.zeros(tuple(2 * n for n in value.shape), value.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in value.shape)]
    view[...] = value
    view.flags.writeable = False
    return view


@pytest.mark.parametrize("name", KERNELS)
def test_layout_in_memory_does_not_matter(name):
    kernel = KERNELS[name]
    written = {kernel_parameter for kernel_parameter, _ in kernel._writes}
    positions = {position for _, position in kernel._writes}
    for args, kwargs in kernel.examples(np.random.default_rng(1)):
        plain = _apply(kernel, args, kwargs)[0]
        args = [copy.deepcopy(a) if i in positions else _scattered(a) for i, a in enumerate(args)]
        kwargs = {n: copy.deepcopy(v) if n in written else _scattered(v) for n, v in kwargs.items()}
        _assert_alike(kernel(*args, **kwargs), plain, np.float64)


@pytest.mark.parametrize("name", KERNELS)
def test_only_what_is_declared_is_changed(name):
    kernel = KERNELS[name]
    written = dict(kernel._writes)
    for args, kwargs in kernel.examples(np.random.default_rng(2)):
        _, args_after, kwargs_after = _apply(kernel, args, kwargs)
        for i, (before, after) in enumerate(zip(args, args_after, strict=True)):
            if i not in written.values():
                np.testing.assert_equal(after, before)
        for key in kwargs:
            if key not in written:
                np.testing.assert_equal(kwargs_after[key], kwargs[key])


@pytest.mark.parametrize("name", KERNELS)
def test_examples_hold_no_memory_that_nobody_filled(name):
    kernel = KERNELS[name]
    first, second = (list(kernel.examples(np.random.default_rng(4), np.float64)) for _ in range(2))
    np.testing.assert_equal(first, second)


@pytest.mark.parametrize("name", KERNELS)
def test_results_repeat_bit_for_bit(name):
    kernel = KERNELS[name]
    for args, kwargs in kernel.examples(np.random.default_rng(3), np.float32):
        first, second = (_flat(_apply(kernel, args, kwargs)[0]) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_the_right_version_ran():
    for kernel in KERNELS.values():
        kernel_runs = kernel._implementation
        if kernel_runs is not None:
            assert (kernel_runs is kernel.__wrapped__) == (backend() == "numpy")
