"""Names and aliases that many change at once: every change is made, in some order."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

from service.models import repository
from service.models import service as models
from service.models.schemas import ModelPatch
from tests.fixtures.client import Account, Api
from tests.service.test_holding import require_waiting


def test_renaming_and_moving_aliases_at_once(account: Account) -> None:
    ids = [account.registry.train() for _ in range(4)]
    for model, name in zip(ids, ["a", "b", "a", "b"], strict=True):
        account.http.patch(f"/v1/models/{model}", json={"name": name})

    def change(turn: tuple[int, str]) -> int:
        number, name = turn
        path = f"/v1/models/{ids[number % 4]}"
        if number % 3:
            return account.http.put(f"{path}/aliases/champion").status_code
        return account.http.patch(path, json={"name": name}).status_code

    turns = list(product(range(12), ["a", "b", "c"]))
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(change, turns * 3)) == {200}
    found = [account.http.get(f"/v1/models/{model}").json() for model in ids]
    assert len({(model["name"], model["version"]) for model in found}) == 4


def test_an_alias_moves_in_the_name_that_the_model_has_by_then(api: Api, account: Account) -> None:
    """Also where it had another when the request came, so that both models' tags change with it."""
    first, second = account.registry.train(), account.registry.train()
    account.http.patch(f"/v1/models/{first}", json={"name": "new"})
    account.http.put(f"/v1/models/{first}/aliases/champion")
    account.http.patch(f"/v1/models/{second}", json={"name": "old"})
    with ThreadPoolExecutor(1) as pool:
        with api.database.write(account.tenant_id) as session:
            models.change(session, second, ModelPatch(name="new"), None)
            answer = pool.submit(account.http.put, f"/v1/models/{second}/aliases/champion")
            require_waiting(api.database, answer)
            # The one who waits has not locked it, but will see that it has the alias.
            assert repository.find_locked(session, first) is not None
        assert (answer.result(30).status_code, answer.result().json()["name"]) == (200, "new")
    assert account.http.get("/v1/models/new@champion").json()["id"] == second
    assert account.http.get(f"/v1/models/{first}").json()["aliases"] == []
