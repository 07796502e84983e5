"""The architectures that cloze brings along, one file each; importing this registers them."""

from cloze.model.families import bert

__all__ = ["bert"]
