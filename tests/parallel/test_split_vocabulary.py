"""The vocabulary divided among ranks: same embedding, loss and gradients, and logits that nobody gathers."""

import numpy as np
import pytest
from splitting import RANKS, assert_close, check_gradients, whole

import llm_from_scratch as lfs
from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.layers import Embedding, Linear
from llm_from_scratch.parallel import collectives, run_ranks
from llm_from_scratch.parallel import split_vocabulary as V

WORDS, WIDTH = 24, 5
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, WORDS, (2, 12))
TARGETS = RNG.integers(0, WORDS, (2, 12))
TARGETS[0, :3] = -100


def parts(bias=True):
    rng = np.random.default_rng(1)
    embedding = Embedding(WORDS, WIDTH, rng=rng).astype(np.float64)
    head = Linear(WIDTH, WORDS, bias=bias, rng=rng).astype(np.float64)
    for module in (embedding, head):
        for parameter in module.parameters():
            parameter.data = rng.normal(size=parameter.shape)
    return embedding, head


def plain(bias=True, tied=False, normaliser=None):
    embedding, head = parts(bias)
    x = embedding(IDS).exp()
    logits = embedding.scores(x) if tied else head(x)
    loss = F.cross_entropy(logits, TARGETS, normaliser=normaliser)
    loss.backward()
    return loss.item(), [p.grad for p in ([embedding.weight] if tied else [embedding.weight, *head.parameters()])]


def split(size, by_sequence=False, bias=True, tied=False, normaliser=None):
    def work(ranks):
        embedding, head = parts(bias)
        embedding = V.VocabularyEmbedding(embedding, ranks, by_sequence=by_sequence)
        head = V.VocabularyHead(embedding if tied else head, ranks, by_sequence=by_sequence)
        loss = head.cross_entropy(embedding(IDS).exp(), TARGETS, normaliser)
        loss.backward()
        return loss.item(), [p.grad for p in ([embedding.weight] if tied else [embedding.weight, *head.parameters()])]

    return run_ranks(size, work)


def check_equal(size, **settings):
    loss, gradients = plain(**{name: value for name, value in settings.items() if name != "by_sequence"})
    found = split(size, **settings)
    assert len({f[0] for f in found}) == 1 and abs(found[0][0] - loss) < 1e-12
    for number, gradient in enumerate(gradients):
        assert_close(whole([f[1][number] for f in found], gradient), gradient)


@pytest.mark.parametrize("by_sequence", (False, True))
@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("kind", ({}, {"bias": False}, {"tied": True}, {"normaliser": 50}), ids=str)
def test_equal_to_the_plain_vocabulary(size, by_sequence, kind):
    check_equal(size, by_sequence=by_sequence, **kind)


@pytest.mark.parametrize("size", (1, 2, 4))
def test_gradients_through_the_communicator(size):
    rng = np.random.default_rng(2)
    logits = np.split(rng.normal(size=(3, 8)), size, axis=1)
    targets = np.array([7, -100, 2])

    def work(ranks, own):
        return V.vocabulary_cross_entropy(own["logits"], targets, comm=ranks)

    check_gradients(size, work, [{"logits": logits[rank]} for rank in range(size)])


def test_rows_far_apart_and_large():
    """One maximum for all, or that of this rank alone, would overflow."""
    logits = np.array([[1e4, 0.0, -1e4, 3.0], [-1e4, -1e4 + 1, -2e4, -1e4 - 2], [5.0, 6.0, 7.0, 8.0]])
    targets = np.array([3, 1, 0])
    expected = F.cross_entropy(logits, targets).item()

    def work(ranks):
        own = Tensor(np.split(logits, 2, axis=1)[ranks.rank], requires_grad=True)
        loss = V.vocabulary_cross_entropy(own, targets, comm=ranks)
        loss.backward()
        return loss.item(), own.grad

    found = run_ranks(2, work)
    assert np.isfinite(found[0][1]).all() and abs(found[0][0] - expected) < 1e-9


