"""Colours of classes can be told apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab
from swin_umamba.figures.palette import CLASS_COLOURS, class_colour, numbers_classes

# Machado, Oliveira and Fernandes (2009), "A physiologically-based model for simulation of color vision deficiency",
# severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def _seen(vision: str) -> np.ndarray:
    colours = np.array([to_rgb(colour) for colour in CLASS_COLOURS])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("vision", VISION)
def test_any_two_colours_differ(vision):
    lab = rgb2lab(_seen(vision)[np.newaxis])[0]
    differences = {pair: deltaE_ciede2000(lab[pair[0]], lab[pair[1]]) for pair in combinations(range(len(lab)), 2)}
    assert min(differences.values()) >= 10


def test_after_the_last_colour_the_first_comes_again():
    assert class_colour(len(CLASS_COLOURS)) == class_colour(0)


def test_the_paper_s_organs_are_numbered_and_its_instruments_are_not():
    assert numbers_classes(13)
    assert not numbers_classes(7)
