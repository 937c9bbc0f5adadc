"""Freeze what the transformers library makes of chat templates: python make_template_fixtures.py

The templates are our own, each in a shape that real ones have: turns with white space cut away, system messages taken
out, tools as JSON, macros that walk through JSON schemas, calls and their results, parts of pictures and text, marks
of what is learnt. Writes fixtures/chat_templates.json.
"""
# ruff: noqa: E501

from __future__ import annotations

import json
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

TEMPLATES = {
    "turns": "{%- for m in messages -%}\n<|im_start|>{{ m.role }}{% if m.name %} name={{ m.name }}{% endif %}\n\n"
    "{{ m.content }}<|im_end|>\n{% endfor -%}\n{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "system taken out": "{% if messages and messages[0].role == 'system' %}{% set first = messages[0].content %}"
    "{% set messages = messages[1:] %}{% endif %}{{ bos_token ~ first }}{% for m in messages %}{% if (m.role == 'user') "
    "!= (loop.index0 is even) %}{{ raise_exception('turn by turn') }}{% endif %}{{ m.role.title() }}: {{ m.content }}"
    "{{ eos_token if m.role == 'assistant' }} {% endfor %}{{ 'Assistant:' if add_generation_prompt }}",
    "white space": "  {% for m in messages %}\n    {% if not loop.first %}\n  |\n    {% endif %}\n   {{ m.content }}\n"
    "  {#- a remark -#}\n {%+ if loop.last %}.{% endif +%}\n{% endfor %}\n{% raw %}{{ raw }}{% endraw %}\n\n",
    "tools": "{{ bos_token }}{% if tools is not none %}{% for t in tools %}{{ t | tojson(indent=4) }}\n{% endfor %}"
    "{% endif %}{{ (tools or [])[0] | tojson(separators=(',', ':'), sort_keys=true) if tools }}"
    "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}"
    "{% set c = c.function if c.function is defined else c %}<call>{{ c.name }}({% for k, v in c.arguments | items %}"
    "{{ k }}={{ v | tojson }}{{ ', ' if not loop.last }}{% endfor %})</call>{% endfor %}{% elif m.role == 'tool' %}"
    "{{ '<results>' if loop.previtem is undefined or loop.previtem.role != 'tool' }}{{ m.content }};"
    "{{ '</results>' if loop.nextitem is undefined or loop.nextitem.role != 'tool' }}{% else %}{{ m.content }}\n"
    "{% endif %}{% endfor %}",
    "schemas": "{% macro kind(s, level=0) -%}{% set names = {'string': 'str', 'integer': 'int', 'number': 'float', 'null': 'none'} %}"
    "{% if s.enum %}{{ s.enum | join('|') }}{% elif s.type is string and s.type in names %}{{ names[s.type] }}{% elif s.type "
    "== 'array' %}[{{ kind(s['items'], level + 1) }}]{% elif s.type == 'object' %}{ {%- for k, v in "
    "s.properties.items() %}{{ k }}{{ '?' if k not in (s.required or []) }}:{{ kind(v, level=level + 1) }}"
    "{% if not loop.last %},{% endif %}{% endfor %}}@{{ level }}{% elif s.type is defined and s.type is iterable %}{% for t in s.type %}"
    "{{ kind({'type': t}) }}/{% endfor %}{% else %}any{% endif %}{%- endmacro %}"
    "{% for t in tools or [] %}{{ t.function.name }}: {{ kind(t.function.parameters) }}\n{% endfor %}",
    "thoughts": "{% set ns = namespace(last=messages | length - 1, tool=true) %}{% for m in messages[::-1] %}"
    "{% set at = messages | length - 1 - loop.index0 %}{% if ns.tool and m.role == 'user' and m.content is string and "
    "not m.content.startswith('<r>') %}{% set ns.tool = false %}{% set ns.last = at %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% set text = m.content if m.content is string else '' %}{% set why = '' %}"
    "{% if m.reasoning_content is string %}{% set why = m.reasoning_content %}{% elif '</think>' in text %}"
    "{% set why = text.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\\n') %}{% endif %}{{ m.role }}: "
    "{% if loop.index0 > ns.last and why %}({{ why.strip() }}) {% endif %}{{ text }}\n{% endfor %}"
    "{% if enable_thinking is defined and enable_thinking is false %}<no>{% endif %}",
    "parts": "{% for m in messages %}{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content or [] %}{% if p.type == 'image' or 'image_url' in p %}<image>{% elif 'text' in p %}"
    "{{ p.text }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}<a>{% generation %}\n{{ m.content }}"
    "{% set x = 5 %}{{ eos_token }}{% endgeneration %}\n{% else %}<u>{{ m.content }}{{ x }}{% endif %}{% endfor %}",
    "calls": "{% macro turn(role, end='.') %}{{ role }}({{ caller() }}){{ end }}{% endmacro %}{% for m in messages %}"
    "{% call turn(m.role) %}{{ m.content }}{% endcall %}{% endfor %}{% macro each(xs) %}{% for x in xs %}"
    "{{ caller(x, loop.index) }};{% endfor %}{% endmacro %}{% call(m, n) each(messages) %}{{ n }}={{ m.role }}{% endcall %}"
    "{% macro rest(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ rest(1) }}{{ rest(1, 2, 3, k=4) }}",
    "blocks": "{% filter upper | replace('S', '5') %}{% for m in messages %}{{ m.role }} {% endfor %}{% endfilter %}"
    "{% set b | trim %}  {{ messages | length }} turns {% endset %}[{{ b }}]{% with a = b, n = 2 %}{{ a * n }}"
    "{% set a = 'x' %}{{ a }}{% endwith %}{{ a is defined }}",
    "loops": "{% for m in messages if m.role != 'system' %}{{ loop.index }}/{{ loop.length }} {{ loop.revindex0 }} "
    "{{ loop.first }} {{ loop.cycle('a', 'b', 'c') }} {{ loop.changed(m.role) }} {{ loop.previtem.role if "
    "loop.previtem is defined }}\n{% if loop.index > 2 %}{% break %}{% endif %}{% else %}none{% endfor %}"
    "{% for n in [{'v': 1, 'c': [{'v': 2}, {'v': 3, 'c': [{'v': 4}]}]}] recursive %}{{ loop.depth }}:{{ n.v }}"
    "{% if n.c %}({{ loop(n.c) }}){% endif %}{% endfor %}{% for k, (a, b) in [(1, (2, 3))] %}{{ k + a + b }}{% endfor %}",
    "formats": "{% for m in messages %}{{ '%-9s|%3d|%.2f|%s%%' % (m.role, loop.index, 1 / 3, m.content) }}"
    "{{ '{0}-{1:>12}-{0!r}-{n[role]}'.format(m.role, loop.index, n=m) }}{{ '%(a)s' % {'a': m.content} }}\n{% endfor %}",
    "methods": "{% for m in messages if m.content is string %}{% set c = m.content %}{{ [c.upper(), c.strip('Ha .'), "
    "c.split(), c.rsplit(' ', 1), c.partition(','), c.replace('a', '-', 1), c.find('a'), c.count('s'), c.title(), "
    "c.capitalize(), c.splitlines(), c.startswith('H'), c.removeprefix('He'), c.center(9), c.zfill(9)] }}\n{% endfor %}"
    "{{ messages[0].keys() | list }}{{ messages[0].get('role', 1) }}{{ messages[0].get('no', 'd') }}",
    "filters": "{{ messages | map(attribute='role') | unique | sort(reverse=true) | join(',') }}{{ messages | "
    "selectattr('role', 'equalto', 'user') | map(attribute='content') | list | length }}{{ messages | rejectattr('name', "
    "'defined') | list | length }}{{ [3, 1, 2] | sort | batch(2, 0) | list }}{{ [3, 1] | max }}{{ [1.25, 2] | sum | "
    "round(1) }}{{ {'b': 1, 'a': 2} | dictsort }}{{ 'a\nb' | indent(2, true) }}{{ 'words and words' | truncate(9) }}"
    "{{ none | default('x', true) }}{{ missing | d('y') }}{{ '12' | int + '1.5' | float }}{{ [1, 'a', none] | tojson }}"
    "{{ {'é': '<&>'} | tojson(ensure_ascii=true) }}{{ range(6)[1:5:2] | list }}{{ [1, 2, 3] | reverse | list }}",
    "tokens": "{{ bos_token }}{{ unk_token }}{{ pad_token is defined }}{{ cls_token }}{{ missing }}{{ missing is "
    "defined }}{{ not missing }}{{ missing | length }}{% for x in missing %}x{% endfor %}{{ messages[99] is defined }}",
}  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Wetter für <b>", "parameters": {
    "type": "object", "required": ["town"], "properties": {
        "town": {"type": "string"}, "days": {"type": ["integer", "null"]}, "unit": {"enum": ["C", "F"]},
        "at": {"type": "array", "items": {"type": "object", "properties": {"h": {"type": "number"}}}}}}}}]  # fmt: skip
