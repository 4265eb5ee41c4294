import contextlib
import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from registry import images
from registry.errors import ImageError
from registry.images import load_image, load_indices, plain_format, read_file

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


@pytest.fixture
def png():
    return encoded(Image.fromarray(PIXELS))


def test_every_kind_of_source_gives_the_same_pixels(png, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(png)
    sources = [
        path,
        str(path),
        png,
        bytearray(png),
        memoryview(png),
        Image.open(path),
        Image.fromarray(PIXELS),
        PIXELS,
    ]
    for source in sources:
        pixels = load_image(source)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert (pixels == PIXELS).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, format):
    # Where the stored picture's first row and first column lie in the scene, by the EXIF standard.
    scene = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8], stored[8:, 16:], stored[:8, 16:] = 255, 90, 170
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {"quality": 100} if format == "AVIF" else {}
    pixels = load_image(encoded(Image.fromarray(stored), format, exif=exif, **options))
    expected = scene(stored)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= (12 if format == "AVIF" else 0)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b""])
def test_damaged_exif_counts_as_upright(exif):
    data = encoded(Image.fromarray(PIXELS), "PNG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (load_image(data) == PIXELS).all()


def test_orientation_out_of_range_counts_as_upright():
    exif = Image.Exif()
    exif[0x0112] = 99
    assert (load_image(encoded(Image.fromarray(PIXELS), exif=exif)) == PIXELS).all()


def test_grayscale_and_one_bit():
    gray = PIXELS[:, :, 0]
    assert (load_image(encoded(Image.fromarray(gray))) == gray[:, :, np.newaxis]).all()
    bits = Image.fromarray(gray > 127)
    assert set(np.unique(load_image(encoded(bits)))) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_dropped_not_composited(mode):
    image = Image.fromarray(PIXELS).convert(mode.replace("PA", "P"))
    if mode == "PA":
        image = image.convert("PA")
    expected = np.asarray(image.convert("RGBA"))[:, :, :3]
    image.putalpha(Image.fromarray(RANDOM.integers(0, 256, (6, 9), dtype=np.uint8)))
    assert (load_image(image) == expected).all()


def test_premultiplied_alpha_is_divided_again():
    image = Image.new("RGBA", (2, 2), (200, 100, 50, 128)).convert("RGBa")
    assert np.abs(load_image(image).astype(int) - (200, 100, 50)).max() <= 2


@pytest.mark.parametrize("transparency", [None, 1, bytes([0, 128, 255])])
def test_palette_with_and_without_transparency(transparency):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="L")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    options = {} if transparency is None else {"transparency": transparency}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = load_image(encoded(image, **options))
    assert pixels.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


