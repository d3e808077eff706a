"""The model of the job machine with what comes before the queue: checks, lost ones too, and their answers."""

import time

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, multiple, rule

from service.jobs import leases, validation
from service.jobs.endings import Ending
from service.jobs.states import JobState
from service.jobs.transitions import Lease
from service.jobs.validation import Checked
from tests.service.jobs.known import CHECK_ENDINGS, has_room
from tests.service.jobs.machine import TTL_S, WORKERS, JobMachine


class CheckMachine(JobMachine):
    """A lease for a check is worth as much as any, and for nothing but its check."""

    checks: Bundle[Lease] = Bundle("checks")

    @rule(target=checks, job_id=JobMachine.jobs, owner=st.sampled_from(WORKERS))
    def check(self, job_id: str, owner: str) -> Lease | MultipleResults[Lease]:
        job, asked_at = self.known[job_id], time.monotonic()
        with self.database.write() as session:
            claim = validation.claim(session, job_id, owner, TTL_S)
        if claim is None:
            pending = job.state is JobState.PENDING and not job.paused
            assert not pending or job.ready_at > asked_at or job.outdated
            return multiple()
        assert job.state is JobState.PENDING
        assert not job.paused
        assert not job.outdated
        assert time.monotonic() > job.ready_at - 0.5
        job.check(claim.lease)
        return claim.lease

    @rule(
        target=JobMachine.jobs,
        owner=st.sampled_from(WORKERS),
        endings=st.lists(st.sampled_from(["silence", *CHECK_ENDINGS]), min_size=1, max_size=5),
    )
    def check_again_and_again(
        self, owner: str, endings: list[str | Checked | Ending]
    ) -> str | MultipleResults[str]:
        """As many checks of one job as it takes, or as it bears: rules drawn one by one seldom get there."""
        waiting = [job_id for job_id, job in self.known.items() if job.state is JobState.PENDING]
        if not (waiting or has_room(self.known)):
            return multiple()
        job_id = waiting[0] if waiting else self.create(unchecked=True)
        for ending in endings:
            lease = self.check(job_id, owner)
            if not isinstance(lease, Lease):
                break
            if isinstance(ending, str):
                self.pass_time(4)
                self.reap(job_id)
                self.pass_time(1)
            else:
                self.end_check(lease, ending)
        return multiple() if waiting else job_id

    @rule(lease=checks)
    def renew_check(self, lease: Lease) -> None:
        job = self.known[lease.job_id]
        held = self.write(lambda session: leases.renew(session, lease, TTL_S))
        assert held == (job.holder == lease)
        if held:
            job.age_s = 0.0

    @rule(lease=checks, ending=st.sampled_from(CHECK_ENDINGS))
    def end_check(self, lease: Lease, ending: Checked | Ending) -> None:
        job = self.known[lease.job_id]
        held = self.write(lambda session: validation.settle(session, lease, ending))
        assert held == (job.holder == lease)
        if held:
            job.end_check(ending)
