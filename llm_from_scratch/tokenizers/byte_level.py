"""The byte-level alphabet: one printable character for each of the 256 bytes.

GPT-2 wrote its vocabulary as text, so every byte had to look like something. Bytes that are printable characters of
Latin-1 stand for themselves; the other 68 (control characters, the space, the no-break space, the soft hyphen)
borrow the characters from U+0100 on: a space becomes "Ġ", a line end "Ċ". Files hold tokens in this alphabet; in
memory this package works with bytes.
"""

from __future__ import annotations


def _alphabet() -> list[str]:
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    borrowed = iter(range(0x100, 0x100 + 256))
    return [chr(byte) if byte in printable else chr(next(borrowed)) for byte in range(256)]


CHARACTERS: list[str] = _alphabet()
"""The character of each byte: CHARACTERS[32] is "Ġ"."""

BYTES: dict[str, int] = {character: byte for byte, character in enumerate(CHARACTERS)}
"""The byte of each character."""

ALPHABET_ORDER: list[int] = sorted(range(256), key=CHARACTERS.__getitem__)
"""The bytes in the order of their characters: the order of ids that the library `tokenizers` gives them."""

_TO_TEXT = {byte: character for byte, character in enumerate(CHARACTERS)}


def to_characters(data: bytes) -> str:
    r"""Write bytes in the byte-level alphabet.

    >>> to_characters(" é\n".encode())
    'ĠÃ©Ċ'
    """
    return data.decode("latin-1").translate(_TO_TEXT)


def to_bytes(text: str) -> bytes | None:
    """Read bytes from the byte-level alphabet; None when a character is not in it.

    >>> to_bytes("ĠÃ©")
    b' \\xc3\\xa9'
    >>> to_bytes("漢") is None
    True
    """
    try:
        return bytes(map(BYTES.__getitem__, text))
    except KeyError:
        return None
