"""Wrong solutions of chapter 3: name -> (text in the worked solution, what replaces it, the check that must fail)."""

from __future__ import annotations

WRONGS = {
    "shingles": {
        "the last one missing": ("len(words) - n + 1)}", "len(words) - n)}", "by_hand_shingles"),
        "no overlap": (
            "for start in range(len(words) - n + 1)}",
            "for start in range(0, len(words) - n + 1, n)}",
            "by_hand_shingles",
        ),
        "texts, not tuples": (
            "{tuple(words[start : start + n]) for",
            '{" ".join(words[start : start + n]) for',
            "by_hand_shingles",
        ),
        "sorted words": (
            "tuple(words[start : start + n])",
            "tuple(sorted(words[start : start + n]))",
            "by_hand_shingles",
        ),
        "split at spaces": (r're.findall(r"\w+", text.lower())', "text.lower().split()", "marks_and_capitals"),
        "capitals": ("text.lower()", "text", "marks_and_capitals"),
        "English letters": (r'r"\w+", text.lower())', r'r"\w+", text.lower(), re.ASCII)', "marks_and_capitals"),
        "no underscore": (r'r"\w+"', r'r"[^\W_]+"', "marks_and_capitals"),
        "no digits": (r'r"\w+"', r'r"[^\W\d]+"', "marks_and_capitals"),
        "short texts have none": ("return {tuple(words)} if words else set()", "return set()", "short_texts"),
        "an empty shingle": ("return {tuple(words)} if words else set()", "return {tuple(words)}", "short_texts"),
        "always threes": ("n + 1)}", "n + 1)} if n < 13 else set()", "many_shingles"),
        "a list": (
            "return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)}",
            "return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]",
            "by_hand_shingles",
        ),
    },
    "jaccard": {
        "sizes added": ("len(a | b) if", "(len(a) + len(b)) if", "by_hand_jaccard"),
        "the smaller": ("len(a | b) if", "max(1, min(len(a), len(b))) if", "by_hand_jaccard"),
        "the larger": ("len(a | b) if", "max(len(a), len(b)) if", "by_hand_jaccard"),
        "the first": ("len(a | b) if", "max(1, len(a)) if", "by_hand_jaccard"),
        "Dice": ("len(a & b) / len(a | b)", "2 * len(a & b) / (len(a) + len(b))", "by_hand_jaccard"),
        "distance": ("len(a & b) /", "len(a ^ b) /", "by_hand_jaccard"),
        "divides by zero": (" if a or b else 1.0", "", "empty_sets"),
        "empty sets apart": ("else 1.0", "else 0.0", "empty_sets"),
        "an empty one is like all": ("if a or b", "if a and b", "empty_sets"),
        "never 1": ("len(a | b) if", "(len(a | b) + 1e-6) if", "by_hand_jaccard"),
        "always half": ("return len(a & b) / len(a | b)", "return 0.5", "by_hand_jaccard"),
        "in place": ("return len(a & b)", "a &= b; return len(a & b)", "by_hand_jaccard"),
    },
    "signature": {
        "the largest": ("values.min(axis=1)", "values.max(axis=1)", "by_hand_signature"),
        "the other axis": ("values.min(axis=1)", "values.min(axis=0)", "by_hand_signature"),
        "remainder too early": (
            "(factors[:, None] * numbers[None, :] + offsets[:, None]) % prime",
            "factors[:, None] * numbers[None, :] % prime + offsets[:, None]",
            "by_hand_signature",
        ),
        "no remainder": (") % prime", ")", "by_hand_signature"),
        "no offset": (" + offsets[:, None]", "", "by_hand_signature"),
        "the least number only": ("numbers[None, :]", "numbers.min()[None, None]", "by_hand_signature"),
        "one function": ("values.min(axis=1)", "values.min(axis=1)[:1].repeat(len(factors))", "by_hand_signature"),
        "int32": (
            "(factors[:, None] * numbers[None, :]",
            "(factors.astype(np.int32)[:, None] * numbers.astype(np.int32)[None, :]",
            "large_numbers",
        ),
        "float64": (
            "values = (factors[:, None] * numbers[None, :] + offsets[:, None]) % prime",
            "values = ((factors[:, None].astype(float) * numbers + offsets[:, None]) % prime).astype(np.int64)",
            "large_numbers",
        ),
        "uint32": ("values.min(axis=1)", "values.astype(np.uint32).min(axis=1)", "by_hand_signature"),
        "the prime less one": (") % prime", ") % (prime - 1)", "by_hand_signature"),
        "nothing for the empty": ("if not len(numbers):", "if False:", "empty_set"),
        "zeros for the empty": ("np.full(len(factors), prime)", "np.zeros(len(factors), np.int64)", "empty_set"),
        "counts twice what stands there twice": (
            "values.min(axis=1)",
            "values.min(axis=1) + (len(np.unique(numbers)) < len(numbers))",
            "order_and_repetition",
        ),
        "in place": ("    if not len", "    numbers.sort()\n    if not len", "inputs_unchanged"),
    },
    "candidate_pairs": {
        "joined without gaps": (
            "tuple(signature[k * rows : (k + 1) * rows].tolist())",
            '"".join(map(str, signature[k * rows : (k + 1) * rows].tolist()))',
            "alike_when_written",
        ),
        "as floats": (
            "tuple(signature[k * rows : (k + 1) * rows].tolist())",
            "tuple(signature[k * rows : (k + 1) * rows].astype(float).tolist())",
            "alike_when_written",
        ),
        "in 16 bits": ("pairs |= {(i, j) for i in bucket}", "pairs |= {(i, j % 2**14) for i in bucket}", "many_texts"),
        "bands and rows exchanged": (
            "for k in range(bands):",
            "bands, rows = rows, bands\n    for k in range(bands):",
            "more_bands_than_rows",
        ),
        "as it was found": (
            "for k in range(bands):",
            """buckets = {}
    for k in range(rows):
        for i, signature in enumerate(signatures):
            band = tuple(signature[k * bands : (k + 1) * bands])
            if band in buckets:
                pairs.add((buckets[band], i))
            buckets[band] = i
    return pairs
    for k in range(bands):""",
            "by_hand_pairs",
        ),
        "one dictionary": (
            "buckets: dict[tuple[int, ...], list[int]] = {}",
            "buckets = {} if k == 0 else buckets",
            "by_hand_pairs",
        ),
        "neighbours only": ("bucket.append(j)", "bucket[:] = [j]", "two_of_a_bucket"),
        "with the first only": ("bucket.append(j)", "bucket += [j] if not bucket else []", "two_of_a_bucket"),
        "any entry": (
            "for k in range(bands):",
            "bands, rows = bands * rows, 1\n    for k in range(bands):",
            "by_hand_pairs",
        ),
        "all bands at once": (
            "for k in range(bands):",
            "bands, rows = 1, bands * rows\n    for k in range(bands):",
            "more_bands_than_rows",
        ),
        "the larger first": ("(i, j) for i in bucket", "(j, i) for i in bucket", "order_in_a_pair"),
        "both orders": ("(i, j) for i in bucket}", "p for i in bucket for p in ((i, j), (j, i))}", "order_in_a_pair"),
        "itself": ("for i in bucket}", "for i in [*bucket, j]}", "order_in_a_pair"),
        "the rest is a band": (
            "for k in range(bands):",
            "for k in range(-(-signatures.shape[1] // rows)):",
            "what_is_left_over",
        ),
        "the last band missing": ("for k in range(bands):", "for k in range(bands - 1):", "more_bands_than_rows"),
        "sliding bands": ("signature[k * rows : (k + 1) * rows]", "signature[k : k + rows]", "drawn_signatures"),
        "32 bits": (
            "signature[k * rows : (k + 1) * rows].tolist()",
            "signature[k * rows : (k + 1) * rows].astype(np.uint32).tolist()",
            "drawn_signatures",
        ),
        "sums of rows": (
            "tuple(signature[k * rows : (k + 1) * rows].tolist())",
            "(int(signature[k * rows : (k + 1) * rows].sum()),)",
            "drawn_signatures",
        ),
        "in place": ("for k in range(bands):", "signatures += 1\n    for k in range(bands):", "inputs_unchanged"),
    },
    "pack": {
        "empty documents skipped": (
            "for document in documents for i in",
            "for document in documents if len(document) for i in",
            "empty_ones",
        ),
        "never without documents": (
            "np.array([i for document in documents for i in (separator, *document)], np.int64)",
            "np.concatenate([np.array([separator, *document], np.int64) for document in documents])",
            "empty_ones",
        ),
        "the separator closes": ("(separator, *document)", "(*document, separator)", "by_hand_packed"),
        "no separator": ("(separator, *document)", "document", "by_hand_packed"),
        "no overlap": (
            "rows = max(0, len(stream) - 1) // context",
            """rows = len(stream) // (context + 1)
    windows = stream[: rows * (context + 1)].reshape(rows, context + 1)
    stream = np.append(windows[:, :-1], windows[-1:, -1])""",
            "by_hand_packed",
        ),
        "targets are the ids": ("stream[1 : rows * context + 1]", "stream[: rows * context]", "by_hand_packed"),
        "two places further": (
            "stream[1 : rows * context + 1]",
            "np.append(stream, 0)[2 : rows * context + 2]",
            "by_hand_packed",
        ),
        "rows rolled": (
            "    document = np.cumsum",
            "    targets = np.roll(ids, -1, axis=1)\n    document = np.cumsum",
            "by_hand_packed",
        ),
        "separators predict nothing": (
            "    document = np.cumsum",
            "    targets = np.where(ids == separator, -100, targets)\n    document = np.cumsum",
            "by_hand_packed",
        ),
        "the last target invented": (
            "max(0, len(stream) - 1) // context",
            "len(stream) // context",
            "a_row_that_just_fills",
        ),
        "leaks": (
            " & np.tri(context, dtype=bool)",
            " | np.tri(context, dtype=bool) & np.tri(context, dtype=bool)",
            "who_sees_whom",
        ),
        "causal only": (
            "mask = (document[:, :, None] == document[:, None, :])",
            "mask = (document[:, :, None] >= document[:, None, :])",
            "who_sees_whom",
        ),
        "not causal": (" & np.tri(context, dtype=bool)", "", "who_sees_whom"),
        "not itself": ("np.tri(context, dtype=bool)", "np.tri(context, k=-1, dtype=bool)", "who_sees_whom"),
        "begins inside": (
            "& np.tri(context, dtype=bool)",
            "& np.tri(context, dtype=bool) & (document > 0)[:, :, None]",
            "who_sees_whom",
        ),
        "the separator ends": (
            "np.cumsum(ids == separator, axis=1)",
            "np.cumsum(ids == separator, axis=1) - (ids == separator)",
            "who_sees_whom",
        ),
        "exchanged": ("np.tri(context, dtype=bool)", "np.tri(context, dtype=bool).T", "who_sees_whom"),
        "inverted": (
            "mask = (document[:, :, None] == document[:, None, :]) & np.tri(context, dtype=bool)",
            "mask = ~((document[:, :, None] == document[:, None, :]) & np.tri(context, dtype=bool))",
            "who_sees_whom",
        ),
        "integers": ("np.tri(context, dtype=bool)", "np.tri(context, dtype=int)", "who_sees_whom"),
        "numbers of the first row": (
            "document[:, :, None] == document[:, None, :]",
            "document[:1, :, None] == document[:1, None, :]",
            "who_sees_whom",
        ),
        "always 0": ("ids == separator", "ids == 0", "another_separator"),
        "the columns' count": ("axis=1)", "axis=0)", "who_sees_whom"),
        "in place": ("(separator, *document)", "(document.insert(0, separator), document)[1]", "inputs_unchanged"),
        "int32": (", np.int64)", ", np.int32)", "documents_of_arrays"),
    },
    "mixing_weights": {
        "power of T": ("1 / temperature", "temperature", "by_hand_weights"),
        "not shares": ("return powers / powers.sum()", "return powers", "by_hand_weights"),
        "no temperature": (" ** (1 / temperature)", "", "by_hand_weights"),
        "a softmax of sizes": (
            "(sizes / sizes.max()) ** (1 / temperature)",
            "np.exp((sizes - sizes.max()) / temperature)",
            "by_hand_weights",
        ),
        "all alike": ("1 / temperature", "0", "by_hand_weights"),
        "the square of the sum": ("powers.sum()", "powers.sum() ** 2", "by_hand_weights"),
        "by the largest": ("powers / powers.sum()", "powers / powers.max()", "by_hand_weights"),
        "overflows": ("(sizes / sizes.max())", "sizes", "extremes"),
        "by the first": ("sizes / sizes.max()", "sizes / sizes[0]", "extremes_in_any_order"),
        "shares first": ("sizes / sizes.max()", "sizes / sizes.sum()", "extremes_in_any_order"),
        "an epsilon": ("powers.sum()", "(powers.sum() + 1e-6)", "by_hand_weights"),
        "sorted": ("sizes / sizes.max()", "np.sort(sizes)[::-1] / sizes.max()", "by_hand_weights"),
        "T at least 1": ("1 / temperature", "1 / max(1.0, temperature)", "temperature_one"),
        "float32": ("sizes.max()) **", "sizes.max()).astype(np.float32) **", "by_hand_weights"),
        "in place": ("    powers =", "    sizes /= sizes.max()\n    powers =", "inputs_unchanged"),
    },
}
