"""Rules in a row, as a text meets them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from .outcome import Treatment
from .quality import QualityClassifier
from .remembering import Exact, Memory, Near

EXTRACTION = "html"
"""The rule that makes text of HTML, and sees nothing else."""


@dataclasses.dataclass(frozen=True)
class Chain:
    """Rules in the order in which they are applied; those that remember other texts come after the others.

    languages: whether to find out in which languages the texts are, of a sample of them.
    """

    rules: tuple[Any, ...]
    languages: bool = False

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"each rule once, got {', '.join(self.names)}")
        if [rule for rule in self.rules[len(self.rules) - len(self.remembering) :]] != self.remembering:
            raise ValueError("rules that remember other texts come after the others")

    @property
    def names(self) -> list[str]:
        """The names of the rules."""
        return [rule.name for rule in self.rules]

    @property
    def remembering(self) -> list[Any]:
        """The rules that compare a text with others."""
        return [rule for rule in self.rules if isinstance(rule, (Exact, Near))]

    def rule(self, name: str) -> Any:
        """The rule of a name; KeyError if it is not in the chain."""
        return dict(zip(self.names, self.rules))[name]

    def memory(self) -> Memory:
        """What the rules that remember will remember: nothing yet."""
        return Memory(self.remembering)

    def treatment(self) -> Treatment:
        """What applies the rules that look at a text by itself."""
        alone = {rule.name: rule for rule in self.rules if rule not in self.remembering}
        extraction = alone.pop(EXTRACTION, None)
        return Treatment(list(alone.values()), extraction, self.remembering, languages=self.languages)

    def identity(self) -> dict[str, dict[str, Any]]:
        """Each rule with its settings."""
        return {rule.name: settings_of(rule) for rule in self.rules}


def settings_of(rule: Any) -> dict[str, Any]:
    """The settings of a rule by name, as JSON has them."""
    return {field.name: plain(getattr(rule, field.name)) for field in dataclasses.fields(rule) if field.init}


def plain(value: Any) -> Any:
    """A setting as JSON has it; of a classifier, or of many texts, a digest."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, QualityClassifier):
        return f"{len(value.weights):,} weights, {hashlib.sha256(value.weights.tobytes()).hexdigest()[:16]}"
    if isinstance(value, dict):
        return f"{len(value):,} texts, {hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]}"
    return value
