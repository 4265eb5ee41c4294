"""Which TensorFlow, which Keras and which TFLite runtime a program gets here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from registry.diagnosis.finding import Finding
from registry.diagnosis.packages import TENSORFLOWS, version_of
from registry.runtime.child import search_path

__all__ = ["examine_frameworks", "examine_import"]

AREA = "frameworks"
# Seconds: the first import on a slow disk compiles thousands of modules.
_PATIENCE = 600
_TRUE = ("1", "true", "True")
_LAST_WORDS = 300


def examine_frameworks() -> Iterator[Finding]:
    """Keras 2 beside Keras 3, environment variables that choose between them, and TFLite runtimes."""
    yield from _keras()
    yield from _variables()
    runtimes = [
        f"{name} {version}" for name in ("ai-edge-litert", "tflite-runtime") if (version := version_of(name))
    ]
    if version_of("tflite-runtime"):
        yield Finding(
            area=AREA,
            subject="TFLite runtimes",
            status="note",
            detail=f"{' and '.join(runtimes)}: atrous runs files with ai-edge-litert; a program that loads both has "
            "two copies of the kernels, and tflite-runtime was built for NumPy 1",
            repair="pip uninstall tflite-runtime, unless another program needs it",
        )
    else:
        yield Finding(area=AREA, subject="TFLite runtimes", status="ok", detail=", ".join(runtimes) or "none")


def _keras() -> Iterator[Finding]:
    ours, other = version_of("tf-keras"), version_of("keras")
    if ours is None:
        return  # the packages' own finding
    if other is None:
        yield Finding(area=AREA, subject="Keras", status="ok", detail=f"tf-keras {ours} alone")
        return
    legacy = os.environ.get("TF_USE_LEGACY_KERAS") in _TRUE
    meant = f"tf-keras {ours}" if legacy else f"Keras {other}"
    yield Finding(
        area=AREA,
        subject="Keras",
        status="ok",
        detail=f"tf-keras {ours}, which atrous works with; `import keras` is Keras {other}, and `tf.keras` is {meant} "
        "here: models of Keras 3 are refused",
    )


def _variables() -> Iterator[Finding]:
    legacy = os.environ.get("TF_USE_LEGACY_KERAS")
    if legacy is not None and legacy not in (*_TRUE, "0", "false", "False", ""):
        yield Finding(
            area=AREA,
            subject="TF_USE_LEGACY_KERAS",
            status="note",
            detail=f"{legacy!r} is no word that TensorFlow knows, and counts as unset",
            repair="set it to 1 or remove it; atrous works either way",
        )
    elif legacy in _TRUE and version_of("tf-keras") is None:
        yield Finding(
            area=AREA,
            subject="TF_USE_LEGACY_KERAS",
            status="problem",
            detail="it asks for tf-keras, which is not installed",
            repair="pip install 'tf-keras>=2.21,<2.22'",
        )
    backend = os.environ.get("KERAS_BACKEND")
    if backend not in (None, "", "tensorflow"):
        yield Finding(
            area=AREA,
            subject="KERAS_BACKEND",
            status="note",
            detail=f"{backend}: it is for Keras 3; atrous and tf-keras run on TensorFlow whatever it says",
        )


def examine_import() -> Iterator[Finding]:
    """Import TensorFlow and tf-keras in a child process, as building a model would."""
    if not any(map(version_of, TENSORFLOWS)):
        return  # the packages' own finding
    try:
        finished = subprocess.run(
            [sys.executable, "-P", "-m", "registry.diagnosis.import_probe"],
            env={**os.environ, "PYTHONPATH": search_path(), "TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
        answer = json.loads(finished.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired) as error:
        yield _failed(str(error))
        return
    except (ValueError, IndexError):
        words = finished.stderr.strip()[-_LAST_WORDS:]
        yield _failed(f"ended with code {finished.returncode}: {words or 'without a word'}")
        return
    if answer["error"] is not None:
        yield _failed(answer["error"])
        return
    yield Finding(
        area=AREA,
        subject="TensorFlow",
        status="ok",
        detail=f"tensorflow {answer['tensorflow']} and tf_keras {answer['tf_keras']} imported in "
        f"{answer['seconds']:.1f} s; `tf.keras` is Keras {answer['tf_dot_keras']}",
    )
    yield Finding(area=AREA, subject="devices", status="ok", detail=", ".join(answer["devices"]) or "none")
    chosen = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    yield Finding(
        area=AREA,
        subject="oneDNN",
        status="ok",
        detail={True: "on", False: "off", None: "this TensorFlow does not tell"}[answer["onednn"]]
        + (
            ", as TensorFlow decides by the CPU"
            if chosen is None
            else f", with TF_ENABLE_ONEDNN_OPTS={chosen}"
        ),
    )


def _failed(why: str) -> Finding:
    return Finding(
        area=AREA,
        subject="TensorFlow",
        status="problem",
        detail=f"it cannot be imported: {why}",
        repair="python -c 'import tensorflow, tf_keras' shows all of it; often pip install --force-reinstall "
        "'tensorflow>=2.21,<2.22' helps",
    )
