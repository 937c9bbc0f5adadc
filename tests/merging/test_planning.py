"""What a recipe cannot mean is refused before a weight is read, naming what is wrong; nothing is written."""

import json
import shutil

import numpy as np
import pytest
from family_models import small
from mergekit_cases import SMALL, tuned
from merging_cases import run

import llm_from_scratch as lfs
from llm_from_scratch.files.safetensors import SafetensorsFile
from llm_from_scratch.merging.members import Member
from llm_from_scratch.merging.planning import make_plan
from llm_from_scratch.merging.recipe_file import read_recipe

TIES = tuned("ties", {"": "weight: 1, density: 0.5"})
SLERP = tuned("slerp", {"": ""}, "{t: 0.5}", "a")
LINEAR = tuned("linear", {"": "weight: 1"}).replace("base_model: base\n", "")


@pytest.fixture
def assert_refused(models, monkeypatch):
    """Carries out a recipe that must be refused before a tensor is read, with nothing left."""

    def read(self, name):
        raise AssertionError(f"{name} was read")

    def check(recipe, words, error=ValueError):
        with monkeypatch.context() as patch:
            patch.setattr(SafetensorsFile, "__getitem__", read)
            with pytest.raises(error, match=words) as found:
                run(recipe)
        assert "\n" not in str(found.value)
        left = {path.name for path in models.iterdir()}
        assert "out" not in left and not any(name.endswith(".tmp") for name in left)
        return str(found.value)

    return check


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (TIES.replace("ties", "tiees"), "merge_method 'tiees' is not known, did you mean 'ties'"),
        (TIES.replace("density: 0.5", "densty: 0.5"), "ties has no setting 'densty'"),
        (TIES.replace("density: 0.5", "density: 0"), r"density must lie in \(0, 1\].*got 0.0"),
        (TIES.replace("density: 0.5", "density: 50"), r"density must lie in \(0, 1\].*got 50.0"),
        (TIES.replace("density: 0.5", "density: [0.5, 1.5]"), r"ties of model.layers.\d.*density must"),
        (TIES.replace("density: 0.5", "density: [{filter: norm, value: 0}, {value: 1}]"), "density must"),
        (TIES.replace("weight: 1, ", ""), "weight is missing for the model a"),
        (TIES.replace("weight: 1", "weight: [{filter: mlp, value: 1}]"), "no setting fits the tensor model.embed"),
        (TIES.replace("weight: 1", "weight: heavy"), "weight of .*'heavy' is no finite number"),
        (TIES.replace("base_model: base\n", ""), "ties needs a base_model"),
        (TIES.replace("parameters: {}", "parameters: {lambda: .inf}"), "lambda .*finite"),
        (TIES.replace("parameters: {}", "parameters: {dialect: paper}"), "dialect must be"),
        (TIES.replace("parameters: {}", "parameters: {normalize: 3}"), "true or false"),
        (TIES.replace("parameters: {}", "parameters: {t: 1}"), r"no setting 't' \(slerp would have it\)"),
        (
            TIES.replace("weight: 1", "weight: [1, 2]").replace("parameters: {}", "parameters: {dialect: authors}"),
            "authors' dialect knows no weights",
        ),
        (
            TIES.replace("density: 0.5", "density: [0.1, 0.5]").replace(
                "parameters: {}", "parameters: {dialect: authors}"
            ),
            "one threshold for the whole model",
        ),
        (
            tuned("ties", {"a": "weight: 0.3", "b": "weight: -0.1", "c": "weight: -0.2"}),
            "ties of .*: the weights 0.3, -0.1, -0.2 cancel",
        ),
        (
            tuned("ties", {"": "weight: 1", "b": "weight: [1, -1]"}),
            r"ties of model.layers.3.*: the weights 1.0, -1.0 cancel",
        ),
        (tuned("linear", {"": "weight: 0"}).replace("base_model: base\n", ""), "cancel"),
        (LINEAR.replace("merge_method", "base_model: base\nmerge_method"), "weight is missing for the model base"),
        (tuned("task_arithmetic", {"a": "weight: 1", "b": "weight: -1"}, "{normalize: true}", "ab"), "cancel"),
        (tuned("task_arithmetic", {"": "weight: 1, density: 0.5"}), "task_arithmetic has no setting 'density'"),
        (tuned("dare_ties", {"": "weight: 1, density: 1.1"}), "density must"),
        (tuned("dare_ties", {"": "weight: 1, trim: 0"}), "density must"),
        (tuned("dare_linear", {"": "weight: 1, density: 0.5"}, "{rescale: l1}"), "rescale must"),
        (SLERP.replace("t: 0.5", "t: [0, 1.2]"), "t must lie"),
        (SLERP.replace("{t: 0.5}", "{}"), "t is missing"),
        (tuned("slerp", {"": ""}, "{t: 0.5}", "ab"), r"slerp merges 1 model\(s\) besides the base, and here are 2"),
        (tuned("slerp", {"": "t: 0.5"}, "{t: 0.5}", "a"), "t holds for all models"),
        (tuned("model_stock", {"": ""}, models="a"), "model_stock merges at least 2"),
        ("merge_method: passthrough\nmodels: [{model: a}, {model: b}]\n", "passthrough merges 1"),
        (
            "merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [2, 5]}]}]\n",
            r"layer_range \[2, 5\] of a, which has 4 layers",
        ),
        (
            "merge_method: slerp\nbase_model: base\nparameters: {t: 1}\n"
            "slices: [{sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}]}]\n",
            "list the base base among the sources",
        ),
        (LINEAR.replace("dtype: float32", "tokenizer_source: base"), "needs a base_model"),
    ],
)
def test_settings_that_cannot_be_meant(assert_refused, recipe, words):
    assert assert_refused(recipe, words).startswith("recipe.yaml: ")


