"""Compare atrous with other libraries, in turns, and write a report.

    python -m tests.benchmarks [--quick] [--only NAME …] [--output build/benchmarks]

Makes the other libraries' environments first, then runs the comparisons and writes `report.md`, its plots and
`results.json` with every single value, anew after each comparison: who interrupts keeps what was measured. What the
folder holds of comparisons that are not run stays in the report, if it was measured with the same versions on the same
kind of machine. Not a test: nothing is asserted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry.atomic import atomic_path
from tests.benchmarks import environments, machine
from tests.benchmarks.bench import Bench
from tests.benchmarks.child import ChildError
from tests.benchmarks.comparisons import COMPARISONS
from tests.benchmarks.figures import Comparison
from tests.benchmarks.report import markdown


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, compare, write."""
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("matplotlib") is None:
        print("plots are drawn by matplotlib: pip install -e '.[benchmarks]'", file=sys.stderr)
        return 1
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    results = output / "results.json"
    if options.draw:
        content = json.loads(results.read_text(encoding="utf-8"))
        _write(output, content["machine"], _comparisons(content))
        return 0
    pythons, problems = _environments(options.environments or output / "environments")
    versions = {"atrous": environments.versions(Path(sys.executable))}
    versions |= {name: environments.versions(python) for name, python in pythons.items() if python}
    about = machine.describe(versions)
    found = _kept(results, about)
    bench = Bench(output.absolute(), pythons, problems, options.quick, options.rounds, _tell)
    for name in options.only or COMPARISONS:
        load = bench.load()
        try:
            comparison = COMPARISONS[name](bench)
        except ChildError as error:  # one of ours: what the others cannot do is part of the report
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        conditions = f"{datetime.now(UTC):%Y-%m-%d}{', --quick' if options.quick else ''}"
        found[name] = replace(comparison, load=(load, bench.load()), conditions=conditions)
        _write(output, about, [found[name] for name in COMPARISONS if name in found])
    _tell(f"{output / 'report.md'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small images and few turns: some minutes")
    parser.add_argument(
        "--only", nargs="+", choices=list(COMPARISONS), metavar="NAME", help=", ".join(COMPARISONS)
    )
    parser.add_argument(
        "--rounds", type=int, help="turns of every race, in place of each comparison's own number"
    )
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"), help="folder of the report")
    parser.add_argument(
        "--environments",
        type=Path,
        help="folder of the other libraries' environments; in the output's if left out",
    )
    parser.add_argument(
        "--draw", action="store_true", help="measure nothing, write the folder's report again"
    )
    return parser


def _environments(folder: Path) -> tuple[dict[str, Path | None], dict[str, str]]:
    pythons: dict[str, Path | None] = {}
    problems: dict[str, str] = {}
    for name in environments.REQUIREMENTS:
        _tell(f"environment {name}")
        try:
            pythons[name] = environments.prepare(name, folder.absolute())
        except environments.EnvironmentFailedError as error:
            pythons[name], problems[name] = None, str(error)
            _tell(problems[name])
    return pythons, problems


def _comparisons(content: dict[str, Any]) -> list[Comparison]:
    return [Comparison.from_dict(found) for found in content["comparisons"]]


def _kept(results: Path, about: dict[str, Any]) -> dict[str, Comparison]:
    """What was measured before, if it can stand beside what will be."""
    if not results.is_file():
        return {}
    content = json.loads(results.read_text(encoding="utf-8"))
    if content["machine"] != about:
        _tell("other versions or another machine: earlier results are not kept")
        return {}
    return {comparison.name: comparison for comparison in _comparisons(content)}


def _write(output: Path, about: dict[str, Any], found: Sequence[Comparison]) -> None:
    from tests.benchmarks.plots import draw

    plots = {
        comparison.name: [path.relative_to(output).as_posix() for path in draw(comparison, output)]
        for comparison in found
    }
    results = {"machine": about, "comparisons": [comparison.to_dict() for comparison in found]}
    _put(output / "results.json", json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    _put(output / "report.md", markdown(about, found, plots))


def _put(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
