import pytest
import torch
from swin_umamba import SwinUMamba, SwinUMambaD


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Small images gain nothing from more threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[SwinUMamba, SwinUMambaD], ids=lambda network_class: network_class.__name__)
def network_class(request):
    return request.param


@pytest.fixture
def make_small_network(network_class):
    """A function that builds a network of the same structure with few channels and blocks, in eval mode."""

    def make(in_channels=1, num_classes=3, **options):
        torch.manual_seed(0)
        options = {"embed_dim": 16, "depths": (1, 1, 2, 1), "d_state": 4, **options}
        return network_class(in_channels, num_classes, **options).eval()

    return make
