"""The command `chat` on a tiny model with random weights: what it says is nonsense, how it says it is tested."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.cli import main
from llm_from_scratch.cli.chat import Conversation, load
from llm_from_scratch.files.download import ARTIFACTS, cache_directory, find_model
from llm_from_scratch.generation import Sampling
from llm_from_scratch.recipes.miniature import miniature

TINY = Path(__file__).parents[1] / "families" / "fixtures" / "gguf" / "tied.gguf"
GREEDY = Sampling(0.0)


@pytest.fixture(scope="module")
def parts():
    return load(TINY, packed=True)


def _chat(parts, **settings):
    return Conversation(*parts, GREEDY, **settings)


def test_one_question(capsys):
    command = ["chat", "--model", str(TINY), "--prompt", "in this", "--max-new-tokens", "9", "--temperature", "0"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["answer"] + "\n" == said and result["tokens"] == 9 and result["prompt_tokens"] > 20


def test_the_answer_continues_the_template(parts):
    chat = _chat(parts, system="Be brief.")
    streamed = []
    answer = chat.ask("Why?", 8, stream=streamed.append)
    assert "".join(streamed) == answer
    model, tokenizer, template = parts
    assert [message["role"] for message in chat.messages] == ["system", "user", "assistant"]
    ids = template.encode(tokenizer, chat.messages[:2])
    out = model.generate([ids], max_new_tokens=8, temperature=0.0, stop_tokens=[260])
    assert tokenizer.decode(out[0, len(ids) :]).removesuffix("<|im_end|>") == answer


def test_memory_is_used_again_and_changes_nothing(parts):
    chat, fresh = _chat(parts), _chat(parts)
    chat.ask("One", 5)
    held = chat._memory.length
    second = chat.ask("Two", 5)
    assert held > 10 and chat.speed["prompt_tokens"] < len(chat._seen) - 10
    fresh.messages = [dict(message) for message in chat.messages[:2]]
    assert fresh.ask("Two", 5) == second
    assert fresh.speed["prompt_tokens"] > chat.speed["prompt_tokens"]
    assert fresh._seen == chat._seen


@pytest.mark.parametrize("when", [0, 3])
def test_ctrl_c_ends_the_answer_and_the_conversation_goes_on(parts, when, monkeypatch):
    chat, calls = _chat(parts), []
    step, layer = chat.model.step, chat.model.layers[1]

    class Interrupted:
        def __call__(self, *args):
            if len(calls) == when + 1:
                raise KeyboardInterrupt  # in the middle of a step: the first layer has remembered the token already
            return layer(*args)

        def new_memory(self):
            return layer.new_memory()

    def counted(ids, memory):
        calls.append(ids)
        return step(ids, memory)

    monkeypatch.setattr(chat.model, "step", counted, raising=False)
    layers = list(chat.model.layers)
    chat.model.layers[1] = Interrupted()
    try:
        answer = chat.ask("One", 20)
    finally:
        chat.model.layers[:] = layers
    assert chat.messages[-1] == {"role": "assistant", "content": answer}
    assert chat.speed["tokens"] == when
    fresh = _chat(parts)
    fresh.messages = [dict(message) for message in chat.messages]
    assert chat.ask("Two", 5) == fresh.ask("Two", 5)
    assert chat._memory.length == len(chat._seen)
    assert all(part["mixer"].length == len(chat._seen) for part in chat._memory.layers)


REMEMBERING = {
    "a window": ("mistral-7b", {"sliding_window": 16}),
    "a state": ("mamba-2.8b", {}),
    "filters": ("stripedhyena-7b", {}),
    "a rising base": ("llama-2-70b", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    "a learned prefix": ("llama-2-70b", {}),
    "a learned prompt": ("gpt2", {}),
}


def remembering(name, parts):
    """A model that remembers in this way, not sure of anything, with the tiny one's tokenizer."""
    release, changes = REMEMBERING[name]
    sizes = {"layers": 2, "width": 32, "heads": 2, "context": 128, "vocabulary": len(parts[1])}
    config = miniature(release, **sizes, changes=changes)
    model = lfs.build(config.pop("model_type"), seed=1, dtype=np.float64, **config)
    if "learned" in name:
        (lfs.adapters.add_prefix if "prefix" in name else lfs.adapters.add_prompt)(model, 3)
    rng = np.random.default_rng(2)
    for _, p in model.named_parameters():
        p.data = p.data + (0.2 if p.ndim > 1 else 0.0) * rng.normal(size=p.shape)
    return (model, *parts[1:])


@pytest.mark.parametrize("name", REMEMBERING)
def test_however_a_model_remembers_a_later_answer_is_that_of_a_fresh_conversation(parts, name):
    """Answers read again are often other tokens than were said, and old turns are left out: memories go back."""
    parts = remembering(name, parts)
    chat = _chat(parts)
    for number in range(5):
        before = [dict(message) for message in chat.messages]
        answer = chat.ask(f"Question {number}?", 20)
        fresh = _chat(parts)
        fresh.messages = before
        assert fresh.ask(f"Question {number}?", 20) == answer and fresh._seen == chat._seen
    assert name == "a state" or len(chat.messages) < 10  # some were left out, where there is a limit at all


