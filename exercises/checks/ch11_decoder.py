"""What the grader looks at in chapter 11. Nothing is hidden: read on if a message leaves you wondering.

Expected values are configs typed in with their answers, single rows picked one by one with loops, and functions whose
results can be told apart by eye.
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import (
    CheckFailed,
    check,
    check_close,
    check_equal,
    check_raises,
    inputs_stay_unchanged,
)

KEYS = ("layers", "width", "heads", "key_value_heads", "head_dim", "inner", "base", "tied")


def shape(*values):
    return dict(zip(KEYS, values, strict=True))


# --- read_config ---


@check("read_config")
def gpt2_s_words(read_config):
    """GPT-2's config, in its own words"""
    config = {"n_layer": 12, "n_embd": 768, "n_head": 16, "n_positions": 1024, "tie_word_embeddings": True}
    causes = {"inner is the width": shape(12, 768, 16, 16, 48, 768, None, True)}
    check_equal("the shape", read_config(config), shape(12, 768, 16, 16, 48, 3072, None, True), causes)


@check("read_config")
def llama_s_words(read_config):
    """a LLaMA with grouped key-value heads, and heads that do not add up to the width"""
    config = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2,
              "head_dim": 20, "intermediate_size": 250, "rope_theta": 5e6, "tie_word_embeddings": False}  # fmt: skip
    got = read_config(config)
    causes = {
        "head_dim in the config was not used": shape(3, 96, 8, 2, 12, 250, 5e6, False),
        "num_key_value_heads was not used": shape(3, 96, 8, 8, 20, 250, 5e6, False),
    }
    check_equal("the shape", got, shape(3, 96, 8, 2, 20, 250, 5e6, False), causes)


@check("read_config")
def other_families_words(read_config):
    """OPT's ffn_dim, GPT-Neo's num_layers and num_heads, Mamba's d_model, GPT-NeoX's rotary_emb_base"""
    opt = {"num_hidden_layers": 2, "hidden_size": 12, "num_attention_heads": 3, "ffn_dim": 50}
    check_equal("OPT's shape", read_config(opt), shape(2, 12, 3, 3, 4, 50, None, True))
    neo = {"num_layers": 4, "d_model": 10, "num_heads": 5, "n_inner": 33, "rotary_emb_base": 777}
    check_equal("the other shape", read_config(neo), shape(4, 10, 5, 5, 2, 33, 777, True))


@check("read_config")
def null_means_the_usual(read_config):
    """a key whose value is None counts as absent"""
    config = {"n_layer": 2, "num_layers": None, "num_hidden_layers": None, "n_embd": 6, "n_head": 2, "n_inner": None,
              "head_dim": None, "num_key_value_heads": None, "rope_theta": None, "rope_parameters": None,
              "tie_word_embeddings": None}  # fmt: skip
    check_equal("the shape", read_config(config), shape(2, 6, 2, 2, 3, 24, None, True))


@check("read_config")
def both_spellings_of_the_base(read_config):
    """the base of rotary positions, in its older and in its newer place"""
    config = {"n_layer": 2, "n_embd": 6, "n_head": 1, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}
    check_equal("base, newer place", read_config(config)["base"], 500.0)
    config = {"n_layer": 2, "n_embd": 6, "n_head": 1, "rope_theta": 600.0}
    check_equal("base, older place", read_config(config)["base"], 600.0)


