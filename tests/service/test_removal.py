"""Removing: refused while something else is made of it, complete otherwise, and others lose nothing."""

import threading

import pytest
from sqlalchemy import select

from service.artifacts.tables import Artifact, ArtifactLink
from service.models.tables import Metric
from service.registry.tables import Label
from tests.fixtures.client import Account, Api
from tests.fixtures.problems import problem


class TestRemoving:
    def test_from_the_last_made_to_the_first(self, account: Account) -> None:
        model_id = account.registry.train()
        (module_id,) = account.registry.extract(model_id, {"cat": 0.9})
        composition_id = account.registry.compose({"classes": ["cat"]})["composition_id"]

        def removed(path: str) -> int:
            return account.http.delete(f"/v1/{path}").status_code

        for path, users in (
            (f"models/{model_id}", (module_id, composition_id)),
            (f"modules/{module_id}", (composition_id,)),
        ):
            refused = problem(account.http.delete(f"/v1/{path}"))
            assert (refused["status"], refused["code"]) == (409, "in_use")
            assert all(user in refused["detail"] for user in users)
            assert account.http.get(f"/v1/{path}").status_code == 200
        order = (f"compositions/{composition_id}", f"modules/{module_id}", f"models/{model_id}")
        for path in order:
            assert (removed(path), removed(path)) == (204, 404)
            assert account.http.get(f"/v1/{path}").status_code == 404

    def test_nothing_of_it_stays_and_nothing_else_goes(self, api: Api, account: Account) -> None:
        gone, kept = account.registry.train(), account.registry.train()
        artifacts = account.http.get(f"/v1/models/{gone}").json()["artifacts"]
        assert account.http.delete(f"/v1/models/{gone}").status_code == 204
        assert {account.http.get(a["url"]).status_code for a in artifacts} == {404}
        with api.database.read(account.tenant_id) as session:
            assert set(session.scalars(select(ArtifactLink.owner_id))) == {kept}
            assert set(session.scalars(select(Metric.owner_id))) == {kept}
            assert len(session.scalars(select(Artifact.id)).all()) == 3
        files = account.http.get(f"/v1/models/{kept}").json()["artifacts"]
        assert {account.http.get(a["url"]).status_code for a in files} == {200}

    def test_the_same_composition_can_be_asked_for_again(self, account: Account) -> None:
        account.registry.extract(account.registry.train(), {"cat": 0.9})
        first = account.registry.compose({"classes": ["cat"]})["composition_id"]
        account.http.delete(f"/v1/compositions/{first}")
        assert account.registry.compose({"classes": ["cat"]})["composition_id"] != first

    def test_a_file_that_another_has_too_stays(self, api: Api, account: Account) -> None:
        gone, other = account.registry.train(), account.registry.train()
        shared = account.http.get(f"/v1/models/{gone}").json()["artifacts"][0]
        with api.database.write() as session:
            link = ArtifactLink(owner_id=other, role="program", tenant_id=account.tenant_id)
            link.artifact_id = shared["id"]
            session.add(link)
        assert account.http.delete(f"/v1/models/{gone}").status_code == 204
        assert account.http.get(shared["url"]).status_code == 200

    @pytest.mark.parametrize("kind", ["extract", "evaluate"])
    def test_a_job_that_has_not_ended_needs_it(self, account: Account, kind: str) -> None:
        model_id = account.registry.train()
        specs = {
            "extract": {"kind": "extract", "model_id": model_id},
            "evaluate": {"kind": "evaluate", "target_id": model_id},
        }
        job = account.http.post("/v1/jobs", json=specs[kind])
        refused = problem(account.http.delete(f"/v1/models/{model_id}"))
        assert (refused["code"], job.json()["id"] in refused["detail"]) == ("in_use", True)
        account.http.post(f"/v1/jobs/{job.json()['id']}/cancel")
        assert account.http.delete(f"/v1/models/{model_id}").status_code == 204

    def test_only_what_one_has_seen(self, account: Account) -> None:
        url = f"/v1/models/{account.registry.train()}"
        seen = account.http.get(url).headers["ETag"]
        account.registry.evaluate(url.rpartition("/")[2], 0.5)
        refused = problem(account.http.delete(url, headers={"If-Match": seen}))
        assert (refused["status"], refused["code"]) == (412, "precondition_failed")
        now = account.http.get(url).headers["ETag"]
        assert account.http.delete(url, headers={"If-Match": now}).status_code == 204

    def test_its_labels_go_with_it(self, api: Api, account: Account) -> None:
        url = f"/v1/models/{account.registry.train()}"
        assert account.http.patch(url, json={"tags": ["old"]}).status_code == 200
        assert account.http.delete(url).status_code == 204
        with api.database.read(account.tenant_id) as session:
            assert session.scalars(select(Label.owner_id)).all() == []

    def test_another_tenant_removes_nothing(self, account: Account, stranger: Account) -> None:
        model_id = account.registry.train()
        assert stranger.http.delete(f"/v1/models/{model_id}").status_code == 404
        assert account.http.get(f"/v1/models/{model_id}").status_code == 200

    def test_composing_and_removing_at_once(self, account: Account) -> None:
        """Whichever comes first, no composition has a module that is gone, and nothing crashes."""
        model_id = account.registry.train()
        for module_id in account.registry.extract(model_id, {"cat": 0.9, "dog": 0.8, "truck": 0.7}):
            answers: list[int] = []

            def call(method: str, path: str, body: object, into: list[int] = answers) -> None:
                into.append(account.http.request(method, path, json=body).status_code)

            threads = [
                threading.Thread(target=call, args=("POST", "/v1/compositions", {"module_ids": [module_id]})),
                threading.Thread(target=call, args=("DELETE", f"/v1/modules/{module_id}", None)),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(answers) in ([202, 409], [204, 404]), answers
