"""Traces, as a collector receives them."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.platform import tracing
from service.platform.errors import TracingUnsupportedError
from service.platform.otel import OpenTelemetry
from service.platform.settings import Diagnostics
from tests.fixtures.client import open_api
from tests.fixtures.database import migrated, settings_for
from tests.fixtures.receiver import Receiver, receiving
from tests.fixtures.spans import Seen, spans_at

ON = Diagnostics(otel=True)
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Where this process sends its traces, until the test is over."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.removesuffix("/hook"))
        tracing.start(ON, "api")
        yield receiver
        tracing.close()


def sent(collector: Receiver) -> dict[str, Seen]:
    tracing.close()
    return {span.name: span for span in spans_at(collector)}


def test_spans_within_spans_and_what_they_tell(collector: Receiver) -> None:
    with tracing.span("outer", parent=f"00-{TRACE}-{CALLER}-01"):
        tracing.note({"cleave.job.id": "job_1", "cleave.request.id": None})
        with tracing.span("inner"):
            tracing.fail("out_of_memory")
    spans = sent(collector)
    assert (spans["outer"].trace_id, spans["outer"].parent_id) == (TRACE, CALLER)
    assert (spans["inner"].trace_id, spans["inner"].parent_id) == (TRACE, spans["outer"].span_id)
    assert (spans["outer"].failed, spans["inner"].failed) == (None, "out_of_memory")
    assert spans["outer"].attributes == {"cleave.job.id": "job_1"}


def test_a_message_that_may_hold_a_secret_is_not_sent(collector: Receiver) -> None:
    with pytest.raises(ValueError, match="hunter2"), tracing.span("work"):
        raise ValueError("cannot read postgresql://user:hunter2@db/x")
    assert sent(collector)["work"].failed == "ValueError"
    assert not any(b"hunter2" in message.body for message in collector.received)


def test_a_caller_that_is_not_sampled_is_not_traced(collector: Receiver) -> None:
    with tracing.span("work", parent=f"00-{TRACE}-{CALLER}-00"):
        assert (tracing.traceparent() or "").startswith(f"00-{TRACE}-")
    assert sent(collector) == {}


def test_a_header_of_no_form_begins_a_trace(collector: Receiver) -> None:
    with tracing.span("work", parent="00-zz-1"):
        pass
    assert sent(collector)["work"].parent_id == ""


def test_requests(collector: Receiver, tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    with migrated(settings) as database, open_api(settings, database) as api, api.account("a") as account:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "ask-1"}
        assert account.http.get("/v1/jobs/job_1", headers=headers).status_code == 404
        assert account.http.get("/wp-login.php").status_code == 404
        assert account.http.get("/livez").status_code == 200
        spans = sent(collector)
    asked = spans["GET /v1/jobs/{job_id}"]
    assert (asked.service, asked.trace_id, asked.parent_id) == ("cleave-api", TRACE, CALLER)
    assert asked.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/jobs/{job_id}",
        "http.response.status_code": 404,
        "cleave.request.id": "ask-1",
    }
    assert not any("livez" in name for name in spans)
    assert "GET unmatched" in spans


def test_a_collector_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing.start(ON, "runner")
    assert isinstance(tracing._tracer, OpenTelemetry)
    back, ended = threading.Event(), threading.Event()

    def shutdown() -> None:
        back.wait(60)  # as long as the exporter goes on trying
        ended.set()

    monkeypatch.setattr(tracing._tracer._provider, "shutdown", shutdown)
    tracing.close(0.2)
    assert not ended.is_set()
    back.set()


def test_traces_without_their_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "service.platform.otel", raising=False)
    with pytest.raises(TracingUnsupportedError, match="otel"):
        tracing.start(ON, "api")
    tracing.start(Diagnostics(), "api")
