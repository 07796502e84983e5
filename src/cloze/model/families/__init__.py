"""The built-in architectures, one file each; importing this package registers them."""

from cloze.model.families import bert, electra, eurobert, modernbert, nomic_bert

__all__ = ["bert", "electra", "eurobert", "modernbert", "nomic_bert"]
