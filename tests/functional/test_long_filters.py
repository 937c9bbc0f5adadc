"""Long convolutions: by FFT, directly and as a recurrence the same; packed rows; states; float32; what is refused."""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor, concatenate
from llm_from_scratch.kernels import long_convolution as kernels
from llm_from_scratch.kernels import modal


def modes(rng, channels, width, least=0.3, most=0.99):
    radius, angle = rng.uniform(least, most, (channels, width)), rng.uniform(-np.pi, np.pi, (channels, width))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1), rng.normal(size=(channels, width, 2))


@pytest.mark.parametrize("length", [1, 2, 3, 37, 64, 65, 200])
def test_the_formula_the_transform_and_numpy_agree(length):
    rng = np.random.default_rng(length)
    x, h = rng.normal(size=(2, length, 35)), rng.normal(size=(length, 35))
    wanted = np.empty_like(x)
    for b in range(2):
        for c in range(35):
            wanted[b, :, c] = np.convolve(x[b, :, c], h[:, c])[:length]
    for method in ("fft", "direct"):
        np.testing.assert_allclose(F.long_convolution(x, h, method=method).data, wanted, atol=1e-12, err_msg=method)


def test_the_recurrence_is_the_convolution_with_its_filter():
    rng = np.random.default_rng(0)
    x, D = rng.normal(size=(2, 150, 5)), rng.normal(size=5)
    poles, residues = modes(rng, 5, 3)
    y, last = F.modal_scan(x, poles, residues, D)
    h = F.modal_filter(poles, residues, length=150)
    np.testing.assert_allclose(y.data, F.long_convolution(x, h, D).data, atol=1e-11)
    state = modal.modal_state(x, poles, np.zeros(2, np.int64))
    np.testing.assert_allclose(state, last.data, atol=1e-12)


def test_the_gradients_agree_too():
    rng = np.random.default_rng(1)
    x, D, dy = rng.normal(size=(2, 40, 3)), rng.normal(size=3), rng.normal(size=(2, 40, 3))
    segments = np.array([[0] * 11 + [1] * 29, [0] * 40])

    def gradients(way):
        leaves = x_, p, R, D_ = [Tensor(a, requires_grad=True) for a in (x, *modes(np.random.default_rng(2), 3, 2), D)]
        if way == "recurrence":
            y = F.modal_scan(x_, p, R, D_, segments=segments)[0]
        else:
            y = F.long_convolution(x_, F.modal_filter(p, R, length=40), D_, segments=segments, method=way)
        y.backward(dy)
        return [leaf.grad for leaf in leaves]

    first = gradients("direct")
    assert all(np.abs(g).max() > 0.1 for g in first)
    for way in ("fft", "recurrence"):
        for got, wanted in zip(gradients(way), first):
            np.testing.assert_allclose(got, wanted, atol=1e-11, err_msg=way)


@pytest.mark.parametrize("method", ["fft", "direct"])
def test_packed_documents_are_convolved_as_if_alone(method):
    rng = np.random.default_rng(3)
    x, h = rng.normal(size=(2, 50, 4)), rng.normal(size=(50, 4))
    segments = np.zeros((2, 50), int)
    segments[0, 7:], segments[0, 9:], segments[1, 49:] = 1, 0, 3
    got = F.long_convolution(x, h, segments=segments, method=method).data
    for row, start, stop in ((0, 0, 7), (0, 7, 9), (0, 9, 50), (1, 0, 49), (1, 49, 50)):
        alone = F.long_convolution(x[row : row + 1, start:stop], h, method="direct").data
        np.testing.assert_allclose(got[row, start:stop], alone[0], atol=1e-12)


@pytest.mark.parametrize("cuts", [[0, 1, 2, 37], [0, 16, 32, 37], [0, 20, 37]])
def test_chunks_are_the_whole_and_so_are_their_gradients(cuts):
    rng = np.random.default_rng(4)
    arrays = [rng.normal(size=(2, 37, 5)), *modes(rng, 5, 2), rng.normal(size=5)]
    cotangent = rng.normal(size=(2, 37, 5))

    def run(borders):
        x, poles, residues, D = leaves = [Tensor(array, requires_grad=True) for array in arrays]
        state, parts = None, []
        for start, stop in zip(borders, borders[1:]):
            y, state = F.modal_scan(x[:, start:stop], poles, residues, D, state)
            parts.append(y)
        y = concatenate(*parts, axis=1)
        y.backward(cotangent)
        return [y.data, state.data, *(leaf.grad for leaf in leaves)]

    for got, wanted in zip(run(cuts), run([0, 37]), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-11)


