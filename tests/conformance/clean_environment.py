"""Environments that hold exactly the wheels given, asked by running programs in them.

Their dependencies (TensorFlow and others, hundreds of megabytes) are borrowed from the environment that runs the tests,
so that nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Environment:
    """A virtual environment with the wheels, asked by running programs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def run(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python outside the repository, without any path that the tests themselves rely on."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ATROUS_"))
        }
        return subprocess.run(
            [str(self.python), *arguments],
            env={**kept, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **variables},
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    def ask(self, program: str, **variables: str) -> Any:
        """Run a program that leaves its answer in `answer`."""
        program = f"import json, sys, registry\n{textwrap.dedent(program)}\nprint('\\n' + json.dumps(answer))"
        finished = self.run("-W", "ignore", "-X", "utf8", "-c", program, **variables)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout.splitlines()[-1])

    def refusal(self, program: str, **variables: str) -> tuple[str, str]:
        """Run a program that must raise a RegistryError; returns its type and message."""
        program = "\n".join(
            [
                "try:",
                textwrap.indent(textwrap.dedent(program), "    "),
                "    answer = None",
                "except registry.errors.RegistryError as error:",
                "    answer = [type(error).__name__, str(error)]",
            ]
        )
        answer = self.ask(f"import registry.errors\n{program}", **variables)
        assert answer is not None, "nothing was raised"
        return tuple(answer)


def build_wheel(source: Path, wheels: Path) -> None:
    # Where the build backend is at hand there is no need to download it.
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", str(wheels), str(source)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def create_environment(folder: Path, wheels: Path) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    environment = Environment(folder)
    installer = (
        [sys.executable, "-m", "uv", "pip", "install", "--offline", "--python", str(environment.python)]
        if importlib.util.find_spec("uv")
        else [sys.executable, "-m", "pip", "--python", str(environment.python), "install", "--no-index"]
    )
    subprocess.run(
        [*installer, "--no-deps", *map(str, sorted(wheels.glob("*.whl")))], check=True, capture_output=True
    )
    asked = environment.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # A folder named in a .pth file comes last on sys.path, and .pth files inside it (those of an editable
    # installation of atrous) are not followed.
    (Path(asked.stdout.strip()) / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    return environment
