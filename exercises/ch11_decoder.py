"""Chapter 11 exercises: from a published checkpoint to one decoder, and back.

The two files of a checkpoint are all there is: a config that says what the model is, in the words of its family,
and tensors under the family's own names. Nothing here computes with a model; it is about reading carefully.
Stored matrices are (out, in), as torch keeps them; ours are (in, out), so that y = x @ W.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch11              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch11 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


# Task 1 of 5: easy, about 20 minutes, 2 points
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
    raise NotImplementedError("read_config")


# Task 2 of 5: medium, about 25 minutes, 3 points
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
    raise NotImplementedError("residual_step")


# Task 3 of 5: medium, about 30 minutes, 3 points
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
    raise NotImplementedError("split_qkv")


# Task 4 of 5: medium, about 30 minutes, 3 points
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
    raise NotImplementedError("load_weights")


# Task 5 of 5: easy, about 15 minutes, 2 points
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
    raise NotImplementedError("save_weights")
