"""What a text from outside may be, and how one that is shown cannot be taken for more than its characters.

Not among the characters of a name: controls (a terminal obeys them), separators of lines, marks that turn the
direction of what follows, and those of no width, by which two names look alike. The two joiners stay:
Persian, Hindi and some emoji are written with them.
"""

import re

_TABS_AND_LINES = r"\t\n\r"
_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_UNSEEN = r"\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
# Of one line, and of several; as regular expressions of Python, Rust (pydantic) and JSON Schema alike.
NOT_IN_A_LINE = _TABS_AND_LINES + _CONTROLS + _UNSEEN
LINE = f"^[^{NOT_IN_A_LINE}]*$"
LINES = f"^[^{_CONTROLS}{_UNSEEN}]*$"

# What JSON has no text for, and Python has: halves of characters.
_HALVES = r"\ud800-\udfff"
_HIDDEN = re.compile(f"[{NOT_IN_A_LINE}{_HALVES}]")
_HIDDEN_BUT_LINES = re.compile(f"[\r{_CONTROLS}{_UNSEEN}{_HALVES}]")


def hides_something(text: str) -> bool:
    """Whether it has characters that no name may have."""
    return _HIDDEN.search(text) is not None


def shown(text: str) -> str:
    """The text with such characters as escapes, but for tabs and ends of lines."""
    return _HIDDEN_BUT_LINES.sub(_escape, text)


def shown_in_a_line(text: str) -> str:
    """The text with all such characters as escapes."""
    return _HIDDEN.sub(_escape, text)


def shown_json(document: str) -> str:
    """A JSON document that means the same, without such characters."""
    return _HIDDEN_BUT_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
