"""Two processes under mpiexec: a divided model, a ring and a pipeline, each equal to the whole; a short message."""

import numpy as np
from splitting import assert_close

import llm_from_scratch as lfs
from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.parallel import run_pipeline, split_layers
from llm_from_scratch.parallel.mpi import MPICommunicator
from llm_from_scratch.parallel.sequence_ring import ring_attention

SETTINGS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SETTINGS |= {"vocab_size": 24, "max_position_embeddings": 32}


def a_divided_model(ranks):
    ids = np.random.default_rng(0).integers(0, 24, (2, 9))
    batch = {"ids": ids[:, :-1], "targets": ids[:, 1:]}
    models = [lfs.build("llama", seed=0, **SETTINGS).astype(np.float64) for _ in range(2)]
    split_layers(models[1], ranks)
    losses = [model.loss(batch) for model in models]
    for loss in losses:
        loss.backward()
    assert_close(losses[1].data, losses[0].data)
    assert_close(models[1].embedding.weight.grad, models[0].embedding.weight.grad)
    rows = slice(24 * ranks.rank, 24 * (ranks.rank + 1))
    assert_close(
        models[1].layers[0].feed_forward.part.down.weight.grad, models[0].layers[0].feed_forward.down.weight.grad[rows]
    )


def a_ring(ranks):
    whole = np.random.default_rng(1).normal(size=(3, 1, 2, 256, 64))
    pieces = [np.split(x, 2, axis=2)[ranks.rank] for x in whole]
    assert_close(ring_attention(*pieces, comm=ranks).data, np.split(F.attention(*whole).data, 2, axis=2)[ranks.rank])


def a_pipeline(ranks):
    """A megabyte a message, both ways at once."""
    weights = np.random.default_rng(2).normal(size=(2, 512, 512)) / 23
    inputs = np.random.default_rng(3).normal(size=(6, 256, 512))
    own = Tensor(weights[ranks.rank], requires_grad=True)
    told = run_pipeline(
        lambda x: F.gelu((x if isinstance(x, Tensor) else Tensor(x)) @ own),
        ranks, list(inputs), lambda y, i: (y * y).sum() / 1000.0,
    )  # fmt: skip
    both = [Tensor(w, requires_grad=True) for w in weights]
    total = 0.0
    for x in inputs:
        y = F.gelu(F.gelu(Tensor(x) @ both[0]) @ both[1])
        loss = (y * y).sum() / 1000.0
        loss.backward()
        total += loss.item()
    assert_close(own.grad, both[ranks.rank].grad)
    assert ranks.rank == 0 or abs(told.loss - total) < 1e-9


def a_short_message(ranks):
    """MPI fills the beginning of the array and says nothing."""
    if ranks.rank == 0:
        ranks.send(np.ones(2), 1)
        return
    try:
        ranks.receive(np.zeros(3), 0)
    except ValueError as error:
        assert str(error) == "a message of 16 bytes came where 24 were expected"
    else:
        raise AssertionError("two numbers were taken for three")


if __name__ == "__main__":
    world = MPICommunicator()
    for case in (a_divided_model, a_ring, a_pipeline, a_short_message):
        case(world)
    print("equal", flush=True)
