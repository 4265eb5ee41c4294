"""Turns what a command raises into a message and an exit code."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand

from registry.errors import RegistryError, RegistryWarning

__all__ = [
    "EXIT_DEFECT",
    "EXIT_INTERRUPTED",
    "EXIT_TERMINATED",
    "EXIT_TRY_AGAIN",
    "EXIT_WRONG_INPUT",
    "GuardedCommand",
]

EXIT_WRONG_INPUT = 1
EXIT_DEFECT = 3
EXIT_TRY_AGAIN = 75
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class GuardedCommand(TyperCommand):
    """A command whose errors end the process as `atrous --help` documents it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; usage errors pass through to typer, which exits with 2."""
        debug = bool((ctx.obj or {}).get("debug"))
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            typer.echo("atrous: interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except RegistryError as error:
            if debug:
                traceback.print_exception(error, file=sys.stderr)
            typer.echo(f"atrous: error: {error}", err=True)
            raise typer.Exit(EXIT_WRONG_INPUT) from error
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            typer.echo("atrous: this is a defect, please report it with the traceback above", err=True)
            raise typer.Exit(EXIT_DEFECT) from error


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show our own warnings without the line of code that emitted them."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_plainly(
            message: Warning | str, category: type[Warning], *place: Any, **options: Any
        ) -> None:
            if issubclass(category, RegistryWarning):
                typer.echo(f"atrous: warning: {message}", err=True)
            else:
                show(message, category, *place, **options)

        warnings.showwarning = show_plainly
        yield
