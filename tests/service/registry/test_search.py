"""Narrowing and sorting lists of the registry, and cursors that fit only the list they came from."""

import re
from typing import Any

import pytest
from sqlalchemy import Engine

from service.client import CleaveClient
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem
from tests.fixtures.statements import statements


def ids(account: Account, path: str) -> list[str]:
    answer = account.http.get(f"/v1/{path}")
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["data"]]


def plan_of(engine: Engine, statement: str, values: Any) -> str:
    """How the database finds it. PostgreSQL is kept from sorting the few rows of a test."""
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        for way in () if sqlite else ("seqscan", "bitmapscan", "sort"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
        return str(connection.exec_driver_sql(f"{explain} {statement}", values).all())


@pytest.fixture
def modules(account: Account) -> list[str]:
    """Modules with validation f1 0.9, 0.5 and none, and 100, 300 and 200 parameters."""
    model_id = account.registry.train()
    return [
        account.registry.extract(model_id, {"cat": score}, parameters=size)[0]
        for score, size in ((0.9, 100), (0.5, 300), (None, 200))
    ]


class TestFilters:
    def test_models_by_what_they_are(self, account: Account) -> None:
        nemo, mwt = account.registry.train(), account.registry.train(approach="mwt", classes=["zebra"])
        assert ids(account, "models?approach=mwt") == [mwt]
        assert ids(account, "models?class=zebra") == [mwt]
        assert ids(account, "models?dataset=digits&recipe=published") == [mwt, nemo]
        assert ids(account, "models?dataset=mnist") == []
        assert ids(account, "models?parameters[lte]=999") == []

    def test_models_by_accuracy_on_a_split(self, account: Account) -> None:
        model_id = account.registry.train()  # test accuracy 0.9, none on validation data
        assert ids(account, "models?min_accuracy=0.9&split=test") == [model_id]
        assert ids(account, "models?min_accuracy=0.91&split=test") == []
        assert ids(account, "models?min_accuracy=0.0") == []
        account.registry.evaluate(model_id, 0.2)
        assert ids(account, "models?min_accuracy=0.9&split=test") == []

    def test_modules_by_figures_and_size(self, account: Account, modules: list[str]) -> None:
        good, poor, _ = modules
        assert ids(account, "modules?min_f1=0.5") == [poor, good]
        assert ids(account, "modules?min_f1=0.5&parameters[lte]=100") == [good]
        assert ids(account, "modules?min_f1=0.5&split=test") == []
        assert ids(account, "modules?min_accuracy=0.1") == []

    def test_modules_by_their_model(self, account: Account, modules: list[str]) -> None:
        other = account.registry.extract(account.registry.train(approach="mwt"), {"cat": 0.9})
        assert ids(account, "modules?approach=mwt") == other
        assert ids(account, "modules?approach=nemo&class=cat") == modules[::-1]
        assert ids(account, "modules?dataset=mnist") == []

    def test_made_since_and_before(self, account: Account, modules: list[str]) -> None:
        made = account.http.get(f"/v1/modules/{modules[1]}").json()["created_at"]
        since = ids(account, f"modules?created_at[gte]={made}")
        before = ids(account, f"modules?created_at[lt]={made}")
        assert modules[1] in since
        assert modules[1] not in before
        assert sorted(since + before) == sorted(modules)

    def test_compositions(self, account: Account) -> None:
        model_id = account.registry.train()
        account.registry.extract(model_id, {"cat": 0.9, "dog": 0.9})
        built = account.registry.compose({"classes": ["cat", "dog"]})["composition_id"]
        waiting = account.registry.submit({"kind": "compose", "classes": ["dog"]}).spec["composition_id"]
        assert ids(account, "compositions?class=cat") == [built]
        assert ids(account, "compositions?class=dog") == [waiting, built]
        assert ids(account, "compositions?ready=true&form=gated") == [built]
        for of in ("", "&class=dog"):
            assert ids(account, f"compositions?sort=parameters{of}") == [built]
        assert ids(account, "compositions?approach=mwt") == []

    def test_the_best_small_module_of_a_class(self, account: Account, modules: list[str]) -> None:
        good, poor, unmeasured = modules

        def found(query: str) -> list[str]:
            return [m["module_id"] for m in account.http.get(f"/v1/classes?name=cat{query}").json()["data"]]

        assert found("") == [good, poor, unmeasured]
        assert found("&max_params=299") == [good, unmeasured]
        assert found("&min_f1=0.51&max_params=200000") == [good]
        assert found("&min_f1=0.1&split=test") == []
        account.registry.evaluate(poor, 0.7)
        assert found("&min_accuracy=0.7&split=test") == [poor]

    @pytest.mark.parametrize(
        "query",
        ["colour=red", "sort=colour", "sort=notes", "min_f1=2", "split=train", "parameters[lte]=x",
         "created_at[gte]=2026-01-01", "created_at[gt]=2026-01-01T00:00:00Z"],
    )  # fmt: skip
    def test_what_is_not_known_is_refused(self, account: Account, query: str) -> None:
        assert problem(account.http.get(f"/v1/modules?{query}"))["status"] == 422


class TestSorting:
    @pytest.mark.parametrize(
        ("sort", "order"),
        [
            ("created_at", [0, 1, 2]),
            ("-created_at", [2, 1, 0]),
            ("parameters", [0, 2, 1]),
            ("-parameters", [1, 2, 0]),
            ("-f1", [0, 1]),
        ],
    )
    @pytest.mark.parametrize("of", ["", "&class=cat", "&tag=a"])
    def test_each_order_in_pages_of_one(
        self, account: Account, modules: list[str], sort: str, order: list[int], of: str
    ) -> None:
        for module_id in modules:
            account.http.patch(f"/v1/modules/{module_id}", json={"tags": ["a", "b"]})
        seen, after = [], ""
        for _ in order:
            page = account.http.get(f"/v1/modules?sort={sort}&limit=1{of}{after}").json()
            seen += [m["id"] for m in page["data"]]
            after = f"&after={page['next_cursor']}"
        assert seen == [modules[place] for place in order]
        assert page["next_cursor"] is None

    def test_what_other_kinds_carry_is_in_no_page(self, account: Account, modules: list[str]) -> None:
        model_id = account.registry.train()
        built = account.registry.compose({"classes": ["cat"]})["composition_id"]
        for kind, labelled in (("models", [model_id]), ("modules", modules), ("compositions", [built])):
            for item in labelled:
                account.http.patch(f"/v1/{kind}/{item}", json={"tags": ["a"], "metadata": {"team": "x"}})
        for query in ("tag=a", "metadata=team=x", "tag=a&metadata=team=x"):
            for sort in ("created_at", "-created_at"):
                for kind, newest in (("models", model_id), ("modules", None), ("compositions", built)):
                    page = account.http.get(f"/v1/{kind}?{query}&sort={sort}&limit=1").json()
                    place = 0 if sort == "created_at" else -1
                    assert [item["id"] for item in page["data"]] == [newest or modules[place]]
                    assert page["has_more"] == (kind == "modules")

    def test_each_order_is_that_of_an_index(self, api: Api, account: Account) -> None:
        engine = api.app.state.database.engine
        for of, table in (("", "modules"), ("&class=cat", "module_classes"), ("&tag=a", "labels")):
            for sort, column in (
                ("created_at", "created_at"), ("-parameters", "parameters"), ("-f1", "f1_test"),
                ("-accuracy", "accuracy_test"),
            ):  # fmt: skip
                with statements(engine) as seen:
                    ids(account, f"modules?sort={sort}&split=test&parameters[lte]=1000{of}")
                (searched,) = [said for said in seen if "LIMIT" in said[0]]
                plan = plan_of(engine, *searched)
                assert f"ix_{table}_by_{column} " in plan, plan

    @pytest.mark.parametrize("kind", ["models", "modules", "compositions"])
    def test_the_labels_of_other_kinds_are_not_looked_through(
        self, api: Api, account: Account, kind: str
    ) -> None:
        engine = api.app.state.database.engine
        with statements(engine) as seen:
            ids(account, f"{kind}?tag=a&sort=created_at")
        (searched,) = [said for said in seen if "LIMIT" in said[0]]
        plan = plan_of(engine, *searched)
        assert re.search(r"tenant_id ?= ?\S+ AND \(?kind ?= ?\S+ AND \(?key ?= ?\S+ AND \(?value ?=", plan), (
            plan
        )

    @pytest.mark.parametrize("also", ["class=cat", "tag=b"])
    def test_what_carries_a_second_label_can_be_found_by_it(
        self, api: Api, account: Account, also: str
    ) -> None:
        """Not only one candidate after the other: with a rare label that is most of a large class."""
        engine = api.app.state.database.engine
        with statements(engine) as seen:
            ids(account, f"modules?{also}&tag=a&sort=-f1")
        (searched,) = [said[0] for said in seen if "LIMIT" in said[0]]
        (alias,) = re.findall(r"labels AS (\w+)", searched)
        compared = set(re.findall(rf"{alias}\.\"?(\w+)\"? =", searched))
        assert compared == {"owner_id", "tenant_id", "kind", "key", "value"}, searched

    def test_a_newer_figure_changes_the_order(self, account: Account) -> None:
        first, second = account.registry.train(), account.registry.train()
        account.registry.evaluate(first, 0.95)
        for model_id in (first, second):
            account.http.patch(f"/v1/models/{model_id}", json={"tags": ["a"]})
        lists = [f"models?sort=-accuracy&split=test{of}" for of in ("", "&class=cat", "&tag=a")]
        assert [ids(account, path) for path in lists] == [[first, second]] * 3
        account.registry.evaluate(second, 0.99)
        assert [ids(account, path) for path in lists] == [[second, first]] * 3


class TestCursors:
    @pytest.mark.parametrize(
        "other", ["modules?sort=parameters", "modules?class=cat", "compositions?", "modules?sort=created_at"]
    )
    def test_a_cursor_fits_its_own_list_only(self, account: Account, modules: list[str], other: str) -> None:
        cursor = account.http.get("/v1/modules?limit=1").json()["next_cursor"]
        assert ids(account, f"modules?limit=200&after={cursor}") == modules[1::-1]
        refusal = problem(account.http.get(f"/v1/{other}&after={cursor}"))
        assert (refusal["status"], refusal["code"]) == (400, "cursor_mismatch")

    @pytest.mark.parametrize("cursor", ["x", "W10", "WzFd", "WyJhIl0", "bnVsbA"])
    def test_what_is_no_cursor(self, account: Account, cursor: str) -> None:
        refusal = problem(account.http.get(f"/v1/modules?after={cursor}"))
        assert refusal["status"] == 400
        assert refusal["code"] in ("invalid_cursor", "cursor_mismatch")


def test_the_client_asks_the_same(api: Api, account: Account, modules: list[str]) -> None:
    with CleaveClient(api.url, account.key) as client:
        small = client.modules.list(class_name="cat", max_parameters=250, sort="-f1", split="validation")
        assert [m.id for m in small.data] == [modules[0]]
        since = client.modules.list(created_from=small.data[0].created_at, sort="created_at").data
        assert [m.id for m in since] == modules
        assert [m.module_id for m in client.classes.find("cat", min_f1=0.6, max_params=200)] == modules[:1]
