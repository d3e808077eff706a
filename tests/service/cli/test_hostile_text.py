"""Text of others in what commands print: no terminal obeys it, no table takes it for markup."""

import json
import re
from pathlib import Path

import pytest

from core.texts import hides_something
from service.platform.database import Database
from service.registry.tables import Label
from service.tenants.service import ensure_tenant
from tests.fixtures.client import Registry
from tests.service.cli.test_commands import cleave
from tests.service.client.live import LiveService

COMMANDS = Path(__file__).parents[3] / "service" / "cli"
# As a database may have them that is older than the rule.
CLASSES = [
    "\x1b]0;owned\x07\x1b[2J",
    "[red]x[/red]",
    "[/nothing]",
    "a\nmodel  mdl_forged",
    "\u202etac",
    "\x9b31m",
]


@pytest.fixture(scope="module")
def model_id(live: LiveService) -> str:
    with live.database.write() as session:
        tenant_id = ensure_tenant(session)
    registry = Registry(live.database, live.settings, tenant_id, written=lambda: None)
    made = registry.train(classes=CLASSES)
    label(live.database, tenant_id, made)
    return made


def label(database: Database, tenant_id: str, owner_id: str) -> None:
    with database.write() as session:
        for key, value in (("", "[/tag]\x1b[31m"), ("k\x1b[1m", "v\r\x9b2J")):
            session.add(Label(owner_id=owner_id, kind="mdl", tenant_id=tenant_id, key=key, value=value))


@pytest.mark.parametrize("width", ["40", "1000"])
@pytest.mark.parametrize("command", ["show", "classes", "card", "lineage"])
def test_it_is_shown_as_escapes(
    live: LiveService, model_id: str, monkeypatch: pytest.MonkeyPatch, command: str, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    result = cleave("models", command, model_id, live=live)
    assert result.exit_code == 0, result.exception
    assert not any(hides_something(line) for line in result.stdout.split("\n"))
    assert not re.search(r"^model +mdl_forged", result.stdout, re.MULTILINE)
    if command == "classes":
        for shown in (r"\x1b]0;owned\x07\x1b[2J", "[red]x[/red]", "[/nothing]", r"a\nmodel", r"\u202etac"):
            assert shown in result.stdout


def test_json_says_the_same_without_such_characters(live: LiveService, model_id: str) -> None:
    written = cleave("models", "classes", model_id, "--json", live=live).stdout
    assert [entry["name"] for entry in json.loads(written)] == CLASSES
    assert not any(hides_something(line) for line in written.split("\n"))


def test_a_mistake_with_such_characters_is_told_without(live: LiveService) -> None:
    for form in ((), ("--json",)):
        told = cleave("keys", "create", "--name", "x\x1b[2J", *form, live=live).stderr
        assert "invalid_name" in told
        assert "\x1b" not in told


def test_there_is_one_place_that_writes() -> None:
    """`output.say`, `table` and `print_json`; the demo writes what is its own."""
    writes = re.compile(r"typer\.echo|typer\.secho|(?<![.\w])print\(|sys\.stderr\.write")
    found = {path.name for path in COMMANDS.glob("*.py") if writes.search(path.read_text(encoding="utf-8"))}
    assert found == {"output.py", "demo.py"}
