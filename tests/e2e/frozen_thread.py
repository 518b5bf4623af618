# SPDX-License-Identifier: Apache-2.0
"""Stops one thread of a child process, as a debugger does, while all its others go on: so a step hangs."""

import ctypes
import os
from pathlib import Path
from types import TracebackType

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # <sys/ptrace.h>
WALL = 0x40000000  # __WALL: waits for threads, too


class FrozenThread:
    """A thread stands still within the `with` block, which is left on the thread of Python that has entered it."""

    def __init__(self, process_id: int, name: str) -> None:
        names = {task.name: (task / "comm").read_text().strip() for task in Path(f"/proc/{process_id}/task").iterdir()}
        self._thread_id = next(int(thread_id) for thread_id, its_name in names.items() if its_name == name)

    def __enter__(self) -> None:
        for request in SEIZE, INTERRUPT:
            if not self._ptrace(request):
                raise OSError(ctypes.get_errno(), f"ptrace request {request:#x}")
        os.waitpid(self._thread_id, WALL)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._ptrace(DETACH):  # its process has ended: that one cannot be waited for before its threads
            os.waitpid(self._thread_id, WALL)

    def _ptrace(self, request: int) -> bool:
        ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
        ptrace.restype = ctypes.c_long
        return bool(ptrace(request, self._thread_id, None, None) == 0)
