"""``python -m swin_umamba.train``: see `swin_umamba.commands.train`."""

import sys

from .commands.train import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