def test_models_that_are_not_there(assert_refused):
    assert_refused(TIES.replace("model: b,", "model: nowhere,"), "no model at nowhere", FileNotFoundError)
    assert_refused(TIES.replace("base_model: base", "base_model: lost"), "no model at lost", FileNotFoundError)
    assert_refused(TIES + "tokenizer_source: nobody\n", "no model at nobody", FileNotFoundError)


def _another(models, **changes):
    model = lfs.build("llama", **{**SMALL, **changes})
    model.save_pretrained(models / "b")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vocab_size": 12}, r"model.embed_tokens.weight has shape \(11, 8\) in base and \(12, 8\) in b"),
        ({"hidden_size": 12}, r"model.embed_tokens.weight has shape"),
        ({"intermediate_size": 16}, r"model.layers.0.mlp.gate_proj.weight has shape \(12, 8\) in base and \(16, 8\)"),
        ({"num_hidden_layers": 5}, r"model.layers.4.input_layernorm.weight is a tensor of b and not of base"),
        ({"num_hidden_layers": 3}, r"model.layers.3.input_layernorm.weight is a tensor of base and not of b"),
        ({"tie_word_embeddings": True}, "lm_head.weight is a tensor of base and not of b: .*its head tied"),
        ({"rope_theta": 500000.0}, "equal tensors but compute differently: .*rotary.base is 10000.0 and 500000.0"),
        ({"rms_norm_eps": 1e-3}, "compute differently: .*eps"),
        ({"hidden_act": "gelu"}, "compute differently: .*activation"),
        ({"num_attention_heads": 4, "num_key_value_heads": 2}, "compute differently: .*heads is 2 and 4"),
    ],
)
def test_models_of_another_shape_are_refused_with_the_first_tensor(models, assert_refused, changes, words):
    _another(models, **changes)
    for recipe in (TIES, tuned("linear", {"": "weight: 1"}, models=["base", "b"]).replace("base_model: base\n", "")):
        assert_refused(recipe, words)


def test_what_says_nothing_about_the_function_may_differ(models):
    _another(models, max_position_embeddings=64, initializer_range=0.5)
    assert "model.embed_tokens.weight" in run(TIES)


def test_another_architecture_is_refused(models, assert_refused):
    small("mamba", hidden_size=8, vocab_size=11).save_pretrained(models / "b")
    assert_refused(TIES, "model.embed_tokens.weight is a tensor of base and not of b: .*llama, 4 layers and mamba")
    shutil.rmtree(models / "b")
    lfs.build("mistral", **SMALL, sliding_window=4).save_pretrained(models / "b")
    assert_refused(TIES, "compute differently: .*window is None and 4")


def test_a_damaged_model_is_named(models, assert_refused):
    config = json.loads((models / "b" / "config.json").read_text(encoding="utf-8"))
    (models / "b" / "config.json").write_text(json.dumps({**config, "vocab_size": 13}), encoding="utf-8")
    assert_refused(TIES, "b: the weights do not belong to this config")


def test_a_filter_that_fits_nothing_is_told(models):
    (models / "recipe.yaml").write_text(SLERP.replace("0.5", "[{filter: self_atn, value: 0}, {value: 1}]"), "utf-8")
    recipe = read_recipe(models / "recipe.yaml")
    plan = make_plan(recipe, {name: Member(models / name) for name in recipe.models()}, 0)
    assert plan.notes == ("the filter 'self_atn' fits no tensor",)
    assert plan.parts[0].settings.shared == {"t": 1.0}


def test_a_layer_range_of_a_merge_takes_its_own_layers(models, frozen):
    """The second of a and the third of b become one layer; each model's own name decides its filter."""
    recipe = (
        "merge_method: linear\nslices:\n"
        "  - sources:\n"
        "      - {model: a, layer_range: [1, 2], parameters: {weight: 1}}\n"
        "      - {model: b, layer_range: [2, 3], parameters: {weight: [{filter: layers.2, value: 3}, {value: 1}]}}\n"
    )
    found = run(recipe)
    name = "model.layers.{}.mlp.up_proj.weight"
    a, b = frozen[f"a/{name.format(1)}"], frozen[f"b/{name.format(2)}"]
    np.testing.assert_allclose(found[name.format(0)], (a + 3 * b) / 4, rtol=0, atol=1e-6)
    assert sum("up_proj" in key for key in found) == 1
    embedding = "model.embed_tokens.weight"
    mean = (frozen[f"a/{embedding}"] + frozen[f"b/{embedding}"]) / 2
    np.testing.assert_allclose(found[embedding], mean, rtol=0, atol=1e-6)
