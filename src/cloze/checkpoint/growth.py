"""Extend a pre-trained model with more tokens or more positions, or give it another vocabulary.

Where it is extended, old rows and old ids never change; which parameters change is for the record of the architecture
to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.pretrained import Pretrained
from cloze.model.architecture import architecture_of
from cloze.text.new_tokens import tokens_of_word
from cloze.text.special_tokens import stand_in
from cloze.text.tokenizer import UNK, FolderTokenizer


def grow_vocabulary(
    state: Mapping[str, Tensor], parameters: Sequence[str], old: Sequence[str], new: Sequence[str]
) -> dict[str, Tensor]:
    """The state with a row for every new token: the mean of the rows of the old tokens that it was read as until now.

    The new tokens take the ids behind the old ones. Where the model has more rows than its tokenizer has tokens (some
    are padded to a multiple of 64), they take the spare rows first. The decoder is tied to the word embeddings; its
    bias grows in the same way.

    Args:
        state: with the word embeddings (V, D), and perhaps the decoder's bias (V,).
        parameters: the names of those, where they are there.
        old: the tokens in the order of their ids.
        new: tokens that are none of them.
    """
    ids = {piece: number for number, piece in enumerate(old)}
    return _grown(
        state, parameters, len(old), [[ids[part] for part in tokens_of_word(piece, ids) or [UNK]] for piece in new]
    )


def grow_tokens(
    state: Mapping[str, Tensor], parameters: Sequence[str], tokenizer: Tokenizer, new: Sequence[str]
) -> dict[str, Tensor]:
    """The same for new special tokens: the rows of the tokens that the tokenizer splits them into now.

    Args:
        state: as in ``grow_vocabulary``.
        parameters: likewise.
        tokenizer: that does not know them yet.
        new: their texts.
    """
    read = [tokenizer.encode(token, add_special_tokens=False).ids for token in new]
    sources = [ids or [stand_in(tokenizer)] for ids in read]
    return _grown(state, parameters, max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1, sources)


def transfer_vocabulary(
    state: Mapping[str, Tensor], parameters: Sequence[str], parts: Sequence[Sequence[int]], known: int
) -> dict[str, Tensor]:
    """The state with the rows of another vocabulary, each the mean of some of the rows there are.

    Args:
        state: as in ``grow_vocabulary``.
        parameters: likewise.
        parts: the rows that each new one is the mean of; none for all.
        known: how many rows are those of tokens; those behind them are padding.
    """
    moved = dict(state)
    for name in parameters:
        if name in state:
            rows = state[name]
            every = rows[:known].mean(0)
            moved[name] = torch.stack([rows[list(part)].mean(0) if part else every for part in parts])
    return moved


def told_tokens(new: Sequence[str]) -> str:
    """What to say of them: '2 new tokens, each the mean of those it was read as: [E1], [/E1]'."""
    what = f"{len(new):,} new tokens, each" if len(new) > 1 else "1 new token,"
    return f"{what} the mean of those it was read as: {', '.join(new[:5])}{', ...' * (len(new) > 5)}"


def with_own_tokens(pretrained: Pretrained, tokens: Sequence[str]) -> Pretrained:
    """A model whose tokenizer has these special tokens, with embeddings for those that are new."""
    old, rows = pretrained.tokenizer, architecture_of(pretrained.config).vocabulary
    tokenizer, files = FolderTokenizer(old, dict(pretrained.tokenizer_files)).with_tokens(tokens)
    new = [token for token in tokens if old.token_to_id(token) is None]
    size = max(pretrained.config.vocab_size, max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1)
    return replace(
        pretrained,
        config=replace(pretrained.config, vocab_size=size),
        tokenizer=tokenizer,
        tokenizer_files=files,
        state=grow_tokens(pretrained.state, rows, old, new) if new else pretrained.state,
    )


def _grown(
    state: Mapping[str, Tensor], parameters: Sequence[str], first: int, sources: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """The state whose rows from ``first`` on are the means of others."""
    rows = max((len(state[name]) for name in parameters if name in state), default=0)
    parts: list[Sequence[int]] = [[row] for row in range(max(rows, first + len(sources)))]
    parts[first : first + len(sources)] = sources
    return transfer_vocabulary(state, parameters, parts, first)


def grow_positions(
    state: Mapping[str, Tensor],
    parameters: Sequence[str],
    positions: int,
    how: Literal["repeat", "random"],
    std: float,
) -> dict[str, Tensor]:
    """The state with a number of position embeddings.

    Args:
        state: with the position embeddings (P, D).
        parameters: their names; none where positions are not learned, and nothing has to grow.
        positions: at least P.
        how: ``repeat`` copies the learned block as often as it takes, so that neighbours know each other by position
            everywhere but at the seams (Longformer, Beltagy et al. 2020, section 5); ``random`` draws the new rows as
            those of a new model.
        std: of what is drawn.
    """
    grown = dict(state)
    for name in parameters:
        learned = state[name]
        if how == "repeat":
            rows = learned[torch.arange(positions) % len(learned)]
        else:
            rows = learned.new_empty(positions, learned.shape[1])
            torch.nn.init.trunc_normal_(rows, std=std, a=-2 * std, b=2 * std)
            rows[: len(learned)] = learned
        grown[name] = rows
    return grown
