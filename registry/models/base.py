"""Base classes of what atrous builds: flat functional models that know their configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.models.numbering import name_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.images import ImageSource

__all__ = ["CLASSIFIER", "Backbone", "ImageSegmenter", "RegistryModel", "deserialize", "untracked"]

# Name of the classifier's layer, in KerasHub's weights as well; where there are several, each name starts with it.
CLASSIFIER = "segmentation_output"

# Attributes that refer to other models or to tensors must not become parts that Keras saves a second time.
untracked = tf.__internal__.tracking.no_automatic_dependency_tracking


def deserialize(config: dict[str, Any], custom_objects: Any = None) -> Any:
    """Rebuild a part of a configuration: of a `.keras` file, or of a SavedModel, which writes the older format."""
    if "module" in config:
        return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    return keras.layers.deserialize(config, custom_objects=custom_objects, use_legacy_format=True)


class _Presets(Mapping[str, str]):
    """`Class.presets`: the catalog's presets, name → one-line description, without building anything.

    Each is read when it is asked for: Keras touches every attribute of a model that it saves, and reading them all
    takes seconds.
    """

    def __getitem__(self, name: str) -> str:
        from registry.catalog import describe, list_presets

        if name not in list_presets():
            raise KeyError(name)
        return describe(name).config.description

    def __iter__(self) -> Iterator[str]:
        from registry.catalog import list_presets

        return iter(list_presets())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


class RegistryModel(keras.Model):
    """A flat functional `tf_keras.Model` that carries the preset it was assembled from."""

    presets = _Presets()

    @property
    def preset_config(self) -> Any:
        """The resolved `PresetConfig` this model was assembled from, or None if it was built by hand."""
        return getattr(self, "_preset_config", None)

    @untracked
    def set_preset_config(self, config: Any) -> None:
        """Attach the resolved `PresetConfig`; assembly does this."""
        self._preset_config = config

    def restore_preset_config(self, config: dict[str, Any]) -> None:
        """Attach the preset that a saved model carries as plain data."""
        from registry.catalog import resolve

        self.set_preset_config(resolve(config).config)

    @property
    def compression(self) -> Any:
        """What kernels are held to in training (`registry.compression.Compression`), or None if they are free."""
        return getattr(self, "_compression", None)

    @untracked
    def set_compression(self, compression: Any) -> None:
        """Hold kernels to something, or with None to nothing more; `registry.prune` and `registry.cluster` do this."""
        self._compression = compression

    @property
    def weights_report(self) -> Any:
        """What was loaded from where (`WeightsReport`), or None while all weights are fresh."""
        return getattr(self, "_weights_report", None)

    @untracked
    def set_weights_report(self, report: Any) -> None:
        """Attach what was loaded; assembly does this."""
        self._weights_report = report

    @classmethod
    def from_preset(cls, preset: Any, load_weights: bool = True, **kwargs: Any) -> Self:
        """Build a preset as this class.

        Args:
            preset: name in the catalog, path of a YAML file or of a saved preset's folder, mapping, a KerasHub preset
                directory, or a handle (`kaggle://…`, `hf://…`).
            load_weights: False leaves the weights freshly initialized.
            **kwargs: overrides, as in `registry.build`.

        Returns:
            A model of this class; called on a base class, of the subclass that the preset describes.
        """
        from registry.assembly import model_from_preset

        return model_from_preset(cls, preset, load_weights=load_weights, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Save the weights; arguments of `tf_keras.Model.save_weights`.

        A `.weights.h5` file numbers layers by class, which leaves open which of two parallel ones is which; each gets
        its name in addition, where KerasHub has it, and `registry.build(…, weights=…)` goes by that.
        """
        super().save_weights(filepath, overwrite=overwrite, **kwargs)
        if str(filepath).endswith(".weights.h5"):
            name_groups(filepath, self.layers)

    @property
    def size_multiple(self) -> tuple[int, int]:
        """Input heights and widths must be multiples of these, in pixels."""
        return 1, 1

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the model, refusing an input that it cannot return at its own size."""
        self.check_input_shape(getattr(inputs, "shape", None))
        return super().__call__(inputs, *args, **kwargs)

    def check_input_shape(self, shape: Any) -> None:
        """Refuse shapes (batch, height, width, 3) that do not fit.

        Raises:
            ModelError: wrong rank, channels, or a side that is not a multiple of `size_multiple`.
        """
        if shape is None or getattr(shape, "rank", 0) is None:
            return  # an unknown shape is the graph's own to check
        shape = tuple(shape)
        channels = self.input_shape[-1]
        if len(shape) != 4 or shape[-1] not in (channels, None):
            raise ModelError(
                f"the input must be (batch, height, width, {channels})",
                received=shape,
                repair="add the batch axis with image[None], and convert the image to RGB",
            )
        for axis, name, multiple in zip((1, 2), ("height", "width"), self.size_multiple, strict=True):
            side = shape[axis]
            if side is not None and (side < multiple or side % multiple):
                raise ModelError(
                    f"the input {name} must be a multiple of {multiple} pixels, the stride of the deepest features",
                    received=f"{name} {side}",
                    repair=f"resize or pad to {max(multiple, -(-side // multiple) * multiple)}",
                )


class Backbone(RegistryModel):
    """Features of an architecture, without the classifier."""


class ImageSegmenter(RegistryModel):
    """An architecture with its classifier: images in, logits or probabilities per pixel out.

    `predict`, `fit` and `evaluate` pass images through `preprocessor` first, as KerasHub's tasks do; calling the
    model does not.
    """

    @property
    def encoder(self) -> Any:
        """The encoder whose graph this model continues: a functional model with `pyramid_outputs`, a view."""
        raise NotImplementedError

    @property
    def classifier(self) -> list[Any]:
        """The layers with weights that make the classes; all others suit any number of classes."""
        return [layer for layer in self.layers if layer.name.startswith(CLASSIFIER) and layer.weights]

    @property
    def preprocessor(self) -> Any:
        """Callable on images, or on (images, labels[, sample weights]); None applies nothing."""
        return getattr(self, "_preprocessor", None)

    @preprocessor.setter
    @untracked
    def preprocessor(self, value: Any) -> None:
        if value is not None and not callable(value):
            raise ModelError(
                "`preprocessor` must be callable or None",
                received=type(value).__name__,
                repair="pass a registry.SegmentationPreprocessor or a function of (images, labels)",
            )
        self._preprocessor = value

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Rebuild from a configuration that holds the preset, through the plugins that the preset names."""
        from registry.assembly import restore

        return restore(config, custom_objects)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """Preprocess, then predict; arguments of `tf_keras.Model.predict`.

        Images that are one batch take a short way with the same result: Keras's data pipeline, made anew for each
        call, costs a third of the time of a 256×256 image.
        """
        if self._is_one_batch(x, batch_size) and set(kwargs) <= {"verbose"} and kwargs.get("verbose") != 1:
            images = x if self.preprocessor is None else self.preprocessor(x)
            self.check_input_shape(images.shape)
            return self._inference()(tf.convert_to_tensor(images)).numpy()
        if self.preprocessor is None:
            self._check_data(x)
            return super().predict(x, batch_size=batch_size, **kwargs)
        return super().predict(self._preprocessed(x, batch_size=batch_size), **kwargs)

    def segment(self, image: ImageSource, *, size: int | tuple[int, int] | None = None) -> NDArray[Any]:
        """Segment one image of any size, as `registry.Segmenter.segment` does with an exported file.

        The image is stretched to the input size (bilinear, antialiased when shrinking) and preprocessed. The logits are
        resized bilinearly to the image's size, and the best class is taken there; of a single one, what exceeds 0.
        `predict`, in contrast, is Keras's: arrays of the model's own input size in, its scores out.

        Args:
            image: path, bytes, PIL image or uint8 array (H, W), (H, W, 3) or (H, W, 4).
            size: height and width, or one number for both, that the image is stretched to, in pixels; None takes the
                size that the graph fixes, else `input.size` of the preset.

        Returns:
            Class indices (H, W) at the image's own size; uint8, or uint16 beyond 256 classes. Ties go to the lowest
            class.

        Raises:
            ImageError: the image cannot be decoded.
            ModelError: `size` does not fit or is missing, or the model gives NaN or infinite values.
        """
        from registry.models.segmenting import segment_image

        return segment_image(self, self._logits(), image, size)

    @untracked
    def _logits(self) -> Any:
        """The model up to its logits as one compiled function, kept."""
        if not hasattr(self, "_compiled_logits"):
            from registry.models.segmenting import compiled_logits

            # In a tuple, as in `_inference`.
            self._compiled_logits = (compiled_logits(self, f"{CLASSIFIER}_activation"),)
        return self._compiled_logits[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """One name per value of a mask, as the preset says; empty if it does not.

        A single plane of scores makes two values, of which a preset names one at most.
        """
        return tuple(label.name for label in self._stated_labels())

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """RGB per value of a mask, as the preset says; empty if it does not."""
        return tuple(label.color for label in self._stated_labels())

    def _stated_labels(self) -> tuple[Any, ...]:
        labels = () if self.preset_config is None else self.preset_config.labels
        return labels if len(labels) == max(2, self.output_shape[-1]) else ()

    def _is_one_batch(self, x: Any, batch_size: int | None) -> bool:
        shape: Any = getattr(x, "shape", ())
        return (
            isinstance(x, (np.ndarray, tf.Tensor))
            and len(shape) == 4
            and 0 < shape[0] <= (batch_size or 32)
            and self.distribute_strategy.num_replicas_in_sync == 1
            and not self.run_eagerly
        )

    @untracked
    def _inference(self) -> Any:
        """The model as one compiled function, kept."""
        if not hasattr(self, "_compiled"):
            # In a tuple: as an attribute of its own it would become part of a SavedModel.
            self._compiled = (
                tf.function(lambda images: self(images, training=False), reduce_retracing=True),
            )
        return self._compiled[0]

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Preprocess, then evaluate; arguments of `tf_keras.Model.evaluate`."""
        if self.preprocessor is None:
            self._check_data(x)
            return super().evaluate(x, y, batch_size=batch_size, sample_weight=sample_weight, **kwargs)
        return super().evaluate(self._preprocessed(x, y, sample_weight, batch_size=batch_size), **kwargs)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        sample_weight: Any = None,
        validation_data: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Preprocess, then fit; arguments of `tf_keras.Model.fit`."""
        if self.preprocessor is None:
            self._check_data(x)
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                sample_weight=sample_weight,
                validation_data=validation_data,
                **kwargs,
            )
        if kwargs.get("validation_split"):
            raise ModelError(
                "`validation_split` cannot be combined with a preprocessor",
                received=kwargs["validation_split"],
                repair="pass `validation_data`, or preprocess beforehand and set model.preprocessor = None",
            )
        shuffle = kwargs.get("shuffle", True)
        if validation_data is not None:
            parts = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            validation_data = self._preprocessed(*parts, batch_size=batch_size)
        prepared = self._preprocessed(x, y, sample_weight, batch_size=batch_size, shuffle=shuffle)
        return super().fit(prepared, validation_data=validation_data, **kwargs)

    def train_step(self, data: Any) -> Any:
        """Make one step of `fit`; kernels that are held to something are so after it."""
        with nullcontext() if self.compression is None else self.compression.held():
            return super().train_step(data)

    def _preprocessed(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = None,
        shuffle: bool = False,
    ) -> Any:
        """Make a `tf.data.Dataset` of preprocessed batches from arrays or from a dataset."""
        if isinstance(x, tf.data.Dataset):
            dataset = x
        elif hasattr(x, "shape"):
            parts = tuple(part for part in (x, y, sample_weight) if part is not None)
            dataset = tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])
            if shuffle:
                dataset = dataset.shuffle(len(x))
            dataset = dataset.batch(batch_size or 32)
        else:
            raise ModelError(
                "with a preprocessor, data must be arrays or a tf.data.Dataset",
                received=type(x).__name__,
                repair="wrap it with tf.data.Dataset.from_generator, or set model.preprocessor = None",
            )
        mapped = dataset.map(self.preprocessor, num_parallel_calls=tf.data.AUTOTUNE)
        self._check_data(mapped)
        return mapped.prefetch(tf.data.AUTOTUNE)

    def _check_data(self, data: Any) -> None:
        """Refuse misshapen data before the graph is traced, where the error would arrive wrapped."""
        spec = tf.nest.flatten(data.element_spec)[0] if isinstance(data, tf.data.Dataset) else data
        shape = getattr(spec, "shape", None)
        if shape is not None:
            self.check_input_shape(shape)
