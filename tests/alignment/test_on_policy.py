"""On-policy distillation: who writes what, what is learned from it, and that a run goes on to the byte."""

import itertools

import numpy as np
import pytest
from families_in_small import VOCABULARY, answers, slopes, tiny

import llm_from_scratch as lfs
from llm_from_scratch import alignment as A
from llm_from_scratch import functional as F
from llm_from_scratch.alignment.on_policy import prompt_of, rewards_after
from llm_from_scratch.data import ExampleSampler
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.training import TrainingSettings, train

END = 39
EXAMPLES = [
    {"ids": np.array([1, 2, 3, k, 5, 6][: 4 + k % 3]), "targets": np.array([-100, -100, k, 5, 6, END][: 4 + k % 3])}
    for k in range(10, 18)
]
SETTINGS = {"stop_tokens": [END], "max_new_tokens": 6}


def sampler(student, share=1.0, **settings):
    return A.OnPolicySampler(student, EXAMPLES, 3, share=share, **{**SETTINGS, "seed": 4, **settings})


def test_a_share_of_none_is_the_examples_as_they_are():
    ours, plain = sampler(tiny("gpt2"), share=0.0), ExampleSampler(EXAMPLES, 3, seed=4)
    for _ in range(4):
        a, b = next(ours), next(plain)
        assert all((a[name] == b[name]).all() for name in ("ids", "targets"))
        assert ours.figures["on_policy"] == 0.0


def test_the_student_writes_on_after_the_prompts():
    student = tiny("gpt2")
    ends = list(range(25, 40))
    ours, plain = sampler(student, temperature=1.3, stop_tokens=ends), ExampleSampler(EXAMPLES, 3, seed=4)
    lengths = set()
    for _ in range(6):
        written, given = next(ours), next(plain)
        assert ours.figures["on_policy"] == 1.0
        for row in range(3):
            ids, targets = written["ids"][row], written["targets"][row]
            prompt = prompt_of(given["ids"][row], given["targets"][row])
            assert (ids[: len(prompt)] == prompt).all() and (targets[: len(prompt) - 1] == -100).all()
            answer = targets[targets != -100]
            lengths.add(len(answer))
            assert 1 <= len(answer) <= 6 and not set(answer[:-1].tolist()) & set(ends)
            assert len(answer) == 6 or answer[-1] in ends
            whole = np.append(prompt, answer)
            assert (ids[: len(whole) - 1] == whole[:-1]).all()
    assert len(lengths) > 1


def test_what_is_written_comes_from_the_model_as_it_is_now():
    """Of a student whose logits are all on one token, answers are that token; later of another, another."""
    student = tiny("gpt2", scale=1.0)
    ours = sampler(student)
    for token in (7, 21):
        for parameter in student.parameters():
            parameter.data = parameter.data * 0
        student.norm.bias.data[:] = 1.0
        student.embedding.weight.data[token] = 100.0
        batch = next(ours)
        assert set(batch["targets"].ravel().tolist()) == {-100, token}


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_share_and_the_state(share):
    student = tiny("llama-2-70b")
    ours = sampler(student, share=share)
    batches = [(next(ours), dict(ours.figures)) for _ in range(12)]
    written = [figures["on_policy"] for _, figures in batches]
    assert np.mean(written) == 1.0 if share == 1.0 else 0.2 < np.mean(written) < 0.8
    again = sampler(student, share=share)
    for _ in range(5):
        next(again)
    fresh = sampler(student, share=share)
    fresh.restore(again.state())
    for batch, figures in batches[5:]:
        found = next(fresh)
        assert fresh.figures == figures and all((found[name] == batch[name]).all() for name in batch)
    with pytest.raises(ValueError, match="share: saved"):
        sampler(student, share=0.25).restore(again.state())
    with pytest.raises(ValueError, match="seed: saved"):
        sampler(student, share=share, seed=5).restore(again.state())


