"""Putting the weights of a file into a network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..common.text import one_line, short_name
from ..paper.encoder import RELEASED_FILE
from . import CheckpointError
from .architectures import SWIN_UMAMBA, SWIN_UMAMBA_D, UNKNOWN, VMAMBA, Architecture, encoder_title, recognize
from .checkpoint_file import read_checkpoint
from .input_channels import INPUT_CHANNELS, InputChannels
from .matching import ENCODER, Match, match_same_network, match_vmamba
from .report import LoadReport
from .weights import find_weights, is_finite, strip_wrappers

MESSAGE_LENGTH = 260
"""Of what is said of a file that does not fit, after its path."""


def load_pretrained(model: nn.Module, path: str | os.PathLike[str], input_channels: str = "skip") -> LoadReport:
    """Put the weights of a file into a network, all that fit or, after an error, none.

    Takes the ImageNet weights of VMamba-Tiny, which go into the encoder of Swin-UMamba or Swin-UMamba† (paper,
    section 2.2), and a checkpoint of the same network: of the authors' nnU-Net, of this package, or a state
    dict. The latter may be of a network with another number of classes, whose heads are then skipped.
    Reading the file runs no code from it.

    Parameters
    ----------
    model
        The network, on any device; also wrapped in DDP or torch.compile.
    path
        A file of ``torch.save`` or of safetensors. In a training checkpoint the weights are found under
        ``network_weights``, ``model``, ``state_dict`` or ``model_state_dict``.
    input_channels : {"skip", "sum", "mean"}
        What to do with the layers that see the image where it has another number of channels than the file's
        network was made for. ``skip`` leaves them as they are, as the authors do. ``sum`` and ``mean`` make the
        kernel of every channel from all the file's channels, see `adapt_input_channels`.

    Returns
    -------
    LoadReport
        What was loaded, adapted, skipped and missing.

    Raises
    ------
    CheckpointError
        The file cannot be read, holds NaN or infinity, or does not fit the network: the message says what it looks
        like, and what would fit. It is both a `swin_umamba.common.errors.UserError` and a ``ValueError``.
    ValueError
        If ``input_channels`` is something else.
    TypeError
        If ``model`` is not a ``torch.nn.Module``.

    Examples
    --------
    >>> network = SwinUMambaD(in_channels=3, num_classes=8)
    >>> report = load_pretrained(network, "vssmtiny_dp01_ckpt_epoch_292.pth")
    >>> report.encoder_coverage
    1.0
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if input_channels not in INPUT_CHANNELS:
        raise ValueError(f"input_channels must be one of {', '.join(INPUT_CHANNELS)}, got {input_channels!r}")
    path = Path(path)
    weights = find_weights(read_checkpoint(path), path)
    own_names = strip_wrappers(model.state_dict())
    network = {own_names[name]: tensor for name, tensor in model.state_dict().items() if name in own_names}
    source, target = recognize(weights.tensors), recognize(network)
    match = _match(path, source, target, weights.tensors, network, cast(InputChannels, input_channels))
    values = {name: _convert(path, name, value, network[name]) for name, value in match.values.items()}
    # Up to here the network is as it was, and from here nothing can fail: the shapes are equal.
    with torch.no_grad():
        for name, value in values.items():
            network[name].copy_(value)
    encoder = [own_names[name] for name, _ in model.named_parameters() if own_names[name].startswith(ENCODER)]
    return LoadReport(
        path=path,
        architecture=source.title,
        network=target.title,
        loaded=tuple(name for name in values if name not in match.adapted),
        adapted=match.adapted,
        skipped={**match.skipped, **weights.other_entries},
        missing=tuple(name for name in network if name not in values),
        encoder_coverage=_share(encoder, values, network),
    )


def _match(
    path: Path,
    source: Architecture,
    target: Architecture,
    tensors: Mapping[str, Tensor],
    network: Mapping[str, Tensor],
    input_channels: InputChannels,
) -> Match:
    if source.family == VMAMBA and target.family in (SWIN_UMAMBA, SWIN_UMAMBA_D):
        match = match_vmamba(tensors, network, input_channels)
    elif source.family == target.family:
        match = match_same_network(tensors, network, input_channels)
    else:
        match = Match(problems=["another network"])
    if match.problems:
        raise CheckpointError(f"{path} does not fit {_difference(source, target, match.problems, network)}")
    return match


def _difference(
    source: Architecture, target: Architecture, problems: Sequence[str], network: Mapping[str, Tensor]
) -> str:
    """What differs and what would fit, in `MESSAGE_LENGTH` as a rule."""
    both_swin_umamba = {source.family, target.family} == {SWIN_UMAMBA, SWIN_UMAMBA_D}
    wanted = target.title if both_swin_umamba or target.family == UNKNOWN else target.family
    hints = ["What fits is a checkpoint of the same network"]
    is_released = False
    if target.family in (SWIN_UMAMBA, SWIN_UMAMBA_D):
        encoder = encoder_title(network, ENCODER)
        is_released = encoder.startswith("VMamba-Tiny ")
        encoder = f"VMamba-Tiny as {RELEASED_FILE}" if is_released else encoder
        hints.insert(0, f"What fits are a checkpoint of the same network, and weights of {encoder}")
    choices = [(count, hint) for count in range(min(3, len(problems)), 0, -1) for hint in hints]
    if is_released:  # which is told before a second problem
        choices.sort(key=lambda choice: hints.index(choice[1]))
    for count, hint in choices:
        shown = "; ".join(one_line(problem, 90) for problem in sorted(problems, key=len)[:count])
        more = f"; and {len(problems) - count} more" if count < len(problems) else ""
        text = f"{wanted}. It looks like {source.title}: {shown}{more}. {hint}"
        if len(text) <= MESSAGE_LENGTH:
            break
    return text


def _convert(path: Path, name: str, value: Tensor, target: Tensor) -> Tensor:
    """The value in the type of the network's tensor."""
    if value.is_floating_point() != target.is_floating_point() or value.is_complex() != target.is_complex():
        raise CheckpointError(
            f"{path} has numbers of type {value.dtype} in {short_name(name)}, where the network has {target.dtype}"
        )
    value = value.to(target.dtype)
    if not is_finite(value):
        raise CheckpointError(
            f"{path} has numbers in {short_name(name)} that are too large for the network's type {target.dtype}"
        )
    return value


def _share(names: Iterable[str], values: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> float | None:
    """Share of the elements of the named tensors that have values."""
    sizes = {name: network[name].numel() for name in names}
    if not sizes:
        return None
    return sum(size for name, size in sizes.items() if name in values) / sum(sizes.values())
