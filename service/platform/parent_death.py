"""Die with the parent: no process of ours outlives the one that started it, not even after SIGKILL.

Run as a program, `parent_death.py <parent pid> <command...>`, it binds itself to its parent and becomes the
command. Standard library only: it runs before anything else is imported.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel (Linux) for SIGKILL when the thread that started this process ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(70)


def bound_command(command: list[str]) -> list[str]:
    """`command`, to be started by this process's main thread and to die with it."""
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), *command]


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command comes from our own code
