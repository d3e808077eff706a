"""The registry by the typed client and on the command line."""

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.client import CleaveClient
from service.client.errors import CleaveApiError
from tests.fixtures.client import Account, Api


@pytest.fixture
def cleave(api: Api, account: Account) -> Callable[..., str]:
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["--url", api.url, "--api-key", account.key, *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_the_client_names_labels_and_finds(api: Api, account: Account) -> None:
    first, second = account.registry.train(), account.registry.train(approach="mwt")
    with CleaveClient(api.url, account.key) as client:
        assert client.models.update(first, name="digits", tags=["old"]).version == 1
        client.models.update(second, name="digits", metadata={"team": "x"})
        assert client.models.put_alias(second, "champion").aliases == ["champion"]
        assert client.models.get("digits@champion").id == second
        assert [m.id for m in client.models.list(tags=["old"], name="digits").data] == [first]
        assert [m.id for m in client.models.list(metadata={"team": "x"}).data] == [second]
        assert client.models.update(second, metadata={"team": None}).metadata == {}
        with pytest.raises(CleaveApiError, match="changed"):
            client.models.update(second, tags=["y"], if_match='"0"')
        assert client.models.lineage("digits@1").model.dataset_digest == "d" * 64
        rows = client.models.compare([first, second]).rows
        assert next(row.values for row in rows if row.name == "approach") == ["nemo", "mwt"]
        assert client.models.card(first).title.startswith("digits version 1")
        assert client.models.card_markdown(first).startswith("# digits version 1")
        client.models.delete_alias(second, "champion")
        assert client.models.get(second).aliases == []


def test_the_command_line_does_the_same(cleave: Callable[..., str], account: Account) -> None:
    model_id, other = account.registry.train(), account.registry.train(approach="mwt")
    (small,) = account.registry.extract(model_id, {"cat": 0.7}, parameters=10)
    (large,) = account.registry.extract(model_id, {"cat": 0.9}, parameters=99)
    assert cleave("models", "name", model_id, "digits") == f"{model_id} is digits version 1\n"
    assert cleave("models", "alias", model_id, "champion") == f"digits@champion is {model_id}\n"
    assert "digits version 1" in cleave("models", "show", "digits@champion")
    assert "team" in cleave("models", "label", other, "--tag", "a", "--metadata", "team=x=y")
    tagged = json.loads(cleave("models", "list", "--tag", "a", "--sort", "-created_at", "--json"))["data"]
    assert [(m["id"], m["metadata"]) for m in tagged] == [(other, {"team": "x=y"})]
    assert json.loads(cleave("models", "label", other, "--metadata", "team", "--json"))["metadata"] == {}
    modules = json.loads(cleave("modules", "list", "--class", "cat", "--sort", "-f1", "--json"))["data"]
    assert [m["id"] for m in modules] == [large, small]
    found = json.loads(cleave("classes", "cat", "--max-parameters", "50", "--json"))
    assert [m["module_id"] for m in found] == [small]
    compared = cleave("modules", "compare", small, large)
    assert "parameters" in compared
    assert "form" not in compared
    assert "form" in cleave("modules", "compare", small, large, "--all")
    assert cleave("modules", "card", small).startswith("# small_cnn for cat")
    made = [account.registry.compose({"module_ids": [one]})["composition_id"] for one in (small, large)]
    listed = json.loads(cleave("compositions", "list", "--model", model_id, "--class", "cat", "--json"))
    assert [composition["id"] for composition in listed["data"]] == made[::-1]
    assert "module_ids" in cleave("compositions", "compare", *made)
    assert "cut by" in cleave("compositions", "lineage", made[0])
    assert cleave("compositions", "label", made[0], "--tag", "a").endswith("a\n")
    lineage = cleave("modules", "lineage", small)
    assert "d" * 64 in lineage
    assert "cut by" in lineage
