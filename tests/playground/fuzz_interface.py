"""Fuzz the REST interface through its own description: python tests/playground/fuzz_interface.py [--examples 200].

schemathesis makes requests of `/openapi.json`, right ones and wrong ones, and sends them to the application in this process. No
answer may be a 5xx; status, headers and content must be those that the description has. Prints what was sent and exits with 1 if
anything was found.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from registry.playground import Settings, jobs, make_app

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PRESET = "deeplab_v3_plus_resnet_digits"
ADDRESS = "http://127.0.0.1:8000"


def fuzz(app: Any, examples: int, number: int = 0) -> collections.Counter[tuple[str, int]]:
    """Send requests to every operation of an application.

    Args:
        app: the ASGI application; it is started and ended.
        examples: requests for each operation, at most.
        number: seed of the requests.

    Returns:
        (operation, status) → how many were answered so.

    Raises:
        Failures of schemathesis: an answer that no check may see.
    """
    from starlette.testclient import TestClient

    seen: collections.Counter[tuple[str, int]] = collections.Counter()
    with TestClient(app, base_url=ADDRESS) as client:
        description = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        description.app = app
        (model,) = [entry["id"] for entry in client.get("/api/models").json()]
        for result in description.get_all_operations():
            _send(result.ok(), client, model, examples, number, seen)
    return seen


def _send(operation: Any, client: Any, model: str, examples: int, number: int, seen: Any) -> None:
    """Requests for one operation: right ones, and wrong ones where there is a body.

    Every second one names a model that there is, every fourth brings an image: what is made up is refused early.
    """
    modes = list(GenerationMode) if operation.body else [GenerationMode.POSITIVE]

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes)))
    def send(case: Any) -> None:
        path, body = dict(case.path_parameters or {}), case.body
        if isinstance(body, dict):
            body = dict(body)
        if seen.total() % 2:
            known = {"model": model, "a": model, "b": model, "folder": "", "preset": PRESET}
            for values in (path, body):
                if isinstance(values, dict):
                    values.update({key: value for key, value in known.items() if key in values})
        answer = client.request(
            case.method,
            operation.path.format(**{key: quote(str(value), safe="") for key, value in path.items()}),
            **_content(case.media_type, body, real=bool(seen.total() % 4 == 1)),
        )
        seen[operation.label, answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    send()


def _content(media_type: str | None, body: Any, *, real: bool) -> dict[str, Any]:
    """A body as the client takes it; what the interface takes as a file is one, and an image where `real` says so."""
    if media_type is None:
        return {}
    if isinstance(body, dict) and media_type == "multipart/form-data":
        files = {
            key: ("x", _photo() if real else str(value).encode("utf-8", "replace"))
            for key, value in body.items()
            if key in ("image", "file")
        }
        return {"files": files, "data": {key: str(value) for key, value in body.items() if key not in files}}
    content = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
    return {"content": content, "headers": {"Content-Type": media_type}}


def _photo() -> bytes:
    """Gray pixels, as PNG."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 3), (90, 90, 90)).save(stream, "PNG")
    return stream.getvalue()


def main() -> int:
    """Run it and print what was sent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=200, help="requests for each operation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    jobs.Jobs._run = lambda self, command, look=None: {}  # presets are not exported by the hundred
    with (
        tempfile.TemporaryDirectory() as folder,
        as_file(files("registry.diagnosis") / "smallest.tflite") as model,
    ):
        Path(folder, "images").mkdir()
        offer = Settings(models=(model,), images=Path(folder, "images"), output=Path(folder, "masks"))
        seen = fuzz(make_app(offer), options.examples, options.seed)
    for operation in dict.fromkeys(label for label, _ in seen):
        statuses = ", ".join(
            f"{status}: {count}" for (label, status), count in sorted(seen.items()) if label == operation
        )
        print(f"{operation:<40} {statuses}")
    print(f"{seen.total():,} requests, no 5xx, every answer as described")
    return 0


if __name__ == "__main__":
    sys.exit(main())
