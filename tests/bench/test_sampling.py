"""What time is made of: the innermost function of the package counts, on every thread."""

import functools

import numpy as np

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.bench.sampling import OUTSIDE, parts
from llm_from_scratch.training.workers import run_together

PRODUCTS = ("functional/projections", "kernels/row_products")


def test_the_shares_are_those_of_the_functions_that_ran():
    x, weight = (Tensor(np.ones((600, 600), np.float32)) for _ in range(2))

    def work():
        for _ in range(20):
            F.linear(x, weight)

    found = parts(work, 0.3)
    assert abs(sum(found.values()) - 1) < 1e-9
    products = sum(share for name, share in found.items() if name.startswith(PRODUCTS))
    assert products > 0.8, found


def test_threads_count_and_idle_workers_do_not():
    x = Tensor(np.ones((400, 400), np.float32))
    found = parts(lambda: run_together([functools.partial(F.linear, x, x)] * 2), 0.2)
    assert all(name.startswith((*PRODUCTS, "autograd/", "training/workers._wait", OUTSIDE)) for name in found), found
    assert sum(share for name, share in found.items() if name.startswith(PRODUCTS)) > 0.2, found


def test_a_backward_is_called_so():
    x = Tensor(np.ones((600, 600), np.float32), requires_grad=True)
    found = parts(lambda: (x * x).sum().backward(), 0.2)
    assert not any(name.endswith("._") for name in found) and any("(backward)" in name for name in found), found
