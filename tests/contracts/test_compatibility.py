"""Callers stay for years: what the committed document promises, the next one keeps."""

import copy
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.compatibility import breaks

ROOT = Path(__file__).parents[2]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def committed() -> Document:
    """docs/openapi.json of the commit that CLEAVE_API_BASE names (in CI: what is merged into), else HEAD."""
    base = os.environ.get("CLEAVE_API_BASE", "HEAD")
    command = ["git", "show", f"{base}:docs/openapi.json"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if shown.returncode:
        pytest.skip(f"no committed document to compare with: {shown.stderr.strip()}")
    document: Document = json.loads(shown.stdout)
    return document


def test_nothing_that_worked_stops_working(committed: Document) -> None:
    now = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert breaks(committed, now) == []


def _jobs(document: Document) -> Document:
    found: Document = document["paths"]["/v1/jobs"]
    return found


def _schema(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


CHANGES: dict[str, Callable[[Document], Any]] = {
    "GET /v1/jobs is gone": lambda d: _jobs(d).pop("get"),
    "GET /v1/jobs: operationId was jobs_list": lambda d: _jobs(d)["get"].update(operationId="jobs"),
    "GET /v1/jobs: parameter query kind is gone": lambda d: _jobs(d)["get"].update(
        parameters=[p for p in _jobs(d)["get"]["parameters"] if p["name"] != "kind"]
    ),
    "GET /v1/jobs: parameter query kind is required now": lambda d: next(
        p for p in _jobs(d)["get"]["parameters"] if p["name"] == "kind"
    ).update(required=True),
    "POST /v1/jobs: status 202 is gone": lambda d: _jobs(d)["post"]["responses"].pop("202"),
    "JobRead: field state is gone": lambda d: _schema(d, "JobRead")["properties"].pop("state"),
    "JobRead: field state may be missing now": lambda d: _schema(d, "JobRead")["required"].remove("state"),
    "TrainSpec: field epochs is required now": lambda d: _schema(d, "TrainSpec")["required"].append("epochs"),
    "EvaluateSpec.split: values ['validation'] are gone": lambda d: _schema(d, "EvaluateSpec")["properties"][
        "split"
    ]["enum"].remove("validation"),
}


@pytest.mark.parametrize("expected", CHANGES)
def test_a_break_is_told(expected: str) -> None:
    now = json.loads((ROOT / "docs" / "openapi.json").read_text())
    changed = copy.deepcopy(now)
    CHANGES[expected](changed)
    assert breaks(now, changed) == [expected]
    assert breaks(now, now) == []
