"""How many threads were asked for."""

import pytest

from llm_from_scratch.kernels.threads import available_cores, resolve_threads, threads_for_a_token, token_threads


def test_the_setting_holds_inside_the_block_only():
    assert threads_for_a_token() == available_cores()
    with token_threads(1):
        assert threads_for_a_token() == 1
        with token_threads(None):
            assert threads_for_a_token() == available_cores()
        assert threads_for_a_token() == 1
    assert threads_for_a_token() == available_cores()


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2", 5000])
def test_impossible_numbers_are_named(threads):
    with pytest.raises(ValueError, match="threads"):
        resolve_threads(threads)
    with pytest.raises(ValueError, match="threads"), token_threads(threads):
        pass
