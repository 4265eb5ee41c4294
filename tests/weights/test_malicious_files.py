"""Hand-made files that would run code, leave their folder or fill the memory: each is refused, by name and at once."""

import resource
import subprocess
import sys
from pathlib import Path

import malicious_files
import pytest

from registry.errors import RegistryError, WeightsFormatError
from registry.weights.opening import open_weights

# Bytes that a refusal may take. The bombs claim 400 MB and more.
MEMORY = 150 << 20


def refused(read, path, reason):
    with pytest.raises(RegistryError, match=reason) as caught:
        read(path)
    message = str(caught.value)
    assert "repair:" in message
    assert path.name in message
    assert len(message) < 3000
    return caught.value


@pytest.mark.parametrize("name", malicious_files.MODELS)
def test_models(name, tmp_path, monkeypatch):
    from registry.assembly import load_model

    monkeypatch.chdir(tmp_path)
    build, reason = malicious_files.MODELS[name]
    path = build(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert isinstance(refused(load_model, path, reason), WeightsFormatError)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY
    assert not list(tmp_path.parent.rglob("hurt"))


@pytest.mark.parametrize("name", malicious_files.WEIGHTS)
def test_weights(name, tmp_path):
    build, reason = malicious_files.WEIGHTS[name]
    refused(open_weights, build(tmp_path), reason)


def test_the_bombs_in_a_process_that_could_not_hold_them(tmp_path):
    """In an address space of 3 GB; each of these claims more, or makes objects without end."""
    program = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import malicious_files
from registry.errors import RegistryError
from registry.weights.archives import read_config, unpacked_weights
from registry.weights.hdf5 import check_file
from registry.weights.opening import open_weights

def model(path):
    read_config(path)
    with unpacked_weights(path) as weights:
        check_file(weights, lambda file, why: RegistryError(why))

bombs = [(model, malicious_files.MODELS, name) for name in ("huge declared shape", "huge piece", "twenty thousand members")]
bombs += [(open_weights, malicious_files.WEIGHTS, name) for name in ("huge shape of weights", "header of a terabyte")]
made = []
for number, (read, table, name) in enumerate(bombs):
    folder = Path({str(tmp_path)!r}) / str(number)
    folder.mkdir()
    made.append((read, table[name][0](folder)))
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read, path in made:
    try:
        read(path)
    except RegistryError:
        continue
    sys.exit(f"{{path}} was read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) << 10 < 64 << 20


def test_there_are_many():
    assert len(malicious_files.MODELS) + len(malicious_files.WEIGHTS) >= 60
