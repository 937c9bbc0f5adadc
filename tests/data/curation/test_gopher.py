import pytest

from llm_from_scratch.data.curation import GopherQuality, Removed

PROSE = "the river rose in that long night and nobody had come to see how far the water would have gone " * 5


def test_the_papers_numbers_are_the_defaults():
    words = ("the", "be", "to", "of", "and", "that", "have", "with")
    assert GopherQuality() == GopherQuality(50, 100_000, 3, 10, 0.1, 0.9, 0.3, 0.8, 2, words)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 words"),
        (" \n\t", "0 words"),
        (PROSE + " # " * 20, "hash signs"),
        (PROSE + " of... ... " * 10, "ellipses"),
        ("\n".join(["* " + PROSE] * 20), "begin with a bullet"),
        ("\n".join(["— " + PROSE] * 20), "begin with a bullet"),
        (PROSE + " 12345" * 40, "have a letter"),
        ("x" * 10_000_000, "1 words"),
        ("夜里河水上涨到了早晨低处的田地都被淹没了" * 5, "1.0 characters a word"),
        ("río noche campo agua piedra casa " * 20, "different stop words"),
    ],
)
def test_the_reason_is_the_measured_one(text, reason):
    assert reason in GopherQuality()(text).reason
    assert len(GopherQuality()(text).shown) <= 200


def test_prose_stays_with_any_line_ends_and_in_capitals():
    for text in (PROSE, PROSE.replace(" and ", "\r\n"), PROSE.upper(), f'"{PROSE}"', PROSE + " # " * 10):
        assert GopherQuality()(text) == text


def test_it_can_be_tuned_to_a_script_without_spaces():
    text = "夜里的河水上涨了，到了早晨，低处的田地都被淹没了。" * 5
    assert GopherQuality(least_length=1, stop_words=("的", "了", "是"))(text) == text


def test_asked_for_nothing_it_removes_nothing():
    assert GopherQuality(least_words=0)("") == ""
    rule = GopherQuality(0, 10**9, 0, 10**9, 10**9, 1, 1, 0, 0)
    for text in ("#" * 100, "- x...", "1 2 3", "•"):
        assert rule(text) == text


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"least_words": -1}, ValueError), ({"least_words": 1.0}, TypeError), ({"most_bullets": 90}, ValueError),
     ({"least_words": 100, "most_words": 10}, ValueError), ({"least_length": float("nan")}, ValueError),
     ({"stop_words": "the"}, TypeError), ({"stop_words": ("the",)}, ValueError), ({"most_words": True}, TypeError)],
)  # fmt: skip
def test_settings_are_checked_when_made(settings, error):
    with pytest.raises(error, match="^gopher: "):
        GopherQuality(**settings)


def test_what_is_removed_says_so():
    assert isinstance(GopherQuality()("few words"), Removed)