@pytest.mark.parametrize(
    ("format", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B"), ("PPM", "I;16")]
)
def test_16_bit_grayscale_is_scaled_not_clipped(format, mode):
    values = np.array([[0, 128, 129, 256, 32768, 65535]], np.uint16)
    image = Image.fromarray(values)
    if mode == "I;16B":
        image = Image.frombytes("I;16B", (6, 1), values.astype(">u2").tobytes())
    pixels = load_image(encoded(image, format))
    assert pixels[0, :, 0].tolist() == np.rint(values[0] / 257).astype(int).tolist()
    assert (pixels == pixels[:, :, :1]).all()


def tiff(bits, photometric, data, width, height):
    """A minimal little-endian TIFF of one strip."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    entries += [(273, 4, 0), (277, 3, 1), (278, 4, height), (279, 4, len(data))]
    offset = 8 + 2 + 12 * len(entries) + 4
    body = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        body += struct.pack("<HHII", tag, kind, 1, offset if tag == 273 else value)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 0) + data


def test_12_bit_tiff_has_its_own_white():
    pixels = load_image(tiff(12, 1, bytes([0x00, 0x0F, 0xFF]), 2, 1))
    assert pixels[0, :, 0].tolist() == [0, 255]


def test_a_tiff_whose_zero_is_white_is_inverted():
    pixels = load_image(tiff(16, 0, struct.pack("<HH", 0, 65535), 2, 1))
    assert pixels[0, :, 0].tolist() == [255, 0]


def test_16_bit_colour_keeps_its_range():
    row = b"\0" + struct.pack(">HHH", 0, 32768, 65535)
    data = chunked_png(1, 1, row, depth=16, colour=2)
    assert np.abs(load_image(data)[0, 0].astype(int) - (0, 128, 255)).max() <= 1


def test_cmyk_without_profile_as_pillow_converts_it():
    image = Image.fromarray(PIXELS).convert("CMYK")
    assert (load_image(encoded(image, "TIFF")) == np.asarray(image.convert("RGB"))).all()


def test_cmyk_goes_through_a_usable_profile(monkeypatch):
    image = Image.fromarray(PIXELS).convert("CMYK")
    used = []

    def convert(source, *profiles, **options):
        used.append(options["outputMode"])
        return Image.new("RGB", source.size, (1, 2, 3))

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (load_image(encoded(image, "TIFF", icc_profile=srgb)) == (1, 2, 3)).all()
    assert used == ["RGB"]


@pytest.mark.parametrize("kind", ["garbage", "of another colour space"])
def test_cmyk_with_an_unusable_profile_falls_back(kind):
    profile = (
        b"garbage"
        if kind == "garbage"
        else ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    )
    image = Image.fromarray(PIXELS).convert("CMYK")
    pixels = load_image(encoded(image, "TIFF", icc_profile=profile))
    assert (pixels == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "RGBX"])
def test_other_colour_spaces_are_converted(mode):
    image = Image.new("RGB", (2, 2), (200, 100, 50)).convert(mode)
    assert np.abs(load_image(image).astype(int) - (200, 100, 50)).max() <= 8


def test_one_pixel():
    assert load_image(encoded(Image.new("RGB", (1, 1), (1, 2, 3)))).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_picture_of_an_animation_counts(format):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert (load_image(data) == (255, 0, 0)).all()


# What is refused


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000"])
def test_truncated_files_are_refused(format):
    image = Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(image.convert("P") if format == "GIF" else image, format)
    for part in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(ImageError):
            load_image(data[: int(len(data) * part)])


def test_corrupt_pixels_are_refused(png):
    middle = png.index(b"IDAT") + 12
    with pytest.raises(ImageError, match="must decode completely"):
        load_image(
            png[:middle] + bytes(byte ^ 0xFF for byte in png[middle : middle + 20]) + png[middle + 20 :]
        )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must not be empty"),
        (b"hello, I am a text file", "known image header"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "known image header"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "known image header"),
    ],
)
def test_what_is_no_image_is_refused(data, message, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(ImageError, match=message) as caught:
            load_image(source)
        assert caught.value.repair
    with pytest.raises(ImageError, match=r"photo\.jpg"):
        load_image(path)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(ImageError, match="must exist"):
        load_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="regular file"):
        load_image(tmp_path)
    with pytest.raises(ImageError, match="readable"):
        load_image("nul\0character")


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_unknown_range_are_refused(mode):
    image = Image.new(mode, (2, 2), 7)
    with pytest.raises(ImageError, match="known range"):
        load_image(encoded(image, "TIFF"))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunked_png(width, height, raw, *extra, depth=8, colour=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(raw, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("side", [8193, 10_000, 60_000, 2**31 - 1])
def test_bombs_are_refused_from_their_header(side, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's own warning must not leak
        with pytest.raises(ImageError, match="at most 67,108,864 pixels"):
            load_image(chunked_png(side, side, b""))


def test_a_large_pil_image_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(images, "MAX_IMAGE_PIXELS", 53)
    with pytest.raises(ImageError, match="at most 53 pixels"):
        load_image(Image.fromarray(PIXELS))


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(50_000_000), 9)),
        chunk(b"iTXt", b"key\0\1\0\0\0" + zlib.compress(bytes(50_000_000), 9)),
        chunk(b"iCCP", b"key\0\0" + zlib.compress(bytes(50_000_000), 9)),
    ],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_text_bombs_are_contained(bomb):
    import tracemalloc

    data = chunked_png(1, 1, b"\0\7", bomb)
    tracemalloc.start()
    with contextlib.suppress(ImageError):
        assert load_image(data).tolist() == [[[7, 7, 7]]]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_no_global_state_changes(png):
    def state():
        return (
            Image.MAX_IMAGE_PIXELS,
            ImageFile.LOAD_TRUNCATED_IMAGES,
            PngImagePlugin.MAX_TEXT_CHUNK,
            list(warnings.filters),
        )

    before = state()
    threads = [threading.Thread(target=load_image, args=(png,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ImageError):
        load_image(png[:40])
    assert state() == before


def test_a_users_own_pixel_limit_is_respected(png, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageError, match="at most"):
        load_image(png)


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (6, 9, 4)])
def test_arrays_of_other_channel_counts(shape):
    array = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    expected = array.reshape(6, 9, -1)[:, :, :3]
    assert (load_image(array) == expected).all()
    assert load_image(array).shape == (6, 9, 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (PIXELS / 255.0, "uint8"),
        (PIXELS.astype(np.int32), "uint8"),
        (np.full((4, 4, 3), np.nan, np.float32), "48 NaN or infinite"),
        (PIXELS > 3, "bool"),
        (np.zeros((1, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((3, 40, 40), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
        (np.zeros(4, np.uint8), "shape"),
        (np.array(["a"], object), "uint8"),
    ],
)
def test_arrays_that_are_no_image(array, message):
    with pytest.raises(ImageError, match=message):
        load_image(array)


@pytest.mark.parametrize("source", [None, 3, [[1, 2]], object()])
def test_other_types_are_refused(source):
    with pytest.raises(ImageError, match="must be a path"):
        load_image(source)


def test_a_transposed_array_is_taken_as_it_looks():
    assert (load_image(PIXELS[::-1, ::-1]) == PIXELS[::-1, ::-1]).all()


def plain_files():
    """Files of every kind that `plain_format` takes for plain, by name."""
    smooth = Image.fromarray(PIXELS).resize((37, 29), Image.Resampling.BICUBIC)
    gray = smooth.convert("L")
    indexed = smooth.quantize(16)
    see_through = smooth.copy()
    see_through.putalpha(gray)
    jpegs = {
        f"{name} {subsampling}": encoded(
            image, "JPEG", quality=quality, subsampling=subsampling, progressive=fine
        )
        for name, image in {"RGB": smooth, "L": gray}.items()
        for subsampling, quality, fine in (("4:2:0", 75, True), ("4:2:2", 90, False), ("4:4:4", 95, False))
    }
    pngs = {
        "RGB": encoded(smooth),
        "L": encoded(gray),
        "P": encoded(indexed),
        "P with transparency": encoded(indexed, transparency=bytes(range(16))),
        "L with transparency": encoded(gray, transparency=7),
        "RGBA": encoded(see_through),
        "upright": encoded(smooth, exif=orientation_of(1)),
    }
    return {"jpeg": jpegs, "png": pngs}


def orientation_of(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_plain_files_are_what_tensorflow_decodes_alike(kind):
    from registry.backend import tf

    for name, data in plain_files()[kind].items():
        assert plain_format(data) == kind, name
        decoded = (
            tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")
            if kind == "jpeg"
            else tf.io.decode_png(data, 3)
        )
        np.testing.assert_array_equal(decoded, load_image(data), name)


def test_what_decoders_disagree_about_is_not_plain():
    image = Image.fromarray(PIXELS)
    others = [
        encoded(image, exif=orientation_of(6)),
        encoded(image, "JPEG", exif=orientation_of(3)),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)),
        encoded(image.convert("1")),
        encoded(image, "WEBP"),
        encoded(image)[:20],
        b"",
    ]
    assert [plain_format(data) for data in others] == [None] * len(others)


def test_bytes_have_the_name_that_they_are_given():
    with pytest.raises(ImageError, match="record 7"):
        load_image(b"nothing", name="record 7")
    with pytest.raises(ImageError, match="record 7"):
        load_indices(b"", name="record 7")


def test_indices_are_read_from_bytes_as_from_a_file(tmp_path):
    indexed = Image.fromarray(PIXELS[..., 0] % 4)
    indexed.putpalette(bytes(range(255, -1, -1)) * 3)
    (tmp_path / "mask.png").write_bytes(encoded(indexed))
    for source in (tmp_path / "mask.png", encoded(indexed)):
        np.testing.assert_array_equal(load_indices(source), PIXELS[..., 0] % 4)


def test_a_files_bytes_come_with_the_same_refusals(tmp_path, png):
    (tmp_path / "photo.png").write_bytes(png)
    assert read_file(tmp_path / "photo.png") == png
    with pytest.raises(ImageError, match="must exist"):
        read_file(tmp_path / "other.png")
    with pytest.raises(ImageError, match="regular file"):
        read_file(tmp_path)
