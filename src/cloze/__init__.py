"""Pre-train a BERT from raw text and fine-tune it on anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloze.runtime.distribution import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from cloze.api import Ready

__version__ = VERSION


def load(folder: Path | str, *, trust: str | Sequence[str] = ()) -> Ready:
    """A BERT with its tokenizer, ready for use.

    >>> bert = cloze.load("runs/wiki")                                     # doctest: +SKIP
    >>> bert.fill_mask(["Paris is the [MASK] of France."])                 # doctest: +SKIP
    >>> bert.embed(["One text.", ("A question?", "A passage.")])           # doctest: +SKIP
    >>> cloze.load("runs/sst2").predict(["A fine film."])                  # doctest: +SKIP
    >>> packed = bert.pack(["One text.", ("A question?", "A passage.")])   # doctest: +SKIP
    >>> with torch.inference_mode():                                       # doctest: +SKIP
    ...     hidden = bert.encoder(packed)  # (N, D): every token of every text, one text after the other
    >>> texts = hidden.tensor_split(packed.cu_seqlens[1:-1].long())       # doctest: +SKIP

    Args:
        folder: of a run, of ``transformers``, of this package, or a checkpoint of Google's; or a name of the Hugging
            Face hub.
        trust: a package of your own, or several, whose classes may predict where the folder asks for them.

    Returns:
        What has ``predict``, ``fill_mask``, ``embed``, ``attention`` and ``pack``, and the parts ``encoder``,
        ``tokenizer``, ``config``, ``pooler`` and ``model``, the last two where the folder has them.

    Raises:
        cloze.errors.InputError: a file is missing or damaged, or it is another kind of model.
    """
    from cloze.api import load as load_now

    return load_now(folder, trust=trust)


def curves(*runs: Path | str, section: str = "learning") -> Any:
    """What runs have logged, drawn over each other: a ``matplotlib`` figure, which a notebook shows.

    >>> cloze.curves("runs/wiki", "runs/books")                            # doctest: +SKIP

    Args:
        runs: their folders, or those of sweeps.
        section: ``learning``, ``optim``, ``speed`` or ``data``.

    Raises:
        cloze.errors.InputError: there is no run, or nothing of that section was logged.
    """
    from pathlib import Path

    from cloze.report.curves import curves_figure

    return curves_figure([Path(run) for run in runs], section=section)
