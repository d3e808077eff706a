"""The runner: a child process that computes. `python -m worker.runner --report-fd N --trace-fd M`

Reads one RunnerInput per line from standard input, writes one report per line to the report pipe, and ends at
the end of its input. The last report of each job is a result, a failure or "stopped". SIGTERM asks it to stop
at the next step. SIGUSR1 asks where it is: it writes its stacks to the trace file, from any state, as it does
when it dies of a fault.
"""

import argparse
import faulthandler
import os
import queue
import signal
import sys
import threading
from types import FrameType

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
    arguments = parser.parse_args()
    faulthandler.enable(arguments.trace_fd)
    faulthandler.register(signal.SIGUSR1, arguments.trace_fd)
    stop = _StopFlag()
    inbox = _Inbox()
    with open(arguments.report_fd, "w", encoding="utf-8", buffering=1) as pipe:  # noqa: PTH123 - a descriptor
        from worker.job import TERMINAL, reports_of  # slow, it loads torch: a warm runner has done it already

        while (line := inbox.next()) is not None:
            for report in reports_of(line, stop):
                if isinstance(report, TERMINAL):
                    inbox.job_done()  # before the last word, after which the supervisor may close our input
                pipe.write(report.model_dump_json() + "\n")
    sys.stderr.flush()
    os._exit(0)  # taking torch apart in order costs seconds and serves nobody


if __name__ == "__main__":
    main()
