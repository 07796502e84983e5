"""The built-in architectures, one file each; importing this package registers them."""

from cloze.model.families import bert, modernbert

__all__ = ["bert", "modernbert"]
