"""``python -m swin_umamba.pretrain``: see `swin_umamba.commands.pretrain`."""

import sys

from .commands.pretrain import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
