"""The rules that there are, in the order in which a text meets them, and a chain of them by names and settings.

Cheap rules come first, and those that compare a text with others last, as there are fewest of them then.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from .c4 import C4
from .chain import Chain, plain
from .decontamination import Decontamination
from .evaluation_texts import read_evaluation_texts
from .gopher import GopherQuality
from .html import Html
from .language import Language
from .normalisation import Normalise
from .personal import MaskPersonal
from .quality import Quality
from .refinedweb import RefinedWebLines
from .remembering import Exact, Near
from .repeats import RepeatedLines, RepeatedNgrams
from .repetition import GopherRepetition

RULES: tuple[Any, ...] = (
    Html,
    Normalise,
    Language,
    GopherQuality,
    GopherRepetition,
    RefinedWebLines,
    C4,
    RepeatedLines,
    RepeatedNgrams,
    Quality,
    Decontamination,
    MaskPersonal,
    Exact,
    Near,
)
_ALWAYS = ("html", "normalise", "exact", "near")
# By default nothing is rewritten but addresses and numbers of people: a text is kept as it is or removed. Rules that
# drop lines are made for pages of the web: of verse, whose lines end anywhere, little is left.
PRESETS: dict[str, tuple[str, ...]] = {
    "default": (*_ALWAYS, "gopher", "repetition", "personal"),
    "light": _ALWAYS,
    "c4": (*_ALWAYS, "language", "c4"),
    "gopher": (*_ALWAYS, "language", "gopher", "repetition"),
    "refinedweb": (*_ALWAYS, "language", "gopher", "repetition", "refinedweb"),
}


def choose(
    preset: str = "default",
    *,
    without: Iterable[str] = (),
    including: Iterable[str] = (),
    settings: Sequence[str] = (),
    evaluation: Sequence[str | os.PathLike[str]] = (),
) -> Chain:
    """The chain of a preset, without some rules, with others, and with settings "rule.name=value".

    evaluation: files of texts that are to be met nowhere, which switches decontamination on.

    ValueError, listing what there is, for a rule or setting that there is not, for one of a rule that is off, and for
    values that cannot be; when no rule is left.

    >>> choose(without=["exact"], settings=["near.threshold=0.7"]).identity()["near"]["threshold"]
    0.7
    """
    if preset not in PRESETS:
        raise ValueError(f"there is no preset {preset!r}: expected one of {', '.join(PRESETS)}")
    without, including = set(without), set(including)
    for name in without | including:
        _class(name)
    if without & including:
        raise ValueError(f"{', '.join(sorted(without & including))}: with and without at once")
    wanted = (set(PRESETS[preset]) | including) - without
    values: dict[str, dict[str, Any]] = {}
    if evaluation:
        wanted.add(Decontamination.name)
        values[Decontamination.name] = {"items": read_evaluation_texts(evaluation)}
    for setting in settings:
        name, field, value = _setting(setting)
        if name not in wanted:
            raise ValueError(f"{setting!r}: the rule {name} is off: switch it on (--with {name})")
        values.setdefault(name, {})[field] = value
    if not wanted:
        raise ValueError("no rule is left: there is nothing to do")
    return Chain(tuple(_made(rule, values.get(rule.name, {})) for rule in RULES if rule.name in wanted))


def _class(name: str) -> Any:
    for rule in RULES:
        if rule.name == name:
            return rule
    raise ValueError(f"there is no rule {name!r}: expected one of {', '.join(rule.name for rule in RULES)}")


def _made(rule: Any, values: dict[str, Any]) -> Any:
    missing = [name for name in _needed(rule) if name not in values]
    if missing:
        how = "--evaluation FILE" if rule is Decontamination else f"--set {rule.name}.{missing[0]}=FILE"
        raise ValueError(f"the rule {rule.name} has to be told its {missing[0]}: add {how}")
    try:
        return rule(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the rule {rule.name}: {str(error).removeprefix(f'{rule.name}: ')}") from None


def _needed(rule: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(rule) if field.init and field.default is dataclasses.MISSING]


def _setting(text: str) -> tuple[str, str, Any]:
    left, equals, value = text.partition("=")
    name, dot, setting = left.strip().partition(".")
    if not equals or not dot:
        raise ValueError(f"a setting is written rule.name=value, such as near.threshold=0.7, got {text!r}")
    kinds = typing.get_type_hints(rule := _class(name))
    known = [field.name for field in dataclasses.fields(rule) if field.init and field.name != "items"]
    if setting not in known:
        raise ValueError(f"the rule {name} has no setting {setting!r}: expected one of {', '.join(known) or 'none'}")
    try:
        return name, setting, _value(value.strip(), kinds[setting])
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _value(value: str, kind: Any) -> Any:
    """What was typed as its type says: a number, on or off, several of one kind between commas, else a text."""
    if not value and typing.get_args(kind):
        return ()
    if typing.get_origin(kind) is tuple:
        return tuple(_value(part.strip(), typing.get_args(kind)[0]) for part in value.split(",") if part.strip())
    if kind is bool:
        if value.lower() not in ("on", "true", "yes", "off", "false", "no"):
            raise ValueError("expected on or off")
        return value.lower() in ("on", "true", "yes")
    if kind is int or kind is float:
        try:
            return kind(value)
        except ValueError:
            raise ValueError("expected a whole number" if kind is int else "expected a number") from None
    return value


def listed() -> list[dict[str, Any]]:
    """All rules in order: name, what it does, settings with their defaults, and the presets in which it is on.

    A setting without a default, which has to be given, is None.
    """
    return [
        {
            "name": rule.name,
            "does": rule.does if isinstance(rule.does, str) else (rule.__doc__ or "").split("\n")[0].rstrip("."),
            "settings": {
                field.name: None if field.name in _needed(rule) else plain(field.default)
                for field in dataclasses.fields(rule)
                if field.init
            },
            "presets": [preset for preset, names in PRESETS.items() if rule.name in names],
        }
        for rule in RULES
    ]
