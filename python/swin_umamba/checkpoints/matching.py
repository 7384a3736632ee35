"""Which tensor of a file goes where in a network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .input_channels import InputChannels, adapt_input_channels

ENCODER = "vssm_encoder."

# Layers that see the image: their shape depends on the number of its channels. `encoder1.layer.conv3` of
# Swin-UMamba is only there where that number is not the block's own.
_SWIN_UMAMBA_INPUT = ("stem.", "encoder1.layer.conv1.", "encoder1.layer.conv3.")
_PATCH_EMBEDDING = ("patch_embed.", f"{ENCODER}patch_embed.")
_OPTIONAL = ("encoder1.layer.conv3.",)
_HEADS = ("out_layers.", "decoder.seg_layers.", "head.")


@dataclass
class Match:
    """What becomes of each tensor.

    Attributes
    ----------
    values : dict of Tensor
        By the name of the network's parameter, in its shape.
    adapted : dict of str
        Of these, what was done to those that had another shape.
    skipped : dict of str
        By the name in the file, why a tensor is not used.
    problems : list of str
        Why the file does not fit, if it does not.
    """

    values: dict[str, Tensor] = field(default_factory=dict)
    adapted: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def match_vmamba(tensors: Mapping[str, Tensor], network: Mapping[str, Tensor], channels: InputChannels) -> Match:
    """Match VMamba's weights to the encoder of Swin-UMamba or Swin-UMamba†.

    The classification head and the norm before it are left out. The patch embedding fits Swin-UMamba† where the
    image has three channels. In Swin-UMamba it comes after the stem and has another shape, so it is left out.

    Parameters
    ----------
    tensors
        Of the file.
    network
        The network's state dict.
    channels
        What to do where the numbers of input channels differ.
    """
    match = Match()
    names = {}
    for name in tensors:
        if name.startswith(("head.", "norm.")):
            match.skipped[name] = "the network has no classification head"
        elif name.startswith("patch_embed.") and _has_stem(network):
            match.skipped[name] = "the network's patch embedding comes after a stem and has another shape"
        else:
            names[name] = ENCODER + re.sub(r"^layers\.(\d+)\.downsample\.", r"downsamples.\1.", name)
    _match(match, tensors, names, network, channels)
    _require(match, names, (name for name in network if name.startswith(ENCODER)), _PATCH_EMBEDDING)
    return match


def match_same_network(tensors: Mapping[str, Tensor], network: Mapping[str, Tensor], channels: InputChannels) -> Match:
    """Match the weights of the same network, which may have other numbers of input channels and classes.

    Parameters
    ----------
    tensors
        Of the file.
    network
        The network's state dict.
    channels
        What to do where the numbers of input channels differ.
    """
    match = Match()
    names = {name: name for name in tensors}
    _match(match, tensors, names, network, channels)
    _require(match, names, network, _OPTIONAL)
    return match


def _match(
    match: Match,
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    network: Mapping[str, Tensor],
    channels: InputChannels,
) -> None:
    input_layers = _SWIN_UMAMBA_INPUT if _has_stem(network) else _PATCH_EMBEDDING
    left_out = {}
    if channels == "skip":
        left_out = _input_layers_of_other_channels(input_layers, tensors, names, network)
    for name, own_name in names.items():
        tensor, target = tensors[name], network.get(own_name)
        reason = next((why for layer, why in left_out.items() if own_name.startswith(layer)), None)
        if reason is not None:
            match.skipped[name] = reason
        elif target is None and own_name.startswith(_OPTIONAL):
            match.skipped[name] = "the network has no such layer at its number of input channels"
        elif target is None:
            match.problems.append(f"{name} has no place in the network")
        elif own_name in match.values:
            match.problems.append(f"{name} is there twice, under two names")
        elif tensor.shape == target.shape:
            match.values[own_name] = tensor
        elif channels != "skip" and own_name.startswith(input_layers) and _differs_only_in(1, tensor, target):
            match.values[own_name] = adapt_input_channels(tensor, target.shape[1], channels)
            match.adapted[own_name] = f"{tensor.shape[1]} → {target.shape[1]} input channels, {channels}"
        elif own_name.startswith(_HEADS) and _differs_only_in(0, tensor, target):
            match.skipped[name] = f"{tensor.shape[0]} classes, the network has {target.shape[0]}"
        else:
            match.problems.append(f"{name} is {_text(tensor)}, and {_text(target)} in the network")


def _input_layers_of_other_channels(
    input_layers: tuple[str, ...],
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    network: Mapping[str, Tensor],
) -> dict[str, str]:
    """Layers that are left out as a whole, with the reason: a bias without its kernel is worth nothing."""
    left_out = {}
    for name, own_name in names.items():
        layer = next((layer for layer in input_layers if own_name.startswith(layer)), None)
        tensor, target = tensors[name], network.get(own_name)
        if layer and target is not None and tensor.shape != target.shape and _differs_only_in(1, tensor, target):
            left_out[layer] = f"{tensor.shape[1]} input channels, the network has {target.shape[1]}"
    return left_out


def _has_stem(network: Mapping[str, Tensor]) -> bool:
    """Whether the image goes through a stem before it comes to the patch embedding, as in Swin-UMamba."""
    return "stem.0.weight" in network


def _require(match: Match, names: Mapping[str, str], required: Iterable[str], optional: tuple[str, ...]) -> None:
    found = set(names.values())
    match.problems += [
        f"{name} is missing in the file" for name in required if name not in found and not name.startswith(optional)
    ]


def _differs_only_in(axis: int, tensor: Tensor, target: Tensor) -> bool:
    """Whether all other axes are equal."""
    return (
        tensor.dim() == target.dim() > axis
        and tensor.shape[:axis] == target.shape[:axis]
        and tensor.shape[axis + 1 :] == target.shape[axis + 1 :]
    )


def _text(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"
