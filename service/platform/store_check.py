"""Whether the artifact store takes anything, said within seconds: a silent one takes minutes to say no."""

import errno
import logging
import threading
from concurrent.futures import Future

from service.platform import daemons
from service.platform.settings import Settings
from service.platform.storage import ArtifactStore

_LOG = logging.getLogger(__name__)
WITHIN_S = 5.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StoreCheck:
    """Asks one store. Who comes while it is being asked waits for the same answer: one thread asks."""

    def __init__(self, store: ArtifactStore, settings: Settings) -> None:
        self._store = store
        self._min_free_bytes = settings.min_free_mib << 20
        self._lock = threading.Lock()
        self._asked: Future[str] | None = None

    def state(self, within_s: float = WITHIN_S) -> str:
        """ "ok", or what is wrong. The reason goes to the log: it names hosts and folders."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = daemons.start(self._ask, "store-check")
            asked = self._asked
        try:
            return asked.result(within_s)
        except TimeoutError:
            _LOG.warning("not ready: the artifact store has said nothing for %g s", within_s)
            return "does not answer"

    def _ask(self) -> str:
        try:
            self._store.check_writable(self._min_free_bytes)
        except OSError as error:
            _LOG.warning("not ready: the artifact store takes nothing: %s", error)
            if error.errno in _FULL:
                return f"is full ({error.strerror})"
            return f"cannot be written ({type(error).__name__})"
        return "ok"
