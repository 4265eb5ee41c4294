"""Hold the playground to twenty clients at once: python tests/benchmarks/load_playground.py [--clients 20] [--requests 200].

Starts the server at a free port of the loopback address, sends a bounded number of requests, half of them comparisons, and
prints requests per second, latencies and the server's highest memory, its children's included. Exits with 1 if a request
failed, two answers for one image differed, or memory exceeded the bound.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from PIL import Image

BOUNDARY = "atrous-load"


def form(fields: dict[str, str], photo: bytes) -> bytes:
    """A multipart body of text fields and one image."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'.encode()
    return b"".join([*parts, head, photo, f"\r\n--{BOUNDARY}--\r\n".encode()])


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, dict | list]:
    """One request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} if body else {}
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content)


def memory_of(root: int) -> int:
    """Resident bytes of a process and all below it."""
    children: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
        except OSError:
            continue
        parent, size = re.search(r"PPid:\s+(\d+)", status), re.search(r"VmRSS:\s+(\d+)", status)
        children.setdefault(int(parent[1]) if parent else 0, []).append(int(folder.name))
        sizes[int(folder.name)] = int(size[1]) * 1024 if size else 0
    waiting, total = [root], 0
    while waiting:
        process = waiting.pop()
        total += sizes.get(process, 0)
        waiting += children.get(process, [])
    return total


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help=".tflite files; by default a model of one convolution")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--side", type=int, default=1024, help="height and width of the images in pixels")
    parser.add_argument("--bound", type=float, default=1500, help="highest memory in MB")
    options = parser.parse_args()
    if not 1 <= options.clients <= 200 or not 1 <= options.requests <= 20_000:
        parser.error("--clients goes to 200, --requests to 20000")
    with tempfile.TemporaryDirectory() as folder:
        models = options.models
        if not models:
            with as_file(files("registry.diagnosis") / "smallest.tflite") as smallest:
                models = [str(Path(folder, f"red_{precision}.tflite")) for precision in ("float32", "int8")]
                for path in models:
                    Path(path).write_bytes(smallest.read_bytes())
        command = [sys.executable, "-m", "registry", "serve", *models, "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                return load(server, options)
            finally:
                server.terminate()


def load(server: subprocess.Popen[str], options: argparse.Namespace) -> int:
    """Send the requests and print what came."""
    assert server.stderr is not None
    port = next(int(found[1]) for line in server.stderr if (found := re.search(r"127\.0\.0\.1:(\d+)", line)))
    deadline = time.monotonic() + 300
    while True:
        try:
            entries = ask(port, "/api/models")[1]
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    ids = [entry["id"] for entry in entries]
    rng = np.random.default_rng(0)
    photos = []
    for _ in range(4):
        small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        stream = io.BytesIO()
        small.resize((options.side, options.side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        photos.append(stream.getvalue())
    peak = memory_of(server.pid)

    def one(number: int) -> tuple[int, float, tuple[int, str]]:
        nonlocal peak
        photo = number % len(photos)
        compares = number // len(photos) % 2 == 1
        fields = {"a": ids[0], "b": ids[-1]} if compares else {"model": ids[0]}
        started = time.monotonic()
        status, answer = ask(
            port, f"/api/{'compare' if compares else 'segment'}", form(fields, photos[photo])
        )
        seconds = time.monotonic() - started
        peak = max(peak, memory_of(server.pid))
        assert isinstance(answer, dict)
        found = answer["a"] if compares and status == 200 else answer
        return status, seconds, (photo, found.get("mask", ""))

    started = time.monotonic()
    with ThreadPoolExecutor(options.clients) as clients:
        answers = list(clients.map(one, range(options.requests)))
    seconds = time.monotonic() - started
    failed = sum(status != 200 for status, _, _ in answers)
    distinct = {pair for _, _, pair in answers}
    times = sorted(elapsed for _, elapsed, _ in answers)
    print(
        f"{options.requests} requests of {options.clients} clients, images of {options.side}×{options.side}: "
        f"{failed} failed, {options.requests / seconds:.1f} a second, "
        f"median {times[len(times) // 2]:.2f} s, slowest {times[-1]:.2f} s, "
        f"{peak / 1e6:.0f} MB at most with all processes"
    )
    return int(failed > 0 or len(distinct) != len(photos) or peak > options.bound * 1e6)


if __name__ == "__main__":
    sys.exit(main())
