"""What a tokenizer knows about its ids: their bytes, the text they make, their names and roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .added_tokens import AddedTokens
from .byte_level import to_bytes, to_characters
from .checks import check_ids


class Vocabulary:
    """Ids to text, and looking tokens up. `Tokenizer` adds the way from text to ids."""

    roles: dict[str, str]
    _ids: dict[bytes, int]

    def _finish(self, everything: Mapping[int, bytes], size: int, added: AddedTokens) -> None:
        """What every kind has: the bytes of each id, and the added tokens."""
        if not everything or min(everything) < 0:
            raise ValueError("a tokenizer needs tokens with ids from 0 on")
        self._bytes: list[bytes | None] = [None] * max(size, max(everything) + 1)
        for number, token in everything.items():
            self._bytes[number] = token
        self.added_tokens = added

    # --- Ids to text ------------------------------------------------------------------------------------------

    def decode_bytes(self, ids: Iterable[int] | np.ndarray, *, skip_special_tokens: bool = False) -> bytes:
        """The bytes of the tokens. ids: a sequence or a 1-D array of integers; anything else is an error."""
        return self._spell(check_ids(ids, len(self._bytes)), skip_special_tokens, True)[0]

    def _spell(self, numbers: list[int], skip: bool, beginning: bool) -> tuple[bytes, bool]:
        """The bytes of checked ids; beginning: nothing came before them (a kind may begin a text differently)."""
        if skip:
            special = set(self.added_tokens.special.values())
            numbers = [number for number in numbers if number not in special]
        try:
            return b"".join([self._bytes[number] for number in numbers]), False  # type: ignore[misc]
        except TypeError:
            hole = next(number for number in numbers if self._bytes[number] is None)
            raise ValueError(f"id {hole} is a gap: this vocabulary has no token with that id") from None

    def _error_handler(self, errors: str) -> str:
        return errors

    def decode(
        self, ids: Iterable[int] | np.ndarray, errors: str = "replace", *, skip_special_tokens: bool = False
    ) -> str:
        r"""The text of the tokens. Bytes that are not UTF-8 become "\ufffd", or as `errors` says (see bytes.decode).

        >>> from llm_from_scratch.tokenizers import Tokenizer
        >>> tokenizer = Tokenizer.train("a", vocab_size=256)
        >>> tokenizer.decode(tokenizer.encode("né")[:2])
        'n\ufffd'
        """
        data = self.decode_bytes(ids, skip_special_tokens=skip_special_tokens)
        return data.decode("utf-8", self._error_handler(errors))

    # --- Looking things up ------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """One more than the greatest id: the rows that an embedding needs."""
        return len(self._bytes)

    def __len__(self) -> int:
        return self.vocab_size

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special tokens and their ids."""
        return self.added_tokens.special

    def id_to_bytes(self, id: int) -> bytes:
        """The bytes of one token."""
        return self.decode_bytes([id])

    def id_to_token(self, id: int) -> str:
        """One token as it stands in `tokenizer.json`: in the byte-level alphabet, or an added token as it is."""
        token = self.id_to_bytes(id)
        added = self.added_tokens.by_id.get(int(id))
        return added.content if added is not None else to_characters(token)

    def token_to_id(self, token: str | bytes) -> int | None:
        """The id of a token, or None: bytes as they are, a str as `id_to_token` writes it ("Ġthe", "<|endoftext|>")."""
        if isinstance(token, bytes):
            return self._ids.get(token)
        if token in self.added_tokens.by_content:
            return self.added_tokens.by_content[token].id
        spelt = to_bytes(token)
        return None if spelt is None else self._ids.get(spelt)

    @property
    def vocabulary(self) -> dict[bytes, int]:
        """Ordinary tokens and their ids (a copy)."""
        return dict(self._ids)

    def byte_lengths(self) -> np.ndarray:
        """How many bytes each token stands for, (vocab_size,) int32, special tokens 0: for bits per byte."""
        special = set(self.added_tokens.special.values())
        lengths = [0 if n in special else len(token or b"") for n, token in enumerate(self._bytes)]
        return np.array(lengths, np.int32)

    @property
    def bos_id(self) -> int | None:
        """The id of the token for the beginning of a text, or None."""
        return self._role("bos")

    @property
    def eos_id(self) -> int | None:
        """The id of the token for the end of a text, or None."""
        return self._role("eos")

    @property
    def pad_id(self) -> int | None:
        """The id of the padding token, or None."""
        return self._role("pad")

    def _one_id(self, id: int) -> int:
        return check_ids([id], len(self._bytes))[0]

    def _role(self, role: str) -> int | None:
        token = self.roles.get(role)
        return None if token is None else self.added_tokens.by_content[token].id
