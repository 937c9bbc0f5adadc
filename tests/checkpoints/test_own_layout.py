"""A model that no family describes, as whoever wrote a mixer has it: trained, killed, resumed, saved, read again."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.checkpoints import Decoder, export_weights
from llm_from_scratch.checkpoints.own_layout import SPEC, decode, encode
from llm_from_scratch.data.sampler import BatchSampler
from llm_from_scratch.files.digests import write_digests
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.layers import AttentionSpec, FeedForwardSpec, LayerSpec, Linear, Normal, NormSpec, Rotary
from llm_from_scratch.layers.module import Module, parameter
from llm_from_scratch.models.spec import ModelSpec
from llm_from_scratch.quantization import PackedLinear, PackedWeight
from llm_from_scratch.quantization.blocks import Codes

SMALL = dict(vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2)


@dataclass(frozen=True)
class Blend:
    """A token becomes the mean of all up to it, projected. Several kinds of fields, for the sake of the file."""

    hidden_size: int
    strength: float = 0.5
    init: Any = Normal(0.2)
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    more: Any = None

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise ValueError(f"the strength of a blend is at least 0, not {self.strength}")

    def build(self, rng: np.random.Generator | None) -> Blending:
        return Blending(self, rng)


class Blending(Module):
    def __init__(self, spec: Blend, rng: np.random.Generator | None) -> None:
        self.spec = spec
        self.weight = parameter(rng, (spec.hidden_size, spec.hidden_size), spec.init)

    def new_memory(self) -> None:
        return None

    def __call__(self, x: Tensor, memory: Any, context: Any) -> Tensor:
        length = x.shape[1]
        mean = np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]
        return (Tensor((self.spec.strength * mean).astype(x.dtype)) @ x) @ self.weight


class NoData:
    """A mixer spec that is no dataclass."""

    def build(self, rng: np.random.Generator | None) -> Blending:
        return Blending(Blend(8), rng)


@dataclass(frozen=True)
class Careless(Blend):
    """It cannot leave placeholders."""

    def build(self, rng: Any) -> Blending:
        rng.normal()
        return Blending(self, rng)


def spec_with(mixer: Any = Blend(8), **changes: Any) -> ModelSpec:
    norm = NormSpec(8, "rms")
    layer = LayerSpec.sequential(mixer, FeedForwardSpec(8, 12), norm, dropout=0.1)
    return ModelSpec(**{"vocab_size": 11, "hidden_size": 8, "layers": (layer,) * 2, "norm": norm,
                        "context_length": 32, **changes})  # fmt: skip


def own_model(mixer: Any = Blend(8), seed: int = 1, **changes: Any) -> Decoder:
    return Decoder(spec_with(mixer, **changes), np.random.default_rng(seed))


IDS = np.arange(22).reshape(2, 11) % 11
SETTINGS = lfs.TrainingSettings(steps=5, learning_rate=0.02, checkpoint_every=2, threads=2, micro_batches=2)


def data() -> BatchSampler:
    return BatchSampler(np.random.default_rng(0).integers(0, 11, 400), 4, 8, seed=1)


class Killed(Exception):
    pass


def train(model: Any, directory: Path, last: int | None = None, said: list[str] | None = None, **more: Any) -> Any:
    def stop(step: int, loss: float, _: Any) -> None:
        if step == last:
            raise Killed

    said = [] if said is None else said
    options = {"directory": directory, "resume": True, "progress": False, "on_step": stop, "report": said.append}
    return lfs.train(model, data(), SETTINGS, **{**options, **more})


def resumes_to_the_byte(make: Any, folder: Path, said: list[str] | None = None) -> Path:
    """Train `make()` in one go, and killed twice; the directory of the second, which has the same bytes."""
    train(make(), folder / "whole", said=said)
    for last in (3, 4):
        with pytest.raises(Killed):
            train(make(), folder / "killed", last)
    assert train(make(), folder / "killed").finished
    files = {p.relative_to(folder / "whole") for p in (folder / "whole").rglob("*") if p.is_file()}
    for name in files - {Path("timing.jsonl"), Path("loss.png")}:
        assert (folder / "whole" / name).read_bytes() == (folder / "killed" / name).read_bytes(), name
    return folder / "killed"


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and a[k].tobytes() == b[k].tobytes() for k in a)


# --- Training, snapshots, the export


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mixer_of_one_s_own_is_trained_resumed_and_read_again(tmp_path: Path, dtype: Any) -> None:
    mixer = Blend(8, np.float64(0.75), more={"a": (1, None), "b": [float("inf"), True, "ö"]})  # type: ignore[arg-type]
    run = resumes_to_the_byte(lambda: own_model(mixer).astype(dtype), tmp_path)
    assert {p.name for p in run.iterdir()} >= {SPEC, "model.safetensors"} and not (run / "config.json").exists()
    again = lfs.from_pretrained(run)
    assert again.spec == spec_with(mixer) == lfs.spec(run) and again.dtype == dtype
    assert not np.array_equal(again(IDS).data, own_model(mixer).astype(dtype)(IDS).data)
    for checkpoint in ("step-4", "step-5"):
        found = lfs.from_pretrained(run / checkpoint)
        assert found.spec == again.spec
    assert same_bits(found.state_dict(), again.state_dict())
    again.save_pretrained(tmp_path / "twice")
    for name in (SPEC, "model.safetensors"):
        assert (tmp_path / "twice" / name).read_bytes() == (run / name).read_bytes()


def test_a_published_model_is_exported_once_at_the_end(tmp_path: Path) -> None:
    run = resumes_to_the_byte(lambda: lfs.build("llama", **SMALL), tmp_path)
    assert {p.name for p in (run / "step-5").iterdir()} == {
        "model.safetensors", "optimizer.safetensors", "state.json", "SHA256SUMS"}  # fmt: skip
    finished, snapshot = lfs.from_pretrained(run), lfs.from_pretrained(run / "step-5")
    assert same_bits(finished.state_dict(), snapshot.state_dict()) and snapshot.spec == finished.spec
    assert "model.embed_tokens.weight" in read_safetensors(run)
    assert "embedding.weight" in read_safetensors(run / "step-5")
    snapshot.save_pretrained(tmp_path / "exported")
    assert same_bits(read_safetensors(tmp_path / "exported"), read_safetensors(run))


@pytest.mark.parametrize("tied", ["head", "layers"])
def test_what_is_used_twice_trains_once_and_is_read_as_the_same_function(tmp_path: Path, tied: str) -> None:
    trained = []

    def make() -> Decoder:
        model = own_model(tied=tied == "head")
        if tied == "layers":
            model.layers[1].mixer = model.layers[0].mixer
        trained.append(model)
        return model

    run = resumes_to_the_byte(make, tmp_path)
    names = read_safetensors(run / "step-5").keys()
    assert ("head.weight" in names) == (tied == "layers") and ("layers.1.mixer.weight" in names) == (tied == "head")
    assert np.array_equal(lfs.from_pretrained(run)(IDS).data, trained[-1](IDS).data)


def freeze(model: Any, *parts: str) -> Any:
    model.freeze(lambda name, _: name.startswith(parts))
    return model


def test_frozen_parameters_are_noted_and_not_copied(tmp_path: Path) -> None:
    run = resumes_to_the_byte(lambda: freeze(own_model(), "embedding", "layers.0"), tmp_path)
    snapshot = read_safetensors(run / "step-5")
    assert snapshot.keys() == {
        "norm.weight",
        *(name for name, _ in own_model().named_parameters() if "layers.1" in name),
    }
    assert np.array_equal(lfs.from_pretrained(run).embedding.weight.data, own_model().embedding.weight.data)
    with pytest.raises(ValueError, match="step-5 was trained beside other frozen weights"):
        train(freeze(own_model(seed=2), "embedding", "layers.0"), run)
    with pytest.raises(
        ValueError, match=r"other parameters than those that train now \(embedding.weight: not set, now"
    ):
        train(freeze(own_model(), "layers.0"), run)
    with pytest.raises(ValueError, match="missing: .*embedding.weight"):
        lfs.from_pretrained(run / "step-5")


class Adapted(Module):
    """A frozen matrix and what is added to it, in two thin ones."""

    def __init__(self, base: Linear) -> None:
        self.base, rng = base, np.random.default_rng(5)
        self.down = Tensor(rng.normal(size=(8, 2)).astype(np.float32), requires_grad=True)
        self.up = Tensor(np.zeros((2, 12), np.float32), requires_grad=True)

    def __call__(self, x: Tensor) -> Tensor:
        return self.base(x) + (x @ self.down) @ self.up


def packed(linear: Linear) -> PackedLinear:
    codes = np.round(linear.weight.data.T * 1000).astype(np.int8)  # (outputs, inputs)
    scale = np.full((len(codes), 1), 1e-3, np.float32)
    return PackedLinear(PackedWeight.from_codes(Codes(codes, scale, None)), linear.bias)


def adapted(seed: int = 1, pack: bool = False) -> Decoder:
    model = own_model(seed=seed)
    if pack:
        model.replace("layers.*.feed_forward.up", packed)
    model.freeze()
    model.replace("layers.1.feed_forward.up", Adapted)
    return model


@pytest.mark.parametrize("pack", [False, True])
def test_adapters_alone_are_kept_where_only_they_train(tmp_path: Path, pack: bool) -> None:
    said: list[str] = []
    run = resumes_to_the_byte(lambda: adapted(pack=pack), tmp_path, said)
    names = {f"layers.1.feed_forward.up.{part}" for part in ("down", "up")}
    assert read_safetensors(run / "step-5").keys() == names
    assert not (run / "model.safetensors").exists()
    assert len(said) == 1 and "checkpoints hold what trains" in said[0] and "up.down" in said[0]
    with pytest.raises(ValueError, match="other frozen weights"):
        train(adapted(seed=2, pack=pack), run)
    if pack:  # what is packed is not overlooked: here one code differs
        other = adapted(pack=True)
        other.layers[0].feed_forward.up.weight.codes[0, 0, 0] ^= 1
        with pytest.raises(ValueError, match="other frozen weights"):
            train(other, run)
    with pytest.raises(ValueError, match=r"other modules than its spec builds \(.*up.base.weight.* no .*up.weight"):
        adapted().save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["strength", "hidden"])
def test_another_model_is_named_though_its_shapes_are_the_same(tmp_path: Path, name: str) -> None:
    with pytest.raises(Killed):
        train(own_model(), tmp_path, 3)
    other = own_model(Blend(8, 0.75)) if name == "strength" else freeze(own_model(), "norm")
    with pytest.raises(ValueError, match="mixer.*strength: 0.5, now 0.75" if name == "strength" else "norm.weight"):
        train(other, tmp_path)


class Untouched:
    """A sampler nobody may ask."""

    def __next__(self) -> dict[str, np.ndarray]:
        raise AssertionError("a step was begun")


def local_spec() -> Any:
    @dataclass(frozen=True)
    class Local(Blend):
        pass

    return Local(8)


@pytest.mark.parametrize(
    ("mixer", "message"),
    [
        (NoData(), r"spec.layers\[0\].branches\[0\].functions\['mixer'\] is a NoData, which spec.json cannot hold"),
        (Blend(8, init=lambda rng, shape: rng.normal(size=shape)), r"\['mixer'\].init is a function"),
        (Blend(8, more=np.ones(2)), "more is a ndarray"),
        (local_spec(), "Local is defined inside a function"),
        (Careless(8), "cannot be built without a generator .AttributeError: 'NoneType'"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_is_said_before_the_first_step(tmp_path: Path, mixer: Any, message: str) -> None:
    model = own_model(mixer)
    with pytest.raises(ValueError, match=message):
        lfs.train(model, Untouched(), SETTINGS, directory=tmp_path / "run", progress=False)
    assert not list((tmp_path / "run").glob("*"))
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path / "x")
    assert lfs.train(model, data(), SETTINGS, progress=False).finished  # where nothing is kept, nothing need be saved


def test_a_model_whose_config_describes_another_is_not_saved_in_silence(tmp_path: Path) -> None:
    model = lfs.build("llama", **SMALL, eos_token_id=3)
    changed = Decoder(model.spec.replace(tied=True), np.random.default_rng(0), model.config)
    with pytest.raises(ValueError, match="no longer describes this llama model: .* take 'model_type' out"):
        lfs.train(changed, Untouched(), SETTINGS, directory=tmp_path / "run", progress=False)
    del changed.config["model_type"]
    changed.generation_config = {"eos_token_id": [3, 4]}
    changed.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    assert again.spec == changed.spec and again.end_tokens == (3, 4) and again.config == changed.config
    with pytest.raises(ValueError, match="made from a spec alone"):
        export_weights(again)


# --- The file


def test_number_formats_lineage_and_shards_are_as_for_published_models(tmp_path: Path) -> None:
    model = own_model()
    model.save_pretrained(tmp_path, dtype="bfloat16", max_shard_size="200")
    assert len(list(tmp_path.glob("model-*"))) > 3
    stored = lfs.from_pretrained(tmp_path)
    assert stored.dtype == np.float32
    stored.save_pretrained(tmp_path / "again")
    assert {str(a.dtype) for a in read_safetensors(tmp_path / "again").values()} == {"bfloat16"}
    lfs.checkpoints.record_lineage(stored, "merged from", "a", "b")
    stored.save_pretrained(tmp_path / "merged")
    assert lfs.from_pretrained(tmp_path / "merged").lineage.steps[-1]["relation"] == "merged from"


def test_one_directory_says_one_thing(tmp_path: Path) -> None:
    published, own = lfs.build("llama", **SMALL), own_model()
    published.generation_config = {"eos_token_id": 3}
    for model in (published, own, published):
        model.save_pretrained(tmp_path)
        assert lfs.from_pretrained(tmp_path).spec == model.spec
        assert (tmp_path / SPEC).exists() != (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    "name", ["gpt2", "llama-2-70b", "mixtral-8x7b", "falcon-40b", "mamba-130m", "opt-350m", "mpt-7b"]
)
def test_any_spec_comes_back_as_it_was(name: str) -> None:
    spec = lfs.spec(name)
    text = json.dumps(encode(spec), allow_nan=False)
    assert decode(json.loads(text)) == spec
    assert "llm_from_scratch.layers:LayerSpec" in text and "llm_from_scratch.models:ModelSpec" in text


def mixer_of(content: dict[str, Any]) -> dict[str, Any]:
    layer = content["spec"]["fields"]["layers"][0]
    return layer["fields"]["branches"][0]["fields"]["functions"]["items"]["mixer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other"), "'format' must be 'llm_from_scratch spec 1', got 'other'"),
        (lambda c: c.pop("spec"), "a ModelSpec was expected, 'spec' is a NoneType"),
        (lambda c: c.update(spec=mixer_of(c)), "a ModelSpec was expected, 'spec' is a Blend"),
        (lambda c: mixer_of(c).update(kind="trap:Blend"), "Blend of the module trap is not known here: import trap"),
        (lambda c: mixer_of(c).update(kind=f"{__name__}:Blending"), "has no dataclass Blending: was it renamed"),
        (lambda c: mixer_of(c).update(kind="__main__:Blend"), "no dataclass Blend: define or import it in the program"),
        (lambda c: mixer_of(c).update(kind="os:system"), "the module os has no dataclass system"),
        (lambda c: mixer_of(c).update(kind=f"{__name__}:lfs.autograd.Tensor"), "no dataclass lfs.autograd.Tensor"),
        (lambda c: mixer_of(c).update(kind=3), "'kind' must be text"),
        (lambda c: mixer_of(c).pop("fields"), "'fields' is missing"),
        (lambda c: mixer_of(c)["fields"].update(width=3), r"\['mixer'\]: Blend has no field 'width'"),
        (lambda c: mixer_of(c)["fields"].pop("hidden_size"), r"\['mixer'\]: .*missing.*hidden_size"),
        (lambda c: mixer_of(c)["fields"].update(strength=-1), r"\['mixer'\]: the strength of a blend is at least 0"),
        (lambda c: c["spec"]["fields"].update(hidden_size="8"), "hidden_size must be a positive integer, not '8'"),
        (lambda c: c["spec"]["fields"].update(vocab_size=12), "the weights do not belong to this config"),
        (lambda c: c.update(config=[1]), "'config' must be an object"),
    ],
)  # fmt: skip
def test_a_file_that_says_something_else_is_refused_in_one_line(tmp_path: Path, change: Any, message: str) -> None:
    own_model().save_pretrained(tmp_path)
    content = json.loads((tmp_path / SPEC).read_text(encoding="utf-8"))
    change(content)
    (tmp_path / SPEC).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        lfs.from_pretrained(tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_a_file_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    own_model().save_pretrained(tmp_path)
    text = (tmp_path / SPEC).read_text(encoding="utf-8")
    (tmp_path / SPEC).write_text(text.replace(f"{__name__}:Blend", "trap:Blend"), encoding="utf-8")
    with pytest.raises(ValueError, match="import trap first"):
        lfs.from_pretrained(tmp_path)
    assert "trap" not in sys.modules


def test_checkpoints_of_the_earlier_format_are_opened_as_published_models(tmp_path: Path) -> None:
    """With the model in its published layout in each of them."""

    def earlier(folder: Path) -> None:
        model = lfs.build("llama", **SMALL)
        model.load_state_dict(read_safetensors(folder))
        (folder / "model.safetensors").unlink()
        model.save_pretrained(folder)
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        state["format"] = "llm_from_scratch checkpoint 2"
        del state["model"]
        (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
        write_digests(folder)

    train(lfs.build("llama", **SMALL), tmp_path / "whole")
    with pytest.raises(Killed):
        train(lfs.build("llama", **SMALL), tmp_path / "old", 3)
    earlier(tmp_path / "old" / "step-2")
    with pytest.raises(ValueError, match="step-2 is of an earlier version.*open_model=from_pretrained"):
        train(lfs.build("llama", **SMALL), tmp_path / "old")
    train(lfs.build("llama", **SMALL), tmp_path / "old", open_model=lfs.from_pretrained)
    assert (tmp_path / "old" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_what_later_families_have_comes_back_too(tmp_path: Path) -> None:
    norm, head = (NormSpec(size, "rms", 1e-6, plus_one=True) for size in (8, 4))
    mixer = AttentionSpec(8, 2, 1, 4, rotary=Rotary(4), query_norm=head, key_norm=head)
    layer = LayerSpec.sequential(mixer, FeedForwardSpec(8, 12, "gelu_tanh", gated=True), norm_branch=norm)
    spec = ModelSpec(11, 8, (layer,) * 2, norm, 16, head_bias=True, embedding_scale=8**0.5)
    model = Decoder(spec, np.random.default_rng(0))
    for parameter_ in model.parameters():  # zeros, as half of them start, would not be missed
        parameter_.data = np.random.default_rng(1).normal(size=parameter_.shape).astype(np.float32)
    model.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    assert again.spec == spec and {"head.bias", "layers.1.mixer_norm_branch.weight"} <= set(again.state_dict())
    ids = np.arange(9)[None]
    np.testing.assert_array_equal(again(ids).data, model(ids).data)
