"""Wrong solutions of chapter 27: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

BITS = "-log_probabilities[scored].sum() / np.log(2) / token_bytes[scored].sum()"
SCORES = "np.array([values.sum() / length for values, length in zip(log_probabilities, lengths)])"
P = "(1 + (abs(means - value) >= abs(value)).sum()) / (1 + len(means))"

WRONGS = {
    "bits_per_byte": {
        "nats": (" / np.log(2)", "", "by_hand"),
        "times log 2": ("/ np.log(2)", "* np.log(2)", "by_hand"),
        "sign": ("float(-log", "float(log", "by_hand"),
        "per token": ("/ token_bytes[scored].sum()", "/ scored.sum()", "by_hand"),
        "mean of ratios": (
            BITS,
            "(-log_probabilities[scored] / np.log(2) / np.maximum(token_bytes[scored], 1)).mean()",
            "by_hand",
        ),
        "a perplexity": (BITS, "np.exp(-log_probabilities[scored].mean())", "by_hand"),
        "bytes of all tokens": ("token_bytes[scored].sum()", "token_bytes.sum()", "unscored"),
        "all log-probabilities": ("log_probabilities[scored].sum()", "log_probabilities.sum()", "unscored"),
        "multiplied by the mask": ("log_probabilities[scored].sum()", "(log_probabilities * scored).sum()", "unscored"),
        "the first token left out": (
            "    return float(",
            "    scored = scored & (np.arange(len(scored)) > 0)\n    return float(",
            "by_hand",
        ),
        "tokens without bytes left out": (
            "    return float(",
            "    scored = scored & (token_bytes > 0)\n    return float(",
            "special_tokens",
        ),
        "a byte for every special token": (
            "token_bytes[scored].sum()",
            "np.maximum(token_bytes, 1)[scored].sum()",
            "special_tokens",
        ),
        "one scored token is too few": (
            "    return float(",
            "    if scored.sum() < 2:\n        return 0.0\n    return float(",
            "one_token",
        ),
        "zero": ("return float(-", "return 0.0 * float(-", "by_hand"),
        "a NumPy scalar": (f"float({BITS})", f"({BITS})", "by_hand"),
        "in place": (
            "    return float(",
            "    log_probabilities[~scored] = 0\n    return float(",
            "inputs_unchanged",
        ),
    },
    "scored_tokens": {
        "begins past the border": (
            "return ends >",
            "ends = ends - np.array([len(piece) for piece in pieces]); return ends >=",
            "a_token_across",
        ),
        "ends at the border": ("return ends >", "return ends >=", "up_to_the_border"),
        "characters": ('len(context.encode("utf-8"))', "len(context)", "several_bytes"),
        "decoded pieces": (
            "len(piece) for piece in pieces",
            'len(piece.decode("utf-8", "replace")) for piece in pieces',
            "several_bytes",
        ),
        "the context's": ("return ends >", "return ends <=", "between_words"),
        "all": ("return ends >", "return ends > 0 * ", "between_words"),
        "the last token only": (
            'return ends > len(context.encode("utf-8"))',
            "return np.arange(len(pieces)) == len(pieces) - 1",
            "between_words",
        ),
        "one more": ('len(context.encode("utf-8"))', 'len(context.encode("utf-8")) + 1', "a_token_across"),
        "numbers": (
            'return ends > len(context.encode("utf-8"))',
            'return (ends > len(context.encode("utf-8"))).astype(int)',
            "between_words",
        ),
        "stripped": ("context.encode", "context.rstrip().encode", "up_to_the_border"),
        "the first token is never scored": (
            'return ends > len(context.encode("utf-8"))',
            'return (ends > len(context.encode("utf-8"))) & (np.arange(len(pieces)) > 0)',
            "no_context",
        ),
        "in place": ("    ends =", "    pieces[:] = pieces[::-1]; pieces = pieces[::-1]; ends =", "inputs_unchanged"),
    },
    "choose": {
        "always the mean": ('"none": [1 for _ in choices]', '"none": [len(v) for v in log_probabilities]', "sums"),
        "sign": ("values.sum() / length", "-values.sum() / length", "sums"),
        "probabilities": ("values.sum() / length", "np.exp(values.sum()) / length", "sums"),
        "the first token": ("values.sum() / length", "values[0] / length", "sums"),
        "the last token": ("values.sum() / length", "values[-1] / length", "sums"),
        "times the length": ("values.sum() / length", "values.sum() * length", "lengths"),
        "never divided": ("values.sum() / length", "values.sum()", "lengths"),
        "characters are bytes": ('"characters": [len(choice)', '"characters": [len(choice.encode())', "lengths"),
        "bytes are characters": ('len(choice.encode("utf-8"))', "len(choice)", "lengths"),
        "tokens for all": ("}[normalize]", '}["none" if normalize == "none" else "tokens"]', "lengths"),
        "without the space": ("[len(choice) for", "[len(choice.strip()) for", "lengths"),
        "one length for all": ("values.sum() / length for", "values.sum() / max(lengths) for", "lengths"),
        "the last of equals": (
            "int(scores.argmax())",
            "int(len(scores) - 1 - scores[::-1].argmax())",
            "first_of_equals",
        ),
        "the smallest": ("scores.argmax()", "scores.argmin()", "sums"),
        "the best by sum, whatever is divided": (
            "int(scores.argmax())",
            "int(np.argmax([values.sum() for values in log_probabilities]))",
            "normalising_decides",
        ),
        "a NumPy integer": ("int(scores.argmax())", "scores.argmax()", "sums"),
        "zeros": (f"scores = {SCORES}", f"scores = 0 * {SCORES}", "sums"),
        "in place": (
            "    scores = np",
            "    for v in log_probabilities: v /= max(1, len(v)); v *= max(1, len(v)) * (1 + 1e-15)\n    scores = np",
            "inputs_unchanged",
        ),
    },
    "paired_bootstrap": {
        "b minus a": ("differences = a - b", "differences = b - a", "by_hand_of_pairs"),
        "the sum": ("value = differences.mean()", "value = differences.sum()", "by_hand_of_pairs"),
        "the mean of the draws": (
            "value = differences.mean()",
            "value = differences[draws].mean()",
            "by_hand_of_pairs",
        ),
        "the median": ("value = differences.mean()", "value = np.median(differences)", "by_hand_of_pairs"),
        "90 per cent": ("[0.025, 0.975]", "[0.05, 0.95]", "interval"),
        "smallest and largest": ("[0.025, 0.975]", "[0.0, 1.0]", "interval"),
        "normal": (
            "low, high = np.quantile(means, [0.025, 0.975])",
            "low, high = value - 1.96 * means.std(), value + 1.96 * means.std()",
            "interval",
        ),
        "standard error": (
            "low, high = np.quantile(means, [0.025, 0.975])",
            "s = differences.std() / len(a) ** 0.5; low, high = value - 1.96 * s, value + 1.96 * s",
            "interval",
        ),
        "interval around 0": ("np.quantile(means, [", "np.quantile(means - value, [", "interval"),
        "ends exchanged": ("(float(low), float(high))", "(float(high), float(low))", "interval"),
        "drawn apart": (
            "means = differences[draws].mean(axis=1)",
            "means = a[draws].mean(axis=1) - b[draws[:, ::-1] * 0 + np.roll(draws, 1, axis=0)].mean(axis=1)",
            "pairs",
        ),
        "wrong axis": ("differences[draws].mean(axis=1)", "differences[draws].mean(axis=0)", "interval"),
        "items measured, not drawn": ("differences[draws].mean(axis=1)", "np.full(len(draws), value)", "interval"),
        "the measured one left out": (P, "(abs(means - value) >= abs(value)).sum() / len(means)", "chance"),
        "not moved": ("abs(means - value)", "abs(means)", "chance"),
        "one side": ("(abs(means - value) >= abs(value))", "(means - value >= value)", "chance"),
        "share below 0": (P, "(1 + (means <= 0).sum()) / (1 + len(means))", "chance"),
        "strictly farther": (">= abs(value)", "> abs(value)", "chance"),
        "p of the complement": (f"p = {P}", f"p = 1 - {P}", "chance"),
        "p never above a half": (f"p = {P}", f"p = min(0.5, {P})", "no_difference"),
        "ratio of nothing": (f"p = {P}", f"p = {P} if value else 0.0", "no_difference"),
        "needs two items": (
            "value = differences.mean()",
            "differences[1]; value = differences.mean()",
            "no_difference",
        ),
        "NumPy scalars": (
            "return float(value), (float(low), float(high)), float(p)",
            "return value, (low, high), p",
            "by_hand_of_pairs",
        ),
        "in place": ("differences = a - b", "a -= b; differences = a", "inputs_unchanged"),
    },
    "pass_at_k": {
        "with replacement": (
            "float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))",
            "float(1.0 - (1.0 - c / n) ** k)",
            "every_draw",
        ),
        "none is right": ("float(1.0 - np.prod(", "float(np.prod(", "every_draw"),
        "c of n": ("float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))", "c / n", "every_draw"),
        "k times c of n": (
            "float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))",
            "min(1.0, k * c / n)",
            "every_draw",
        ),
        "one factor too few": ("np.arange(n - c + 1, n + 1)", "np.arange(n - c + 2, n + 1)", "every_draw"),
        "one factor too many": ("np.arange(n - c + 1, n + 1)", "np.arange(n - c, n + 1)", "every_draw"),
        "1 if any is right": ("if n - c < k:", "if c:", "every_draw"),
        "at most k wrong is certain": ("if n - c < k:", "if n - c <= k:", "every_draw"),
        "0 of none": ("    if n - c", "    if c == 0: return 1.0 / n\n    if n - c", "edges"),
        "all right is 0": ("return 1.0", "return 0.0", "every_draw"),
        "factorials of floats": (
            "float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))",
            "float(1.0 - np.prod(np.arange(n - c - k + 1, n - c + 1, dtype=float)) / np.prod(np.arange(n - k + 1, n + 1, dtype=float)))",
            "large",
        ),
        "a sum of ratios": ("np.prod(1.0 - k /", "np.sum(1.0 - k /", "every_draw"),
        "a NumPy scalar": (
            "float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))",
            "1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))",
            "every_draw",
        ),
    },
}
