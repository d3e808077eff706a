"""Webhooks from the command line."""

import json

from tests.service.cli.test_commands import cleave
from tests.service.client.live import LiveService


def test_a_webhook_from_its_making_to_its_end(live: LiveService) -> None:
    def told(*arguments: str) -> dict[str, object]:
        result = cleave("webhooks", *arguments, "--json", live=live)
        assert result.exit_code == 0, result.stderr
        answer: dict[str, object] = json.loads(result.stdout)
        return answer

    made = told("create", "https://example.com/hook", "--event", "job.failed", "--event", "job.succeeded")
    webhook_id = str(made["id"])
    assert made["events"] == ["job.failed", "job.succeeded"]
    assert told("show", webhook_id)["secret"] is None
    assert told("rotate-secret", webhook_id)["secret"] not in (None, made["secret"])
    sent = str(told("test", webhook_id)["id"])
    assert told("redeliver", webhook_id, sent)["state"] == "pending"
    [listed] = json.loads(cleave("webhooks", "deliveries", webhook_id, "--json", live=live).stdout)["data"]
    assert (listed["id"], listed["type"]) == (sent, "webhook.test")
    assert sent in cleave("webhooks", "deliveries", webhook_id, live=live).stdout
    off = told("update", webhook_id, "--disable")
    assert (off["enabled"], off["url"]) == (False, "https://example.com/hook")
    assert "off (owner)" in cleave("webhooks", "list", live=live).stdout
    assert cleave("webhooks", "delete", webhook_id, live=live).exit_code == 0
    gone = cleave("webhooks", "show", webhook_id, live=live)
    assert (gone.exit_code, gone.stderr.split(":")[0]) == (1, "error [not_found]")


def test_a_url_that_is_refused(live: LiveService) -> None:
    result = cleave("webhooks", "create", "https://127.0.0.1/", live=live)
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "error [webhook_url_refused]")
