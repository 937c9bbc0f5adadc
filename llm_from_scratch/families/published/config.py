"""Reading a published config.json: one checked value at a time, in the spelling of 2023 or the current one.

`Config` answers a family's questions ("a positive integer, please") and complains by the option's name. Whatever was
neither asked for nor known to be harmless is refused: an option that changes the computation must not be overlooked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

Value = TypeVar("Value")

# What keeps books and changes no logits, by rule: patterns for whole keys. What a family asks for comes first.
_BOOKS = re.compile(
    "|".join(
        (
            "_.*",  # private to whatever program wrote the file
            ".*_token_id",  # which token has which role: see `token_ids` for those that end or begin a text
            "transformers.*|unsloth.*|summary_.*|num_labels|id2label|label2id|problem_type|finetuning_task|license",
            "architectures|auto_map|model_type|custom_pipelines|tokenizer_class|prefix|task_specific_params|language",
            # How the transformers library computes, remembers and returns, whatever the model.
            "(torch_)?dtype|torchscript|use_bfloat16|use_cache|gradient_checkpointing|pretraining_tp|tf_legacy_loss",
            "(use_)?return_dict|output_(hidden_states|attentions|past|router_logits)|(use_)?flash_att(n|ention)(_2)?",
            "attn_implementation|is_decoder|is_llama_config|tie_encoder_decoder|n_special|predict_special_tokens",
            "max_sequence_length|model_max_length",
            # How tokens are chosen (GenerationConfig of the same library): older configs hold such defaults.
            "(max|min)_(length|new_tokens|time|p)|do_sample|early_stopping|num_(beams|beam_groups|return_sequences)",
            "temperature|top_[hkp]|typical_p|(epsilon|eta)_cutoff|penalty_alpha|(length|(encoder_)?repetition)_penalty",
            "diversity_penalty|exponential_decay_length_penalty|(encoder_)?no_repeat_ngram_size|guidance_scale",
            "(bad|force)_words_ids|(begin_)?suppress_tokens|forced_decoder_ids|stop_strings|sequence_bias|constraints",
            "remove_invalid_values|renormalize_logits|return_dict_in_generate|output_(scores|logits)|low_memory",
            "cache_(config|implementation)|watermarking_config|(num_)?assistant_.*|prompt_lookup_num_tokens",
        )
    )
)
# Must be absent or have one of these values: anything else is another model.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "is_encoder_decoder": (None, False),
    "add_cross_attention": (None, False),
    "cross_attention_hidden_size": (None,),
    "chunk_size_feed_forward": (None, 0),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
}
TOKEN_KEYS = ("bos_token_id", "eos_token_id")  # what begins and ends a text
LARGEST = 2**31 - 1


def keeps_books(key: str) -> bool:
    """Whether a config key changes no logits whatever the family, by rule: how to compute, to generate, to file."""
    return _BOOKS.fullmatch(key) is not None


def token_ids(key: str, value: Any) -> tuple[int, ...]:
    """The ids that a config gives under `key`: null, an id, or a list of ids. TypeError for anything else.

    >>> token_ids("eos_token_id", [2, 7]), token_ids("eos_token_id", 2), token_ids("eos_token_id", None)
    ((2, 7), (2,), ())
    """
    ids = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    if any(isinstance(id, bool) or not isinstance(id, (int, np.integer)) for id in ids):
        raise TypeError(f"{key} must be a token id, a list of token ids or null, not {value!r}")
    return tuple(map(int, ids))


def current_to_2023(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with `dtype` and `rope_parameters` respelled as `torch_dtype`, `rope_theta` and `rope_scaling`.

    ValueError when both spellings are there and contradict each other.

    >>> current_to_2023({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}})
    {'rope_theta': 10000.0, 'rope_scaling': {'type': 'linear', 'factor': 2.0}}
    """
    old = {key: value for key, value in config.items() if key not in ("dtype", "rope_parameters")}
    new: dict[str, Any] = {}
    if config.get("dtype") is not None:
        new["torch_dtype"] = config["dtype"]
    rope = config.get("rope_parameters")
    if rope is not None:
        if not isinstance(rope, Mapping) or any(isinstance(value, Mapping) for value in rope.values()):
            raise ValueError(f"rope_parameters {rope!r}: one set of parameters for all layers was expected")
        rest = dict(rope)
        new |= {key: rest.pop(key) for key in ("rope_theta", "partial_rotary_factor") if key in rest}
        kind = rest.pop("rope_type", "default")
        new["rope_scaling"] = None if kind == "default" and not rest else {"type": kind, **rest}
    for key, value in new.items():
        if old.get(key) is not None and old[key] != value:
            raise ValueError(f"the config says {key} twice, as {old[key]!r} and, in the new spelling, as {value!r}")
    return {**old, **new}


