"""Colours of classes, told apart by colour-blind readers too."""

from __future__ import annotations

# The first seven are Okabe and Ito's ("Color universal design", 2008). The others were chosen one by one among colours
# that show on a dark image, each as far as can be from all before it: seen with normal vision, protanopia, deuteranopia
# or tritanopia (Machado et al. 2009, severity 1), any two of the fourteen differ by at least 10 in CIEDE2000.
CLASS_COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#f0e442",
    "#0072b2",
    "#c3e1b4",
    "#874b3c",
    "#00fff0",
    "#8778ff",
    "#c30f87",
    "#c30f00",
    "#b4b478",
)

MISTAKES = {"false positive": "#d55e00", "false negative": "#00fff0", "wrong class": "#f0e442"}
"""What can be wrong with a pixel, and its colour: three that are far apart for all readers."""

# With more classes than these, colours alone are hard to look up in a legend; the pictures then number the classes.
EASILY_TOLD_APART = 7


def class_colour(index: int) -> str:
    """Colour of the class at ``index``, counted from 0, as ``#rrggbb``; after the last it begins again."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]


def numbers_classes(n_classes: int) -> bool:
    """Whether pictures with this many classes carry the numbers of the classes besides their colours."""
    return n_classes > EASILY_TOLD_APART
