"""Narrowing and sorting lists of the registry, and cursors that fit only the list they came from."""

import pytest

from service.client import CleaveClient
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem


def ids(account: Account, path: str) -> list[str]:
    answer = account.http.get(f"/v1/{path}")
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["data"]]


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
        assert ids(account, "compositions?sort=parameters") == [built]
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
    @pytest.mark.parametrize("of", ["", "&class=cat"])
    def test_each_order_in_pages_of_one(
        self, account: Account, modules: list[str], sort: str, order: list[int], of: str
    ) -> None:
        seen, after = [], ""
        for _ in order:
            page = account.http.get(f"/v1/modules?sort={sort}&limit=1{of}{after}").json()
            seen += [m["id"] for m in page["data"]]
            after = f"&after={page['next_cursor']}"
        assert seen == [modules[place] for place in order]
        assert page["next_cursor"] is None

    def test_a_newer_figure_changes_the_order(self, account: Account) -> None:
        first, second = account.registry.train(), account.registry.train()
        account.registry.evaluate(first, 0.95)
        assert ids(account, "models?sort=-accuracy&split=test") == [first, second]
        account.registry.evaluate(second, 0.99)
        assert ids(account, "models?sort=-accuracy&split=test") == [second, first]


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
