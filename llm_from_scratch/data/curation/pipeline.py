"""Cleans a corpus that may be larger than memory, shared out among processes, and goes on where it was stopped.

While it runs, everything stands in the directory `OUT.partial`: what is written so far, and a state that says how much
of it counts, where reading stands and what was counted. OUT itself appears whole, when all is done. What the rules that
remember other texts remember is what was kept, so it is read back from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from array import array
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from ...files.atomic import remove_leftovers, write_json
from ...files.lock import sole_writer
from ...files.strict_json import read_json_object
from .chain import Chain
from .outcome import Outcome, clipped
from .reading import START, Inputs
from .records import Cursor
from .sharing import Sharing
from .tally import Tally
from .wording import changed_identity, nothing_left, unreadable

_COMMIT_SECONDS = 5.0
_SMALL = 4_000_000  # bytes for which more processes are not worth starting


class NothingLeft(ValueError):
    """The rules removed every document; `numbers` has what they removed and why."""

    def __init__(self, message: str, numbers: dict[str, Any]) -> None:
        super().__init__(message)
        self.numbers = numbers


def clean(
    inputs: Inputs,
    out: str | os.PathLike[str],
    chain: Chain,
    *,
    workers: int = 1,
    strict: bool = False,
    restart: bool = False,
    progress: Callable[[int], object] = lambda size: None,
    report: Callable[[dict[str, Any]], object] = lambda numbers: None,
) -> dict[str, Any]:
    """Write what the rules leave of the inputs to `out`, JSON lines with a `text`; return the numbers (`Tally`).

    workers: processes, which change nothing about the result. strict: the first document that cannot be read is an
    error, instead of skipped and counted. restart: begin afresh, whatever an earlier call left behind. progress: called
    with the bytes read since the last call; report: with the numbers, before `out` appears.

    A call that was killed is continued by the same call, to the same bytes. ValueError when something of it is not the
    same, when there is not one document, when none is left (`NothingLeft`; then there is no `out`), and when another
    process writes there.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers is a number of processes, at least 1, got {workers!r}")
    out = place_to_write(Path(out), inputs)
    if out.suffix not in ("", ".jsonl"):  # by its name it would be read as text, braces and all
        raise ValueError(f"{out}: what is written is JSON lines, so let its name end in .jsonl")
    partial = out.with_name(out.name + ".partial")
    if partial.is_file():
        raise ValueError(
            f"{partial} is a file, where a directory of unfinished work would stand: "
            "write to another name, or move it away"
        )
    try:
        with sole_writer(partial):
            run = _Run(inputs, out, partial, chain, restart)
            if not run.finished:
                few = inputs.size is not None and inputs.size < _SMALL
                run.work(1 if few else workers, strict, progress)
            return run.finish(report)
    finally:
        with suppress(OSError):  # not empty: there is something to go on with, or somebody else has begun
            partial.rmdir()


def place_to_write(out: Path, inputs: Inputs) -> Path:
    """Where to write: no directory and no device, and not where is read; ValueError."""
    out = Path(os.path.realpath(out))
    if out.is_dir():
        raise ValueError(f"{out} is a directory: name the file to write, such as {out / 'clean.jsonl'}")
    if out.exists() and not out.is_file():  # a device or a pipe: the finished file would take its place
        raise ValueError(f"{out} is neither a file nor a folder: name the file to write, such as clean.jsonl")
    for name in inputs.names:
        source = Path(os.path.realpath(name))
        if source == out or source in out.parents and source.is_dir():
            raise ValueError(f"{out} is read as a part of {name}: write to another place")
    return out


