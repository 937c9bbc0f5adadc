from __future__ import annotations

import pytest

from llm_from_scratch.data.tales import tell
from llm_from_scratch.data.tales.inventory import inventory, main


def test_the_world_does_not_shrink():
    counts = inventory([tell(0, number) for number in range(2000)])
    least = {"heroes": 16, "kinds": 35, "things": 34, "colours": 11, "places": 15, "homes": 7, "plots": 21}
    assert all(counts[name] >= number for name, number in least.items())
    assert counts["mean length in words"] >= 157 and counts["different words"] >= 1010  # 1,031 in 10,000


def test_the_command_prints_the_world_and_the_checkers_figure(capsys):
    main(["--tales", "30", "--altered", "5", "--checker", "--seed", "3"])
    out = capsys.readouterr().out
    assert "30 tales of seed 3" in out and "flags 0 of them" in out
    assert [line.split()[0] for line in out.splitlines()[-6:]] == "name kind pronoun colour thing place".split()
    with pytest.raises(SystemExit):
        main(["--tales", "0"])
    assert "from 1 on" in capsys.readouterr().err
