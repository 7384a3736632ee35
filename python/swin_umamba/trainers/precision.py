"""Mixed precision: which type a network computes in, the same for training and prediction."""

from __future__ import annotations

import torch


def autocast_dtype(amp: str, device: torch.device, mixed_precision: bool = True) -> torch.dtype | None:
    """The type for torch's autocast; ``None`` computes in float32, without autocast.

    Parameters
    ----------
    amp
        ``"bfloat16"``, ``"float16"`` or ``"off"``; ``"auto"`` is mixed precision on a GPU, in bfloat16 where it has
        that, else in float16.
    device
        Where the network computes.
    mixed_precision
        Whether ``"auto"`` is mixed precision for this network.
    """
    if amp != "auto":
        return None if amp == "off" else getattr(torch, amp)
    if not mixed_precision or device.type != "cuda":
        return None
    # bfloat16 has the range of float32: no scaler needed, no overflow to NaN.
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