class _Run:
    """One cleaning: what it has read, written and counted."""

    def __init__(self, inputs: Inputs, out: Path, partial: Path, chain: Chain, restart: bool) -> None:
        self.inputs, self.out, self.partial, self.chain = inputs, out, partial, chain
        self.written, self.state = partial / "out.jsonl", partial / "state.json"
        rules = {"rules": chain.identity(), "languages": chain.languages}
        self.identity = json.loads(json.dumps({**inputs.identity(), **rules}))
        self.cursor: Cursor = START
        self.size, self.digest = 0, hashlib.sha256()
        self.tally = Tally(chain.names)
        self.lines = array("q")  # where each kept document begins in what is written
        self.memory = chain.memory()
        self.treatment = chain.treatment()
        self.finished = False
        self.resumed = False
        remove_leftovers(partial)
        if restart:
            self.state.unlink(missing_ok=True)
        if self.state.exists():
            self._resume()

    def work(self, workers: int, strict: bool, progress: Callable[[int], object]) -> None:
        """Read, clean and write what is left to do. A mistake in the input or a rule leaves nothing behind."""
        try:
            for reason, entry in self.tally.numbers["skipped"].items() if strict else ():
                _refuse(entry["examples"][0]["place"], reason, entry["examples"][0]["detail"])
            self._work(workers, strict, progress)
        except ValueError:
            self.written.unlink(missing_ok=True)
            self.state.unlink(missing_ok=True)
            raise

    def _work(self, workers: int, strict: bool, progress: Callable[[int], object]) -> None:
        with (
            open(self.written, "r+b" if self.resumed else "wb") as file,
            closing(Sharing(self.chain, workers)) as apply,
        ):
            if self.resumed:
                file.truncate(self.size)
                self._remember(apply)
                progress(self.tally.numbers["bytes_read"])
            file.seek(self.size)
            committed = time.monotonic()
            for outcome in apply(self.inputs.read(self.cursor)):
                if strict and outcome.skipped is not None:
                    _refuse(outcome.place, *outcome.skipped)
                self._take(outcome, file)
                progress(outcome.size)
                if time.monotonic() - committed >= _COMMIT_SECONDS:
                    self._commit(file)
                    committed = time.monotonic()
            self.finished = True
            self._commit(file)

    def finish(self, report: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Report, and move what was written into place, unless there is nothing; the numbers."""
        numbers = self.tally.numbers
        if numbers["documents"]["read"]:
            report(numbers)
        if numbers["documents"]["kept"]:
            if self.written.exists():
                os.replace(self.written, self.out)
        self.written.unlink(missing_ok=True)
        self.state.unlink()
        if not numbers["documents"]["read"]:
            raise ValueError(unreadable(self.inputs.names, numbers))
        if not numbers["documents"]["kept"]:
            raise NothingLeft(nothing_left(numbers, self.chain.identity()), numbers)
        return numbers

    def _take(self, outcome: Outcome, file: Any) -> None:
        """Count one outcome, and write it if it is no duplicate."""
        self.cursor = outcome.cursor
        if outcome.line:
            number = len(self.lines)
            for name, earlier in self.memory.place(number, outcome.keys):
                outcome.passed.append(name)
                if earlier is not None:
                    self._repeats(outcome, name, earlier, file)
            if outcome.removed is None:
                self.lines.append(self.size)
                file.write(outcome.line)
                self.size += len(outcome.line)
                self.digest.update(outcome.line)
        self.tally.add(outcome)

    def _repeats(self, outcome: Outcome, name: str, earlier: int, file: Any) -> None:
        outcome.removed = (name, self.chain.rule(name).reason)
        order = self.treatment.wanted(name, "removed", outcome.place)
        if order is not None:
            file.flush()
            with open(self.written, "rb") as written:
                written.seek(self.lines[earlier])
                text = json.loads(written.readline())["text"]
            reason = f"{outcome.removed[1]} (number {earlier + 1:,} of those kept)"
            shown = {"place": outcome.place, "reason": reason, "shown": "", "beginning": outcome.beginning}
            outcome.examples.append((name, "removed", order, {**shown, "earlier": clipped(text)}))

    def _commit(self, file: Any) -> None:
        file.flush()
        os.fsync(file.fileno())
        state = {
            "version": 1, "finished": self.finished, "cursor": self.cursor, "size": self.size,
            "sha256": self.digest.hexdigest(), "identity": self.identity, "numbers": self.tally.numbers,
        }  # fmt: skip
        write_json(self.state, {"state": state, "sha256": _digest(state)})

    def _resume(self) -> None:
        again = f"to begin afresh, add --restart (or remove {self.partial})"
        try:
            content = read_json_object(self.state)
            state = content["state"]
            if content["sha256"] != _digest(state) or state["version"] != 1:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.state} is damaged: {again}") from None
        for key, value in self.identity.items():
            if state["identity"].get(key) != value:
                what = changed_identity(key, state["identity"].get(key), value)
                raise ValueError(f"{self.partial} holds a stopped cleaning with {what}: go on with that, or, {again}")
        self.cursor, self.size, self.finished = tuple(state["cursor"]), state["size"], state["finished"]
        self.tally = Tally(self.chain.names, state["numbers"])
        # Finished, and killed between the move and the removal of the state.
        moved = self.finished and not self.written.exists()
        where = self.out if moved and state["numbers"]["documents"]["kept"] else self.written
        if not moved or where == self.out:
            self._check(where, state["sha256"], again)
        self.resumed = True

    def _check(self, path: Path, wanted: str, again: str) -> None:
        """Read what was written up to the commit; its digest, and where its lines begin."""
        left = self.size
        if not path.exists() or path.stat().st_size < left:
            raise ValueError(f"{path} is shorter than it was: {again}")
        with open(path, "rb") as file:
            while left:
                line = file.readline(left)
                self.lines.append(self.size - left)
                self.digest.update(line)
                left -= len(line)
        if self.digest.hexdigest() != wanted:
            raise ValueError(f"{path} is not what was written there: {again}")

    def _remember(self, apply: Sharing) -> None:
        """Give the memory what was kept before."""
        if not self.chain.remembering:
            return
        with open(self.written, "rb") as file:
            for number, keys in enumerate(apply.keys(iter(lambda: file.readline(), b""))):
                for _ in self.memory.place(number, keys):
                    pass


def _refuse(place: str, reason: str, detail: str) -> None:
    raise ValueError(f"{place}: {reason}: {detail} (without --strict it is skipped)")


def _digest(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
