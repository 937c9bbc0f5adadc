"""Recipes from file to file: mergekit's results, what is kept beside them, memory, and what is refused beforehand."""

from __future__ import annotations

import gc
import json
import shutil
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from family_models import FAMILIES, small, stirred
from mergekit_cases import CASES, SMALL, tuned
from merging_cases import of, run

import llm_from_scratch as lfs
import llm_from_scratch.merging as M
from llm_from_scratch.cli import main
from llm_from_scratch.files.safetensors import write_safetensors
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.tokenizers import Tokenizer


@pytest.mark.parametrize("case", CASES)
def test_the_result_is_mergekits(models, frozen, case):
    expected, found = of(frozen, case), run(CASES[case])
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6, err_msg=name)


TIES = tuned("ties", {"": "weight: 1, density: 0.5"})
DARE = tuned("dare_ties", {"": "weight: 1, density: 0.5"})


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "authors", "dare_ties", "model_stock"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_merged_as_its_tensors_are(family, method, tmp_path, monkeypatch):
    """Mamba's (d, 1, k) convolution, experts, tied heads, fused matrices: the functions on the stored tensors."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("base", "a", "b")):
        stirred(small(family), seed).save_pretrained(name)
    base, a, b = (read_safetensors(name) for name in ("base", "a", "b"))
    recipe, expected = {
        "linear": (LINEAR, lambda: M.linear([a, b], [1, 3])),
        "slerp": (tuned("slerp", {"": ""}, "{t: 0.3}", "a"), lambda: M.slerp(base, a, 0.3)),
        "ties": (
            tuned("ties", {"": "weight: 0.5, density: 0.4"}, models="ab"),
            lambda: M.ties(base, [a, b], [0.5, 0.5], density=0.4, dialect="mergekit"),
        ),
        "authors": (
            tuned("ties", {"": "weight: 1, density: 0.4"}, "{dialect: authors, lambda: 0.7}", "ab"),
            lambda: M.ties(base, [a, b], density=0.4, scale=0.7),
        ),
        "dare_ties": (
            tuned("dare_ties", {"": "weight: 1, density: 1, trim: 0.3"}, "{normalize: true}", "ab"),
            lambda: M.ties(base, [a, b], [1, 1], density=0.3, dialect="mergekit"),
        ),
        "model_stock": (tuned("model_stock", {"": ""}, models="ab"), lambda: M.model_stock(base, [a, b])),
    }[method]
    found = run(recipe)
    for name, array in expected().items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert found.keys() == base.keys()
    merged = lfs.from_pretrained("out")
    assert np.isfinite(merged(np.array([[1, 2, 3]])).data).all()


LINEAR = (
    "merge_method: linear\nmodels:\n  - {model: a, parameters: {weight: 1}}\n  - {model: b, parameters: {weight: 3}}\n"
)


def _deep(family):
    parts = "".join(
        f"  - sources: [{{model: base, layer_range: [{start}, {stop}]}}]\n" for start, stop in ((0, 3), (1, 4))
    )
    return f"merge_method: passthrough\nslices:\n{parts}"


@pytest.mark.parametrize("family", FAMILIES)
def test_depth_up_scaling_makes_a_model_that_loads_or_says_why_not(family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = stirred(small(family, layers=4), 0)
    model.save_pretrained("base")
    if family in ("gpt_neo", "glm"):  # layers take turns by a pattern, or know how many there are
        with pytest.raises(ValueError, match="config of base cannot say what these layers are together"):
            run(_deep(family))
        return
    run(_deep(family))
    deep = lfs.from_pretrained("out")
    assert len(deep.spec.layers) == 6
    # The same, by hand: our own decoder with the same layers one after the other.
    ours = M.depth_up_scale(model.state_dict(), drop=1)
    for name, array in deep.state_dict().items():
        np.testing.assert_array_equal(array, ours[name], err_msg=name)


def test_layers_with_settings_of_their_own_keep_them(tmp_path, monkeypatch):
    """DeciLM lists key-value heads layer by layer: the result's list follows its layers."""
    monkeypatch.chdir(tmp_path)
    model = small("decilm", layers=4, num_key_value_heads_per_layer=[1, 2, 4, 4])
    model.save_pretrained("base")
    run(_deep("decilm"))
    assert lfs.from_pretrained("out").config["num_key_value_heads_per_layer"] == [1, 2, 4, 2, 4, 4]


