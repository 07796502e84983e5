"""The built-in architectures, one file each; importing this package registers them."""

from cloze.model.families import bert, eurobert, modernbert, nomic_bert

__all__ = ["bert", "eurobert", "modernbert", "nomic_bert"]