@check("read_config")
def several_words_at_once(read_config):
    """where several words are there, the one named first counts; an empty or null newer place takes nothing away"""
    plain = {"n_layer": 2, "n_embd": 6, "n_head": 1}
    nested = {"a nested base was preferred": 500.0}
    for more, base, causes in (
        ({"rope_theta": 600.0, "rope_parameters": {"rope_theta": 500.0}}, 600.0, nested),
        ({"rotary_emb_base": 700, "rope_parameters": {"rope_theta": 500.0}}, 700, nested),
        ({"rope_theta": 600.0, "rotary_emb_base": 700}, 600.0, None),
        ({"rope_theta": 600.0, "rope_parameters": {"rope_type": "default"}}, 600.0, None),
        ({"rope_theta": 600.0, "rope_parameters": {"rope_theta": None}}, 600.0, None),
        ({"rope_theta": 600.0, "rope_parameters": None}, 600.0, None),
        ({"rope_theta": None, "rope_parameters": {"rope_theta": 500.0}}, 500.0, None),
        ({"rope_theta": None, "rotary_emb_base": 700, "rope_parameters": {}}, 700, None),
        ({"rope_parameters": {"rope_theta": None}}, None, None),
        ({"rope_parameters": {"rope_type": "default"}}, None, None),
    ):
        check_equal(f"the base of {more}", read_config({**plain, **more})["base"], base, causes)
    config = {"num_layers": 4, "n_layer": 3, "num_hidden_layers": 2, "d_model": 40, "n_embd": 30, "hidden_size": 20,
              "num_heads": 8, "n_head": 6, "num_attention_heads": 5,
              "ffn_dim": 9, "n_inner": 8, "intermediate_size": 7}  # fmt: skip
    check_equal("the shape", read_config(config), shape(2, 20, 5, 5, 4, 7, None, True))
    rest = {key: value for key, value in config.items() if key not in ("num_hidden_layers", "hidden_size")}
    rest |= {"num_attention_heads": None, "intermediate_size": None}
    check_equal("the shape without the first words", read_config(rest), shape(3, 30, 6, 6, 5, 8, None, True))


@check("read_config")
def what_is_missing_is_named(read_config):
    """without layers, width or heads there is no model: ValueError"""
    whole = {"num_hidden_layers": 2, "hidden_size": 6, "num_attention_heads": 2}
    for key in whole:
        rest = {other: value for other, value in whole.items() if other != key}
        check_raises(f"a config without {key}", ValueError, read_config, rest)
        check_raises(f"a config where {key} is null", ValueError, read_config, {**whole, key: None})


# --- residual_step ---


def parts(rng):
    """Functions and norms on (5, 3) that cannot be mistaken for each other: all affine, none commuting."""
    matrices = [rng.normal(size=(3, 3)) for _ in range(4)]
    shifts = [rng.normal(size=3) for _ in range(4)]
    return [lambda x, m=m, s=s: x @ m + s for m, s in zip(matrices, shifts, strict=True)]


@check("residual_step")
def the_usual_pre_norm(residual_step, rng):
    """x + f(norm(x)), as in GPT-2 and LLaMA"""
    x, (f, _, n, _) = rng.normal(size=(5, 3)), parts(rng)
    causes = {"the residual is missing": f(n(x)), "the norm was left out": x + f(x), "norm and f swapped": x + n(f(x))}
    check_close("y", residual_step(x, [f], [n]), x + f(n(x)), 1e-9, causes)


@check("residual_step")
def after_comes_last(residual_step, rng):
    """norm(x + f(x)), as in OPT-350M"""
    x, (f, _, n, _) = rng.normal(size=(5, 3)), parts(rng)
    causes = {"the norm acts on f(x) alone": x + n(f(x)), "the norm behind is missing": x + f(x)}
    check_close("y", residual_step(x, [f], [], norm_after=n), n(x + f(x)), 1e-9, causes)


@check("residual_step")
def alpha_weighs_the_residual(residual_step, rng):
    """norm(alpha x + f(x)), as in DeepNorm"""
    x, (f, _, n, _) = rng.normal(size=(5, 3)), parts(rng)
    causes = {"alpha weighs f(x)": n(x + 2.5 * f(x)), "alpha is missing": n(x + f(x))}
    check_close("y", residual_step(x, [f], [], norm_after=n, alpha=2.5), n(2.5 * x + f(x)), 1e-9, causes)