def test_layers_that_their_place_makes_what_they_are_cannot_move(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small("gpt2", layers=4, scale_attn_by_inverse_layer_idx=True).save_pretrained("base")
    with pytest.raises(ValueError, match="config of base cannot say .*scale"):
        run(_deep("gpt2"))


def test_a_model_of_our_own_layout_is_merged_and_stacked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("base", "a", "b")):
        model = stirred(small("gpt_neo", layers=4), seed)
        model.config.pop("model_type")
        model.save_pretrained(name)
    run(LINEAR)
    assert lfs.from_pretrained("out").spec == model.spec
    run(_deep("gpt_neo"), "deep")  # which its family's config could not say
    layers = lfs.from_pretrained("deep").spec.layers
    assert layers == tuple(model.spec.layers[k] for k in (0, 1, 2, 1, 2, 3))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_result_is_written_in_the_format_asked_for(models, frozen, dtype):
    found = run(TIES.replace("dtype: float32", f"dtype: {dtype}"))
    exact = M.ties(of(frozen, "base"), [of(frozen, m) for m in "abc"], [1] * 3, density=0.5, dialect="mergekit")
    for name, array in found.items():
        assert array.dtype == np.dtype(dtype)
        wide = dtype == "float64"
        expected = exact[name].astype(dtype)
        np.testing.assert_allclose(array.astype(float), expected.astype(float), rtol=0, atol=1e-6 if wide else 0)
    assert json.loads(Path("out/config.json").read_text(encoding="utf-8"))["torch_dtype"] == dtype


def test_half_precision_models_are_computed_in_single_and_keep_their_format(models, frozen):
    half = {name: {k: v.astype(ml_dtypes.bfloat16) for k, v in of(frozen, name).items()} for name in ("base", *"abc")}
    for name, arrays in half.items():
        write_safetensors(models / name / "model.safetensors", arrays)
    found = run(TIES.replace("dtype: float32\n", ""))
    single = {name: {k: v.astype(np.float32) for k, v in arrays.items()} for name, arrays in half.items()}
    exact = M.ties(single["base"], [single[m] for m in "abc"], [1] * 3, density=0.5, dialect="mergekit")
    for name, array in found.items():
        np.testing.assert_array_equal(array, exact[name].astype(ml_dtypes.bfloat16))
    wide = run(TIES, "wide")  # and float32 is not rounded to bfloat16 on its way
    for name, array in wide.items():
        np.testing.assert_array_equal(array, exact[name])


def test_a_number_too_large_for_the_format_is_refused_and_nothing_left(models):
    arrays = read_safetensors("a")
    arrays["model.norm.weight"][:] = 1e6
    write_safetensors(models / "a" / "model.safetensors", arrays)
    with pytest.raises(ValueError, match="model.norm.weight holds numbers too large for float16"):
        run(LINEAR + "dtype: float16\n")
    assert not Path("out").exists() and not Path("out.tmp").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_refused_with_its_tensor_and_nothing_left(models, value):
    arrays = read_safetensors("b")
    arrays["model.layers.2.mlp.up_proj.weight"][3, 1] = value
    write_safetensors(models / "b" / "model.safetensors", arrays)
    for recipe in (LINEAR, TIES, DARE, TIES.replace("parameters: {}", "parameters: {dialect: authors}")):
        with pytest.raises(ValueError, match="model.layers.2.mlp.up_proj.weight.*not finite"):
            run(recipe)
        assert not Path("out").exists() and not Path("out.tmp").exists()


def test_sharded_models_are_read_and_written(models):
    whole = run(TIES)
    for name in ("base", "a"):
        model = lfs.from_pretrained(name)
        shutil.rmtree(name)
        model.save_pretrained(name, max_shard_size=2000)
        assert Path(name, "model.safetensors.index.json").exists()
    found = run(TIES, "sharded", max_shard_size=3000)
    assert len(list(Path("sharded").glob("model-*.safetensors"))) > 2
    assert all(np.array_equal(found[name], whole[name]) for name in whole)
    assert lfs.from_pretrained("sharded")(np.array([[1, 2]])).shape == (1, 2, 11)


def test_equal_seeds_give_equal_bytes_and_others_do_not(models):
    for out, seed in (("one", 0), ("two", 0), ("three", 1)):
        run(DARE, out, seed=seed)
    one, two, three = (Path(out, "model.safetensors").read_bytes() for out in ("one", "two", "three"))
    assert one == two and one != three
    run(TIES, "ties"), run(TIES, "again")
    assert Path("ties/model.safetensors").read_bytes() == Path("again/model.safetensors").read_bytes()
    for seed in (-1, 0.5, True):
        with pytest.raises(ValueError, match="seed must be"):
            run(DARE, "four", seed=seed)


def test_what_is_dropped_differs_from_tensor_to_tensor(models, frozen):
    found = run(tuned("dare_linear", {"": "weight: 1, density: 0.5"}, "{rescale: false}", "a"))
    base, a = of(frozen, "base"), of(frozen, "a")
    names = [f"model.layers.{k}.mlp.up_proj.weight" for k in range(4)]
    kept = [found[name] != base[name] for name in names]
    assert all(0.3 < mask.mean() < 0.7 for mask in kept)
    assert all((kept[0] != mask).any() for mask in kept[1:])
    for name, mask in zip(names, kept):
        np.testing.assert_allclose(found[name][mask], a[name][mask], rtol=0, atol=1e-6)


