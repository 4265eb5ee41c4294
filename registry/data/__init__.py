"""Data sets of annotated images: readers of the field's layouts, all with one output.

Nothing here imports TensorFlow.
"""

from registry.data.ade20k import ade20k
from registry.data.checking import check_data, shared_images
from registry.data.cityscapes import cityscapes
from registry.data.coco import coco_panoptic, coco_stuff
from registry.data.dataset import IGNORE_LABEL, AnnotatedImages, Dataset, Example, Sample
from registry.data.digits import DigitsInPhotographs
from registry.data.folder import folder_pairs
from registry.data.opening import open_data
from registry.data.packing import pack
from registry.data.pascal_voc import pascal_voc
from registry.data.report import DataReport, Finding
from registry.data.shards import tfrecord
from registry.data.sheet import save_sheet

__all__ = [
    "IGNORE_LABEL",
    "AnnotatedImages",
    "DataReport",
    "Dataset",
    "DigitsInPhotographs",
    "Example",
    "Finding",
    "Sample",
    "ade20k",
    "check_data",
    "cityscapes",
    "coco_panoptic",
    "coco_stuff",
    "folder_pairs",
    "open_data",
    "pack",
    "pascal_voc",
    "save_sheet",
    "shared_images",
    "tfrecord",
]