def test_float32_keeps_its_digits_over_long_sequences():
    """Poles near the circle, 20000 steps: powers by repeated float32 products would be wrong in the third digit."""
    rng = np.random.default_rng(5)
    poles, residues = modes(rng, 4, 2, 0.9999, 0.99999)
    exact = F.modal_filter(poles.astype(np.float32).astype(float), residues, length=20000).data
    single = F.modal_filter(poles.astype(np.float32), residues.astype(np.float32), length=20000).data
    assert single.dtype == np.float32
    assert np.abs(single - exact).max() < 5e-7 * np.abs(exact).max()
    x = rng.normal(size=(1, 20000, 4))
    wanted = F.long_convolution(x, exact).data
    got = F.long_convolution(x.astype(np.float32), exact.astype(np.float32)).data
    assert got.dtype == np.float32 and np.abs(got - wanted).max() < 2e-6 * np.abs(wanted).max()


def test_a_pole_at_zero_is_a_filter_of_one_value():
    zero = np.zeros((1, 1, 2))
    p, R = Tensor(zero, requires_grad=True), Tensor([[[2.0, 1.0]]], requires_grad=True)
    h = F.modal_filter(p, R, length=9)
    np.testing.assert_array_equal(h.data.ravel(), [2.0] + 8 * [0.0])
    h.backward(np.ones((9, 1)))
    np.testing.assert_array_equal(p.grad.ravel(), [2.0, -1.0])  # only h[1] = Re(R p) depends on it to first order
    np.testing.assert_array_equal(R.grad.ravel(), [1.0, 0.0])


def test_a_wrong_conjugate_would_be_seen():
    """Half of the sign errors in complex gradients hide for real poles: the examples must not have those only."""
    rng = np.random.default_rng(6)
    poles, residues = modes(rng, 3, 2)
    dh = rng.normal(size=(6, 3))
    right = modal.modal_filter_backward(dh, poles, residues)[0]
    mirrored = modal.modal_filter_backward(dh, poles * [1, -1], residues)[0]
    assert np.abs(right - mirrored).max() > 0.1


def test_longer_filters_are_cut_and_shorter_ones_end():
    rng = np.random.default_rng(7)
    x, h = rng.normal(size=(1, 20, 3)), rng.normal(size=(90, 3))
    long, cut = F.long_convolution(x, h).data, F.long_convolution(x, h[:20]).data
    np.testing.assert_allclose(long, cut, atol=1e-12)
    ended = np.concatenate([h[:4], np.zeros((16, 3))])
    np.testing.assert_allclose(F.long_convolution(x, h[:4]).data, F.long_convolution(x, ended).data, atol=1e-12)


def test_kernels_never_index_with_an_unchecked_run():
    x, h = np.zeros((1, 8, 2)), np.zeros((8, 2))
    for run in ([1, 0, 4], [0, 0, 9], [0, 4, 4], [0, -1, 4], [-1, 0, 4]):
        for kernel in (kernels.fft_convolution, kernels.direct_convolution):
            with pytest.raises(ValueError, match="does not lie in x"):
                kernel(x, h, np.array([run]))


def test_errors_say_what_is_wrong():
    rng = np.random.default_rng(8)
    x, h = rng.normal(size=(2, 6, 3)), rng.normal(size=(6, 3))
    poles, residues = modes(rng, 3, 2)
    with pytest.raises(ValueError, match=r"needs x \(B, T, C\) and filters \(K, C\), got \(2, 6, 3\) and \(3, 6\)"):
        F.long_convolution(x, h.T)
    with pytest.raises(ValueError, match="method is 'fft' or 'direct', not 'fast'"):
        F.long_convolution(x, h, method="fast")
    with pytest.raises(ValueError, match=r"D has shape \(2,\), expected \(3,\)"):
        F.long_convolution(x, h, np.ones(2))
    with pytest.raises(TypeError, match="float32 or float64"):
        F.long_convolution(x.astype(int), h)
    with pytest.raises(ValueError, match=r"segments have shape \(6,\), expected \(2, 6\)"):
        F.long_convolution(x, h, segments=np.zeros(6, int))
    with pytest.raises(ValueError, match=r"both \(C, N, 2\); got \(3, 2, 2\), \(3, 1, 2\)"):
        F.modal_filter(poles, residues[:, :1], length=4)
    with pytest.raises(ValueError, match="length must be a positive integer, not 0"):
        F.modal_filter(poles, residues, length=0)
    with pytest.raises(ValueError, match=r"x \(B, T, C\) and poles \(C, N, 2\)"):
        F.modal_scan(x[..., :2], poles, residues)
    with pytest.raises(ValueError, match=r"state has shape \(2, 3, 2\), expected \(2, 3, 2, 2\)"):
        F.modal_scan(x, poles, residues, None, np.zeros((2, 3, 2)))
