"""Limits of tenants from the command line."""

import json
from pathlib import Path

from tests.service.cli.test_commands import cleave


def test_limits_are_set_shown_and_taken_back(tmp_path: Path) -> None:
    home = ("--data-dir", str(tmp_path))
    cleave("keys", "create", "--tenant", "acme", *home)

    def limits(*options: str) -> tuple[int | None, int | None]:
        told = json.loads(cleave("tenants", "limit", "acme", *options, *home, "--json").stdout)
        return told["max_running"], told["max_queued"]

    assert limits("--max-running", "2", "--max-queued", "9") == (2, 9)
    assert limits("--max-queued", "-1") == (2, None)
    assert "1,000" in cleave("tenants", "limit", "acme", "--max-stored-mib", "1000", *home).stdout
    listed = json.loads(cleave("tenants", "list", *home, "--json").stdout)
    assert [(t["name"], t["max_running"]) for t in listed] == [("acme", 2), ("default", None)]
    assert "as everybody" in cleave("tenants", "list", *home).stdout
    refused = cleave("tenants", "limit", "nobody", "--max-running", "1", *home, "--json")
    assert json.loads(refused.stderr)["code"] == "not_found"
