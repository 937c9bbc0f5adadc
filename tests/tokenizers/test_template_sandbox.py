"""The sandbox of chat templates: whatever a stranger writes ends soon, stays small and reaches nothing."""

import copy
import sys
import tracemalloc

import pytest

import llm_from_scratch.tokenizers.template_limits as limits
from llm_from_scratch.tokenizers.chat_template import ChatTemplate

TALK = [{"role": "user", "content": " Why? "}, {"role": "assistant", "content": "Because."}]
LARGE = "more than 2,000,000"
REFUSED = {
    "classes": ("{{ ''.__class__.__mro__ }}", "'__class__' of a str is not allowed"),
    "of a message": ("{{ messages[0].content.__class__ }}", "'__class__' of a str is not allowed"),
    "of nothing": ("{{ missing.__class__ }}", "'missing' is undefined"),
    "globals of a function": ("{{ raise_exception.__globals__ }}", "not allowed"),
    "what a function runs": ("{{ range.__call__ }}", "'__call__' of a Function is not allowed"),
    "globals through a class": ("{{ namespace.__init__.__globals__ }}", "not allowed"),
    "subclasses": ("{{ dict.__subclasses__() }}", "not allowed"),
    "by subscript": ("{{ ''['__class__'] }}", "not allowed"),
    "by filter": ("{{ messages | map(attribute='__class__') | list }}", "not allowed"),
    "by the attr filter": ("{{ '' | attr('__class__') }}", "not allowed"),
    "by a format": ("{{ '{0.__class__}'.format(messages) }}", "'__class__' of a list is not allowed"),
    "by an entry of a format": ("{{ '{0[__class__]}'.format('') }}", "'__class__' of a str is not allowed"),
    "the template itself": ("{{ self.__init__ }}", "'self' is undefined"),
    "bytes": ("{{ 'a'.encode() }}", "'encode' of a str is not allowed"),
    "methods of numbers": ("{{ (5).to_bytes(2000000000, 'big') }}", "'to_bytes' of a int is not allowed"),
    "a filter left out": ("{{ 'a' | pprint }}", "No filter named 'pprint'"),
    "a test left out": ("{{ 'a' is escaped }}", "No test named 'escaped'"),
    "files": ("{% include '/etc/passwd' %}", "'include' .line 1. is not allowed"),
    "blocks": ("\n{% block a %}{% endblock %}", "'block' .line 2. is not allowed"),
    "changing the messages": ("{{ messages.append(1) }}", "'append' of a list is not allowed"),
    "changing a message": ("{{ messages[0].update(role='system') }}", "'update' of a dict is not allowed"),
    "through the class": ("{{ dict.update(messages[0], role='system') }}", "has no attribute 'update'"),
    "setting an attribute": ("{% set messages.x = 1 %}", "messages is no namespace"),
    "a large text": ("{{ 'a' * 10000000000 }}", LARGE),
    "a large list": ("{{ [0] * 10000000000 }}", LARGE),
    "many entries": ("{{ range(60000) | list + range(60000) | list }}", LARGE),
    "padding": ("{{ 'a'.ljust(99999999999) }}", LARGE),
    "zeros": ("{{ 'a'.zfill(99999999999) }}", LARGE),
    "centred": ("{{ 'a' | center(99999999999) }}", LARGE),
    "indented": ("{{ ('a\n' * 1000) | indent(10000) }}", LARGE),
    "escaped": ("{{ ('&' * 1000000) | escape }}", LARGE),
    "JSON": ("{{ ('é' * 1000000) | tojson(ensure_ascii=true) }}", LARGE),
    "JSON, indented": ("{{ [1] | tojson(indent=10000000000) }}", "more than 100 characters"),
    "batches": ("{{ [1] | batch(10000000000, 0) }}", LARGE),
    "slices": ("{{ [1] | slice(10000000000, 0) }}", LARGE),
    "characters": ("{{ ('a' * 1000000) | list }}", LARGE),
    "pieces": ("{{ ('a ' * 500000).split() }}", LARGE),
    "lines": ("{{ ('\n' * 500000).splitlines() }}", LARGE),
    "doubling with ~": (
        "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", LARGE),
    "doubling with +": (
        "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", LARGE),
    "replace": ("{{ ('a' * 1000000).replace('a', 'a' * 1000000) }}", LARGE),
    "replace nothing": ("{{ ('a' * 1000000).replace('', 'aa') }}", LARGE),
    "replace as a filter": ("{{ ('a' * 1000000) | replace('a', 'a' * 1000000) }}", LARGE),
    "join": ("{{ ('a' * 100000).join('a' * 90000) }}", LARGE),
    "join as a filter": ("{{ range(90000) | join('a' * 100000) }}", LARGE),
    "much output": ("{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", LARGE),
    "a long range": ("{{ range(10000000000) }}", LARGE),
    "percent": ("{{ '%99999999999d' % 1 }}", "a format asks for more than 10,000"),
    "percent, digits": ("{{ '%.99999999999f' % 1 }}", "a format asks for more than 10,000"),
    "percent with a width from outside": ("{{ '%*d' % (99999999999, 1) }}", "unsupported format"),
    "many percents": ("{{ ('%9999d' * 999) % ((1,) * 999) }}", LARGE),
    "format": ("{{ '{:>99999999999}'.format(1) }}", "a format asks for more than 10,000"),
    "format by subscript": ("{{ '{:>99999999999}'['format'](1) }}", "a format asks for more than 10,000"),
    "format in format": ("{{ '{:{}}'.format(1, 99999999999) }}", "a format asks for more than 10,000"),
    "powers": ("{{ 9 ** 99 ** 99 }}", "beyond all measure"),
    "squares of squares": (
        "{% set n = namespace(x=7) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}", "beyond all"),
    "long literals": ("{{ 0x" + "f" * 90_000 + " // 3 }}", "beyond all measure"),
    "rounding": ("{{ 1.5 | round(100000000, 'ceil') }}", "to at most 300 places"),
    "rounding to millions": ("{{ 5 | round(-1000000000) }}", "to at most 300 places"),
    "dates": ("{{ strftime_now('%1000000000Y') }}", "a short format, without widths"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
    "recursion of a loop": ("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "calls itself without end"),
    "lists in lists in lists": (
        "{% set n = namespace(x=1) %}{% for i in range(999) %}{% set n.x = (n.x,) %}{% endfor %}", "100 deep"),
    "not a template": ("\n{% if %}", "cannot be read: line 2: "),
    "an endless source": ("a" * 100_001, "no honest one"),
    "brackets": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "cannot be read: it calls itself without end, or has"),
    "signs": ("{{ " + "-" * 40_000 + "1 }}", "cannot be read: it calls itself without end, or has"),
    "a long sum": ("{{ " + "a+" * 40_000 + "a }}", "it calls itself without end, or has"),
    "division by zero": ("{{ 1 / 0 }}", "division by zero"),
    "modulo zero": ("{{ 1 % 0 }}", "modulo"),
    "a function that is none": ("{{ 'a'() }}", "a value of type str cannot be called"),
    "too many values": ("{% set a, b = [1, 2, 3] %}", "3 values for 2 names"),
    "too many arguments": ("{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", r"f\(\) does not take \(2,\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_templates_are_refused_in_one_line(name):
    source, message = REFUSED[name]
    talk = copy.deepcopy(TALK)
    with pytest.raises(ValueError, match=message) as error:
        ChatTemplate(source).render(talk)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700
    assert talk == TALK


@pytest.mark.parametrize("name", [name for name, (_, message) in REFUSED.items() if message == LARGE])
def test_what_is_too_large_is_refused_before_it_is_made(name, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 60.0)  # watching takes longer than what is watched
    template = ChatTemplate(REFUSED[name][0])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=LARGE):
            template.render(TALK)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_many_terms_are_no_trouble():
    assert ChatTemplate("{{ " + "a ~ " * 20_000 + "'b' }}").render(TALK) == "b"


GROW = "{% set n = namespace(x=START) %}{% for i in range(99) %}{% set n.x = STEP %}{% endfor %}USE"
GROWING = {  # what it begins with, what each round makes of it, and how it is used
    "lists in lists": ("['a']", "[n.x, n.x]", "{{ n.x }}"),
    "lists in lists, compared": ("['a']", "[n.x, n.x]", "{{ n.x in [n.x ~ ''] }}"),
    "lists in lists, as JSON": ("['a']", "[n.x, n.x]", "{{ n.x | tojson }}"),
    "tuples, hashed": ("(1,)", "(n.x, n.x)", "{{ {n.x: 1} }}"),
    "dictionaries": ("{}", "{'a': n.x, 'b': n.x}", "{{ n.x | string }}"),
    "dictionaries by name": ("{}", "dict(a=n.x, b=n.x)", "{{ n.x }}"),
    "dictionaries, their items": ("{'a': 1}", "{'a': n.x.items(), 'b': n.x}", "{{ n.x }}"),
    "arguments": ("[1]", "kept(n.x, n.x)", "{{ n.x }}"),
    "a list of one, many times": ("['a']", "[n.x] * 9", "{{ n.x | length }}"),
    "batches": ("[1, 2]", "(n.x * 2) | batch(2) | list", "{{ n.x | length }}"),
    "a macro": ("'ab'", "twice(n.x)", "{{ n.x | length }}"),
    "a block": ("'ab'", "wrap(n.x)", "{{ n.x | length }}"),
    "many texts at once": ("[]", "n.x + ['a' * 9999]", "{{ n.x | length }}"),
    "one after the other": ("'a'", "('a' * 9999)[1:]", "{{ n.x | length }}"),
}
MACROS = (
    "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}"
    "{% macro wrap(x) %}{% set y %}{{ x }}{{ x }}{% endset %}{{ y }}{% endmacro %}"
)


@pytest.mark.parametrize("name", GROWING)
def test_whatever_grows_is_stopped_before_it_is_large(name, monkeypatch):
    monkeypatch.setattr(limits, "SIZE", 20_000)
    monkeypatch.setattr(limits, "TOTAL", 400_000)
    monkeypatch.setattr(limits, "SECONDS", 60.0)
    start, step, use = GROWING[name]
    source = GROW.replace("START", start).replace("STEP", step).replace("USE", use)
    if name == "arguments":
        source = source.replace("kept(n.x, n.x)", "namespace(a=n.x, b=[n.x, n.x]).b")
    with pytest.raises(ValueError, match="makes .*more than (20|400),000"):
        ChatTemplate(MACROS + source).render(TALK)


@pytest.mark.parametrize("step", ["namespace(a=n.x, b=n.x)", "n"])
def test_namespaces_are_never_walked_through(step):
    source = GROW.replace("START", "1").replace("STEP", step).replace("USE", "{{ n.x }}{{ [n.x, n] == [n.x] }}")
    assert ChatTemplate(source).render(TALK) == "<namespace>False"


@pytest.mark.parametrize("call", [".rfind(", ".rsplit(", ".strip(", ".rpartition(", ".rindex(", " | trim("])
def test_searches_that_take_the_product_of_two_lengths_are_refused(call):
    with pytest.raises(ValueError, match="more than 100 characters"):
        ChatTemplate("{{ ('a' * 900000)" + call + "'b' ~ 'a' * 400000) }}").render(TALK)


def test_sums_are_of_numbers():
    assert ChatTemplate("{{ [1, 2] | sum }}").render(TALK) == "3"
    with pytest.raises(ValueError, match="sum is of numbers"):
        ChatTemplate("{{ [[1], [2]] | sum(start=[]) }}").render(TALK)


LONG = {
    "loops": "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(20) }}",
    "filters": "{% for a in range(90000) %}{% set x = range(90000) | select('odd') | list %}{% endfor %}",
    "sorting by many things": "{% set x = range(90000) | sort(attribute='a,' * 1000) %}",
    "sorting": "{% for a in range(90000) %}{% set x = ('ab' * 40000) | sort %}{% endfor %}",
}


@pytest.mark.parametrize("name", LONG)
def test_what_takes_long_and_prints_nothing_is_stopped(name, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.2)
    monkeypatch.setattr(limits, "TOTAL", 10**12)
    traced = sys.gettrace()
    with pytest.raises(ValueError, match="was not done after 0.2 seconds"):
        ChatTemplate(LONG[name]).render(TALK)
    assert sys.gettrace() is traced


def test_renderings_do_not_share_their_limits(monkeypatch):
    monkeypatch.setattr(limits, "TOTAL", 100_000)
    template = ChatTemplate("{{ 'a' * 40000 }}")
    assert all(len(template.render(TALK)) == 40_000 for _ in range(9))
