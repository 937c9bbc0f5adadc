"""A checkpoint quantised: text to calibrate with, the sweep that can be killed, perplexity before and after, all saved.

OUT/layers/          while it is on its way: finished layers, and how good the model was before
OUT/quantization.json    in the end, beside the model: what became of each matrix, what stays in float, perplexities
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import from_pretrained
from ..checkpoints.gguf_saving import save_gguf
from ..compression import METHODS, Report, calibration_rows, quantize_model
from ..compression.calibration import check_calibration
from ..compression.layerwise import Way
from ..compression.sweep import check_sweep, matrices_of
from ..data.sources import documents
from ..files.atomic import write_json
from ..files.strict_json import read_json_object
from ..quantization import WRITTEN
from ..scoring.intervals import bootstrap
from ..scoring.windows import Perplexity, perplexity
from ..tokenizers import Tokenizer
from ..tokenizers.chat_template import ChatTemplate
from ..tokenizers.ends import begin_ids

GROUPS = (64, 32, 16, 8)  # tried in this order where nobody says
LAYERS, REPORT, BEFORE = "layers", "quantization.json", "before.json"
BLOCK = 64  # neighbouring tokens that are drawn together when an interval is made
_CHARACTERS = 40  # of a text that are encoded for each token wanted


@dataclass(frozen=True)
class Plan:
    """What `quantize` does. bits, group: None is what the method has, or the largest of GROUPS that divides all rows.

    calibration, text: sources of documents (`data.sources`); without `text`, what is scored is the end of the
    calibration text, of which nothing is calibrated with. tokens, scored: how many of each. context: tokens of a row;
    None: 512, or what the model reads.
    """

    method: str
    bits: int | None = None
    group: int | None = None
    symmetric: bool = False
    act_order: bool = False
    damping: float = 0.01
    keep: tuple[str, ...] = ()
    calibration: str = "tales:1000"
    text: str | None = None
    tokens: int = 16384
    scored: int = 8192
    context: int | None = None

    def __post_init__(self) -> None:
        kind = self.kind
        if kind is None and self.method not in METHODS:
            raise ValueError(f"there is no method {self.method!r}; there are {', '.join(METHODS)} and gguf:KIND")
        if kind is not None and kind not in WRITTEN:
            raise ValueError(f"gguf:{kind} is no format that is written here; known: {', '.join(WRITTEN)}")
        grid = self.method in ("gptq", "awq", "rtn")
        own = {"nf4": 4, "int8": 8}.get(self.method)
        if self.bits is not None and not grid and self.bits != own:
            raise ValueError(f"{self.method} has {own or 'its own'} bits: leave bits away")
        if self.group is not None and not grid and self.method != "nf4":
            raise ValueError(f"{self.method} has no groups to choose: leave the group away")
        if self.keep and kind is not None:
            raise ValueError("a GGUF file decides itself what stays in float: leave keep away")
        for name, least in (("tokens", 1), ("scored", 2), ("context", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")

    @property
    def kind(self) -> str | None:
        """The format of a GGUF file, where that is what is made."""
        return self.method.partition(":")[2] if self.method.startswith("gguf") else None


def quantize_checkpoint(
    source: Path,
    out: Path,
    plan: Plan,
    *,
    say: Callable[[str], None] = lambda text: None,
    on_layer: Callable[[int, int, Report], None] | None = None,
) -> dict[str, Any]:
    """Quantise the model at `source` into `out`, and report. The same call goes on after an interruption, to the byte.

    Raises as `quantize_model`, and ValueError where `out` is there already; FileNotFoundError for sources that are not.
    """
    layers = out / LAYERS
    if out.exists() and not layers.is_dir() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already: choose another place, or remove it")
    if plan.kind is not None and out.suffix.lower() != ".gguf":
        raise ValueError(f"{out} must end in .gguf: it is by its name that such a file is known")
    model, tokenizer = from_pretrained(source), Tokenizer.from_pretrained(source)
    model.check_saving()
    rows, held_out, context = _texts(model, tokenizer, plan)
    settings: dict[str, Any] = {}
    if plan.kind is None:
        group = _group(model, plan)
        settings = {name: getattr(plan, name) for name in ("symmetric", "act_order", "damping", "keep")}
        settings |= {"bits": 4 if plan.bits is None else plan.bits, "group_size": group}
        way = Way(plan.method, **{key: value for key, value in settings.items() if key != "keep"})
        check_sweep(model, way, rows, plan.keep)
        if plan.group is None and group not in (None, GROUPS[0]):
            say(f"groups of {group}: {GROUPS[0]} does not divide the inputs of all matrices")
    say(f"perplexity before, on {sum(map(len, held_out)):,} tokens …")
    before = _before(model, held_out, context, layers if plan.kind is None else None)
    say(f"perplexity before: {before}")
    report: dict[str, Any] = {"method": plan.method, "before": _told(before)}
    if plan.kind is not None:
        # Others are to put in front of a text what `generate` does: the model has never read one that began otherwise.
        types = save_gguf(model, out, kind=plan.kind, tokenizer=tokenizer, begin=bool(begin_ids(tokenizer)))
        report |= {"tensors": types}
        model = from_pretrained(out)
    else:
        done = quantize_model(model, plan.method, rows, directory=layers, on_layer=on_layer, **settings).quantization
        report |= {
            "bits": done.way.bits,
            "group": done.way.group_size,
            "calibration_tokens": int(rows.size),
            "matrices": [{**asdict(matrix), "bits": round(matrix.bits, 4)} for matrix in done.matrices],
            "starved": done.starved,
            "kept": done.kept,
            "bytes": model.nbytes,
        }
    after = _scored(model, held_out, context)
    report |= {"after": _told(after), "factor": _factor(before, after)}
    if plan.kind is None:
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        model.save_pretrained(out, texts={REPORT: text})
        tokenizer.save(out)
        if (template := ChatTemplate.beside(source)) is not None:
            template.save(out)
        shutil.rmtree(layers)
    return report


def _texts(model: Any, tokenizer: Tokenizer, plan: Plan) -> tuple[np.ndarray, list[np.ndarray], int]:
    """Rows to calibrate with, (N, T), texts to score, and T."""
    limit = model.spec.context_length if model.position_limit is None else model.position_limit
    context = min(512, limit) if plan.context is None else plan.context
    if context > limit:
        raise ValueError(f"rows of {context} tokens are longer than the {limit} that the model was made for")
    wanted = max(plan.tokens, context)
    texts = _encoded(tokenizer, plan.calibration, 2 * wanted + (plan.scored if plan.text is None else 0))
    if plan.text is None:
        count = sum(map(len, texts))
        texts, held_out = _parted(texts, count - (plan.scored if count >= wanted + plan.scored else count // 4))
    else:
        held_out = _encoded(tokenizer, plan.text, plan.scored)
    try:
        rows = _rows(texts, context, wanted // context)
        check_calibration(rows, model.spec.vocab_size, model.position_limit)
    except ValueError as error:
        raise ValueError(f"{plan.calibration}: {error}") from None
    held_out = [text for text in held_out if len(text) > 1]
    if not held_out:
        raise ValueError(f"{plan.text or plan.calibration}: there is no text left to score; give more")
    return rows, held_out, context


def _encoded(tokenizer: Tokenizer, source: str, wanted: int) -> list[np.ndarray]:
    """So many tokens of a source's documents, or all it has; each between what begins and ends a text.

    Where one token does both, it begins the next document, as it does in training.
    """
    begin, end = ([x] if x is not None else [] for x in (tokenizer.bos_id, tokenizer.eos_id))
    end = [] if end == begin else end
    found: list[np.ndarray] = []
    for document in documents(source):
        text = [*begin, *tokenizer.encode(document[: _CHARACTERS * wanted]), *end][:wanted]
        found.append(np.array(text, np.int64))
        wanted -= len(text)
        if not wanted:
            break
    return found or [np.empty(0, np.int64)]


def _parted(texts: list[np.ndarray], count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The first `count` tokens, and what comes after them."""
    ends = np.cumsum([len(text) for text in texts])
    first = int(np.searchsorted(ends, count, side="right"))
    rest = count - (int(ends[first - 1]) if first else 0)
    cut = [texts[first][:rest]] if rest else []
    return texts[:first] + cut, [texts[first][rest:], *texts[first + 1 :]] if first < len(texts) else []


