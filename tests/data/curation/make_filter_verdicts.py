"""Writes fixtures/filter_verdicts.json: what datatrove's filters say of documents made to stand at the rules' borders.

Run with datatrove installed: python tests/data/curation/make_filter_verdicts.py. Its words are made ours (what stands
between white space), since the papers do not say what a word is; the number of sentences is not asked of it.
"""

import json
from importlib import metadata
from pathlib import Path

PROSE = "the river rose in that long night and nobody had come to see how far the water would have gone"  # 20 words


def many(count: int, of: str = PROSE) -> str:
    found = of.split()
    return " ".join(found[i % len(found)] for i in range(count))


def lines(count: int, special: int, form: str) -> str:
    """`count` lines of 10 words, `special` of them in the form given."""
    plain = [f"line {i} tells that the water is to be of depth" for i in range(count)]
    return "\n".join(form.format(line) if i < special else line for i, line in enumerate(plain))


def unlike(count: int, of: int = 4) -> list[str]:
    """Different words, all with `of` characters."""
    return [f"{i:0{of}d}".translate(str.maketrans("0123456789", "abcdefghij")) for i in range(count)]


GOPHER = {
    **{f"{n} words": many(n) for n in (0, 1, 49, 50, 51)},
    "100000 words": many(100_000),
    "100001 words": many(100_001),
    **{f"{length} characters": many(10) + " " + " ".join(["x" * length] * 90) for length in (2, 3, 4, 10, 11)},
    "mean of 3": " ".join(["of", "that"] * 50),
    "mean under 3": " ".join(["of", "that"] * 50) + " of",
    "mean of 10": " ".join(["x" * 17, "the"] * 30),
    "mean over 10": " ".join(["x" * 17, "the"] * 30) + " " + "x" * 11,
    **{f"{n} hashes": many(100) + "#" * n for n in (9, 10, 11)},
    **{f"{n} ellipses": many(100) + " x" + "... a" * n for n in (5, 11, 14)},
    **{f"{n} of 20 bullets": lines(20, n, "- {}") for n in (17, 18, 19, 20)},
    **{f"{n} of 20 round bullets": lines(20, n, "  • {}") for n in (18, 19)},
    **{f"{n} of 20 end in ellipsis": lines(20, n, "{}...") for n in (5, 6, 7)},
    **{f"{n} of 20 end in one sign": lines(20, n, "{}…") for n in (6, 7)},
    **{f"{n} of 100 without letters": many(100 - n) + " 12345" * n for n in (19, 20, 21)},
    **{f"{n} stop words": " ".join([*["river"] * 60, *["the", "be", "to"][:n]]) for n in (0, 1, 2, 3)},
    "one stop word often": " ".join(["river", "the"] * 40),
    "capital stop words": " ".join(["river"] * 60 + ["The", "OF"]),
    "blank lines": lines(20, 19, "- {}").replace("\n", "\n\n"),
}  # fmt: skip
REPETITION = {
    "nothing": "\n".join(unlike(30)),
    **{f"{n} of 20 lines": "\n".join([*unlike(20 - n), *["aaaa"] * n]) for n in (5, 6, 7)},
    **{f"{n} of 20 short lines": "\n".join([*unlike(20 - n, 30), *["aaa"] * n]) for n in (6, 7, 8)},
    **{f"{n} of 10 paragraphs": "\n\n".join([*unlike(10 - n), *["aaaa"] * n]) for n in (2, 3, 4)},
    "long repeated line": "\n".join([*unlike(10), "x" * 30, "x" * 30]),
    "long repeated paragraph": "\n\n".join([*unlike(10), "x" * 30, "x" * 30]),
    **{
        f"a pair {n} times": " ".join(
            ["long word " + " ".join(unlike(200)[9 * i : 9 * i + 5]) for i in range(n)] + unlike(60, 6)
        )
        for n in (2, 6, 20)
    },
    "a run of 5 twice": " ".join([*unlike(20), *unlike(5), *unlike(25)[20:]]),
    "a run of 12 twice in 200": " ".join([*unlike(200), *unlike(12)]),
    "a run of 40 twice in 200": " ".join([*unlike(200), *unlike(40)]),
    "all twice": " ".join(unlike(100) * 2),
    "one word": " ".join(["word"] * 100),
}  # fmt: skip
S = "The river rose in the night"
C4 = {
    "four words": "The river rose fast.\nThe river rose very fast.",
    "ends": "\n".join(S + end for end in (".", "?", "!", '"', "", ",", ";", "...", "…", "”", "'", ")")),
    "javascript": f"{S}.\nPlease enable JavaScript to see it.\n{S}!",
    "policy": f"{S}.\nRead our Privacy Policy before you go on.\n{S}!",
    "citations": f"{S}[1].\n{S}[citation needed].\n{S}[edit].\n{S}. [2]",
    "long word": f"{S}.\n{S} {'x' * 1000}.\n{S} {'x' * 1001}.",
    "brace": f"{S} {{.\n{S}.",
    "brace in a line that goes": f"if x {{\n{S}.",
    "filler": f"{S} of Lorem Ipsum.\n{S}.",
    "filler in a line that goes": f"Lorem ipsum\n{S}.",
    "space": f"  {S}.  \n\n\t{S}!\r\n{S}?",
    "nothing": "",
}


def verdict(filter_, document):
    text = document.text
    try:
        said = filter_.filter(document)
    except (ZeroDivisionError, ValueError, IndexError) as error:
        return {"error": type(error).__name__}
    if said is True:
        return {"text": document.text} if document.text != text else {}
    return {"removed": said[1]}


def main() -> None:
    from datatrove.data import Document  # here: the tests take the documents from this file without it
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        gopher_quality_filter,
        gopher_repetition_filter,
    )

    gopher_quality_filter.split_into_words = lambda text, language: text.split()
    gopher_repetition_filter.split_into_words = lambda text, language: text.split()
    rules = {
        "gopher": (GopherQualityFilter(), GOPHER),
        "repetition": (GopherRepetitionFilter(), REPETITION),
        "c4": (C4QualityFilter(min_num_sentences=-1, min_words_per_line=5), C4),
    }
    frozen = {"made by": f"make_filter_verdicts.py, datatrove {metadata.version('datatrove')}"}
    for name, (filter_, documents) in rules.items():
        frozen[name] = {label: verdict(filter_, Document(text=text, id="0")) for label, text in documents.items()}
    out = Path(__file__).parent / "fixtures" / "filter_verdicts.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(frozen, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
