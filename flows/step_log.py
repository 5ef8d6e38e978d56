"""Lines that a step writes become a file in its run's folder, and the last of them stay at hand for a failure."""

import logging
from collections import deque
from pathlib import Path
from typing import Self, TextIO

logger = logging.getLogger(__name__)

TAIL_LINES = 40


class StepLog:
    """`with StepLog(path) as log: log.line(...)`: what a step writes, kept in a file, its end at hand.

    A log that cannot be kept fails nothing.
    """

    def __init__(self, path: Path, *, goes_on: bool = False) -> None:
        self.path, self.tail = path, deque[str](maxlen=TAIL_LINES)
        self._file: TextIO | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a" if goes_on else "w", encoding="utf-8", buffering=1)
        except OSError as error:
            self._give_up(error)

    def line(self, text: str) -> None:
        """Keep a line."""
        self.tail.append(text)
        if self._file is not None:
            try:
                self._file.write(text + "\n")
            except OSError as error:
                self._give_up(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        logger.warning("%s is not kept: %s", self.path, error)
        self._file = None
