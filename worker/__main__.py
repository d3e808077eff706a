"""`python -m worker --queue train`: one worker, one job at a time."""

import argparse
import os

from service.platform.settings import Settings
from service.queue import QUEUES, prepare_broker


def main() -> None:
    """Run until SIGTERM (drain: the job is checkpointed and queued again)."""
    parser = argparse.ArgumentParser(prog="python -m worker")
    parser.add_argument("--queue", choices=QUEUES, default="train", help="Which jobs to run.")
    arguments = parser.parse_args()
    settings = Settings()
    prepare_broker(settings)
    from worker.app import app

    # Prefork with one child: forking is safe while no torch and no CUDA is in these processes; a solo pool
    # could not acknowledge or drain while a job runs.
    app.worker_main(
        [
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
