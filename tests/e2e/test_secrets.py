"""One whole run at level debug: nothing that any process writes down holds a secret, in any spelling."""

import base64
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import httpx
import pytest

from tests.e2e.conftest import Up, stopped_afterwards
from tests.fixtures.receiver import NETWORKS, Receiver, receiving
from tests.fixtures.s3 import s3_server
from tests.fixtures.uploads import digit_pictures, upload, zipped
from tests.fixtures.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
TRAIN: dict[str, Any] = {"kind": "train", "architecture": "small_cnn", "epochs": 1, "batch_size": 32}
SECRET_KEY = "pepper/with+signs=and%percent-0123456789"
BUCKET_SECRET = "bucket/Secret+of=the~tests-0123456789"
PASSWORD = "pass/word+of=a-proxy-0123456789"
# No secret: a request's id, which the API's log and the audit log have.
PLANTED = "planted-0123456789abcdef"


@dataclass
class Session:
    """A user of the service, who keeps every secret that comes by."""

    http: httpx.Client
    secrets: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str, secret: str) -> str:
        """The secret, of which nothing may be written down; of a key the part that nobody knows."""
        known = {"cleave": 2, "whsec": 1}.get(secret.partition("_")[0], 0)
        self.secrets[name] = secret.split("_", known)[-1]
        assert len(self.secrets[name]) >= 16, name
        return secret

    def post(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        answer = self.http.post(f"/v1/{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.http.get(f"/v1/jobs/{job['id']}").json()
            return found if found["finished_at"] else None

        return eventually(look, 150) or {}

    def told(self) -> dict[str, str]:
        """What jobs wrote and what the audit log has, as the API tells it."""
        texts = {"audit": self.http.get("/v1/audit_events?limit=200").text}
        for job in self.http.get("/v1/jobs?limit=200").json()["data"]:
            for part in ("logs", "events", "attempts"):
                texts[f"{part} of a {job['kind']}"] = self.http.get(f"/v1/jobs/{job['id']}/{part}").text
        return texts


def spellings(secret: str) -> set[str]:
    """Plain, percent-encoded, as JSON has it, in hex, and in base64 wherever in a text it begins."""
    plain = secret.encode()
    found = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], plain.hex()}
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # The letters that other bytes have a part in are left out.
            found.add(encode(b"\0" * before + plain).decode().rstrip("=")[4 if before else 0 : -2])
    return found | {text.lower() for text in found}


def leaks(secrets: dict[str, str], texts: dict[str, str]) -> list[tuple[str, str, str]]:
    """Name, place and surroundings of each secret that is in a text, in whatever spelling."""
    return [
        (name, place, line[max(0, line.find(spelt) - 200) : line.find(spelt) + len(spelt) + 40])
        for name, secret in secrets.items()
        for spelt in spellings(secret)
        for place, text in texts.items()
        if spelt in text
        for line in text.splitlines()
        if spelt in line
    ]


def use(session: Session, receiver_url: str) -> str:
    """What users do, the right way. The id of a job of theirs, which is no secret."""
    made = session.post("api_keys", {"name": "own"})
    key = session.keep("created key", made["api_key"])
    rotated = session.post(f"api_keys/{made['id']}/rotate", {"overlap_s": 300})
    session.keep("rotated key", rotated["api_key"])
    receiver = {
        "url": f"{receiver_url}/{session.keep('path of the receiver', 'T0123456789BXYZabcdef')}?token=x"
    }
    webhook = session.post("webhooks", receiver, **{"Idempotency-Key": "once"})
    session.keep("webhook", webhook["secret"])
    session.post("webhooks", receiver, **{"Idempotency-Key": "once"})
    session.keep("webhook, rotated", session.post(f"webhooks/{webhook['id']}/rotate_secret", {})["secret"])
    imported = session.ended(upload(session.http, zipped(digit_pictures(["cat", "owl"], 40)), 1 << 14))
    job = session.post(
        "jobs",
        {**TRAIN, "dataset": imported["result"]["dataset_id"]},
        **{"X-API-Key": key, "Idempotency-Key": "t"},
    )
    ticket = session.post(f"jobs/{job['id']}/events/ticket", {})["url"]
    session.keep("ticket", parse_qs(urlsplit(ticket).query)["ticket"][0])
    with httpx.stream("GET", str(session.http.base_url.join(ticket)), timeout=150) as stream:
        assert "job.done" in "".join(stream.iter_text())
    model = session.http.get(f"/v1/models/{session.ended(job)['result']['model_id']}").json()
    artifact = model["artifacts"][0]["id"]
    link = session.post(f"artifacts/{artifact}/sign", {})["url"]
    session.keep("signed link", parse_qs(urlsplit(link).query)["sig"][0])
    for path in (link, f"/v1/artifacts/{artifact}/content"):
        answer = session.http.get(path)
        assert answer.status_code in (302, 303, 307), answer.text
        place = answer.headers["Location"]
        session.keep(f"presigned {path[:12]}", parse_qs(urlsplit(place).query)["X-Amz-Signature"][0])
        assert httpx.get(place).is_success
    session.ended(session.post("jobs", {**TRAIN, "dataset": "digits", "device": "cuda"}))
    return str(job["id"])


