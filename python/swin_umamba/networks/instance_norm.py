"""Instance normalisation with the residual sum and the LeakyReLU after it as one operator, also in others' blocks."""

from __future__ import annotations

from dynamic_network_architectures.building_blocks.residual import BasicBlockD
from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU
from monai.networks.blocks.dynunet_block import UnetResBlock
from torch import Tensor, nn

import swin_umamba_ext


class InstanceNorm2d(nn.InstanceNorm2d):
    """``torch.nn.InstanceNorm2d`` (arXiv:1607.08022) by `swin_umamba_ext.instance_norm`.

    On the CPU, PyTorch's copies a channels-last map into planes first, and its backward reads a channels-last gradient
    of a single image in the wrong order (torch 2.13). A plane of one pixel becomes its bias instead of an error.

    Attributes
    ----------
    negative_slope : float
        Of the LeakyReLU after it; 1, at first, is none.
    """

    negative_slope = 1.0

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W), and what is added before the activation, to (B, C, H, W)."""
        return swin_umamba_ext.instance_norm(x, self.weight, self.bias, residual, self.eps, self.negative_slope)


class FusedUnetResBlock(nn.Module):
    """MONAI's ``UnetResBlock`` of two convolutions, with its layers and their names."""

    conv1: nn.Module
    conv2: nn.Module
    conv3: nn.Module
    norm1: InstanceNorm2d
    norm2: InstanceNorm2d
    norm3: InstanceNorm2d

    def __init__(self, block: UnetResBlock) -> None:
        super().__init__()
        _take_layers(self, block, {"lrelu"})
        self.norm1.negative_slope = self.norm2.negative_slope = block.lrelu.negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, H', W')."""
        residual = self.norm3(self.conv3(x)) if hasattr(self, "conv3") else x
        return self.norm2(self.conv2(self.norm1(self.conv1(x))), residual)


class FusedBasicBlock(nn.Module):
    """nnU-Net's residual block (``BasicBlockD`` of dynamic-network-architectures), with its layers and their names."""

    conv1: ConvDropoutNormReLU
    conv2: ConvDropoutNormReLU
    skip: nn.Module

    def __init__(self, block: BasicBlockD) -> None:
        super().__init__()
        _take_layers(self, block, {"nonlin2"})
        self.conv2.norm.negative_slope = block.nonlin2.negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, H', W')."""
        residual = self.skip(x) if hasattr(self, "skip") else x
        return self.conv2.norm(self.conv2.conv(self.conv1(x)), residual)


def _take_layers(module: nn.Module, block: nn.Module, without: set[str]) -> None:
    for name, layer in block.named_children():
        if name not in without:
            module.add_module(name, layer)


def fuse_instance_norm(module: nn.Module) -> nn.Module:
    """Put `InstanceNorm2d` in the place of PyTorch's inside ``module``, with the activations after it in it.

    Parameters keep their names and values. Those of dynamic-network-architectures' blocks, which hold each layer twice,
    must have been made with `InstanceNorm2d`.
    """
    for replace in (_with_own_norm, _with_activation_in_norm, _with_fused_block):
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                replace(parent, name, child)
    return module


def _with_own_norm(parent: nn.Module, name: str, norm: nn.Module) -> None:
    if type(norm) is nn.InstanceNorm2d:
        own = InstanceNorm2d(norm.num_features, eps=norm.eps, affine=norm.affine)
        own.weight, own.bias = norm.weight, norm.bias
        setattr(parent, name, own)


def _with_activation_in_norm(parent: nn.Module, name: str, layers: nn.Module) -> None:
    if not isinstance(parent, ConvDropoutNormReLU) or name != "all_modules":
        return
    assert isinstance(layers, nn.Sequential)
    *_, norm, activation = layers
    if isinstance(norm, InstanceNorm2d) and isinstance(activation, nn.LeakyReLU):
        norm.negative_slope = activation.negative_slope
        del parent.nonlin, layers[-1]


def _with_fused_block(parent: nn.Module, name: str, block: nn.Module) -> None:
    if isinstance(block, UnetResBlock):
        setattr(parent, name, FusedUnetResBlock(block))
    elif isinstance(block, BasicBlockD):
        setattr(parent, name, FusedBasicBlock(block))
