"""What a name may be, by each of the three who say so, and what is shown in place of the rest."""

import json
import re
import unicodedata

import pytest
from pydantic import BaseModel, Field, ValidationError

from core.texts import LINE, LINES, hides_something, shown, shown_in_a_line, shown_json

HIDDEN = [
    "\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9b", "\u061c", "\u200b", "\u200e", "\u2028", "\u202e",
    "\u2060", "\u2066", "\u2069", "\ufeff",
]  # fmt: skip
PLAIN = ["cat", "Ä (1)", "猫", "قط", "नमस्ते", "می\u200cرود", "👩\u200d🔬", "e\u0301", "\u00a0", "=,;'\"<b>"]


class Said(BaseModel):
    line: str = Field("", pattern=LINE)
    lines: str = Field("", pattern=LINES)


def accepted(**said: str) -> bool:
    try:
        Said(**said)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_refused_and_shown_as_an_escape(character: str) -> None:
    text = f"a{character}b"
    assert hides_something(text)
    assert not accepted(line=text)
    assert not accepted(lines=text)
    assert (re.search(LINE, text), re.search(LINES, text)) == (None, None)
    assert shown(text) == shown_in_a_line(text) != text
    assert shown(text).isascii()
    document = json.dumps([text], ensure_ascii=False)
    assert json.loads(shown_json(document)) == [text]
    assert not hides_something(shown_json(document))


@pytest.mark.parametrize("character", "\t\n\r")
def test_tabs_and_ends_of_lines_are_for_longer_texts(character: str) -> None:
    text = f"a{character}b"
    assert hides_something(text)
    assert (accepted(line=text), accepted(lines=text)) == (False, True)
    assert shown_in_a_line(text) == f"a{ascii(character)[1:-1]}b"


def test_a_return_would_write_over_the_line() -> None:
    assert shown("a\tb\nc\rd") == "a\tb\nc\\rd"


@pytest.mark.parametrize("text", PLAIN)
def test_what_people_write_is_left_alone(text: str) -> None:
    assert not hides_something(text)
    assert accepted(line=text, lines=text)
    assert shown(text) == shown_in_a_line(text) == text


def test_every_control_and_every_half_of_a_character_is_hidden() -> None:
    """The categories that no terminal and no line may be given, whatever Unicode adds to them."""
    wrong = {"Cc", "Cs", "Zl", "Zp"}
    assert [
        hex(i)
        for i in range(0x110000)
        if unicodedata.category(chr(i)) in wrong and not hides_something(chr(i))
    ] == []
