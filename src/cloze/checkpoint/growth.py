"""A pre-trained model with more word pieces or more positions than it was trained with.

Old rows and old ids never change; parameters go by our names (see ``cloze.checkpoint.names``).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from cloze.text.new_pieces import word_pieces
from cloze.text.tokenizer import UNK

WORDS = "encoder.embeddings.word_embeddings.weight"
POSITIONS = "encoder.embeddings.position_embeddings.weight"
DECODER_BIAS = "masked_lm_head.decoder_bias"


def grow_vocabulary(state: Mapping[str, Tensor], old: Sequence[str], new: Sequence[str]) -> dict[str, Tensor]:
    """The state with a row for every new piece: the mean of the rows of the old pieces that it was read as until now.

    The new pieces take the ids behind the old ones. Where the model has more rows than its tokenizer has pieces (some
    are padded to a multiple of 64), they take the spare rows first. The decoder is tied to the word embeddings; its
    bias grows in the same way.

    Args:
        state: with the word embeddings (V, D), and perhaps the decoder's bias (V,).
        old: the pieces in the order of their ids.
        new: pieces that are none of them.
    """
    ids = {piece: number for number, piece in enumerate(old)}
    sources = [[ids[part] for part in word_pieces(piece, ids) or [UNK]] for piece in new]
    grown = dict(state)
    for name in (WORDS, DECODER_BIAS):
        if name in state:
            rows = state[name]
            missing = max(0, len(old) + len(new) - len(rows))
            rows = torch.cat([rows, rows.new_empty(missing, *rows.shape[1:])])
            for row, parts in enumerate(sources, start=len(old)):
                rows[row] = rows[parts].mean(0)
            grown[name] = rows
    return grown


def grow_positions(
    state: Mapping[str, Tensor], positions: int, how: Literal["repeat", "random"], std: float
) -> dict[str, Tensor]:
    """The state with so many position vectors.

    Args:
        state: with the position embeddings (P, D).
        positions: at least P.
        how: ``repeat`` copies the learned block as often as it takes, so that neighbours know each other by position
            everywhere but at the seams (Longformer, Beltagy et al. 2020, section 5); ``random`` draws the new rows as
            those of a new model.
        std: of what is drawn.
    """
    learned = state[POSITIONS]
    if how == "repeat":
        rows = learned[torch.arange(positions) % len(learned)]
    else:
        rows = learned.new_empty(positions, learned.shape[1])
        torch.nn.init.trunc_normal_(rows, std=std, a=-2 * std, b=2 * std)
        rows[: len(learned)] = learned
    return {**state, POSITIONS: rows}
