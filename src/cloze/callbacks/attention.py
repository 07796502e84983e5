"""Figures of the attention weights of selected heads, logged during training."""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from tokenizers import Tokenizer
from torch.distributed.fsdp import FSDPModule

from cloze.batch import Packed
from cloze.callbacks.samples import heldout_masked, heldout_texts
from cloze.errors import InputError
from cloze.loggers.protocol import dashboards
from cloze.text.special_tokens import special_tokens
from cloze.text.word_boundaries import shown

WORDS = 32  # tokens that a picture can still name
COLUMNS = 4  # of a picture


class AttentionPictures(pl.Callback):
    """At every evaluation one picture, `val/attention`, of the chosen heads on one sentence, for dashboards.

    Without a dashboard nothing is computed; neither where ranks hold parts of the model.

    Args:
        heads: pairs of layer and head, counted from 0, as `[[0, 1], [3, 0]]`; None: the first head of each layer.
        sentence: that is looked at; None takes a held-out one.
    """

    def __init__(self, *, heads: list[list[int]] | None = None, sentence: str | None = None) -> None:
        self.heads = heads
        self.sentence = sentence
        self._tokenizer: Tokenizer
        self._ids: list[int] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        config = pl_module.model.config  # type: ignore[union-attr]
        layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)  # type: ignore[union-attr, arg-type]
        for pair in self.heads or []:
            if len(pair) != 2 or not (0 <= pair[0] < layers and 0 <= pair[1] < heads):
                last = [layers - 1, heads - 1]
                raise InputError(f"callbacks.attention.heads has {pair}: expected [layer, head] from [0, 0] to {last}")
        if not dashboards(trainer.loggers):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self._tokenizer = data.tokenizer
        if self.sentence is not None:
            self._ids = data.tokenizer.encode(self.sentence).ids[:WORDS]
        else:
            special = special_tokens(data.tokenizer, data.tokenizer_files)
            self._ids = next((ids for _, ids in heldout_masked(heldout_texts(data), data.tokenizer, special, 1)), [])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        model: Any = pl_module.model
        if trainer.sanity_checking or not self._ids or not trainer.is_global_zero or isinstance(model, FSDPModule):
            return
        with trainer.precision_plugin.forward_context(), torch.no_grad():
            maps = model.encoder.attention_weights(Packed.of([self._ids]).to(pl_module.device))
        chosen = self.heads or [[layer, 0] for layer in range(len(maps))]
        words = shown(self._tokenizer, self._ids)
        pictures = [(f"layer {layer}, head {head}", maps[layer][head].cpu().numpy()) for layer, head in chosen]
        png = attention_picture(pictures, words)
        for dashboard in dashboards(trainer.loggers):
            dashboard.log_picture("val/attention", png, trainer.global_step)


def attention_figure(maps: Sequence[tuple[str, np.ndarray]], words: Sequence[str]) -> Any:
    """A matplotlib figure of maps side by side.

    Args:
        maps: titles and (T, T) shares; a row is the token that looks.
        words: T names.
    """
    from matplotlib.figure import Figure  # late: slow to import

    columns = min(COLUMNS, len(maps))
    lines = -(-len(maps) // columns)
    side = max(3.2, 0.17 * len(words) + 1.0)  # inches
    figure = Figure(figsize=(side * columns, side * lines), layout="constrained")
    for number, (title, shares) in enumerate(maps):
        axes = figure.add_subplot(lines, columns, number + 1)
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=max(float(shares.max()), 4 / len(words)))
        places = range(len(words))
        axes.set_xticks(places, words, rotation=90, fontsize=7, parse_math=False)
        axes.set_yticks(places, words if number % columns == 0 else [""] * len(words), fontsize=7, parse_math=False)
        axes.tick_params(length=0)
        axes.set_title(title, fontsize=9)
    return figure


def attention_picture(maps: Sequence[tuple[str, np.ndarray]], words: Sequence[str]) -> bytes:
    """The figure as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = attention_figure(maps, words)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # of scripts that the font lacks
        FigureCanvasAgg(figure).print_figure(stream, format="png", dpi=100)
    return stream.getvalue()
