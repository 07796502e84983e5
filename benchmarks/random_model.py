"""A model folder with random weights, for benchmarks whose speed does not depend on what was learned.

python -m benchmarks.random_model --family modernbert --size mini --vocabulary vocab.txt FOLDER
"""

import argparse
from pathlib import Path

from benchmarks.shapes import FAMILIES, SHAPES, family_shape
from cloze.checkpoint.folder import save_pretrained
from cloze.model.architecture import architecture_of
from cloze.text.tokenizer import build_tokenizer


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family", choices=FAMILIES, default="modernbert")
    parser.add_argument("--size", choices=SHAPES, default="mini")
    parser.add_argument("--vocabulary", type=Path, required=True, help="one token a line")
    given = parser.parse_args()
    tokens = given.vocabulary.read_text(encoding="utf-8").splitlines()
    shape = family_shape(given.family, given.size, vocab_size=len(tokens))
    save_pretrained(architecture_of(shape).pretraining(shape), build_tokenizer(tokens), given.folder)


if __name__ == "__main__":
    main()
