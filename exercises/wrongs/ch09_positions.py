"""Wrong solutions of chapter 9: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

WRONGS = {
    "rotate": {
        "turns the other way": ("np.sin(angles)", "-np.sin(angles)", "one_radian"),
        "identity": ("return turned", "return x.copy()", "one_radian"),
        "ignores the positions": ("positions[:, None] *", "np.arange(x.shape[-2])[:, None] *", "halves"),
        "always neighbours": (
            "(x[..., 0::2], x[..., 1::2]) if interleaved else",
            "(x[..., 0::2], x[..., 1::2]) if True else",
            "halves",
        ),
        "never neighbours": ("width = x.shape[-1]", "width, interleaved = x.shape[-1], False", "neighbours"),
        "the 2 is missing": ("(-2.0 *", "(-1.0 *", "halves"),
        "all pairs alike": ("base ** (-2.0 * np.arange(width // 2) / width)", "np.ones(width // 2)", "pairs_slow_down"),
        "the base is built in": ("frequency = base **", "frequency = 10000.0 **", "pairs_slow_down"),
        "a table kept from the first call": (
            "cos, sin = np.cos(angles)",
            "angles = globals().setdefault('kept', {}).setdefault(angles.shape, angles); cos, sin = np.cos(angles)",
            "each_call_by_itself",
        ),
        "frequencies kept for each width": (
            "angles = positions[:, None] *",
            "frequency = globals().setdefault('kept', {}).setdefault(width, frequency); angles = positions[:, None] *",
            "each_call_by_itself",
        ),
        "one token is squeezed": (
            "return turned",
            "return turned.squeeze(-2) if len(positions) == 1 and x.ndim > 2 else turned",
            "smallest_sizes",
        ),
        "one sign wrong": ("second * cos + first * sin", "second * cos - first * sin", "one_radian"),
        "float64 creep": ("turned = np.empty_like(x)", "turned = np.empty(x.shape)", "far_positions_in_float32"),
        "angles in float32": (
            "cos, sin = np.cos(angles)",
            "angles = positions[:, None].astype(np.float32) * frequency.astype(np.float32); cos, sin = np.cos(angles)",
            "far_positions_in_float32",
        ),
        "turns in place": (
            "turned = np.empty_like(x)",
            "first, second, turned = first.copy(), second.copy(), x",
            "inputs_unchanged",
        ),
    },
    "neighbours_to_halves": {
        "nothing moves": ("pairs.swapaxes(1, 2).reshape(weight.shape)", "weight.copy()", "one_head"),
        "the way back": ("heads, -1, 2, inputs", "heads, 2, -1, inputs", "one_head"),
        "heads are not kept apart": ("weight.reshape(heads,", "weight.reshape(1,", "several_heads"),
        "columns instead of rows": (
            "pairs.swapaxes(1, 2).reshape(weight.shape)",
            "np.ascontiguousarray(weight[:, ::-1])",
            "one_head",
        ),
        "odd rows first": ("pairs.swapaxes(1, 2)", "pairs.swapaxes(1, 2)[:, ::-1]", "one_head"),
        "only the first head": (
            "return pairs.swapaxes(1, 2).reshape(weight.shape)",
            "out = weight.copy(); out[: len(weight) // heads] = pairs[0].swapaxes(0, 1).reshape(-1, inputs); return out",
            "several_heads",
        ),
        "a random order that keeps halves apart": (
            "pairs.swapaxes(1, 2)",
            "pairs[:, ::-1].swapaxes(1, 2)",
            "scores_agree",
        ),
        "one input is squeezed": (
            "pairs = weight.reshape(heads, -1, 2, inputs)",
            "pairs = weight.reshape(heads, -1, 2, inputs) if inputs > 1 else weight.reshape(heads, 2, -1, inputs)",
            "smallest_heads",
        ),
        "permutes in place": (
            "return pairs.swapaxes(1, 2).reshape(weight.shape)",
            "moved = pairs.swapaxes(1, 2).reshape(weight.shape); weight[...] = moved; return moved",
            "inputs_unchanged",
        ),
    },
    "alibi_slopes": {
        "a counts from 0": ("np.arange(1, power + 1)", "np.arange(power)", "powers_of_two"),
        "one smooth sequence": ("power = 2 ** int(math.log2(heads))", "power = heads", "other_numbers"),
        "negative": (
            "return np.concatenate([slopes, between])",
            "return -np.concatenate([slopes, between])",
            "powers_of_two",
        ),
        "every slope of the longer sequence": ("2 * (heads - power), 2)", "heads - power + 1)", "other_numbers"),
        "even ones of the longer sequence": (
            "np.arange(1, 2 * (heads - power), 2)",
            "np.arange(2, 2 * (heads - power) + 1, 2)",
            "other_numbers",
        ),
        "the remaining heads are forgotten": ("np.concatenate([slopes, between])", "slopes", "how_many"),
        "the maximum is built in": ("-bias_max * np.arange(1, power", "-8 * np.arange(1, power", "another_maximum"),
        "the maximum is built in for the remaining heads": (
            "-bias_max * np.arange(1, 2",
            "-8 * np.arange(1, 2",
            "another_maximum",
        ),
        "the remaining heads come first": ("[slopes, between]", "[between, slopes]", "other_numbers"),
        "zeros": ("return np.concatenate([slopes, between])", "return np.zeros(heads)", "powers_of_two"),
    },
    "dynamic_base": {
        "no exponent": ("stretch ** (width / (width - 2))", "stretch", "slowest_pair"),
        "exponent on its head": ("(width / (width - 2))", "((width - 2) / width)", "slowest_pair"),
        "shrinks below the trained length": ("max(length, trained)", "length", "inside_the_trained_length"),
        "jumps at the trained length": (" - (factor - 1)", "", "inside_the_trained_length"),
        "ignores the factor": (
            "factor * max(length, trained) / trained - (factor - 1)",
            "max(length, trained) / trained",
            "slowest_pair",
        ),
        "never changes": ("float(base * stretch ** (width / (width - 2)))", "float(base)", "slowest_pair"),
        "linear interpolation": ("base * stretch ** (width / (width - 2))", "base / stretch", "slowest_pair"),
        "the base is built in": ("float(base *", "float(10000.0 *", "by_hand_base"),
    },
    "relative_shift": {
        "nothing moves": ("np.tril(shifted)", "np.tril(scores)", "by_hand"),
        "the future is left over": ("np.tril(shifted)", "shifted.copy()", "future_is_zero"),
        "zeros behind": (
            "[np.zeros((*lead, length, 1), scores.dtype), scores]",
            "[scores, np.zeros((*lead, length, 1), scores.dtype)]",
            "visible_entries",
        ),
        "the last row dropped": ("[..., 1:, :]", "[..., :-1, :]", "visible_entries"),
        "distances turned round": ("scores], axis=-1)", "scores[..., ::-1]], axis=-1)", "by_hand"),
        "transposed": ("np.tril(shifted)", "np.tril(np.swapaxes(shifted, -1, -2))", "visible_entries"),
        "one matrix only": (
            "np.tril(shifted)",
            "np.broadcast_to(np.tril(shifted[(0,) * len(lead)]), scores.shape).copy()",
            "batches_and_heads",
        ),
        "leading axes of 1 are lost": ("return np.tril(shifted)", "return np.tril(shifted.squeeze())", "one_token"),
        "float64 creep": (
            "np.zeros((*lead, length, 1), scores.dtype)",
            "np.zeros((*lead, length, 1))",
            "keeps_float32",
        ),
        "zeros": ("return np.tril(shifted)", "return np.zeros_like(scores)", "by_hand"),
        "works in place": (
            "return np.tril(shifted)",
            "scores[...] = np.tril(shifted); return scores.copy()",
            "inputs_unchanged",
        ),
    },
}
