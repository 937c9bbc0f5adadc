"""The tables, as text and as Markdown."""

import json
from pathlib import Path

import pytest

from llm_from_scratch.bench.goals import Goal
from llm_from_scratch.bench.report import BEGIN, END, between, goals_table, markdown, on_what, table


def test_the_table_of_goals(measured):
    lines = goals_table(measured()).splitlines()[1:]
    assert lines[0].split() == "work threads what ours peer theirs ratio must aim reached".split()
    assert lines[1].split() == "work 2 speed 20.0 ms torch 20.0 ms 1.00 x (1.00–1.00) ≥ 0.5 2 yes".split()
    assert lines[2].endswith("no") and lines[4].endswith("not measured") and "peak memory" in lines[3]
    assert "0.02 s (0.01–0.03)" in lines[5] and "≤ 0.3" in lines[5]
    bound = "reading: 100% of ours, bound 1.00 x; its time: kernels/a.b 100%"
    memory = "And peak memory beside torch: 1 MiB were there before the work, which adds 1"
    assert lines[6] == f"not reached: work, 2 threads, speed beside torch: {bound}. {memory}"
    assert lines[7] == "not measured: work, 2 threads, speed beside gone: gone: no module named gone"
    assert lines[8].startswith("2 reached, 2 not reached, 1 not measured; A processor, 2 cores, 16 GiB; numpy: AVX2")


def test_a_run_without_goals_has_no_table(measured):
    assert goals_table({**measured(), "goals": []}) == ""


def test_works_beside_stand_below_their_case(measured):
    lines = table(measured()["cases"]["c"]).splitlines()
    assert (
        lines[0] == "work (2 threads)" and lines[-1].startswith("  - reading:") and lines[-1].endswith("100% of ours")
    )


def test_markdown_is_made_of_the_numbers_alone(measured):
    text = markdown([measured(), measured("avx2")], measured.goals)
    assert "**A processor as it is** (A processor, 2 cores, 16 GiB; numpy: AVX2; 3 rounds, medians):" in text
    assert "**A processor run as AVX2**" in text and "as avx2" in text
    assert "| work | 2 | 20.0 ms | torch 20.0 ms | 1.00 x (1.00–1.00) | ≥ 0.5 | yes |" in text
    assert "| … peak memory | 2 | 2.0 MiB | torch 2.0 MiB | 1.00 | ≤ 0.8 | no |" in text
    assert "* work, 2 threads, speed beside torch: reading: 100% of ours, bound 1.00 x" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {8} and len(rows) == 2 * (2 + 5)


def test_a_row_names_its_work_unless_the_one_above_is_of_the_same(measured):
    run = measured()
    run["cases"]["d"] = {**run["cases"]["c"], "title": "beginning"}
    goals = (Goal("c", "torch", 0.5), Goal("c", "", 0.3, figure="seconds"), Goal("d", "", 0.3, figure="seconds"))
    rows = [line.split(" | ")[0] for line in markdown([run], goals).splitlines() if line.startswith("| ")]
    assert rows[1:] == ["| work", "| … time", "| beginning, time"]


def test_runs_of_different_processors_are_never_one_table(measured):
    other = {**measured(), "machine": {**measured()["machine"], "processor": "Another"}}
    text = markdown([measured(), other], measured.goals)
    assert text.count("| work | threads |") == 2 and "**A processor as" in text and "**Another as" in text


def test_parts_of_a_run_are_one_table(measured):
    first, second = measured(), {**measured(), "rounds": 5}
    second["cases"] = {"d": {**second["cases"]["c"], "title": "other"}, "c": {**second["cases"]["c"], "title": "again"}}
    text = markdown([first, second], (*measured.goals, Goal("d", "torch", 1.0)))
    assert text.count("| work | threads |") == 1 and "| other | 2 |" in text
    assert "| again | 2 |" in text and "| work | 2 |" not in text and "; 3 to 5 rounds, medians):" in text


def test_the_page_keeps_what_stands_around_the_marks():
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    assert between(page, "new") == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"
    assert between(between(page, "new"), "new") == between(page, "new")
    for wrong in ("no marks", BEGIN, f"{END} {BEGIN}", page + page):
        with pytest.raises(ValueError, match="each once"):
            between(wrong, "new")


def test_the_readme_says_what_was_measured():
    """Its tables are made of the numbers beside this test, never typed: bench --markdown … --into README.md."""
    root = Path(__file__).parents[2]
    files = sorted((Path(__file__).parent / "measured").glob("*.json"))
    text = markdown(json.loads(path.read_text(encoding="utf-8")) for path in files)
    page = (root / "README.md").read_text(encoding="utf-8")
    assert files and between(page, text) == page


@pytest.mark.parametrize("wrong", [[], {}, {"goals": []}, 3])
def test_what_is_no_run_is_refused(wrong):
    with pytest.raises(ValueError, match="bench --all --json FILE writes them"):
        markdown([wrong])


def test_on_what_gathers_what_every_contender_used(measured):
    run = measured("avx2")
    run["cases"]["c"]["contenders"]["torch"] = {**run["cases"]["c"]["contenders"]["torch"], "kind": {"torch": "AVX2"}}
    assert on_what(run) == "A processor, 2 cores, 16 GiB; as avx2; numpy: AVX2; torch: AVX2"
