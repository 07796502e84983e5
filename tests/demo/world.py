"""Small models of every kind for the demo, and a browser that looks at it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from tokenizers import Tokenizer

from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.model.adaptation import Adaptation
from cloze.model.config import BertConfig
from cloze.model.heads import BertForPreTraining
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer

SECONDS = 60
"""Until what the page shall show."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "##ing", "北", "京", "是", *"<>/=\"()'.,?!"]
VOCABULARY = [*SPECIAL_TOKENS, *LETTERS, *(f"##{c}" for c in LETTERS), *WORDS]
SHAPE = BertConfig(
    vocab_size=len(VOCABULARY),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
)
HEADS: dict[str, tuple[str, list[str], str | None]] = {
    "classes": ("BertForSequenceClassification", ["bad", "good"], "single_label_classification"),
    "labels": ("BertForSequenceClassification", ["p", "q", "r"], "multi_label_classification"),
    "score": ("BertForSequenceClassification", [], "regression"),
    "entities": ("BertForTokenClassification", ["O", "B-PER", "I-PER"], None),
    "questions": ("BertForQuestionAnswering", [], None),
    "choices": ("BertForMultipleChoice", [], None),
}


def shaken(model: torch.nn.Module) -> Any:
    """With weights that make a difference."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def pretrained_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    save_pretrained(shaken(BertForPreTraining(SHAPE)), build_tokenizer(VOCABULARY), folder)
    return folder


def task_folder(kind: str, folder: Path) -> Path:
    tokenizer: Tokenizer = build_tokenizer(VOCABULARY)
    architecture, labels, problem = HEADS[kind]
    scratch = Pretrained(config=SHAPE, tokenizer=tokenizer)
    torch.manual_seed(0)
    model = task_model(architecture, scratch, labels=labels, adaptation=Adaptation(), problem_type=problem)
    save_task_model(shaken(model), tokenizer, folder, architecture=architecture, labels=labels, problem_type=problem)
    return folder


class Visitor:
    """A person before the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.requests: list[str] = []

    def visit(self, url: str, *, width: int = 1100) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(url)
        self.until(lambda: self.all(".q-tab"))

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