def test_a_run_goes_on_to_the_byte(tmp_path):
    """Killed after three of six steps: the student that goes on writes what the other one wrote."""
    teacher = tiny("gpt2", seed=9, dtype=np.float32)
    aim = A.distil(teacher, kind="jensen-shannon", beta=0.5)

    def run(directory, stop=None, resume=False):
        student = tiny("gpt2", seed=2, dtype=np.float32)

        def on_step(step, loss, model):
            if step == stop:
                raise KeyboardInterrupt

        settings = TrainingSettings(steps=6, learning_rate=1e-2, checkpoint_every=3, threads=1, seed=1)
        settled = dict(directory=directory, progress=False, resume=resume, report=lambda text: None)
        train(student, sampler(student, share=0.7), settings, objective=aim, on_step=on_step, **settled)

    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop=5)
    run(tmp_path / "cut", resume=True)
    whole, cut = (read_safetensors(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys() and all(whole[n].tobytes() == cut[n].tobytes() for n in whole)
    logs = [(tmp_path / name / "log.jsonl").read_text(encoding="utf-8") for name in ("whole", "cut")]
    assert logs[0] == logs[1] and "on_policy" in logs[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 1.5}, "share is that of the batches"),
        ({"max_new_tokens": 40}, "example 0 has a prompt of 3 tokens"),
        ({"examples": [*EXAMPLES, {"ids": [1, 2], "targets": [-100, -100]}]}, "example 8 has no target"),
        ({"examples": [{"ids": [1]}]}, "example 0 must have 'ids' and 'targets'"),
    ],
)
def test_what_is_refused_is_named(change, message):
    given = {"examples": EXAMPLES, "batch_size": 1, **SETTINGS, **change}
    with pytest.raises(ValueError, match=message):
        A.OnPolicySampler(tiny("gpt2"), **given)


# --- Two who write together


@pytest.mark.parametrize("names", [("gpt2", "mamba-2.8b"), ("glm-130b", "llama-2-70b")])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mixture_steps_with_mixed_probabilities(names, share):
    student, teacher = (tiny(name, seed=seed) for seed, name in enumerate(names))
    together = A.Mixture(student, teacher, share)
    ids, memory = np.array([[3, 1, 4], [1, 5, 9]]), together.new_memory(2)
    found = [np.exp(together.step(ids[:, :2], memory)), np.exp(together.step(ids[:, 2:], memory))]
    ours, theirs = (F.softmax(model(ids)).data for model in (student, teacher))
    for got, place in zip(found, (1, 2)):
        np.testing.assert_allclose(got, (1 - share) * ours[:, place] + share * theirs[:, place], atol=1e-12)
    assert lfs.generation.generate(together, ids, max_new_tokens=3).shape == (2, 6)


def test_a_mixture_of_two_vocabularies_is_refused():
    with pytest.raises(ValueError, match="student chooses among 40 tokens and the teacher among 41"):
        A.Mixture(tiny("gpt2"), tiny("gpt2", vocabulary=41), 0.2)
    with pytest.raises(ValueError, match="a probability"):
        A.Mixture(tiny("gpt2"), tiny("gpt2"), 1.2)
    assert A.Mixture(tiny("llama-2-70b"), tiny("gpt2"), 0.5).position_limit == 32


# --- MiniLLM


def test_its_expected_gradient_is_that_of_the_divergence_of_whole_answers():
    """Over all answers of three tokens out of four, each as often as the student gives it: no approximation is left."""
    sizes = {"vocabulary": 4, "width": 8, "layers": 1, "context": 8}
    student, teacher = tiny("gpt2", seed=1, **sizes), tiny("llama-2-70b", seed=2, **sizes)
    answers_of_three = np.array(list(itertools.product(range(4), repeat=3)))
    prompt = np.array([2, 0])
    rows = np.concatenate([np.tile(prompt, (64, 1)), answers_of_three], axis=1)
    batch = {"ids": rows[:, :-1], "targets": np.where(np.arange(4) < 1, -100, rows[:, 1:])}
    ours, theirs = (m.token_log_probabilities(batch).sum(axis=1) for m in (student, teacher))
    divergence = (F.exp(ours) * (ours - theirs.detach())).sum()
    divergence.backward()
    exact = {name: p.grad.copy() for name, p in student.named_parameters()}
    found = {name: np.zeros_like(p.data) for name, p in student.named_parameters()}
    aim = A.minillm(teacher, teacher_share=0.0, length_normalised=False)
    for row in range(64):
        for p in student.parameters():
            p.grad = None
        one = {name: array[row : row + 1] for name, array in batch.items()}
        aim(student, one, normaliser=1.0).backward()
        for name, p in student.named_parameters():
            found[name] += np.exp(ours.data[row]) * p.grad
    largest = max(np.abs(g).max() for g in exact.values())
    assert largest > 1e-2
    for name, wanted in exact.items():
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-10 * largest, err_msg=name)


