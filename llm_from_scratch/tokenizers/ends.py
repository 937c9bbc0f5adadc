"""What begins and ends a text: which special token has which role, and what is put around a text.

A model's own files say by ids what ends a text (`Decoder.end_tokens`). Fine-tuned chat models often end their turns
with a token that those files forget; such tokens have had few names, and generation ends there, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .added_tokens import AddedTokens
from .vocabulary import Vocabulary

ROLES = ("bos", "eos", "pad", "unk")
_USUAL = {
    "bos": ("<s>", "<|begin_of_text|>", "<|startoftext|>"),
    "eos": ("<|endoftext|>", "</s>", "<|end_of_text|>"),
    "pad": ("<pad>", "<|pad|>", "[PAD]"),
    "unk": ("<unk>",),
}
TURN_ENDS = frozenset(
    "</s> <eos> <EOT> _<EOT> <|endoftext|> <|end_of_text|> <|eot_id|> <|eom_id|> <|im_end|> <|end|> <end_of_turn> "
    "<end_of_utterance> <|return|> <|call|> <｜end▁of▁sentence｜>".split()
)
"""Names of tokens that end a text or a turn wherever they occur (the llama.cpp library's habit with GGUF files)."""


def end_ids(tokenizer: Any) -> tuple[int, ...]:
    """The ids that end a text: the tokenizer's token for the end, and added tokens whose names say so.

    >>> from llm_from_scratch.tokenizers import Tokenizer
    >>> end_ids(Tokenizer.train("a", 260, special_tokens=["<s>", "<|im_end|>", "<|im_start|>", "</s>"]))
    (3, 1)
    """
    named = [token.id for text, token in tokenizer.added_tokens.by_content.items() if text in TURN_ENDS]
    return tuple(dict.fromkeys([*([] if tokenizer.eos_id is None else [tokenizer.eos_id]), *named]))


def begin_ids(tokenizer: Any) -> list[int]:
    """What stands before a text: what the tokenizer's file asks for or, if it asks for nothing, the begin token.

    >>> from llm_from_scratch.tokenizers import Tokenizer
    >>> begin_ids(Tokenizer.train("a", 260, special_tokens=["<s>"])), begin_ids(Tokenizer.train("a", 256))
    ([0], [])
    """
    ends = tokenizer.parts.ends
    if ends.before or tokenizer.bos_id is None or _has_template(tokenizer.post_processor):
        return list(ends.before)
    return [tokenizer.bos_id]


def _has_template(post_processor: Any) -> bool:
    """Whether a tokenizer's file says what stands around a text, be it nothing."""
    if not isinstance(post_processor, Mapping):
        return False
    steps = post_processor.get("processors", ())  # of a Sequence
    return post_processor.get("type") == "TemplateProcessing" or any(map(_has_template, steps))


class Ends:
    """The ends of a text.

    post_processor: the object of that name in `tokenizer.json`; says what goes before and after a text
    roles:          special tokens by role; one that is not in the vocabulary has none
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        post_processor: Mapping[str, Any] | None = None,
        roles: Mapping[str, str] | None = None,
    ):
        added = vocabulary.added.by_content
        self.post_processor = post_processor
        self.before, self.after = template(post_processor, vocabulary.added)
        for number in self.before + self.after:
            if number >= len(vocabulary) or vocabulary.bytes[number] is None:
                raise ValueError(f"post_processor adds the id {number}, for which this vocabulary has no token")
        self.roles = {role: token for role, token in (roles or {}).items() if token in added}
        self.ids = {role: added[token].id for role, token in self.roles.items()}


def roles_among(special: Sequence[str], roles: Mapping[str, str] | None) -> Mapping[str, str]:
    """Which of these tokens have which role: as given, or by their usual names. ValueError for other tokens.

    >>> roles_among(["<|user|>", "</s>"], None)
    {'eos': '</s>'}
    """
    if roles is None:
        roles = {role: next((name for name in names if name in special), "") for role, names in _USUAL.items()}
    for role, token in roles.items():
        if role not in ROLES or (token and token not in special):
            raise ValueError(f"roles maps {list(ROLES)} to special tokens, got {role!r}: {token!r}")
    return {role: token for role, token in roles.items() if token}


def template(post_processor: Any, added: AddedTokens) -> tuple[list[int], list[int]]:
    """The ids that a post-processor puts before and after a text. ValueError names what is not supported."""
    if post_processor is None:
        return [], []
    kind = post_processor.get("type") if isinstance(post_processor, Mapping) else post_processor
    if kind == "ByteLevel":  # concerns offsets only
        return [], []
    if kind == "Sequence":
        steps = post_processor.get("processors")
        if not isinstance(steps, list):
            raise ValueError("post_processor of type Sequence needs a list named 'processors'")
        # After one template the library takes what comes for a pair of texts.
        made = [template(step, added) for step in steps]
        if (
            sum(isinstance(step, Mapping) and step.get("type") in ("TemplateProcessing", "Sequence") for step in steps)
            > 1
        ):
            raise ValueError("post_processor of type Sequence with several templates is not supported")
        return next((sides for sides in made if sides != ([], [])), ([], []))
    if kind != "TemplateProcessing":
        raise ValueError(
            f"post_processor {kind!r:.80} is not supported: expected ByteLevel, TemplateProcessing or Sequence"
        )
    single = post_processor.get("single")
    if not isinstance(single, list) or not all(isinstance(item, Mapping) and len(item) == 1 for item in single):
        raise ValueError("post_processor TemplateProcessing needs a list of objects named 'single'")
    sides: tuple[list[int], list[int]] = ([], [])
    texts = 0
    for item in single:
        ((name, value),) = item.items()
        what = value.get("id") if isinstance(value, Mapping) else None
        if name == "Sequence" and what == "A":
            texts += 1
        elif name == "SpecialToken" and isinstance(what, str):
            sides[min(texts, 1)].extend(_template_ids(what, post_processor, added))
        else:
            raise ValueError(f"post_processor TemplateProcessing: {item!r:.120} is not supported for a single text")
    if texts != 1:
        raise ValueError(
            f"post_processor TemplateProcessing holds the text {texts} times, which is not supported: expected once"
        )
    return sides


def _template_ids(name: str, post_processor: Mapping[str, Any], added: AddedTokens) -> list[int]:
    """The ids of one name in a template: those that the file lists beside it, else the added token's."""
    listed = post_processor.get("special_tokens")
    if listed is None:
        if name not in added.by_content:
            raise ValueError(f"post_processor names {name!r}, which is not an added token")
        return [added.by_content[name].id]
    entry = listed.get(name) if isinstance(listed, Mapping) else None
    ids = entry.get("ids") if isinstance(entry, Mapping) else None
    if not isinstance(ids, list) or not all(type(number) is int and 0 <= number < 1 << 31 for number in ids):
        raise ValueError(f"post_processor names {name!r}, for which its special_tokens list no ids")
    return ids


def template_of(roles: Mapping[str, str], bos: bool, eos: bool) -> dict[str, Any]:
    """What add_special_tokens puts around a text, be it nothing, written as in `tokenizer.json`."""
    single: list[dict[str, Any]] = [{"Sequence": {"id": "A", "type_id": 0}}]
    if bos and roles.get("bos"):
        single.insert(0, {"SpecialToken": {"id": roles["bos"], "type_id": 0}})
    if eos and roles.get("eos"):
        single.append({"SpecialToken": {"id": roles["eos"], "type_id": 0}})
    return {"type": "TemplateProcessing", "single": single}


def template_json(described: Mapping[str, Any] | None, added: AddedTokens) -> dict[str, Any] | None:
    """A template with the ids of its tokens beside it and one for pairs, as the library `tokenizers` wants it."""
    if described is None or described.get("type") != "TemplateProcessing" or "special_tokens" in described:
        return None if described is None else dict(described)
    names = [item["SpecialToken"]["id"] for item in described["single"] if "SpecialToken" in item]
    second = [{kind: {**value, "type_id": 1} for kind, value in item.items()} for item in described["single"]]
    for item in second:
        if "Sequence" in item:
            item["Sequence"]["id"] = "B"
    ids = {name: added.by_content[name].id for name in names}
    return {
        **described,
        "pair": described.get("pair") or [*described["single"], *second],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ids.items()},
    }
