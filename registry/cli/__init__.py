"""The command `atrous`, also `python -m registry`. See `app` for the commands and the exit codes."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line in `sys.argv` and exit with its code."""
    from registry.cli.app import app

    app(prog_name="atrous")
