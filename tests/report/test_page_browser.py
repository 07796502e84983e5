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
from tests.report.run_folders import HOSTILE, pretraining, task

pytestmark = pytest.mark.slow
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
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of a pre-training run, of two over each other, and of a task."""
    folder = tmp_path_factory.mktemp("runs")
    a, b = pretraining(folder / "a"), pretraining(folder / "b", seed=1.5, rows=40, notes=HOSTILE)
    record = {"id": "1", "text": HOSTILE, "prediction": "pos", "probability": 1.0, "label": "neg", "correct": False}
    write_page([a], folder / "one.html")
    write_page([a, b], folder / "two.html")
    write_page([task(folder / "task", [record])], folder / "task.html")
    return folder


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
