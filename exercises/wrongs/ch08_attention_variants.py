"""Wrong solutions of chapter 8: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

WRONGS = {
    "grouped_attention": {
        "heads dealt out in turns": (
            "grouped = q.reshape(batch, shared, heads // shared, length, width)",
            "k, v = np.tile(k, (1, heads // shared, 1, 1)), np.tile(v, (1, heads // shared, 1, 1)); grouped = q[:, :, None]",
            "which_head_reads_which",
        ),
        "all read head 0": ("shared = k.shape[1]", "k, v, shared = k[:, :1], v[:, :1], 1", "which_head_reads_which"),
        "no mask": ("np.tri(length, dtype=bool)", "True", "one_head_each"),
        "a query does not see itself": (
            "np.tri(length, dtype=bool)",
            "np.tri(length, k=-1, dtype=bool) | np.eye(length, 1, dtype=bool)[::-1, ::-1] | (np.arange(length) == 0)",
            "one_head_each",
        ),
        "no scale": (" / math.sqrt(width)", "", "one_head_each"),
        "scaled by D": ("math.sqrt(width)", "width", "one_head_each"),
        "overflows": ("np.exp(scores - scores.max(axis=-1, keepdims=True))", "np.exp(scores)", "large_scores"),
        "one maximum for all rows": ("scores.max(axis=-1, keepdims=True)", "scores.max()", "rows_far_apart"),
        "one maximum for each head": (
            "scores.max(axis=-1, keepdims=True)",
            "scores.max(axis=(-1, -2), keepdims=True)",
            "rows_far_apart",
        ),
        "the mean for the maximum": (
            "scores.max(axis=-1, keepdims=True)",
            "scores.mean(axis=-1, keepdims=True, where=np.isfinite(scores))",
            "rows_far_apart",
        ),
        "minus 10,000 for minus infinity": ("scores, -np.inf)", "scores, -1e4)", "rows_far_apart"),
        "10,000 taken off": ("scores, -np.inf)", "scores, scores - 1e4)", "the_future_is_hidden"),
        "a batch of one is squeezed": (
            "shared = k.shape[1]",
            "shared = k.shape[1]; v = v.squeeze(0)[None] if batch == 1 and False else v.squeeze()",
            "smallest_sizes",
        ),
        "normalised over queries": ("weights.sum(axis=-1", "weights.sum(axis=-2", "one_head_each"),
        "not normalised": ("weights /= weights.sum(axis=-1, keepdims=True)", "pass", "one_head_each"),
        "float64 creep": (".astype(q.dtype)", ".astype(np.float64)", "keeps_float32"),
        "values averaged where all heads share": (
            "(weights @ v[:, :, None])",
            "(weights @ (v if shared > 1 else v * 0 + v.mean(axis=2, keepdims=True))[:, :, None])",
            "multi_query",
        ),
        "scales q in place": (
            "shared = k.shape[1]",
            "shared = k.shape[1]; q *= 1.5; q /= 1.5; q[0, 0, 0, 0] += 1e-13",
            "inputs_unchanged",
        ),
    },
    "window_mask": {
        "one key too many": ("i - j < window", "i - j <= window", "by_hand"),
        "one key too few": ("i - j < window", "i - j < window - 1", "by_hand"),
        "no window": ("seen if window is None else", "seen if True else", "by_hand"),
        "a window of 1 is none": (
            "if window is None else",
            "if window is None or window == 1 else",
            "smallest_and_largest",
        ),
        "the window counted without the offset": (
            "(i - j < window)",
            "(i - j < window + offset)",
            "with_remembered_keys",
        ),
        "no offset in the window": ("(i - j < window)", "(i - offset - j < window)", "with_remembered_keys"),
        "wide windows are none": (
            "if window is None else",
            "if window is None or window > queries else",
            "smallest_and_largest",
        ),
        "not causal": ("seen = j <= i", "seen = j <= i + keys", "by_hand"),
        "a query does not see itself": ("seen = j <= i", "seen = j < i", "by_hand"),
        "ignores the offset": ("offset + np.arange(queries)", "np.arange(queries)", "with_remembered_keys"),
        "turned round": ("j <= i", "j >= i", "by_hand"),
        "a mask to add": ("return seen if", "return np.where(seen, 0.0, -np.inf) if", "no_window"),
    },
    "rolling_write": {
        "comes back in the order of the slots": ("slots[held % window]", "slots[: len(held)]", "after_the_wrap"),
        "comes back whole": ("np.arange(max(0, end - window), end)", "np.arange(end - window, end)", "a_short_prompt"),
        "newest first": ("slots[held % window]", "slots[held[::-1] % window]", "a_short_prompt"),
        "always from slot 0": ("slots[np.arange(end - len(kept), end) % window]", "slots[: len(kept)]", "the_slots"),
        "the first ones stay": ("new[-window:]", "new[:window]", "a_long_prompt"),
        "shifts instead of wrapping": (
            "slots[np.arange(end - len(kept), end) % window] = kept",
            "slots = np.concatenate([slots, kept])[-window:]",
            "the_slots",
        ),
        "forgets what was there": ("slots = slots.copy()", "slots = np.zeros_like(slots)", "after_the_wrap"),
        "off by one": (
            "end = len(slots), position + len(new)",
            "end = len(slots), position + len(new) + 1",
            "the_slots",
        ),
        "writes in place": ("slots = slots.copy()", "pass", "inputs_unchanged"),
        "squeezes a width of 1": (
            "return slots, slots[held % window]",
            "return slots, slots[held % window].squeeze() if slots.shape[1] == 1 else slots[held % window]",
            "smallest_buffers",
        ),
        "nothing to write empties it": (
            "held = np.arange(max(0, end - window), end)",
            "held = np.arange(max(0, end - window), end if len(new) else end - window)",
            "smallest_buffers",
        ),
        "a full buffer is never turned": (
            "slots[held % window]",
            "(slots[held % window] if len(new) < window else new[-window:][::-1].copy()[::-1] if window > 1 else new[:1])",
            "smallest_buffers",
        ),
        "one buffer for all texts": (
            "slots = slots.copy()",
            "slots = globals().setdefault('kept', {}).setdefault(slots.shape, slots.copy())",
            "two_buffers_in_turns",
        ),
        "returns the slots only": ("return slots, slots[held % window]", "return slots", "a_short_prompt"),
    },
    "cache_bytes": {
        "keys only": ("2 * heads", "heads", "multi_head"),
        "four bytes": ("* bytes_each", "* 4", "multi_head"),
        "two bytes": ("* bytes_each", "* 2", "other_formats"),
        "the first layer's heads for all": (
            "2 * heads * head_dim",
            "2 * key_value_heads[0] * head_dim",
            "layers_differ",
        ),
        "no windows": ("tokens if window is None else min(tokens, window)", "tokens", "windows"),
        "the whole window, however short the text": ("min(tokens, window)", "window", "windows"),
        "cuts the windows in place": (
            "held = [tokens if",
            "windows[:] = [min(tokens, window or tokens) for window in windows]; held = [tokens if",
            "inputs_unchanged",
        ),
        "one window for all layers": ("for window in windows]", "for window in windows[:1] * len(windows)]", "windows"),
        "one layer": ("sum(2", "max(2", "multi_head"),
        "a float": ("sum(2", "sum(2.0", "multi_head"),
    },
    "average_heads": {
        "in turns": (
            "matrix.reshape(width, shared, heads // shared, -1).mean(axis=2)",
            "matrix.reshape(width, heads // shared, shared, -1).mean(axis=1)",
            "groups_of_neighbours",
        ),
        "the sum": (".mean(axis=2)", ".sum(axis=2)", "groups_of_neighbours"),
        "the first of each group": (".mean(axis=2)", "[:, :, 0]", "groups_of_neighbours"),
        "columns not side by side": (
            "matrix.reshape(width, shared, heads // shared, -1).mean(axis=2)",
            "matrix.reshape(width, -1, heads // shared, shared).mean(axis=2)",
            "groups_of_neighbours",
        ),
        "always one head": (
            "matrix.reshape(width, shared, heads // shared, -1)",
            "matrix.reshape(width, 1, heads, -1)",
            "groups_of_neighbours",
        ),
        "repeated to the old width": (
            ".mean(axis=2).reshape",
            ".mean(axis=2).repeat(heads // shared, axis=1).reshape",
            "groups_of_neighbours",
        ),
        "divided by the number left": (".mean(axis=2)", ".sum(axis=2) / shared", "one_for_all"),
        "float64 creep": ("return matrix.reshape", "return matrix.astype(float).reshape", "stays_float32"),
        "the median": (
            "matrix.reshape(width, shared, heads // shared, -1).mean(axis=2)",
            "np.median(matrix.reshape(width, shared, heads // shared, -1), axis=2)",
            "groups_of_neighbours",
        ),
        "in place": ("width = len(matrix)", "width = len(matrix); matrix += 1e-9", "inputs_unchanged"),
        "nothing done": (
            "return matrix.reshape(width, shared, heads // shared, -1).mean(axis=2).reshape(width, -1)",
            "return matrix",
            "groups_of_neighbours",
        ),
    },
    "repaired_step": {
        "the window still cut too early": (
            "keys[:, -window:], values[:, -window:]",
            "keys[:, -window - 1 :], values[:, -window - 1 :]",
            "at_the_windows_edge",
        ),
        "a window one too narrow": (
            "keys[:, -window:], values[:, -window:]",
            "keys[:, 1 - window :], values[:, 1 - window :]",
            "at_the_windows_edge",
        ),
        "heads still dealt out in turns": (
            "groups = q.reshape(len(keys), -1, q.shape[-1])",
            "groups = q.reshape(-1, len(keys), q.shape[-1]).swapaxes(0, 1)",
            "by_groups_of_neighbours",
        ),
        "no window": ("if window is not None:", "if False:", "at_the_windows_edge"),
        "the first ones stay": (
            "keys[:, -window:], values[:, -window:]",
            "keys[:, :window], values[:, :window]",
            "at_the_windows_edge",
        ),
        "a window of 1 is none": ("if window is not None:", "if window is not None and window > 1:", "the_first_token"),
        "keeps everything": (
            ".astype(q.dtype), keys, values",
            ".astype(q.dtype), keys if window is None else np.concatenate([np.zeros_like(keys[:, :1]), keys], axis=1), values",
            "at_the_windows_edge",
        ),
        "cuts one token a step": (
            "keys[:, -window:], values[:, -window:]",
            "(x[:, x.shape[1] > window :] for x in (keys, values))",
            "a_longer_memory",
        ),
        "the new token does not see itself": (
            "weights /= weights.sum",
            "weights[..., -1] *= weights.shape[-1] == 1; weights /= weights.sum",
            "one_or_all",
        ),
        "no scale": (" / math.sqrt(q.shape[-1])", "", "one_or_all"),
        "overflows": ("np.exp(scores - scores.max(axis=-1, keepdims=True))", "np.exp(scores)", "heads_far_apart"),
        "one maximum for all heads": ("scores.max(axis=-1, keepdims=True)", "scores.max()", "heads_far_apart"),
        "one maximum for a group": (
            "scores.max(axis=-1, keepdims=True)",
            "scores.max(axis=(-1, -2), keepdims=True)",
            "heads_far_apart",
        ),
        "the repeated heads are kept": (
            ".astype(q.dtype), keys, values",
            ".astype(q.dtype), np.repeat(keys, len(q) // len(keys), axis=0), values",
            "by_groups_of_neighbours",
        ),
        "one memory for all texts": (
            "keys = np.concatenate([keys, k[:, None]], axis=1)",
            "keys = globals()['kept'] = np.concatenate([globals().get('kept', keys) if keys.shape[1] else keys, k[:, None]], axis=1)[:, -keys.shape[1] - 1 :]",
            "two_texts_in_turns",
        ),
        "float64 creep": (".astype(q.dtype)", ".astype(float)", "float32_stays"),
        "scales q in place": ("groups = q.reshape", "q *= 1.0 + 1e-9; groups = q.reshape", "inputs_unchanged"),
    },
}
