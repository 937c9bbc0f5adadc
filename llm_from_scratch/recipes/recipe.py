"""From text to a model, as a recipe: data, tokenizer, architecture, batches. What the commands are made of.

A `Recipe` is a handful of settings, the same in JSON. Everything made from it is made the same way each time, so a
run's directory can be completed from its recipe alone. What this module does not do: train; that is `loop.train`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoints, families
from ..data.sampler import MODES
from ..data.sources import documents
from ..data.split import TRAIN, VALIDATION, write_splits
from ..data.stages import Stage
from ..data.tales import DELIMITER
from ..data.token_file import TokenFile, open_tokens
from ..files.atomic import write_json
from ..files.digests import DIGESTS, check_digests, write_digests
from ..files.download import find_model
from ..files.strict_json import read_json_object
from ..tokenizers import Tokenizer
from ..training.validation import token_byte_lengths
from .copying import let_attention_copy
from .miniature import miniature
from .mixture import Mixture

# More text teaches a tokenizer nothing that changes its first few thousand merges.
_TOKENIZER_CHARACTERS = 20_000_000
_OFTEN = 1_000  # times that a word of the recipe is read; merges are taken by frequency
PREPARED = "prepared.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")  # the last only of SentencePiece


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What to train on and what to train.

    data: a source as `data.sources.documents` knows it, or a `Mixture` of several. vocabulary: tokens, special ones
    included. tokenizer: the kind that is trained, "byte-level" (with its `pattern`) or "sentencepiece". context: tokens
    a row, at most; batch_size: rows. layers, width, heads: the size of the model; key_value_heads fewer than heads is
    grouped-query attention; feed_forward: width of the hidden layer, by default the family's usual multiple. config:
    further keywords of the family's config.json. sampling: where rows begin, a mode of `data.sampler.BatchSampler`;
    "documents" suits texts about as long as a row. seed: of everything.

    embedding_std: the spread the embedding starts with, if not the published one. Tokens that are used alike, such as
    names, are pulled towards one common vector; from the published 0.02 hardly anything of their difference is left
    soon, and a small model stays for thousands of steps on a plateau where it uses every name for everybody (so does
    PyTorch with the same settings). From 0.2 it learns within minutes to say again the name it has read.

    teacher: path of a model whose distributions are learned in place of the text's next tokens. The tokenizer is then
    the teacher's, and what this recipe says of one (`vocabulary`, `words`, …) has no effect.

    copying: how strongly attention copies before it has learnt anything, if it is to (as published it does not). Each
    output matrix then begins as the transpose of its value matrix, so that a head that looks at a token adds a part of
    this very token to the stream; with tied embeddings that makes it likelier to be said again. What is left to learn
    is where to look, which would otherwise wait for the copying, as the copying waits for it (compare Trockman &
    Kolter 2023, "Mimetic initialization", arXiv:2305.09828).

    evaluate: tasks that are asked at every evaluation (`measuring.Tasks`), evaluate_items of each.

    special_tokens, words: what the tokenizer has beside what the text teaches it, so that a model can be trained on
    afterwards for texts that need them: special tokens (turns of a chat), and words that are one token each, also
    after a space.
    """

    data: str | Mixture = "tales"
    family: str = "llama"
    layers: int = 4
    width: int = 128
    heads: int = 4
    key_value_heads: int | None = None
    feed_forward: int | None = None
    vocabulary: int = 1024
    pattern: str = "gpt2"
    tokenizer: str = "byte-level"
    context: int = 256
    batch_size: int = 16
    sampling: str = "epochs"
    validation_fraction: float = 0.05
    seed: int = 0
    embedding_std: float | None = None
    copying: float | None = None
    special_tokens: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    teacher: str | None = None
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluate: tuple[str, ...] = ()
    evaluate_items: int = 100

    def __post_init__(self) -> None:
        if isinstance(self.data, Mapping):  # as it comes from JSON
            object.__setattr__(self, "data", Mixture(**self.data))
        for name, least in (("layers", 1), ("width", 1), ("heads", 1), ("context", 1), ("batch_size", 1), ("seed", 0),
                            ("vocabulary", 257), ("evaluate_items", 1)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, got {value!r}")
            if value < least:
                why = " (256 bytes and the document separator)" if name == "vocabulary" else ""
                raise ValueError(f"{name} must be at least {least}{why}, got {value}")
        for name in ("data", "family", "pattern", "tokenizer", "sampling"):
            if not isinstance(getattr(self, name), (str, Mixture) if name == "data" else str):
                raise TypeError(f"{name} must be text, got {getattr(self, name)!r}")
        for name in ("key_value_heads", "feed_forward"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, or None; got {value!r}")
        if not isinstance(self.teacher, (str, type(None))):
            raise TypeError(f"teacher must be the name of a model or None, got {self.teacher!r}")
        for name in ("validation_fraction", "embedding_std", "copying"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
                raise TypeError(f"{name} must be a number, got {value!r}")
        for name in ("special_tokens", "words", "evaluate"):  # lists, where they come from JSON
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) and text for text in value):
                raise TypeError(f"{name} must be a list of texts that are not empty, got {value!r}")
            object.__setattr__(self, name, tuple(value))
        if not isinstance(self.config, Mapping):
            raise TypeError(f"config must be keys and values, got {self.config!r}")
        if self.sampling not in MODES:
            raise ValueError(f"sampling must be one of {', '.join(MODES)}; got {self.sampling!r}")
        if self.validation_fraction is None or not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must lie between 0 and 1, got {self.validation_fraction}")
        long = [stage.context for stage in self.stages if stage.context > self.context]
        if long:
            raise ValueError(f"a stage has rows of {long[0]} tokens, the model a context of {self.context}: raise that")
        if self.width % self.heads:
            raise ValueError(f"the width of {self.width} cannot be divided among {self.heads} heads")
        if self.tokenizer not in ("byte-level", "sentencepiece"):
            raise ValueError(f"tokenizer is 'byte-level' or 'sentencepiece', not {self.tokenizer!r}")
        for name in ("embedding_std", "copying"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, got {value}")

    @property
    def sources(self) -> tuple[str, ...]:
        """All that is read."""
        return tuple(self.data.sources) if isinstance(self.data, Mixture) else (self.data,)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of a run that has such."""
        return tuple(self.data.stages) if isinstance(self.data, Mixture) else ()

    def to_json(self) -> dict[str, Any]:
        """A dict for JSON; `from_json` reads it back. It names a teacher, and tasks, only where there are some."""
        lists = {name: list(getattr(self, name)) for name in ("special_tokens", "words", "evaluate")}
        data = self.data.to_json() if isinstance(self.data, Mixture) else self.data
        told = {**dataclasses.asdict(self), **lists, "data": data, "config": dict(self.config)}
        unsaid = {"teacher"} if self.teacher is None else set()
        unsaid |= set() if self.evaluate else {"evaluate", "evaluate_items"}
        return {name: value for name, value in told.items() if name not in unsaid}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        """ValueError for names that a recipe does not have.

        >>> Recipe.from_json(Recipe(layers=2).to_json()) == Recipe(layers=2)
        True
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"a recipe is an object, got {data!r}")
        surplus = sorted(set(data) - {field.name for field in dataclasses.fields(cls)})
        if surplus:
            raise ValueError(f"a recipe has no {', '.join(surplus)}")
        return cls(**data)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A tokenizer, and the text it was made for as two token files. parts: {source: (its part of each)}."""

    tokenizer: Tokenizer
    train: TokenFile
    validation: TokenFile
    parts: Mapping[str, tuple[TokenFile, TokenFile]] = dataclasses.field(default_factory=dict)


def prepare_corpus(recipe: Recipe, folder: str | os.PathLike[str]) -> Corpus:
    """Train the tokenizer, split and encode the text into `folder`; what is there already is used again.

    The files' digests are written last, so that what they vouch for is complete, and checked each time. Raises
    ValueError for a source that does not exist, is not UTF-8 or holds too little text, and for a damaged file.
    """
    folder = Path(folder)
    wanted = _what_is_prepared(recipe)
    if (folder / DIGESTS).exists():
        check_digests(folder, f"remove {folder / DIGESTS}, and the text is prepared again", _prepared_files(recipe))
        if (corpus := _open_corpus(folder, wanted)) is not None:
            return corpus
        (folder / DIGESTS).unlink()
    own = recipe.teacher is None
    tokenizer = _trained_tokenizer(recipe) if own else Tokenizer.from_pretrained(find_model(str(recipe.teacher)))
    texts = {source: documents(source, seed=recipe.seed) for source in recipe.sources}
    fraction = recipe.validation_fraction
    spans = write_splits(texts, tokenizer, folder, fraction=fraction, seed=recipe.seed)
    tokenizer.save(folder)
    write_json(folder / PREPARED, {**wanted, "spans": spans} if isinstance(recipe.data, Mixture) else wanted)
    write_digests(folder, _prepared_files(recipe))
    return prepared_corpus(recipe, folder)


def prepared_corpus(recipe: Recipe, folder: str | os.PathLike[str]) -> Corpus:
    """What `prepare_corpus` has left in `folder`; ValueError, and nothing written, where it is not there undamaged."""
    folder = Path(folder)
    corpus = _open_corpus(folder, _what_is_prepared(recipe)) if (folder / DIGESTS).exists() else None
    if corpus is None:
        raise ValueError(f"{folder} does not hold the prepared text of this run")
    check_digests(folder, "the run cannot be repeated without it", _prepared_files(recipe))
    return corpus


def _what_is_prepared(recipe: Recipe) -> dict[str, Any]:
    settings = ("vocabulary", "pattern", "tokenizer", "special_tokens", "words", "validation_fraction", "seed",
                "teacher")  # fmt: skip
    wanted = {name: value for name, value in recipe.to_json().items() if name in settings}
    # Of a mixture the sources, whatever their shares.
    return {"data": list(recipe.sources) if isinstance(recipe.data, Mixture) else recipe.data, **wanted}


def _open_corpus(folder: Path, wanted: Mapping[str, Any]) -> Corpus | None:
    """What the folder holds, if it was prepared so."""
    prepared = read_json_object(folder / PREPARED)
    spans = prepared.pop("spans", {})
    if prepared != wanted:
        return None
    train, validation = open_tokens(folder / TRAIN), open_tokens(folder / VALIDATION)
    parts = {source: (train.part(*read), validation.part(*kept)) for source, (read, kept) in spans.items()}
    return Corpus(Tokenizer.from_pretrained(folder), train, validation, parts)


def _trained_tokenizer(recipe: Recipe) -> Tokenizer:
    characters = _TOKENIZER_CHARACTERS // len(recipe.sources)
    text = [_first(documents(source, seed=recipe.seed), characters) for source in recipe.sources]
    # What is read often becomes a token by the same rules as everything else.
    words = [f"{word} {word}\n" * _OFTEN for word in recipe.words]
    return Tokenizer.train(
        itertools.chain(*text, words),
        recipe.vocabulary,
        kind=recipe.tokenizer,
        pattern=recipe.pattern,
        special_tokens=[DELIMITER, *recipe.special_tokens],
        roles={"bos": DELIMITER, "eos": DELIMITER},
    )


def _prepared_files(recipe: Recipe) -> list[str]:
    tokenizer = TOKENIZER_FILES[: 3 if recipe.tokenizer == "sentencepiece" else 2]
    return [PREPARED, TRAIN, VALIDATION, *tokenizer]


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> Any:
    """A fresh model of the recipe's family and size, for this tokenizer."""
    special = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
    config = {**published_config(recipe, tokenizer.vocab_size), **special, **recipe.config}
    model = checkpoints.build(config.pop("model_type"), **config, seed=recipe.seed)
    if recipe.embedding_std is not None:
        weight = model.embedding.weight
        weight.data = weight.data * weight.dtype.type(recipe.embedding_std / float(weight.data.std()))
    if recipe.copying is not None:
        let_attention_copy(model, recipe.copying, recipe.seed)
    return model


def check_model(recipe: Recipe) -> None:
    """ValueError or TypeError if no such model can be built; costs nothing, so that it is known before the rest."""
    checkpoints.spec({**published_config(recipe, recipe.vocabulary), **recipe.config})


def published_config(recipe: Recipe, vocab_size: int) -> dict[str, Any]:
    """The recipe's sizes in the words of its family's config.json, "model_type" included, without `recipe.config`.

    A released model ("pythia-1b") keeps its ratios in small, a family its defaults where it does not say what suits a
    small one better. Raises ValueError for a size that the family does not let one choose.

    >>> published_config(Recipe(family="bloom", layers=2, width=64, heads=4), 300)["n_layer"]
    2
    """
    family, _ = families.find_release(recipe.family)
    sizes = {name: getattr(recipe, name) for name in ("layers", "width", "heads", "context")}
    config = miniature(recipe.family, vocabulary=vocab_size, **sizes)
    if recipe.family in family.model_types:
        config |= family.from_scratch(sizes)
    for size in ("key_value_heads", "feed_forward"):
        if (value := getattr(recipe, size)) is None:
            continue
        if size not in family.size_keys:
            raise ValueError(f"{size} = {value}: a model of the family {family.name} does not let one choose that")
        config[family.size_keys[size]] = value
    return config


def token_bytes(corpus: Corpus, model: Any) -> np.ndarray:
    """Bytes of text for each id of the model's vocabulary."""
    return token_byte_lengths(corpus.tokenizer, model.spec.vocab_size)


def _first(texts: Iterable[str], characters: int) -> Iterator[str]:
    for text in texts:
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return
