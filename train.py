"""Train Swin-UMamba, predict held-out images, score and draw them: ``python train.py --help``."""

import sys

from swin_umamba.train import main

if __name__ == "__main__":
    sys.exit(main(prog="python train.py"))
