"""Presets that several tests share."""

MINIMAL = """\
encoder: {plugin: resnet, variant: resnet_50}
architecture: {name: deeplab_v3_plus}
num_classes: 2
"""
