"""Write the outputs of TF Model Garden's DeepLabs for random weights that both sides draw alike.

In an environment of its own (`pip install tf-models-official==2.20.0`), never in the test environment:

    TF_USE_LEGACY_KERAS=1 python tests/parity/make_model_garden.py small tests/parity/model_garden
    TF_USE_LEGACY_KERAS=1 python tests/parity/make_model_garden.py full /somewhere

`small` are narrow networks that between them have every part, `full` the networks of `seg_deeplabv3_pascal`,
`seg_deeplabv3plus_pascal` and `mnv2_deeplabv3_pascal`. A file holds names, shapes and dtypes of a checkpoint that
Model Garden's classes wrote, and sampled logits. `check_model_garden.py` compares; a test does it with the committed files.
"""

import tempfile

import tensorflow as tf
import tf_keras
from golden_models import write_all, write_golden
from official.modeling.optimization import ema_optimizer
from official.vision.modeling import classification_model, segmentation_model
from official.vision.modeling.backbones import mobilenet, resnet, resnet_deeplab
from official.vision.modeling.decoders import aspp
from official.vision.modeling.heads import segmentation_heads
from seeded_arrays import garden_array, seeded_image

SIZES = ((64, 96), (80, 112))
TINY = 1
BLOCKS = [("bottleneck", 8, 1), ("bottleneck", 12, 2), ("bottleneck", 16, 1), ("bottleneck", 24, 3)]
resnet_deeplab.RESNET_SPECS[TINY] = resnet.RESNET_SPECS[TINY] = BLOCKS

RESNET_101 = {
    "model_id": 101,
    "output_stride": 16,
    "stem_type": "v1",
    "multigrid": [1, 2, 4],
    "activation": "swish",
}
NETWORKS = {
    "small": {
        # Everything that the trainer of V3+ saves, moments and running averages included.
        "deeplab_v3_plus": {
            "kind": "trainer",
            "backbone": {
                "model_id": TINY,
                "output_stride": 16,
                "stem_type": "v1",
                "multigrid": [1, 2, 4],
                "activation": "swish",
            },
            "aspp": {"num_filters": 8, "dilation_rates": [2, 3], "activation": "swish"},
            "head": {
                "num_convs": 2,
                "num_filters": 8,
                "feature_fusion": "deeplabv3plus",
                "low_level_num_filters": 6,
                "activation": "swish",
            },
        },
        # The model alone; the other stem, another output stride, the other layer for ASPP, a separable head.
        "deeplab_v3": {
            "kind": "model",
            "backbone": {"model_id": TINY, "output_stride": 8},
            "aspp": {"num_filters": 8, "dilation_rates": [2, 3], "spp_layer_version": "v2"},
            "head": {"num_convs": 2, "num_filters": 8, "use_depthwise_convolution": True},
        },
        "separable_aspp": {
            "kind": "items",
            "backbone": {"model_id": TINY, "output_stride": 16},
            "aspp": {"num_filters": 8, "dilation_rates": [2, 3], "use_depthwise_convolution": True},
            "head": {"num_convs": 1, "num_filters": 8},
        },
        "mobilenet": {
            "kind": "items",
            "mobilenet": {"model_id": "MobileNetV2", "filter_size_scale": 0.35, "output_stride": 16},
            "aspp": {"num_filters": 8, "dilation_rates": []},
            "head": {"num_convs": 0},
        },
        "classifier": {"kind": "classifier", "resnet": {"model_id": TINY, "stem_type": "v1"}},
    },
    "full": {
        "deeplab_v3_plus": {
            "kind": "items",
            "backbone": RESNET_101,
            "aspp": {"dilation_rates": [6, 12, 18], "activation": "swish"},
            "head": {"num_convs": 2, "feature_fusion": "deeplabv3plus", "activation": "swish"},
        },
        "deeplab_v3": {
            "kind": "items",
            "backbone": RESNET_101,
            "aspp": {"dilation_rates": [12, 24, 36], "activation": "swish"},
            "head": {"num_convs": 0, "activation": "swish"},
        },
        "mobilenet": {
            "kind": "items",
            "mobilenet": {"model_id": "MobileNetV2", "output_stride": 16},
            "aspp": {"dilation_rates": []},
            "head": {"num_convs": 0},
        },
    },
}
CLASSES = 5
INPUT = tf_keras.layers.InputSpec(shape=[None, None, None, 3])


def network(description):
    """Model Garden's model, and what `tf.train.Checkpoint` saves of it."""
    if description["kind"] == "classifier":
        model = classification_model.ClassificationModel(resnet.ResNet(**description["resnet"]), CLASSES)
        return model, {"model": model, **model.checkpoint_items}
    if "mobilenet" in description:
        backbone = mobilenet.MobileNet(input_specs=INPUT, **description["mobilenet"])
        stride = description["mobilenet"]["output_stride"]
    else:
        backbone = resnet_deeplab.DilatedResNet(**description["backbone"])
        stride = description["backbone"]["output_stride"]
    level = stride.bit_length() - 1
    model = segmentation_model.SegmentationModel(
        backbone,
        aspp.ASPP(level=level, **description["aspp"]),
        segmentation_heads.SegmentationHead(num_classes=CLASSES, level=level, **description["head"]),
    )
    model(tf.zeros((1, *SIZES[0], 3)))
    if description["kind"] == "model":
        return model, {"model": model}
    items = {"model": model, **model.checkpoint_items}
    if description["kind"] == "trainer":
        optimizer = ema_optimizer.ExponentialMovingAverage(
            tf_keras.optimizers.legacy.SGD(0.0, momentum=0.9), trainable_weights_only=False
        )
        optimizer.shadow_copy(model)
        optimizer.apply_gradients([(tf.zeros_like(value), value) for value in model.trainable_variables])
        items |= {"optimizer": optimizer, "global_step": tf.Variable(7, dtype=tf.int64)}
    return model, items


def variable_of(items, path):
    """The variable at a path of names through Keras's objects."""
    first, *names = path.split("/")
    found = items[first]
    for name in names:
        if name.startswith("layer_with_weights-"):
            found = [layer for layer in found.layers if layer.weights][int(name.rpartition("-")[2])]
        else:
            found = found[int(name)] if name.isdecimal() else getattr(found, name)
    return found


def write(path, description):
    """The checkpoint's contents, and sampled outputs."""
    model, items = network(description)
    with tempfile.TemporaryDirectory() as folder:
        saved = tf.train.load_checkpoint(tf.train.Checkpoint(**items).save(f"{folder}/ckpt"))
        shapes, dtypes = saved.get_variable_to_shape_map(), saved.get_variable_to_dtype_map()
        variables = [
            (name, shapes[name], dtypes[name].name) for name in sorted(shapes) if dtypes[name] != tf.string
        ]
    for name, shape, _ in variables:
        values = garden_array(name, tuple(shape))
        if values is not None:
            variable_of(items, name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")).assign(values)
    outputs = {}
    # The second layer for ASPP keeps the size that it was built for.
    fixed = description.get("aspp", {}).get("spp_layer_version") == "v2"
    for height, width in SIZES[:1] if fixed else SIZES:
        image = seeded_image(height, width)
        if description["kind"] == "classifier":
            for level, features in model.backbone(image, training=False).items():
                outputs[f"{height}x{width} P{level}"] = features
        else:
            logits = model(image, training=False)["logits"]
            outputs[f"{height}x{width}"] = tf.image.resize(logits, (height, width))
    write_golden(path, {**description, "blocks": BLOCKS, "variables": variables}, outputs)


if __name__ == "__main__":
    write_all(__doc__, NETWORKS, write)
