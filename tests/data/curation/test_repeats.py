import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.curation import RepeatedLines, RepeatedNgrams
from llm_from_scratch.data.curation.pieces import words

TEXTS = st.lists(
    st.sampled_from(["a", "b", "the river", " ", "\n", "\r\n", "夜", "里", "e\u0301", "\u0301", "\x1c", "\u2028"]),
    max_size=40,
).map(" ".join) | st.text(alphabet="ab 夜\n\u0301\x1d", max_size=60)  # fmt: skip


@given(TEXTS, st.integers(0, 3))
def test_lines_once_more_changes_nothing(text, shortest):
    rule = RepeatedLines(shortest)
    once = rule(text)
    assert rule(once) == once
    assert once.count("\n") <= text.count("\n")
    long = [" ".join(line.split()).lower() for line in once.split("\n")]
    long = [line for line in long if line and len(line) >= shortest]
    assert len(set(long)) == len(long)


@given(TEXTS, st.integers(2, 4))
def test_runs_once_more_changes_nothing(text, length):
    rule = RepeatedNgrams(length)
    once = rule(text)
    assert rule(once) == once
    assert once.count("\n") <= text.count("\n")
    found = words(once)
    runs = [tuple(found[i : i + length]) for i in range(len(found) - length + 1)]
    assert len(set(runs)) == len(runs)
    assert words(text)[:length] == found[:length]  # what stands first stays


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a b c d a b c e", "a b c d e"),
        ("a a a a a a", "a a a "),
        ("a b a b a b a b", "a b a b"),
        ("x a b c\ny a b\nc z", "x a b c\ny z"),
        ("夜里河 and 夜里河水", "夜里河 and 水"),
        ("a b c", "a b c"),
        ("  a b c a b c", "  a b c "),
        ("", ""),
    ],
)
def test_runs_by_hand(text, left):
    assert RepeatedNgrams(3)(text) == left


def test_a_cut_that_makes_a_run_is_seen():
    # Taking out the second "b c d" brings "a" before "e": "x a e" stood there before.
    assert RepeatedNgrams(3)("x a e b c d y x a b c d e z") == "x a e b c d y z"


def test_a_run_that_a_cut_took_apart_is_forgotten():
    # "x a b" goes with the second "a b c"; it comes again, and only then a second time.
    assert RepeatedNgrams(3)("a b c p x a b c q x a b r x a b s") == "a b c p x q x a b r s"


def test_lines_differ_by_more_than_capitals_and_space():
    assert RepeatedLines(5)("The river\nthe  RIVER \nthe rivers\n\n\nend\nend") == "The river\nthe rivers\n\n\nend\nend"


@pytest.mark.parametrize("text", ["the river rose " * 100_000, "x" * 3_000_000, "a b " * 100_000 + "c", "夜" * 300_000])
def test_one_enormous_line_takes_bounded_time(text):
    once = RepeatedNgrams()(text)
    assert len(words(once)) <= 45
    assert RepeatedLines()(text) == text


@pytest.mark.parametrize(("rule", "wrong"), [(RepeatedLines, -1), (RepeatedNgrams, 1), (RepeatedNgrams, 0)])
def test_settings_are_checked_when_made(rule, wrong):
    with pytest.raises(ValueError, match="^repeated-"):
        rule(wrong)
    with pytest.raises(TypeError, match="whole number"):
        rule(2.5)
