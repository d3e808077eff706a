"""A runner process: started, fed, read, stopped. It has a session of its own and dies with its parent."""

import math
import os
import selectors
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from pydantic import ValidationError

from core.reports import REPORT_ADAPTER, AnyReport, RunnerInput
from service.platform.parent_death import bound_command
from worker.trace import TraceFile

_READ_BYTES = 1 << 16
_EXIT_WITHIN_S = 5.0


class RunnerProcess:
    """One runner. Start it from the main thread: it is killed when the thread that started it ends."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: what it has beside that of this process."""
        with ExitStack() as passed_on, ExitStack() as kept:
            reading, writing = _pipe(kept, passed_on)
            term, self._term = _pipe(passed_on, kept)
            for end in (reading, self._term):
                os.set_blocking(end, False)
            self._trace_file = TraceFile()
            kept.callback(self._trace_file.close)
            self._selector = kept.enter_context(selectors.DefaultSelector())
            self._selector.register(reading, selectors.EVENT_READ)
            passed = [writing, self._trace_file.fileno(), term]
            names = ("--report-fd", "--trace-fd", "--term-fd")
            told = [word for name, fd in zip(names, passed, strict=True) for word in (name, str(fd))]
            command = [sys.executable, "-m", "worker.runner", *told]
            # OpenMP's threads spin while they wait: on a machine with other work to do, a training
            # takes ten times as long. A wait policy set by the operator wins.
            inherited = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                bound_command(command), stdin=subprocess.PIPE, pass_fds=passed, start_new_session=True,
                env={**inherited, **(environment or {})},
            )  # fmt: skip
            kept.pop_all()  # it has started: they are closed with it
        self._pipe = reading
        self._buffer = b""
        self._ended = False
        self.jobs = 0
        self.trace = ""  # once it was killed: where it was when it was asked, or died of a fault

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._ended and self._process.poll() is None

    def send(self, job: RunnerInput) -> None:
        """Give it a job. A runner that is already dead shows that by its reports ending."""
        self.jobs += 1
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - Popen was given a pipe
        with suppress(BrokenPipeError):
            stdin.write(job.model_dump_json().encode() + b"\n")
            stdin.flush()

    def allow_until(self, moment: float = math.inf) -> None:
        """Let it work until then, by `time.monotonic`; unless it is told a later moment, it ends itself."""
        with suppress(BlockingIOError, BrokenPipeError):  # it is stopped, or over
            os.write(self._term, struct.pack("d", moment))

    def read(self, timeout_s: float) -> list[AnyReport]:
        """Reports that arrive within the time, as soon as there are any; `ended` tells when none will."""
        if not self._ended:
            # The end of the pipe does not tell while a process that it started has it, too. Asked before
            # reading: then all that it wrote is read.
            dead = self._process.poll() is not None
            if self._selector.select(0 if dead else timeout_s):
                self._fill()
            self._ended |= dead
        *lines, self._buffer = self._buffer.split(b"\n")
        reports = []
        for line in lines:
            try:
                reports.append(REPORT_ADAPTER.validate_json(line))
            except ValidationError:
                self.kill()  # not our runner's voice any more
                break
        return reports

    @property
    def ended(self) -> bool:
        """The runner is dead or has closed its report pipe, and every report in it was read."""
        return self._ended

    def ask_to_stop(self) -> None:
        """SIGTERM: it writes a checkpoint at the next step and says that it stopped."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def ask_where_it_is(self) -> None:
        """SIGUSR1: it writes the stacks of its threads to the trace file, also in the middle of a C call."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)

    def close(self) -> int:
        """Let an idle runner end by itself, or kill it. Returns its exit code."""
        self._close_stdin()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_WITHIN_S)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL to the runner and whatever it started. Returns the exit code, also of an earlier end."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        self.trace = self.trace or self._trace_file.close()
        self._close_stdin()
        if self._pipe >= 0:
            self._selector.close()
            os.close(self._pipe)
            os.close(self._term)
            self._pipe = -1
        self._ended = True
        return code

    def _fill(self) -> None:
        while True:
            try:
                data = os.read(self._pipe, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._ended = True
                return
            self._buffer += data

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """A pipe's ends, each to be closed with the stack of whoever has it."""
    reading, writing = os.pipe()
    reader.callback(os.close, reading)
    writer.callback(os.close, writing)
    return reading, writing
