"""The broker: carries job ids, nothing else. Losing or doubling a message is harmless."""

import math
from typing import Any, Protocol

from celery import Celery
from kombu import Queue

from service.folder_broker import remove_strays  # the module makes its transport known, too
from service.platform.settings import Settings

TASK = "cleave.run_job"
QUEUES = ("train", "short")


class Publisher(Protocol):
    """What the dispatcher asks of a broker."""

    def publish(self, job_id: str, queue: str) -> None:
        """Raises kombu.exceptions.OperationalError when the broker cannot be reached."""

    def check(self) -> None:
        """See whether the broker answers. Raises like `publish`."""


class CeleryPublisher:
    """Publishes through Celery."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, job_id: str, queue: str) -> None:
        self._app.send_task(TASK, args=[job_id], queue=queue, ignore_result=True, retry=False)

    def check(self) -> None:
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=0)


def create_celery(settings: Settings) -> Celery:
    """The Celery application of the dispatcher (to publish) and of the workers (to consume)."""
    if settings.broker_url is not None:
        _outlive_refusals()
    app = Celery("cleave", broker=settings.resolved_broker_url)
    app.conf.update(
        # The message is a hint; the database knows what is to be done. So it is acknowledged at once:
        # losing or repeating one changes nothing; acknowledged late, it comes again during a long training.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        # Results live in the database; a result backend would fill up unread.
        task_ignore_result=True,
        result_backend=None,
        task_track_started=False,
        # One supervisor, one job: a prefetched hint would wait behind a training while another worker idles.
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        # A back stop against slow leaks; jobs themselves run in processes of their own.
        worker_max_tasks_per_child=200,
        # A broker that restarts must not end a training.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(settings),
        # No pickle: nothing that arrives in a message is ever executed.
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name) for name in QUEUES],
        task_default_queue="short",
        task_create_missing_queues=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,  # cancelling goes through the database and signals to the runner
        # Publishing is retried by the dispatcher from the outbox, in its own time.
        task_publish_retry=False,
    )
    return app


def _outlive_refusals() -> None:
    """A Redis that refuses a command for now counts as one that is away: for Celery it is the worker's end.

    It refuses while it fails over, misses its replicas, cannot save.
    """
    from kombu.transport.redis import Transport  # not where the broker is a folder
    from redis.exceptions import ResponseError

    if ResponseError not in Transport.connection_errors:
        Transport.connection_errors += (ResponseError,)


def prepare_broker(settings: Settings) -> None:
    """Make the folders of the filesystem broker, and tidy them; nothing to do for a broker with a server."""
    if settings.broker_url is None:
        # Private: whoever can write here can make a worker look at a job.
        settings.broker_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("messages", "control"):
            (settings.broker_dir / name).mkdir(exist_ok=True, mode=0o700)
        remove_strays(settings.broker_dir / "messages")


def _transport_options(settings: Settings) -> dict[str, Any]:
    if settings.broker_url is None:
        return {
            "data_folder_in": str(settings.broker_dir / "messages"),
            "control_folder": str(settings.broker_dir / "control"),
            "polling_interval": 0.02,
        }
    # Early acknowledgement leaves nothing for the visibility timeout to redeliver; it is long all the same,
    # because the smallest value of any process on the broker wins.
    return {
        "visibility_timeout": 43200,
        "socket_keepalive": True,
        "global_keyprefix": settings.broker_prefix,
        "socket_connect_timeout": settings.broker_timeout_s,
        # For what is asked and answered; waiting for messages is no such thing.
        "socket_timeout": settings.broker_timeout_s,
        # A worker that waits asks anew every second; when an answer is so late, it connects again.
        "health_check_interval": math.ceil(2 * settings.broker_timeout_s),
    }
