"""A pipeline's gradients are those of the whole model, whatever the schedule; and a real one between two processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from splitting import RANKS, assert_close

import llm_from_scratch as lfs
from llm_from_scratch import functional as F
from llm_from_scratch.layers import Context
from llm_from_scratch.parallel import run_ranks, schedules
from llm_from_scratch.parallel.pipeline import HEADER_BYTES, run_pipeline

SETTINGS = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 12, "num_attention_heads": 2}
SETTINGS |= {"vocab_size": 11, "max_position_embeddings": 16}
IDS = np.random.default_rng(0).integers(0, 11, (8, 7))
INPUTS, TARGETS = IDS[:, :-1], IDS[:, 1:].copy()
TARGETS[0, 2:] = -100  # micro-batches do not count equally many targets
TARGETS[5, :] = -100


def build():
    return lfs.build("llama", seed=0, **SETTINGS).astype(np.float64)


def stage_of(model, rank, size):
    """This rank's layers, with the embedding in front on the first and the head behind on the last."""
    layers = model.layers[rank * 12 // size : (rank + 1) * 12 // size]

    def stage(x):
        x = model.embedding(x) if rank == 0 else x
        for layer in layers:
            x = layer(x, None, Context(np.arange(x.shape[1])[None]))
        return model.head(model.norm(x)) if rank == size - 1 else x

    return stage


def piped(size, make_schedule, micro_batches=4, count=int((TARGETS != -100).sum())):
    rows = np.split(np.arange(8), micro_batches)

    def work(ranks):
        model = build()

        def loss(logits, i):
            return F.cross_entropy(logits, TARGETS[rows[i]], normaliser=count or (TARGETS[rows[i]] != -100).sum())

        stage = stage_of(model, ranks.rank, size)
        told = run_pipeline(stage, ranks, [INPUTS[r] for r in rows], loss, make_schedule=make_schedule)
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        return told, gradients, ranks.bytes_sent

    return run_ranks(size, work)


def check_equal(size, make_schedule, **settings):
    model = build()
    loss = model.loss({"ids": INPUTS, "targets": TARGETS})
    loss.backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    found = piped(size, make_schedule, **settings)
    assert found[-1][0].loss == pytest.approx(loss.item(), abs=1e-12)
    assert all(told.loss == 0 for told, _, _ in found[:-1])
    names = [name for _, gradients, _ in found for name in gradients]
    assert sorted(names) == sorted(expected), "each parameter has its gradient on one rank"
    for _, gradients, _ in found:
        for name, gradient in gradients.items():
            assert_close(gradient, expected[name])
    return found


MAKERS = (schedules.gpipe, schedules.one_forward_one_backward)


@pytest.mark.parametrize("make_schedule", MAKERS)
@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("micro_batches", (1, 4, 8))
def test_gradients_of_the_whole_model(size, make_schedule, micro_batches):
    found = check_equal(size, make_schedule, micro_batches=micro_batches)
    plan = make_schedule(size, micro_batches)
    assert [told.kept for told, _, _ in found] == [schedules.most_kept(actions) for actions in plan]


def test_a_loss_divided_by_each_micro_batches_own_count_is_caught():
    with pytest.raises(AssertionError):
        check_equal(2, schedules.gpipe, count=None)


def test_gradients_that_arrive_in_another_order_are_caught():
    """The last stage works backwards first to last, the others last to first."""

    def crossed(size, micro_batches):
        plan = schedules.gpipe(size, micro_batches)
        half = micro_batches
        return [*plan[:-1], [*plan[-1][:half], *reversed(plan[-1][half:])]]

    with pytest.raises(AssertionError):
        check_equal(2, crossed)


def test_what_is_sent_is_what_was_predicted():
    for size in (2, 3):
        for rank, (_, _, sent) in enumerate(piped(size, schedules.one_forward_one_backward)):
            activations = 2 * 6 * 16 * 8
            assert sent == 4 * ((rank > 0) + (rank < size - 1)) * (activations + HEADER_BYTES)


def test_no_micro_batches():
    with pytest.raises(ValueError, match="1 or more micro-batches, not 0"):
        run_ranks(2, lambda ranks: run_pipeline(lambda x: x, ranks, [], lambda y, i: y))


def test_several_chunks_a_stage_are_refused():
    """They would take each other's places in what is held."""
    with pytest.raises(ValueError, match="knows one chunk of layers a stage"):
        piped(2, lambda p, m: schedules.interleaved(p, m, 2))


def test_a_first_stage_that_is_frozen():
    """Its neighbour's gradients still arrive, and the others learn as before."""

    def work(ranks, frozen):
        model = build()
        if frozen and ranks.rank == 0:
            model.freeze()

        def loss(logits, i):
            return F.cross_entropy(logits, TARGETS[[i, i + 4]], normaliser=20)

        told = run_pipeline(stage_of(model, ranks.rank, 2), ranks, [INPUTS[[i, i + 4]] for i in range(4)], loss)
        return told.loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    plain, half = (run_ranks(2, lambda ranks, frozen=frozen: work(ranks, frozen)) for frozen in (False, True))
    assert half[0][1] == {} and half[1][0] == plain[1][0]
    for name, gradient in plain[1][1].items():
        np.testing.assert_array_equal(half[1][1][name], gradient)


def test_two_real_processes(mpiexec):
    """Messages larger than MPI hands over at once: sends that waited for their receiver would wait for ever."""
    script = Path(__file__).with_name("two_ranks.py")
    command = [str(mpiexec), "-n", "2", sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal") == 2, done.stdout + done.stderr
