import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))  # for standin.py, which child processes import too


@pytest.fixture(autouse=True)
def threads_for_few_numbers(monkeypatch):
    """Work is shared out from 200,000 numbers on, so that what is shared out is tried without large models."""
    monkeypatch.setattr("llm_from_scratch.training.workers._WORTH_A_THREAD", 200_000)
