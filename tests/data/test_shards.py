"""Data sets in TFRecord shards: whole sets, the images' own bytes, the features that TensorFlow's tools use."""

import io

import numpy as np
import pytest
from PIL import Image
from trees import folder_tree, mask_of, pascal_voc_tree, write_image, write_indices

from registry.backend import tf
from registry.config.data import TFRecordSource
from registry.data import DigitsInPhotographs, folder_pairs, open_data, pack, pascal_voc, tfrecord
from registry.data.messages import decode_example, encode_example
from registry.data.records import open_records, write_record
from registry.errors import DataError, ImageError, OutputPathError
from registry.images import load_image
from registry.training.pipeline import training_batches

# As DeepLab's reader asks for them.
FEATURES = {
    "image/encoded": tf.io.FixedLenFeature((), tf.string),
    "image/filename": tf.io.FixedLenFeature((), tf.string),
    "image/format": tf.io.FixedLenFeature((), tf.string),
    "image/height": tf.io.FixedLenFeature((), tf.int64),
    "image/width": tf.io.FixedLenFeature((), tf.int64),
    "image/channels": tf.io.FixedLenFeature((), tf.int64),
    "image/segmentation/class/encoded": tf.io.FixedLenFeature((), tf.string),
    "image/segmentation/class/format": tf.io.FixedLenFeature((), tf.string),
}


@pytest.fixture
def voc(tmp_path):
    return pascal_voc(pascal_voc_tree(tmp_path / "voc"), "trainaug", sbd=tmp_path / "voc")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    return folder


def same(one, other):
    assert one.name == other.name
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.mask, other.mask)
    assert one.mask.dtype == other.mask.dtype


def write_records(folder, *records, name="one.tfrecord"):
    with (folder / name).open("wb") as stream:
        for record in records:
            write_record(stream, record)
    return folder


def png(values):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(values)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("shards", [1, 2, 3, 4])
def test_packed_data_is_the_data(voc, folder, shards):
    steps = []
    paths = pack(voc, folder, "train", shards=shards, progress=lambda *step: steps.append(step))
    assert [path.name for path in paths] == [f"train-{n:05}-of-{shards:05}.tfrecord" for n in range(shards)]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    data = tfrecord(folder, num_classes=21)
    assert len(data) == len(voc) == 4
    for one, other in zip(data, voc, strict=True):
        same(one, other)
    same(data[-1], voc[3])
    same(data[1:3][0], voc[1])
    with pytest.raises(IndexError):
        data[4]


def test_images_keep_their_files_bytes(voc, folder):
    pack(voc, folder, "train")
    data = tfrecord(folder, num_classes=21)
    for index, sample in enumerate(voc.samples):
        assert data.stored(index).image == sample.image.read_bytes()


