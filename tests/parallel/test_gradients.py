"""Buckets: whose numbers they hold, when they leave, and how much is sent."""

import numpy as np
import pytest
from running import FEW_BYTES, Rows, tiny

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.parallel import run_ranks
from llm_from_scratch.parallel.gradients import RankGradients, _checksum
from llm_from_scratch.parallel.volume import chunks_sent
from llm_from_scratch.training import SGD, accumulate_gradients


def passed(end, *, shard=False, whole=False, bucket=FEW_BYTES, look=None):
    """One backward pass of a rank that has rows of its own, summed; the model and its gradients."""
    model = tiny()
    params = [p for p in model.parameters() if p.requires_grad]
    gradients = RankGradients(end, params, SGD(params), shard=shard, threads=1, bucket=bucket)
    batch = next(Rows(2 * end.size))
    mine = {name: array[2 * end.rank : 2 * end.rank + 2] for name, array in batch.items()}
    total = int((batch["targets"] != -100).sum())
    loss = accumulate_gradients(model, mine, normaliser=total, threads=1, finished=gradients.finished)
    if look is not None:
        look(gradients)
    return model, gradients, gradients.complete(loss, [batch], whole=whole)


def whole_batch(size):
    model = tiny()
    return model, accumulate_gradients(model, next(Rows(2 * size)), threads=1)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("bucket", [1, FEW_BYTES, 1 << 30])
def test_gradients_are_those_of_the_whole_batch(size, bucket):
    wanted, loss = whole_batch(size)
    for model, gradients, found in run_ranks(size, lambda end: passed(end, bucket=bucket)):
        assert found == pytest.approx(loss, abs=1e-14)
        for (name, mine), theirs in zip(model.named_parameters(), wanted.parameters()):
            np.testing.assert_allclose(mine.grad, theirs.grad, atol=1e-14, err_msg=name)
        assert gradients.buckets[0].gradient.size == sum(p.size for p in gradients.buckets[0].params)


def test_the_norm_counts_every_number_once():
    wanted, _ = whole_batch(3)
    length = np.sqrt(sum(float((p.grad**2).sum()) for p in wanted.parameters()))
    for shard in (False, True):
        norms = run_ranks(3, lambda end, shard=shard: passed(end, shard=shard)[1].norm())
        assert norms == pytest.approx([length] * 3, rel=1e-13) and len(set(norms)) == 1


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_norm_of_numbers_whose_squares_are_none(scale):
    def norm(end):
        weight = Tensor(np.zeros(6), requires_grad=True)
        gradients = RankGradients(end, [weight], SGD([weight]), shard=False, threads=1)
        weight.grad = np.array([3.0, 0, 0, 0, 0, 4]) * (scale if end.rank == 1 else 0.0)
        gradients.complete(0.0, [], whole=False)
        return gradients.norm()

    assert run_ranks(3, norm) == pytest.approx([5 * scale] * 3, rel=1e-13)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("bucket", [1, FEW_BYTES, 1 << 30])
def test_shares_cover_every_number_once(size, bucket):
    _, gradients, _ = run_ranks(1, lambda end: passed(end, bucket=bucket))[0]
    params = gradients.params
    others = run_ranks(size, lambda end: RankGradients(end, params, None, shard=False, threads=1, bucket=bucket))
    for home in others[0].buckets:
        for param in home.params:
            shares = [home.share(param, rank) for rank in range(size)]
            assert [n for share in shares for n in range(share.start, share.stop)] == list(range(param.size))
    sizes = [sum(b.own.stop - b.own.start for b in other.buckets) for other in others]
    assert sum(sizes) == sum(p.size for p in params) and max(sizes) - min(sizes) <= len(others[0].buckets)


def test_as_much_is_sent_as_is_predicted():
    """Whether the second round carries gradients or, with a sharded optimiser, weights."""
    for shard in (False, True):

        def sent(end, shard=shard):
            model, gradients, loss = passed(end, shard=shard)
            before_update = end.bytes_sent
            optimizer = SGD(gradients.params, lr=0.1)
            gradients.update(optimizer, 1.0, 1.0)
            small = (end.size - 1) * 8 * (2 + len(gradients.params))  # loss, checksum, who has a gradient
            wanted = [chunks_sent(len(b.gradient), 8, end.size, end.rank) for b in gradients.buckets]
            first, second = (sum(pair[i] for pair in wanted) for i in (0, 1))
            return (before_update, end.bytes_sent), (small + first + (0 if shard else second), small + first + second)

        for counted, predicted in run_ranks(3, sent):
            assert counted == predicted


def test_what_has_no_gradient_is_not_written():
    """So it may be an array that cannot be changed: what is updated is copied before."""

    def updated(end):
        unused, moves = np.arange(12.0).reshape(3, 4), np.ones(5)
        unused.flags.writeable = False
        params = [Tensor(moves, requires_grad=True), Tensor(np.zeros(1), requires_grad=True)]
        params[1].data = unused
        optimizer = SGD(params, lr=1.0)
        gradients = RankGradients(end, params, optimizer, shard=True, threads=1)
        params[0].grad = np.full(5, 0.25)
        gradients.complete(0.0, [], whole=False)
        gradients.update(optimizer, 1.0, gradients.norm())
        return params[1].stored is unused, params[0].data.tolist()

    assert run_ranks(2, updated) == [(True, [0.5] * 5)] * 2


def test_full_buckets_leave_while_the_rest_is_computed():
    """Last layers first; the tied embedding, used at both ends, last of all."""
    left = {}

    def look(gradients):
        away = [bucket.flight is not None for bucket in gradients.buckets]
        left[gradients.ranks.rank] = away
        embedding = gradients._home[gradients.params[0]]
        assert not embedding.missing or not away[gradients.buckets.index(embedding)]

    run_ranks(2, lambda end: passed(end, look=look))
    assert all(left[0]) and len(left[0]) > 3  # everything was sent before `complete`

    order = []

    def watched(end):
        model = tiny()
        params = list(model.parameters())
        names = {p: name for name, p in model.named_parameters()}
        gradients = RankGradients(end, params, SGD(params), shard=False, threads=1, bucket=1)
        send = gradients._send_off

        def noted(bucket):
            order.append(names[bucket.params[0]])
            send(bucket)

        gradients._send_off = noted
        batch = next(Rows(2))
        accumulate_gradients(model, batch, threads=1, finished=gradients.finished)
        gradients.complete(0.0, [batch], whole=True)

    run_ranks(1, watched)
    assert order[0] == "norm.weight" and order[-1] == "embedding.weight"
    assert order.index("layers.1.feed_forward.down.weight") < order.index("layers.0.feed_forward.down.weight")


def test_another_batch_has_another_checksum():
    batch = {"ids": np.arange(6).reshape(2, 3), "targets": np.zeros((2, 3), int)}
    others = [
        {**batch, "ids": batch["ids"][::-1]},
        {**batch, "ids": batch["ids"].reshape(3, 2)},
        {**batch, "ids": batch["ids"].astype(np.int32)},
        {"ids": batch["ids"]},
        {"targets": batch["ids"], "ids": batch["targets"]},
    ]
    sums = [_checksum([one]) for one in (batch, *others)]
    assert len(set(sums)) == len(sums) and _checksum([batch]) == _checksum([{**batch}])
