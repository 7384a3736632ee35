"""The command ``swin-umamba compare``: systems of the paper's Table 2 side by side on one data set.

Each system is an ordinary run of ``swin-umamba train``, in a process of its own that also measures time and memory.
"""
