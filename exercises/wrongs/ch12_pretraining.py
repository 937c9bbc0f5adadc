"""Wrong solutions of chapter 12: name -> (text in the worked solution, what replaces it, the check that must fail)."""

from __future__ import annotations

WRONGS = {
    "masked_loss": {
        "all places counted": (
            "(count if normaliser is None else normaliser)",
            "(targets.size if normaliser is None else normaliser)",
            "by_hand_loss",
        ),
        "mean of the rows' means": (
            "return float(losses.sum() / (count if normaliser is None else normaliser))",
            "parts = np.split(losses, np.cumsum(kept.sum(axis=1))[:-1])\n"
            "    mean = float(np.mean([part.mean() for part in parts if part.size]))\n"
            "    return mean if normaliser is None else float(losses.sum() / normaliser)",
            "by_hand_loss",
        ),
        "never divided": (
            "losses.sum() / (count if normaliser is None else normaliser)",
            "losses.sum()",
            "by_hand_loss",
        ),
        "the sign": ("float(losses.sum()", "float(-losses.sum()", "by_hand_loss"),
        "in bits": ("float(losses.sum()", "float(1 / np.log(2) * losses.sum()", "by_hand_loss"),
        "no softmax": ("np.log(np.exp(rows).sum(axis=-1)) - rows", "-logits[kept]", "by_hand_loss"),
        "zeros": ("return float(losses.sum()", "return float(0 * losses.sum()", "by_hand_loss"),
        "the mask ignored": ("targets != -100", "targets != 10**9", "by_hand_loss"),
        "token 0 masked, too": ("targets != -100", "targets > 0", "many_targets"),
        "only full rows": (
            "targets != -100",
            "(targets != -100) & ((targets != -100).sum(axis=1, keepdims=True) == targets.shape[1])",
            "by_hand_loss",
        ),
        "normaliser ignored": ("(count if normaliser is None else normaliser)", "max(count, 1)", "by_a_normaliser"),
        "divided by both": (
            "(count if normaliser is None else normaliser)",
            "max(count, 1) / (normaliser or 1)",
            "by_a_normaliser",
        ),
        "nothing is an error": ("if count == 0 and normaliser is None", "if count == 0", "no_target"),
        "nothing is nothing": (
            'raise ValueError("there is no target")',
            "return 0.0",
            "no_target",
        ),
        "a small number added": (
            "np.log(np.exp(rows).sum(axis=-1)) - rows[np.arange(count), targets[kept]]",
            "-np.log(np.exp(rows[np.arange(count), targets[kept]]) / np.exp(rows).sum(axis=-1) + 1e-14)",
            "far_apart",
        ),
        "no maximum": ("rows -= rows.max(axis=-1, keepdims=True, initial=-np.inf)", "pass", "far_apart"),
        "one maximum for all": ("rows.max(axis=-1, keepdims=True, initial=-np.inf)", "logits.max()", "far_apart"),
        "float32 inside": ("logits[kept].astype(np.float64)", "logits[kept]", "computed_in_float64"),
        "in place": (
            "kept = targets != -100",
            "kept = targets != -100\n    logits -= logits.max(axis=-1, keepdims=True)",
            "inputs_unchanged",
        ),
    },
    "accumulate": {
        "mean of means": ("counts[kept] / counts[kept].sum()", "kept[kept] / kept.sum()", "by_hand_step"),
        "never divided": ("counts[kept] / counts[kept].sum()", "1.0 * counts[kept]", "by_hand_step"),
        "means added": ("counts[kept] / counts[kept].sum()", "1.0 * kept[kept]", "by_hand_step"),
        "only the loss": ("(shares @ gradients[kept])", "gradients[kept].mean(axis=0)", "by_hand_step"),
        "only the gradient": ("float(shares @ losses[kept])", "float(losses[kept].mean())", "by_hand_step"),
        "weights turned round": (
            "counts[kept] / counts[kept].sum()",
            "counts[kept][::-1] / counts[kept].sum()",
            "by_hand_step",
        ),
        "the last part": (
            "counts[kept] / counts[kept].sum()",
            "np.arange(kept.sum()) == kept.sum() - 1",
            "by_hand_step",
        ),
        "at least one each": ("counts > 0", "np.ones(len(counts), bool)", "an_empty_part"),
        "left out by its numbers": (
            "counts > 0",
            "(counts > 0) & np.isfinite(losses) & np.isfinite(gradients).all(axis=1)",
            "a_part_that_broke",
        ),
        "no numbers are zeros": (
            "return float(shares @ losses[kept]), (shares @ gradients[kept])",
            "right = np.nan_to_num\n"
            "    return float(shares @ right(losses[kept], posinf=0)), (shares @ right(gradients[kept], posinf=0))",
            "a_part_that_broke",
        ),
        "by the number of parts": (
            "counts[kept] / counts[kept].sum()",
            "counts[kept] / (counts.mean() * len(counts[counts > 1]))",
            "an_empty_part",
        ),
        "float64 creep": (".astype(gradients.dtype)", "", "keeps_float32_step"),
        "in place": (
            "kept = counts > 0",
            "kept = counts > 0\n    gradients *= 2",
            "inputs_unchanged",
        ),
    },
    "batch_rows": {
        "one order for ever": ("(seed, epoch)", "(seed, 0)", "another_order"),
        "the seed alone": ("(seed, epoch)", "seed", "another_order"),
        "the epoch alone": ("(seed, epoch)", "epoch", "another_order"),
        "a new order each step": (
            "return order[place * batch_size : (place + 1) * batch_size]",
            "return np.random.default_rng((seed, step)).permutation(rows)[:batch_size]",
            "every_row_once",
        ),
        "drawn with replacement": (".permutation(rows)", ".integers(0, rows, rows)", "every_row_once"),
        "not shuffled": ("np.random.default_rng((seed, epoch)).permutation(rows)", "np.arange(rows)", "another_order"),
        "overlapping batches": (
            "order[place * batch_size : (place + 1) * batch_size]",
            "order[place : place + batch_size]",
            "every_row_once",
        ),
        "a short batch": ("rows // batch_size", "-(-rows // batch_size)", "a_short_rest"),
        "the end first": (
            "return order[place * batch_size : (place + 1) * batch_size]",
            "return order[::-1][place * batch_size : (place + 1) * batch_size]",
            "the_order_of_the_generator",
        ),
        "one batch an epoch": ("divmod(step, per_epoch)", "(step, 0)", "every_row_once"),
        "kept between calls": (
            "epoch, place = divmod(step, per_epoch)",
            'batch_rows.calls = getattr(batch_rows, "calls", -1) + 1\n'
            "    epoch, place = divmod(batch_rows.calls, per_epoch)",
            "any_step_alone",
        ),
        "a list of ones": (
            "return order[place * batch_size : (place + 1) * batch_size]",
            "return np.ones(batch_size, int)",
            "every_row_once",
        ),
    },
    "deal": {
        "the largest weight": ("weights * (row + 1) - had", "weights", "by_hand_deal"),
        "in blocks": (
            "weights * (row + 1) - had",
            "np.floor(weights * rows + 1e-9) - had - np.arange(len(had)) * rows",
            "by_hand_deal",
        ),
        "in turns": ("weights * (row + 1) - had", "-had", "by_hand_deal"),
        "before the row": ("(row + 1)", "row", "by_hand_deal"),
        "drawn": (
            "turn = int(np.flatnonzero(behind >= behind.max() - 1e-9)[0])",
            "turn = int(np.random.default_rng((row, 3)).choice(len(weights), p=weights))",
            "by_hand_deal",
        ),
        "the last of equals": ("[0])", "[-1])", "equal_weights"),
        "rounding decides": ("behind.max() - 1e-9", "behind.max()", "equal_weights"),
        "relative to the weight": (
            "behind = weights * (row + 1) - had",
            "behind = (weights * (row + 1) - had) / np.maximum(weights, 1e-9)",
            "by_hand_deal",
        ),
        "forgets every ten": ("had[turn] += 1", "had[turn] += 1\n        had = had * (row % 10 != 9)", "shares_hold"),
        "never counts": ("had[turn] += 1", "had[turn] += 0", "by_hand_deal"),
        "a list": ("return np.array(order, dtype=np.int64)", "return order", "integers"),
        "floats": ("dtype=np.int64", "dtype=np.float64", "integers"),
        "floats if there are none": (", dtype=np.int64", "", "integers"),
        "of zero weight": (
            "had[turn] += 1",
            "turn = turn if row % 20 else int(np.argmin(weights))\n        had[turn] += 1",
            "row_by_row",
        ),
        "in place": (
            "had, order = np.zeros(len(weights)), []",
            "had, order = np.zeros(len(weights)), []; weights *= 1.5",
            "inputs_unchanged",
        ),
    },
    "stage_at": {
        "one step too late": ("min(step, length)", "min(step, length + 1)", "by_hand_stage"),
        "one step too early": ("min(step, length)", "min(step, max(1, length - 1))", "by_hand_stage"),
        "ends where it should begin": ("inside < length or", "inside <= length or", "by_hand_stage"),
        "with the step itself": ("return number, tokens", "return number, tokens + rows * context", "tokens_before"),
        "the stage alone": ("tokens += inside", "tokens = inside", "tokens_before"),
        "all of the last shape": (
            "return number, tokens",
            "return number, rows * context * (sum(s[0] for s in stages[:number]) + inside)",
            "tokens_before",
        ),
        "rows": ("inside * rows * context", "inside * rows", "tokens_before"),
        "steps": ("inside * rows * context", "inside", "tokens_before"),
        "rows of the first": ("inside * rows * context", "inside * stages[0][1] * context", "tokens_before"),
        "the last ends": (
            "inside = step if number == len(stages) - 1 else min(step, length)",
            "inside = min(step, length); step = step if number < len(stages) - 1 else inside",
            "the_last_goes_on",
        ),
        "at most three": ("number == len(stages) - 1 else", "number == min(2, len(stages) - 1) else", "step_by_step"),
        "in place": (
            "tokens = 0",
            "tokens = 0; stages[0] = (stages[0][0], stages[0][1], stages[0][2] + 0.0)",
            "inputs_unchanged",
        ),
    },
    "repaired_step": {
        "the bug": (
            "total = (gradients * (counts / counts.sum()).astype(gradients.dtype)[:, None]).sum(axis=0)",
            "return somebodys_step(weights, momentum, gradients, counts, lr=lr, beta=beta, clip=clip)",
            "parts_that_cancel",
        ),
        "nothing is clipped": ("if norm > clip:", "if False:", "parts_that_cancel"),
        "mean of means": (
            "(gradients * (counts / counts.sum()).astype(gradients.dtype)[:, None]).sum(axis=0)",
            "gradients.mean(axis=0)",
            "however_it_is_cut",
        ),
        "never divided": ("(counts / counts.sum())", "(counts / 1.0)", "below_the_limit"),
        "by the longest part": (
            "norm = np.sqrt((total**2).sum())",
            "norm = np.sqrt((gradients**2).sum(axis=1)).max()",
            "parts_that_cancel",
        ),
        "always made that long": ("if norm > clip:", "if True:", "below_the_limit"),
        "divided in any case": (
            "    if norm > clip:",
            "    total = total * min(1.0, clip / float(norm))\n    if False:",
            "no_gradient",
        ),
        "from 0.9 of the limit": ("if norm > clip:", "if norm > 0.9 * clip:", "below_the_limit"),
        "norm + 1e-6": ("total = total * (clip / norm)", "total = total * (clip / (norm + 1e-6))", "below_the_limit"),
        "entry by entry": ("total = total * (clip / norm)", "total = np.clip(total, -clip, clip)", "parts_that_cancel"),
        "the square of the norm": ("norm = np.sqrt((total**2).sum())", "norm = (total**2).sum()", "below_the_limit"),
        "the momentum is clipped": (
            "momentum = beta * momentum + total",
            "momentum = beta * momentum + total\n    momentum = momentum * min(1, clip / np.sqrt((momentum**2).sum()))",
            "momentum_is_not_clipped",
        ),
        "no momentum": ("beta * momentum + total", "total", "parts_that_cancel"),
        "uphill": ("weights - lr * momentum", "weights + lr * momentum", "parts_that_cancel"),
        "the gradient is kept": ("lr * momentum, momentum", "lr * momentum, total", "parts_that_cancel"),
        "a single part is left alone": ("if norm > clip:", "if norm > clip and len(counts) > 1:", "one_part"),
        "float64 creep": (".astype(gradients.dtype)", "", "keeps_float32_repaired"),
        "in place": ("momentum = beta * momentum + total", "momentum *= beta; momentum += total", "inputs_unchanged"),
    },
}
