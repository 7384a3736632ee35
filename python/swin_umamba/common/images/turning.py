"""Volumes on one grid whose axes are stored in another order or direction, as by dcm2niix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .geometry import corner_distance, position_distance
from .stored import StoredImage


@dataclass(frozen=True)
class Turn:
    """How the axes of one volume become those of another.

    Attributes
    ----------
    axes : tuple of int
        The axis of (Z, H, W) that each axis is taken from.
    flipped : tuple of int
        Those that run the other way then.
    """

    axes: tuple[int, int, int]
    flipped: tuple[int, ...]

    def of(self, values: np.ndarray) -> np.ndarray:
        """Turn (Z, H, W)."""
        return np.flip(values.transpose(self.axes), self.flipped)


def turn_to(image: StoredImage, other: StoredImage) -> tuple[Turn, StoredImage] | None:
    """Tell how an image of one channel is to be turned to lie voxel by voxel as another.

    Returns
    -------
    (Turn, StoredImage) or None
        The turn and the turned image; ``None`` where it lies so already, or not on that grid.
    """
    if not (image.affines and other.affines and image.n_axes == other.n_axes == 3) or image.spacing is None:
        return None
    shape = other.values.shape[:0:-1]
    tolerance = 0.5 * min(map(float, image.spacing))
    if (
        image.values.shape[1:] == other.values.shape[1:]
        and position_distance(shape, image.affines, other.affines) <= tolerance
    ):
        return None
    try:
        # From (x, y, z) in the other one to those in the image.
        way = np.linalg.inv(image.affines[0]) @ other.affines[0]
    except np.linalg.LinAlgError:  # an sform beside a qform may be anything
        return None
    turn = np.rint(way[:3, :3])
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    sizes = np.array(image.values.shape[:0:-1])
    wanted = np.array(shape)
    from_axes = np.abs(turn).argmax(axis=0)
    signs = turn.sum(axis=0)
    if (turn == np.eye(3)).all() or (sizes[from_axes] != wanted).any():
        return None
    whole = np.eye(4)
    whole[:3, :3] = turn
    whole[:3, 3] = np.where(turn.sum(axis=1) < 0, sizes - 1, 0)
    affine = image.affines[0] @ whole
    spacing = tuple(float(image.spacing[axis]) for axis in from_axes)
    if corner_distance(shape, affine, other.affines[0]) > tolerance:
        return None
    # Arrays have z first.
    found = Turn(
        tuple(2 - int(axis) for axis in from_axes[::-1]),  # type: ignore[arg-type] # of three
        tuple(2 - axis for axis in range(3) if signs[axis] < 0),
    )
    values = np.stack([found.of(channel) for channel in image.values])
    return found, replace(image, values=values, spacing=spacing, affines=(affine,), header=None)