def test_the_same_data_gives_the_same_bytes(voc, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pack(voc, tmp_path / name, "train", shards=2)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_tensorflow_parses_and_decodes_them(voc, folder):
    paths = [str(path) for path in pack(voc, folder, "train", shards=2)]
    records = list(tf.data.TFRecordDataset(paths))
    parsed = tf.io.parse_example(records, FEATURES)
    for index, example in enumerate(voc):
        one = {key.removeprefix("image/"): value[index].numpy() for key, value in parsed.items()}
        assert (one["filename"], one["format"]) == (example.name.encode(), b"jpeg")
        assert (one["height"], one["width"], one["channels"]) == example.image.shape
        assert one["segmentation/class/format"] == b"png"
        image = tf.io.decode_jpeg(one["encoded"], 3, dct_method="INTEGER_ACCURATE")
        np.testing.assert_array_equal(image, example.image)
        mask = tf.io.decode_png(one["segmentation/class/encoded"], 1)
        np.testing.assert_array_equal(mask[..., 0], example.mask)


def test_what_tensorflow_wrote_is_read(voc, folder):
    """As DeepLab's build_data.py: PNG images, whole paths as names, the annotations' own indexed files as gray."""
    for number in range(2):
        with tf.io.TFRecordWriter(str(folder / f"val-{number:05}-of-00002.tfrecord")) as writer:
            for example in voc[2 * number : 2 * number + 2]:
                values = {
                    "image/encoded": tf.io.encode_png(example.image).numpy(),
                    "image/filename": f"/data/{example.name}.png".encode(),
                    "image/format": b"png",
                    "image/segmentation/class/encoded": tf.io.encode_png(example.mask[..., None]).numpy(),
                    "image/segmentation/class/format": b"png",
                }
                features = {
                    key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                    for key, value in values.items()
                }
                for key, value in zip(("height", "width"), example.mask.shape, strict=True):
                    features[f"image/{key}"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                message = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(message.SerializeToString())
    data = tfrecord(folder, pattern="val-*", num_classes=21)
    assert [example.name for example in data] == [f"/data/{sample.name}.png" for sample in voc.samples]
    for one, other in zip(data, voc, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


def test_names_are_optional(folder):
    image = np.zeros((4, 5, 3), np.uint8)
    features = {"image/encoded": png(image), "image/segmentation/class/encoded": png(image[..., 0])}
    write_records(folder, encode_example(features), encode_example({**features, "image/filename": b"x\xff"}))
    data = tfrecord(folder, num_classes=2)
    assert [example.name for example in data] == ["one:0", "x�"]


def test_sixteen_bit_masks_stay(tmp_path, folder):
    write_image(tmp_path / "images" / "a.png")
    write_indices(tmp_path / "masks" / "a.png", mask_of(0, 255, 700, 65535, dtype=np.uint16))
    data = folder_pairs(tmp_path, num_classes=701, ignore_label=65535)
    (path,) = pack(data, folder, "wide")
    same(tfrecord(folder, num_classes=701, ignore_label=65535)[0], data[0])
    content = decode_example(open_records(path).read(0))["image/segmentation/class/encoded"][0]
    np.testing.assert_array_equal(tf.io.decode_png(content, 1, tf.uint16)[..., 0], data[0].mask)


def test_images_that_decoders_disagree_about_are_stored_as_their_pixels(tmp_path, folder):
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "images" / "turned.jpg", exif=exif)
    image.convert("CMYK").save(tmp_path / "images" / "print.jpg")
    image.save(tmp_path / "images" / "web.webp")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "images" / "deep.png")
    image.save(tmp_path / "images" / "plain.jpg")
    for name in ("turned", "print", "web", "deep", "plain"):
        size = (8, 6) if name == "turned" else (6, 8)
        write_indices(tmp_path / "masks" / f"{name}.png", mask_of(0, 1, size=size))
    data = folder_pairs(tmp_path, num_classes=2)
    pack(data, folder, "mixed")
    packed = tfrecord(folder, num_classes=2)
    kinds = {}
    for index, (one, other) in enumerate(zip(packed, data, strict=True)):
        same(one, other)
        stored = packed.stored(index)
        decoded = tf.io.decode_image(stored.image, 3)
        kinds[one.name] = "jpeg" if stored.image.startswith(b"\xff\xd8") else "png"
        if kinds[one.name] == "png":
            np.testing.assert_array_equal(decoded, one.image)
    assert kinds == {"turned": "png", "print": "png", "web": "png", "deep": "png", "plain": "jpeg"}


def test_generated_images_are_packed_too(folder):
    data = DigitsInPhotographs("val", 2, size=(64, 80))
    pack(data, folder, "digits")
    for one, other in zip(tfrecord(folder, num_classes=11), data, strict=True):
        same(one, other)


def test_a_recipe_opens_shards(voc, folder):
    pack(voc, folder, "train", shards=2)
    source = TFRecordSource(reader="tfrecord", root="shards", pattern="train-*")
    data = open_data(source, num_classes=21, data_root=folder.parent)
    same(data[2], voc[2])
    with pytest.raises(DataError, match="number of classes"):
        open_data(source, data_root=folder.parent)


def test_a_pipeline_draws_from_shards_what_it_draws_from_files(voc, folder):
    pack(voc, folder, "train", shards=3)
    batches = [
        next(iter(training_batches(data, batch_size=4, crop=(9, 9), seed=3)))
        for data in (voc, tfrecord(folder, num_classes=21))
    ]
    for one, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(60))
