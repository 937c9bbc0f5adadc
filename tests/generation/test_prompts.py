"""Prompts side by side: what comes after each is what comes after it alone, up to its own end."""

import numpy as np
import pytest

from llm_from_scratch import build
from llm_from_scratch.generation import continue_prompts, generate

PROMPTS = [[5, 6, 7], np.array([4]), (8, 3)]


@pytest.mark.parametrize("family", ["llama", "mamba"])
@pytest.mark.parametrize("stops", [(), (2,), {2, 7, 11}])
def test_each_is_continued_as_it_would_be_alone(family, stops):
    more = {"state_size": 4} if family == "mamba" else {"num_attention_heads": 2, "intermediate_size": 24}
    model = build(family, vocab_size=19, hidden_size=16, num_hidden_layers=1, seed=2, dtype=np.float64, **more)
    settings = {"max_new_tokens": 12, "temperature": 1.5}
    found = continue_prompts(model, PROMPTS, stop_tokens=stops, seed=[9, 3, 4], **settings)
    for prompt, seed, new in zip(PROMPTS, (9, 3, 4), found):
        alone = generate(model, [prompt], stop_tokens=stops, seed=[seed], **settings)[0, len(prompt) :]
        assert new.tolist() == alone.tolist()  # alone, nothing is filled up behind the end
        assert len(new) == 12 or new[-1] in stops
    assert stops == () or len({len(new) for new in found}) > 1
