"""The tree of commands, and what holds for all of them."""

from __future__ import annotations

from typing import Annotated

import typer

from registry.cli import (
    authoring,
    benchmark,
    cache,
    catalog,
    convert,
    data,
    demo,
    doctor,
    evaluate,
    inspect,
    lock,
    models,
    plugins,
    predict,
    serve,
    train,
)

__all__ = ["app"]

_EPILOG = """\b
Examples:
  atrous list
  atrous export deeplab_v3_plus_resnet50_pascalvoc model.tflite --size 512
  atrous predict model.tflite photo.jpg
\b
Exit codes:
  0    done
  1    the input was wrong: unknown preset, damaged file, option that does not fit, ...
  2    the command line was wrong
  3    a defect of atrous or of a library; the traceback is shown
  75   of a run on several workers: one of them is gone; the same command goes on
  130  interrupted
  143  told to end (SIGTERM); what a training run had done is saved
\b
--json prints one JSON object on stdout. Everything that is not a result goes to stderr."""

app = typer.Typer(
    name="atrous",
    help="Model registry for semantic segmentation in TensorFlow: presets, encoders, .tflite files.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import registry

        typer.echo(f"atrous {registry.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    context.obj = {"debug": debug}


for _group in (
    catalog,
    plugins,
    lock,
    authoring,
    cache,
    data,
    models,
    convert,
    train,
    evaluate,
    inspect,
    benchmark,
    predict,
    serve,
    demo,
    doctor,
):
    _group.register(app)
