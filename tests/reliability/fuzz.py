"""Coverage-guided fuzzing of every parser of untrusted bytes, with atheris: `python fuzz.py SECONDS [PARSER…]`.

libFuzzer changes the bytes so as to reach code that it has not reached before. Each parser has a process of its own, forked
after the imports, and its share of the seconds. The corpus is made by `corpus.py`; in the folder that `FUZZ_CORPUS` names,
what was found stays for the next run. Whatever a parser raises beside a `RegistryError`, a crash, 6 GB of memory or half a
minute for one input ends its turn, and the input that did it is kept. Prints JSON.
"""

import json
import mmap
import os
import shutil
import struct
import sys
import tempfile
import warnings
from pathlib import Path

LARGEST = 1 << 16
"""Bytes of an input, at most."""


def fuzz(parser, folder, seconds, counts):
    """Fuzz one parser until the time is over, which ends the process; counts inputs and bytes as it goes."""
    import atheris

    from registry.errors import RegistryError

    scratch = Path(tempfile.mkdtemp(dir=folder.parent)) / "x"
    tried = size = 0

    def one(data):
        nonlocal tried, size
        tried, size = tried + 1, size + len(data)
        struct.pack_into("<QQ", counts, 0, tried, size)
        scratch.mkdir()
        try:
            parser.read(data, scratch)
        except (RegistryError, *parser.refusals):
            pass
        finally:
            shutil.rmtree(scratch)

    limits = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST}",
        "-rss_limit_mb=6144",
        "-timeout=30",
        "-seed=1",
    ]
    atheris.Setup([sys.argv[0], str(folder), *limits, f"-artifact_prefix={folder}/"], one)
    atheris.Fuzz()


def turn(parser, folder, seconds):
    """Let a child fuzz one parser.

    Returns:
        Inputs, bytes, and the end of what the child said if it found something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(parser.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
        with tempfile.TemporaryDirectory() as first:  # what a parser imports when it is first called
            parser.read(seed, Path(first))
    counts, said = mmap.mmap(-1, 16), folder.with_suffix(".log")
    child = os.fork()
    if not child:
        log = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        fuzz(parser, folder, seconds, counts)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    tried, size = struct.unpack("<QQ", counts)
    return tried, size, said.read_text(errors="replace")[-3000:] if status else None


def main():
    """Fuzz, print what came of it."""
    import atheris

    with atheris.instrument_imports(include=["registry"], enable_loader_override=False):
        from parsers import PARSERS

    warnings.simplefilter("ignore")
    seconds, names = int(sys.argv[1]), sys.argv[2:] or list(PARSERS)
    result = {"parsers": len(names), "inputs": 0, "bytes": 0, "defects": []}
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(os.environ.get("FUZZ_CORPUS", scratch))
        for name in names:
            folder = kept / "".join(letter if letter.isalnum() else "_" for letter in name)
            tried, size, found = turn(PARSERS[name], folder, max(1, seconds // len(names)))
            print(f"{name}: {tried:,} inputs, {size:,} bytes", file=sys.stderr, flush=True)
            result["inputs"] += tried
            result["bytes"] += size
            if found is not None:
                result["defects"].append({"parser": name, "end": found})
    print(json.dumps(result, indent=1))
    return len(result["defects"]) > 0


if __name__ == "__main__":
    sys.exit(main())
