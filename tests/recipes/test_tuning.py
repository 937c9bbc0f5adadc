"""A run of tuning: begun, killed, taken up again, refused where it is another's."""

import json

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data import ExampleSampler, example_batches
from llm_from_scratch.parallel import RankExchange, run_ranks
from llm_from_scratch.recipes.tuning import Tuning, carry_out, changed_settings, clear, state_of
from llm_from_scratch.training import TrainingSettings, read_log


@pytest.fixture(scope="module")
def tokenizer():
    return lfs.Tokenizer.train("a b c d e f", 262, special_tokens=["<end>"], roles={"bos": "<end>", "eos": "<end>"})


@pytest.fixture
def make(tokenizer):
    def made(settings):
        sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = lfs.build("llama", **sizes, vocab_size=262, max_position_embeddings=16, seed=3)
        rng = np.random.default_rng(0)
        examples = [{"ids": row[:-1], "targets": row[1:]} for row in rng.integers(0, 262, (12, 7))]

        def figures(model):
            return {"seen": float(np.mean(model(examples[0]["ids"][None]).data))}

        return Tuning(
            model,
            tokenizer,
            ExampleSampler(examples, 2, seed=settings["seed"]),
            TrainingSettings(steps=6, learning_rate=0.01, checkpoint_every=2, evaluate_every=3, threads=1),
            identity={"data": "numbers"},
            validation=lambda: example_batches(examples[:4], 2),
            measures=figures,
            samples=lambda model: [{"prompt": "a", "answer": str(int(model([[1]]).data[0, 0].argmax()))}],
            save=lambda directory: (directory / "adapter_config.json").write_text("{}"),
            template="{{ messages }}",
        )

    return made


QUIET = {"say": lambda text: None, "progress": False}


def test_a_run_leaves_everything_behind(tmp_path, make):
    said = []
    report = carry_out(tmp_path / "run", "finetune", make, {"seed": 1}, say=said.append, progress=False)
    assert report["steps"] == 6 and report["before"]["figures"] != report["after"]["figures"]
    assert report["after"]["samples"][0].keys() == {"prompt", "answer"}
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"run.json", "report.json", "figures.png", "loss.png", "tokenizer.json", "model.safetensors"} <= names
    assert {"chat_template.jinja", "adapter_config.json"} <= names
    assert lfs.from_pretrained(tmp_path / "run")([[1, 2]]).shape == (1, 2, 262)
    assert [e["step"] for e in read_log(tmp_path / "run") if "seen" in e] == [0, 3, 6]
    assert state_of(tmp_path / "run") == "finished"
    assert carry_out(tmp_path / "run", "finetune", make, **QUIET) == json.loads(
        (tmp_path / "run" / "report.json").read_text()
    )
    with pytest.raises(ValueError, match="holds a run already"):
        carry_out(tmp_path / "run", "finetune", make, {"seed": 1}, **QUIET)
    (tmp_path / "run" / "mine.txt").write_text("kept")
    clear(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"mine.txt", "writer.lock"}


@pytest.mark.parametrize("killed_after", [0, 1, 2, 3, 5, 6])
def test_a_killed_run_goes_on_to_the_byte(tmp_path, make, killed_after):
    carry_out(tmp_path / "whole", "align", make, {"seed": 1}, **QUIET)

    def killed(settings):
        tuning = make(settings)

        def kill(step, loss, model):
            if step == killed_after:
                raise KeyboardInterrupt

        tuning.on_step = kill
        return tuning

    with pytest.raises(KeyboardInterrupt):
        carry_out(tmp_path / "again", "align", killed, {"seed": 1}, **QUIET)
    assert state_of(tmp_path / "again") == "unfinished"
    assert carry_out(tmp_path / "again", "align", make, **QUIET) is not None
    for name in ("log.jsonl", "run.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_ranks_with_other_settings_are_named_before_anything_is_written(tmp_path, make):
    def work(end):
        return carry_out(tmp_path / "run", "align", make, {"seed": end.rank}, exchange=RankExchange(end), **QUIET)

    with pytest.raises(ValueError, match="rank 1 is not like rank 0: settings.seed is 1, not 0"):
        run_ranks(2, work)
    assert state_of(tmp_path / "run") == "new"


def test_a_run_goes_on_as_it_was_begun_or_not_at_all(tmp_path, make):
    with pytest.raises(ValueError, match="no run to go on with"):
        carry_out(tmp_path / "none", "align", make, **QUIET)
    carry_out(tmp_path / "run", "align", make, {"seed": 1, "beta": 0.1}, **QUIET)
    (tmp_path / "run" / "report.json").unlink()
    with pytest.raises(ValueError, match="is a run of `align`, not of `finetune`"):
        carry_out(tmp_path / "run", "finetune", make, **QUIET)
    assert changed_settings(tmp_path / "run", {"seed": 1, "beta": 0.2}) == ["beta: 0.1, now 0.2"]
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    stored["settings"]["beta"] = 0.2
    (tmp_path / "run" / "run.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="undo the change"):
        carry_out(tmp_path / "run", "align", make, **QUIET)


def test_other_peoples_directories_are_left_alone(tmp_path, make):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="thesis.txt"):
        carry_out(tmp_path, "align", make, {"seed": 1}, **QUIET)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "run.json").write_text('{"recipe": {}}')
    with pytest.raises(ValueError, match="another kind"):
        state_of(tmp_path / "train")
