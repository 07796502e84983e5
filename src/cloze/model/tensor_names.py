"""Map the tensor names of an architecture between cloze and Hugging Face."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
"""What DDP, torch.compile, FSDP, activation checkpointing and DeepSpeed put into names, anywhere."""
BUFFERS = (".position_ids", ".token_type_ids")


class Rows(NamedTuple):
    """How the rows of one of our tensors lie in theirs.

    Attributes:
        sizes: of the parts of a fused tensor; all of one size where it is empty.
        order: (rows,) int64, for each of our rows the number of theirs, counted over all parts; None for the same one.
    """

    sizes: tuple[int, ...] = ()
    order: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class TensorNames:
    """A table of names.

    Attributes:
        base: what Hugging Face's classes with a head call the encoder, as ``bert``.
        modules: ours -> theirs; ``{}`` is the number of the block.
        fused: our modules whose rows are those of several of theirs, one after the other.
        rows: our modules whose rows are not cut evenly, or lie in another order in theirs, as queries, keys and values
            of each head side by side.
        parameters: ours -> theirs, where a parameter does not follow its module.
        decoder: their decoder of the masked language model that is tied to the word embeddings, and may be written out
            next to them; None where there is none, or it is a module of its own.
        words: their word embeddings within the encoder: where these are, there is one.
        bare: how the names of an encoder begin that stands in no class with a head.
        heads: how the names of heads begin.
        earlier: modules of theirs as folders had them once, in a model that stands in no other -> those of today, among
            which the rows are shared evenly where they are several.
        of_heads: for the class of a head their modules that have another name there than in this table.
    """

    base: str
    modules: Mapping[str, str]
    fused: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows: Mapping[str, Rows] = field(default_factory=dict)
    parameters: Mapping[str, str]
    decoder: str | None
    words: str
    bare: tuple[str, ...]
    heads: tuple[str, ...]
    earlier: Mapping[str, Sequence[str]] = field(default_factory=dict)
    of_heads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_hugging_face(self, state: Mapping[str, Tensor], *, head: str | None = None) -> dict[str, Tensor]:
        """Our parameters under Hugging Face's names; the tied decoder weight is left out, as theirs is.

        Args:
            state: by our names.
            head: that the class has for which they are.
        """
        theirs = {}
        for name, tensor in state.items():
            names, rows = self._theirs(name), self._rows(name)
            if rows.order is not None:
                tensor = tensor[rows.order.argsort()]
            parts = tensor.split(rows.sizes) if rows.sizes else tensor.chunk(len(names))
            for their_name, part in zip(names, parts, strict=True):
                theirs[their_name] = part.contiguous()
        return self.as_in(head, theirs)

    def as_in(self, head: str | None, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under the names that they have in the class of a head."""
        others = self.of_heads.get(head or "", {})
        return {_renamed(name, others): tensor for name, tensor in theirs.items()}

    def from_hugging_face(self, theirs: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
        """Hugging Face's tensors under our ``names``.

        Raises:
            KeyError: the first tensor of theirs that is missing.
        """
        state = {}
        for name in names:
            parts = [theirs[their_name] for their_name in self._theirs(name)]
            tensor, order = torch.cat(parts) if len(parts) > 1 else parts[0], self._rows(name).order
            state[name] = tensor if order is None or len(order) != len(tensor) else tensor[order]
        return state

    def present_spelling(self, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of any folder under the names of the table, without those that only repeat or count.

        Early versions called the parameters of a LayerNorm gamma and beta, as TensorFlow does, and saved the numbers of
        the positions; a bare encoder lacks the prefix, one that stood in other modules has theirs; the decoder of the
        masked language model may be written out next to the word embeddings that it is tied to; the class of a head may
        have names of its own. A decoder that is not tied stays as it is.

        Raises:
            ValueError: there are several encoders.
        """
        spelt: dict[str, Tensor] = {}
        names_of_heads = {theirs: name for others in self.of_heads.values() for name, theirs in others.items()}
        for name, tensor in self._unwrapped(theirs).items():
            name = re.sub(r"\.gamma$", ".weight", name)
            name = re.sub(r"\.beta$", ".bias", name)
            name = _renamed(name, names_of_heads)
            if not name.endswith(BUFFERS):
                spelt |= self._of_today(name, tensor)
        if self.decoder is None:
            return spelt
        bias = self.parameters.get("masked_lm_head.decoder_bias")
        if bias is not None and f"{self.decoder}.bias" in spelt and bias != f"{self.decoder}.bias":
            spelt.setdefault(bias, spelt.pop(f"{self.decoder}.bias"))
        decoder, words = spelt.get(f"{self.decoder}.weight"), spelt.get(f"{self.base}.{self.words}")
        if decoder is not None and words is not None and torch.equal(decoder, words):
            del spelt[f"{self.decoder}.weight"]
        return spelt

    def has(self, name: str) -> bool:
        """Whether Hugging Face's classes have a parameter of ours."""
        pattern, _ = _numbered(name.rpartition(".")[0])
        return name in self.parameters or pattern in self.modules or pattern in self.fused

    def is_known(self, name: str) -> bool:
        """Whether a tensor under Hugging Face's name is a parameter of one of its models."""
        module, _, kind = name.rpartition(".")
        pattern, _ = _numbered(module)
        fused = {pattern for patterns in self.fused.values() for pattern in patterns}
        named = kind in ("weight", "bias") and pattern in {*self.modules.values(), *fused}
        return named or name in self.parameters.values()

    def _unwrapped(self, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under the names of a model that stands in no other: ``bert.…`` and those of heads.

        Raises:
            ValueError: there are several encoders.
        """
        found: dict[str, Tensor] = {}
        for name, tensor in theirs.items():
            found.setdefault(".".join(word for word in name.split(".") if word not in WRAPPERS), tensor)
        roots = sorted({name.removesuffix(self.words) for name in found if f".{name}".endswith(f".{self.words}")})
        if len(roots) > 1 or len(found) < len(theirs):
            several = roots if len(roots) > 1 else [name for name in theirs if name.endswith(self.words)]
            raise ValueError(
                f"holds several encoders ({', '.join(root or 'one without a prefix' for root in several)}): save the "
                "one that you mean alone"
            )
        if not roots:
            return found
        words = roots[0].split(".")[:-1]
        around = ["".join(f"{word}." for word in words[:count]) for count in reversed(range(max(1, len(words))))]
        named: dict[str, Tensor] = {}
        for name, tensor in found.items():
            inner = name.removeprefix(roots[0])
            if name.startswith(roots[0]) and inner.startswith(self.bare):
                named[f"{self.base}.{inner}"] = tensor
            else:  # a head stands next to its encoder, or next to what holds that
                outer = (h for p in around if (h := name.removeprefix(p)).startswith(self.heads))
                named[next(outer, name)] = tensor
        if len(named) < len(found):
            raise ValueError("holds a head twice, next to its encoder and elsewhere: save the one that you mean alone")
        return named

    def _of_today(self, name: str, tensor: Tensor) -> dict[str, Tensor]:
        """A tensor of an earlier folder under today's name, or cut under several."""
        module, _, kind = name.rpartition(".")
        pattern, number = _numbered(module)
        names = self.earlier.get(pattern)
        if names is None:
            return {name: tensor}
        parts = tensor.chunk(len(names))
        return {f"{name.format(number)}.{kind}": part for name, part in zip(names, parts, strict=True)}

    def _rows(self, name: str) -> Rows:
        return self.rows.get(_numbered(name.rpartition(".")[0])[0], Rows())

    def _theirs(self, name: str) -> Sequence[str]:
        """Hugging Face's names of our parameter; several for one that is fused."""
        if name in self.parameters:
            return (self.parameters[name],)
        module, _, kind = name.rpartition(".")
        pattern, number = _numbered(module)
        patterns = self.fused.get(pattern) or (self.modules[pattern],)
        return tuple(f"{their_pattern.format(number)}.{kind}" for their_pattern in patterns)


def _renamed(name: str, modules: Mapping[str, str]) -> str:
    """The name of a parameter whose module has another one, where it has."""
    module, _, kind = name.rpartition(".")
    return f"{modules.get(module, module)}.{kind}" if module else name


def _numbered(module: str) -> tuple[str, str]:
    """'encoder.blocks.3.attention' -> ('encoder.blocks.{}.attention', '3')."""
    match = re.search(r"\.(\d+)\.", module)
    return (module.replace(match[0], ".{}.", 1), match[1]) if match else (module, "")