def _rows(texts: list[np.ndarray], context: int, count: int) -> np.ndarray:
    """Rows (N, context) that begin where a text does, as far as that costs less than a row; ValueError for too little.

    A row that begins in the middle of a text, with the rest of another before it, calibrates for what no reader sees.
    """
    ids, borders = np.concatenate(texts), np.cumsum([0, *map(len, texts)])
    starts: list[int] = []
    position = 0
    while position + context <= len(ids):
        starts.append(position)
        position += context
        following = int(borders[np.searchsorted(borders, position)]) if position <= borders[-1] else position
        position = following if following - position < context else position
    if not starts:
        return calibration_rows(ids, context=context, rows=count)  # says that this is too little
    picked = np.linspace(0, len(starts) - 1, min(count, len(starts))).round().astype(int)
    return np.stack([ids[starts[k] : starts[k] + context] for k in picked])


def _group(model: Any, plan: Plan) -> int | None:
    """The group asked for, or the largest usual one that divides the inputs of every matrix."""
    if plan.group is not None or plan.method == "int8":
        return plan.group
    if plan.method == "nf4":
        return GROUPS[0]  # its blocks need not divide anything
    inputs = [layer.weight.shape[0] for layer in matrices_of(model, plan.keep).values()]
    return next((size for size in GROUPS if all(n % size == 0 or n < size for n in inputs)), GROUPS[0])


