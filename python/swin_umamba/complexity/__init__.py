"""Parameters and operations of networks: what the paper's Table 2 calls param and FLOPs."""

from .counting import Complexity, count_complexity

__all__ = ["Complexity", "count_complexity"]
