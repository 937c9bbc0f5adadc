"""Wrong solutions of chapter 24: name -> (text in the worked solution, what replaces it, the check that must fail)."""

# ruff: noqa: E501
from __future__ import annotations

ROUNDED = "np.rint(kept * (127 / np.where(largest > 0, largest, 1))[:, None])"

WRONGS = {
    "float_bits": {
        "bias one too large": ("((exponent - lowest)", "((exponent - lowest + 1)", "halves_by_hand"),
        "no sign": ("int(math.copysign(1.0, x) < 0)", "0", "halves_by_hand"),
        "the sign of -0.0 lost": ("int(math.copysign(1.0, x) < 0)", "int(x < 0)", "zeros"),
        "no subnormal numbers": (
            "if math.isinf(x)",
            "if abs(x) < 2.0**lowest: return sign\n    if math.isinf(x)",
            "subnormal_numbers",
        ),
        "the exponent of small numbers runs on": (
            "max(math.frexp(x)[1] - 1, lowest) if x else lowest",
            "math.frexp(x)[1] - 1 if x else lowest",
            "subnormal_numbers",
        ),
        "cut off": ("round(math.ldexp", "int(math.ldexp", "ties_go_to_even"),
        "halves up": (
            "round(math.ldexp(abs(x), mantissa_bits - exponent))",
            "math.floor(math.ldexp(abs(x), mantissa_bits - exponent) + 0.5)",
            "ties_go_to_even",
        ),
        "no carry": (
            "((exponent - lowest) << mantissa_bits) + steps",
            "((exponent - lowest + (steps >> mantissa_bits > 0)) << mantissa_bits) | (steps & (2**mantissa_bits - 1))"
            " if steps >> mantissa_bits < 2 else ((exponent - lowest + 1) << mantissa_bits)",
            "carries",
        ),
        "saturates": ("+ steps, infinity)", "+ steps, infinity - 1)", "beyond_the_largest"),
        "runs into NaN": (
            "min(((exponent - lowest) << mantissa_bits) + steps, infinity)",
            "(((exponent - lowest) << mantissa_bits) + steps) & (2 ** (exponent_bits + mantissa_bits) - 1)",
            "beyond_the_largest",
        ),
        "float16 always": ("lowest = 2 - 2 ** (exponent_bits - 1)", "lowest = -14", "other_formats"),
        "always NumPy's float16": (
            "lowest = 2 -",
            "return int(np.array(x, np.float16).view(np.uint16)); lowest = 2 -",
            "other_formats",
        ),
        "the 1 stored": (
            "min(((exponent - lowest) << mantissa_bits) + steps, infinity)",
            "((exponent - lowest + 1) << mantissa_bits | steps >> 1)",
            "halves_by_hand",
        ),
        "a NumPy number": ("return sign | min(", "return np.int64(sign) | min(", "halves_by_hand"),
    },
    "quantize_rows": {
        "one scale": ("np.abs(weight).max(axis=1)", "np.full(len(weight), np.abs(weight).max())", "rows_by_hand"),
        "the largest number": ("np.abs(weight).max(axis=1)", "weight.max(axis=1)", "rows_by_hand"),
        "128 steps": ("scale = 127 /", "scale = 128 /", "rows_by_hand"),
        "four bits": ("scale = 127 /", "scale = 7 /", "rows_by_hand"),
        "no sign": ("np.rint(weight *", "np.rint(np.abs(weight) *", "rows_by_hand"),
        "scales of columns": ("[:, None]", "[: weight.shape[1]]", "many_rows"),
        "cut off": ("np.rint(weight * scale[:, None])", "(weight * scale[:, None])", "halves_to_even"),
        "halves up": ("np.rint(weight * scale[:, None])", "np.floor(weight * scale[:, None] + 0.5)", "halves_to_even"),
        "zeros divide": ("np.where(absmax > 0, absmax, 1)", "absmax", "rows_of_zeros"),
        "a small number beside the scale": ("np.where(absmax > 0, absmax, 1)", "(absmax + 1e-8)", "rows_of_zeros"),
        "absmax of zeros is 1": ("astype(np.int8), absmax", "astype(np.int8), np.where(absmax > 0, absmax, 1)", "rows_of_zeros"),
        "int16 codes": ("astype(np.int8)", "astype(np.int16)", "rows_by_hand"),
        "float64 creep": ("astype(np.int8), absmax", "astype(np.int8), absmax.astype(float)", "rows_by_hand"),
        "the scale returned": ("astype(np.int8), absmax", "astype(np.int8), absmax / np.float32(127)", "rows_by_hand"),
        "in place": ("absmax = np.abs(weight)", "weight /= 1.5; absmax = np.abs(weight)", "inputs_unchanged"),
    },
    "int8_matmul": {
        "no scale of x": (" * largest[:, None] * absmax", " * absmax", "without_outliers"),
        "no scale of the weight": (" * largest[:, None] * absmax", " * largest[:, None]", "without_outliers"),
        "one 127": ("/ 127 / 127 *", "/ 127 *", "without_outliers"),
        "x not rounded": (ROUNDED + ".astype(np.int8)", ROUNDED.replace("np.rint", ""), "without_outliers"),
        "no split": ("outlier = np.abs(x) >= threshold", "outlier = np.abs(x) >= np.inf", "one_outlier"),
        "the outlier takes the scale": (
            "largest = np.abs(kept).max(axis=1)",
            "largest = np.abs(x).max(axis=1)",
            "one_outlier",
        ),
        "outliers dropped": ("return in_codes + x[:, columns] @ weight.T", "return in_codes", "one_outlier"),
        "columns count twice": ("rows[:, columns] = 0", "pass", "in_company"),
        "only the entries leave": (
            "rows[:, columns] = 0",
            "x = np.where(outlier, x, np.float32(0))",
            "in_company",
        ),
        "whole columns leave the scale": (
            "kept = np.where(outlier, np.float32(0), x)",
            "kept = np.where(columns, np.float32(0), x)",
            "in_company",
        ),
        "an outlier only beyond the threshold": (">= threshold", "> threshold", "at_the_threshold"),
        "no magnitude": ("outlier = np.abs(x)", "outlier = x", "at_the_threshold"),
        "always 6": (">= threshold", ">= 6.0", "at_the_threshold"),
        "sums in int8": (
            "rows.astype(np.int32) @ codes.T.astype(np.int32)",
            "(rows @ codes.T).astype(np.int32)",
            "long_sums",
        ),
        "sums in int16": (
            "rows.astype(np.int32) @ codes.T.astype(np.int32)",
            "rows.astype(np.int16) @ codes.T.astype(np.int16)",
            "long_sums",
        ),
        "one scale for all rows": (
            "largest = np.abs(kept).max(axis=1)",
            "largest = np.full(len(x), np.abs(kept).max())",
            "without_outliers",
        ),
        "rows of zeros divide": ("np.where(largest > 0, largest, 1)", "largest", "random_products"),
        "zeros": ("return in_codes + x[:, columns]", "return 0 * in_codes + 0 * x[:, columns]", "without_outliers"),
        "float64 creep": ("whole.astype(np.float32)", "whole.astype(np.float64)", "without_outliers"),
        "in place": (
            "kept = np.where(outlier, np.float32(0), x)",
            "full = x.copy(); x[outlier] = 0; kept = x; x = full",
            "inputs_unchanged",
        ),
    },
    "pack_nf4": {
        "low half first": (
            "codes[0::2] << 4 | codes[1::2]",
            "codes[1::2] << 4 | codes[0::2]",
            "high_half_first",
        ),
        "a code a byte": ("codes[0::2] << 4 | codes[1::2]", "codes", "high_half_first"),
        "halves of the array": (
            "codes[0::2] << 4 | codes[1::2]",
            "codes[: len(codes) // 2] << 4 | codes[len(codes) // 2 :]",
            "high_half_first",
        ),
        "the code below": (
            "np.searchsorted((table[1:] + table[:-1]) / 2, padded)",
            "np.clip(np.searchsorted(table, padded, side='right') - 1, 0, 15)",
            "nearest_of_sixteen",
        ),
        "half way goes up": (
            "(table[1:] + table[:-1]) / 2, padded)",
            "(table[1:] + table[:-1]) / 2, padded, side='right')",
            "nearest_of_sixteen",
        ),
        "the largest number": ("np.abs(grouped).max(axis=1)", "grouped.max(axis=1)", "nearest_of_sixteen"),
        "even steps": (
            "np.searchsorted((table[1:] + table[:-1]) / 2, padded)",
            "np.rint((padded + 1) * 7.5)",
            "nearest_of_sixteen",
        ),
        "one scale": (
            "np.abs(grouped).max(axis=1)",
            "np.full(blocks, np.abs(grouped).max())",
            "blocks_have_their_own",
        ),
        "columns first": ("weight.reshape(-1)", "weight.T.reshape(-1)", "blocks_have_their_own"),
        "always blocks of 64": (
            "flat = weight.reshape(-1)",
            "flat, block_size = weight.reshape(-1), 64",
            "blocks_have_their_own",
        ),
        "code 0 at the end": (
            "codes = codes[: flat.size + flat.size % 2]",
            "codes = codes[: flat.size + flat.size % 2]; codes[flat.size :] = 0",
            "odd_sizes",
        ),
        "the padding stays": ("codes = codes[: flat.size + flat.size % 2]", "codes = codes[:-1]", "odd_sizes"),
        "the last number is lost": (
            "codes[: flat.size + flat.size % 2]",
            "codes[: flat.size - flat.size % 2]",
            "odd_sizes",
        ),
        "zeros divide": ("np.where(absmax > 0, absmax, 1)", "absmax", "blocks_of_zeros"),
        "a block of zeros is 1": ("codes[1::2], absmax", "codes[1::2], np.where(absmax > 0, absmax, 1)", "blocks_of_zeros"),
        "absmax in half precision": ("codes[1::2], absmax", "codes[1::2], absmax.astype(np.float16)", "high_half_first"),
        "in place": ("flat = weight", "weight /= np.float32(1.5); flat = weight", "inputs_unchanged"),
    },
    "quantize_q4_1": {
        "scale and minimum exchanged": (
            '[d.astype("<f2").view(np.uint8), m.astype("<f2").view(np.uint8), halves]',
            '[m.astype("<f2").view(np.uint8), d.astype("<f2").view(np.uint8), halves]',
            "one_block",
        ),
        "16 steps": ("/ np.float32(15)", "/ np.float32(16)", "one_block"),
        "from the largest magnitude": (
            "(values.max(axis=1, keepdims=True) - m)",
            "np.abs(values).max(axis=1, keepdims=True)",
            "one_block",
        ),
        "big-endian": ('d.astype("<f2")', 'd.astype(">f2")', "one_block"),
        "the minimum not taken off": ("(values - m) / np.where", "np.abs(values) / np.where", "one_block"),
        "neighbours share a byte": ("codes[:, :16] | codes[:, 16:] << 4", "codes[:, ::2] | codes[:, 1::2] << 4", "order_of_the_halves"),
        "halves exchanged": ("codes[:, :16] | codes[:, 16:] << 4", "codes[:, 16:] | codes[:, :16] << 4", "order_of_the_halves"),
        "halves to even": ("np.floor((values - m) / np.where(d > 0, d, 1) + np.float32(0.5))", "np.rint((values - m) / np.where(d > 0, d, 1))", "halves_go_up"),
        "cut off": (" + np.float32(0.5)", "", "halves_go_up"),
        "the rounded scale": (
            "    codes = np.floor(",
            "    d, m = d.astype(np.float16).astype(np.float32), m.astype(np.float16).astype(np.float32); codes = np.floor(",
            "codes_from_the_exact_scale",
        ),
        "one scale": ("values.min(axis=1, keepdims=True)", "np.full((len(values), 1), values.min(), np.float32)", "many_blocks"),
        "equal numbers divide": ("np.where(d > 0, d, 1)", "d", "equal_numbers"),
        "int8 codes": ("codes = np.minimum(codes, 15)", "codes = np.minimum(codes, 15).astype(np.int64)", "one_block"),
        "zeros": ("return np.concatenate(", "return 0 * np.concatenate(", "one_block"),
        "in place": ("m = values.min", "values -= 1; m = values.min", "inputs_unchanged"),
    },
}  # fmt: skip