@pytest.mark.parametrize("name", REMEMBERING)
@pytest.mark.parametrize("when", [0, 1, 3])
def test_ctrl_c_in_the_middle_of_a_step_is_forgotten_by_every_memory(parts, name, when, monkeypatch):
    parts = remembering(name, parts)
    model, calls = parts[0], []
    chat, step, layer = _chat(parts), model.step, model.layers[1]

    class Interrupted:
        def __call__(self, *args):
            if len(calls) == 2 + when:
                raise KeyboardInterrupt
            return layer(*args)

        def __getattr__(self, name):
            return getattr(layer, name)

    def counted(ids, memory):
        calls.append(ids)
        return step(ids, memory)

    assert chat.ask("One", 1)
    monkeypatch.setattr(model, "step", counted, raising=False)
    calls.append("the turn before")
    layers = list(model.layers)
    model.layers[1] = Interrupted()
    try:
        chat.ask("Two", 20)
    finally:
        model.layers[:] = layers
    assert chat.speed["tokens"] == when
    fresh = _chat(parts)
    fresh.messages = [dict(message) for message in chat.messages]
    assert chat.ask("Three", 5) == fresh.ask("Three", 5)


def test_a_question_that_is_not_answered_is_not_kept(parts, monkeypatch):
    chat = _chat(parts)
    chat.ask("One", 5)
    before = list(chat.messages)
    with monkeypatch.context() as patch:
        patch.setattr(chat.model, "step", lambda *_: np.full((1, 262), np.nan), raising=False)
        with pytest.raises(ValueError, match="cannot be sampled from"):
            chat.ask("Two", 5)
    assert chat.messages == before
    fresh = _chat(parts)
    fresh.messages = [dict(message) for message in before]
    assert chat.ask("Three", 5) == fresh.ask("Three", 5)


def test_old_turns_are_left_out_when_the_context_is_full(parts):
    chat = _chat(parts, system="S")
    for question in ("first", "second", "third"):
        chat.ask(question, 20)  # the model's context is 128 tokens
    assert chat.messages[0]["role"] == "system" and "first" not in [m["content"] for m in chat.messages]
    assert chat._memory.length <= 128
    with pytest.raises(ValueError, match="exceed the model's context of 128 tokens"):
        chat.ask("x" * 200, 20)
    assert chat.messages[-1]["role"] == "assistant"  # the question is not kept


def test_a_conversation_in_the_terminal(monkeypatch, capsys):
    lines = iter(["", "Hello", "/clear", "Again", "/quit", "never"])
    asked = []

    def answer(prompt):
        asked.append(prompt)
        return next(lines)

    monkeypatch.setattr("builtins.input", answer)
    assert main(["chat", "--model", str(TINY), "--max-new-tokens", "4"]) == 0
    assert len(asked) == 5 and next(lines) == "never"
    assert "parameters, loaded in" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [EOFError, KeyboardInterrupt])
def test_end_of_input_ends_politely(monkeypatch, capsys, ending):
    def end(prompt):
        raise ending

    monkeypatch.setattr("builtins.input", end)
    assert main(["chat", "--model", str(TINY)]) == 0
    assert capsys.readouterr().out == "\n"


def test_a_question_from_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Why?\n"))
    assert main(["chat", "--model", str(TINY), "--prompt", "-", "--max-new-tokens", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "Why?\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "nowhere"], "no model nowhere: give a path, or the name of one to fetch: smollm2"),
        (["--model", "shakespeare"], "no model shakespeare"),
        (["--model", str(TINY), "--prompt", "  "], "the prompt is empty"),
        (["--model", str(TINY), "--json"], "give a --prompt"),
        (["--model", str(TINY), "--prompt", "x", "--temperature", "-1"], "temperature"),
        (["--model", str(TINY), "--prompt", "x", "--max-new-tokens", "0"], "at least 1"),
        (["--model", str(TINY), "--prompt", "x" * 200], "exceed the model's context"),
        (["--model", str(TINY.parent / "untied.gguf"), "--prompt", "x"], "has no chat template"),
        (["--model", str(TINY), "--prompt", "x", "--template", "tail"], "called 'tail'"),
        (["--model", str(TINY), "--prompt", "x", "--seed", "-1"], "--seed"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, message):
    assert main(["chat", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_another_template_by_name(capsys):
    bare = ["chat", "--model", str(TINY), "--prompt", "in", "--max-new-tokens", "3", "--json"]
    said = []
    for name in ("chatml", "zephyr"):
        assert main([*bare, "--template", name]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0]["tokens"] <= 3 and said[0]["prompt_tokens"] != said[1]["prompt_tokens"]


def test_generate_reads_gguf_too(capsys):
    assert main(["generate", "--model", str(TINY), "--prompt", "in", "--max-new-tokens", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] <= 5


REAL = cache_directory() / ARTIFACTS["smollm2"].filename


@pytest.mark.skipif(not REAL.exists(), reason="needs the real model: python -m llm_from_scratch fetch smollm2")
def test_the_real_model_answers():
    assert find_model("smollm2") == REAL
    chat = _chat(load(REAL, packed=True))
    assert chat.ask("What is the capital of France?", 20) == "The capital of France is Paris."
    assert "Berlin" in chat.ask("And of Germany?", 20)
    expanded = lfs.from_pretrained(REAL)
    ids = np.array([chat._seen])
    np.testing.assert_allclose(chat.model(ids).data[0, -1], expanded(ids).data[0, -1], atol=1e-2)
