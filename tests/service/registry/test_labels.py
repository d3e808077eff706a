"""Tags, metadata, names, versions and aliases: changed only by who has seen what there is."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from service.models.tables import ModelAlias
from service.registry.tables import Label
from tests.fixtures.client import Account, Api, any_database
from tests.fixtures.problems import problem


@pytest.fixture(params=["models", "modules", "compositions"])
def path(request: pytest.FixtureRequest, account: Account) -> str:
    """One thing of each kind."""
    model_id = account.registry.train()
    (module_id,) = account.registry.extract(model_id, {"cat": 0.9})
    ids = {"models": model_id, "modules": module_id}
    if request.param == "compositions":
        ids["compositions"] = account.registry.compose({"classes": ["cat"]})["composition_id"]
    return f"/v1/{request.param}/{ids[request.param]}"


class TestLabels:
    def test_tags_are_a_set_and_metadata_is_merged(self, account: Account, path: str) -> None:
        first = {"tags": ["b", "a", "b"], "metadata": {"team": "vision", "stage": "trial"}}
        assert account.http.patch(path, json=first).json()["tags"] == ["a", "b"]
        answer = account.http.patch(path, json={"metadata": {"stage": None, "owner": "me"}})
        read = account.http.get(path)
        assert read.json() == answer.json()
        assert (read.json()["tags"], read.json()["metadata"]) == (
            ["a", "b"],
            {"owner": "me", "team": "vision"},
        )
        assert account.http.patch(path, json={"tags": []}).json()["tags"] == []

    def test_a_stale_change_is_refused_and_a_fresh_one_is_not(self, account: Account, path: str) -> None:
        seen = account.http.get(path).headers["ETag"]
        assert account.http.patch(path, json={"tags": ["x"]}, headers={"If-Match": seen}).status_code == 200
        refusal = problem(account.http.patch(path, json={"tags": ["y"]}, headers={"If-Match": seen}))
        assert (refusal["status"], refusal["code"]) == (412, "precondition_failed")
        now = account.http.get(path)
        assert now.json()["tags"] == ["x"]
        headers = {"If-Match": f'"other", {now.headers["ETag"]}'}
        changed = account.http.patch(path, json={"tags": ["y"]}, headers=headers)
        assert changed.headers["ETag"] == account.http.get(path).headers["ETag"] != now.headers["ETag"]

    def test_found_by_label(self, account: Account, path: str) -> None:
        account.http.patch(path, json={"tags": ["a", "b"], "metadata": {"team": "x=y", "k": ""}})
        collection = path.rpartition("/")[0]

        def found(query: str) -> int:
            return len(account.http.get(f"{collection}?{query}").json()["data"])

        assert found("tag=a&tag=b&metadata=team=x%3Dy&metadata=k=") == 1
        assert (found("tag=a&tag=c"), found("metadata=team=x"), found("tag=team")) == (0, 0, 0)
        assert problem(account.http.get(f"{collection}?metadata=team"))["status"] == 422

    def test_the_labels_of_what_is_removed_are_gone(self, api: Api, account: Account) -> None:
        model_id = account.registry.train()
        account.http.patch(f"/v1/models/{model_id}", json={"name": "gone", "tags": ["a"]})
        account.http.put(f"/v1/models/{model_id}/aliases/champion")
        assert account.http.delete("/v1/models/gone@champion").status_code == 204
        with api.database.read(account.tenant_id) as session:
            assert session.scalars(select(Label)).all() == []
            assert session.scalars(select(ModelAlias)).all() == []

    @any_database
    @pytest.mark.parametrize(
        "body",
        [{}, {"tags": [""]}, {"tags": ["x" * 65]}, {"metadata": {"": "x"}}, {"metadata": {"a": 1}},
         {"metadata": {f"k{n}": "v" for n in range(17)}}, {"colour": "red"}, {"metadata": {"a=b": "x"}},
         {"tags": [f"t{n}" for n in range(33)]}],
    )  # fmt: skip
    def test_what_is_no_label(self, account: Account, path: str, body: dict[str, object]) -> None:
        assert problem(account.http.patch(path, json=body))["status"] == 422

    def test_no_more_pairs_than_allowed_remain(self, account: Account, path: str) -> None:
        pairs = {f"k{n}": "v" for n in range(16)}
        assert account.http.patch(path, json={"metadata": pairs}).status_code == 200
        assert problem(account.http.patch(path, json={"metadata": {"one": "more"}}))["status"] == 422
        swapped = account.http.patch(path, json={"metadata": {"one": "more", "k0": None}})
        assert len(swapped.json()["metadata"]) == 16


class TestNames:
    @pytest.fixture
    def named(self, account: Account) -> Callable[..., str]:
        def make(name: str = "digits") -> str:
            model_id = account.registry.train()
            assert account.http.patch(f"/v1/models/{model_id}", json={"name": name}).status_code == 200
            return model_id

        return make

    def test_versions_count_from_one_within_a_name(self, account: Account, named: Callable[..., str]) -> None:
        ids = [named(), named("other"), named()]
        models = [account.http.get(f"/v1/models/{model_id}").json() for model_id in ids]
        assert [(m["name"], m["version"]) for m in models] == [("digits", 1), ("other", 1), ("digits", 2)]
        listed = account.http.get("/v1/models?name=digits").json()["data"]
        assert [m["version"] for m in listed] == [2, 1]
        account.http.patch(f"/v1/models/{ids[2]}", json={"name": None})
        assert account.http.get(f"/v1/models/{named()}").json()["version"] == 3

    @pytest.mark.parametrize(
        ("field", "spec"),
        [
            ("model_id", {"kind": "extract"}),
            ("model_id", {"kind": "sweep", "thresholds": [0.5]}),
            ("target_id", {"kind": "evaluate"}),
            ("initial_model_id", {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}),
        ],
    )
    def test_a_job_of_a_name_keeps_what_it_means_now(
        self, account: Account, named: Callable[..., str], field: str, spec: dict[str, object]
    ) -> None:
        first = named()
        account.http.put(f"/v1/models/{first}/aliases/champion")
        job = account.http.post("/v1/jobs", json={**spec, field: "digits@champion"})
        assert (job.status_code, job.json()["spec"][field]) == (202, first)
        account.http.put(f"/v1/models/{named()}/aliases/champion")
        assert account.http.get(job.headers["Location"]).json()["spec"][field] == first
        for unknown in ("digits@3", "other@champion"):
            refusal = problem(account.http.post("/v1/jobs", json={**spec, field: unknown}))
            assert (refusal["code"], refusal["detail"]) == ("not_found", f"There is no model {unknown}.")
        for bad in ("digits", "digits@", "@champion", "a/b@c"):
            refusal = problem(account.http.post("/v1/jobs", json={**spec, field: bad}))
            assert (refusal["status"], "an id, or name@alias" in refusal["detail"]) == (422, True)

    def test_a_composition_of_a_name(self, account: Account, named: Callable[..., str]) -> None:
        model_id = named()
        account.registry.extract(model_id, {"cat": 0.9, "dog": 0.9})
        asked = {"classes": ["dog", "cat"], "model_id": "digits@latest"}
        answers = [account.http.post("/v1/compositions", json=asked).json()["composition"] for _ in range(2)]
        assert (answers[0]["model_id"], answers[0]["id"]) == (model_id, answers[1]["id"])

    def test_an_alias_moves(self, account: Account, named: Callable[..., str]) -> None:
        first, second = named(), named()
        put = account.http.put(f"/v1/models/{first}/aliases/champion")
        assert (put.status_code, put.json()["aliases"]) == (200, ["champion"])
        account.http.put(f"/v1/models/{second}/aliases/champion")

        def meant(reference: str) -> str:
            return str(account.http.get(f"/v1/models/{reference}").json().get("id"))

        assert meant("digits@champion") == second
        assert (meant("digits@1"), meant("digits@2"), meant("digits@latest")) == (first, second, second)
        assert account.http.get(f"/v1/models/{first}").json()["aliases"] == []
        for nobody in ("digits@3", "digits@other", "digits@", "nobody@latest", "@latest", "digits"):
            assert account.http.get(f"/v1/models/{nobody}").status_code == 404, nobody
        assert account.http.delete(f"/v1/models/{first}/aliases/champion").status_code == 404
        assert account.http.delete("/v1/models/digits@champion/aliases/champion").status_code == 204
        assert account.http.get("/v1/models/digits@champion").status_code == 404

    def test_paths_below_a_model_take_its_name_too(self, account: Account, named: Callable[..., str]) -> None:
        model_id = named()
        modules = account.registry.extract(model_id, {"cat": 0.9})
        below = account.http.get("/v1/models/digits@latest/modules").json()["data"]
        assert [m["id"] for m in below] == modules
        classes = account.http.get("/v1/models/digits@1/classes").json()["data"]
        assert [len(c["metrics"]) for c in classes] == [1, 0, 0]

    def test_another_name_gives_its_next_version(self, account: Account, named: Callable[..., str]) -> None:
        """Also where the version it has in the one is another model's in the other."""
        named("digits"), named("digits")
        model_id = named("other")
        renamed = account.http.patch(f"/v1/models/{model_id}", json={"name": "digits"})
        assert (renamed.status_code, renamed.json()["version"]) == (200, 3)

    def test_another_name_leaves_the_aliases_behind(
        self, account: Account, named: Callable[..., str]
    ) -> None:
        model_id = named()
        account.http.put(f"/v1/models/{model_id}/aliases/champion")
        renamed = account.http.patch(f"/v1/models/{model_id}", json={"name": "letters"}).json()
        assert (renamed["version"], renamed["aliases"]) == (1, [])
        assert account.http.get("/v1/models/digits@champion").status_code == 404

    def test_an_alias_needs_a_name_and_what_was_seen(
        self, account: Account, named: Callable[..., str]
    ) -> None:
        unnamed = account.registry.train()
        refusal = problem(account.http.put(f"/v1/models/{unnamed}/aliases/champion"))
        assert (refusal["status"], refusal["code"]) == (409, "model_unnamed")
        stale = {"If-Match": '"0"'}
        model_id = named()
        for method in ("PUT", "DELETE"):
            path = f"/v1/models/{model_id}/aliases/champion"
            assert problem(account.http.request(method, path, headers=stale))["status"] == 412

    @pytest.mark.parametrize("alias", ["latest", "7", "-x", "a b", "x" * 65])
    def test_what_is_no_alias(self, account: Account, named: Callable[..., str], alias: str) -> None:
        assert problem(account.http.put(f"/v1/models/{named()}/aliases/{alias}"))["status"] == 422

    def test_of_two_at_once_each_gets_its_own_version(self, account: Account) -> None:
        ids = [account.registry.train() for _ in range(6)]

        def name(model_id: str) -> int:
            answer = account.http.patch(f"/v1/models/{model_id}", json={"name": "race"})
            return int(answer.json()["version"])

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(name, ids)) == [1, 2, 3, 4, 5, 6]

    def test_names_of_a_stranger_are_nobodys(self, stranger: Account, named: Callable[..., str]) -> None:
        named()
        assert stranger.http.get("/v1/models/digits@latest").status_code == 404
        model_id = stranger.registry.train()
        assert stranger.http.patch(f"/v1/models/{model_id}", json={"name": "digits"}).json()["version"] == 1
