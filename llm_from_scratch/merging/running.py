"""Carrying a recipe out: models of any size, tensor by tensor from file to file.

In memory stands one tensor of each model at a time (and what is computed of them), never a model. Nothing is written
where a recipe, a model or a setting is wrong, and OUT appears when it is complete.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import own_layout
from ..checkpoints.lineage import Lineage, grown, to_metadata
from ..families import find_family
from ..files.atomic import atomic_directory
from ..files.safetensors import TensorSource
from ..files.sharded import parse_size, write_checkpoint
from .election import whole_model
from .members import Member, differing
from .methods import METHODS
from .planning import Part, Plan, make_plan
from .recipe_file import Recipe, read_recipe
from .vocabulary import check_vocabularies, tokenizer_files

RECIPE = "merge_recipe.yaml"  # the recipe as it was, kept beside the result


@dataclasses.dataclass(frozen=True)
class Merged:
    """What was made: where, by which method, how many tensors and numbers; notes: what may be meant, but looks odd."""

    directory: str
    method: str
    models: tuple[str, ...]
    tensors: int
    parameters: int
    notes: tuple[str, ...]


def run_recipe(
    recipe: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    max_shard_size: int | str = "5GB",
    progress: Callable[[list[Part]], Any] = iter,
) -> Merged:
    """Merge as the YAML file `recipe` says, into the directory `out`, which must be new or empty.

    The recipe's form is mergekit's (`recipe_file`), its methods are METHODS. Models are directories as
    `from_pretrained` reads them, named from the working directory or from the recipe's own. seed: of what DARE drops;
    equal seeds give equal bytes. progress: wraps the list of tensors while they are made, as tqdm does.

    Config, tokenizer and generation_config.json come from the base, or else the first model (`tokenizer_source`: from
    another); the recipe is kept as merge_recipe.yaml, and the lineage in the weights. Raises FileNotFoundError for a
    recipe or model that is not there, ValueError for what is wrong in them, before any weight is read.
    """
    read, target, limit = read_recipe(recipe), Path(out), parse_size(max_shard_size)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is there already: choose another directory to write to")
    try:
        members = {name: Member(_find(name, read.folder)) for name in read.models()}
        plan = make_plan(read, members, _check_seed(seed))
        texts = _description(plan) | {RECIPE: read.text}
        notes = [*plan.notes, *check_vocabularies([member.path for member in members.values()])]
        files = tokenizer_files(_tokenizer_of(read, members, plan))
    except ValueError as error:
        raise ValueError(f"{recipe}: {error}") from None
    lineage = Lineage(grown([member.lineage for member in members.values()], "merged from", _told(read)))
    merge = functools.partial(_merged, read.method)
    parts = _with_whole_model(plan)
    waiting = iter(progress(parts))
    sources = {p.name: TensorSource(p.dtype, p.shape, functools.partial(_made, merge, p, waiting)) for p in parts}
    with atomic_directory(target) as folder:
        write_checkpoint(folder, sources, texts=texts, max_shard_size=limit, metadata=to_metadata(lineage))
        for path in files:
            shutil.copyfile(path, folder / path.name)
    for _ in waiting:  # the bar ends
        pass
    parameters = sum(int(np.prod(part.shape)) for part in parts)
    return Merged(str(target), read.method, tuple(members), len(parts), parameters, tuple(notes))


def _made(merge: Callable[[Part], np.ndarray], part: Part, waiting: Iterator[Part]) -> np.ndarray:
    next(waiting, None)
    return merge(part)


def _merged(method: str, part: Part) -> np.ndarray:
    """The tensor `part` says, in its number format."""
    arrays = [member.store[stored] for member, stored in part.sources]
    if np.dtype(part.dtype).itemsize > arrays[0].dtype.itemsize:
        arrays[0] = arrays[0].astype(part.dtype)  # results are as the first: do not round them on the way
    try:
        result = METHODS[method].merge(arrays, part.settings)
    except ValueError as error:
        raise ValueError(f"{part.name}: {error}") from None
    if result.dtype != part.dtype:
        finite = np.isfinite(result).all()
        with np.errstate(over="ignore"):
            result = result.astype(part.dtype)
        if finite and not np.isfinite(result).all():
            raise ValueError(f"{part.name} holds numbers too large for {part.dtype}: choose another dtype")
    for member, stored in part.sources:
        member.store.release(stored)
    return result


def _with_whole_model(plan: Plan) -> list[Part]:
    """The parts, knowing what their method needs of all of them together."""
    first = plan.parts[0].settings
    if first.shared.get("dialect") != "authors":
        return list(plan.parts)

    def tensors() -> Iterator[list[np.ndarray]]:
        for part in plan.parts:
            yield [member.store[stored] for member, stored in part.sources]
            for member, stored in part.sources:
                member.store.release(stored)

    whole = whole_model(tensors, first.own["density"])
    return [dataclasses.replace(p, settings=dataclasses.replace(p.settings, whole=whole)) for p in plan.parts]


def _find(name: str, folder: Path) -> Path:
    """A model's directory; FileNotFoundError where it is neither here nor beside the recipe."""
    for path in (Path(name), folder / name):
        if path.exists():
            return path
    raise FileNotFoundError(f"there is no model at {name}, here or beside the recipe: models are directories")


def _description(plan: Plan) -> dict[str, str]:
    """{file: text} of what says which model the result is; ValueError if its layers cannot be said."""
    model, depth = plan.layers[0][0], len(plan.layers)
    spec = dataclasses.replace(model.spec, layers=tuple(member.spec.layers[k] for member, k in plan.layers))
    if "model_type" not in model.config:
        return {own_layout.SPEC: own_layout.to_text(own_layout.describe(spec))}
    config, family = dict(model.config), find_family(model.config["model_type"])
    if [(model, k) for k in range(model.depth)] != list(plan.layers):
        for key in family.defaults:
            value = config.get(key)
            if isinstance(value, list) and len(value) == model.depth:  # something said layer by layer
                config[key] = [member.config[key][k] for member, k in plan.layers]
        config[family.size_keys["layers"]] = depth
        try:
            found = differing(family.spec(config), spec)
        except (ValueError, TypeError) as error:
            found = str(error)
        if found:
            raise ValueError(f"the config of {model.path} cannot say what these layers are together: {found}")
    config |= {**family.as_saved, "torch_dtype": str(plan.parts[0].dtype)}
    texts = {"config.json": own_layout.to_text(config)}
    if model.generation_config:
        texts["generation_config.json"] = own_layout.to_text(model.generation_config)
    return texts


def _tokenizer_of(recipe: Recipe, members: dict[str, Member], plan: Plan) -> Path:
    source = recipe.tokenizer_source
    if source in (None, "union"):  # vocabularies are equal: check_vocabularies
        return plan.layers[0][0].path
    if source == "base":
        if recipe.base is None:
            raise ValueError("tokenizer_source: base needs a base_model")
        return members[recipe.base].path
    return members[source].path if source in members else _find(str(source), recipe.folder)


def _told(recipe: Recipe) -> dict[str, Any]:
    """What the lineage says of the recipe."""
    plain = {k: v for k, v in recipe.parameters.items() if isinstance(v, (bool, int, float, str))}
    return {"method": recipe.method, **plain}


def _check_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, not {seed!r}")
    return int(seed)
