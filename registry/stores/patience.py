"""How long one waits: for a connection, for bytes, between attempts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import SystemRandom

from registry.stores.opened import BusyError

__all__ = ["DEFAULT", "TRANSIENT", "Attempts", "Patience", "Watch"]

# What may be gone when one asks again. Anything else that a store raises is its answer.
TRANSIENT = (BusyError, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class Patience:
    """How long one waits.

    Args:
        connect: seconds for a connection.
        read: seconds without a byte.
        slowest: bytes per second that a transfer must keep up, averaged over `window`.
        window: seconds.
        attempts: failures in a row after which one gives up. One that brought `progress` bytes starts a new row.
        progress: bytes.
        pause: seconds before the second attempt; each pause is twice the one before, up to `longest_pause`.
        longest_pause: seconds.
        longest_wait: the most seconds that a server may ask for with Retry-After; if it asks for more, one gives up.
    """

    connect: float = 10.0
    read: float = 30.0
    slowest: float = 1024.0
    window: float = 60.0
    attempts: int = 5
    progress: int = 1 << 20
    pause: float = 0.5
    longest_pause: float = 30.0
    longest_wait: float = 120.0


DEFAULT = Patience()
# Not the generator that a caller may have seeded.
_random = SystemRandom()


class Attempts:
    """Failures in a row, with a pause after each but the last.

    Args:
        patience: how many, and how long one waits in between.
        most: another number of failures after which one gives up.
    """

    def __init__(self, patience: Patience, *, most: int | None = None) -> None:
        self._patience = patience
        self._most = patience.attempts if most is None else most
        self._failures = 0

    def failed(self, error: OSError, *, received: int = 0) -> None:
        """Wait before the next attempt, or give up by raising the error.

        Args:
            error: what happened.
            received: bytes that came before.
        """
        patience = self._patience
        self._failures = 1 if received >= patience.progress else self._failures + 1
        asked = error.retry_after if isinstance(error, BusyError) else None
        if self._failures >= self._most:
            raise error
        if asked is not None and asked > patience.longest_wait:
            raise BusyError(
                f"{error}; it asks to wait for {asked:.0f} seconds, and {patience.longest_wait:.0f} is the most that "
                "is waited for",
                retry_after=asked,
            ) from error
        pause = min(patience.pause * 2.0 ** (self._failures - 1), patience.longest_pause)
        # Those who were cut off together should not come back together.
        time.sleep(max(asked or 0.0, pause * _random.uniform(0.5, 1.0)))


class Watch:
    """Ends a transfer that is so slow that it will not end by itself.

    Args:
        patience: what is too slow.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._started = time.monotonic()
        self._received = 0

    def received(self, size: int) -> None:
        """Take note of some bytes.

        Raises:
            TimeoutError: there were too few of them for too long.
        """
        self._received += size
        elapsed = time.monotonic() - self._started
        if elapsed < self._patience.window:
            return
        if self._received < self._patience.slowest * elapsed:
            raise TimeoutError(f"only {self._received:,} bytes came in {elapsed:.0f} seconds")
        self._started, self._received = time.monotonic(), 0
