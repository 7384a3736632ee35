"""Writing a network in one of the formats, for as many sizes of images as it can, and checking what was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..common.errors import RunError, last_line
from .formats import Format
from .graph import FullResolution, Sizes, possible_sizes, trace

TOLERANCE = 1e-4
"""Largest difference from the network's own logits, as a share of the largest of them where that is above one."""


def write_model(
    network: nn.Module, channels: int, patch: tuple[int, int], form: Format, path: Path
) -> tuple[Sizes, float]:
    """Write a network and hold the file's logits to the network's own, for each size that `Sizes.examples` has.

    Parameters
    ----------
    network : nn.Module
        On the CPU, in float32 and evaluation mode.
    channels : int
        Of an image.
    patch : (int, int)
        Height and width of the training patch.
    form : Format
        What to write.
    path : pathlib.Path
        Where.

    Returns
    -------
    sizes : Sizes
        Of the images that the file takes.
    difference : float
        The largest that was seen, as a share of the largest logit where that is above one.

    Raises
    ------
    RunError
        The network cannot be written in this format, or the logits differ by more than 1e-4.
    """
    failed: Exception = ValueError("no sizes to try")
    for sizes in possible_sizes(network, patch):
        try:
            form.write(trace(network, channels, sizes), path)
            difference = max(_differences(network, channels, sizes, form, path))
        # Of exporters and runtimes, which say in their own ways that they do not take a graph for images of any size.
        except Exception as error:
            failed = error
            continue
        if not difference <= TOLERANCE:
            raise RunError(
                f"the exported model's logits differ from the network's by {difference:.1e} of the largest, more than "
                f"{TOLERANCE:.0e}; it was not kept"
            )
        return sizes, difference
    raise RunError(f"the network cannot be written in this format: {last_line(failed)}") from failed


def _differences(network: nn.Module, channels: int, sizes: Sizes, form: Format, path: Path) -> Iterator[float]:
    run, own = form.load(path), FullResolution(network)
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in sizes.examples():
        image = torch.randn((batch, channels, height, width), generator=generator)
        with torch.inference_mode():
            wanted = own(image).numpy()
        yield float(np.abs(run(image.numpy()) - wanted).max() / max(1.0, np.abs(wanted).max()))