@check("residual_step")
def the_normed_residual(residual_step, rng):
    """alpha norm(x) + f(norm(x)), as in GLM-130B"""
    x, (f, _, n, _) = rng.normal(size=(5, 3)), parts(rng)
    got = residual_step(x, [f], [n], alpha=1.5, residual_is_normed=True)
    causes = {"x was added instead of norm(x)": 1.5 * x + f(n(x)), "f saw x instead of norm(x)": 1.5 * n(x) + f(x)}
    check_close("y", got, 1.5 * n(x) + f(n(x)), 1e-9, causes)


@check("residual_step")
def parallel_functions_see_the_same_x(residual_step, rng):
    """x + f(norm 1(x)) + g(norm 2(x)), as in GPT-NeoX"""
    x, (f, g, n, m) = rng.normal(size=(5, 3)), parts(rng)
    one = x + f(n(x))
    causes = {
        "the second function saw the first one's result": one + g(m(one)),
        "both functions used the first norm": x + f(n(x)) + g(n(x)),
        "the second function is missing": one,
    }
    check_close("y", residual_step(x, [f, g], [n, m]), x + f(n(x)) + g(m(x)), 1e-9, causes)


@check("residual_step")
def one_norm_for_two_functions(residual_step, rng):
    """x + f(norm(x)) + g(norm(x)), as in Falcon-7B"""
    x, (f, g, n, _) = rng.normal(size=(5, 3)), parts(rng)
    causes = {"only the first function is normed": x + f(n(x)) + g(x), "one function is missing": x + f(n(x))}
    check_close("y", residual_step(x, [f, g], [n]), x + f(n(x)) + g(n(x)), 1e-9, causes)


@check("residual_step")
def one_token(residual_step, rng):
    """a single token: functions in parallel without a norm, three of them behind one, two behind two"""
    x, (f, g, n, m) = rng.normal(size=(1, 3)), parts(rng)
    causes = {"only one of the functions counts": x + f(x)}
    check_close("y, no norm", residual_step(x, [f, g], []), x + f(x) + g(x), 1e-9, causes)
    got = residual_step(x, [f, g, n], [m])
    check_close("y, one norm for three", got, x + f(m(x)) + g(m(x)) + n(m(x)), 1e-9)
    check_close("y, two norms", residual_step(x, [f, g], [n, m]), x + f(n(x)) + g(m(x)), 1e-9)


@check("residual_step")
def keeps_float32(residual_step, rng):
    """float32 in, float32 out"""
    x = rng.normal(size=(4, 3)).astype(np.float32)
    got = residual_step(x, [lambda h: 2 * h], [lambda h: h + 1], alpha=0.5)
    check_close("y", got, (0.5 * x + 2 * (x + 1)).astype(np.float32), 1e-5)


# --- split_qkv ---


def fused(rng, heads, groups, head_dim, order, width=4):
    """The answer, row by row, and the fused tensor made from it."""
    q, k, v = (rng.normal(size=(n * head_dim, width)) for n in (heads, groups, groups))
    if order == "thirds":
        return q, k, v, np.concatenate([q, k, v])
    rows, share = [], heads // groups
    for g in range(groups):
        for h in range(g * share, (g + 1) * share):
            rows += [q[h * head_dim + n] for n in range(head_dim)]
        rows += [k[g * head_dim + n] for n in range(head_dim)]
        rows += [v[g * head_dim + n] for n in range(head_dim)]
    return q, k, v, np.stack(rows)


def three(result):
    if type(result) is not tuple or len(result) != 3:
        raise CheckFailed(f"the result must be three arrays (q, k, v), got {type(result).__name__}.", "return q, k, v")
    return result


def compare(split_qkv, rng, heads, groups, head_dim, order, other):
    q, k, v, whole = fused(rng, heads, groups, head_dim, order)
    got = three(split_qkv(whole, heads, groups, order))
    wrong = np.split(whole, [len(q), len(q) + len(k)]) if other else (None,) * 3
    for name, mine, right, guess in zip("qkv", got, (q, k, v), wrong, strict=True):
        check_close(name, mine, right, 1e-12, {} if guess is None else {"the rows were taken as thirds": guess})


