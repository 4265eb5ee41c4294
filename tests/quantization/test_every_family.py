"""Every encoder family and every head, from a model that rounds over five steps of training to a file of integers."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from small_networks import blocks, randomize

import registry
from registry.backend import keras, tf
from registry.inspection import inspect_model

ENCODERS = [
    ("resnet", "resnet_18"),
    ("resnet", "resnet_vd_18"),
    ("mobilenet", "mobilenet_v1_025"),
    ("mobilenet", "mobilenet_v2_035"),
    ("mobilenet", "mobilenet_v3_small_050_torch"),
    ("mobilenet", "mobilenet_v4_conv_small_050"),
    ("efficientnet", "efficientnet_b0"),
    ("efficientnet", "efficientnet_lite0"),
    ("xception", "xception_41"),
    ("densenet", "densenet_121"),
    ("cspnet", "csp_resnext_50"),
    ("mit", "mit_b0"),
    ("keras_applications", "mobilenet_v3_small"),
    ("keras_applications", "convnext_tiny"),
]
HEADS = ["deeplab_v3", "deeplab_v3_plus", "lr_aspp", "fpn", "unet", "pspnet", "segformer"]
SIZE = (64, 64)
# The file against the model that rounds, in standard deviations of its scores; attention multiplies what it is given.
LARGEST_DIFFERENCE = 0.05
LARGEST_WITH_ATTENTION = 0.15
# Kernels round a sum that lies between two steps one way or the other, and a network carries that on: TFLite's own two
# sets of kernels differ by up to 2.5 steps of the output here. A model that rounds like them differs by no more.
MOST_OF_KERNELS = 1.1
# Where kernels agree, the model may differ in one pixel of twenty, by a step.
OFTEN_ENOUGH = 0.05
# Scores that kernels agree on so little would say nothing.
MOST_CHAOTIC = 0.1


@pytest.fixture(autouse=True)
def forget_graphs():
    yield
    keras.backend.clear_session()


def train(model, images, steps=5):
    """Steps of SGD on what the model says, with every other pixel of another class."""
    labels = np.argmax(model.predict(images, verbose=0), -1)
    labels[:, ::2] = 0
    optimizer = keras.optimizers.SGD(1e-3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(pixels, classes):
        with tf.GradientTape() as tape:
            value = loss(classes, model(pixels, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    pixels = model.preprocessor(tf.constant(images, tf.float32)) if model.preprocessor else images
    values = [float(step(pixels, labels)) for _ in range(steps)]
    assert np.isfinite(values).all()
    return values


def steps(path, images, kernels):
    """What a file computes with a set of kernels, in steps of its output, and size and zero of a step."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    scores = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        scores.append(interpreter.get_tensor(result["index"]).astype(np.float64))
    return np.concatenate(scores), result["quantization"]


def check(preset, images, tmp_path, largest=LARGEST_DIFFERENCE):
    keras.utils.set_random_seed(0)
    model = randomize(registry.build(preset, weights=None))
    rounded = registry.quantize(model, calibration=images, size=SIZE, progress=False)
    before = [variable.numpy() for variable in rounded.trainable_variables]
    train(rounded, images)
    after = [variable.numpy() for variable in rounded.trainable_variables]
    assert any((one != other).any() for one, other in zip(before, after, strict=True))
    report = registry.export(rounded, tmp_path / "m.tflite", size=SIZE, quantization="int8", progress=False)
    assert not {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"} & set(report.operations)
    floats = [part for part in inspect_model(report.path).operations if part.precision == "float"]
    assert [f"{part.name} {part.layer}" for part in floats] == []
    seen = np.concatenate([images, blocks(4, 64, seed=1)])
    with_delegate, (size, zero) = steps(report.path, seen, OpResolverType.BUILTIN)
    without, _ = steps(report.path, seen, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    own = np.concatenate([rounded.predict(image[None].astype(np.float32), verbose=0) for image in seen])
    of_kernels = np.abs(with_delegate - without).mean()
    assert of_kernels < MOST_CHAOTIC * with_delegate.std()
    # Of U-Net here, TFLite's kernels differ by more than that: then they are the measure.
    most = max(largest * report.parity.reference_std, MOST_OF_KERNELS * of_kernels * size)
    assert report.parity.mean_abs < most
    assert np.abs(own / size + zero - with_delegate).mean() <= MOST_OF_KERNELS * of_kernels + OFTEN_ENOUGH


@pytest.mark.sweep
@pytest.mark.parametrize(("plugin", "variant"), ENCODERS)
def test_every_family(plugin, variant, images, tmp_path):
    preset = {
        "encoder": {"plugin": plugin, "variant": variant},
        "architecture": {"name": "fpn"},
        "num_classes": 3,
    }
    check(preset, images, tmp_path, LARGEST_WITH_ATTENTION if plugin == "mit" else LARGEST_DIFFERENCE)


@pytest.mark.sweep
@pytest.mark.parametrize("head", HEADS)
def test_every_head(head, images, tmp_path):
    dilated = {"output_stride": 16} if head.startswith(("deeplab", "lr_aspp", "pspnet")) else {}
    preset = {
        "encoder": {"plugin": "mobilenet", "variant": "mobilenet_v2_035", **dilated},
        "architecture": {"name": head},
        "num_classes": 3,
    }
    check(preset, images, tmp_path)
