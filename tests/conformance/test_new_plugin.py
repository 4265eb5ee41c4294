"""What `atrous new-plugin` writes works as it is: built, installed in a clean environment, tested, exported as int8."""

from __future__ import annotations

from pathlib import Path

import pytest
from clean_environment import ROOT, Environment, build_wheel, create_environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """An environment with the wheels of atrous and of a plugin that this atrous has generated there."""
    wheels, folder = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("environment")
    build_wheel(ROOT, wheels)
    author = create_environment(folder / "author", wheels)
    done = author.run("-m", "registry", "new-plugin", "wave_net", "--directory", str(folder))
    assert done.returncode == 0, done.stderr
    build_wheel(folder / "registry-wave-net", wheels)
    return create_environment(folder / "user", wheels), folder / "registry-wave-net"


def test_its_own_tests_pass(generated):
    environment, folder = generated
    done = environment.run("-m", "pytest", "-p", "no:cacheprovider", "-ra", "tests", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
    assert "xfailed" not in done.stdout


def test_its_preset_builds_and_exports_int8(generated, tmp_path):
    environment, _ = generated
    operations, dtypes = environment.ask(
        f"""
        import numpy as np
        model = registry.build("deeplab_v3_plus_wave_net", weights=None)
        photos = np.random.default_rng(0).integers(0, 256, (8, 64, 96, 3), np.uint8)
        report = registry.export(
            model, {str(tmp_path / "wave.tflite")!r}, size=(64, 96), quantization="int8", calibration=photos
        )
        answer = [sorted(report.operations), [report.input.dtype, report.output.dtype]]
        """
    )
    assert dtypes == ["uint8", "int8"]
    assert {"CONV_2D", "DEPTHWISE_CONV_2D"} <= set(operations)
    assert not any(name.startswith(("FLEX", "CUSTOM", "SPACE_TO_BATCH")) for name in operations)
    assert (tmp_path / "wave.tflite").stat().st_size > 10_000