@check("split_qkv")
def thirds_of_gpt2(split_qkv, rng):
    """all queries, all keys, all values: 3 heads of width 4, and 6 query heads that share 2 key-value heads"""
    compare(split_qkv, rng, 3, 3, 4, "thirds", other=False)
    compare(split_qkv, rng, 6, 2, 3, "thirds", other=False)


@check("split_qkv")
def per_head_of_bloom(split_qkv, rng):
    """[q k v] for each of 3 heads of width 4"""
    compare(split_qkv, rng, 3, 3, 4, "grouped", other=True)


@check("split_qkv")
def grouped_of_falcon(split_qkv, rng):
    """6 query heads in 2 groups: three queries, a key, a value, twice"""
    compare(split_qkv, rng, 6, 2, 3, "grouped", other=True)


@check("split_qkv")
def any_number_of_heads(split_qkv, rng):
    """one key-value head for all, one head at all, heads of width 1, five key-value heads; both orders"""
    for heads, groups, head_dim in ((4, 1, 3), (1, 1, 2), (6, 3, 1), (10, 5, 2), (8, 1, 1)):
        for order in ("thirds", "grouped"):
            q, k, v, whole = fused(rng, heads, groups, head_dim, order)
            for name, mine, right in zip("qkv", three(split_qkv(whole, heads, groups, order)), (q, k, v), strict=True):
                check_close(f"{name} of {heads} heads in {groups} groups, {order}", mine, right, 1e-12)


@check("split_qkv")
def biases_too(split_qkv, rng):
    """a bias has rows only"""
    q, k, v, whole = fused(rng, 4, 2, 3, "grouped", width=1)
    for name, mine, right in zip("qkv", three(split_qkv(whole[:, 0], 4, 2, "grouped")), (q, k, v), strict=True):
        check_close(f"the bias of {name}", mine, right[:, 0], 1e-12)


@check("split_qkv")
def an_unknown_order_is_refused(split_qkv, rng):
    """an order that is neither, wherever its name stands in the alphabet: ValueError"""
    for order in ("halves", "zigzag", "Thirds", "thirdsome", "", "a"):
        check_raises(f'order "{order}"', ValueError, split_qkv, rng.normal(size=(9, 2)), 3, 3, order)


# --- load_weights and save_weights ---

TABLE = [
    ("embedding", "model.embed.weight", False),
    ("layers.{i}.query", "model.layers.{i}.q_proj.weight", True),
    ("layers.{i}.norm", "model.layers.{i}.ln.weight", False),
    ("layers.{i}.up", "model.layers.{i}.fc.weight", True),
    ("head", "lm_head.weight", True),
]


def checkpoint(rng, layers):
    """Their tensors, and ours, made independently of any table."""
    theirs = {"model.embed.weight": rng.normal(size=(7, 4)), "lm_head.weight": rng.normal(size=(7, 4))}
    ours = {"embedding": theirs["model.embed.weight"], "head": np.array(theirs["lm_head.weight"].T)}
    for i in range(layers):
        for mine, name, size in (("query", "q_proj", (4, 4)), ("up", "fc", (9, 4))):
            theirs[f"model.layers.{i}.{name}.weight"] = stored = rng.normal(size=size)
            ours[f"layers.{i}.{mine}"] = np.array(stored.T)
        theirs[f"model.layers.{i}.ln.weight"] = ours[f"layers.{i}.norm"] = rng.normal(size=4)
    return theirs, ours


def same(kind, got, expected):
    if type(got) is not dict:
        raise CheckFailed(f"the result must be a dictionary of arrays, got {type(got).__name__}.", "is there a return?")
    check_equal(f"the names of {kind}", sorted(got), sorted(expected))
    for name, array in expected.items():
        causes = (
            {"it was not turned (or turned twice)": array.T} if array.ndim == 2 and len(set(array.shape)) > 1 else {}
        )
        if array.ndim == 2 and len(set(array.shape)) == 1:
            causes = {"it was not turned (or turned twice)": array.T}
        check_close(name, got[name], array, 1e-12, causes)


