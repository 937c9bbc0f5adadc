"""What was measured, as text: case by case, the table of goals, and the README's section as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .goals import GOALS, Goal, judged
from .growth_tables import growth_markdown
from .quantities import duration, mebibytes

BEGIN, END = "<!-- made by bench --markdown -->", "<!-- end of what it made -->"
FIGURES = {
    "speed": "speed",
    "cost": "time, of that without",
    "memory": "peak memory",
    "growth": "memory, of T = 4096 / 1024",
    "logits": "memory, in logits",
    "bandwidth": "share of read bandwidth",
    "seconds": "time",
}


def table(result: Mapping[str, Any]) -> str:
    """One case as lines of text: time with spread, rate, memory, and how many times as fast as the peer ours is."""
    contenders = result["contenders"]
    ours = next(iter(contenders.values()))
    threads = result.get("threads")
    lines = [result["title"] + (f" ({_threads(threads)})" if threads else "")]
    for name, numbers in contenders.items():
        if "absent" in numbers:
            lines.append(f"  {name:18} left out ({numbers['absent']})")
            continue
        line = f"  {name:18} {_times(numbers)}"
        if "rate" in numbers:
            line += f"  {numbers['rate']:,.1f} {result['unit']}"
        if numbers.get("peak"):
            line += f"  peak {mebibytes(numbers['peak'])} (work: {numbers['growth'] / 2**20:,.0f})"
        if numbers is not ours and "median" in ours:
            line += f"  ours is {numbers['median'] / ours['median']:.2f} x as fast"
        lines.append(line)
    for name, numbers in result.get("beside", {}).items():
        if "absent" in numbers:
            continue
        share = f"  {numbers['median'] / ours['median']:.0%} of ours" if "median" in ours else ""
        lines.append(f"  - {name}: {_times(numbers)}{share}")
    return "\n".join(lines)


def goals_table(measured: Mapping[str, Any]) -> str:
    """The table of goals: ours, the peer's, the ratio with its spread, what must be reached, and whether it is."""
    rows: list[Sequence[str]] = [
        ("work", "threads", "what", "ours", "peer", "theirs", "ratio", "must", "aim", "reached")
    ]
    rows += [_row(verdict) for verdict in measured["goals"]]
    if len(rows) == 1:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["", *("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)]
    lines += [f"not reached: {line}" for line in _told(measured["goals"], False)]
    lines += [f"not measured: {line}" for line in _told(measured["goals"], None)]
    reached, missed, absent = (sum(v["reached"] is state for v in measured["goals"]) for state in (True, False, None))
    lines.append(f"{reached} reached, {missed} not reached, {absent} not measured; {on_what(measured)}")
    return "\n".join(lines)


def on_what(measured: Mapping[str, Any]) -> str:
    """The machine and what its libraries used, in one line."""
    machine = measured["machine"]
    parts = [f"{machine['processor']}, {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GiB"]
    parts += [f"as {measured['kind']}"] if measured["kind"] else []
    used: dict[str, str] = {}
    for result in measured["cases"].values():
        for numbers in (*result["contenders"].values(), *result["beside"].values()):
            used |= numbers.get("kind", {})
    return "; ".join([*parts, *(f"{library}: {what}" for library, what in used.items())])


def markdown(runs: Iterable[Mapping[str, Any]], goals: tuple[Goal, ...] = GOALS) -> str:
    """The README's section on speed, a table for each processor and kind that it played, from the numbers of runs.

    Runs of one such are parts of one table; a case that was measured twice counts as it was the last time. A run of
    `bench --growth` is a table of its own, at the end.

    ValueError for a file that is not what `bench --json` writes.
    """
    runs = list(runs)
    grown = [run for run in runs if isinstance(run, Mapping) and "growth" in run]
    sections = []
    for measured in _joined([run for run in runs if run not in grown], goals):
        lines = [
            f"**{_heading(measured)}** ({on_what(measured)}; {measured['rounds']} rounds, medians):",
            "",
            "| work | threads | ours | peer | ratio | must reach | reached |",
            "|---|---|---|---|---|---|---|",
        ]
        above = None
        for verdict in measured["goals"]:
            work, threads, what, ours, peer, theirs, ratio, must, _, reached = _row(verdict)
            if verdict["figure"] != "speed":
                work = f"… {what}" if work == above else f"{work}, {what}"
            above = verdict["work"]
            lines.append(
                f"| {work} | {threads} | {ours} | {f'{peer} {theirs}'.strip()} | {ratio} | {must} | {reached} |"
            )
        if missed := _told(measured["goals"], False):
            lines += ["", "What is not reached, with its bound and what its time is made of:", ""]
            lines += [f"* {line}" for line in missed]
        sections.append("\n".join(lines))
    sections += [growth_markdown(run) for run in grown]
    return "\n\n".join(sections)


def between(page: str, text: str) -> str:
    """The page with `text` in place of what stands between its two marks; ValueError for a page without them.

    >>> print(between(f"a {BEGIN} old {END} b", "new").replace(BEGIN, "(").replace(END, ")").split())
    ['a', '(', 'new', ')', 'b']
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(END) < page.index(BEGIN):
        raise ValueError(f"the page needs {BEGIN} and, after it, {END}, each once")
    return page[: page.index(BEGIN)] + f"{BEGIN}\n\n{text}\n\n{END}" + page[page.index(END) + len(END) :]


def _joined(runs: Iterable[Mapping[str, Any]], goals: tuple[Goal, ...]) -> list[dict[str, Any]]:
    """One run for each processor and kind that it played, judged anew."""
    kinds: dict[Any, dict[str, Any]] = {}
    for measured in runs:
        if not isinstance(measured, Mapping) or not {"goals", "cases", "machine"} <= measured.keys():
            raise ValueError("these are not the numbers of a run: bench --all --json FILE writes them")
        kind = measured["machine"]["processor"], measured["kind"]
        before = kinds.get(kind, {"cases": {}, "rounds": []})
        rounds = [*before["rounds"], measured["rounds"]]
        kinds[kind] = {**measured, "cases": {**before["cases"], **measured["cases"]}, "rounds": rounds}
    for joined in kinds.values():
        joined["goals"] = judged(joined["cases"], goals)
        joined["rounds"] = " to ".join(map(str, sorted({min(joined["rounds"]), max(joined["rounds"])})))
    return list(kinds.values())


def _heading(measured: Mapping[str, Any]) -> str:
    machine = measured["machine"]["processor"]
    return f"{machine} run as {measured['kind'].upper()}" if measured["kind"] else f"{machine} as it is"


def _row(verdict: Mapping[str, Any]) -> Sequence[str]:
    sign = "≥" if verdict["figure"] in ("speed", "bandwidth") else "≤"
    ratio = spread = ""
    if "value" in verdict:
        unit = {"seconds": " s", "speed": " x", "cost": " x"}.get(verdict["figure"], "")
        ratio = f"{verdict['value']:.2f}{unit}"
        if "low" in verdict:
            spread = f" ({verdict['low']:.2f}–{verdict['high']:.2f})"
    return (
        verdict["work"],
        str(verdict["threads"]),
        FIGURES[verdict["figure"]],
        _quantity(verdict, "ours"),
        verdict["peer"],
        _quantity(verdict, "theirs"),
        ratio + spread,
        f"{sign} {verdict['must']:g}",
        f"{verdict['aim']:g}" if verdict["aim"] is not None else "",
        {True: "yes", False: "no", None: "not measured"}[verdict["reached"]],
    )


def _quantity(verdict: Mapping[str, Any], side: str) -> str:
    if side not in verdict:
        return ""
    if verdict["figure"] in ("memory", "growth", "logits"):
        return mebibytes(verdict[side])
    return duration(verdict[side])


def _told(goals: Iterable[Mapping[str, Any]], state: bool | None) -> list[str]:
    """A line for each case with goals in that state: which, and what is known of each, nothing twice."""
    lines: dict[str, list[str]] = {}
    for verdict in goals:
        if verdict["reached"] is state:
            said = lines.setdefault(verdict["case"], [f"{verdict['work']}, {_threads(verdict['threads'])}"])
            beside = f" beside {verdict['peer']}" if verdict["peer"] else ""
            known = [part for part in verdict["note"].split("; ") if not any(part in line for line in said)]
            said.append(f"{FIGURES[verdict['figure']]}{beside}: {'; '.join(known) or 'nothing more is known'}")
    return [", ".join(said[:2]) + "".join(f". And {line}" for line in said[2:]) for said in lines.values()]


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def _times(numbers: Mapping[str, Any]) -> str:
    median, low, high = (1e3 * numbers[key] for key in ("median", "low", "high"))
    return f"{median:9.2f} ms  ({low:.2f} to {high:.2f})"
