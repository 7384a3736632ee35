"""Figures as SVG elements of a page, in the colours of its style sheet."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from .style import CSS_VARIABLES

_REFERENCE = re.compile(r"#([\w-]+)")


def inline_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Write a figure as an ``<svg>`` element; call it inside `figure_style`.

    Parameters
    ----------
    figure
        What to write. Its background is left out.
    name
        Starts every identifier inside, so that several figures fit on one page.
    title, description
        What a screen reader says.

    Returns
    -------
    str
        The element, without namespaces, metadata and size, to be put into an HTML page.
    """
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    root = ElementTree.fromstring(buffer.getvalue())
    elements = list(root.iter())
    used = {match for element in elements for value in element.attrib.values() for match in _REFERENCE.findall(value)}
    # Colours look like references, too.
    used &= {element.attrib["id"] for element in elements if "id" in element.attrib}
    for element in elements:
        element.tag = _bare(element.tag)
        element.attrib = {_bare(key): value for key, value in element.attrib.items()}
        # The identifiers that matplotlib gives to groups are the same in every figure.
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)
        for key, value in element.attrib.items():
            element.attrib[key] = f"{name}-{value}" if key == "id" else _recoloured(value, name, used)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib.update({"role": "img", "aria-labelledby": f"{name}-title {name}-description"})
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        child = ElementTree.Element(tag, id=f"{name}-title" if tag == "title" else f"{name}-description")
        child.text = text
        root.insert(place, child)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _bare(name: str) -> str:
    return name.rpartition("}")[2]


def _recoloured(value: str, name: str, used: set[str]) -> str:
    for colour, variable in CSS_VARIABLES.items():
        value = value.replace(colour, f"var({variable})")
    return _REFERENCE.sub(lambda match: f"#{name}-{match[1]}" if match[1] in used else match[0], value)
