"""The caches of the hubs' clients, laid out as they lay them out."""

import shutil

# A closed port as proxy: the network is unreachable, at once and on every machine.
NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
REVISION = "0123456789abcdef0123456789abcdef01234567"


def kaggle_cache(root, handle, source, files):
    """Lay files out as kagglehub's own cache, with its completion markers."""
    owner, model, framework, variation, version = handle.split("/")
    base = root / "models" / owner / model / framework / variation
    (base / version).mkdir(parents=True)
    marks = base / ".complete" / version
    marks.mkdir(parents=True)
    for name in files:
        shutil.copy(source / name, base / version / name)
        (marks / f"{name}.complete").touch()


def hugging_face_cache(root, repository, files):
    """Lay files out as huggingface_hub's own cache: snapshots of links into `blobs`."""
    folder = root / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(REVISION)
    for number, path in enumerate(files):
        shutil.copy(path, folder / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    return snapshot
