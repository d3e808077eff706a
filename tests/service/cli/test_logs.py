"""What a job wrote, from the command line."""

import json

from core.reports import LogReport
from service.client import CleaveClient
from service.jobs.recording import Notes, record
from tests.fixtures.jobs import claimed
from tests.service.cli.test_commands import cleave
from tests.service.client.live import TRAIN, LiveService


def test_lines_are_shown_and_chosen_by_level(live: LiveService, client: CleaveClient) -> None:
    job_id = client.jobs.create(TRAIN).id
    assert cleave("jobs", "logs", job_id, live=live).stdout == f"{job_id} has written nothing\n"
    claim = claimed(live.database, job_id)
    lines = [LogReport(message="begun"), LogReport(message="the loss grows", level="warning")]
    with live.database.write() as session:
        record(session, claim.lease, claim.attempt, Notes(logs=lines))
    assert "begun" in cleave("jobs", "logs", job_id, live=live).stdout
    told = json.loads(cleave("jobs", "logs", job_id, "--level", "warning", "--json", live=live).stdout)
    assert [(line["level"], line["message"]) for line in told] == [("warning", "the loss grows")]


def test_a_ticket_names_a_url(client: CleaveClient) -> None:
    issued = client.jobs.stream_ticket(client.jobs.create(TRAIN).id)
    assert issued.url.endswith(issued.ticket)
