"""The page in a real browser: charts, hover, legend, zoom, axes, a phone, dark mode; and nothing is complained of."""

import base64
import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from cloze.report.page.page import write_page
from tests.browser import Visitor, browser
from tests.report.run_folders import HOSTILE, pretraining, task, write_metrics

pytestmark = pytest.mark.slow
PAIRS = [
    {"id": str(n), "text": "A text of some length, with a wordofverymanyletters. " * 3,
     "text_pair": "Another text. " * 5, "prediction": "pos", "probability": 0.9, "label": "neg", "correct": False}
    for n in range(3)
]  # fmt: skip
DRAWN = """
const [canvas, colour] = arguments, copy = document.createElement('canvas');
[copy.width, copy.height] = [canvas.width, canvas.height];
const context = copy.getContext('2d', {willReadFrequently: true});
context.drawImage(canvas, 0, 0);
const pixels = context.getImageData(0, 0, copy.width, copy.height).data;
const wanted = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));
let count = 0;
for (let i = 0; i < pixels.length; i += 4)
    if (pixels[i + 3] > 200 && wanted.every((value, k) => Math.abs(pixels[i + k] - value) < 24)) count += 1;
return count"""


@pytest.fixture(scope="module")
def visitor() -> Iterator[Visitor]:
    with browser() as one:
        one.watch_pictures()
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of a pre-training run, of two over each other, of a sweep, and of tasks."""
    folder = tmp_path_factory.mktemp("runs")
    a, b = pretraining(folder / "a"), pretraining(folder / "b", seed=1.5, rows=40, notes=HOSTILE)
    record = {"id": "1", "text": HOSTILE, "prediction": "pos", "probability": 1.0, "label": "neg", "correct": False}
    write_page([a], folder / "one.html")
    write_page([a, b], folder / "two.html")
    write_page([task(folder / "task", [record])], folder / "task.html")
    write_page([task(folder / "pairs", PAIRS)], folder / "pairs.html")
    write_page([tags(folder / "tags")], folder / "tags.html")
    write_page(sweep(folder / "sweep"), folder / "sweep.html")
    return folder


def sweep(folder: Path) -> list[Path]:
    """Eight runs of two phases, whose names are long; one evaluation each."""
    rates = [
        f"optimizer.lr={rate} objective.mask_rate={share}" for rate in (1e-3, 2e-3, 3e-3, 4e-3) for share in (0.15, 0.4)
    ]
    phases = {"folder": "none", "phases": [[0.5, 32], [0.5, 128]]}
    return [
        pretraining(
            folder / str(n),
            rows=12,
            seed=n,
            command=f"python train.py {words}",
            data=phases,
            trainer={"max_steps": 120},
        )
        for n, words in enumerate(rates)
    ]


def tags(folder: Path) -> Path:
    """More kinds of entities than fit next to each other on a phone."""
    kinds = [f"{place}-a-rather-long-kind-{number}" for number in range(8) for place in "BI"]
    records = [
        {"id": str(n), "words": ["one", "two"], "prediction": ["O", kind], "label": ["O", "O"], "correct": False}
        for n, kind in enumerate(kinds)
    ]
    return task(folder, records, ["O", *kinds])


def opened(visitor: Visitor, page: Path, *, width: int = 1100, dark: bool = False) -> None:
    visitor.leave()
    visitor.open(page.as_uri(), width=width, dark=dark)
    visitor.until(lambda: visitor.all(".chart canvas"))


def quiet(visitor: Visitor, page: Path) -> None:
    """Nothing was complained of, no text ran, and nothing but the page was fetched."""
    assert visitor.driver.execute_script("return window.ran") is None
    assert visitor.complaints() == []
    assert {url for url in visitor.requested() if not url.startswith("data:")} <= {page.as_uri(), "about:blank"}


def chart(visitor: Visitor, title: str) -> WebElement:
    return next(box for box in visitor.all(".chart") if box.find_element(By.TAG_NAME, "h4").text.startswith(title))


def legend(box: WebElement) -> dict[str, str]:
    rows = box.find_elements(By.CSS_SELECTOR, ".u-legend tr")
    return {row.find_element(By.TAG_NAME, "th").text: row.find_element(By.TAG_NAME, "td").text for row in rows}


def hover(visitor: Visitor, box: WebElement, share: float) -> dict[str, str]:
    """The legend while the mouse stands at a share of the chart's width."""
    over = box.find_element(By.CSS_SELECTOR, ".u-over")
    offset = int((share - 0.5) * over.size["width"])
    ActionChains(visitor.driver).move_to_element_with_offset(over, offset, 0).perform()
    return legend(box)


