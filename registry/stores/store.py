"""What a store is: a place that the handles of one scheme lead to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from registry.progress import Progress
from registry.stores.handle import Handle
from registry.stores.offline import is_offline

__all__ = ["FetchOptions", "ForeignCache", "Found", "Store"]


@dataclass(frozen=True)
class FetchOptions:
    """How something is fetched.

    Args:
        declared: whether a plugin's `EncoderSpec` names it. Plugins are trusted code: theirs may state less about a
            file than a preset or a user must.
        progress: how it is shown.
        offline: whether nothing may touch the network; what is not in a cache is then an error.
    """

    declared: bool = False
    progress: Progress = None
    offline: bool = field(default_factory=is_offline)


@dataclass(frozen=True)
class Found:
    """A file that a store has, not fetched.

    Args:
        name: its name in the folder that was asked about.
        size: bytes, where the store knows.
        path: where it is on this machine, if it has been fetched.
    """

    name: str
    size: int | None = None
    path: Path | None = None


@dataclass(frozen=True)
class ForeignCache:
    """The cache of a hub's own client, which is its own to clean.

    Args:
        path: where it is.
        variable: the environment variable that moves it.
        command: what cleans it.
    """

    path: Path
    variable: str
    command: str


class Store(ABC):
    """From the handles of one scheme to files on this machine.

    Subclass `registry.stores.DownloadStore` for a place that hands out bytes; this class where a client with a cache of
    its own brings the files.
    """

    form: ClassVar[str] = "scheme://address"
    """How handles are written, for messages."""

    @abstractmethod
    def names_file(self, handle: Handle) -> bool:
        """Whether a handle names a single file; the others name folders."""

    @abstractmethod
    def fetch_file(self, handle: Handle, options: FetchOptions) -> Path:
        """Bring a file onto this machine, from a cache where one has it.

        Args:
            handle: where it is; if it states a hash, the file has it.
            options: how to fetch it.

        Returns:
            The file, complete.

        Raises:
            WeightsUnavailableError: the handle is malformed, or the file cannot be fetched.
            WeightsFormatError: the file is not the one whose hash is stated.
        """

    @abstractmethod
    def fetch_directory(
        self, handle: Handle, required: Sequence[str], optional: Sequence[str], options: FetchOptions
    ) -> Path:
        """Bring files of a folder onto this machine, from a cache where one has them.

        Args:
            handle: where the folder is.
            required: names of files that must be there. A name may list alternatives, `a.h5|b.json`: the first one that
                exists serves.
            optional: names of files that are taken where they exist.
            options: how to fetch them.

        Returns:
            The folder on this machine, with the files in it by their names.

        Raises:
            WeightsUnavailableError: the handle is malformed, or a required file is absent or cannot be fetched.
        """

    def look(self, handle: Handle, names: Sequence[str], options: FetchOptions) -> list[Found]:
        """Which of some files are there, and how large they are; nothing is fetched.

        Args:
            handle: of a folder, or of a file.
            names: files of the folder, with `|` between alternatives; a store that lists its folders may be given
                patterns, too.
            options: how one would fetch them.

        Returns:
            What is known; by default nothing.

        Raises:
            WeightsUnavailableError: the store cannot be asked.
        """
        return []

    def title(self, handle: Handle) -> str:
        """What a preset that is fetched from a folder is called."""
        return handle.address.rstrip("/").rpartition("/")[2]

    def foreign_cache(self) -> ForeignCache | None:
        """The cache of the store's own client, if it has one."""
        return None