def misuse(session: Session, key: str) -> None:
    """The same secrets, and others, where they do not belong."""
    url = str(session.http.base_url)
    wrong = session.keep("wrong key", "cleave_01a2180fa5b2774ea8964d4ef34af1cd_" + "5e41246f4fc88abc" * 2)
    session.keep("password", PASSWORD)
    basic = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    for headers in (
        {"Authorization": f"Bearer {wrong}"},
        {"X-API-Key": wrong},
        {"Authorization": key},
        {"Authorization": f"Bearer {key} {wrong}"},
        {"Authorization": f"Bearer={key}"},
        {"Authorization": f"Basic {basic}"},
        {"X-API-Key": f"Bearer {key}"},
        {"Authorization": f"Bearer {key}", "Idempotency-Key": f"\x7f{wrong}"},
        {"Cookie": f"key={wrong}", "Referer": f"{url}/?api_key={wrong}"},
        {"User-Agent": wrong, "X-Request-ID": wrong, "traceparent": wrong},
    ):
        for method, path, body in (("GET", "/v1/models", None), ("POST", "/v1/jobs", {"kind": "train"})):
            httpx.request(method, url + path, headers=headers, json=body)
    for path in (
        f"/v1/models?api_key={key}", f"/v1/models?key={quote(wrong)}", f"/v1/models/{key}", f"/{wrong}",
        f"/v1/jobs/{wrong}", f"/v1/models?after={wrong}", f"/v1/events/stream?ticket={'t' * 8}{wrong}",
        f"/v1/artifacts/art_0/download?sig={wrong}&expires=1",
    ):  # fmt: skip
        for client in (session.http, httpx):
            client.get(path if client is session.http else url + path)
    refused: list[Any] = [{"kind": wrong}, {"api_key": key}, {**TRAIN, "dataset": wrong}, [wrong]]
    for body in refused:
        session.http.post("/v1/jobs", json=body)
    session.http.post(
        "/v1/jobs", content=f'{{"kind": "{wrong}'.encode(), headers={"Content-Type": "application/json"}
    )
    session.http.post("/v1/webhooks", json={"url": f"http://user:{PASSWORD}@127.77.0.1:1/{wrong}"})


@dataclass
class Running:
    """A service that stores in a bucket, at level debug, and a receiver of its webhooks."""

    up: Up
    receiver: Receiver


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "s3"
    folder.mkdir()
    with receiving() as receiver, s3_server(folder, secret=BUCKET_SECRET) as s3:
        values: dict[str, object] = {
            **s3.bucket("secrets"), "s3_redirect": True, "log_format": "json", "log_level": "debug",
            "secret_key": SECRET_KEY, "webhook_networks": NETWORKS,
        }  # fmt: skip
        with stopped_afterwards(Up(tmp_path / "home", values=values)) as up:
            yield Running(up, receiver)


@pytest.mark.parametrize(
    "written",
    [
        SECRET_KEY,
        SECRET_KEY.lower(),
        quote(SECRET_KEY, safe=""),
        quote_plus(SECRET_KEY),
        json.dumps(f'a"{SECRET_KEY}'),
        SECRET_KEY.encode().hex(),
        *(base64.b64encode(b"a" * n + SECRET_KEY.encode()).decode() for n in range(4)),
        *(base64.urlsafe_b64encode(b"a" * n + SECRET_KEY.encode() + b":z").decode() for n in range(4)),
    ],
)
def test_the_search_finds_what_it_looks_for(written: str) -> None:
    texts = {"clean": "a line\nanother", "leaking": f"a line\nGET /v1/models?key={written}&limit=3\nanother"}
    found = leaks({"planted": SECRET_KEY, "kept": PASSWORD}, texts)
    assert {(name, place) for name, place, _ in found} == {("planted", "leaking")}


def test_nothing_that_is_written_down_holds_a_secret(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    up, receiver = running.up, running.receiver
    session = Session(up.start(), {"secret key": SECRET_KEY, "bucket": BUCKET_SECRET})
    session.keep("first key", up.key)
    trained = use(session, receiver.url)
    session.http.post("/v1/webhooks", json={"url": receiver.url}, headers={"X-Request-ID": PLANTED})
    misuse(session, up.key)
    eventually(lambda: len(receiver.received) >= 2, 30)
    texts = session.told()
    up.process.send_signal(signal.SIGINT)
    up.process.wait(60)
    texts |= {str(log.relative_to(up.home)): log.read_text() for log in up.home.rglob("*.log*")}
    texts["standard error"] = capfd.readouterr().err
    logs = {"logs/api.log", "logs/dispatcher.log", "logs/worker-train.log"}
    assert logs <= set(texts), sorted(texts)
    assert all('"level": "debug"' in text for name, text in texts.items() if name.endswith("api.log"))
    assert any("job.done" in text for text in texts.values())
    # What is no secret is written down by every process, and the same search finds it in each.
    planted = {place for _, place, _ in leaks({"job": trained, "request": PLANTED}, texts)}
    assert {*logs, "audit", "events of a train"} <= planted
    found = leaks(session.secrets, texts)
    assert not found, "\n".join(f"{name} in {place}: {text}" for name, place, text in found[:40])