CALL = {"type": "function", "id": "a1", "function": {"name": "weather", "arguments": {"town": "Zürich", "days": 3}}}
TALKS = [
    [{"role": "user", "content": "Hello, was ist das?"}],
    [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "Straße\r\n\n two  spaces "},
     {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}, {"role": "user", "content": "", "name": "Bo"}],
    [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [CALL]},
     {"role": "tool", "content": "5"}, {"role": "tool", "content": "6"},
     {"role": "assistant", "content": "Sun.", "reasoning_content": "Five."}],
    [{"role": "user", "content": [{"type": "text", "text": "See "}, {"type": "image"}, {"type": "text", "text": "?"}]}],
    [],
]  # fmt: skip
VARIABLES = [{}, {"tools": TOOLS, "enable_thinking": False, "add_generation_prompt": True}]


def main() -> None:
    cases = []
    for name, source in TEMPLATES.items():
        template = _compile_jinja_template(source)
        for talk in range(len(TALKS)):
            for variables in range(len(VARIABLES)):
                given = {"tools": None, "documents": None, "add_generation_prompt": False, **VARIABLES[variables]}
                tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
                try:
                    text = template.render(messages=TALKS[talk], **given, **tokens)
                except Exception:  # whatever it is: nothing is rendered
                    text = None
                cases.append([name, talk, variables, text])
    content = {"templates": TEMPLATES, "talks": TALKS, "variables": VARIABLES, "cases": cases}
    path = Path(__file__).parent / "fixtures" / "chat_templates.json"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(len(cases), "of which refused", sum(case[3] is None for case in cases))


if __name__ == "__main__":
    main()
