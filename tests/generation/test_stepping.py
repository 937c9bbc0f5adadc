"""The two steps of every technique, and the positions that it may use."""

import numpy as np
import pytest

from llm_from_scratch.generation import Row, generate
from llm_from_scratch.generation.stepping import check_positions, read_prompts, read_tokens


class Summing:
    """Its logits are the sum of all real tokens of a row; it notes the masks and the shapes it was asked with."""

    position_limit: int | None = None

    def __init__(self):
        self.asked = []

    def new_memory(self, batch_size):
        return np.zeros(batch_size)

    def step(self, ids, memory, mask=None):
        self.asked.append((ids.shape, mask is None))
        memory += (ids * (1 if mask is None else mask)).sum(axis=1)
        return np.outer(memory, np.ones(9))


def test_prompts_then_tokens():
    model = Summing()
    memory, logits = read_prompts(model, [Row(prompt, max_new_tokens=3) for prompt in ([1, 2, 3], [4])])
    assert logits[:, 0].tolist() == [6, 4] and model.asked == [((2, 3), False)]
    assert read_tokens(model, [1, 5], memory)[:, 0].tolist() == [7, 9]
    read_prompts(model, [Row([1, 2], max_new_tokens=3)] * 2)
    assert model.asked[1:] == [((2, 1), True), ((2, 2), True)]  # no mask where nothing is padding


def test_positions_are_checked_before_the_first_step():
    model = Summing()
    model.position_limit = 10
    generate(model, [[1, 2, 3]], max_new_tokens=8)  # the last token is never fed back
    model.asked.clear()
    with pytest.raises(ValueError, match=r"3 tokens and 9 new ones need 11 positions, this model has 10"):
        generate(model, [[1, 2, 3]], max_new_tokens=9)
    with pytest.raises(ValueError, match="need 11 positions"):  # the longest row decides
        generate(model, [[0, 0, 3], [1, 2, 3]], mask=[[0, 0, 1], [1, 1, 1]], max_new_tokens=9)
    assert model.asked == []
    check_positions(model, 10, 0)  # nothing is asked for, nothing needed
    generate(model, [[0, 0, 3]], mask=[[0, 0, 1]], max_new_tokens=10)  # padding takes no positions
