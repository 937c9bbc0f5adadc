"""The form of a recipe: what is read, and what is wrong, in words."""

import pytest

from llm_from_scratch.merging.recipe_file import read_recipe

GOOD = "merge_method: ties\nbase_model: b\nmodels:\n  - {model: a, parameters: {weight: 1}}\n"


def _read(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def test_models_become_one_slice_with_the_base(tmp_path):
    recipe = _read(tmp_path, GOOD + "dtype: float16\nout_dtype: bfloat16\ntokenizer_source: base\n")
    (part,) = recipe.slices
    assert (
        [source.model for source in part.sources] == ["a", "b"] and part.base == "b" and recipe.models() == ["b", "a"]
    )
    assert recipe.dtype == "bfloat16" and recipe.tokenizer_source == "base" and recipe.text.startswith("merge_method")
    assert recipe.slices[0].sources[0].parameters == {"weight": 1}


def test_slices_keep_their_own(tmp_path):
    recipe = _read(
        tmp_path,
        "merge_method: slerp\nbase_model: b\nslices:\n"
        "  - sources: [{model: b, layer_range: [0, 2]}, {model: a, layer_range: [1, 3], parameters: {t: 1}}]\n"
        "    parameters: {t: 0.5}\n"
        "  - {base_model: c, sources: [{model: c, layer_range: [0, 1]}, {model: a, layer_range: [0, 1]}]}\n",
    )
    assert [part.base for part in recipe.slices] == ["b", "c"]
    assert recipe.slices[0].sources[1].layers == (1, 3) and recipe.slices[0].parameters == {"t": 0.5}
    assert recipe.models() == ["b", "c", "a"]
    assert [beside for _, _, beside in recipe.settings()] == [False, False, True, True, False, True, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "consists of keys"),
        ("- 1", "consists of keys"),
        ("merge_method: [", "r.yaml"),
        (GOOD + "merge_methd: x\n", "'merge_methd' is not known, did you mean 'merge_method'"),
        (GOOD + "modules: {}\n", "mergekit's, but not read here"),
        (GOOD + "dtype: float8\n", "dtype is one of float16"),
        (GOOD + "merge_method: slerp\n", "'merge_method' stands twice"),
        (GOOD + "slices: []\n", "either models or slices"),
        ("merge_method: ties\nbase_model: b\n", "either models or slices"),
        ("models: [{model: a}]\n", "merge_method must be given"),
        ("merge_method: ties\nmodels: []\n", "at least one entry"),
        ("merge_method: ties\nmodels: [{modle: a}]\n", "models.0.: the key 'modle' is not known, did you mean 'model'"),
        ("merge_method: ties\nmodels: [{parameters: {}}]\n", "models.0.: model must be given"),
        ("merge_method: ties\nmodels: [a]\n", "consists of keys"),
        ("merge_method: ties\nmodels: [{model: a}, {model: a}]\n", "a is there twice"),
        ("merge_method: ties\nmodels: [{model: a, parameters: [1]}]\n", "parameters are names with values"),
        (GOOD + "parameters: {lambda: null}\n", "lambda"),
        (GOOD + "tokenizer_source: 3\n", "tokenizer_source must be given"),
        ("merge_method: passthrough\nslices: [{sources: [{model: a}]}]\n", "layer_range is"),
        ("merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [2, 1]}]}]\n", "layer_range is"),
        ("merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, x]}]}]\n", "layer_range is"),
        (
            "merge_method: slerp\nslices:\n"
            "  - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 3]}]\n",
            "equally many layers",
        ),
        ("merge_method: !!python/object/apply:os.getcwd []\n", "r.yaml"),
    ],
)
def test_what_is_no_recipe_is_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(ValueError, match=words) as error:
        _read(tmp_path, text)
    assert "r.yaml: " in str(error.value) and "\n" not in str(error.value)


def test_a_recipe_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recipe at"):
        read_recipe(tmp_path / "none.yaml")
