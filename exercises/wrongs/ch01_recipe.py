"""Wrong solutions of chapter 1: name -> (text in the worked solution, what replaces it, the check that must fail)."""

from __future__ import annotations

BITS = "float(loss * tokens / np.log(2) / byte_count)"
CACHE = "2 * 2 * layers * key_value_heads * head_width * tokens * texts"

WRONGS = {
    "count_parameters": {
        "no norms": ('config["intermediate_size"] + 2 * width', 'config["intermediate_size"]', "by_hand"),
        "no last norm": ("* layer + width", "* layer", "by_hand"),
        "two matrices of feed-forward": ("3 * width", "2 * width", "by_hand"),
        "three matrices of attention": ("2 * width * heads * head +", "width * heads * head +", "by_hand"),
        "one layer": ('config["num_hidden_layers"] * layer', "layer", "by_hand"),
        "the head counted though tied": ("tables = 1 if", "tables = 2 if", "by_hand"),
        "never a head": ('tables = 1 if config.get("tie_word_embeddings", False) else 2', "tables = 1", "untied"),
        "tied unless said": ('"tie_word_embeddings", False', '"tie_word_embeddings", True', "untied"),
        "the entry must be there": (
            'config.get("tie_word_embeddings", False)',
            'config["tie_word_embeddings"]',
            "untied",
        ),
        "no sharing": ('config.get("num_key_value_heads") or heads', "heads", "grouped"),
        "values not shared": ("2 * width * shared * head", "width * (shared + heads) * head", "grouped"),
        "output shared": ("2 * width * heads * head", "width * (shared + heads) * head", "grouped"),
        "None is no number": (
            'config.get("num_key_value_heads") or heads',
            'config.get("num_key_value_heads", heads)',
            "grouped",
        ),
        "heads never wider": ('config.get("head_dim") or width // heads', "width // heads", "wide_heads"),
        "a width of None": (
            'config.get("head_dim") or width // heads',
            'config.get("head_dim", width // heads)',
            "wide_heads",
        ),
        "biases": ('["intermediate_size"] + 2 * width', '["intermediate_size"] + 6 * width', "by_hand"),
        "a float": ("    return tables", "    return 1.0 * tables", "by_hand"),
        "zero": ("    return tables", "    return 0 * tables", "by_hand"),
        "the table squared": ('config["vocab_size"] * width', "width * width", "by_hand"),
        "in place": ("    width, heads =", '    config["num_key_value_heads"] = 1\n    width, heads =', "by_hand"),
        "adds an entry": ("    tables =", '    config["counted"] = True\n    tables =', "inputs_unchanged"),
    },
    "bits_per_byte": {
        "nats": (" / np.log(2)", "", "a_known_loss"),
        "times log 2": ("/ np.log(2)", "* np.log(2)", "a_known_loss"),
        "per token": (BITS, "float(loss / np.log(2))", "a_known_loss"),
        "upside down": (BITS, "float(loss / tokens / np.log(2) * byte_count)", "a_known_loss"),
        "decimal": ("np.log(2)", "np.log(10)", "a_known_loss"),
        "a perplexity": (BITS, f"2.0 ** {BITS}", "a_known_loss"),
        "whole bytes a token": (
            "tokens / np.log(2) / byte_count",
            "1 / np.log(2) / max(1, byte_count // tokens)",
            "a_known_loss",
        ),
        "a NumPy number": (
            "float(loss * tokens / np.log(2) / byte_count)",
            "loss * tokens / np.log(2) / byte_count",
            "a_known_loss",
        ),
        "zero": ("    return float(", "    return 0.0 * float(", "a_known_loss"),
        "at most one token a byte": ("loss * tokens", "loss * min(tokens, byte_count)", "any_sizes"),
        "never nothing": ("    return float(", "    return 1e-6 + float(", "a_known_loss"),
    },
    "in_words": {
        "multi-query is grouped": ('"multi-query" if shared == 1 else "grouped-query"', '"grouped-query"', "sharing"),
        "missing is multi-query": (
            'config.get("num_key_value_heads") or heads',
            'config.get("num_key_value_heads") or 1',
            "sharing",
        ),
        "None is no number": (
            'config.get("num_key_value_heads") or heads',
            'config.get("num_key_value_heads", heads)',
            "sharing",
        ),
        "the entry must be there": (
            'config.get("num_key_value_heads") or heads',
            'config["num_key_value_heads"] or heads',
            "sharing",
        ),
        "never multi-head": ('"multi-head" if shared == heads else ', "", "sharing"),
        "one before all": (
            '"multi-head" if shared == heads else "multi-query" if shared == 1 else "grouped-query"',
            '"multi-query" if shared == 1 else "multi-head" if shared == heads else "grouped-query"',
            "one_head",
        ),
        "any window": (
            'window if window is not None and window < config["max_position_embeddings"] else None',
            "window",
            "windows",
        ),
        "as long as the context": (
            '< config["max_position_embeddings"]',
            '<= config["max_position_embeddings"]',
            "windows",
        ),
        "never a window": (
            'window if window is not None and window < config["max_position_embeddings"] else None',
            "None",
            "windows",
        ),
        "the context for no window": ("else None,", 'else config["max_position_embeddings"],', "windows"),
        "None compared": ("window is not None and ", "", "windows"),
        "width by key-value heads": ('config["hidden_size"] // heads', 'config["hidden_size"] // shared', "sizes"),
        "a float width": ('config["hidden_size"] // heads', 'config["hidden_size"] / heads', "sizes"),
        "widening upside down": (
            'config["intermediate_size"] / config["hidden_size"]',
            'config["hidden_size"] / config["intermediate_size"]',
            "sizes",
        ),
        "widening rounded": (", 2),", ", 0),", "sizes"),
        "tied unless said": (
            'config.get("tie_word_embeddings")',
            'config.get("tie_word_embeddings", True)',
            "the_head",
        ),
        "exchanged": ('"tied" if', '"tied" if not', "the_head"),
        "the tie must be there": ('config.get("tie_word_embeddings")', 'config["tie_word_embeddings"]', "the_head"),
        "in place": ("    heads =", '    config.setdefault("sliding_window", None)\n    heads =', "inputs_unchanged"),
    },
    "memory_to_load": {
        "bits for bytes": ("bits / 8", "bits", "weights_alone"),
        "rounded down to bytes": ("bits / 8", "bits // 8", "weights_alone"),
        "always 16 bits": ("parameters * bits / 8", "parameters * 2.0", "weights_alone"),
        "an int": ("    return float(", "    return int(", "weights_alone"),
        "no values": ("2 * 2 * layers", "2 * layers", "with_texts"),
        "one text": (" * texts", "", "with_texts"),
        "one layer": ("2 * 2 * layers *", "2 * 2 *", "with_texts"),
        "one head": ("key_value_heads * ", "", "with_texts"),
        "one token": (" * tokens", "", "with_texts"),
        "the memory in the bits of weights": ("2 * 2 * layers", "2 * bits / 8 * layers", "with_texts"),
        "the memory in 32 bits": ("2 * 2 * layers", "2 * 4 * layers", "with_texts"),
        "no weights": ("parameters * bits / 8 + ", "", "weights_alone"),
        "no memory": (f" + {CACHE}", "", "with_texts"),
        "a tenth more": ("    return float(", "    return 1.1 * float(", "weights_alone"),
        "whole bytes": ("parameters * bits / 8", "parameters * (bits // 8)", "weights_alone"),
    },
    "next_token_batch": {
        "not shifted": ("windows[:, 1:]", "windows[:, :-1]", "shifted"),
        "two ahead": (
            "windows[:, 1:]",
            "stream[np.minimum(starts[:, None] + np.arange(2, context + 2), len(stream) - 1)]",
            "shifted",
        ),
        "backwards": ("return windows[:, :-1], windows[:, 1:]", "return windows[:, 1:], windows[:, :-1]", "shifted"),
        "rolled inside": ("windows[:, 1:]", "np.roll(windows[:, :-1], -1, axis=1)", "shifted"),
        "rows exchanged": ("windows[:, 1:]", "np.roll(windows[:, 1:], 1, axis=0)", "shifted"),
        "rolled along the rows": ("windows[:, 1:]", "np.roll(windows[:, :-1], 1, axis=0)", "shifted"),
        "a row too long": ("windows[:, :-1], ", "windows, ", "shifted"),
        "int64 always": ("return windows[:, :-1],", "return windows[:, :-1].astype(np.int64),", "one_row"),
        "the last one refused": ("(starts + context >= len", "(starts + context + 1 >= len", "to_the_end"),
        "no check": (
            "    if (starts < 0).any() or (starts + context >= len(stream)).any():",
            "    if False:",
            "to_the_end",
        ),
        "only the end": ("(starts < 0).any() or ", "", "to_the_end"),
        "the first and the last": (
            "    if (starts < 0).any() or (starts + context >= len(stream)).any():",
            "    ends = starts[[0, -1]]; stream = stream[:]\n"
            "    inside = np.arange(context + 1)\n"
            "    if (ends >= 0).all() and (ends + context < len(stream)).all():\n"
            "        windows = stream.take(starts[:, None] + inside, mode='wrap')\n"
            "        return windows[:, :-1], windows[:, 1:]\n"
            "    else:",
            "to_the_end",
        ),
        "wraps round": (
            "(starts < 0).any() or (starts + context >= len(stream)).any()",
            "len(stream) <= context",
            "to_the_end",
        ),
        "an IndexError": ("raise ValueError(", "raise IndexError(", "to_the_end"),
        "in place": (
            "    windows =",
            "    starts += 0 * starts + 1\n    starts -= 1\n    stream[0] += 1\n    windows =",
            "inputs_unchanged",
        ),
    },
}