class Config:
    """Checked access to a config of one family; `values` are the published keys, defaults filled in.

    Every question raises ValueError (TypeError for a wrong type) that names the option, what was expected, what came.

    >>> config = Config({"heads": 4, "width": 6.5}, "toy")
    >>> config.size("heads")
    4
    >>> config.size("width")
    Traceback (most recent call last):
    TypeError: toy config: width must be a positive integer, not 6.5
    """

    def __init__(self, values: Mapping[str, Any], family: str) -> None:
        self.values = dict(values)
        self.family = family
        self._asked: set[str] = set()
        for name, allowed in NEUTRAL.items():
            if name in self.values:
                self.only(name, *allowed)
        for name in TOKEN_KEYS:
            try:
                token_ids(name, self.values.get(name))
            except TypeError as error:
                raise self.error(str(error), TypeError) from None

    def error(self, problem: str, kind: type[Exception] = ValueError) -> Exception:
        """An error that says whose config it is."""
        return kind(f"{self.family} config: {problem}")

    def get(self, name: str) -> Any:
        """The raw value, or None."""
        self._asked.add(name)
        return self.values.get(name)

    def size(self, name: str, *, most: int = LARGEST) -> int:
        """A positive integer."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise self.error(f"{name} must be a positive integer, not {value!r}", TypeError)
        if not 1 <= value <= most:
            raise self.error(f"{name} must lie in 1..{most}, not {value}")
        return int(value)

    def size_or(self, name: str, default: int) -> int:
        """A positive integer, or `default` where the config says null or nothing."""
        return default if self.get(name) is None else self.size(name)

    def number(
        self, name: str, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
    ) -> float:
        """A finite number with above < number < below and least <= number."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise self.error(f"{name} must be a number, not {value!r}", TypeError)
        # Compared as it is: an integer of a hundred digits is larger than any float.
        if not (-1e300 < value < 1e300 and above < value < below and least <= value):
            limits = [f"above {above}"] * (above > -math.inf) + [f"at least {least}"] * (least > -math.inf)
            limits += [f"below {below}"] * (below < math.inf)
            raise self.error(f"{name} must be a finite number{' ' if limits else ''}{', '.join(limits)}, not {value}")
        return float(value)

    def flag(self, name: str) -> bool:
        """true or false."""
        value = self.get(name)
        if not isinstance(value, (bool, np.bool_)):
            raise self.error(f"{name} must be true or false, not {value!r}", TypeError)
        return bool(value)

    def choice(self, name: str, options: Mapping[str, Value]) -> Value:
        """What `options` has under the config's word."""
        value = self.get(name)
        if not isinstance(value, str) or value not in options:
            raise self.error(f"{name} {value!r} is not supported; supported: {', '.join(options)}")
        return options[value]

    def only(self, name: str, *allowed: Any) -> None:
        """The option may have one of these values, or be absent; then it counts as the first of them."""
        self._asked.add(name)
        value = self.values.setdefault(name, allowed[0])
        if not any(value is a or (type(value) is type(a) and value == a) for a in allowed):
            words = ", ".join("null" if a is None else repr(a) for a in allowed)
            raise self.error(f"{name} {value!r} is not supported; supported: {words}")

    def ignore(self, *names: str) -> None:
        """Options that this family knows and that do not change what is computed here."""
        self._asked.update(names)

    def divides(self, part: str, small: int, whole: str, large: int) -> None:
        """ValueError unless `large` is a multiple of `small`."""
        if large % small:
            raise self.error(f"{whole} {large} is not a multiple of {part} {small}")

    def rotary(
        self, base_key: str = "rope_theta", supported: tuple[str, ...] = ("linear", "default")
    ) -> tuple[float, float]:
        """(base, factor) of rotary positions: rope_theta, and the factor of rope_scaling (1 without)."""
        base = self.number(base_key, above=0.0)
        scaling = self.get("rope_scaling")
        if scaling is None:
            return base, 1.0
        if not isinstance(scaling, Mapping):
            raise self.error(f"rope_scaling must be an object or null, not {scaling!r}", TypeError)
        kinds = {str(scaling[key]) for key in ("type", "rope_type") if scaling.get(key) is not None}
        if len(kinds) != 1 or not kinds <= set(supported):
            types = ", ".join(supported)
            raise self.error(f"rope_scaling {dict(scaling)!r} is not supported; supported types: {types}")
        inner = Config({"rope_theta": base, **scaling}, f"{self.family} config: rope_scaling of the")
        inner.ignore("type", "rope_type")
        if inner.number("rope_theta") != base:
            raise self.error(f"rope_theta is {base} but rope_scaling has {scaling['rope_theta']}")
        factor = 1.0
        if kinds != {"default"}:
            factor = inner.number("factor", least=1.0)
        inner.finish()
        return base, factor

    def finish(self) -> None:
        """Refuse whatever was neither asked for nor known to be harmless (null and false switch nothing on)."""
        unknown = [
            name
            for name, value in self.values.items()
            if name not in self._asked and not keeps_books(name) and value is not None and value is not False
        ]
        if unknown:
            name = unknown[0]
            known = sorted(self._asked - NEUTRAL.keys())
            raise self.error(
                f"the option {name} = {self.values[name]!r} is not known here, and a model that ignored it might be "
                f"silently wrong. Known: {', '.join(known)}. If it does not change what is computed, remove it"
            )
