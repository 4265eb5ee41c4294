import numpy as np
import pytest
from PIL import Image

from registry.drawing import draw_legend, overlay, pascal_voc_colormap, save_image, save_mask, save_overlay
from registry.errors import ModelError, OutputPathError

VOC = [
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128),
    (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128),
    (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
]  # fmt: skip
MASK = np.random.default_rng(0).integers(0, 21, (11, 13), dtype=np.uint8)
PHOTO = np.random.default_rng(1).integers(0, 256, (11, 13, 3), dtype=np.uint8)


def test_the_colour_map_is_pascal_vocs():
    colors = pascal_voc_colormap()
    assert [tuple(color) for color in colors[:21].tolist()] == VOC
    assert tuple(colors[255]) == (224, 224, 192)
    assert len(np.unique(colors, axis=0)) == 256


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 17, 21, 256])
def test_a_mask_comes_back_with_its_exact_palette(classes, tmp_path):
    random = np.random.default_rng(classes)
    palette = random.integers(0, 256, (classes, 3))
    mask = random.integers(0, classes, (11, 13))
    save_mask(mask, tmp_path / "mask.png", palette)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        assert (np.asarray(image) == mask).all()
        assert (np.asarray(image.convert("RGB")) == palette[mask]).all()
        stored = np.array(image.getpalette()).reshape(-1, 3)
        assert (stored[:classes] == palette).all()


def test_an_image_is_written_as_it_is(tmp_path):
    save_image(PHOTO, tmp_path / "photo.png")
    with Image.open(tmp_path / "photo.png") as image:
        assert (np.asarray(image) == PHOTO).all()
    with pytest.raises(OutputPathError):
        save_image(PHOTO, tmp_path / "photo.tiff")


def test_the_default_palette_is_pascal_vocs(tmp_path):
    save_mask(MASK, tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as image:
        assert (np.asarray(image.convert("RGB")) == np.array(VOC)[MASK]).all()


def test_beyond_256_classes_the_png_is_16_bit(tmp_path):
    mask = np.array([[0, 255, 256, 65535]], np.uint16)
    save_mask(mask, tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "I;16"
        assert (np.asarray(image) == mask).all()


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((2, 2)),
        np.zeros((1, 2, 2), int),
        np.array([[-1]]),
        np.array([[65536]]),
        np.zeros((0, 3), int),
    ],
)
def test_what_is_no_mask_is_refused(mask, tmp_path):
    with pytest.raises(ModelError):
        save_mask(mask, tmp_path / "mask.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("palette", [[], [(1, 2)], [(0, 0, 256)], [(0, 0, -1)], [(0.5, 0, 0)], VOC[:3]])
def test_palettes_that_do_not_fit_are_refused(palette, tmp_path):
    with pytest.raises(ModelError):
        save_mask(np.full((2, 2), 3), tmp_path / "mask.png", palette)
    with pytest.raises(ModelError):
        overlay(PHOTO, np.full((11, 13), 3), palette)
    assert not list(tmp_path.iterdir())


def test_an_overlay_mixes_image_and_colours():
    mixed = overlay(PHOTO, MASK, VOC, alpha=0.25)
    expected = PHOTO * 0.75 + np.array(VOC)[MASK] * 0.25
    assert np.abs(mixed - expected).max() <= 1
    assert (overlay(PHOTO, MASK, alpha=0.0) == PHOTO).all()
    assert (overlay(PHOTO, MASK, alpha=1.0) == np.array(VOC)[MASK]).all()


def test_transparent_classes_leave_the_image_alone():
    mixed = overlay(PHOTO, MASK, alpha=1.0, transparent=(0, 4))
    clear = np.isin(MASK, (0, 4))
    assert (mixed[clear] == PHOTO[clear]).all()
    assert (mixed[~clear] == np.array(VOC)[MASK][~clear]).all()


def test_overlay_arguments_that_do_not_fit():
    with pytest.raises(ModelError, match="same height and width"):
        overlay(PHOTO, MASK.T)
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ModelError, match="alpha"):
            overlay(PHOTO, MASK, alpha=alpha)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_an_overlay_is_written_with_a_legend(suffix, tmp_path):
    path = tmp_path / f"overlay{suffix}"
    photo = np.asarray(Image.fromarray(PHOTO).resize((260, 220)))
    mask = np.asarray(Image.fromarray(MASK).resize((260, 220), Image.Resampling.NEAREST))
    save_overlay(photo, mask, path, labels=[f"class {index}" for index in range(21)])
    with Image.open(path) as image:
        assert image.width == 260
        assert image.height > 220


def test_a_legend_shows_each_colour_and_leaves_out_unnamed_classes():
    strip = draw_legend(["background", "", "Größe 猫"], VOC, width=200)
    assert strip.shape[1] == 200
    colors = {tuple(color) for color in strip.reshape(-1, 3).tolist()}
    assert VOC[2] in colors
    assert VOC[1] not in colors
    assert draw_legend(["a long class name"] * 21, VOC, width=60).shape[1] == 60


@pytest.mark.parametrize("name", ["mask.jpg", "mask", "mask.bmp"])
def test_other_formats_are_refused(name, tmp_path):
    with pytest.raises(OutputPathError, match=r"end in \.png"):
        save_mask(MASK, tmp_path / name)


def test_a_failing_encoder_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "mask.png"
    path.write_bytes(b"old")

    def fail(self, target, **options):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        save_mask(MASK, path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["mask.png"]
