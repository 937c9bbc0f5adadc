"""The page of a cleaning: what was left after each rule, how documents were spread, and what each rule took.

One file without a script, that follows light and dark and any width. What stands in it of the documents is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from html import escape
from typing import Any

from .drawing import histogram, middle
from .wording import counted, share, summary, typed

_AT_ONCE = 2  # examples of a rule that are seen without asking
_AXES = {
    "words": ("Length", "words in a document (each step of ten in six)"),
    "characters per word": ("Words", "characters in a word, on average"),
    "words per line": ("Lines", "words in a line, on average"),
    "compression": ("Repetition", "times smaller when compressed: more is more of the same"),
}
_STYLE = """
:root { --page: #fff; --text: #222; --faint: #666; --line: #ddd; --card: #f6f6f4; --kept: #0072B2; --gone: #D55E00;
  --before: #c4c4c0; --out: #fbe3d2; --in: #d8ecdf; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --page: #17191c; --text: #dedede; --faint: #9a9a9a; --line: #3a3d42;
  --card: #202327; --kept: #56B4E9; --gone: #E8833A; --before: #5b6067; --out: #5a3017; --in: #1c4433; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 62rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 1rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p { margin: .4rem 0; max-width: 46rem; } .faint, .label { color: var(--faint); font-size: .85rem; }
.big { display: flex; flex-wrap: wrap; gap: .6rem 2.4rem; }
.big b { display: block; font-size: 1.7rem; line-height: 1.2; }
.step { margin: .55rem 0; } .step > div:first-child { display: flex; justify-content: space-between; gap: 1rem; }
.bar { display: flex; height: 15px; border-radius: 3px; overflow: hidden; background: var(--card); }
.bar.thin { height: 4px; margin-top: 2px; } .bar i { background: var(--kept); } .bar i.gone { background: var(--gone); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .8em; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr)); gap: 1.2rem; }
figure { margin: 0; } figcaption { font-size: .85rem; color: var(--faint); }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font: 11px system-ui, sans-serif; }
.before { fill: var(--before); } .after { fill: var(--kept); }
.axis { stroke: var(--faint); } .top { stroke: var(--line); stroke-dasharray: 2 3; }
details { border-top: 1px solid var(--line); padding: .5rem 0; } summary { cursor: pointer; }
summary b { margin-right: .6em; }
code { background: var(--card); padding: 0 .25em; border-radius: 3px; font-size: .85em; }
.card { background: var(--card); border-radius: 6px; padding: .6rem .8rem; margin: .6rem 0; font-size: .9rem; }
.card pre { margin: .3rem 0 0; white-space: pre-wrap; font: .85rem/1.45 ui-monospace, monospace; }
mark { background: var(--out); color: inherit; } ins { background: var(--in); text-decoration: none; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { padding: .25rem .5rem .25rem 0; text-align: left; border-top: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; }
"""


def page(report: Mapping[str, Any]) -> str:
    """The HTML of what `report.complete` made."""
    documents, characters = report["documents"], report["characters"]
    names = ", ".join(report["inputs"])
    parts = [
        f"<h1>{_e(names)}, cleaned</h1>",
        '<div class="big">',
        _big(documents["kept"], documents["read"], "documents"),
        _big(characters["kept"], characters["read"], "characters"),
        "</div>",
        f"<p>{_e(summary(report))}</p>",
        "<h2>What each rule left</h2>",
        '<p class="faint"><span class="key" style="background:var(--kept);margin-left:0"></span>documents left'
        '<span class="key" style="background:var(--gone)"></span>removed by this rule; the thin bar: characters</p>',
        *_funnel(report),
        "<h2>Before and after</h2>",
        '<p class="faint"><span class="key" style="background:var(--before);margin-left:0"></span>documents before'
        '<span class="key" style="background:var(--kept)"></span>those that are left, as they are now</p>',
        '<div class="panels">',
        *(_panel(name, report["histograms"][name]) for name in _AXES),
        "</div>",
        "<h2>What each rule did</h2>",
        *(_rule(rule) for rule in report["rules"]),
        *_languages(report["languages"]),
        *_sources(report["sources"]),
        *_skipped(report["skipped"]),
        '<p class="faint">The same numbers for programs: <a href="report.json">report.json</a></p>',
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_e(names)}, cleaned</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _big(kept: int, read: int, what: str) -> str:
    return f"<div><b>{share(kept, read)}</b>of the {what} kept: {kept:,} of {read:,}</div>"


def _funnel(report: Mapping[str, Any]) -> list[str]:
    documents, characters = report["documents"]["read"], report["characters"]["read"]
    left, letters = documents, characters
    lines = [_step("read", "", left, documents, 0, letters, characters)]
    for rule in report["rules"]:
        left -= rule["removed"]
        letters += rule["added_characters"] - rule["removed_characters"]
        did = [f"− {rule['removed']:,}"] * bool(rule["removed"]) + [f"{rule['changed']:,} changed"] * bool(
            rule["changed"]
        )
        lines.append(_step(rule["name"], ", ".join(did), left, documents, rule["removed"], letters, characters))
    return lines


def _step(name: str, did: str, left: int, documents: int, gone: int, letters: int, characters: int) -> str:
    def width(part: float, whole: float) -> str:
        return f"{100 * max(0, part) / max(1, whole):.2f}%"

    return (
        f'<div class="step"><div><span><b>{_e(name)}</b> <span class="label">{_e(did)}</span></span>'
        f'<span>{left:,} <span class="label">{share(left, documents)}</span></span></div>'
        f'<div class="bar"><i style="width:{width(left, documents)}"></i>'
        f'<i class="gone" style="width:{width(gone, documents)}"></i></div>'
        f'<div class="bar thin"><i style="width:{width(min(letters, characters), characters)}"></i></div></div>'
    )


def _panel(name: str, counts: Mapping[str, Any]) -> str:
    title, axis = _AXES[name]
    edges, before, after = counts["edges"], counts["before"], counts["after"]
    told = f"The middle document: {middle(edges, before)} before, {middle(edges, after)} after"
    picture = histogram(name, edges, before, after, axis)
    return f"<figure><b>{title}</b>{picture}<figcaption>{_e(told)}</figcaption></figure>"


def _rule(rule: Mapping[str, Any]) -> str:
    settings = " ".join(f"<code>{_e(f'{name}={typed(value)}')}</code>" for name, value in rule["settings"].items())
    did = f"removed {rule['removed']:,} of {rule['seen']:,}" if rule["seen"] else "nothing came to it"
    if rule["changed"]:
        did += f", changed {rule['changed']:,} ({rule['added_characters']:+,} characters)"
    parts = [f"<summary><b>{_e(rule['name'])}</b><span class=label>{did}</span></summary>"]
    parts.append(f"<p>{_e(rule['does'])}. {settings}</p>")
    reasons = sorted(rule["reasons"].items(), key=lambda item: -item[1]["count"])[:12]
    if reasons:
        rows = "".join(
            f'<tr><td>{_e(reason)}</td><td class="n">{entry["count"]:,}</td></tr>' for reason, entry in reasons
        )
        parts.append(f"<table>{rows}</table>")
    for cards in ([_removed(one) for one in rule["examples"]["removed"]],
                  [_changed(one) for one in rule["examples"]["changed"]]):  # fmt: skip
        parts += cards[:_AT_ONCE]
        if cards[_AT_ONCE:]:
            parts.append(f"<details><summary class=label>more examples</summary>{''.join(cards[_AT_ONCE:])}</details>")
    return f"<details{' open' if rule['removed'] or rule['changed'] else ''}>{''.join(parts)}</details>"


def _removed(example: Mapping[str, str]) -> str:
    shown, text = example["shown"], example["beginning"]
    begin = text.find(shown) if shown else -1
    if "earlier" in example:
        body = f"<i>earlier:</i> {_t(example['earlier'])}</pre><pre><i>removed:</i> {_t(text)}"
    elif begin >= 0:
        body = f"{_t(text[:begin])}<mark>{_t(shown)}</mark>{_t(text[begin + len(shown) :])}"
    else:
        body = (f"<mark>{_t(shown)}</mark></pre><pre>" if shown else "") + _t(text)
    return _card("removed", example["place"], f": {_e(example['reason'])}", body)


def _changed(example: Mapping[str, str]) -> str:
    before, after = example["before"], example["after"]
    old = new = ""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    alike = matcher.ratio() > 0.4  # of a page and its text, letters that happen to agree say nothing
    for kind, a, b, c, d in matcher.get_opcodes() if alike else [("equal", 0, len(before), 0, len(after))]:
        if kind == "equal":
            old, new = old + _t(before[a:b]), new + _t(after[c:d])
        else:  # line ends among what differs are made visible
            old += f"<mark>{_t(before[a:b]).replace(chr(10), '⏎' + chr(10))}</mark>" * (a < b)
            new += f"<ins>{_t(after[c:d]).replace(chr(10), '⏎' + chr(10))}</ins>" * (c < d)
    return _card("changed", example["place"], "", f"{old}</pre><pre>{new or '(nothing)'}")


def _card(what: str, place: str, reason: str, body: str) -> str:
    return f'<div class="card"><b>{what}</b>{reason} <span class="label">{_e(place)}</span><pre>{body}</pre></div>'


def _languages(languages: Mapping[str, Any]) -> list[str]:
    """Bars of the sample, the most frequent first."""
    if not languages:
        return []
    total = sum(entry["read"] for entry in languages.values())
    lines = [
        "<h2>Languages</h2>",
        f'<p class="faint">of a sample of {counted(total, "document")}: kept and removed</p>',
    ]
    for code, entry in sorted(languages.items(), key=lambda item: (-item[1]["read"], item[0])):
        kept, gone = (f"{100 * part / total:.2f}%" for part in (entry["kept"], entry["read"] - entry["kept"]))
        lines.append(
            f'<div class="step"><div><b>{_e(code)}</b><span>{entry["read"]:,} <span class="label">'
            f"{share(entry['read'], total)}</span></span></div>"
            f'<div class="bar"><i style="width:{kept}"></i><i class="gone" style="width:{gone}"></i></div></div>'
        )
    return lines


def _sources(sources: Mapping[str, Any]) -> list[str]:
    rows = [
        f'<tr><td>{_e(name)}</td><td class="n">{entry["read"]:,}</td><td class="n">{entry["kept"]:,}</td>'
        f'<td class="n">{share(entry["characters_kept"], entry["characters"]) if entry["characters"] else ""}</td>'
        f'<td class="n">{entry["skipped"] or ""}</td></tr>'
        for name, entry in sources.items()
    ]
    head = _head("read", "kept", "characters kept", "skipped")
    return ["<h2>Where it came from</h2>", f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"]


def _skipped(skipped: Mapping[str, Any]) -> list[str]:
    if not skipped:
        return []
    rows = [
        f"<tr><td>{_e(reason)}</td><td>{'<br>'.join(_e(': '.join(one.values())) for one in entry['examples'])}</td>"
        f'<td class="n">{entry["count"]:,}</td><td class="n">{entry["bytes"]:,}</td></tr>'
        for reason, entry in skipped.items()
    ]
    return [
        "<h2>What could not be read</h2>",
        f"<table><tr><th></th><th></th>{_head('times', 'bytes')}</tr>{''.join(rows)}</table>",
    ]


def _head(*names: str) -> str:
    return "".join(f'<th class="n">{name}</th>' for name in names)


def _e(text: object) -> str:
    return escape(str(text))


def _t(text: str) -> str:
    """A piece of a document: what is not printable shows as a dot."""
    return escape("".join(letter if letter.isprintable() or letter in "\n\t" else "·" for letter in text))
