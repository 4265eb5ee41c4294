"""Compare atrous with other libraries, in turns, and write a report.

    python -m tests.benchmarks [--quick] [--only NAME …] [--output build/benchmarks]

Makes the other libraries' environments first, then runs the comparisons and writes `report.md`, its plots and
`results.json` with every single value, anew after each comparison: who interrupts keeps what was measured. `--draw results.json` writes a report again without measuring. Not a
test: nothing is asserted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
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
    if options.draw:
        content = json.loads(options.draw.read_text(encoding="utf-8"))
        _write(output, content["machine"], [Comparison.from_dict(found) for found in content["comparisons"]])
        return 0
    pythons, problems = _environments(options.environments or output / "environments")
    versions = {"atrous": environments.versions(Path(sys.executable))}
    versions |= {name: environments.versions(python) for name, python in pythons.items() if python}
    bench = Bench(output.absolute(), pythons, problems, quick=options.quick, tell=_tell)
    found: list[Comparison] = []
    about = machine.describe(versions)
    for name in options.only or COMPARISONS:
        before = bench.load()
        try:
            comparison = COMPARISONS[name](bench)
        except ChildError as error:  # one of ours: the others' are part of the report
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        found.append(replace(comparison, load=(before, bench.load())))
        _write(output, about, found)
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
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"), help="folder of the report")
    parser.add_argument(
        "--environments",
        type=Path,
        help="folder of the other libraries' environments; in the output's if left out",
    )
    parser.add_argument(
        "--draw", type=Path, metavar="RESULTS", help="write the report of these results again"
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
