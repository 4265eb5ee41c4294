"""Each head against its formula, on features of our own: NumPy for the sums, KerasHub for SegFormer."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_networks import randomize

from registry import discovery
from registry.backend import keras, tf
from registry.errors import ConfigError, ModelError
from registry_heads import fpn, lr_aspp, pspnet, segformer, unet
from registry_heads.pooling import AdaptiveAveragePooling2D, bin_weights

CLASSES = 5
CHANNELS = {"P1": 3, "P2": 4, "P3": 6, "P4": 8, "P5": 10}


def configured(name, **values):
    section = discovery.load_architecture(name).spec.section
    return section.model_validate({"name": name, **values})


class Head:
    """A head alone: its levels are inputs."""

    def __init__(self, module, config, levels, size=(64, 96), strides=None, channels=CHANNELS, fixed=False):
        strides = strides or {level: 2 ** int(level[1]) for level in levels}
        inputs = {
            level: keras.Input(
                (
                    *((size[0] // strides[level], size[1] // strides[level]) if fixed else (None, None)),
                    channels[level],
                ),
                name=level,
            )
            for level in levels
        }
        encoder = SimpleNamespace(pyramid_outputs=inputs, level_strides=strides)
        self.model = keras.Model(inputs, module.logits(encoder, config, CLASSES))
        rng = np.random.default_rng(3)
        self.features = {
            level: rng.normal(
                size=(2, size[0] // strides[level], size[1] // strides[level], channels[level])
            ).astype(np.float32)
            for level in levels
        }
        randomize(self.model)

    def __call__(self):
        return self.model(self.features, training=False).numpy()

    def weights(self, name):
        return self.model.get_layer(name).get_weights()

    def pointwise(self, x, name):
        kernel, *bias = self.weights(name)
        return x @ kernel[0, 0] + (bias[0] if bias else 0)

    def normalized(self, x, name):
        gamma, beta, mean, variance = self.weights(name)
        epsilon = self.model.get_layer(name).epsilon
        return np.maximum((x - mean) / np.sqrt(variance + epsilon) * gamma + beta, 0)

    def convolved(self, x, name):
        kernel, *bias = self.weights(name)
        return tf.nn.conv2d(x, kernel, 1, "SAME").numpy() + (bias[0] if bias else 0)


def bilinear(x, size):
    """Half-pixel centres, edges repeated: each axis a matrix of weights."""

    def weights(source, target):
        centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        low = np.floor(centres).astype(int)
        matrix = np.zeros((target, source))
        rows = np.arange(target)
        np.add.at(matrix, (rows, low), 1 - (centres - low))
        np.add.at(matrix, (rows, np.minimum(low + 1, source - 1)), centres - low)
        return matrix

    return np.einsum("yh,bhwc,xw->byxc", weights(x.shape[1], size[0]), x, weights(x.shape[2], size[1]))


def nearest(x, factor):
    return x.repeat(factor, axis=1).repeat(factor, axis=2)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.std(expected))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class TestLrAspp:
    def expected(self, head, pool, high="P5", low="P3"):
        """As torchvision orders it: the features are upsampled, then classified."""
        x = head.features[high]
        gate = sigmoid(head.pointwise(pool(x), "lr_aspp_gate_conv"))
        if gate.shape[1:3] != (1, 1):
            gate = bilinear(gate, x.shape[1:3])
        gated = head.normalized(head.pointwise(x, "lr_aspp_conv"), "lr_aspp_bn") * gate
        shallow = head.features[low]
        return head.pointwise(
            bilinear(gated, shallow.shape[1:3]), "segmentation_output_high"
        ) + head.pointwise(shallow, "segmentation_output_low")

    @pytest.mark.parametrize("fixed", [False, True])
    def test_the_formula(self, fixed):
        head = Head(lr_aspp, configured("lr_aspp", filters=7), ["P3", "P5"], fixed=fixed)
        assert_close(head(), self.expected(head, lambda x: x.mean(axis=(1, 2), keepdims=True)))

    def test_other_levels(self):
        config = configured("lr_aspp", high_level_feature_key="P4", low_level_feature_key="P2")
        head = Head(lr_aspp, config, ["P2", "P4"])
        assert head.weights("lr_aspp_conv")[0].shape == (1, 1, 8, 128)
        assert_close(head(), self.expected(head, lambda x: x.mean(axis=(1, 2), keepdims=True), "P4", "P2"))

    def test_the_papers_windows(self):
        config = configured("lr_aspp", filters=7, pooling={"size": [3, 9], "stride": [2, 4]})
        head = Head(lr_aspp, config, ["P3", "P5"], size=(160, 256), fixed=True)

        def windows(x):  # the map is 5×8: rows 0…2 and 2…4; columns are cut to 8, one window
            return np.stack([x[:, 0:3].mean(axis=(1, 2)), x[:, 2:5].mean(axis=(1, 2))], axis=1)[:, :, None]

        assert_close(head(), self.expected(head, windows))

    def test_windows_of_an_open_size(self):
        with pytest.raises(ModelError, match="needs a fixed input size"):
            Head(lr_aspp, configured("lr_aspp", pooling={}), ["P3", "P5"])
        assert configured("lr_aspp", pooling={}).pooling.size == (49, 49)


class TestPspNet:
    @pytest.mark.parametrize(("height", "width"), [(7, 10), (6, 12), (9, 6), (5, 1)])
    @pytest.mark.parametrize("bins", [1, 2, 3, 6])
    @pytest.mark.parametrize("fixed", [False, True])
    def test_bins_are_pytorchs(self, height, width, bins, fixed):
        """torch.nn.AdaptiveAvgPool2d: bin i spans ⌊i·n/bins⌋ … ⌈(i+1)·n/bins⌉."""
        x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
        expected = np.zeros((2, bins, bins, 3))
        for row in range(bins):
            for column in range(bins):
                rows = slice(row * height // bins, int(np.ceil((row + 1) * height / bins)))
                columns = slice(column * width // bins, int(np.ceil((column + 1) * width / bins)))
                expected[:, row, column] = x[:, rows, columns].mean(axis=(1, 2))
        inputs = keras.Input((height, width, 3) if fixed else (None, None, 3))
        model = keras.Model(inputs, AdaptiveAveragePooling2D(bins)(inputs))
        assert model.output_shape == (None, bins, bins, 3)
        np.testing.assert_allclose(model(x), expected, atol=1e-5)

    def test_weights_of_bins_sum_to_one(self):
        for side in range(1, 20):
            np.testing.assert_allclose(bin_weights(side, 6).sum(axis=1), 1, rtol=1e-6)

    def test_the_formula(self):
        head = Head(pspnet, configured("pspnet", filters=9), ["P5"], size=(224, 320))
        x = head.features["P5"]
        blocks = [x]
        for number, bins in enumerate((1, 2, 3, 6), start=1):
            pooled = np.einsum("ih,bhwc,jw->bijc", bin_weights(7, bins), x, bin_weights(10, bins))
            pooled = head.normalized(head.pointwise(pooled, f"psp_{number}_conv"), f"psp_{number}_bn")
            assert pooled.shape[-1] == 10 // 4
            blocks.append(bilinear(pooled, (7, 10)))
        joined = np.concatenate(blocks, axis=-1).astype(np.float32)
        fused = head.normalized(head.convolved(joined, "psp_conv"), "psp_bn")
        assert_close(head(), head.pointwise(fused, "segmentation_output"))


class TestFpn:
    @pytest.mark.parametrize("strides", [None, {"P2": 4, "P3": 8, "P4": 8, "P5": 8}])
    def test_the_sums(self, strides):
        levels = ["P2", "P3", "P4", "P5"]
        head = Head(fpn, configured("fpn", pyramid_filters=7, filters=6), levels, strides=strides)
        strides = strides or {"P2": 4, "P3": 8, "P4": 16, "P5": 32}
        merged, below, total = None, None, 0
        for level in reversed(levels):
            name = level.lower()
            lateral = head.pointwise(head.features[level], f"fpn_lateral_{name}")
            merged = (
                lateral if merged is None else lateral + nearest(merged, strides[below] // strides[level])
            )
            x = head.convolved(merged.astype(np.float32), f"fpn_output_{name}")
            below = level
            for number in range(1, max(1, int(np.log2(strides[level] // 4))) + 1):
                prefix = f"fpn_semantic_{name}_{number}"
                x = head.normalized(head.convolved(x.astype(np.float32), f"{prefix}_conv"), f"{prefix}_bn")
                if strides[level] > 4:
                    x = bilinear(x, (2 * x.shape[1], 2 * x.shape[2]))
            total = total + x
        assert_close(head(), head.pointwise(total, "segmentation_output"))


class TestUNet:
    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
    def test_the_blocks(self, interpolation):
        config = configured("unet", decoder_filters=[9, 8, 7, 6, 5], interpolation=interpolation)
        levels = ["P1", "P2", "P3", "P4", "P5"]
        head = Head(unet, config, levels)
        x = head.features["P5"]
        for number, level in enumerate(["P4", "P3", "P2", "P1", None], start=1):
            x = nearest(x, 2) if interpolation == "nearest" else bilinear(x, (2 * x.shape[1], 2 * x.shape[2]))
            if level:
                x = np.concatenate([x, head.features[level]], axis=-1)
            for convolution in (1, 2):
                x = head.convolved(x.astype(np.float32), f"unet_block{number}_conv{convolution}")
                x = head.normalized(x, f"unet_block{number}_bn{convolution}")
        assert x.shape == (2, 64, 96, 5)
        assert_close(head(), head.pointwise(x, "segmentation_output"))

    def test_without_a_block_at_the_inputs_resolution(self):
        config = configured("unet", feature_keys=["P2", "P3", "P4", "P5"], decoder_filters=[8, 8, 8])
        assert Head(unet, config, ["P2", "P3", "P4", "P5"])().shape == (2, 16, 24, CLASSES)

    def test_as_many_blocks_as_steps(self):
        from registry.catalog import resolve

        preset = {
            "encoder": {"plugin": "resnet", "variant": "resnet_18"},
            "architecture": {"name": "unet", "decoder_filters": [8, 8]},
            "num_classes": 2,
        }
        with pytest.raises(ConfigError, match="`decoder_filters` must have 4 or 5 values"):
            resolve(preset)


def test_segformer_equals_keras_hub():
    """KerasHub's features in, KerasHub's weights, KerasHub's logits out; tests/parity/make_segformer_head.py wrote them."""
    golden = dict(np.load(Path(__file__).parents[1] / "parity" / "segformer_head.npz"))
    # KerasHub counts the levels of a Mix Transformer from 1; ours are named by their strides, 4 … 32.
    ours = {f"P{number + 1}": f"P{number}" for number in (1, 2, 3, 4)}
    features = {level: golden[f"feature_{theirs}"] for level, theirs in ours.items()}
    channels = {level: feature.shape[-1] for level, feature in features.items()}
    filters = golden["fuse_kernel"].shape[-1]
    head = Head(segformer, configured("segformer", filters=filters), list(ours), channels=channels)
    head.features = features
    for level, theirs in ours.items():
        kernel, bias = golden[f"linear_{theirs}_kernel"], golden[f"linear_{theirs}_bias"]
        head.model.get_layer(f"segformer_linear_{level.lower()}").set_weights([kernel[None, None], bias])
    head.model.get_layer("segformer_fuse").set_weights([golden["fuse_kernel"]])
    names = ("gamma", "beta", "mean", "variance")
    head.model.get_layer("segformer_fuse_bn").set_weights([golden[f"norm_{name}"] for name in names])
    head.model.get_layer("segmentation_output").set_weights(
        [golden["classifier_kernel"], golden["classifier_bias"]]
    )
    assert_close(bilinear(head(), golden["output"].shape[1:3]), golden["output"])
