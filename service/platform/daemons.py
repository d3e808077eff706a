"""Work that may never end, in a thread that holds up neither its caller's end nor the process's."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start(work: Callable[[], T], name: str) -> Future[T]:
    """Begin it. The threads of an executor would not do: a process waits for each of them before it ends."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from now on nobody can cancel it, so its end is always told

    def run() -> None:
        try:
            answer = work()
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            future.set_exception(error)
        else:
            future.set_result(answer)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
