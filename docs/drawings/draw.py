"""The drawings of the documentation, as SVG that is readable on white and on dark ground.

    python -m docs.drawings.draw

writes `docs/drawings/*.svg`; a test holds them equal to what this file makes. Text stands in boxes of its own
colour, or in a grey of middling brightness, because a picture on a page does not know which ground it has.
"""

from collections.abc import Sequence
from html import escape
from itertools import accumulate
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
GREY = "#808998"
TEXT = "#14213d"
COLOURS = {
    "text": "#ffe3b3",
    "data": "#c9e4ff",
    "model": "#d9ccff",
    "out": "#c8efd4",
    "plain": "#e6e9ee",
    "gap": "#ffc4c4",
}
FONT = "font-family='ui-sans-serif, system-ui, Helvetica, Arial, sans-serif'"
MONO = "font-family='ui-monospace, Menlo, Consolas, monospace'"

TITLE: Any = {"size": 14, "mono": False}

SENTENCES = [  # what a pack of three sequences holds, as (token, segment); [MASK] is what has to be predicted
    [("[CLS]", 0), ("the", 0), ("cat", 0), ("[MASK]", 0), ("[SEP]", 0), ("it", 1), ("slept", 1), ("[SEP]", 1)],
    [("[CLS]", 0), ("one", 0), ("[MASK]", 0), ("[SEP]", 0)],
    [("[CLS]", 0), ("dogs", 0), ("[SEP]", 0), ("ra", 1), ("##n", 1), ("[SEP]", 1)],
]


def box(x: float, y: float, width: float, height: float, lines: Sequence[str], colour: str, *, size: int = 14) -> str:
    """A rounded box; the first line is bold."""
    parts = [
        f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='8' fill='{COLOURS[colour]}' stroke='{GREY}'/>"
    ]
    top = y + height / 2 - (len(lines) - 1) * (size + 3) / 2 + size * 0.35
    for number, line in enumerate(lines):
        weight = "600" if number == 0 else "400"
        parts.append(
            f"<text x='{x + width / 2}' y='{top + number * (size + 3):.1f}' text-anchor='middle' fill='{TEXT}' "
            f"font-size='{size if number == 0 else size - 2}' font-weight='{weight}' {FONT}>{escape(line)}</text>"
        )
    return "".join(parts)


def label(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 13, mono: bool = False) -> str:
    """Words on the ground of the page."""
    font = MONO if mono else FONT
    place = f"x='{x}' y='{y}' text-anchor='{anchor}'"
    return f"<text {place} fill='{GREY}' font-size='{size}' xml:space='preserve' {font}>{escape(text)}</text>"


def line(y: float, text: str, *, size: int = 12, mono: bool = True) -> str:
    """Words from the left edge on."""
    return label(8, y, text, anchor="start", size=size, mono=mono)


def arrow(*points: tuple[float, float]) -> str:
    """A line through the points with a head at its end."""
    path = " ".join(f"{x},{y}" for x, y in points)
    return f"<polyline points='{path}' fill='none' stroke='{GREY}' stroke-width='1.8' marker-end='url(#head)'/>"


def picture(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """The file."""
    head = (
        "<marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        f"<path d='M0,0 L8,4 L0,8 z' fill='{GREY}'/></marker>"
    )
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        f"role='img'>\n<title>{escape(title)}</title>\n<defs>{head}</defs>\n{body}\n</svg>\n"
    )


def data_flow() -> str:
    """From text to a model, and from the model to its uses."""
    parts = []
    for name, y in (("prepare, once", 44), ("train", 164), ("use", 284)):
        parts.append(line(y - 16, name, size=13, mono=False))
    first = [
        (["Your text", ".txt .md .jsonl .parquet"], "text"),
        (["Documents", "lines, deduplicated"], "text"),
        (["Sentences", "English, Chinese, lines"], "text"),
        (["WordPiece ids", "vocabulary made or given"], "data"),
        (["Shards", "Arrow files + manifest"], "data"),
    ]
    second = [
        (["Plan", "pairs, global batches"], "data"),
        (["Masks", "tokens, words or spans"], "data"),
        (["Packed batch", "no padding"], "data"),
        (["BERT encoder", "12 layers, or any size"], "model"),
        (["Two losses", "masked tokens, next sentence"], "model"),
    ]
    third = [
        (["Model folder", "as transformers has it"], "out"),
        (["Fine-tune", "classes, tags, answers, …"], "out"),
        (["Predict", "any number of rows"], "out"),
        (["Features", "any layer, any level"], "out"),
        (["Convert", "Google's format, ONNX"], "out"),
    ]
    width, gap = 172, 24
    for boxes, y in ((first, 44), (second, 164), (third, 284)):
        for number, (lines, colour) in enumerate(boxes):
            x = 8 + number * (width + gap)
            parts.append(box(x, y, width, 62, lines, colour))
            if number and y != 284:
                parts.append(arrow((x - gap + 2, y + 31), (x - 3, y + 31)))
    left, *middle, right = (8 + number * (width + gap) + width / 2 for number in range(5))
    parts += [arrow((right, y), (right, y + 22), (left, y + 22), (left, y + 55)) for y in (106, 226)]
    parts += [arrow((left, 346), (left, 372), (x, 372), (x, 349)) for x in (*middle, right)]
    parts.append(label(140, 149, "every batch is a pure function of (seed, epoch, window)", anchor="start"))
    return picture(972, 384, "From text to shards, from shards to a model, from the model to its uses", parts)


