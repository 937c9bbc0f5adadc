"""Plots are written, and refused before anything is measured where they cannot be."""

import pytest

from llm_from_scratch.bench import growth as growth_module
from llm_from_scratch.bench.plots import plot
from llm_from_scratch.cli import main


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_goals_and_growth_are_drawn(tmp_path, monkeypatch, planted, measured, ending):
    monkeypatch.setattr(growth_module, "run_case", planted)
    grown = growth_module.growth(threads=1, show=lambda line: None)
    for name, run in (("goals", measured()), ("nothing", {**measured(), "goals": []}), ("growth", grown)):
        path = tmp_path / f"{name}{ending}"
        plot(run, path)
        start = path.read_bytes()[:8]
        assert start == b"\x89PNG\r\n\x1a\n" if ending == ".png" else start.startswith(b"<?xml")


@pytest.mark.parametrize(
    "path, why", [("plot.pdfx", "a .png or a .svg file"), ("no/such/plot.png", "no folder 'no/such'")]
)
def test_a_plot_that_cannot_be_written_is_refused_first(path, why, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "adamw", "--plot", path]) != 0
    assert why in capsys.readouterr().err
