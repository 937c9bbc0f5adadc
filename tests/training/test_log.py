from __future__ import annotations

import pytest

from llm_from_scratch.training import plot_curve, read_log
from llm_from_scratch.training.log import RunLog


def test_log_is_cut_back_and_its_loss_noticed(tmp_path):
    with RunLog(tmp_path / "log.jsonl") as log:
        log.write({"step": 1, "loss": 2.5})
        length = log.length
        log.write({"step": 2, "loss": 2.25})
    with RunLog(tmp_path / "log.jsonl", length) as log:
        log.write({"step": 2, "loss": 2.0})
    assert [e["loss"] for e in read_log(tmp_path)] == [2.5, 2.0]
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(b'{"step": 3, "lo')  # killed while writing
    assert len(read_log(tmp_path)) == 2
    with pytest.raises(ValueError, match="was cut or exchanged"):
        RunLog(tmp_path / "log.jsonl", 10_000)
    (tmp_path / "log.jsonl").write_bytes(b'{"step": 1}\nnonsense\n')
    with pytest.raises(ValueError, match="line 2"):
        read_log(tmp_path)
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_curve([], tmp_path / "x.png")
