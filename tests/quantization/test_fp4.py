"""FP4's own table; its bits are held in test_four_bit.py."""

import numpy as np

from llm_from_scratch.quantization import fp4


def test_numbers_are_sign_exponent_and_fraction_over_twelve():
    numbers = fp4.CODES[:8] * 12
    np.testing.assert_allclose(numbers, [0, 0.0625, 8, 12, 4, 6, 2, 3], rtol=1e-6)
    np.testing.assert_array_equal(fp4.CODES[8:], -fp4.CODES[:8])
    exponents = {3: (2, 3), 4: (4, 6), 8: (8, 12)}
    for smallest, (plain, with_fraction) in exponents.items():
        assert smallest <= with_fraction and with_fraction == 1.5 * plain
