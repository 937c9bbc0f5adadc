"""Other right answers of chapter 11.

Words looked up in turn, residual steps by number, blocks sorted by kind, all missing names told at once.
"""

from __future__ import annotations

import numpy as np


def read_config(config):
    given = {key: value for key, value in config.items() if value is not None}

    def pick(words, default=None):
        for word in words.split():
            if word in given:
                return given[word]
        return default

    needed = [
        pick("num_hidden_layers n_layer num_layers"),
        pick("hidden_size n_embd d_model"),
        pick("num_attention_heads n_head num_heads"),
    ]
    if None in needed:
        raise ValueError("layers, width or heads are missing")
    layers, width, heads = needed
    base = pick("rope_theta rotary_emb_base")
    if base is None and "rope_parameters" in given:
        base = given["rope_parameters"].get("rope_theta")
    return {
        "tied": pick("tie_word_embeddings", True),
        "base": base,
        "inner": pick("intermediate_size n_inner ffn_dim", width * 4),
        "head_dim": pick("head_dim", width // heads),
        "key_value_heads": pick("num_key_value_heads", heads),
        "heads": heads,
        "width": width,
        "layers": layers,
    }


def residual_step(x, functions, norms, norm_after=None, alpha=1.0, residual_is_normed=False):
    normed = [n(x) for n in norms] or [x]
    total = (normed[0] if residual_is_normed else x) * alpha
    for i in range(len(functions)):
        total = total + functions[i](normed[i if len(normed) > 1 else 0])
    return norm_after(total) if norm_after else total


def split_qkv(fused, heads, key_value_heads, order):
    blocks = np.split(fused, heads + 2 * key_value_heads)
    share = heads // key_value_heads
    if order == "thirds":
        kind = [0] * heads + [1] * key_value_heads + [2] * key_value_heads
    elif order == "grouped":
        kind = ([0] * share + [1, 2]) * key_value_heads
    else:
        raise ValueError(order)
    return tuple(np.concatenate([b for b, k in zip(blocks, kind) if k == want]) for want in range(3))


def load_weights(table, stored, layers):
    ours, used, missing = {}, set(), []
    for mine, theirs, turned in table:
        for i in range(layers) if "{i}" in theirs else [None]:
            name = theirs.replace("{i}", str(i))
            used.add(name)
            if name in stored:
                ours[mine.replace("{i}", str(i))] = np.transpose(stored[name]).copy() if turned else stored[name]
            else:
                missing.append(name)
    left = [name for name in stored if name not in used]
    if left or missing:
        raise ValueError(" ".join(["no row for", *left, "no tensor for", *missing]))
    return ours


def save_weights(table, ours, layers):
    theirs, arrays = {}, dict(ours)
    missing = []
    for mine, name, turned in table:
        for i in range(layers) if "{i}" in name else [None]:
            key = mine.replace("{i}", str(i))
            if key not in arrays:
                missing.append(key)
                continue
            array = arrays.pop(key)
            theirs[name.replace("{i}", str(i))] = array.T if turned else array
    if missing or arrays:
        raise ValueError(f"{missing} {list(arrays)}")
    return theirs