@check("load_weights")
def a_tiny_model(load_weights, rng):
    """names, one tensor a layer, of a model with two layers"""
    theirs, ours = checkpoint(rng, 2)
    check_equal("the names", sorted(load_weights(TABLE, theirs, 2)), sorted(ours))


@check("load_weights")
def turned_where_the_table_says_so(load_weights, rng):
    """every array, turned or not, of a model with three layers; square matrices too"""
    theirs, ours = checkpoint(rng, 3)
    same("ours", load_weights(TABLE, theirs, 3), ours)


@check("load_weights")
def twelve_layers(load_weights, rng):
    """layers with two digits in their numbers, and none at all"""
    for layers in (12, 1, 0):
        theirs, ours = checkpoint(rng, layers)
        same(f"ours, {layers} layers", load_weights(TABLE, theirs, layers), ours)


def names_in(message_of, names, function, *arguments):
    check_raises(message_of, ValueError, function, *arguments)
    try:
        function(*arguments)
    except ValueError as error:
        for name in names:
            if name not in str(error):
                raise CheckFailed(
                    f"{message_of}: the message does not name {name}: {error}", "name all of them"
                ) from None


@check("load_weights")
def missing_tensors_are_named(load_weights, rng):
    """two tensors are missing: a ValueError that names both"""
    theirs, _ = checkpoint(rng, 2)
    gone = ["model.layers.1.ln.weight", "lm_head.weight"]
    names_in("a file without two tensors", gone, load_weights, TABLE,
             {name: array for name, array in theirs.items() if name not in gone}, 2)  # fmt: skip


@check("load_weights")
def surplus_tensors_are_named(load_weights, rng):
    """tensors without a row, also those of a third layer: a ValueError that names them"""
    theirs, _ = checkpoint(rng, 2)
    more = {"model.layers.2.ln.weight": np.ones(4), "model.rotary": np.ones(2)}
    names_in("a file with two tensors more", list(more), load_weights, TABLE, {**theirs, **more}, 2)


@check("load_weights")
def missing_and_surplus_at_once(load_weights, rng):
    """one tensor too few and one or two too many, in a model of twelve layers: a ValueError that names all of them"""
    gone = "model.layers.11.fc.weight"
    for more in (["model.layers.12.ln.weight"], ["model.layers.12.ln.weight", "model.layers.1.extra"]):
        theirs, _ = checkpoint(rng, 12)
        theirs.pop(gone)
        theirs |= dict.fromkeys(more, np.ones(4))
        names_in("a file with other tensors", [gone, *more], load_weights, TABLE, theirs, 12)


@check("save_weights")
def there_and_back(save_weights, rng):
    """what was loaded is saved as it was: names, shapes, values"""
    theirs, ours = checkpoint(rng, 2)
    same("theirs", save_weights(TABLE, ours, 2), theirs)


@check("save_weights")
def a_fresh_model_is_saved_complete(save_weights, rng):
    """one layer, none, and twelve; a table with its rows in another order"""
    for layers in (1, 0, 12):
        theirs, ours = checkpoint(rng, layers)
        same(f"theirs, {layers} layers", save_weights(TABLE[::-1], ours, layers), theirs)


@check("save_weights")
def nothing_is_left_behind(save_weights, rng):
    """an array without a row, or a row without its array: a ValueError that names it"""
    _, ours = checkpoint(rng, 2)
    names_in("an array more", ["layers.5.norm"], save_weights, TABLE, {**ours, "layers.5.norm": np.ones(4)}, 2)
    rest = {name: array for name, array in ours.items() if name != "layers.1.up"}
    names_in("an array missing", ["layers.1.up"], save_weights, TABLE, rest, 2)
    both = {**rest, "layers.2.up": np.ones((4, 9)), "other": np.ones(2)}
    names_in("two arrays more and one missing", ["layers.1.up", "layers.2.up", "other"], save_weights, TABLE, both, 2)


inputs_stay_unchanged("read_config", "residual_step", "split_qkv", "load_weights", "save_weights")
