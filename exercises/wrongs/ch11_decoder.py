"""Wrong solutions of chapter 11: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

WRONGS = {
    "read_config": {
        "GPT-2's words are unknown": (
            '"num_hidden_layers", "n_layer", "num_layers"',
            '"num_hidden_layers", "num_layers"',
            "gpt2_s_words",
        ),
        "num_layers is unknown": ('"n_layer", "num_layers"', '"n_layer"', "other_families_words"),
        "ffn_dim is unknown": ('"n_inner", "ffn_dim"', '"n_inner"', "other_families_words"),
        "null is taken for a value": ("if config.get(key) is not None", "if key in config", "null_means_the_usual"),
        "grouped heads are overlooked": ('first("num_key_value_heads", default=heads)', "heads", "llama_s_words"),
        "heads of another width are overlooked": (
            'first("head_dim", default=width // heads)',
            "width // heads",
            "llama_s_words",
        ),
        "inner is always four times the width": (
            'first("intermediate_size", "n_inner", "ffn_dim", default=4 * width)',
            "4 * width",
            "llama_s_words",
        ),
        "inner defaults to the width": ("default=4 * width", "default=width", "gpt2_s_words"),
        "a base is assumed": ("default=nested)", "default=10000.0)", "gpt2_s_words"),
        "the newer place of the base is unknown": ("default=nested)", "default=None)", "both_spellings_of_the_base"),
        "a nested base is preferred": (
            'first("rope_theta", "rotary_emb_base", default=nested)',
            'nested if nested is not None else first("rope_theta", "rotary_emb_base")',
            "several_words_at_once",
        ),
        "the newer place hides the older": (
            'first("rope_theta", "rotary_emb_base", default=nested)',
            'nested if config.get("rope_parameters") is not None else first("rope_theta", "rotary_emb_base")',
            "several_words_at_once",
        ),
        "the newer place must hold a base": ('.get("rope_theta")', '["rope_theta"]', "several_words_at_once"),
        "the last word counts": (
            "next((config[key] for key in keys if config.get(key) is not None), default)",
            "([default] + [config[key] for key in keys if config.get(key) is not None])[-1]",
            "several_words_at_once",
        ),
        "null layers pass": (
            "        if value is None:",
            "        if value is None and not any(v is None for v in config.values()):",
            "what_is_missing_is_named",
        ),
        "NeoX's word for the base is unknown": (
            '"rope_theta", "rotary_emb_base", default',
            '"rope_theta", default',
            "other_families_words",
        ),
        "untied unless told": (
            'first("tie_word_embeddings", default=True)',
            'first("tie_word_embeddings", default=False)',
            "other_families_words",
        ),
        "always tied": ('first("tie_word_embeddings", default=True)', "True", "llama_s_words"),
        "missing numbers become 1": (
            'raise ValueError(f"the config does not say how many {name}")',
            "heads, width, layers = heads or 1, width or 1, layers or 1",
            "what_is_missing_is_named",
        ),
        "the config loses its keys": (
            "config[key] for key in keys if config.get(key) is not None",
            "config.pop(key) for key in keys if config.get(key) is not None",
            "inputs_unchanged",
        ),
    },
    "residual_step": {
        "no residual": ("y = alpha * (inputs[0] if residual_is_normed else x)", "y = 0 * x", "the_usual_pre_norm"),
        "identity": ("y = y + function(h)", "pass", "the_usual_pre_norm"),
        "no norm before": (
            "inputs = [norm(x) for norm in norms]",
            "inputs = [x for norm in norms]",
            "the_usual_pre_norm",
        ),
        "no norm behind": ("return y if norm_after is None else norm_after(y)", "return y", "after_comes_last"),
        "the norm behind acts on the functions only": (
            "y = y + function(h)",
            "y = y + (function(h) if norm_after is None else norm_after(function(h)))",
            "after_comes_last",
        ),
        "alpha weighs the functions": (
            "y = y + function(h)",
            "y = y / alpha + alpha * function(h)",
            "alpha_weighs_the_residual",
        ),
        "no alpha": ("y = alpha * (inputs", "y = (inputs", "alpha_weighs_the_residual"),
        "the raw residual always": ("(inputs[0] if residual_is_normed else x)", "x", "the_normed_residual"),
        "the normed residual always": (
            "(inputs[0] if residual_is_normed else x)",
            "(inputs[0] if inputs else x)",
            "the_usual_pre_norm",
        ),
        "functions one after the other": (
            "y = y + function(h)",
            "y = y + function(h if h is x or y is None else norms[min(len(norms), len(functions)) - 1](y) if len(functions) > 1 and function is functions[-1] else h)",
            "parallel_functions_see_the_same_x",
        ),
        "the first norm for all": (
            "for function, h in zip(functions, inputs):",
            "for function, h in zip(functions, [inputs[0]] * len(functions)):",
            "parallel_functions_see_the_same_x",
        ),
        "a shared norm serves the first function only": (
            "inputs = (inputs or [x]) * len(functions)",
            "inputs = inputs + [x] * (len(functions) - len(inputs))",
            "one_norm_for_two_functions",
        ),
        "the second function is forgotten": (
            "inputs = (inputs or [x]) * len(functions)",
            "inputs = inputs or [x]",
            "one_norm_for_two_functions",
        ),
        "as many inputs as tokens": (
            "(inputs or [x]) * len(functions)",
            "(inputs or [x]) * len(x)",
            "one_token",
        ),
        "two functions at most": (
            "(inputs or [x]) * len(functions)",
            "(inputs or [x]) * 2",
            "one_token",
        ),
        "float64 creep": ("y = alpha * (", "y = np.float64(alpha) * (", "keeps_float32"),
        "adds in place": (
            "y = alpha * (inputs[0] if residual_is_normed else x)",
            "y = inputs[0] if residual_is_normed else x; y *= alpha",
            "inputs_unchanged",
        ),
    },
    "split_qkv": {
        "thirds whatever the order": ('if order == "thirds":', "if True:", "per_head_of_bloom"),
        "grouped whatever the order": (
            'if order == "thirds":',
            'order = "grouped"\n    if order == "thirds":',
            "thirds_of_gpt2",
        ),
        "equal thirds": (
            "np.split(fused, [queries, queries + keys])",
            "np.split(fused[: 3 * (len(fused) // 3)], 3)",
            "thirds_of_gpt2",
        ),
        "values before keys": (
            "return q.reshape(queries, *rest), k.reshape(keys, *rest), v.reshape(keys, *rest)",
            "return q.reshape(queries, *rest), v.reshape(keys, *rest), k.reshape(keys, *rest)",
            "per_head_of_bloom",
        ),
        "values before keys in thirds": ("return q, k, v", "return q, v, k", "thirds_of_gpt2"),
        "one query a group": (
            "[queries // key_value_heads, queries // key_value_heads + head_dim]",
            "[head_dim, 2 * head_dim]",
            "grouped_of_falcon",
        ),
        "a group for each query head": (
            "groups = fused.reshape(key_value_heads, -1, *rest)",
            "groups = fused[: len(fused) // heads * heads].reshape(heads, -1, *rest)",
            "grouped_of_falcon",
        ),
        "rows dealt out in turn": (
            "groups = fused.reshape(key_value_heads, -1, *rest)",
            "groups = fused.reshape(-1, key_value_heads, *rest).swapaxes(0, 1)",
            "per_head_of_bloom",
        ),
        "head_dim from the query heads alone": (
            "len(fused) // (heads + 2 * key_value_heads)",
            "len(fused) // (3 * heads)",
            "thirds_of_gpt2",
        ),
        "heads + 2 + kv": ("(heads + 2 * key_value_heads)", "(heads + 2 + key_value_heads)", "any_number_of_heads"),
        "one key-value head is many": (
            "keys = heads * head_dim, key_value_heads * head_dim",
            "keys = heads * head_dim, max(2, key_value_heads) * head_dim",
            "any_number_of_heads",
        ),
        "orders compared": ('if order == "thirds":', 'if order >= "thirds":', "an_unknown_order_is_refused"),
        "any order that begins so": (
            'if order == "thirds":',
            'if order.startswith("thirds"):',
            "an_unknown_order_is_refused",
        ),
        "any case": ('if order == "thirds":', 'if order.lower() == "thirds":', "an_unknown_order_is_refused"),
        "matrices only": ("rest = fused.shape[1:]", "rest = (fused.shape[1],)", "biases_too"),
        "any order is accepted": ('if order != "grouped":', "if False:", "an_unknown_order_is_refused"),
        "zeros": (
            "return q.reshape(queries, *rest), k.reshape(keys, *rest), v.reshape(keys, *rest)",
            "return 0 * q.reshape(queries, *rest), 0 * k.reshape(keys, *rest), 0 * v.reshape(keys, *rest)",
            "per_head_of_bloom",
        ),
        "sorts the rows it was given": (
            "rest = fused.shape[1:]",
            "rest = fused.shape[1:]; fused.sort(axis=0)",
            "inputs_unchanged",
        ),
    },
    "load_weights": {
        "the first layer only": ('for i in range(layers if "{i}" in ours else 1)', "for i in range(1)", "a_tiny_model"),
        "layers counted from 1": (
            "ours.format(i=i), theirs.format(i=i), turned",
            "ours.format(i=i + 1), theirs.format(i=i), turned",
            "a_tiny_model",
        ),
        "their names are kept": ("return {ours: stored[theirs]", "return {theirs: stored[theirs]", "a_tiny_model"),
        "nothing is turned": (
            "stored[theirs].T if turned else stored[theirs]",
            "stored[theirs]",
            "turned_where_the_table_says_so",
        ),
        "everything is turned": (
            "stored[theirs].T if turned else stored[theirs]",
            "stored[theirs].T",
            "turned_where_the_table_says_so",
        ),
        "turned the other way about": (
            "stored[theirs].T if turned",
            "stored[theirs].T if not turned",
            "turned_where_the_table_says_so",
        ),
        "reshaped instead of turned": (
            "stored[theirs].T if turned",
            "stored[theirs].reshape(stored[theirs].shape[::-1]) if turned",
            "turned_where_the_table_says_so",
        ),
        "square matrices are not turned": (
            "stored[theirs].T if turned",
            "stored[theirs].T if turned and stored[theirs].shape[0] != stored[theirs].shape[1]",
            "turned_where_the_table_says_so",
        ),
        "missing tensors are skipped": (
            "if missing or surplus:",
            "rows = [row for row in rows if row[1] in stored]\n    if surplus:",
            "missing_tensors_are_named",
        ),
        "surplus tensors are ignored": ("if missing or surplus:", "if missing:", "surplus_tensors_are_named"),
        "ten layers at most": (
            'for i in range(layers if "{i}" in ours else 1)',
            'for i in range(min(layers, 10) if "{i}" in ours else 1)',
            "twelve_layers",
        ),
        "every row once a layer": (
            'for i in range(layers if "{i}" in ours else 1)',
            "for i in range(layers)",
            "twelve_layers",
        ),
        "surplus forgotten when something is missing": (
            'raise ValueError(f"missing: {missing}, not expected: {surplus}")',
            'raise ValueError(f"missing: {missing}" if missing else f"not expected: {surplus}")',
            "missing_and_surplus_at_once",
        ),
        "missing forgotten when something is left over": (
            'raise ValueError(f"missing: {missing}, not expected: {surplus}")',
            'raise ValueError(f"not expected: {surplus}" if surplus else f"missing: {missing}")',
            "missing_and_surplus_at_once",
        ),
        "as many as expected will do": (
            "if missing or surplus:",
            "if len(stored) != len(expected):",
            "missing_and_surplus_at_once",
        ),
        "only the first missing name": (
            'f"missing: {missing}, not expected: {surplus}"',
            'f"missing: {missing[:1]}, not expected: {surplus}"',
            "missing_tensors_are_named",
        ),
        "no name at all": (
            'f"missing: {missing}, not expected: {surplus}"',
            '"these weights do not fit"',
            "surplus_tensors_are_named",
        ),
        "takes the tensors out of the file": (
            "return {ours: stored[theirs].T if turned else stored[theirs]",
            "return {ours: stored.pop(theirs).T if turned else stored.pop(theirs)",
            "inputs_unchanged",
        ),
    },
    "save_weights": {
        "loads once more": ("[(theirs, name, turned) for name, theirs, turned in table]", "table", "there_and_back"),
        "nothing is turned back": ("[(theirs, name, turned)", "[(theirs, name, False)", "there_and_back"),
        "everything is turned": ("[(theirs, name, turned)", "[(theirs, name, True)", "there_and_back"),
        "names are kept": ("[(theirs, name, turned)", "[(name, name, turned)", "there_and_back"),
        "the last row is forgotten": (
            "for name, theirs, turned in table]",
            "for name, theirs, turned in table[:-1]]",
            "a_fresh_model_is_saved_complete",
        ),
        "always two layers": ("in table], ours, layers)", "in table], ours, 2)", "a_fresh_model_is_saved_complete"),
        "ten layers at most": (
            "in table], ours, layers)",
            "in table], {n: a for n, a in ours.items() if not n.startswith(('layers.10.', 'layers.11.'))}, min(layers, 10))",
            "a_fresh_model_is_saved_complete",
        ),
        "what has no row is dropped": (
            "return load_weights(",
            "known = {n.format(i=i) for n, _, _ in table for i in range(layers)}; ours = {n: a for n, a in ours.items() if n in known}; return load_weights(",
            "nothing_is_left_behind",
        ),
        "arrays are emptied": ("return load_weights(", "result = load_weights(", "there_and_back"),
        "clears what it was given": (
            "return load_weights([(theirs, name, turned) for name, theirs, turned in table], ours, layers)",
            "saved = load_weights([(theirs, name, turned) for name, theirs, turned in table], ours, layers); ours.clear(); return saved",
            "inputs_unchanged",
        ),
    },
}
