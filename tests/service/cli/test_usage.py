"""What there is and what is left, from the command line."""

import json

from tests.service.cli.test_commands import cleave
from tests.service.client.live import LiveService


def test_usage_is_told_to_programs_and_to_people(live: LiveService) -> None:
    asked = ("usage", "--since", "2026-03-01", "--until", "2026-03-02T12:00:00")
    told = json.loads(cleave(*asked, "--json", live=live).stdout)
    assert (told["compute"]["from"], told["compute"]["to"]) == (
        "2026-03-01T00:00:00Z", "2026-03-02T12:00:00Z",
    )  # fmt: skip
    shown = cleave(*asked, live=live)
    assert shown.exit_code == 0, shown.stderr
    assert "2026-03-01 00:00:00 UTC to 2026-03-02 12:00:00 UTC" in shown.stdout
    for part in ("modules", "in all", "waiting jobs"):
        assert part in shown.stdout
