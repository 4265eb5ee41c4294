"""The page in a browser, as a visitor uses it.

A browser is what these tests need: `chromium` (or `google-chrome`) on the PATH, or the program that ATROUS_BROWSER names, and
Playwright of the extra `dev`. Where there is none they say so as skipped; with ATROUS_BROWSER they fail instead.
ATROUS_SCREENSHOTS names a folder for pictures of the page, for somebody to look at.
"""

import base64
import os
import shutil
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from registry.metadata import SegmenterMetadata, write_metadata
from registry.playground import Settings, jobs, make_app

BROWSER = os.environ.get("ATROUS_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="the page needs a browser, and there is no chromium here"
)
RED, GREEN = struct.pack("<3f", 1, -1, 0), struct.pack("<3f", -1, 1, 0)
DROP = """([content, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def models(tflite):
    """A float file and an integer one of one model, which disagree everywhere, and whose classes have names."""
    content, labels = (
        tflite.read_bytes(),
        SegmenterMetadata(labels=("rest", "red"), colors=((0, 0, 0), (200, 30, 60))),
    )
    assert content.count(RED) == 1
    paths = [tflite.with_name(f"half_{precision}.tflite") for precision in ("float32", "int8")]
    for path, variant in zip(paths, (content, content.replace(RED, GREEN)), strict=True):
        path.write_bytes(write_metadata(variant, labels))
    return tuple(paths)


@pytest.fixture(scope="module")
def address(models, folder, photo):
    """A server on a free port, in a thread of this process."""
    settings = Settings(models=models, images=folder / "images", output=folder / "masks", threads=1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(make_app(settings), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def page(address):
    """The page, opened; what a browser complains about, and requests to others, fail the test that opened it."""
    with sync_playwright() as playwright:
        # A container has no user namespaces for Chromium's own sandbox; the page is ours.
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((address, "data:", "blob:"))
                else page.complaints.append(request.url)
            ),
        )
        page.goto(address)
        yield page
        browser.close()


def drop(page, content, name):
    page.evaluate(DROP, [base64.b64encode(content).decode(), name])


def picture(page, name):
    if folder := os.environ.get("ATROUS_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def colors(page, image):
    """Colours in the middle of the left and of the right half of a picture, as the browser shows it."""
    return page.evaluate(
        """async (id) => {
          const image = document.getElementById(id);
          await image.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          const context = canvas.getContext("2d", { willReadFrequently: true });
          context.drawImage(image, 0, 0);
          return [0.25, 0.75].map((x) =>
            Array.from(context.getImageData(x * canvas.width, canvas.height / 2, 1, 1).data.slice(0, 3)));
        }""",
        image,
    )


def test_an_image_is_dropped_and_its_classes_are_named(page, photo):
    expect(page.locator("#model option")).to_have_count(2)
    drop(page, photo, "half.png")
    expect(page.locator("#legend tr")).to_have_count(2)
    assert sorted(page.locator("#legend tr").all_inner_texts()) == ["red\t50.00 %", "rest\t50.00 %"]
    assert "24 pixels" in page.locator("#facts").inner_text()
    assert " ms" in page.locator("#facts").inner_text()
    left, right = colors(page, "picture")
    assert left[2] > 20  # under the colour of its class
    assert right[1] > 150  # the background is left as it is
    picture(page, "overlay")


def test_precisions_are_toggled(page):
    float32, int8 = page.locator("#precisions button").all()
    assert float32.get_attribute("aria-checked") == "true"
    before = page.locator("#picture").get_attribute("src")
    int8.click()
    expect(page.locator("#picture")).not_to_have_attribute("src", before)
    expect(page.locator("#facts")).to_contain_text("half_int8")
    assert colors(page, "picture")[1][1] < 150  # now the right half is class 1
    page.locator("#precisions button").first.click()
    expect(page.locator("#facts")).to_contain_text("half_float32")


def test_two_files_are_compared_with_a_slider_and_a_heat_map(page):
    page.locator("#other").select_option(label="half_int8.tflite")
    expect(page.locator("#facts")).to_contain_text("equal in 0.00 %")
    assert "half_int8.tflite: " in page.locator("#facts").inner_text()
    assert len(page.locator("#changes tr").all()) == 1 + 2
    shown = page.locator("#overlay").bounding_box()
    page.locator('[data-view="slider"]').click()
    expect(page.locator("#slider")).to_be_visible()
    assert page.locator("#slider").bounding_box() == shown
    slider = page.locator("#split")
    for value, visible in ((25, "75%"), (80, "20%")):
        slider.evaluate("(one, value) => { one.value = value; one.oninput({ target: one }); }", value)
        assert (
            page.locator("#over").evaluate("(one) => one.style.clipPath") == f"inset(0px {visible} 0px 0px)"
        )
    slider.focus()
    slider.press("ArrowLeft")
    assert slider.input_value() == "79"
    picture(page, "slider")
    page.locator('[data-view="heat"]').click()
    expect(page.locator("#heatmap")).to_be_visible()
    assert all(red > 230 and green > 180 and blue < 60 for red, green, blue in colors(page, "heatmap"))
    picture(page, "difference")


def test_operations_are_listed(page):
    page.locator('[data-view="operations"]').click()
    expect(page.locator("#operations")).to_contain_text("CONV_2D")
    expect(page.locator("#operations")).to_contain_text("1 operation,")
    picture(page, "operations")
    page.locator('[data-view="overlay"]').click()


def test_a_preset_is_exported_and_shown(page, monkeypatch, tflite):
    preset = "deeplab_v3_plus_resnet_digits"
    monkeypatch.setattr(
        jobs.Jobs,
        "_run",
        lambda self, command, look=None: shutil.copy(tflite, command[command.index("export") + 2]),
    )
    page.locator("summary", has_text="Export a preset").click()
    page.locator("#preset").select_option(preset)
    page.locator("#precision").select_option("float16")
    page.locator("#export").click()
    expect(page.locator("#jobs")).to_contain_text("done")
    expect(page.locator("#model option:checked")).to_contain_text(f"{preset}_float16")
    expect(page.locator("#facts")).to_contain_text(preset)
    picture(page, "exported")


def test_a_folder_is_segmented(page, folder):
    page.locator("summary", has_text="Segment a folder").click()
    page.locator("#model").select_option(label="half_float32.tflite (float32)")
    page.locator("#batch").click()
    expect(page.locator("#jobs li").first).to_contain_text("done 1 of 1")
    with Image.open(folder / "masks" / "half_float32" / "deep" / "a_mask.png") as mask:
        assert np.unique(mask).tolist() == [0, 1]


def test_what_is_wrong_is_told_and_nothing_was_complained_of(page):
    drop(page, b"no image", "broken.png")
    expect(page.locator("#message")).to_contain_text("known image header")
    drop(page, b"no model", "<b>broken</b>.tflite")
    expect(page.locator("#message")).to_contain_text("repair:")
    assert page.locator("#message b").count() == 0
    picture(page, "message")
    # The two refusals are all that the console may hold; nothing was fetched from elsewhere, no policy broken.
    assert [text for text in page.complaints if "422" not in text] == []
