"""The Celery application of a worker, and what its processes do when they start and stop.

The main process only consumes and manages; its one child (prefork) claims jobs and supervises their runners.
Neither imports torch.
"""

import logging
import mmap
import os
import select
import signal
import threading
from typing import Any

from billiard.util import get_logger
from celery import signals
from sqlalchemy.exc import SQLAlchemyError

from service.jobs import retention
from service.platform import tracing
from service.platform.logging import configure_logging
from service.platform.settings import Settings
from service.queue import create_celery
from worker.context import Presence, WorkerContext, open_context

_LOG = logging.getLogger(__name__)
_ORPHANED = 70

app = create_celery(Settings())
app.conf.imports = ("worker.tasks",)

# One byte shared with forked children: the main process hears SIGTERM, the child has the runner to stop.
_DRAINING = mmap.mmap(-1, 1)
_process: tuple[WorkerContext, Presence] | None = None


def context() -> WorkerContext:
    """This process's context; only the process that runs jobs has one."""
    if _process is None:
        raise RuntimeError("this process does not run jobs")
    return _process[0]


def _draining() -> bool:
    return _DRAINING[0] != 0


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    configure_logging(Settings())
    # The pool's logger keeps to itself otherwise: what it says of children that died has no format at all.
    pool = get_logger()
    pool.propagate = True
    pool.setLevel(logging.WARNING)


@signals.worker_shutting_down.connect
def _drain(**_: Any) -> None:
    _DRAINING[0] = 1


@signals.worker_process_init.connect
def _start_process(**_: Any) -> None:
    global _process
    # systemd, `timeout` and terminals signal the whole process group. The main process hears it and sets
    # _DRAINING; this one has a runner to stop first, and would die by Celery's default.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    queues = sorted(app.amqp.queues.consume_from)
    settings = Settings()
    tracing.start(settings, "worker")
    opened = open_context(settings, queues, _draining, pid=os.getppid())
    # Attempts name their worker by this id, also when its row has gone: it leads to this log.
    _LOG.info("%s: queue %s, device %s", opened.owner, ", ".join(queues), settings.device)
    presence = Presence(opened)
    presence.start()
    # Beside: a process that is not up within seconds is taken for dead.
    threading.Thread(target=_clear_up, args=(opened,), daemon=True).start()
    opened.runners.warm_up()
    _process = (opened, presence)


@signals.worker_process_shutdown.connect
def _end_process(**_: Any) -> None:
    if _process is not None:
        opened, presence = _process
        opened.runners.close()
        presence.finish()
        opened.database.dispose()
        tracing.close()


def _clear_up(opened: WorkerContext) -> None:
    """After the process before this one; the dispatcher may have no part in this machine's disk."""
    try:
        retention.remove_used_up(opened.database, opened.settings.checkpoint_root)
    except (SQLAlchemyError, OSError) as error:
        _LOG.warning("used up checkpoints stay for now: %s", error)


def _end_with_parent(parent_pid: int) -> None:
    """A main process killed with SIGKILL takes this one along, and with it (by the kernel) the runner.

    Not the kernel's parent-death signal: it is sent when the forking *thread* ends, and Celery replaces
    children from a thread that ends before a drain is over.
    """
    try:
        parent = os.pidfd_open(parent_pid)
    except OSError:
        return  # no such call on this kernel; leases make a stray worker harmless
    if os.getppid() == parent_pid:
        select.select([parent], [], [])
    os._exit(_ORPHANED)
