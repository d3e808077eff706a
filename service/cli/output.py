"""How results look: JSON for programs, tables for people."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from core.texts import shown, shown_in_a_line, shown_json

if TYPE_CHECKING:
    from pydantic import BaseModel

Cell = str | int | float | None


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Write for a person. What is not ours in it may be anything: no terminal obeys it."""
    typer.echo(shown(text), err=err, nl=nl)


def emit(value: "BaseModel | Sequence[BaseModel]", as_json: bool, show: Callable[[], None]) -> None:
    """Print `value` as JSON, or call `show` to print it for a person."""
    if as_json:
        print_json(value)
    else:
        show()


def print_json(value: Any) -> None:
    """One JSON document on stdout. Models are written with every field the service sent."""
    say(json_text(_plain(value), indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """As it is read best, but for characters that a terminal obeys: these are escapes."""
    return shown_json(json.dumps(value, indent=indent, ensure_ascii=False))


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], empty: str | None = None
) -> None:
    """A titled table, one record below the other where the terminal is too narrow; `empty` without rows."""
    if not rows:
        say(empty or f"{title}: none")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text of ours or of others is never markup.
    console = Console()
    grid = Table(title=Text(shown_in_a_line(title)), title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        values = [row[index] for row in rows]
        numeric = bool(values) and all(isinstance(value, int | float | None) for value in values)
        grid.add_column(Text(column), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(shown_in_a_line(cell(value))) for value in row))
    if console.measure(grid, options=console.options.update(width=10_000)).maximum <= console.width:
        console.print(grid)
        return
    # Squeezed columns lose headings and cut ids, which then cannot be copied.
    say(title)
    for row in rows:
        say("")
        _lines([(column, cell(value)) for column, value in zip(columns, row, strict=True)])


def details(title: str, pairs: Sequence[tuple[str, Cell]]) -> None:
    """Names and values of one thing; nothing is cut, whatever the width."""
    say(title)
    _lines([(name, cell(value)) for name, value in pairs])


def _lines(pairs: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        # Further lines of a value stand below its first: none looks like a name and a value of its own.
        say(f"  {name:<{width}}  " + value.replace("\n", f"\n{'':{width + 4}}"))


def cell(value: Cell) -> str:
    """A value in a table; numbers keep four significant digits after the point at most."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return value


def moment(value: datetime | None) -> str:
    """A point in time to the second, UTC."""
    return "-" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


# Figures that are shares of something: told in percent, whichever command tells them.
_SHARES = {
    "accuracy", "class_accuracy", "retention_rate", "parameter_rate", "flops_rate", "coverage",
}  # fmt: skip


def figure(name: str, value: Cell) -> Cell:
    """A figure's value: a share in percent, any other as it is."""
    return percent(value) if name in _SHARES and isinstance(value, float | int) else value


def percent(value: float | None) -> str | None:
    """A rate in [0, 1] as a percentage."""
    return None if value is None else f"{100 * value:.1f} %"


def size(count: int) -> str:
    """Bytes in the largest unit that keeps a digit before the point."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