def _before(model: Any, texts: list[np.ndarray], context: int, layers: Path | None) -> Perplexity:
    """The perplexity of the model as it was, kept for a call that goes on."""
    if layers is None:
        return _scored(model, texts, context)
    bytes_of = b"|".join(text.astype("<i8").tobytes() for text in texts)
    mark = f"{hashlib.sha256(bytes_of).hexdigest()} by {context}"
    if (path := layers / BEFORE).exists() and (known := read_json_object(path)).get("text") == mark:
        scores = np.array(known["log_probabilities"])
        return Perplexity(known["perplexity"], tuple(known["interval"]), len(scores), scores)
    found = _scored(model, texts, context)
    layers.mkdir(parents=True, exist_ok=True)
    write_json(path, {"text": mark, "log_probabilities": found.log_probabilities.tolist(), **_told(found)})
    return found


def _scored(model: Any, texts: list[np.ndarray], context: int) -> Perplexity:
    """With half a window of context at least, so that the number is the text's and not that of where windows begin."""
    context = min(context, max(map(len, texts)) - 1)
    return perplexity(model, texts, context=context, stride=-(-context // 2))


def _told(found: Perplexity) -> dict[str, Any]:
    return {"perplexity": found.value, "interval": list(found.interval), "tokens": found.count}


def _factor(before: Perplexity, after: Perplexity) -> dict[str, Any]:
    """How many times the perplexity became what it was, from the same tokens: surer than either by itself."""
    borders = np.arange(0, before.count, BLOCK)
    sizes = np.diff(np.append(borders, before.count))
    lost = np.add.reduceat(before.log_probabilities - after.log_probabilities, borders)
    found = bootstrap(lost, counts=sizes)
    return {"value": float(np.exp(found.value)), "interval": [float(np.exp(end)) for end in found.interval]}
