"""Wrong solutions of chapter 28: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

ADD = "chunks[r][(r - 1 - step) % size] += arrived[r - 1]"
SECOND = "chunks[r][(r - step) % size] = arrived[r - 1]"
ALL = "    return [np.concatenate(own) for own in chunks]"
AHEAD = "ahead = min(stages - 1 - stage, micro_batches)"
TOP = "top = np.max([logits.max(axis=1) for logits in shards], axis=0)"

WRONGS = {
    "ring_all_reduce": {
        "added in the second round": (SECOND, SECOND.replace("= arr", "+= arr"), "sums"),
        "never added": (ADD, "pass", "sums"),
        "the wrong chunk": ("chunks[r][(r - 1 - step) % size] +=", "chunks[r][(r - step) % size] +=", "sums"),
        "the first step is lost": (ADD, f"if step: {ADD}", "sums"),
        "one round only": (SECOND, "pass", "sums"),
        "the mean": (ALL, "    return [np.concatenate(own) / size for own in chunks]", "sums"),
        "the other direction": (
            "send(r, (r + 1) % size, chunks[r][(r - step) % size])",
            "send((r + 1) % size, r, chunks[r][(r - step) % size])",
            "who_sends_what",
        ),
        "everything to everyone": (
            "    size = len(arrays)",
            "    size = len(arrays)\n    return [sum([send(r, to, arrays[r]) if r != to else arrays[r] for r in range(size)][1:], arrays[0].copy()) for to in range(size)]\n",
            "who_sends_what",
        ),
        "a master": (
            "    size = len(arrays)",
            "    size = len(arrays)\n    total = arrays[0].copy()\n    for r in range(1, size): total = total + send(r, 0, arrays[r])\n    return [total.copy() if r == 0 else send(0, r, total) for r in range(size)]\n",
            "who_sends_what",
        ),
        "nothing sent": (
            "    size = len(arrays)",
            "    return [np.sum(arrays, axis=0, dtype=arrays[0].dtype) for _ in arrays]\n    size = len(arrays)",
            "who_sends_what",
        ),
        "round the ring with whole arrays": (
            "    size = len(arrays)",
            "    size = len(arrays)\n    total, moving = [a.copy() for a in arrays], list(arrays)\n    for _ in range(size - 1):\n        came = [send(r, (r + 1) % size, moving[r]) for r in range(size)]\n        moving = [came[r - 1] for r in range(size)]\n        total = [t + m for t, m in zip(total, moving)]\n    return total\n",
            "who_sends_what",
        ),
        "one sum for all": (ALL, "    return [np.concatenate(chunks[0])] * size", "same_bytes_everywhere"),
        "each in its own order": (
            ALL,
            "    return [np.sum([arrays[(r + k) % size] for k in range(size)], axis=0, dtype=arrays[0].dtype) for r in range(size)]",
            "same_bytes_everywhere",
        ),
        "equal chunks only": ("np.array_split(array.copy(), size)", "np.split(array.copy(), size)", "lengths"),
        "the surplus is lost": (
            "np.array_split(array.copy(), size)",
            "[c.copy() for c in np.split(array[: len(array) // size * size], size)]",
            "lengths",
        ),
        "padded": (
            "np.array_split(array.copy(), size)",
            "np.array_split(np.append(array, np.zeros(-len(array) % size, array.dtype)), size)",
            "lengths",
        ),
        "one rank sends to itself": (
            "    size = len(arrays)",
            "    size = len(arrays)\n    if size == 1: return [send(0, 0, arrays[0])]\n",
            "one_rank",
        ),
        "float64": (ALL, "    return [np.concatenate(own).astype(float) for own in chunks]", "keeps_float32"),
        "zeros": (ALL, "    return [0 * np.concatenate(own) for own in chunks]", "sums"),
        "in place": ("array.copy()", "array", "inputs_unchanged"),
    },
    "column_row_forward": {
        "the bias in the sum": ("all_reduce(h @ down) + bias", "all_reduce(h @ down + bias)", "what_is_exchanged"),
        "no exchange": ("all_reduce(h @ down)", "h @ down", "what_is_exchanged"),
        "the input is exchanged": ("h = np.tanh(x @ up)", "h = np.tanh(all_reduce(x) @ up)", "what_is_exchanged"),
        "the inner activations are exchanged": (
            "h = np.tanh(x @ up)",
            "h = np.tanh(all_reduce(x @ up))",
            "what_is_exchanged",
        ),
        "exchanged twice": ("all_reduce(h @ down)", "all_reduce(all_reduce(h @ down))", "what_is_exchanged"),
        "the mean": ("all_reduce(h @ down)", "0.5 * all_reduce(h @ down)", "alone"),
        "no bias": ("+ bias", "+ 0 * bias", "alone"),
        "no tanh": ("np.tanh(x @ up)", "x @ up", "alone"),
        "tanh over y": (
            "return all_reduce(h @ down) + bias, h",
            "return np.tanh(all_reduce(h @ down) + bias), h",
            "alone",
        ),
        "h before the tanh": (
            "return all_reduce(h @ down) + bias, h",
            "return all_reduce(h @ down) + bias, x @ up",
            "alone",
        ),
        "one token only": ("h = np.tanh(x @ up)", "h = np.tanh(x.reshape(-1, x.shape[-1]) @ up)", "alone"),
        "float64": ("h = np.tanh(x @ up)", "h = np.tanh(x.astype(float) @ up)", "stays_float32"),
        "in place": ("h = np.tanh(x @ up)", "up *= 1 + 1e-12; h = np.tanh(x @ up)", "inputs_unchanged"),
    },
    "column_row_backward": {
        "no exchange": ("return all_reduce(dz @ up.T)", "return (dz @ up.T)", "input_gradient"),
        "exchanged and forgotten": (
            "return all_reduce(dz @ up.T)",
            "all_reduce(dz @ up.T)\n    return (dz @ up.T)",
            "input_gradient",
        ),
        "dy summed over ranks": (
            "    dz = (dy @ down.T)",
            "    dy = all_reduce(dy)\n    dz = (dy @ down.T)",
            "one_exchange",
        ),
        "dy summed, dx not": (
            "    dz = (dy @ down.T) * (1 - h * h)",
            "    dy, all_reduce = all_reduce(dy), np.copy\n    dz = (dy @ down.T) * (1 - h * h)",
            "weight_gradients",
        ),
        "bias summed over ranks": ("dy_rows.sum(axis=0)", "all_reduce(dy_rows.sum(axis=0))", "one_exchange"),
        "weights summed over ranks": ("x_rows.T @ dz_rows", "all_reduce(x_rows.T @ dz_rows)", "one_exchange"),
        "the mean over ranks": ("all_reduce(dz @ up.T)", "0.5 * all_reduce(dz @ up.T)", "input_gradient"),
        "no derivative": (" * (1 - h * h)", "", "input_gradient"),
        "tanh of h": ("(1 - h * h)", "(1 - np.tanh(h) ** 2)", "weight_gradients"),
        "h for its square": ("(1 - h * h)", "(1 - h)", "input_gradient"),
        "x for h": ("h_rows.T @ dy_rows", "(h_rows * (1 - h_rows * h_rows)).T @ dy_rows", "weight_gradients"),
        "the mean of the bias": ("dy_rows.sum(axis=0)", "dy_rows.mean(axis=0)", "weight_gradients"),
        "the sign": ("x_rows.T @ dz_rows", "-x_rows.T @ dz_rows", "weight_gradients"),
        "the first row only": ("h_rows.T @ dy_rows", "h_rows[:1].T @ dy_rows[:1]", "weight_gradients"),
        "float32 inside": (
            "    dz = (dy @ down.T)",
            "    dy = dy.astype(np.float32).astype(dy.dtype)\n    dz = (dy @ down.T)",
            "tiny_in_float64",
        ),
        "float64": ("    dz = (dy @ down.T)", "    dy = dy.astype(float)\n    dz = (dy @ down.T)", "float32_stays"),
        "in place": (
            "    dz = (dy @ down.T) * (1 - h * h)",
            "    h *= -1\n    dz = (dy @ down.T) * (1 - h * h)\n    h = -h",
            "inputs_unchanged",
        ),
    },
    "one_forward_one_backward": {
        "one ahead too many": (AHEAD, AHEAD.replace("stages - 1 - stage", "stages - stage"), "three_stages"),
        "none ahead": (AHEAD, "ahead = 0", "three_stages"),
        "all ahead": (AHEAD, "ahead = micro_batches", "three_stages"),
        "the wrong end": (AHEAD, "ahead = min(stage, micro_batches)", "three_stages"),
        "as many ahead on all": (AHEAD, "ahead = min(stages - 1, micro_batches)", "three_stages"),
        "the last in comes back first": (
            'actions.append(f"b{i}")',
            'actions.append(f"b{micro_batches - 1 - i}")',
            "three_stages",
        ),
        "backward before forward": (
            'actions.append(f"b{i}")',
            'actions.insert(len(actions) - (i + ahead < micro_batches), f"b{i}")',
            "three_stages",
        ),
        "forwards that do not exist": (AHEAD, "ahead = stages - 1 - stage", "few_micro_batches"),
        "one always": (AHEAD, "ahead = min(max(1, stages - 1 - stage), micro_batches)", "one_stage"),
        "never fewer than two ahead": (
            AHEAD,
            "ahead = min(stages - 1 - stage, max(2, micro_batches - 1))",
            "few_micro_batches",
        ),
        "one digit": ('actions.append(f"b{i}")', 'actions.append(f"b{i % 10}")', "many"),
        "at most eight": ("for i in range(micro_batches):", "for i in range(min(8, micro_batches)):", "many"),
        "tuples": ("plan.append(actions)", "plan.append(tuple(actions))", "three_stages"),
        "one stage does nothing": (
            "for stage in range(stages):",
            "for stage in range(stages) if stages > 1 else []:",
            "one_stage",
        ),
    },
    "mean_gradient": {
        "the mean of means": ("count / total", "1 / len(counts)", "unequal"),
        "the sum": ("count / total", "count", "unequal"),
        "the sum of means": ("count / total", "1", "unequal"),
        "divided by the ranks": ("count / total", "count / len(counts)", "unequal"),
        "divided by the largest": ("count / total", "count / max(counts)", "unequal"),
        "NaN": ("        if count:", "        if True:", "a_rank_without_targets"),
        "an empty rank ends it": (
            "        if count:",
            "        if not count: break\n        if count:",
            "a_rank_without_targets",
        ),
        "left out by its numbers": (
            "        if count:",
            "        if count and all(np.isfinite(array).all() for array in own.values()):",
            "a_rank_that_broke",
        ),
        "an empty rank counts": (
            "total = sum(counts)",
            "total = sum(max(1, c) for c in counts) if any(counts) else 0",
            "a_rank_without_targets",
        ),
        "zeros for nothing": (
            '        raise ValueError("no rank has a target")',
            "        total = 1",
            "nothing_at_all",
        ),
        "another error": ("raise ValueError", "raise ZeroDivisionError", "nothing_at_all"),
        "one rank is nothing": (
            "    total = sum(counts)",
            "    total = sum(counts)\n    if len(gradients) == 1: return {k: 0 * v for k, v in gradients[0].items()}\n",
            "single",
        ),
        "float64": ("np.zeros_like(array)", "np.zeros(array.shape)", "float32_means"),
        "the first name only": (
            "    return mean",
            "    return {name: mean[name] for name in list(mean)[:1]}",
            "unequal",
        ),
        "in place": (
            "np.zeros_like(array) for name, array in gradients[0].items()",
            "np.multiply(array, 0, out=array) for name, array in gradients[0].items()",
            "inputs_unchanged",
        ),
    },
    "repaired_loss": {
        "as it was found": (TOP, "return somebodys_loss(shards, targets)", "by_hand"),
        "no maximum": (TOP, "top = np.zeros(len(targets), shards[0].dtype)", "far_apart"),
        "one maximum for all rows": (
            TOP,
            "top = np.full(len(targets), max(logits.max() for logits in shards), shards[0].dtype)",
            "far_apart",
        ),
        "the first rank's maximum": (TOP, "top = shards[0].max(axis=1)", "far_apart"),
        "the first rank's maximum, again": (TOP, "top = shards[0].max(axis=1)", "a_rank_without_a_chance"),
        "no less than -10,000": (
            TOP,
            "shards = [np.maximum(logits, shards[0].dtype.type(-1e4)) for logits in shards]; " + TOP,
            "far_apart",
        ),
        "the smallest of the maxima": (
            TOP,
            "top = np.min([logits.max(axis=1) for logits in shards], axis=0)",
            "far_apart",
        ),
        "the largest of the minima": (TOP, TOP.replace("logits.max", "logits.min"), "far_apart"),
        "the mean of the maxima": (
            TOP,
            "top = np.mean([logits.max(axis=1) for logits in shards], axis=0)",
            "a_rank_without_a_chance",
        ),
        "the sum of the maxima": (TOP, "top = np.sum([logits.max(axis=1) for logits in shards], axis=0)", "far_apart"),
        "the words of the first rank": ("place = targets - rank * size", "place = targets % size", "by_hand"),
        "targets of the first rank only": ("place = targets - rank * size", "place = targets", "by_hand"),
        "off by one": ("(place < size)", "(place < size - 1)", "by_hand"),
        "log after the sum is forgotten": ("np.log(total) - found", "total - found", "by_hand"),
        "the sign": ("np.log(total) - found", "found - np.log(total)", "by_hand"),
        "log of each rank's sum": (
            "total += np.exp(logits).sum(axis=1)",
            "total = np.exp(logits).sum(axis=1)",
            "by_hand",
        ),
        "two ranks": (
            "for rank, logits in enumerate(shards):",
            "for rank, logits in enumerate(shards[:2]):",
            "random_words",
        ),
        "the mean over tokens": (
            "return np.log(total) - found",
            "return np.full(len(targets), (np.log(total) - found).mean())",
            "by_hand",
        ),
        "a single number for one token": (
            "return np.log(total) - found",
            "return (np.log(total) - found).squeeze()",
            "one_row",
        ),
        "float64": (TOP, TOP.replace("logits.max(axis=1)", "logits.max(axis=1).astype(float)"), "float32_losses"),
        "zeros": ("return np.log(total) - found", "return 0 * total", "by_hand"),
        "in place": ("logits = logits - top[:, None]", "logits -= top[:, None]", "inputs_unchanged"),
    },
}
