"""The other kinds of `Tokenizer`, by name: they differ in what their constructors take, and in nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import pipeline, sentencepiece
from .added_tokens import AddedToken
from .pieces import Piece
from .tokenizer import Tokenizer


class SentencePieceTokenizer(Tokenizer):
    """BPE over pieces, made by `Tokenizer.from_pretrained` or `Tokenizer.train(..., kind="sentencepiece")`.

    pieces:        by id; a string with nothing (Kind.UNUSED) where the vocabulary has a gap
    merges:        (m, 3) ids (left, right, result), oldest first, from a file that lists pairs; None: the scores decide
    added_tokens:  special tokens and others beside the pieces; control and user-defined pieces are added by themselves
    settings:      see `sentencepiece.parts`

    >>> tokenizer = Tokenizer.train("low lower lowest", 300, kind="sentencepiece")
    >>> ids = tokenizer.encode("lower, low")
    >>> [tokenizer.id_to_token(id) for id in ids]
    ['▁lower', '<0x2C>', '▁low']
    >>> tokenizer.decode(ids)
    'lower, low'
    """

    kind = "sentencepiece"

    def __init__(
        self,
        pieces: Sequence[Piece],
        merges: np.ndarray | None = None,
        added_tokens: Sequence[AddedToken] = (),
        **settings: Any,
    ):
        self._compose(sentencepiece.parts(pieces, merges, added_tokens, **settings))

    @property
    def pieces(self) -> list[Piece]:
        """The pieces by id."""
        return self.parts.encoder.pieces  # type: ignore[attr-defined]


class PipelineTokenizer(Tokenizer):
    """What a `tokenizer.json` spells out step by step (see `pipeline.parts`), made by `Tokenizer.from_pretrained`."""

    kind = "pipeline"

    def __init__(self, *arguments: Any, **settings: Any):
        self._compose(pipeline.parts(*arguments, **settings))
