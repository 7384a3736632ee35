import pytest
import torch
from swin_umamba import SwinUMamba, SwinUMambaD

from .checkpoints import SMALL, released_checkpoint, released_shapes


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Small networks gain nothing from more threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[SwinUMamba, SwinUMambaD], ids=lambda network_class: network_class.__name__)
def network_class(request):
    return request.param


@pytest.fixture
def make_network():
    """A function that builds a small network with random weights."""

    def make(network_class, in_channels=1, num_classes=3, seed=1, **options):
        torch.manual_seed(seed)
        return network_class(in_channels, num_classes, **{**SMALL, **options})

    return make


@pytest.fixture(scope="session")
def released_file(tmp_path_factory):
    """The released checkpoint in its real sizes, with random weights."""
    generator = torch.Generator().manual_seed(0)
    shapes = released_shapes()
    weights = {name: torch.empty(shape).uniform_(-1, 1, generator=generator) for name, shape in shapes.items()}
    return released_checkpoint(weights, tmp_path_factory.mktemp("released") / "vssmtiny_dp01_ckpt_epoch_292.pth")
