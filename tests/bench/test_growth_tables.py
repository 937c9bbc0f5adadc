"""The tables of growth: one axis as text, a run as Markdown."""

import pytest

from llm_from_scratch.bench import growth as module
from llm_from_scratch.bench.growth import growth
from llm_from_scratch.bench.growth_cases import AXES, STEP
from llm_from_scratch.bench.growth_tables import course_table, growth_markdown
from llm_from_scratch.bench.report import markdown


@pytest.fixture
def grown(monkeypatch, planted):
    monkeypatch.setattr(module, "run_case", planted)
    return growth(threads=1, show=lambda line: None)


def test_a_course_without_fits_is_told():
    course = {"sizes": [1], STEP: {"seconds": [0.5], "bytes": [None], "share": [None], "time": None, "memory": None}}
    assert "time ~ width^?" in course_table("width", course)


def test_a_row_for_each_work_and_axis(grown):
    lines = growth_markdown(grown).splitlines()
    assert "1,000 GFLOP/s of matrix products, 10.0 GB/s read" in lines[0] and "length 512, width 256" in lines[0]
    assert len(lines) == 4 + 2 * (len(AXES) - 1) + 1  # a step and a token against each, attention alone
    step, attention = lines[4], lines[-1]
    assert step == (
        "| training step | length 128 … 8,192 | 1.00 ± 0.00 | 128 ms … 8.19 s | 1.00 ± 0.00 | "
        "128 MiB … 8,192 MiB | 50% … 50% |"
    )
    assert (
        attention.startswith("| attention, forward and backward | length 128 … 8,192 |") and "2.00 ± 0.00" in attention
    )
    assert "| token written | width 128 … 1,024 |" in "\n".join(lines)  # the smallest failed
    assert markdown([grown]) == "\n".join(lines)
