"""Pre-train a BERT: `python train.py --help`."""

import sys

from cloze.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
