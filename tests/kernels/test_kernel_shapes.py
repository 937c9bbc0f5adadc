"""No compiled loop reads beside its arrays: with one axis changed, a kernel refuses or computes what its twin does.

(Kernels whose arguments only the package itself makes (BPE, splitting, tiles of attention) are checked where they are
called. To see what would be read outside, run this file with NUMBA_BOUNDSCHECK=1.)
"""

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
INTERNAL = ("attention.", "bpe.", "bpe_training.", "splitting.")
PUBLIC = [name for name in KERNELS if not name.startswith(INTERNAL)]


def leaves(value):
    if isinstance(value, (tuple, list, dict)):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in leaves(part)]
    return [value]


def changed(array):
    """The array with each axis one shorter and one longer; ids out of every range."""
    for axis, size in enumerate(array.shape):
        if size:
            yield f"axis {axis} shorter", np.take(array, range(size - 1), axis)
            more = np.take(array, [size - 1], axis) * (array.dtype.kind == "f")  # a second run of rows would overlap
            yield f"axis {axis} longer", np.concatenate([array, more.astype(array.dtype)], axis)
    if array.dtype.kind in "iu" and array.size and array.dtype.itemsize >= 4:
        for wrong in (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max, int(array.max()) + 1):
            other = array.copy()
            other.reshape(-1)[-1] = wrong
            yield f"entry {wrong}", other


def outcome(function, args, kwargs):
    args, kwargs = copy.deepcopy((args, kwargs))
    with np.errstate(all="ignore"):
        try:
            return leaves(function(*args, **kwargs))
        except (ValueError, TypeError) as error:
            assert "nopython" not in str(error), f"{error}: refused by numba only"
            return None


@pytest.mark.skipif(backend() == "numpy", reason="there is no compiled code in this mode")
@pytest.mark.parametrize("name", PUBLIC)
def test_a_changed_axis_is_refused_or_means_what_it_means_to_the_twin(name):
    kernel = KERNELS[name]
    for args, kwargs in list(kernel.examples(np.random.default_rng(0)))[:3]:
        for key, value in [*enumerate(args), *kwargs.items()]:
            if not isinstance(value, np.ndarray):
                continue
            for what, other in changed(value):
                given = [other if i == key else part for i, part in enumerate(args)]
                named = {n: other if n == key else part for n, part in kwargs.items()}
                got = outcome(kernel, given, named)
                if got is None:
                    continue
                wanted = outcome(kernel.__wrapped__, given, named)
                assert wanted is not None, f"argument {key}, {what}: taken, but the twin refuses"
                for a, b in zip(got, wanted, strict=True):
                    if isinstance(b, np.ndarray):
                        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=f"argument {key}, {what}")
