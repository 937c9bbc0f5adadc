"""A context and what follows it as tokens, and which tokens are the continuation's.

Both are encoded as *one* text, as a model would read it, because the tokens of a whole are not those of its parts:
"the cat" + "s" is one word. Then each token is asked where in the text it ends: the ones that reach past the border
are scored, also one that begins in the context. (Cutting after as many tokens as the context has alone scores the wrong
tokens wherever the two encodings differ.) What begins a text stands in front, so that its first word can be scored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..data.encoding import find_template
from ..tokenizers import Tokenizer
from ..tokenizers.chat_template import ChatTemplate, written_by_template
from ..tokenizers.ends import begin_ids
from ..tokenizers.places import encode_with_places
from .items import Context


class Split(NamedTuple):
    """ids (T,): begin, context and continuation; scored (T,) bool: the tokens that reach past the border."""

    ids: np.ndarray
    scored: np.ndarray
    begin: int = 0  # how many of the first ids begin the text

    @property
    def first(self) -> int:
        """The place of the first token that is scored."""
        return int(self.scored.argmax())


def split(
    tokenizer: Tokenizer,
    context: Context,
    continuation: str,
    *,
    begin: list[int] | None = None,
    template: ChatTemplate | str | None = None,
) -> Split:
    """Encode context + continuation as one text. No token is scored where the tokenizer drops the continuation.

    context: a text, in which special tokens are plain text, or messages, which `template` renders (default: the
    tokenizer's own). begin: what stands before a text (`begin_ids`); a chat template writes its own.

    >>> tokenizer = Tokenizer.train("cats cats", 259)                     # knows "cats" as one token
    >>> made = split(tokenizer, "cats cat", "s")
    >>> [tokenizer.decode([i]) for i in made.ids], made.scored.tolist()   # "cats" reaches past the border
    (['cats', ' ', 'cats'], [False, False, True])
    """
    if isinstance(context, str):
        rendered, own, before = context, lambda start, end: False, begin_ids(tokenizer) if begin is None else begin
    else:
        rendered = find_template(tokenizer, template).rendered(context, add_generation_prompt=True)
        own, before = written_by_template(rendered), []
    border = len(rendered)
    ids, _, ends = encode_with_places(
        tokenizer, str(rendered) + continuation, lambda start, end: end <= border and own(start, end)
    )
    front = np.array(before, np.int64)
    scored = np.concatenate([np.zeros(len(front), bool), ends > border])
    return Split(np.concatenate([front, ids]), scored, len(front))
