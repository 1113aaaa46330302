"""Tracker that writes event files for TensorBoard."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError


class TensorBoard:
    """Write event files into ``folder``; a training from step 0 removes those of earlier ones.

    Raises UserError if tensorboard is not installed.
    """

    def __init__(self, folder: Path, stage: TrainStage, start: int):
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise UserError(
                "training.trackers names tensorboard, which is not installed: pip install tensorboard, "
                "or set training.trackers to []"
            ) from error
        if not start:
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
        self.event, self.summary = event_pb2, summary_pb2.Summary
        self.writer = EventFileWriter(str(folder))
        # TensorBoard then drops the values of later steps, which are trained again.
        begin = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(start + 1, session_log=begin)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        found = [self.summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._add(step, summary=self.summary(value=found))

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        from PIL import Image

        png = io.BytesIO()
        Image.fromarray(image).save(png, "PNG")
        height, width, colorspace = image.shape
        picture = self.summary.Image(
            height=height, width=width, colorspace=colorspace, encoded_image_string=png.getvalue()
        )
        self._add(step, summary=self.summary(value=[self.summary.Value(tag=name, image=picture)]))

    def _add(self, step: int, **content: Any) -> None:
        self.writer.add_event(self.event.Event(wall_time=time.time(), step=step, **content))
        self.writer.flush()  # a training may be stopped at any step

    def close(self) -> None:
        self.writer.close()
