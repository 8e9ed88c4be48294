"""JPEG pictures in data files."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image


def unpacked(pictures: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    """`[T, *shape]` uint8 of `T` JPEG files, each as bytes or as an array of them.

    A picture of another size than `shape` `[H, W, ...]` is not unpacked: `ValueError`."""
    rows = np.empty((len(pictures), *shape), np.uint8)
    for i in range(len(pictures)):
        packed = pictures[i]
        data = packed if isinstance(packed, bytes) else np.asarray(packed, np.uint8).tobytes()
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            if picture.size != (shape[1], shape[0]):
                raise ValueError(f"picture {i} is of {picture.size} pixels, the dataset declares {list(shape)}")
            rows[i] = np.asarray(picture, np.uint8)
    return rows
