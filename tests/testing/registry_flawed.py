"""A plugin in which each variant breaks one promise. Beside them `sound`, which breaks none."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec

CHANNELS = {"P1": 8, "P2": 8, "P3": 16}
PARAMETERS = 2_680
MACS = 30_670_848


class Required(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int


class Exemplified(Required):
    model_config = ConfigDict(json_schema_extra={"examples": [{"width": 16}]})


def variant(name, **changes):
    described = {
        "channels": CHANNELS,
        "output_strides": (4, 8),
        "min_size": 8,
        "parameters": PARAMETERS,
        "macs": MACS,
        "description": "Three convolutions.",
    }
    return EncoderSpec(name=name, **{**described, **changes})


SPECS = [
    variant("sound"),
    variant("other_parameters", parameters=7),
    variant("other_macs", macs=None),
    variant("not_described", description=" "),
    variant("unlicensed", weights={"imagenet": "hf://user/model/file.safetensors"}),
    variant("unversioned", weights={"imagenet": "kaggle://a/b/c/d"}, license="MIT"),
    variant("elsewhere", weights={"imagenet": "ftp://host/file"}, license="MIT"),
    variant("relative", weights={"imagenet": "weights/file.h5"}, license="MIT"),
    variant("license_in_words", license="do as you please"),
    variant("paper_in_words", paper="see the paper"),
    variant("needlessly_excluded", exclusions={"flat": "the graph has a model inside"}),
    variant("excluded_by_another_word", exclusions={"flatness": "the graph has a model inside"}),
    variant("without_example", options=Required, parameters=None, macs=None),
    variant("with_example", options=Exemplified, parameters=None, macs=None),
    variant("smaller_than_it_says", min_size=2),
    variant("uneven", min_size=8),
    variant("nested"),
    variant("nested_and_known", exclusions={"flat": "a model inside, as its authors publish it"}),
    variant("code"),
    variant("operation"),
    variant("head_name"),
    variant("applied_twice"),
    variant("counted_names"),
    variant("counted_variables"),
    variant("other_shapes"),
    variant("infers_wrongly"),
    variant("not_finite"),
    variant("rate_forgotten"),
    variant("one_stride", output_strides=(8,)),
    variant("squeezed"),
    variant("no_gradient"),
    variant("forgets_argument"),
    variant("stumbles", weights={"imagenet": "hf://user/model/file.safetensors"}, license="MIT"),
    variant("renames_all", weights={"imagenet": "hf://user/model/file.safetensors"}, license="MIT"),
    variant("taken_apart"),
    variant("flex"),
    variant("float_only"),
    variant("unregistered"),
    variant("raises"),
]


@hookimpl
def registry_encoders():
    return SPECS


@hookimpl
def registry_build_encoder(variant, inputs, output_stride):
    from flawed_graph import flawed_pyramid

    return flawed_pyramid(variant, inputs, output_stride)


@hookimpl
def registry_convert_weights(variant, arrays):
    if variant == "stumbles" and "stem" not in arrays:
        return {"stem": arrays["conv_stem.weight"]}
    if variant == "renames_all":
        return {f"{name}_renamed": values for name, values in arrays.items()}
    return None
