"""Whatever is sent to the REST interface, its answer is one that its description has; `fuzz_interface` sends more."""

from fuzz_interface import fuzz

from registry.playground import Settings, jobs, make_app


def test_every_answer_is_as_described_whatever_is_asked(tflite, photo, folder, monkeypatch):
    monkeypatch.setattr(jobs.Jobs, "_run", lambda self, command, look=None: {})
    offer = Settings(models=(tflite,), images=folder / "images", output=folder / "masks", threads=1)
    seen = fuzz(make_app(offer), examples=12)
    answered = {label for label, status in seen if status < 300}
    assert {"POST /api/segment", "POST /api/compare", "POST /api/batches"} <= answered
    assert not [status for _, status in seen if status >= 500]
