"""Speculative decoding over real models: every family, every way a memory has of going back, every end of a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import adapters
from llm_from_scratch.families import all_families
from llm_from_scratch.generation import Speculation, continue_rows, generate, generate_blank
from llm_from_scratch.generation.speculative import _Reader
from llm_from_scratch.kernels.dispatch import backend
from llm_from_scratch.quantization import to_int8
from llm_from_scratch.recipes.miniature import miniature

from .test_continuation import ByteTokenizer

FAMILIES = tuple(all_families())
PROMPT = [[3, 1, 4, 1, 5]]


def small(family="llama", dtype=np.float64, noise=0.0, vocabulary=30, **changes):
    """A miniature with weights far from zero; noise makes it another model that often thinks alike."""
    release = next(iter(all_families()[family].sizes), all_families()[family].model_types[0])
    sizes = {"layers": 2, "width": 32, "heads": 4, "context": 32, "vocabulary": vocabulary, "parameters": 12_000}
    config = miniature(release, **sizes, changes=changes)
    model = lfs.build(config.pop("model_type"), dtype=dtype, **config)
    for size, seed in ((0.15, 1), (noise, 2)):
        rng = np.random.default_rng(seed)
        for _, p in model.named_parameters():
            if p.ndim > 1:  # biases would rather make one token the likeliest everywhere
                p.data = (p.data + size * rng.normal(size=p.shape)).astype(dtype)
    return model


def both(model, draft, ids=PROMPT, num_assistant_tokens=None, **settings):
    """What is generated without and with the draft, and how the draft did."""
    settings = {"max_new_tokens": 24, "temperature": 0.0, "stop_tokens": (), **settings}
    plain = model.generate(ids, **settings)
    settings |= {"draft_model": draft, "num_assistant_tokens": num_assistant_tokens, "speculation": Speculation()}
    return plain.tolist(), model.generate(ids, **settings).tolist(), settings["speculation"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_the_same_with_a_draft_and_guesses_for_another(family):
    model, draft, varied = small(family), small(family, noise=0.02), {"repetition_penalty": 4.0}
    plain, guessed, went = both(model, draft, num_assistant_tokens=3, **varied)
    assert plain == guessed and len(set(plain[0][5:])) > 2
    assert 0 < went.accepted < went.tested <= went.proposed  # it went forward, and back
    assert went.passes + went.accepted == 23  # the first token comes with the prompt
    llama = small()
    plain, guessed, went = both(llama, draft, num_assistant_tokens=4, **varied)
    assert plain == guessed and went.tested > went.accepted
    wild = both(model, llama, temperature=0.7, top_k=20, repetition_penalty=1.2)[1]
    assert len(wild[0]) == 29 and wild == both(model, llama, temperature=0.7, top_k=20, repetition_penalty=1.2)[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_draft_that_is_the_model_is_always_right(dtype):
    model = small(dtype=dtype)
    for temperature in (0.0, 1.0):
        plain, guessed, went = both(model, model, temperature=temperature, num_assistant_tokens=4)
        assert went.acceptance > 0.99 and went.tokens_per_pass > 4.5
        assert temperature or plain == guessed


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("guesses", [1, 5])
def test_what_a_reader_remembers_after_going_back_is_what_reading_anew_gives(family, guesses):
    model, rng = small(family), np.random.default_rng(0)
    reader, text = _Reader(model), rng.integers(0, 30, 3).tolist()
    reader.read(text)
    while len(text) < 24:
        text.append(int(rng.integers(0, 30)))
        if rng.random() < 0.5:  # as the large model does
            proposed = rng.integers(0, 30, guesses).tolist()
            scores = reader.read_each(text, proposed)
            whole = model(np.array([text + proposed])).data[0, len(text) - 1 :]
            np.testing.assert_allclose(scores, whole, atol=1e-9)
        else:  # as the small one does
            proposed = []
            for _ in range(guesses):
                scores = reader.read(text + proposed, certain=len(text))
                np.testing.assert_allclose(scores, model(np.array([text + proposed])).data[0, -1], atol=1e-9)
                proposed.append(int(rng.integers(0, 30)))
        text += proposed[: rng.integers(0, guesses)]
        reader.back_to(len(text))


@pytest.mark.parametrize("guesses", [3, 40])
def test_a_window_that_is_left_while_guessing(guesses):
    mistral = small("mistral", sliding_window=6)
    plain, guessed, went = both(
        mistral, small("mistral", noise=0.03, sliding_window=6), max_new_tokens=60, num_assistant_tokens=guesses
    )
    assert plain == guessed and went.tested > went.accepted > 0


def test_rows_of_a_batch_go_forward_each_at_its_own_pace():
    model, draft = small(), small(noise=0.03)
    ids, mask = np.array([[0, 0, 7], [1, 2, 3], [0, 9, 9]]), np.array([[0, 0, 1], [1, 1, 1], [0, 1, 1]])
    for temperature in (0.0, 0.9):
        settings = {"max_new_tokens": 12, "temperature": temperature, "stop_tokens": [5, 11], "draft_model": draft}
        together = model.generate(ids, mask=mask, seed=40, **settings)
        for row in range(3):
            prompt = ids[row][mask[row] == 1]
            alone = model.generate([prompt], seed=40 + row, **settings)[0, len(prompt) :]
            found = together[row, 3:]
            assert found[: len(alone)].tolist() == alone.tolist() and set(found[len(alone) :].tolist()) <= {5}
        if temperature == 0:
            del settings["draft_model"]
            assert together.tolist() == model.generate(ids, mask=mask, **settings).tolist()


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_a_row_ends_where_it_would_have_ended(penalty):
    model, draft = small(), small(noise=0.01)
    free = model.generate(PROMPT, max_new_tokens=20, temperature=0.0, repetition_penalty=penalty, stop_tokens=())
    for most in range(21):
        for stop in (free[0, 12], 29):
            settings = {"max_new_tokens": most, "repetition_penalty": penalty, "stop_tokens": [int(stop)]}
            plain, guessed, _ = both(model, draft, **settings)
            assert plain == guessed


def test_stop_strings_and_what_is_shown_meanwhile():
    model, draft = small(vocabulary=257), small(vocabulary=257, noise=0.01)
    settings = {"max_new_tokens": 12, "temperature": 0.0, "tokenizer": ByteTokenizer(), "repetition_penalty": 4.0}
    text = continue_rows(model, PROMPT, **settings)[0].text
    last = max(text.index(character) for character in text)  # what is said late for the first time
    said, guessed = [], []
    settings["stop_strings"] = [text[last - 1 : last + 1]]
    plain = generate(model, PROMPT, stream=said.append, **settings)
    assert plain.tolist() == generate(model, PROMPT, stream=guessed.append, draft_model=draft, **settings).tolist()
    assert "".join(said) == "".join(guessed) and 0 < plain.shape[1] - 5 < 12


def test_learned_prefixes_stand_before_both():
    model, draft = small(), small(noise=0.02)
    for each, technique in ((model, adapters.add_prefix), (draft, adapters.add_prompt)):
        technique(each, 3)
        for _, p in each.named_parameters():
            if p.requires_grad:
                p.data = np.random.default_rng(5).normal(size=p.shape)
    plain, guessed, went = both(model, draft)
    assert plain == guessed and went.tested > went.accepted


def test_limits_of_positions():
    model, draft = small("gpt2"), small("gpt2", noise=0.02)
    plain, guessed, _ = both(model, draft, max_new_tokens=28)  # 5 + 28 - 1 = 32
    assert plain == guessed
    with pytest.raises(ValueError, match="need 33 positions, this model has 32"):
        both(model, draft, max_new_tokens=29)
    with pytest.raises(ValueError, match="need 33 positions, the draft has 32: ask for fewer tokens"):
        small().generate(PROMPT, max_new_tokens=29, draft_model=draft)


class Untouched:
    """A model that must not be asked for anything."""

    def new_memory(self, batch_size):
        return None

    def step(self, ids, memory, mask=None):
        raise AssertionError("something was computed")

    step_each = step


def test_what_cannot_guess_is_refused_before_anything_is_computed():
    model = small()
    with pytest.raises(ValueError, match="the draft chooses among 31 tokens and the model among 30: .* same tokenizer"):
        model.generate(PROMPT, max_new_tokens=3, draft_model=small(vocabulary=31))
    with pytest.raises(TypeError, match=r"draft_model \(str\) has no `new_memory`"):
        model.generate(PROMPT, max_new_tokens=3, draft_model="runs/draft")
    stepping = type("Stepping", (Untouched,), {"step_each": None})()
    with pytest.raises(TypeError, match=r"the model \(Stepping\) has no `step_each`"):
        generate(stepping, PROMPT, max_new_tokens=3, draft_model=Untouched())
    for wrong in (0, -1, True, 2.5, "3", float("nan")):
        with pytest.raises((TypeError, ValueError), match="num_assistant_tokens must"):
            generate(Untouched(), PROMPT, max_new_tokens=3, draft_model=Untouched(), num_assistant_tokens=wrong)
    with pytest.raises(ValueError, match="num_assistant_tokens is about tokens that a draft guesses"):
        model.generate(PROMPT, max_new_tokens=3, num_assistant_tokens=3)
    with pytest.raises(ValueError, match="speculation is about tokens that a draft guesses"):
        model.generate(PROMPT, max_new_tokens=3, speculation=Speculation())
    with pytest.raises(TypeError, match="speculation must be a Speculation"):
        generate(Untouched(), PROMPT, max_new_tokens=3, draft_model=Untouched(), speculation={})


def test_a_rotary_base_that_rises_on_the_way_is_refused_and_one_that_does_not_is_fine():
    scaling = {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 16}
    model = small(**scaling)
    plain, guessed, _ = both(model, small(noise=0.02), max_new_tokens=12)  # 16 tokens: not yet
    assert plain == guessed
    with pytest.raises(ValueError, match=r"between 5 and 17 tokens this model's rotary base rises \(dynamic NTK\)"):
        model.generate(PROMPT, max_new_tokens=13, draft_model=small())
    plain, guessed, _ = both(small(), model, max_new_tokens=25)  # a draft may have one: it only guesses
    assert plain == guessed


def test_int8_is_refused_where_tokens_read_together_decide_on_outliers():
    model, draft = (small(dtype=np.float32) for _ in range(2))
    to_int8(model)
    with pytest.raises(ValueError, match=r"layers\.0\..* is int8 with outliers.* threshold=0"):
        both(model, draft)
    assert both(draft, model)[2].acceptance > 0  # as a draft it only guesses
    model = small(dtype=np.float32)
    to_int8(model, threshold=0)
    plain, guessed, went = both(model, small(dtype=np.float32, noise=0.05))
    assert plain == guessed and 0 < went.accepted < went.tested


@pytest.mark.skipif(backend() == "numpy", reason="the switch needs the compiled kernels")
def test_int8_with_outliers_may_be_guessed_for_where_each_row_has_its_own():
    model, draft = (small(dtype=np.float32, noise=noise) for noise in (0.0, 0.05))
    to_int8(model, threshold=1.0)
    with lfs.batch_invariant():
        plain, guessed, went = both(model, draft)
    assert plain == guessed and 0 < went.accepted < went.tested
    with pytest.raises(ValueError, match=r"threshold=0, or say batch_invariant\(\)"):
        both(model, draft)


def test_blanks_are_not_guessed():
    from llm_from_scratch.data.infilling import BlankTokens

    glm = small("glm")
    tokens = BlankTokens(mask=1, gmask=2, start=3, end=4)
    with pytest.raises(TypeError, match="has no `step_each`"):
        generate_blank(glm, [[8, 9, 1, 7]], tokens, max_new_tokens=3, draft_model=glm)


def test_beams_are_not_guessed():
    with pytest.raises(ValueError, match="leave out draft_model or num_beams"):
        generate(Untouched(), PROMPT, max_new_tokens=3, temperature=0.0, num_beams=2, draft_model=Untouched())


def test_the_draft_of_the_book_guesses_for_the_model_of_the_book():
    chapters = Path(__file__).parents[2] / "chapters"
    model, draft = (lfs.from_pretrained(chapters / name) for name in ("tales_model", "tales_draft"))
    tokenizer = lfs.Tokenizer.from_pretrained(chapters / "tales_draft")
    assert tokenizer.vocabulary == lfs.Tokenizer.from_pretrained(chapters / "tales_model").vocabulary
    ids = [[tokenizer.bos_id, *tokenizer.encode("Max the bear and the red kite in the garden")]]
    plain, guessed, went = both(model, draft, ids, max_new_tokens=80, num_assistant_tokens=4)
    assert plain == guessed and went.acceptance > 0.7 and went.tokens_per_pass > 2.5
