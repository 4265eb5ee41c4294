"""Distributions made on the fly: metadata and a module in a folder on `sys.path`, as pip would leave them."""

from __future__ import annotations

import base64
import hashlib
import importlib
import textwrap
from pathlib import Path

GOOD = """
    from registry.hookspecs import hookimpl
    from registry.pyramid import EncoderSpec

    @hookimpl
    def registry_encoders():
        return [EncoderSpec(name="tiny_s", channels={"P1": 8, "P2": 16}, output_strides=(16, 32))]

    @hookimpl
    def registry_build_encoder(variant, inputs, output_stride, options):
        return {"P1": (variant, inputs), "P2": (output_stride, options)}
"""


class Site:
    """A folder that plays site-packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def install(
        self,
        distribution: str,
        entries: dict[str, str] | str,
        *,
        version: str = "1.0",
        modules: dict[str, str] | None = None,
        metadata: str | None = None,
    ) -> None:
        """Install one distribution.

        Args:
            distribution: its name.
            entries: entry points of our group by name, or the whole text of `entry_points.txt`.
            version: its version.
            modules: sources by module name; by default `GOOD` for each entry point's module.
            metadata: text of METADATA, if not the usual one.
        """
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata)
        if isinstance(entries, dict):
            if modules is None:
                modules = dict.fromkeys(entries.values(), GOOD)
            lines = [f"{name} = {value}" for name, value in entries.items()]
            entries = "\n".join(["[registry.encoders]", *lines, ""])
        (info / "entry_points.txt").write_text(entries)
        for name, source in (modules or {}).items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(source))
            self.modules.append(name)
        importlib.invalidate_caches()

    def plugin(self, source: str, name: str = "tiny") -> None:
        """Install the distribution `registry-<name>` 1.0 with one plugin of that source."""
        module = f"registry_{name}"
        self.install(f"registry-{name}", {name: module}, modules={module: source})

    def record(self, distribution: str, version: str, *names: str) -> Path:
        """Write RECORD, as pip leaves it, for these files and folders of the site; without names, for all.

        Args:
            distribution: name of an installed distribution.
            version: its version.
            names: what belongs to it, beside its `.dist-info`.
        """
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        tops = [self.folder / name for name in names] or [self.folder]
        files = sorted(
            {path for top in (info, *tops) for path in ([top] if top.is_file() else top.rglob("*"))}
        )
        lines = []
        for path in files:
            if path.is_file() and path.name != "RECORD":
                digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=")
                place = path.relative_to(self.folder).as_posix()
                lines.append(f"{place},sha256={digest.decode()},{path.stat().st_size}")
        record = info / "RECORD"
        record.write_text("\n".join([*lines, f"{info.name}/RECORD,,", ""]))
        return record
