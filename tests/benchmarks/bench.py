"""What every comparison is given: environments, files, and how thorough to be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.race import Contestant

__all__ = ["Bench"]


@dataclass
class Bench:
    """One benchmark.

    Args:
        folder: for files that are kept from one comparison to the next.
        pythons: environment → its interpreter, None where it could not be made.
        problems: environment → why not.
        quick: whether a few minutes must do: small images, few turns.
        turns: number of turns of every race; None leaves it to the comparison.
        tell: called with a line on what goes on.
    """

    folder: Path
    pythons: Mapping[str, Path | None] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    quick: bool = False
    turns: int | None = None
    tell: Callable[[str], None] = print

    def choose(self, full: Any, quick: Any) -> Any:
        """One of two settings."""
        return quick if self.quick else full

    def rounds(self, full: int, quick: int) -> int:
        """Number of turns."""
        return self.choose(full, quick) if self.turns is None else self.turns

    @property
    def file_size(self) -> int:
        """Height and width of the files' input."""
        return self.choose(512, 128)

    def ours(self, task: str, *, of: str = "atrous", **options: Any) -> Contestant:
        """A task of atrous, or of another library in its environment."""
        return Contestant(Path(sys.executable), of, task, options)

    def tflite(self, path: str, threads: int) -> Contestant:
        """A `.tflite` file in the interpreter of our environment."""
        return Contestant(Path(sys.executable), "tflite", "run_file", {"path": path, "threads": threads})

    def peer(self, library: str, task: str, **options: Any) -> Contestant:
        """A task of another library, which has an environment of its name."""
        return Contestant(
            self.pythons.get(library), library, task, options, problem=self.problems.get(library, "left out")
        )

    def preset(self) -> str:
        """The directory that atrous and KerasHub both load."""
        directory = self.folder / "preset"
        if not (directory / "task.json").is_file():
            self.tell("writing the preset")
            with self.ours("make_preset", directory=str(directory)).start() as child:
                child.run()
        return str(directory)

    def made(self, contestant: Contestant) -> Path:
        """The file that an export writes, as it was left by an earlier run or made now.

        Raises:
            ChildError: it cannot be made.
        """
        path = Path(contestant.options["path"])
        if not path.is_file():
            self.tell(f"writing {path.name}")
            with contestant.start() as child:
                child.run()
        return path

    @staticmethod
    def load() -> float:
        """Load average of the last minute."""
        return os.getloadavg()[0]
