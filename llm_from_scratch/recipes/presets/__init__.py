"""The year's recipes at small scale, a file each: what was particular to them, on models that fit at home."""

from __future__ import annotations

from . import (
    alpaca,
    capybara,
    dolly,
    guanaco,
    guanaco_qlora,
    hermes,
    koala,
    llama_2_chat,
    openbuddy_zephyr,
    openchat,
    openhermes,
    orca,
    orca_2,
    starling,
    steerlm,
    ultralm,
    vicuna,
    zephyr,
)
from .preset import Preset

__all__ = ["PRESETS", "Preset", "find_preset"]

_FILES = (
    alpaca, vicuna, guanaco, koala, dolly, guanaco_qlora, ultralm, orca, hermes, llama_2_chat, steerlm, openchat,
    capybara, openhermes, zephyr, openbuddy_zephyr, orca_2, starling,
)  # fmt: skip
PRESETS: dict[str, Preset] = {module.PRESET.name: module.PRESET for module in _FILES}


def find_preset(name: str) -> Preset:
    """The preset of this name; ValueError with those that there are."""
    if name not in PRESETS:
        raise ValueError(f"there is no recipe {name!r}; the recipes are {', '.join(PRESETS)}")
    return PRESETS[name]
