"""Mixed precision: which type a network computes in, the same for training and prediction."""

from __future__ import annotations

import torch
from torch import nn

from ..common.processors import has_bfloat16_units
from ..networks.vmamba_segmentation_network import VMambaSegmentationNetwork


def autocast_dtype(amp: str, device: torch.device, mixed_precision: bool = True) -> torch.dtype | None:
    """The type for torch's autocast; ``None`` computes in float32, without autocast.

    Parameters
    ----------
    amp
        ``"bfloat16"``, ``"float16"`` or ``"off"``; ``"auto"`` is bfloat16 on a GPU or a CPU that has units for it, else
        float16 on a GPU and float32 on a CPU.
    device
        Where the network computes.
    mixed_precision
        Whether ``"auto"`` is mixed precision for this network.
    """
    if amp != "auto":
        return None if amp == "off" else getattr(torch, amp)
    if not mixed_precision:
        return None
    if device.type != "cuda":
        return torch.bfloat16 if has_bfloat16_units() else None
    # bfloat16 has the range of float32: no scaler needed, no overflow to NaN.
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def prediction_dtype(
    precision: str, amp: str, device: torch.device, mixed_precision: bool = True
) -> torch.dtype | None:
    """The type for torch's autocast while a trained network predicts; ``None`` as of `autocast_dtype`.

    Parameters
    ----------
    precision
        ``"float32"`` or ``"bfloat16"``; ``"auto"`` is on a GPU what the training had, and on a CPU bfloat16 if it has
        units for that and the training did not choose float32.
    amp, mixed_precision
        Of the training, see `autocast_dtype`.
    device
        Where the network computes.
    """
    if precision != "auto":
        return None if precision == "float32" else getattr(torch, precision)
    if device.type != "cuda" and amp != "off":
        amp = "auto"
    return autocast_dtype(amp, device, mixed_precision)


def precision_name(dtype: torch.dtype | None) -> str:
    """The name of what `autocast_dtype` gives, ``"bfloat16"`` for instance."""
    return str(dtype or torch.float32).removeprefix("torch.")


def convert_weights(network: nn.Module, dtype: torch.dtype) -> None:
    """Convert, for prediction, what autocast converts anew in every call without gradients; the outputs stay the same.

    These are the weights of the Swin-UMambas' convolutions and linear layers, but for those of ``depthwise_conv_silu``,
    which takes them in float32. Other networks are left alone: autocast is off in parts of some.
    """
    if not isinstance(network, VMambaSegmentationNetwork):
        return
    for module in network.modules():
        depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and not depthwise:
            module.to(dtype)
