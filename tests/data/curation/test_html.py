import sys

import pytest

from llm_from_scratch.data.curation import Html, Removed, decode_html, extract_text

PAGE = """<!DOCTYPE html><html><head><title>Rivers</title><style>p{color:red}</style>
<script>var x = {a:1};</script></head>
<body><header>The site</header><nav><ul><li><a href="/">Home</a></ul></nav>
<main><article><header><h1>The flood</h1></header>
<p>Nobody had <b>seen</b> it come: caf&eacute; &lt;open&gt; &#8212; yes.</p>
<ul><li>one boat</li><li>two ropes</li></ul><ol><li>first</ol>
<table><tr><th>Day<th>Level<tr><td>Monday<td>3.4 m</table><pre>def f(x):
    return x</pre><p>Broken <b>markup <i>here</b> goes on<p>Next.<noscript>Enable javascript</noscript>
<div hidden>h1dden</div><div style="display: none">h2dden</div><p aria-hidden="true">h3dden</p><!-- comment -->
<img src="x" alt="picture"></article></main><aside>ten tricks</aside><form><input value="v"><button>Go</button></form>
<footer>Copyright</footer></body></html>"""


def test_content_comes_and_surroundings_go():
    text = extract_text(PAGE)
    for part in (
        "The flood",
        "Nobody had seen it come: café <open> — yes.",
        "one boat",
        "two ropes",
        "1. first",
        "Monday",
    ):
        assert part in text
    assert "def f(x):\n    return x" in text
    assert "Broken markup here goes on\n\nNext." in text
    for part in ("Rivers", "color", "var x", "Home", "site", "javascript", "dden", "comment", "picture", "tricks", "Go",
                 "Copyright"):  # fmt: skip
        assert part not in text, part


def test_surroundings_can_be_kept_and_hidden_parts_still_go():
    text = extract_text(PAGE, surroundings=True)
    assert "Home" in text and "Copyright" in text and "tricks" in text
    assert "dden" not in text and "var x" not in text


@pytest.mark.parametrize("style", ["display:none", "DISPLAY: None;", "color:red; display :none", "display : none"])
def test_hidden_is_hidden_however_it_is_written(style):
    assert extract_text(f'<p>one</p><div style="{style}">hidden</div><p>two</p>') == "one\n\ntwo"
    assert extract_text('<p style="display:block">one</p>') == "one"


def test_lists_are_part_of_the_content():  # which the library's own setting for main content loses
    assert "point nine" in extract_text("<main><p>There are:</p><ul><li>point nine of the list</ul></main>")


@pytest.mark.parametrize(
    ("page", "encoding"),
    [
        ('<meta charset="windows-1252"><p>café “q”</p>', "cp1252"),
        ("<meta charset=koi8-r><p>Привет, как дела</p>", "koi8-r"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>夜のうちに</p>', "shift_jis"),
        ("<p>Les élèves étaient très étonnés de voir la rivière</p>", "cp1252"),  # not declared
        ("<p>x é Привет</p>", "utf-16"),  # with its mark
        ("<p>x é</p>", "utf-8-sig"),
        ('<meta charset="no-such-thing"><p>café</p>', "utf-8"),
        ('<meta charset="iso-8859-1"><p>café 夜</p>', "utf-8"),  # declared wrongly
    ],
)
def test_bytes_are_read_in_the_encoding_that_they_are_in(page, encoding):
    assert decode_html(page.encode(encoding)) == page


def test_bytes_that_are_damaged_utf8_are_still_a_page():
    assert extract_text(b'<meta charset="utf-8"><p>caf\xc3\xa9 \xff\xfe river</p>').startswith("caf")


@pytest.mark.parametrize("page", ["", " \n", "<html></html>", "<script>x</script>", "<!--", b"", b"\x00\x00"])
def test_a_page_without_text_is_empty_and_the_rule_removes_it(page):
    assert extract_text(page).strip("\x00") == ""
    if isinstance(page, str):
        assert isinstance(Html()(page), Removed)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<div>" * 100_000 + "x" + "</div>" * 100_000, "x"),
        ("<b>" * 20_000 + "x", "x"),
        ("<div>" * 50_000 + "<HEADER>y</HEADER>" * 50_000 + "x", "x"),
        ("<table>" * 5_000 + "x", "x"),
        ("<p>a\0b", "ab"),
        ('<p title="' + "a" * 2_000_000 + '">x', "x"),
        ('<p title="' + ">" * 2_000_000 + '">x', "x"),
        ("<p " + " ".join(f"a{i}='>'" for i in range(100_000)) + ">x", "x"),  # quadratic in the parser, if it saw them
        ("<p>\ud800x", "?x"),
        ("<a b='" + "y" * 10_000, ""),
        ("<p>" + "word " * 1_000_000, "word " * 999_999 + "word"),
    ],
    ids=range(11),
)
def test_hostile_markup_is_read_in_bounded_time(page, expected):
    assert extract_text(page) == expected


def test_signs_that_only_look_like_tags_stay():
    text = "if a < b and c > d, " * 2000
    assert extract_text(f"<p>{text}").split() == text.split()
    assert extract_text("<p>don't = 'stop <p>at " + "this " * 5000).split()[:4] == ["don't", "=", "'stop", "at"]


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "resiliparse.extract.html2text", None)
    monkeypatch.setitem(sys.modules, "resiliparse.parse.encoding", None)
    with pytest.raises(ImportError, match="pip install resiliparse"):
        extract_text("<p>x")
    with pytest.raises(ImportError, match="pip install resiliparse"):
        decode_html(b"\xff")


@pytest.mark.parametrize("wrong", [None, 3, ["<p>"]])
def test_what_is_no_page_is_refused(wrong):
    with pytest.raises(TypeError, match="bytes or a str"):
        extract_text(wrong)
    with pytest.raises(TypeError):
        Html()(wrong)
    with pytest.raises(TypeError, match="True or False"):
        Html(surroundings=wrong)
