"""A hash that distinguishes the results of one model from those of another."""

import hashlib

from cloze.checkpoint.pretrained import Pretrained


def fingerprint(pretrained: Pretrained) -> str:
    """A hash of the shape, the weights and the tokenizer."""
    hashed = hashlib.blake2b(repr(pretrained.config).encode(), digest_size=16)
    hashed.update(pretrained.tokenizer.to_str().encode())
    for name, tensor in sorted(pretrained.state.items()):
        hashed.update(name.encode())
        hashed.update(tensor.contiguous().numpy().data)
    return hashed.hexdigest()