def test_no_logits_are_sent():
    """What is sent grows with tokens and not with words."""
    sent = []
    for words in (8, 80):

        def work(ranks, words=words):
            logits = Tensor(np.zeros((6, words // 2)), requires_grad=True)
            V.vocabulary_cross_entropy(logits, np.zeros(6, int), comm=ranks).backward()
            return ranks.bytes_sent

        sent.append(run_ranks(2, work))
    assert sent[0] == sent[1] and sent[0][0] < 6 * 8 * 8


@pytest.mark.parametrize("tied", (False, True))
def test_a_whole_model_trains_and_generates(tied):
    """A decoder whose embedding and head are replaced is called as always; its logits are gathered then."""
    settings = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings |= {"vocab_size": 24, "max_position_embeddings": 32, "tie_word_embeddings": tied}

    def run(ranks=None):
        model = lfs.build("llama", seed=0, **settings).astype(np.float64)
        if ranks is not None:
            model.replace("embedding", lambda plain: V.VocabularyEmbedding(plain, ranks))
            if not tied:
                model.replace("head", lambda plain: V.VocabularyHead(plain, ranks))
        loss = model.loss({"ids": IDS, "targets": TARGETS})
        loss.backward()
        grad = model.embedding.weight.grad
        return loss.item(), grad, model.generate(IDS[:, :4], max_new_tokens=5, temperature=0.0)

    loss, grad, written = run()
    found = run_ranks(2, run)
    assert_close(whole([f[1] for f in found], grad), grad)
    for other, _, text in found:
        assert abs(other - loss) < 1e-12
        np.testing.assert_array_equal(text, written)


def first_rows_on_every_rank(patch):
    """Another rank's words, looked up in the first rows."""
    patch.setattr(V, "share", lambda size, comm, what: slice(0, size // comm.size))


def summed_gradient_of_gathered_logits(patch):
    wrong = lambda dy, saved, needs: (collectives.summed_piece(saved[0], dy, saved[1]),)  # noqa: E731
    patch.setattr(collectives.gather_copies, "_backward", wrong)


@pytest.mark.parametrize("fault", (first_rows_on_every_rank,))
def test_a_wrong_split_is_caught(fault, monkeypatch):
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check_equal(2)


def test_a_loss_counted_once_a_rank_is_caught(monkeypatch):
    summed_gradient_of_gathered_logits(monkeypatch)
    with pytest.raises(AssertionError):
        test_a_whole_model_trains_and_generates(False)


def test_a_loss_divided_by_ranks_is_caught(monkeypatch):
    backward = V.vocabulary_cross_entropy._backward

    def halved(dy, saved, needs):
        return backward(dy / 2, saved, needs)

    monkeypatch.setattr(V.vocabulary_cross_entropy, "_backward", halved)
    with pytest.raises(AssertionError):
        check_equal(2)


def test_bad_input():
    embedding, head = parts()
    with pytest.raises(
        ValueError, match="24 rows of a vocabulary cannot be shared out equally among 5 ranks: .* or pad"
    ):
        run_ranks(5, lambda ranks: V.VocabularyEmbedding(embedding, ranks))
    with pytest.raises(ValueError, match="24 words of a vocabulary cannot be shared out equally among 5"):
        run_ranks(5, lambda ranks: V.VocabularyHead(head, ranks))
    for ids, error, match in (
        (np.array([[24]]), ValueError, "token id 24 .* outside the vocabulary 0..23"),
        (np.array([[-1]]), ValueError, "token id -1"),
        (np.array([[0.5]]), TypeError, "token ids are an array of integers"),
    ):
        with pytest.raises(error, match=match):
            run_ranks(2, lambda ranks, ids=ids: V.VocabularyEmbedding(embedding, ranks)(ids))
    for targets, match in (
        (np.array([8]), "neither -100 .* nor a token id in 0..7"),
        (np.array([0, 1]), "targets have shape"),
        (np.array([-100]), "no target counts"),
    ):
        with pytest.raises(ValueError, match=match):
            run_ranks(2, lambda ranks, t=targets: V.vocabulary_cross_entropy(np.zeros((1, 4)), t, comm=ranks))
