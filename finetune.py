"""Fine-tune a BERT on a task: `python finetune.py --help`."""

import sys

from cloze.cli.finetune import main

if __name__ == "__main__":
    sys.exit(main())