def test_the_teachers_share_weighs_down_what_the_student_would_not_have_written():
    student, teacher, batch = tiny("gpt2", seed=1, scale=8.0), tiny("gpt2", seed=2, scale=8.0), answers()
    counts = batch["targets"] != -100
    ours, theirs = (m.token_log_probabilities(batch).data[counts] for m in (student, teacher))
    mixed = np.exp(ours) / (0.8 * np.exp(ours) + 0.2 * np.exp(theirs))
    later = np.zeros(counts.shape)
    later[counts] = theirs - ours
    later = rewards_after(later, counts, mean=True)[counts]
    single = F.skew_divergence(student(batch["ids"]), teacher(batch["ids"]), beta=1.0).data[counts]
    wanted = (mixed * (single - ours * later)).sum() / counts.sum()
    assert mixed.min() < 0.8 and mixed.max() <= 1 / 0.8
    found = A.minillm(teacher)(student, batch, normaliser=counts.sum()).item()
    assert found == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(ValueError, match="teacher_share"):
        A.minillm(teacher, teacher_share=1.0)
    with pytest.raises(ValueError, match="another|among"):
        A.minillm(tiny("gpt2", vocabulary=41))(student, batch, normaliser=1.0)


def test_what_comes_later():
    rewards = np.array([[1.0, 2.0, 4.0, 8.0], [1.0, np.inf, 3.0, np.nan]])
    counts = np.array([[True] * 4, [True, False, True, False]])
    assert rewards_after(rewards, counts, mean=False).tolist() == [[14, 12, 8, 0], [3, 0, 0, 0]]
    assert rewards_after(rewards, counts, mean=True).tolist() == [[14 / 3, 6, 8, 0], [3, 0, 0, 0]]


@pytest.mark.parametrize("way", ["gkd", "minillm"])
def test_a_student_comes_closer_to_its_teacher_by_what_it_writes_itself(way):
    student, teacher = tiny("gpt2", seed=2, dtype=np.float32), tiny("mamba-2.8b", seed=3, dtype=np.float32)
    aim = A.distil(teacher, kind="jensen-shannon") if way == "gkd" else A.minillm(teacher)
    measured = A.distil(teacher, kind="reverse")
    writer = A.Mixture(student, teacher, 0.2) if way == "minillm" else None
    batches = sampler(student, writer=writer)

    def apart():
        held_out = A.OnPolicySampler(student, EXAMPLES, 8, share=1.0, seed=99, **SETTINGS)
        with lfs.no_grad():
            parts = [next(held_out) for _ in range(8)]
            return float(np.mean([measured(student, b, normaliser=measured.count(b)).item() for b in parts]))

    before = apart()
    settings = TrainingSettings(steps=30, learning_rate=2e-2, threads=1)
    train(student, batches, settings, objective=aim, progress=False, report=lambda text: None)
    assert apart() < 0.5 * before


def test_single_tokens_have_the_slope_of_their_divergence():
    """Where an answer is one token nothing comes later, and MiniLLM is the reverse divergence: a checkable value."""
    student, teacher = tiny("gpt2", seed=2), tiny("llama-2-70b", seed=3)
    batch = answers(rows=4)
    batch["targets"][:] = -100
    batch["targets"][:, 3] = [4, 8, 15, 16]
    aim, reverse = A.minillm(teacher, teacher_share=0.0), A.distil(teacher, kind="reverse")
    assert aim(student, batch, normaliser=4.0).item() == pytest.approx(reverse(student, batch, normaliser=4.0).item())
    numeric, analytic = slopes(aim, student, batch)
    assert numeric == pytest.approx(analytic, rel=2e-6)
    assert batch["targets"].max() < VOCABULARY
