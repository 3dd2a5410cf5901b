"""What the machine itself does to a process: how late one wakes up that only sleeps."""

from __future__ import annotations

import threading
import time

NAP_S = 0.005


class SleepLateness:
    """Naps in a thread while the block runs; this process must have nothing else to do."""

    def __init__(self) -> None:
        self._late_s: list[float] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._nap, name="naps")

    def __enter__(self) -> SleepLateness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def p99_ms(self) -> float:
        late_s = sorted(self._late_s)
        return 1e3 * late_s[len(late_s) * 99 // 100] if late_s else 0.0

    def _nap(self) -> None:
        while not self._is_over.is_set():
            due = time.monotonic() + NAP_S
            time.sleep(NAP_S)
            self._late_s.append(time.monotonic() - due)
