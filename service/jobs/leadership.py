"""Which dispatcher is active, for those who watch. The right to dispatch is a lock, not this row."""

import os
import socket

from sqlalchemy.orm import Session

from service.jobs.tables import ActiveDispatcher
from service.platform.clock import db_now

_ONLY_ROW = 1


def show(session: Session, *, new_turn: bool) -> None:
    """Tell that this process dispatches now."""
    row = session.get(ActiveDispatcher, _ONLY_ROW) or ActiveDispatcher(id=_ONLY_ROW, turn=0)
    row.hostname, row.pid = socket.gethostname(), os.getpid()
    row.turn += new_turn
    row.heartbeat_at = db_now()
    session.add(row)
