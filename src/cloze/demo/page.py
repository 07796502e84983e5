"""The demo page: a tab for each ability of the model; disabled tabs give the reason."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nicegui import ui

from cloze.demo.attention import AttentionTab
from cloze.demo.fine_tuned import TITLES, task_tab
from cloze.demo.neighbours import neighbours_tab
from cloze.demo.parts import Live, hint
from cloze.demo.pretrained import fill_tab, pair_tab
from cloze.demo.reader import SEARCH, Reader
from cloze.demo.search import search_tab
from cloze.inference.choose import FILL_MASK, FINE_TUNED, NEXT_SENTENCE

STYLE = Path(__file__).with_name("page.css")
DARK = {None: "brightness_auto", False: "light_mode", True: "dark_mode"}


def build(reader: Reader, sentences: Sequence[str] = (), source: str | None = None) -> None:
    """Draw the page for one visitor.

    Args:
        reader: the model.
        sentences: to look for neighbours among.
        source: the name of their file.
    """
    ui.page_title(f"{reader.examples.name} - cloze")
    ui.add_css(STYLE)
    ui.colors(primary="#1f6feb")
    tabs: dict[str, Callable[[], Live]] = {
        "Fill in": lambda: fill_tab(reader),
        "Next sentence": lambda: pair_tab(reader),
        TITLES.get(reader.make, "Task"): lambda: task_tab(reader),
        "Search": lambda: search_tab(reader),
        "Attention": lambda: AttentionTab(reader).live,
        "Neighbours": lambda: neighbours_tab(reader, sentences, source),
    }
    tasks = dict(zip(tabs, (FILL_MASK, NEXT_SENTENCE, FINE_TUNED, SEARCH, None, None), strict=True))
    if reader.embeds:
        del tabs["Task"]
    if reader.index is None and not reader.embeds:
        del tabs["Search"]
    off = {name: reader.off[task] for name in tabs if (task := tasks[name]) in reader.off}
    own = "Neighbours" if reader.embeds else TITLES.get(reader.make)
    first = "Search" if reader.index is not None else own or next(name for name in tabs if name not in off)
    with ui.column().classes("page"):
        _top(reader)
        with ui.tabs().props("no-caps align=left outside-arrows mobile-arrows inline-label") as bar:
            for name in tabs:
                ui.tab(name, icon="block" if name in off else None).classes("off" if name in off else "")
        lives: dict[str, Live] = {}
        with ui.tab_panels(bar, value=first, animated=False, keep_alive=True):
            for name, draw in tabs.items():
                with ui.tab_panel(name), ui.column().classes("card"):
                    if name in off:
                        ui.label("This model cannot do that").classes("heading")
                        hint(f"{off[name]}.")
                    else:
                        lives[name] = draw()

    async def shown() -> None:
        """Answer the example of a tab when it is first seen."""
        if (live := lives.pop(str(bar.value), None)) is not None:
            await live.refresh()

    bar.on_value_change(shown)
    ui.timer(0.05, shown, once=True)


def _top(reader: Reader) -> None:
    """Which model this is, and the switch of light and dark."""
    config = reader.config
    parameters = sum(tensor.numel() for tensor in reader.pretrained.state.values())
    facts = (
        f"{config.num_hidden_layers} layers",
        f"{config.hidden_size} wide",
        f"{config.num_attention_heads} heads",
        f"{config.vocab_size:,} tokens",
        f"{config.max_position_embeddings} positions",
        f"{parameters / 1e6:.1f} M parameters" if parameters >= 1e5 else f"{parameters:,} parameters",
    )
    with ui.row().classes("top"):
        with ui.column().classes("names"):
            ui.label(reader.examples.name).classes("title")
            ui.label(" · ".join((reader.pretrained.kind, *facts))).classes("told")
            ui.label(str(reader.pretrained.folder)).classes("told")
        dark = ui.dark_mode(value=None)
        order = [None, False, True]

        def turn() -> None:
            dark.value = order[(order.index(dark.value) + 1) % 3]
            button.props(f"icon={DARK[dark.value]}")

        button = ui.button(icon=DARK[None], on_click=turn).props("flat round aria-label='Light or dark'")
