from .reference import cross_merge, cross_scan, selective_scan, ss2d

__all__ = ["cross_merge", "cross_scan", "selective_scan", "ss2d"]
