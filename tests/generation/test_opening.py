"""What cannot be is refused before the first step; what can be becomes rows with randomness of their own."""

import numpy as np
import pytest

from llm_from_scratch.generation import generate

from .conftest import ByteTokenizer, Stepping


def test_seeds():
    def run(seed, rows=1):
        return generate(Stepping(), [[1, 2]] * rows, max_new_tokens=8, seed=seed).tolist()

    assert run(1) == run(1) != run(2)
    assert run(7, rows=2) == [run(7)[0], run(8)[0]]
    assert run([8, 7], rows=2) == [run(8)[0], run(7)[0]]
    assert run(np.random.default_rng(3)) == run(np.random.default_rng(3))
    assert run(np.random.default_rng(3), rows=2)[0] != run(np.random.default_rng(3), rows=2)[1]


@pytest.mark.parametrize(
    ("ids", "settings", "error", "message"),
    [
        ([1, 2], {}, ValueError, "batch, length"),
        ([[]], {}, ValueError, "empty"),
        (np.zeros((0, 3), int), {}, ValueError, "empty"),
        ([[1.5]], {}, TypeError, "integers"),
        ([[-1]], {}, ValueError, "negative"),
        ([[1]], {"max_new_tokens": -1}, ValueError, "max_new_tokens"),
        ([[1]], {"max_new_tokens": 2.0}, TypeError, "max_new_tokens"),
        ([[1]], {"temperature": float("inf")}, ValueError, "temperature"),
        ([[1]], {"stop_strings": ["x"]}, ValueError, "tokenizer"),
        ([[1]], {"stop_strings": [""], "tokenizer": ByteTokenizer()}, ValueError, "empty stop string"),
        ([[1]], {"stop_tokens": [-1]}, ValueError, "stop token"),
        ([[1]], {"stop_tokens": ["x"]}, TypeError, "stop token"),
        ([[1], [2]], {"stream": print}, ValueError, "one row"),
        ([[1], [2]], {"seed": [1]}, ValueError, "seed"),
        ([[1]], {"seed": -1}, ValueError, "seed"),
        ([[1, 2]], {"mask": [[1, 0]]}, ValueError, "on the left"),
        ([[1, 2]], {"mask": [[0, 0]]}, ValueError, "on the left"),
        ([[1, 2]], {"mask": [[1]]}, ValueError, "mask has shape"),
        ([[1, 2]], {"mask": [[1, 2]]}, ValueError, "True and False"),
    ],
)
def test_bad_requests_are_refused_before_the_first_step(ids, settings, error, message):
    model = Stepping()
    with pytest.raises(error, match=message):
        generate(model, ids, **{"max_new_tokens": 3, **settings})
    assert model.calls == []
