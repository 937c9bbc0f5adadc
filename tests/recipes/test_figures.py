"""The picture of a run shows what its log holds."""

import pytest

from llm_from_scratch.recipes.figures import figures_of, plot_figures


def test_figures_are_told_from_the_bookkeeping():
    entries = [
        {"step": 0, "validation_loss": 3.0, "kl": 0.1},
        {"step": 1, "loss": 2.0, "lr": 0.1, "tokens": 7, "what": "x"},
    ]
    assert figures_of(entries) == {"validation_loss": [(0, 3.0)], "kl": [(0, 0.1)], "loss": [(1, 2.0)]}


def test_a_picture_is_drawn_or_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f'{{"step": {k}, "loss": {3 - k / 50}, "kl": {k}}}\n' for k in range(40)))
    assert plot_figures(log, tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")
    log.write_text("")
    with pytest.raises(ValueError, match="no figures"):
        plot_figures(log, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
