"""The runner: a child process that computes. `python -m worker.runner --report-fd N --trace-fd M --term-fd K`

Reads one RunnerInput per line from standard input, writes one report per line to the report pipe, and ends at
the end of its input. The last report of each job is a result, a failure or "stopped". SIGTERM asks it to stop
at the next step. SIGUSR1 asks where it is: it writes its stacks to the trace file, from any state, as it does
when it dies of a fault. The term pipe says until when it may work: a supervisor that says no more, because it
is stopped or hangs, has lost the job, and somebody else may be at it.
"""

import argparse
import faulthandler
import math
import os
import queue
import select
import signal
import struct
import sys
import threading
import time
from types import FrameType

from service.platform import tracing
from service.platform.logging import configure_logging
from service.platform.settings import Diagnostics

_ORPHANED = 70


class _Inbox:
    """Lines of standard input, read by a thread so that the end of input is noticed during a job."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._open_jobs = 0
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> bytes | None:
        return self._lines.get()

    def job_done(self) -> None:
        self._open_jobs -= 1

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            self._open_jobs += 1
            self._lines.put(line)
        if self._open_jobs > 0:
            os._exit(_ORPHANED)  # the supervisor is gone: nobody would read the result
        self._lines.put(None)


def _end_after_term(pipe: int) -> None:
    """End this process, and what it started, when its term is over and no longer one was told."""
    until = math.inf
    while True:
        left = None if math.isinf(until) else max(0.0, until - time.monotonic())
        if select.select([pipe], [], [], left)[0]:
            told = os.read(pipe, 4096)
            if not told:
                return  # the supervisor is gone, which the end of standard input tells, too
            (until,) = struct.unpack("d", told[-8:])
        elif time.monotonic() >= until:
            os.killpg(0, signal.SIGKILL)


class _StopFlag:
    """Set by SIGTERM, never cleared: a runner that was asked to stop is not used again."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._request)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __call__(self) -> bool:
        return self.requested

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True


def main() -> None:
    """Work until the end of input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--report-fd", type=int, required=True)
    parser.add_argument("--trace-fd", type=int, required=True)
    parser.add_argument("--term-fd", type=int, required=True)
    arguments = parser.parse_args()
    diagnostics = Diagnostics()
    configure_logging(diagnostics)
    tracing.start(diagnostics, "runner")
    faulthandler.enable(arguments.trace_fd)
    faulthandler.register(signal.SIGUSR1, arguments.trace_fd)
    threading.Thread(target=_end_after_term, args=(arguments.term_fd,), daemon=True).start()
    stop = _StopFlag()
    inbox = _Inbox()
    with open(arguments.report_fd, "w", encoding="utf-8", buffering=1) as pipe:  # noqa: PTH123 - a descriptor
        from worker.job import TERMINAL, reports_of  # slow, it loads torch: a warm runner has done it already

        while (line := inbox.next()) is not None:
            for report in reports_of(line, stop):
                if isinstance(report, TERMINAL):
                    inbox.job_done()  # before the last word, after which the supervisor may close our input
                pipe.write(report.model_dump_json() + "\n")
    tracing.close()
    sys.stderr.flush()
    os._exit(0)  # taking torch apart in order costs seconds and serves nobody


if __name__ == "__main__":
    main()
