"""Classes of which each has masks of its own, in files that their names tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...common.errors import UserError
from ...common.text import one_line
from .label_names import LabelName, number_labels, reserved
from .pairing import NameForm, Pairing

UNNAMED = "mask"
"""A class whose masks have no word in their names that others have not."""


def mask_forms_by_class(forms: Sequence[NameForm]) -> dict[str, NameForm]:
    """Name the classes of which each has masks of its own by what their names differ in."""
    words = {form: (form.prefix + "/" + form.suffix).replace("/", "_").replace("-", "_").split("_") for form in forms}
    words = {form: [word for word in found if word] for form, found in words.items()}
    shared = set.intersection(*map(set, words.values()))
    named = {" ".join(word for word in found if word not in shared) or UNNAMED: form for form, found in words.items()}
    return named if len(named) == len(forms) else {str(form): form for form in forms}


def want_classes(pairing: Pairing, classes: Mapping[str, NameForm]) -> None:
    """Refuse masks of an image of which one tells no class: it may be another version, or a second object."""
    numbered = {form for name, form in classes.items() if name.replace(" ", "").isdigit()}
    for pair in pairing.pairs:
        first, *others = sorted(pair.masks, key=str)
        if others and {classes.get(UNNAMED), *numbered} & pair.masks.keys():
            second = others[0]
            raise UserError(
                f"{pair.image} has two masks, {pair.masks[first]} and {pair.masks[second]}; keep one, or "
                f"say what they are: --labels 'a={first},a={second}' makes one class of both, a= and b= two"
            )
    if numbered:
        examples = " and ".join(str(next(iter(pair.masks.values()))) for pair in pairing.pairs[:2])
        raise UserError(
            f"names of masks, such as {examples}, differ from those of the images by numbers, which are no "
            f"classes; rename them, or give each class by --mask-name"
        )


def class_labels(
    classes: Mapping[str, NameForm], names: Sequence[LabelName] | None
) -> tuple[dict[str, int], dict[NameForm, int]]:
    """Labels by name and by the form of the masks' names, 0 for masks of the background."""
    if names is None:
        names = [LabelName(reserved(name), name) for name in classes]
    shown = ", ".join(classes)
    known = {**classes, **{str(form): form for form in classes.values()}}
    for one in names:
        if one.value not in known:
            raise UserError(
                f"--labels {one.name}={one_line(one.value, 60)}: each class has masks of its own, of which there are "
                f"{shown}; name one of them"
            )
    labels = number_labels([one.name for one in names])
    by_form = {known[one.value]: labels.get(one.name, 0) for one in names}
    if missing := [name for name, form in classes.items() if form not in by_form]:
        raise UserError(f"--labels does not name the masks {missing[0]} (there are {shown}); name them too")
    return labels, by_form
