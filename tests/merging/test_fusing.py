"""Fine-tunes with heads of their own, fused into a base."""

import numpy as np
import pytest

import llm_from_scratch.merging as M


def test_what_the_base_has_is_averaged_and_heads_are_left_out():
    base = {"body": np.zeros(2), "norm": np.zeros(1)}
    models = [{"body": np.array([k, 2.0 * k]), "norm": np.ones(1), f"head{k}": np.ones((k, 2))} for k in (1, 3)]
    found = M.fuse(base, models)
    assert found.keys() == base.keys()
    np.testing.assert_array_equal(found["body"], [2, 4])


def test_what_is_no_fine_tune_of_the_base_is_refused():
    base = {"body": np.zeros(2)}
    with pytest.raises(ValueError, match="lacks the tensor body"):
        M.fuse(base, [{"head": np.ones(2)}])
    with pytest.raises(ValueError, match=r"body has shape \(2,\)"):
        M.fuse(base, [{"body": np.ones(3)}])
