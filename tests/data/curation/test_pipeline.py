"""A cleaning is the same however it is shared out, and wherever it was stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killing import in_child

import llm_from_scratch
from llm_from_scratch.data.curation import pipeline
from llm_from_scratch.data.curation.choosing import choose
from llm_from_scratch.data.curation.pipeline import NothingLeft, clean
from llm_from_scratch.data.curation.reading import Inputs
from llm_from_scratch.files.lock import Locked

RULES = choose("light", including=["gopher", "personal"], settings=["gopher.least_words=20", "near.ngram=2"])


def corpus(folder, documents=60, seed=0):
    """Rows of varied words, some short, some repeated, some nearly, some with an address, and a line that is none."""
    rng = random.Random(seed)
    common = ["the", "of", "and", "to", "have", "river", "stone", "bridge", "winter", "letter", "garden", "silver"]
    texts = []
    for number in range(documents):
        words = [rng.choice(common) + rng.choice(["", "s", "y", "er"]) for _ in range(rng.choice([5, 60, 80]))]
        words[3:3] = ["the", "of", "and", "to", "me@example.org" if number % 7 == 0 else "post"]
        texts.append(" ".join(words))
        if number % 5 == 4:
            texts.append(texts[-3])
        if number % 9 == 8:
            texts.append(texts[-2] + " once more")
    lines = [json.dumps({"text": text, "id": number}) for number, text in enumerate(texts)]
    lines.insert(10, '{"text": broken')
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "z.txt").write_text("the of and to have " * 3 + "<|endoftext|>" + texts[1], encoding="utf-8")
    (folder / "z.bin").write_bytes(b"\0\1")
    return Inputs([str(folder)])


def run(inputs, out, chain=RULES, **options):
    numbers = []
    clean(inputs, out, chain, report=numbers.append, **options)
    return out.read_bytes(), json.loads(json.dumps(numbers[0]))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    corpus(folder / "in", 30)
    return folder / "in", run(Inputs([str(folder / "in")]), folder / "out.jsonl")


def test_every_document_is_accounted_for(reference):
    _, (out, numbers) = reference
    rules = numbers["rules"]
    removed = {name: rule["removed"] for name, rule in rules.items()}
    assert min(removed["gopher"], removed["exact"], removed["near"]) > 2 and rules["personal"]["changed"] > 2
    assert numbers["documents"]["read"] - sum(removed.values()) == numbers["documents"]["kept"] == out.count(b"\n")
    rows = [json.loads(line) for line in out.splitlines()]
    assert sum(len(row["text"]) for row in rows) == numbers["characters"]["kept"]
    added = sum(rule["added_characters"] - rule["removed_characters"] for rule in rules.values())
    assert numbers["characters"]["read"] + added == numbers["characters"]["kept"]
    assert {reason: entry["count"] for reason, entry in numbers["skipped"].items()} == {"not JSON": 1, "binary": 1}
    assert numbers["skipped"]["not JSON"]["examples"][0]["place"].endswith("rows.jsonl, line 11")
    assert [row["id"] for row in rows if "id" in row] == sorted(row["id"] for row in rows if "id" in row)
    assert sum(numbers["histograms"]["words"]["before"]) == numbers["documents"]["read"]
    assert sum(numbers["histograms"]["words"]["after"]) == numbers["documents"]["kept"]
    assert sum(source["kept"] for source in numbers["sources"].values()) == numbers["documents"]["kept"]


def test_a_duplicate_is_shown_beside_the_one_that_stays(reference):
    _, (out, numbers) = reference
    rows = [json.loads(line)["text"] for line in out.splitlines()]
    for example in numbers["rules"]["exact"]["examples"]["removed"]:
        assert example["earlier"].removesuffix(" …") == example["beginning"].removesuffix(" …")
        number = int(example["reason"].split("number ")[1].split()[0].replace(",", ""))
        assert rows[number - 1].startswith(example["earlier"].removesuffix(" …"))


@pytest.mark.parametrize("workers", [2, 3])
def test_processes_change_nothing(reference, tmp_path, monkeypatch, workers):
    folder, wanted = reference
    monkeypatch.setattr(pipeline, "_SMALL", 0)
    assert run(Inputs([str(folder)]), tmp_path / "out.jsonl", workers=workers) == wanted
    assert os.listdir(tmp_path) == ["out.jsonl"]


# ------------------------------------------------------------------------------------------------ stopped


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_killed_at_any_write_it_goes_on_to_the_same_bytes(reference, tmp_path, monkeypatch):
    folder, wanted = reference
    monkeypatch.setattr(pipeline, "_COMMIT_SECONDS", 0.0)  # after every document

    def work(out):
        clean(Inputs([str(folder)]), out, RULES)

    code, calls = in_child(lambda: work(tmp_path / "whole.jsonl"))
    assert code == 0 and calls > 100
    every = os.environ.get("KILLS") == "all"
    sample = [1, 2, 5, *random.Random(1).sample(range(6, calls - 9), 8), *range(calls - 9, calls + 1, 2)]
    places = range(1, calls + 1) if every else sample
    resumed = 0
    for place in places:
        out = tmp_path / f"{place}.jsonl"
        assert in_child(lambda out=out: work(out), kill_at=place)[0] == -signal.SIGKILL
        assert not out.exists() or out.read_bytes() == wanted[0], place
        resumed += (tmp_path / f"{place}.jsonl.partial" / "state.json").exists()
        assert run(Inputs([str(folder)]), out) == wanted, place
        assert sorted(os.listdir(tmp_path)) == sorted({"whole.jsonl", out.name}), place
        out.unlink()
    assert resumed > len(places) // 2


def test_killed_twice_with_processes(tmp_path):
    """The real command, its workers included; none of them stays behind."""
    inputs = corpus(tmp_path / "in", 800)
    wanted = run(inputs, tmp_path / "wanted.jsonl")
    script = tmp_path / "work.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from llm_from_scratch.data.curation import pipeline, sharing\n"
        "from llm_from_scratch.data.curation.choosing import choose\n"
        "from llm_from_scratch.data.curation.reading import Inputs\n"
        "if __name__ == '__main__':\n"
        "    pipeline._COMMIT_SECONDS, pipeline._SMALL, sharing._BATCH = 0.0, 0, 5_000\n"
        "    rules = choose('light', including=['gopher', 'personal'],\n"
        "                   settings=['gopher.least_words=20', 'near.ngram=2'])\n"
        "    pipeline.clean(Inputs([sys.argv[1]]), sys.argv[2], rules, workers=2)\n",
        encoding="utf-8",
    )
    out = tmp_path / "out.jsonl"
    state = tmp_path / "out.jsonl.partial" / "state.json"
    for _ in range(2):
        child = start(str(script), str(tmp_path / "in"), str(out), start_new_session=True)
        before = state.stat().st_mtime_ns if state.exists() else 0
        while child.poll() is None and not (state.exists() and state.stat().st_mtime_ns > before):
            time.sleep(0.005)
        assert child.poll() is None, "it ended before it could be killed"
        child.kill()  # the parent alone: its workers have to notice
        child.wait()
        deadline = time.monotonic() + 30
        while _members(child.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _members(child.pid)
    assert run(inputs, out) == wanted


def start(*words, **options):
    """A Python of its own that finds this package."""
    where = os.pathsep.join([str(Path(llm_from_scratch.__file__).parents[1]), *sys.path])
    return subprocess.Popen([sys.executable, *words], env={**os.environ, "PYTHONPATH": where}, **options)


def _members(group):
    try:
        os.killpg(group, 0)
        return True
    except ProcessLookupError:
        return False


def stopped(folder, out, monkeypatch, at=40):
    """A cleaning that was interrupted after some documents."""
    monkeypatch.setattr(pipeline, "_COMMIT_SECONDS", 0.0)
    seen = []

    def interrupt(size):
        seen.append(size)
        if len(seen) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean(Inputs([str(folder)]), out, RULES, progress=interrupt)
    return out.with_name(out.name + ".partial")


def test_what_changed_meanwhile_is_named(tmp_path, monkeypatch):
    corpus(tmp_path / "in")
    out = tmp_path / "out.jsonl"
    partial = stopped(tmp_path / "in", out, monkeypatch)
    inputs = Inputs([str(tmp_path / "in")])
    other = choose("light", including=["gopher", "personal"], settings=["gopher.least_words=21", "near.ngram=2"])
    with pytest.raises(ValueError, match=r"a stopped cleaning with other rules or settings \(gopher\): .*--restart"):
        clean(inputs, out, other)
    with pytest.raises(ValueError, match="a stopped cleaning with split document, now line"):
        clean(Inputs([str(tmp_path / "in")], split="line"), out, RULES)
    with open(tmp_path / "in" / "z.txt", "a", encoding="utf-8") as file:
        file.write(" more")
    with pytest.raises(ValueError, match=r"other files than there are now \(.*z\.txt\)"):
        clean(Inputs([str(tmp_path / "in")]), out, RULES)
    assert partial.exists() and not out.exists()
    changed = run(Inputs([str(tmp_path / "in")]), out, restart=True)
    assert changed == run(Inputs([str(tmp_path / "in")]), tmp_path / "fresh.jsonl")


@pytest.mark.parametrize("what", ["state", "number", "written", "shorter", "gone"])
def test_damage_is_noticed(tmp_path, monkeypatch, what):
    corpus(tmp_path / "in")
    out = tmp_path / "out.jsonl"
    partial = stopped(tmp_path / "in", out, monkeypatch)
    state, written = partial / "state.json", partial / "out.jsonl"
    content = written.read_bytes()
    if what == "state":
        state.write_text(state.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    elif what == "number":
        state.write_text(state.read_text(encoding="utf-8").replace('"read": 3', '"read": 4', 1), encoding="utf-8")
    elif what == "written":
        written.write_bytes(content[:50] + b"x" + content[51:])
    elif what == "shorter":
        written.write_bytes(content[:-10])
    else:
        written.unlink()
    with pytest.raises(ValueError, match="(damaged|not what was written there|shorter than it was): .*--restart"):
        clean(Inputs([str(tmp_path / "in")]), out, RULES)


def test_what_was_written_after_the_commit_does_not_count(tmp_path, monkeypatch, reference):
    out = tmp_path / "out.jsonl"
    partial = stopped(reference[0], out, monkeypatch)
    with open(partial / "out.jsonl", "ab") as file:
        file.write(b'{"text": "half a li')
    assert run(Inputs([str(reference[0])]), out) == reference[1]


def test_one_writer_at_a_time(tmp_path):
    inputs = corpus(tmp_path / "in")
    program = (
        "import time\nfrom llm_from_scratch.files.lock import sole_writer\n"
        f"with sole_writer({str(tmp_path / 'out.jsonl.partial')!r}): print('in', flush=True); time.sleep(60)"
    )
    holder = start("-c", program, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        with pytest.raises(Locked, match=f"is being written by process {holder.pid}"):
            clean(inputs, tmp_path / "out.jsonl", RULES)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert run(inputs, tmp_path / "out.jsonl")[0]


# ------------------------------------------------------------------------------------------------ nothing left


def test_a_corpus_filtered_away_names_the_rule_and_how_to_loosen_it(tmp_path):
    inputs = corpus(tmp_path / "in")
    out = tmp_path / "out.jsonl"
    out.write_text("what was there", encoding="utf-8")
    strict = choose("light", including=["gopher"], settings=["gopher.least_words=500"])
    told = []
    with pytest.raises(NothingLeft) as error:
        clean(inputs, out, strict, report=told.append)
    message = str(error.value)
    assert "the rule gopher removed" in message and "fewer than 500" in message and "--without gopher" in message
    assert "--set gopher.NAME=VALUE; now least_words=500" in message
    assert "(and 1 not JSON, 1 binary could not be read)" in message
    assert out.read_text(encoding="utf-8") == "what was there" and sorted(os.listdir(tmp_path)) == ["in", "out.jsonl"]
    assert told[0]["documents"]["kept"] == 0 and told[0]["rules"]["gopher"]["examples"]["removed"]


def test_nothing_that_can_be_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.bin").write_bytes(b"\0")
    (tmp_path / "in" / "b.jsonl").write_text('{"text": \n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"nothing that could be read.*1 binary \(such as .*a\.bin.*1 not JSON"):
        clean(Inputs([str(tmp_path / "in")]), tmp_path / "out.jsonl", RULES)
    (tmp_path / "blank.txt").write_text(" \n\n", encoding="utf-8")
    with pytest.raises(ValueError, match="there is no text in"):
        clean(Inputs([str(tmp_path / "blank.txt")]), tmp_path / "out.jsonl", RULES)
    assert sorted(os.listdir(tmp_path)) == ["blank.txt", "in"]


def test_strict_stops_at_the_first(tmp_path):
    inputs = corpus(tmp_path / "in")
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 11: not JSON"):
        clean(inputs, tmp_path / "out.jsonl", RULES, strict=True)
    assert os.listdir(tmp_path) == ["in"]


def test_strict_stops_at_what_was_skipped_before(tmp_path, monkeypatch):
    corpus(tmp_path / "in")
    stopped(tmp_path / "in", tmp_path / "out.jsonl", monkeypatch)  # behind the line that is none
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 11: not JSON"):
        clean(Inputs([str(tmp_path / "in")]), tmp_path / "out.jsonl", RULES, strict=True)


def test_output_that_would_be_read_again(tmp_path):
    inputs = corpus(tmp_path / "in")
    for out in (tmp_path / "in" / "out.jsonl", tmp_path / "in" / "a" / "out.jsonl"):
        with pytest.raises(ValueError, match="is read as a part of"):
            clean(inputs, out, RULES)
    rows = tmp_path / "in" / "rows.jsonl"
    os.symlink(rows, tmp_path / "link.jsonl")
    with pytest.raises(ValueError, match="is read as a part of"):
        clean(Inputs([str(rows)]), tmp_path / "link.jsonl", RULES)
    with pytest.raises(ValueError, match="is a directory"):
        clean(inputs, tmp_path, RULES)
    for name in ("out.jsonl.gz", "out.txt", "out.parquet", "out.json"):
        with pytest.raises(ValueError, match=rf"{name}: .*let its name end in .jsonl"):
            clean(inputs, tmp_path / name, RULES)
    for workers in (0, True, 1.5):
        with pytest.raises(ValueError, match="workers is a number of processes"):
            clean(inputs, tmp_path / "out.jsonl", RULES, workers=workers)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_what_is_no_file_is_not_written_over(tmp_path):
    inputs = corpus(tmp_path / "in")
    os.mkfifo(tmp_path / "pipe")  # as /dev/null and other devices, which a move would have replaced by a file
    with pytest.raises(ValueError, match=r"pipe is neither a file nor a folder: name the file to write"):
        clean(inputs, tmp_path / "pipe", RULES)
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_where_the_unfinished_work_stands_is_left_alone(tmp_path):
    corpus(tmp_path / "in")
    rows = tmp_path / "out.jsonl.partial"
    rows.write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"out\.jsonl\.partial is a file.*write to another name, or move it away"):
        clean(Inputs([str(rows)]), tmp_path / "out.jsonl", RULES)
    assert sorted(os.listdir(tmp_path)) == ["in", "out.jsonl.partial"]
