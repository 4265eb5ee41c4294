"""Measure the input pipeline: what each stage costs, and how many images a second reach the training step.

    python tests/benchmarks/input_pipeline.py [--images 96] [--preset NAME]

Makes photographs of 500×375 pixels in Pascal VOC's layout, and shards of them. Prints two Markdown tables: the CPU time
of each stage on one thread, with the way by TensorFlow that resizes images and masks as a whole beside ours, and the
throughput of `training_batches` beside what a training step of the preset consumes. Not a test: nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from PIL import Image

import registry
from registry.backend import keras, tf
from registry.data import Dataset, DigitsInPhotographs, pack, pascal_voc, tfrecord
from registry.images import load_image
from registry.training.augmentation import Augmentation, augment
from registry.training.losses import make_loss
from registry.training.pipeline import training_batches
from registry.training.step import TrainingStep

SETTINGS = (((512, 512), 16), ((256, 256), 2))
FASTEST = "lr_aspp_mobilenet_v3_small_pascalvoc"


def photographs(root: Path, count: int) -> Dataset:
    """Write generated photographs and masks in Pascal VOC's layout, and open them."""
    base = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / folder).mkdir(parents=True)
    names = []
    for example in DigitsInPhotographs("train", count, size=(375, 500)):
        names.append(example.name)
        Image.fromarray(example.image).save(base / "JPEGImages" / f"{example.name}.jpg", quality=95)
        mask = Image.fromarray(example.mask)
        mask.putpalette(bytes(range(256)) * 3)
        mask.save(base / "SegmentationClass" / f"{example.name}.png")
    (base / "ImageSets" / "Segmentation" / "train.txt").write_text("\n".join(names))
    return pascal_voc(root, "train")


def cpu_milliseconds(function: Callable[[int], Any], count: int) -> float:
    """Median CPU time of a call, in this process; what others do on the machine hardly matters to it."""
    function(0)
    times = []
    for number in range(count):
        started = time.process_time()
        function(number)
        times.append((time.process_time() - started) * 1e3)
    return float(np.median(times))


def resized_whole(crop: tuple[int, int]) -> Any:
    """Scale, crop and mirror by TensorFlow: the whole image as float32, antialiased, then the crop."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, 3), tf.uint8),
            tf.TensorSpec((None, None), tf.uint8),
            tf.TensorSpec((2,), tf.int32),
        ]
    )
    def augmented(image: Any, mask: Any, seed: Any) -> Any:
        draws = tf.random.stateless_uniform((4,), seed)
        shape = tf.cast(tf.shape(mask), tf.float32)
        size = tf.cast(tf.round(shape * 0.5 * 4.0 ** draws[0]), tf.int32)
        image = tf.image.resize(tf.cast(image, tf.float32), size, antialias=True)
        mask = tf.image.resize(mask[..., None], size, "nearest")
        spare = tf.cast(tf.maximum(size - crop + 1, 1), tf.float32)
        top, left = tf.unstack(tf.cast(draws[1:3] * spare, tf.int32))
        image, mask = image[top:, left:][: crop[0], : crop[1]], mask[top:, left:][: crop[0], : crop[1]]
        padding = [[0, crop[0] - tf.shape(mask)[0]], [0, crop[1] - tf.shape(mask)[1]], [0, 0]]
        image, mask = (
            tf.pad(image, padding, constant_values=127.5),
            tf.pad(mask, padding, constant_values=255),
        )
        return tf.cond(
            draws[3] < 0.5, lambda: (tf.reverse(image, [1]), tf.reverse(mask, [1])), lambda: (image, mask)
        )

    return augmented


def stages(data: Dataset, crop: tuple[int, int], count: int) -> dict[str, float]:
    """CPU milliseconds of each stage."""
    examples = [data[number] for number in range(count)]
    whole = resized_whole(crop)
    settings = Augmentation()

    def ours(number: int) -> None:
        example = examples[number]
        augment(example.image, example.mask, np.random.default_rng((0, number)), settings, crop, 255)

    def theirs(number: int) -> None:
        example = examples[number]
        whole(example.image, example.mask, tf.constant([0, number]))

    return {
        "decode the image": cpu_milliseconds(lambda number: load_image(data.samples[number].image), count),
        "decode the mask": cpu_milliseconds(lambda number: data.read_mask(data.samples[number]), count),
        "example, checks included": cpu_milliseconds(lambda number: data[number], count),
        f"augment to {crop[0]}×{crop[1]}": cpu_milliseconds(ours, count),
        f"augment to {crop[0]}×{crop[1]}, resized whole by TensorFlow": cpu_milliseconds(theirs, count),
    }


def rate(step: Callable[[], Any], images: int, seconds: float) -> float:
    """Images per second of a repeated step."""
    for _ in range(2):
        step()
    started, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < seconds or not done:
        step()
        done += images
    return done / passed


def training_rate(preset: str, crop: tuple[int, int], batch_size: int, seconds: float) -> float:
    """Images per second that a training step consumes, fed from memory."""
    model = registry.build(preset, weights=None, encoder_weights=None, image_shape=(*crop, 3))
    losses = [(1.0, make_loss("cross_entropy"))]
    step = tf.function(TrainingStep(model, keras.optimizers.SGD(0.007, 0.9), losses, batch_size=batch_size))
    images = tf.zeros((batch_size, *crop, 3), tf.uint8)
    masks = tf.zeros((batch_size, *crop), tf.uint8)
    return rate(lambda: step(images, masks).numpy(), batch_size, seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the input pipeline.")
    parser.add_argument("--images", type=int, default=96, help="photographs to make")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each throughput measurement")
    parser.add_argument("--preset", default=FASTEST, help="whose training step is fed")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        data = photographs(Path(folder), options.images)
        pack(data, Path(folder), "train", shards=2)
        shards = tfrecord(Path(folder), num_classes=21)
        size = np.mean([sample.image.stat().st_size for sample in data.samples]) / 1024
        print(f"{len(data)} photographs of 500×375 pixels, {size:.0f} KiB each; {os.cpu_count()} CPUs\n")
        print("| stage, one thread | CPU ms per image |\n|---|---|")
        measured = {}
        for crop, _ in SETTINGS:
            measured.update(stages(data, crop, min(options.images, 64)))
        for name, milliseconds in measured.items():
            print(f"| {name} | {milliseconds:.2f} |")
        print(
            "\n| images per second | files | shards | training step | files ÷ step |\n|---|---|---|---|---|"
        )
        for crop, batch_size in SETTINGS:
            rates = []
            for source in (data, shards):
                batches = iter(training_batches(source, batch_size=batch_size, crop=crop))
                rates.append(rate(lambda batches=batches: next(batches), batch_size, options.seconds))
                del batches
            consumed = training_rate(options.preset, crop, batch_size, options.seconds)
            print(
                f"| crop {crop[0]}×{crop[1]}, batch {batch_size} | {rates[0]:.0f} | {rates[1]:.0f} | {consumed:.1f} "
                f"({options.preset}) | {rates[0] / consumed:.0f} × |"
            )


if __name__ == "__main__":
    main()