def packed_batch() -> str:
    """The same three sequences padded, and packed."""
    flat = [piece for pieces in SENTENCES for piece in pieces]
    bounds = list(accumulate(map(len, SENTENCES), initial=0))
    masked = [place for place, (piece, _) in enumerate(flat) if piece == "[MASK]"]
    longest = max(map(len, SENTENCES))
    empty = len(SENTENCES) * longest - len(flat)
    parts = [
        line(
            22, f"Padded: {len(SENTENCES)} by {longest} cells; the model works on the {empty} empty ones, too", **TITLE
        )
    ]
    for row, pieces in enumerate(SENTENCES):
        cells = [*pieces, *[("[PAD]", 0)] * (longest - len(pieces))]
        parts += [piece_box(8 + 58 * column, 36 + 36 * row, 54, *cell) for column, cell in enumerate(cells)]
    top = 206
    title = f"Packed: one stream of N = {len(flat)} real tokens, B = {len(SENTENCES)} sequences"
    parts.append(line(top - 22, title, **TITLE))
    lefts = [8 + 53 * place + 6 * sum(place >= bound for bound in bounds[1:-1]) for place in range(len(flat))]
    parts += [piece_box(x, top, 50, *piece) for x, piece in zip(lefts, flat, strict=True)]
    positions = [place for pieces in SENTENCES for place in range(len(pieces))]
    segments = [segment for _, segment in flat]
    for name, values, y in (("position_ids", positions, top + 54), ("token_type_ids", segments, top + 98)):
        parts.append(line(y, name))
        parts += [label(x + 25, y + 18, str(value), mono=True, size=12) for x, value in zip(lefts, values, strict=True)]
    told = [
        ("cu_seqlens", str(bounds), "where each sequence begins; attention never crosses a boundary"),
        ("max_seqlen", str(longest), "the longest of them"),
        ("masked_positions", str(masked), f"the decoder sees these M = {len(masked)} hidden states only"),
    ]
    parts += [
        line(top + 152 + 22 * number, f"{name:<16} = {value:<15}  {meaning}")
        for number, (name, value, meaning) in enumerate(told)
    ]
    return picture(980, 416, "The same three sequences padded and packed", parts)


def piece_box(x: float, y: float, width: float, piece: str, segment: int) -> str:
    """A token in the colour of its segment."""
    colour = {"[PAD]": "plain", "[MASK]": "gap"}.get(piece, ("text", "data")[segment])
    return box(x, y, width, 30, [piece], colour, size=12 if width > 50 else 11)


def global_batch() -> str:
    """One global batch on two kinds of hardware."""
    parts = [box(330, 8, 320, 52, ["Global batch of step 17", "sequences, masks and counts: science"], "data")]
    left = [(f"micro-batch {i + 1}", 20 + i * 112) for i in range(4)]
    for name, x in left:
        parts += [
            box(x, 122, 100, 44, [name], "text", size=12),
            arrow((440, 60), (440, 88), (x + 50, 88), (x + 50, 119)),
        ]
    right = [(f"rank {i}", 528 + i * 112) for i in range(4)]
    for name, x in right:
        parts += [
            box(x, 122, 100, 44, [name], "model", size=12),
            arrow((540, 60), (540, 88), (x + 50, 88), (x + 50, 119)),
        ]
    parts += [
        label(238, 190, "one GPU, 4 accumulation steps"),
        label(746, 190, "four GPUs, all at once"),
        box(300, 220, 380, 52, ["Σ losses ÷ counts of the whole global batch", "one update, the same on both"], "out"),
        arrow((238, 198), (238, 246), (296, 246)),
        arrow((746, 198), (746, 246), (684, 246)),
    ]
    return picture(980, 284, "A global batch split for one GPU and for four", parts)


DRAWINGS = {"data_flow": data_flow, "packed_batch": packed_batch, "global_batch": global_batch}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")
