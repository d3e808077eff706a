"""`python -m worker --queue train`: one worker, one job at a time."""

import argparse
import json
import os

from service.platform import tracing
from service.platform.logging import configure_logging
from service.platform.settings import Settings
from service.platform.startup import refusing_to_start, require_schema, require_writable, tell_doubtful
from service.queue import QUEUES, prepare_broker


def main() -> None:
    """Run until SIGTERM (drain: the job is checkpointed and queued again)."""
    parser = argparse.ArgumentParser(prog="python -m worker")
    parser.add_argument("--queue", choices=QUEUES, default="train", help="Which jobs to run.")
    parser.add_argument("--device", help="cpu, cuda:N, GPU-... or MIG-...; the default is CLEAVE_DEVICE.")
    parser.add_argument("--json", action="store_true", help="Print one line of JSON once it is ready.")
    arguments = parser.parse_args()
    if arguments.device:
        os.environ["CLEAVE_DEVICE"] = arguments.device  # the processes of the worker read their own settings
    with refusing_to_start():
        settings = Settings()
        configure_logging(settings)  # Celery warns before it has set up its own
        tell_doubtful(settings, needs_secret=False)
        require_schema(settings)
        require_writable(settings.artifact_root)
        tracing.require(settings)
        prepare_broker(settings)
    from celery import signals

    from worker.app import app

    if arguments.json:
        # Celery says goodbye on stdout, which is for JSON only: from here on its stdout is stderr.
        stdout = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

        ready = {"queue": arguments.queue, "device": settings.device, "data_dir": str(settings.home)}

        @signals.worker_ready.connect(weak=False)
        def _print_ready(**_: object) -> None:
            stdout.write(json.dumps(ready) + "\n")
            stdout.close()

    # Prefork with one child: forking is safe while no torch and no CUDA is in these processes; a solo pool
    # could not acknowledge or drain while a job runs.
    app.worker_main(
        [
            "--quiet",  # no banner on stdout
            "worker",
            "--pool=prefork",
            "--concurrency=1",
            f"--queues={arguments.queue}",
            f"--hostname={arguments.queue}-{os.getpid()}@%h",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--loglevel={settings.log_level}",
        ]
    )


if __name__ == "__main__":
    main()
