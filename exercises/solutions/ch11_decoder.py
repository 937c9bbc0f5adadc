"""Chapter 11 exercises: from a published checkpoint to one decoder, and back.

The two files of a checkpoint are all there is: a config that says what the model is, in the words of its family,
and tensors under the family's own names. Nothing here computes with a model; it is about reading carefully.
Stored matrices are (out, in), as torch keeps them; ours are (in, out), so that y = x @ W.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=20,
    hints={
        "gpt2_s_words: a KeyError": (
            "GPT-2 says n_layer, n_embd, n_head. Look for each of the words in turn, and take the first that is there."
        ),
        "null_means_the_usual: None came back": (
            'A key may be there with the value None ("null" in JSON), and then means the same as no key: '
            "`config.get(key, default)` returns None for it. Ask `if config.get(key) is not None`."
        ),
        "both_spellings_of_the_base: the base of a newer file is not found": (
            'Newer files keep it one level down: config["rope_parameters"]["rope_theta"].'
        ),
        "several_words_at_once: a nested base was preferred": (
            "rope_theta counts before rotary_emb_base, and both before what rope_parameters holds, which may be empty."
        ),
        "what_is_missing_is_named: no error": (
            "Layers, width and heads have no default. A reader that guesses them loads a wrong model without a word."
        ),
    },
    why="""A config is a family's dialect, and most mistakes in loading a model are made here, silently: a default that
    was assumed, a null that was taken for a number, a key in its newer place. Each family of the package writes down
    its own words and defaults once, and refuses what it does not know, for the only thing worse than a model that does
    not load is one that loads wrong.""",
)
def read_config(config: dict) -> dict:
    """Read the shape of a model from the config.json of any family of 2023.

    config: a dictionary, keys in the words of its family
    returns: {"layers", "width", "heads", "key_value_heads", "head_dim", "inner": whole numbers,
              "base": the base of rotary positions, a number or None, "tied": a truth value}

    layers: num_hidden_layers, n_layer or num_layers. width: hidden_size, n_embd or d_model. heads:
    num_attention_heads, n_head or num_heads. If one of these three is missing: ValueError.
    key_value_heads: num_key_value_heads, else as many as heads. head_dim: head_dim, else width // heads.
    inner, of the feed-forward part: intermediate_size, n_inner or ffn_dim, else four times the width.
    base: rope_theta, or rotary_emb_base, or rope_theta inside rope_parameters, else None.
    tied: tie_word_embeddings, else True. Where several words are there, the one named first counts. A key with the
    value None counts as absent, everywhere.

    >>> shape = read_config({"n_layer": 12, "n_embd": 768, "n_head": 12, "n_inner": None})
    >>> shape["layers"], shape["inner"], shape["key_value_heads"], shape["head_dim"]
    (12, 3072, 12, 64)
    >>> read_config({"num_hidden_layers": 2, "hidden_size": 8, "num_heads": 2, "rope_theta": 1e4})["base"]
    10000.0
    """

    def first(*keys, default=None):
        return next((config[key] for key in keys if config.get(key) is not None), default)

    layers = first("num_hidden_layers", "n_layer", "num_layers")
    width = first("hidden_size", "n_embd", "d_model")
    heads = first("num_attention_heads", "n_head", "num_heads")
    for name, value in (("layers", layers), ("width", width), ("heads", heads)):
        if value is None:
            raise ValueError(f"the config does not say how many {name}")
    nested = first("rope_parameters", default={}).get("rope_theta")
    return {
        "layers": layers,
        "width": width,
        "heads": heads,
        "key_value_heads": first("num_key_value_heads", default=heads),
        "head_dim": first("head_dim", default=width // heads),
        "inner": first("intermediate_size", "n_inner", "ffn_dim", default=4 * width),
        "base": first("rope_theta", "rotary_emb_base", default=nested),
        "tied": first("tie_word_embeddings", default=True),
    }


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "parallel_functions_see_the_same_x: the second function saw the first one's result": (
            "All functions of one step read the x that came in. Compute every f(h) from it, then add them all."
        ),
        "the_normed_residual: x was added where h should be": (
            "With residual_is_normed the stream itself goes on in its normed form: alpha * h, not alpha * x."
        ),
        "one_norm_for_two_functions: an IndexError": (
            "A single norm before several functions is shared: every function gets the same h."
        ),
        "after_comes_last: the norm behind stood before the addition": (
            "norm_after acts on the sum, residual included. That is what makes it a post-norm."
        ),
    },
    why="""Pre-norm, post-norm, DeepNorm, GLM-130B's form, BLOOM's option and the parallel layers of GPT-NeoX and Falcon
    look like six designs. They are settings of three lines, and that is why one decoder serves them all: what would be
    an `if family == ...` in the middle of the model becomes a value in its description.""",
)
def residual_step(
    x: np.ndarray,
    functions: list[Callable[[np.ndarray], np.ndarray]],
    norms: list[Callable[[np.ndarray], np.ndarray]],
    norm_after: Callable[[np.ndarray], np.ndarray] | None = None,
    alpha: float = 1.0,
    residual_is_normed: bool = False,
) -> np.ndarray:
    """One residual step, any placement of norms: h = norm(x), y = alpha * (x or h) + sum of f(h), then a norm behind.

    x: (tokens, width)
    functions: one (attention, or the feed-forward part), or several that work in parallel
    norms: before the functions: none (they see x), one for all of them, or one for each, in their order
    norm_after: acts on the sum, or None
    alpha: the weight of the residual, a plain number
    residual_is_normed: the residual is h instead of x (there is exactly one norm then)
    returns: (tokens, width), a new array

    >>> double, halve = lambda x: 2 * x, lambda x: x / 2
    >>> residual_step(np.array([[4.0]]), [double], [halve])          # x + double(halve(x)) = 4 + 4
    array([[8.]])
    >>> residual_step(np.array([[4.0]]), [double, double], [], norm_after=halve, alpha=3.0)
    array([[14.]])
    """
    inputs = [norm(x) for norm in norms]
    y = alpha * (inputs[0] if residual_is_normed else x)
    if len(inputs) != len(functions):
        inputs = (inputs or [x]) * len(functions)
    for function, h in zip(functions, inputs):
        y = y + function(h)
    return y if norm_after is None else norm_after(y)


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "thirds_of_gpt2: rows of several heads are mixed": (
            'In "thirds" all queries come first, head after head: q is simply the first heads * head_dim rows.'
        ),
        "per_head_of_bloom: the first third was taken": (
            "Group the rows first: reshape to (key_value_heads, rows of a group, ...). Inside a group the queries "
            "come first, then one key, then one value."
        ),
        "grouped_of_falcon: ValueError: cannot reshape array": (
            "A group has heads // key_value_heads queries, one key and one value: that many times head_dim rows."
        ),
        "any_number_of_heads: a wrong shape": (
            "Keys and values have key_value_heads heads each: heads + 2 * key_value_heads in all, also where that is 1."
        ),
        "biases_too: an IndexError or a wrong shape": (
            "A bias has rows and nothing else. Keep whatever axes come behind the rows: reshape(groups, -1, "
            "*fused.shape[1:])."
        ),
    },
    why="""Thirds or head by head: both have the same shape, so a wrong guess loads without a murmur, and the model
    talks nonsense. BLOOM and GPT-NeoX store [q k v] for each head, because that is how a model is cut across several
    processors: each gets some heads, complete. GPT-2 and MPT keep thirds, Falcon-40B groups. In the package this is
    one layout with a number of groups, tried against a plain loop.""",
)
def split_qkv(
    fused: np.ndarray, heads: int, key_value_heads: int, order: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take a fused query-key-value tensor apart.

    fused: (rows, width) a stored matrix, or (rows,) a bias; rows = (heads + 2 * key_value_heads) * head_dim
    heads: query heads, a multiple of key_value_heads
    order: "thirds": all queries, all keys, all values (GPT-2, MPT, Qwen). "grouped": for each key-value head the
        queries that use it, then its key, then its value (BLOOM and GPT-NeoX, where each head is a group of one
        query; Falcon, where a group has several). Anything else: ValueError
    returns: q (heads * head_dim, ...), k and v (key_value_heads * head_dim, ...), heads in order

    >>> rows = np.arange(6.0)                              # two heads of width 1
    >>> split_qkv(rows, 2, 2, "thirds")
    (array([0., 1.]), array([2., 3.]), array([4., 5.]))
    >>> split_qkv(rows, 2, 2, "grouped")
    (array([0., 3.]), array([1., 4.]), array([2., 5.]))
    """
    rest = fused.shape[1:]
    head_dim = len(fused) // (heads + 2 * key_value_heads)
    queries, keys = heads * head_dim, key_value_heads * head_dim
    if order == "thirds":
        q, k, v = np.split(fused, [queries, queries + keys])
        return q, k, v
    if order != "grouped":
        raise ValueError(f"order must be thirds or grouped, not {order!r}")
    groups = fused.reshape(key_value_heads, -1, *rest)
    q, k, v = np.split(groups, [queries // key_value_heads, queries // key_value_heads + head_dim], axis=1)
    return q.reshape(queries, *rest), k.reshape(keys, *rest), v.reshape(keys, *rest)


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "a_tiny_model: a name with {i} in it came back": (
            'A row whose names contain "{i}" stands for one tensor a layer: row.format(i=0), row.format(i=1), ...'
        ),
        "turned_where_the_table_says_so: a matrix has the wrong shape": (
            "Where `transposed` is true, the stored matrix is (out, in) and ours is its transpose."
        ),
        "missing_tensors_are_named: KeyError": (
            "Collect all missing names first, and raise one ValueError that contains them."
        ),
        "missing_and_surplus_at_once: the message does not name": (
            "Look for both before you raise: what is missing and what is left over belong into one message."
        ),
        "surplus_tensors_are_named: no error": (
            "A tensor that no row accounts for means that the file is another model: nothing may be left over."
        ),
    },
    why="""The strictness is the point. Most loaders match what they can and warn about the rest; then a model with
    half of its weights at random passes for a bad model instead of a mistake. With every tensor accounted for, in both
    directions, a table is right or it does not load.""",
)
def load_weights(
    table: list[tuple[str, str, bool]], stored: dict[str, np.ndarray], layers: int
) -> dict[str, np.ndarray]:
    """Turn stored tensors into ours by a table of names.

    table: rows (our name, their name, transposed); "{i}" in both names stands for the number of a layer,
        and such a row is used for i = 0 ... layers - 1. A row without it is used once
    stored: their tensors by name; a matrix of a transposed row is stored (out, in)
    returns: our arrays by name, those of transposed rows turned; the order does not matter

    Every row must find its tensor, and every tensor its row: else ValueError, with every offending name in its
    message.

    >>> table = [("embedding", "wte", False), ("layers.{i}.up", "h.{i}.fc", True)]
    >>> stored = {"wte": np.zeros((5, 2)), "h.0.fc": np.zeros((3, 2)), "h.1.fc": np.zeros((3, 2))}
    >>> {name: array.shape for name, array in load_weights(table, stored, layers=2).items()}
    {'embedding': (5, 2), 'layers.0.up': (2, 3), 'layers.1.up': (2, 3)}
    """
    rows = [(ours.format(i=i), theirs.format(i=i), turned)
            for ours, theirs, turned in table
            for i in range(layers if "{i}" in ours else 1)]  # fmt: skip
    expected = {theirs for _, theirs, _ in rows}
    missing, surplus = sorted(expected - set(stored)), sorted(set(stored) - expected)
    if missing or surplus:
        raise ValueError(f"missing: {missing}, not expected: {surplus}")
    return {ours: stored[theirs].T if turned else stored[theirs] for ours, theirs, turned in rows}


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    uses=("load_weights",),
    hints={
        "there_and_back: the names are ours": "Read the rows from right to left: their name is the key now.",
        "there_and_back: the matrices are ours": "A transpose undoes itself: turn the same rows again.",
        "a_fresh_model_is_saved_complete: KeyError": (
            "Walk the rows of the table, {i} included, and look up our name: what comes out has theirs."
        ),
        "nothing_is_left_behind: no error": (
            "An array of ours that no row mentions would be lost in the file. That must be a ValueError."
        ),
    },
    why="""One table, read in both directions, cannot disagree with itself; a loader and a saver written apart will,
    sooner or later. The check worth having is load, save, load: every byte as it was. The package exports gradients
    through the same rows, which is how they were compared with those of other libraries.""",
)
def save_weights(table: list[tuple[str, str, bool]], ours: dict[str, np.ndarray], layers: int) -> dict[str, np.ndarray]:
    """The way back: our arrays as their tensors, by the same table.

    table, layers: as in `load_weights`. ours: our arrays by name
    returns: their tensors by name, those of transposed rows turned to (out, in)

    Every row must find its array and every array its row: else ValueError, with every offending name in its message.

    >>> table = [("embedding", "wte", False), ("layers.{i}.up", "h.{i}.fc", True)]
    >>> ours = {"embedding": np.zeros((5, 2)), "layers.0.up": np.zeros((2, 3))}
    >>> {name: array.shape for name, array in save_weights(table, ours, layers=1).items()}
    {'wte': (5, 2), 'h.0.fc': (3, 2)}
    """
    return load_weights([(theirs, name, turned) for name, theirs, turned in table], ours, layers)
