"""Segment many images: folders, globs and TFRecord shards, by one process or several, or as an Apache Beam pipeline."""

from registry.batch.beam import beam_segment
from registry.batch.report import BatchReport
from registry.batch.running import segment_files

__all__ = ["BatchReport", "beam_segment", "segment_files"]