def test_the_papers_rescaling_by_name(models, frozen):
    found = run(tuned("dare_linear", {"": "weight: 1, density: 0.5"}, "{rescale: paper}", "a"))
    name = "model.layers.0.mlp.up_proj.weight"
    base, a = of(frozen, "base")[name], of(frozen, "a")[name]
    kept = found[name] != base
    np.testing.assert_allclose((found[name] - base)[kept], 2 * (a - base)[kept], rtol=0, atol=1e-6)


def test_lineage_recipe_tokenizer_and_settings_stand_beside_the_weights(models, capsys):
    tokenizer = Tokenizer.train(["low lower lowest"], vocab_size=262)
    for name in ("base", "a"):
        tokenizer.save(name)
    Path("base/chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    Path("base/generation_config.json").write_text('{"eos_token_id": 3}', encoding="utf-8")
    recipe = TIES.replace("parameters: {}", "parameters: {lambda: 0.9}")
    run(recipe)
    assert Path("out/merge_recipe.yaml").read_text(encoding="utf-8") == recipe
    assert Tokenizer.from_pretrained("out").encode("lower") == tokenizer.encode("lower")
    assert Path("out/chat_template.jinja").exists() and lfs.from_pretrained("out").generation_config == {
        "eos_token_id": 3
    }
    assert main(["zoo", "tree", "out"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "out: merged from (method ties, lambda 0.9)"
    assert told[1:] == ["├─ base", "├─ a", "├─ b", "└─ c"]
    # What is made of the merge knows it, by its weights too.
    model = lfs.from_pretrained("out")
    model.norm.weight.data = model.norm.weight.data + 1
    model.save_pretrained("tuned")
    main(["zoo", "tree", "tuned"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tuned: trained from (weights ")
    assert lines[1].startswith("└─ out: merged from (method ties, lambda 0.9, weights ")


def test_the_tokenizer_may_come_from_another(models):
    tokenizer = Tokenizer.train(["low lower lowest"], vocab_size=262)
    for name in ("base", "a"):
        tokenizer.save(name)
    Path("a/chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    for source, template in (("a", True), ("base", False), ("union", False)):
        run(TIES + f"tokenizer_source: {source}\n", source + "-out")
        assert Path(source + "-out", "tokenizer.json").exists()
        assert Path(source + "-out", "chat_template.jinja").exists() is template
    Tokenizer.train(["old older oldest"], vocab_size=262).save("b")
    with pytest.raises(ValueError, match="vocabularies of base and b differ"):
        run(TIES)


def test_nothing_that_is_there_is_written_over(models):
    for there in ("a", "recipe.yaml"):
        with pytest.raises(ValueError, match="is there already"):
            run(TIES, there)
    Path("empty").mkdir()
    run(TIES, "empty")
    assert Path("empty/config.json").exists()


def test_models_are_found_beside_the_recipe(models, monkeypatch):
    (models / "recipe.yaml").write_text(TIES, encoding="utf-8")
    (models / "elsewhere").mkdir()
    monkeypatch.chdir(models / "elsewhere")
    done = M.run_recipe("../recipe.yaml", "out")
    assert done.method == "ties" and done.models == ("base", "a", "b", "c") and done.tensors == 39
    assert done.parameters == sum(array.size for array in read_safetensors("out").values())
    assert [note.split(" has ")[1] for note in done.notes] == ["no tokenizer: its vocabulary was not compared"] * 4


@pytest.mark.parametrize("recipe", [TIES, DARE, TIES.replace("parameters: {}", "parameters: {dialect: authors}"),
                                    tuned("slerp", {"": ""}, "{t: 0.5}", "a"), LINEAR])  # fmt: skip
def test_no_more_than_a_few_tensors_stand_in_memory(recipe, tmp_path, monkeypatch):
    """Of a model of 42 tensors of one size at most five stand in memory, and the pieces of a formula."""
    monkeypatch.chdir(tmp_path)
    sizes = {"hidden_size": 512, "intermediate_size": 512, "num_hidden_layers": 6, "num_key_value_heads": 2}
    for seed, name in enumerate(("base", *"abc")):
        stirred(lfs.build("llama", **{**SMALL, **sizes}), seed).save_pretrained(name)
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    M.run_recipe("recipe.yaml", "warm")
    gc.collect()
    tracemalloc.start()
    M.run_recipe("recipe.yaml", "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tensor, pieces = 512 * 512 * 4, 30 * (1 << 16) * 4
    assert peak < 5 * tensor + pieces < 0.5 * 42 * tensor
