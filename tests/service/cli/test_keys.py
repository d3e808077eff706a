"""API keys from the command line: made once, listed without their secrets, ended."""

import json
from pathlib import Path

import pytest

from service.client import CleaveApiError, CleaveClient
from service.migrate import current, downgrade, head
from service.platform.database import Database
from tests.fixtures.database import settings_for
from tests.fixtures.waiting import eventually
from tests.service.cli.test_commands import cleave
from tests.service.client.live import LiveService


def test_keys_create_makes_a_working_key(live: LiveService) -> None:
    home = str(live.settings.home)
    made = json.loads(cleave("keys", "create", "--name", "ci", "--data-dir", home, "--json").stdout)
    with CleaveClient(live.url, made["api_key"]) as client:
        assert client.jobs.list().data is not None
    assert f"data in {live.settings.home}\n" in cleave("keys", "create", "--data-dir", home).stderr


def test_tables_of_an_older_version_are_left_to_db_upgrade(tmp_path: Path) -> None:
    """Processes of that version may be at work."""
    settings = settings_for(tmp_path)
    home = ("--data-dir", str(settings.home))
    assert cleave("keys", "create", *home).exit_code == 0  # none yet: made
    downgrade(settings, "-1")
    refused = cleave("keys", "create", *home)
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "error [database_not_migrated]")
    database = Database(settings)
    assert current(database.engine) != head()
    database.dispose()


def test_the_first_key_is_not_lost_when_the_start_fails(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()  # where a folder is needed, after the key was made
    result = cleave("up", "--port", "0", "--data-dir", str(tmp_path), "--json")
    assert (result.exit_code, json.loads(result.stderr)["code"]) == (1, "not_a_folder")
    made = json.loads(result.stdout)
    assert made["data_dir"] == str(tmp_path)
    [key] = json.loads(cleave("keys", "list", "--data-dir", str(tmp_path), "--json").stdout)
    assert key["id"].removeprefix("key_") in made["api_key"]


def test_keys_are_listed_and_revoked(live: LiveService) -> None:
    home = ("--data-dir", str(live.settings.home), "--json")
    made = json.loads(cleave("keys", "create", "--name", "leaked", "--tenant", "acme", *home).stdout)
    listed = cleave("keys", "list", "--tenant", "acme", *home).stdout
    assert made["api_key"].rpartition("_")[2] not in listed
    [key] = json.loads(listed)
    assert (key["tenant"], key["name"], key["state"]) == ("acme", "leaked", "live")
    everyone = {found["tenant"] for found in json.loads(cleave("keys", "list", *home).stdout)}
    assert everyone >= {"acme", "default"}
    with CleaveClient(live.url, made["api_key"]) as client:
        assert client.jobs.list().data == []
        revoked = json.loads(cleave("keys", "revoke", key["id"], *home).stdout)
        assert revoked["state"] == "revoked"
        eventually(lambda: _refused(client), 5)
    again = json.loads(cleave("keys", "revoke", key["id"], *home).stdout)
    assert again["revoked_at"] == revoked["revoked_at"]


def _refused(client: CleaveClient) -> bool:
    """A running service knows a caller for a second without asking the database."""
    try:
        client.jobs.list()
    except CleaveApiError as error:
        return error.code == "unauthorized"
    return False


@pytest.mark.parametrize("command", ["revoke key_0", "list --tenant nobody"])
def test_keys_that_are_not_there(live: LiveService, command: str) -> None:
    result = cleave("keys", *command.split(), "--data-dir", str(live.settings.home))
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [not_found]")


def test_a_key_of_less_scope_its_rotation_and_the_audit_log(
    live: LiveService, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ("--data-dir", str(live.settings.home), "--json")
    monkeypatch.setenv("CLEAVE_URL", live.url)
    options = ("--scope", "read", "--expires-days", "1")
    made = json.loads(cleave("keys", "create", "--name", "reader", *options, *home).stdout)
    with CleaveClient(live.url, made["api_key"]) as client, pytest.raises(CleaveApiError) as refusal:
        client.jobs.create({"kind": "train", "architecture": "small_cnn", "dataset": "digits"})
    assert refusal.value.code == "forbidden_scope"
    key_id = "key_" + made["api_key"].split("_")[1]
    rotated = json.loads(cleave("keys", "rotate", key_id, "--overlap-s", "0", *home).stdout)
    assert rotated["api_key"] != made["api_key"]
    monkeypatch.setenv("CLEAVE_API_KEY", live.api_key)
    found = json.loads(cleave("audit", "--resource", key_id, "--json").stdout)["data"]
    assert [event["operation"] for event in found] == ["keys rotate", "keys create"]
    with CleaveClient(live.url, live.api_key) as admin:
        (event,) = admin.audit_events.list(key_id=key_id).data
        assert (event.operation, event.status) == ("jobs_create", 403)
        assert admin.api_keys.get(key_id).scope == "read"
        assert admin.api_keys.revoke(admin.api_keys.create("x").id).state == "revoked"
