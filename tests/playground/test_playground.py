"""The server by its REST interface, in this process: answers, limits, and what may not harm it."""

import base64
import io
import json
import shutil
import sys
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from registry.errors import EnvironmentUnsupportedError
from registry.metadata import SegmenterMetadata, write_metadata
from registry.playground import Settings, make_app
from registry.playground.pictures import difference_of
from registry.runtime import Segmenter

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def client(folder, tflite, photo):
    settings = Settings(
        models=(tflite,),
        images=folder / "images",
        output=folder / "masks",
        image_bytes=100_000,
        model_bytes=100_000,
        kept_models=2,
        open_models=1,
        threads=1,
    )
    with TestClient(make_app(settings), base_url=ADDRESS) as client:
        yield client


@pytest.fixture(scope="module")
def model(client):
    (entry,) = [one for one in client.get("/api/models").json() if one["kind"] == "file"]
    return entry


def opened(url):
    with Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) as image:
        return np.asarray(image)


def segment(client, photo, identity, name="a.png"):
    return client.post("/api/segment", files={"image": (name, photo)}, data={"model": identity})


def add(client, content, name="other.tflite"):
    return client.post("/api/models", files={"file": (name, content)})


def test_the_page_comes_with_all_it_needs_and_a_policy(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name in ("page.css", "page.js"):
        assert name in page.text
        assert client.get(f"/{name}").status_code == 200
    assert "http" not in client.get("/page.js").text  # nothing from elsewhere
    assert client.get("/app.py").status_code == 404
    assert client.get("/..%2fapp.py").status_code == 404


def test_a_mask_is_that_of_the_segmenter(client, photo, model, tflite):
    assert model["input_size"] == [8, 8]
    answer = segment(client, photo, model["id"]).json()
    assert (opened(answer["mask"]) == Segmenter(tflite, trusted=True).segment(photo)).all()
    assert opened(answer["overlay"]).shape == (24, 40, 3)
    assert [one["fraction"] for one in answer["classes"]] == [0.5, 0.5]
    assert answer["classes"][1]["color"] == "#800000"
    assert answer["ms"] > 0


def test_two_models_are_compared(client, photo, model, tflite):
    metadata = SegmenterMetadata(labels=("rest", "red"), colors=((1, 2, 3), (4, 5, 6)))
    added = add(client, write_metadata(tflite.read_bytes(), metadata), "red_int8.tflite")
    assert added.status_code == 201, added.text
    other = added.json()
    assert other["family"] == model["family"] == "red"
    assert other["labels"] == ["rest", "red"]
    data = {"a": model["id"], "b": other["id"]}
    answer = client.post("/api/compare", files={"image": ("a.png", photo)}, data=data).json()
    assert answer["difference"]["agreement"] == answer["difference"]["mean_iou"] == 1
    assert answer["b"]["classes"][0]["name"] == "rest"
    assert answer["b"]["classes"][0]["color"] == "#010203"
    assert client.delete(f"/api/models/{other['id']}").status_code == 204
    assert client.get(f"/api/models/{other['id']}/operations").status_code == 404
    assert client.delete(f"/api/models/{model['id']}").status_code == 422


def test_differences_are_counted_and_shown():
    pixels = np.full((4, 6, 3), 100, np.uint8)
    one, other = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    other[:, 4:] = 1
    found = difference_of(pixels, one, other, ["a", "b"])
    assert found["agreement"] == pytest.approx(16 / 24)
    assert found["mean_iou"] == pytest.approx((16 / 24 + 0) / 2)
    assert found["changes"] == [{"from": "a", "to": "b", "pixels": 8, "fraction": round(8 / 24, 6)}]
    heat = opened(found["heat_map"]).astype(int)
    assert (heat[:, 5, 0] - heat[:, 5, 2]).min() > 150
    assert abs(heat[:, 0] - 50).max() < 12


def test_operations_of_a_file(client, model):
    answer = client.get(f"/api/models/{model['id']}/operations").json()
    assert [one["name"] for one in answer["operations"]] == ["CONV_2D"]
    assert answer["macs"] == 8 * 8 * 3 * 2


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 422, "empty"),
        (b"no image at all", 422, "known image header"),
        (bytes(100_001), 413, "at most"),
        (bytes(300_000), 413, "at most"),
    ],
)
def test_bad_images_are_refused(client, model, content, status, word):
    answer = segment(client, content, model["id"])
    assert answer.status_code == status
    assert word in answer.json()["detail"]


