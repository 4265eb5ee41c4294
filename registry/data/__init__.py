"""Data sets of annotated images: readers of the field's layouts, all with one output.

Nothing here imports TensorFlow.
"""

from registry.data.ade20k import ade20k
from registry.data.cityscapes import cityscapes
from registry.data.coco import coco_panoptic, coco_stuff
from registry.data.dataset import IGNORE_LABEL, AnnotatedImages, Dataset, Example, Sample
from registry.data.digits import DigitsInPhotographs
from registry.data.folder import folder_pairs
from registry.data.opening import open_data
from registry.data.packing import pack
from registry.data.pascal_voc import pascal_voc
from registry.data.shards import tfrecord

__all__ = [
    "IGNORE_LABEL",
    "AnnotatedImages",
    "Dataset",
    "DigitsInPhotographs",
    "Example",
    "Sample",
    "ade20k",
    "cityscapes",
    "coco_panoptic",
    "coco_stuff",
    "folder_pairs",
    "open_data",
    "pack",
    "pascal_voc",
    "tfrecord",
]
