"""A picture of how texts are cut into tokens: a row of boxes for each tokenizer, one box a token."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

# Neighbours must differ, nothing more: four tints that also differ in grey.
_TINTS = ("#cfe3f1", "#fbe3d2", "#e6f3ec", "#f3dfe9")


def readable_token(token: bytes | str) -> str:
    r"""A token as one can see it: spaces as "·", line ends as "↵", bytes that are no whole character in hexadecimal.

    >>> [readable_token(token) for token in (b" fox", "é".encode(), "é".encode()[:1], "▁fox", "<0xC3>", b".\n")]
    ['·fox', 'é', 'C3', '▁fox', 'C3', '.↵']
    """
    if isinstance(token, bytes):
        try:
            text = token.decode("utf-8")
        except UnicodeDecodeError:
            return token.hex().upper()
    else:
        text = token
    text = re.sub(r"\A<0x([0-9A-F]{2})>\Z", r"\1", text)  # SentencePiece's name of a byte
    return text.replace(" ", "·").replace("\n", "↵")


def draw_tokens(rows: Mapping[str, Sequence[bytes | str]], *, title: str = "", note: str = "tokens") -> None:
    """Draw one row of boxes for each name; the number of tokens stands at the right.

    Only characters that matplotlib's own font has can be drawn: Latin, Greek, Cyrillic, most signs; no CJK, no emoji.
    """
    longest = max(sum(max(1, len(readable_token(token))) for token in tokens) for tokens in rows.values())
    figure, axes = plt.subplots(figsize=(10, 0.35 + 0.42 * len(rows)))
    margin = 0.012 * longest  # about the width of a letter of the names
    for row, (name, tokens) in enumerate(rows.items()):
        at = 0.0
        axes.text(-margin, row, name, ha="right", va="center", fontsize=9)
        for number, token in enumerate(tokens):
            shown = readable_token(token)
            width = max(1, len(shown))
            box = Rectangle((at, row - 0.36), width, 0.72, fc=_TINTS[number % len(_TINTS)], ec="#666666", lw=0.6)
            axes.add_patch(box)
            axes.text(at + width / 2, row, shown, ha="center", va="center", fontsize=8, family="monospace")
            at += width
        axes.text(longest + margin, row, f"{len(tokens)} {note}", va="center", fontsize=9)
    left, right = margin * (2 + max(map(len, rows))), margin * (5 + len(note))
    axes.set(xlim=(-left, longest + right), ylim=(len(rows) - 0.5, -0.5))
    axes.set_title(title, x=left / (left + longest + right))
    axes.axis("off")
    plt.show()
