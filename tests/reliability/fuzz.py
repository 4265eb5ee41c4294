"""Coverage-guided fuzzing of every parser of untrusted bytes, with atheris: `python fuzz.py SECONDS [PARSER…]`.

libFuzzer changes the bytes so as to reach code that it has not reached before. Each parser gets a process of its own and
its share of the seconds; the corpus is made by `corpus.py`, or kept in the folder that `FUZZ_CORPUS` names, where what
was found stays for the next run. Whatever a parser raises beside a `RegistryError`, a crash, 4 GB of memory or half a
minute for one input ends the run with the input that did it. Prints JSON.
"""

import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

LARGEST = 1 << 16
"""Bytes of an input, at most."""


def serve(name, seconds, corpus_folder, counter):
    """Fuzz one parser; counts inputs and bytes in a file that outlives the process."""
    import warnings

    import atheris

    with atheris.instrument_imports(include=["registry"], enable_loader_override=False):
        from parsers import PARSERS

        from registry.errors import RegistryError

    warnings.simplefilter("ignore")
    parser = PARSERS[name]
    with Path(counter).open("r+b") as file:
        counts = mmap.mmap(file.fileno(), 16)
    for number, seed in enumerate(parser.seeds()):
        (Path(corpus_folder) / f"seed-{number}").write_bytes(seed)
    scratch = Path(tempfile.mkdtemp())
    tried = size = 0

    def one(data):
        nonlocal tried, size
        tried, size = tried + 1, size + len(data)
        struct.pack_into("<QQ", counts, 0, tried, size)
        folder = scratch / "x"
        folder.mkdir()
        try:
            parser.read(data, folder)
        except (RegistryError, *parser.refusals):
            pass
        finally:
            shutil.rmtree(folder)

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST}",
        "-rss_limit_mb=4096",
        "-timeout=30",
        "-seed=1",
    ]
    atheris.Setup([sys.argv[0], corpus_folder, *options, f"-artifact_prefix={corpus_folder}/"], one)
    atheris.Fuzz()


def run(seconds, names=None):
    """Inputs, bytes and defects.

    Args:
        seconds: of all parsers together.
        names: parsers; None takes all.
    """
    from parsers import PARSERS

    names = list(names or PARSERS)
    result = {"parsers": len(names), "inputs": 0, "bytes": 0, "defects": []}
    kept = os.environ.get("FUZZ_CORPUS")
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            word = "".join(letter if letter.isalnum() else "_" for letter in name)
            folder = Path(kept or scratch) / word
            folder.mkdir(parents=True, exist_ok=True)
            counter = Path(scratch) / "counter"
            counter.write_bytes(bytes(16))
            share = max(1, seconds // len(names))
            arguments = [sys.executable, __file__, "--serve", name, str(share), str(folder), str(counter)]
            child = subprocess.run(
                arguments,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env=os.environ | {"TMPDIR": scratch},
            )
            tried, size = struct.unpack("<QQ", counter.read_bytes())
            result["inputs"] += tried
            result["bytes"] += size
            print(f"{name}: {tried:,} inputs, {size:,} bytes", file=sys.stderr, flush=True)
            if child.returncode:
                result["defects"].append(
                    {"parser": name, "status": child.returncode, "end": child.stderr[-3000:]}
                )
    return result


def main():
    """Fuzz, print what came of it."""
    if sys.argv[1] == "--serve":
        serve(*sys.argv[2:])
        return 0
    result = run(int(sys.argv[1]), sys.argv[2:])
    print(json.dumps(result, indent=1))
    return len(result["defects"]) > 0


if __name__ == "__main__":
    sys.exit(main())