def test_damage_is_found(voc, folder, damaged, seed):
    (path,) = pack(voc[:2], folder, "train")
    path.write_bytes(damaged(path.read_bytes(), seed))
    try:
        data = tfrecord(folder, num_classes=21)
        examples = list(data)
    except DataError as error:
        assert "train-00000-of-00001.tfrecord" in str(error) or "empty files" in str(error)
    else:  # cut between two records, or a byte replaced by itself
        for one, other in zip(examples, voc, strict=False):
            same(one, other)


def test_nothing_appears_if_an_image_is_broken(voc, folder):
    voc.samples[2].image.write_bytes(b"no image")
    with pytest.raises(ImageError):
        pack(voc, folder, "train", shards=2)
    assert list(folder.iterdir()) == []


def test_another_set_of_that_name_is_not_mixed_in(voc, folder):
    pack(voc, folder, "train", shards=2)
    pack(voc, folder, "train", shards=2)
    pack(voc, folder, "val", shards=1)
    with pytest.raises(OutputPathError, match=r"train-00000-of-00002\.tfrecord and 1 more"):
        pack(voc, folder, "train", shards=3)
    with pytest.raises(DataError, match="train in 2 shards, val in 1 shards"):
        tfrecord(folder, num_classes=21)
    assert len(tfrecord(folder, pattern="train-*", num_classes=21)) == 4
    (folder / "train-00001-of-00002.tfrecord").unlink()
    with pytest.raises(DataError, match="missing: 1"):
        tfrecord(folder, pattern="train-*", num_classes=21)


@pytest.mark.parametrize("shards", [0, 5])
def test_there_are_no_empty_shards(voc, folder, shards):
    with pytest.raises(DataError, match="4 images"):
        pack(voc, folder, "train", shards=shards)
    with pytest.raises(OutputPathError, match="file names"):
        pack(voc, folder, "../train")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("*.record", "at least one shard"), ("/*", "inside of `root`"), ("", "inside of `root`")],
)
def test_patterns_that_match_nothing_are_refused(voc, folder, pattern, message):
    pack(voc, folder, "train")
    with pytest.raises(DataError, match=message):
        tfrecord(folder, pattern=pattern, num_classes=21)


def test_records_that_hold_something_else_are_refused(tmp_path, folder):
    folder_tree(tmp_path)
    image = (tmp_path / "images" / "one.jpg").read_bytes()
    mask = (tmp_path / "masks" / "one.png").read_bytes()
    wrong = {
        r"is a tf\.train\.Example": b"no message",
        "one value of 'image/encoded'": encode_example({"image/segmentation/class/encoded": mask}),
        "its features are image/encoded": encode_example({"image/encoded": image}),
        "is raw": encode_example(
            {
                "image/encoded": image,
                "image/segmentation/class/encoded": bytes(192),
                "image/segmentation/class/format": b"raw",
            }
        ),
        "RGB colours": encode_example(
            {"image/encoded": image, "image/segmentation/class/encoded": png(load_image(image))}
        ),
        "0…1 and the ignore label": encode_example(
            {"image/encoded": image, "image/segmentation/class/encoded": mask}
        ),
        "image 8×6, mask 3×2": encode_example(
            {"image/encoded": image, "image/segmentation/class/encoded": png(np.zeros((2, 3), np.uint8))}
        ),
    }
    data = tfrecord(write_records(folder, *wrong.values()), num_classes=2)
    for number, message in enumerate(wrong):
        with pytest.raises(DataError, match=message) as caught:
            data[number]
        assert f"one.tfrecord, record {number} at byte" in str(caught.value)
    write_records(folder, encode_example({"image/encoded": b"x", "image/segmentation/class/encoded": mask}))
    with pytest.raises(ImageError, match=r"one\.tfrecord, record 0 at byte 0"):
        tfrecord(folder, num_classes=3)[0]
    write_records(folder)
    with pytest.raises(DataError, match="at least one record"):
        tfrecord(folder, num_classes=3)