def test_a_body_without_a_length_is_bounded_too(client):
    def endless():
        for _ in range(1000):
            yield bytes(10_000)

    answer = client.post(
        "/api/models", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 413


def test_damaged_models_do_not_harm_the_server(client, photo, model, tflite, damaged):
    original = tflite.read_bytes()
    statuses = [add(client, damaged(original, seed)).status_code for seed in range(5)]
    assert set(statuses) <= {201, 422}
    assert 422 in statuses
    assert add(client, b"no model").json()["error"] == "ModelFileError"
    assert segment(client, photo, model["id"]).status_code == 200
    kept = [one for one in client.get("/api/models").json() if one["kind"] == "upload"]
    assert len(kept) <= 2


def test_a_model_whose_process_ended_gets_another(client, photo, model):
    entry = client.app.state.shelf[model["id"]]
    assert segment(client, photo, model["id"]).status_code == 200
    entry.child._process.kill()
    answer = segment(client, photo, model["id"])
    assert answer.status_code == 422
    assert "SIGKILL" in answer.json()["detail"]
    assert segment(client, photo, model["id"]).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}]
)
def test_pages_of_others_are_refused(client, photo, model, headers):
    answer = client.post(
        "/api/segment", files={"image": ("a.png", photo)}, data={"model": model["id"]}, headers=headers
    )
    assert answer.status_code in (400, 403)
    fine = client.get("/api/models", headers={"Origin": ADDRESS})
    assert fine.status_code == 200


def wait(client, job):
    deadline = time.monotonic() + 300
    while job["status"] in ("waiting", "running") and time.monotonic() < deadline:
        time.sleep(0.05)
        job = client.get(f"/api/jobs/{job['id']}").json()
    return job


def test_a_folder_is_segmented_as_a_batch_and_no_other_folder(client, folder, model):
    started = client.post("/api/batches", json={"model": model["id"]})
    assert started.status_code == 202
    job = wait(client, started.json())
    assert job["status"] == "done", job
    assert job["result"]["segmented"] == 1
    assert (folder / "masks" / "red_float32" / "deep" / "a_mask.png").is_file()
    for outside in ("..", "../..", "/etc", "absent"):
        answer = client.post("/api/batches", json={"model": model["id"], "folder": outside})
        assert answer.status_code == 404


def test_presets_are_exported_by_a_process_of_their_own(client, monkeypatch, tflite):
    from registry.playground import jobs

    commands = []

    def run(self, command, look=None):
        commands.append(command)
        shutil.copy(tflite, command[command.index("export") + 2])

    monkeypatch.setattr(jobs.Jobs, "_run", run)
    preset = "lr_aspp_mobilenet_v2_pascalvoc"
    assert preset in client.get("/api/presets").json()
    job = wait(client, client.post(f"/api/presets/{preset}/exports", json={"weights": "none"}).json())
    assert job["status"] == "done", job
    assert job["result"]["model"]["name"] == f"{preset}_float32, random weights"
    (command,) = commands
    assert command[-4:] == ["--weights", "none", "--quantization", "float32"]
    assert client.post("/api/presets/no_such/exports", json={}).status_code == 422
    assert client.post(f"/api/presets/{preset}/exports", json={"precision": "int3"}).status_code == 422


def test_many_clients_at_once_are_all_served(client, photo, model):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: segment(client, photo, model["id"]), range(30)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["mask"] for answer in answers}) == 1


def test_the_interface_is_described(client):
    document = client.get("/openapi.json").json()
    assert {"/api/models", "/api/segment", "/api/compare", "/api/batches"} <= set(document["paths"])
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert all(one.get("description") for one in operations)
    assert json.dumps(document)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(EnvironmentUnsupportedError, match=r"atrous\[serve\]"):
        make_app()