def drawn(visitor: Visitor, box: WebElement, colour: str) -> int:
    """Pixels of a colour of the palette."""
    value = visitor.driver.execute_script(
        f"return getComputedStyle(document.documentElement).getPropertyValue('--{colour}').trim()"
    )
    return int(visitor.driver.execute_script(DRAWN, box.find_element(By.TAG_NAME, "canvas"), value))


def widths(visitor: Visitor) -> tuple[int, int]:
    sizes = visitor.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    return sizes[0], sizes[1]


def test_curves_can_be_read_hidden_and_zoomed(visitor: Visitor, folder: Path) -> None:
    page = folder / "one.html"
    opened(visitor, page)
    with (folder / "a" / "metrics.csv").open(encoding="utf-8") as lines:
        rows = {int(row["step"]): row for row in csv.DictReader(lines)}
    box = chart(visitor, "Masked LM loss")
    for each in visitor.all(".chart"):
        assert drawn(visitor, each, "c0") > 100
    assert drawn(visitor, box, "c1") > 50
    assert float(legend(box)["held out"]) == pytest.approx(float(rows[600]["val/masked_lm_loss"]), abs=6e-4)

    shown = hover(visitor, box, 0.3)  # the nearest row, and the nearest evaluation
    step = int(shown["step"])
    assert 170 < step < 210
    assert float(shown["training"]) == pytest.approx(float(rows[step]["train/masked_lm_loss"]), abs=6e-4)
    assert float(shown["held out"]) == pytest.approx(float(rows[200]["val/masked_lm_loss"]), abs=6e-4)

    name = next(row for row in box.find_elements(By.CSS_SELECTOR, ".u-series th") if row.text == "held out")
    name.click()
    assert drawn(visitor, box, "c1") == 0
    name.click()
    assert drawn(visitor, box, "c1") > 50

    over = box.find_element(By.CSS_SELECTOR, ".u-over")
    width = over.size["width"]
    drag = ActionChains(visitor.driver).move_to_element_with_offset(over, 0, 0).click_and_hold()
    drag.move_by_offset(width // 4, 0).release().perform()
    whole = visitor.driver.find_element(By.ID, "reset")
    visitor.until(whole.is_enabled)
    other = chart(visitor, "Learning rate")
    assert 290 < int(hover(visitor, other, 0.02)["step"]) < 325  # all charts are zoomed
    assert 430 < int(hover(visitor, other, 0.98)["step"]) < 465
    whole.click()
    assert not whole.is_enabled()
    assert int(hover(visitor, other, 0.02)["step"]) < 40

    visitor.driver.find_elements(By.CSS_SELECTOR, "#axis button")[1].click()  # tokens in place of steps
    assert hover(visitor, chart(visitor, "Learning rate"), 0.999)["tokens"] == "1.2M"
    visitor.driver.find_elements(By.CSS_SELECTOR, "#axis button")[2].click()
    assert hover(visitor, chart(visitor, "Learning rate"), 0.999)["time"] == "1:05:00"
    quiet(visitor, page)


def test_runs_over_each_other(visitor: Visitor, folder: Path) -> None:
    page = folder / "two.html"
    opened(visitor, page)
    box = chart(visitor, "Gradient norm")
    assert drawn(visitor, box, "c0") > 100
    assert drawn(visitor, box, "c1") > 100
    assert set(legend(box)) == {"step", "a", "b"}
    visitor.driver.find_elements(By.CSS_SELECTOR, "#runs button")[1].click()
    assert drawn(visitor, box, "c1") == 0
    assert drawn(visitor, box, "c0") > 100
    assert "notes" in visitor.text(".differences")
    quiet(visitor, page)


@pytest.mark.parametrize("width", [390, 800, 1440])
@pytest.mark.parametrize("name", ["one", "two", "sweep", "task", "pairs", "tags"])
def test_nothing_is_cut_on_any_screen(name: str, width: int, visitor: Visitor, folder: Path) -> None:
    """Legends are whole and so is the last column of every table; a large confusion matrix alone is scrolled."""
    opened(visitor, folder / f"{name}.html", width=width)
    visitor.driver.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert visitor.cut() == []
    assert [part for part in visitor.scrolled() if "rows: label; columns: prediction" not in part] == []
    for whole in visitor.all(".u-legend, .chart, #runs"):
        assert visitor.driver.execute_script("return arguments[0].scrollHeight - arguments[0].clientHeight", whole) <= 1


def test_the_curves_of_a_sweep_are_called_by_what_varied(visitor: Visitor, folder: Path) -> None:
    opened(visitor, folder / "sweep.html")
    names = set(legend(chart(visitor, "Gradient norm"))) - {"step"}
    assert len(names) == 8
    assert {"lr=0.001, mask_rate=0.15", "lr=0.004, mask_rate=0.4"} < names
    assert "lr=0.001, mask_rate=0.15 · embeddings and heads" in legend(chart(visitor, "Update ratio"))
    assert chart(visitor, "Memory (GiB)").is_displayed()


def test_a_single_value_is_a_number(visitor: Visitor, folder: Path) -> None:
    opened(visitor, folder / "sweep.html")
    accuracy = chart(visitor, "Next sentence accuracy")
    assert accuracy.find_elements(By.TAG_NAME, "canvas")  # of training it has many
    rows = [{"step": step, "train/loss": 1 / step} for step in (1, 2)] + [{"step": 3, "val/accuracy": 0.875}]
    once = task(folder / "once")
    write_metrics(once / "metrics.csv", rows)
    write_page([once], folder / "once.html")
    opened(visitor, folder / "once.html")
    assert chart(visitor, "Loss").find_elements(By.TAG_NAME, "canvas")
    assert not chart(visitor, "Accuracy").find_elements(By.CSS_SELECTOR, "canvas, button")
    assert chart(visitor, "Accuracy").text.split() == ["Accuracy", "held", "out", "0.875"]


@pytest.mark.parametrize("values", [(0.9, 1.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.999)])
def test_the_axis_of_a_share_ends_at_one(values: tuple[float, float], visitor: Visitor, folder: Path) -> None:
    run = task(folder / f"share{values}")
    rows = [{"step": step, "val/accuracy": value, "speed/mfu": value} for step, value in enumerate(values)]
    write_metrics(run / "metrics.csv", rows)
    write_page([run], folder / "share.html")
    opened(visitor, folder / "share.html")
    for name, end in (("Accuracy", 1.0), ("MFU", 100.0)):
        texts = visitor.written(chart(visitor, name).find_element(By.TAG_NAME, "canvas"))
        ticks = [float(text.removesuffix(" %").replace(",", "")) for text in texts if text]
        assert min(ticks) >= 0
        assert max(ticks) <= end


def test_a_change_of_phase_is_a_line_with_its_name(visitor: Visitor, folder: Path) -> None:
    opened(visitor, folder / "sweep.html", width=800)
    for box in visitor.all(".chart canvas"):
        assert "128 tokens" in visitor.written(box)
    assert visitor.text(".phases") == "From step 61 on, sequences of up to 128 tokens in place of 32."
    opened(visitor, folder / "two.html")
    assert not any("tokens" in text for box in visitor.all(".chart canvas") for text in visitor.written(box))


def test_bars_fill_their_tracks(visitor: Visitor, folder: Path) -> None:
    opened(visitor, folder / "one.html")
    few, all_ = visitor.driver.execute_script(
        "return [...document.querySelectorAll('.bar')]"
        ".map(bar => [bar, bar.firstElementChild].map(part => part.getBoundingClientRect()))"
    )
    for track, bar in (few, all_):
        assert (bar["top"], bar["height"], bar["left"]) == (track["top"], track["height"], track["left"])
    assert all_[1]["width"] == pytest.approx(all_[0]["width"])
    assert few[1]["width"] == pytest.approx(0.04 * few[0]["width"], abs=0.5)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["one", "two", "task"])
def test_a_phone_and_both_themes(name: str, dark: bool, visitor: Visitor, folder: Path) -> None:
    page = folder / f"{name}.html"
    opened(visitor, page, width=390, dark=dark)
    scroll, inner = widths(visitor)
    assert scroll <= inner == 390
    paper = visitor.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    lightness = max(map(int, re.findall(r"\d+", paper)))
    assert lightness < 60 if dark else lightness > 240
    assert all(drawn(visitor, box, "c0") > 20 for box in visitor.all(".chart"))
    picture = visitor.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    assert len(base64.b64decode(picture["data"])) > 20_000
    if name == "task":
        assert HOSTILE.split("\u2028")[0] in visitor.text(".errors td")
    quiet(visitor, page)
