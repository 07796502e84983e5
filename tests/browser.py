"""A browser for the pages: the demo, reports, the documentation."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 60
"""Until what the page shall show."""
CUT = """
const cut = [], hides = ['hidden', 'clip'];
for (const element of document.querySelectorAll('body, body *')) {
    const style = getComputedStyle(element), {left, right} = element.getBoundingClientRect();
    const is_seen = Math.min(element.clientWidth, element.clientHeight) > 2 && right > 0 && left < innerWidth;
    if (!is_seen || element instanceof SVGElement || style.display === 'inline') continue;
    const wide = hides.includes(style.overflowX) && element.scrollWidth > element.clientWidth + 1;
    const high = hides.includes(style.overflowY) && element.scrollHeight > element.clientHeight + 1;
    if (wide || high) cut.push(`${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 60)}`);
}
const {scrollWidth} = document.documentElement;
if (scrollWidth > innerWidth) cut.push(`the page is ${scrollWidth} wide`);
return cut"""

SCROLLED = """
const parts = [...document.querySelectorAll('body *')].filter(part => part.checkVisibility() && part.clientWidth > 2);
const scrolls = (part) => ['auto', 'scroll'].includes(getComputedStyle(part).overflowX);
return parts.filter(part => scrolls(part) && part.scrollWidth > part.clientWidth + 1)
    .map(part => `${part.tagName}.${part.className}: ${part.textContent.trim().slice(0, 60)}`)"""
WRITTEN = """
window.written = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    window.written.push([this.canvas, text]);
    return write.call(this, text, ...place);
};"""


class Visitor:
    """A person before the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.requests: list[str] = []

    def open(self, url: str, *, width: int = 1100, dark: bool = False) -> None:
        """Any page, on a screen this many pixels wide."""
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(url)

    def visit(self, url: str, *, width: int = 1100) -> None:
        """The demo."""
        self.open(url, width=width)
        self.until(lambda: self.all(".q-tab"))

    def cut(self) -> list[str]:
        """What of the page cannot be seen, not even by scrolling within a part of it."""
        return self.driver.execute_script(CUT)  # type: ignore[no-any-return]

    def scrolled(self) -> list[str]:
        """The parts of the page that are wider than the room they have, and scroll from side to side."""
        return self.driver.execute_script(SCROLLED)  # type: ignore[no-any-return]

    def written(self, canvas: WebElement) -> set[str]:
        """What has been written into a picture; for pages that are opened after `watch_pictures`."""
        found = "return window.written.filter(([canvas]) => canvas === arguments[0]).map(([, text]) => text)"
        return set(self.driver.execute_script(found, canvas))

    def watch_pictures(self) -> None:
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WRITTEN})

    def without(self, *addresses: str) -> None:
        """From now on pages do without these; a star stands for anything."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(addresses)})

    def leave(self) -> None:
        """Close the page, which would go on looking for its server, and forget what was said and asked."""
        self.driver.get("about:blank")
        self.complaints()
        self.requested()
        self.requests.clear()

    def all(self, selector: str) -> list[WebElement]:
        """Those that can be seen."""
        return [found for found in self.driver.find_elements(By.CSS_SELECTOR, selector) if found.is_displayed()]

    def texts(self, selector: str) -> list[str]:
        return self.driver.execute_script(  # type: ignore[no-any-return]
            "return [...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent).map(e => e.textContent)",
            selector,
        )

    def text(self, selector: str) -> str:
        return " ".join(self.texts(selector))

    def until(self, condition: Callable[..., Any], *values: Any) -> Any:
        """The first result of ``condition`` for these values that is true."""
        return WebDriverWait(self.driver, SECONDS, 0.1, [Exception]).until(lambda _: condition(*values))

    def open_tab(self, name: str) -> None:
        tabs = self.driver.find_elements(By.CSS_SELECTOR, ".q-tab")  # on a phone some are scrolled out of sight
        tab = next(tab for tab in tabs if name in str(tab.get_attribute("textContent")))
        self.driver.execute_script("arguments[0].click()", tab)
        self.until(lambda: "q-tab--active" in str(tab.get_attribute("class")))

    def write(self, number: int, text: str) -> None:
        """Put a text into a field of the open tab, as pasting does; chromedriver cannot type emoji."""
        self.driver.execute_script(
            "const box = arguments[0]; box.focus(); box.select();"
            "document.execCommand(arguments[1] ? 'insertText' : 'delete', false, arguments[1]);",
            self.all("textarea")[number],
            text,
        )

    def bars(self) -> list[tuple[str, str]]:
        return list(zip(self.texts(".bar-label"), self.texts(".bar-value"), strict=True))

    def choose(self, number: int, option: str) -> None:
        """An option of a drop-down list of the open tab."""
        self.all(".picks .q-select")[number].click()
        entry = self.until(lambda: [item for item in self.all(".q-menu .q-item") if item.text == option])[0]
        self.driver.execute_script("arguments[0].click()", entry)
        self.until(lambda: not self.all(".q-menu"))

    def complaints(self) -> list[str]:
        """What the console says."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requested(self) -> list[str]:
        """Every address that the page has asked for."""
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self.requests.append(message["params"]["url"])
        return self.requests


@contextmanager
def browser() -> Iterator[Visitor]:
    """Chromium without a window; skips where there is none."""
    paths = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in paths:
        pytest.skip("no browser: needs chromium and chromedriver (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = str(paths[0])
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1100,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(paths[1]))
    driver.set_page_load_timeout(SECONDS)
    driver.set_script_timeout(SECONDS)
    try:
        yield Visitor(driver)
    finally:
        driver.quit()
