"""Markdown as plain text, and through rich."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.cli.markdown import render_plain, render_rich

ANSWER = """\
## An 8 GB card

It runs **7B to 9B** models at *4 bits*; `qwen3.5:9b` is the best all-round
choice, see [the guide](https://example.org/g).

| model | download |
|:------|---------:|
| `a:1b` | 6.6 GB |
| b:22b | 13.0 GB |

- first, with a sentence that is long enough that it has to go on in a second line here
- second
  goes on

```
ollama pull a:1b
```
"""

PLAIN = """\
An 8 GB card

It runs 7B to 9B models at 4 bits; qwen3.5:9b is the best all-round choice, see
the guide (https://example.org/g).

  model  download
  a:1b     6.6 GB
  b:22b   13.0 GB

- first, with a sentence that is long enough that it has to go on in a second
  line here
- second goes on

    ollama pull a:1b"""


def test_every_kind_of_block() -> None:
    assert render_plain(ANSWER) == PLAIN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("snake_case_name and 2*3*4", "snake_case_name and 2*3*4"),
        ("**bold _and_ more**", "bold and more"),
        ("`**code**` stays", "**code** stays"),
        ("one  \ntwo\\\nthree", "one\ntwo\nthree"),
        ("1. a\n2. b", "1. a\n2. b"),
        ("    kept  as   is", "    kept  as   is"),
        ("| no table", "| no table"),
        ("```\nnever closed", "    never closed"),
        ("", ""),
    ],
)
def test_small_things(text: str, shown: str) -> None:
    assert render_plain(text) == shown


@given(st.text(alphabet="ab |-*_`#1.\n\\[]()>", max_size=200))
def test_nothing_breaks_it(text: str) -> None:
    render_plain(text)


def test_in_a_terminal_rich_lays_it_out() -> None:
    shown = render_rich(ANSWER, width=60)
    assert "\x1b[1m7B to 9B\x1b[0m" in shown
    assert "**" not in shown
