"""The site is built without a warning, asks no other host for anything, and its drawings are those that are drawn.

It is read from disk: the search, too, and on a phone.
"""

import re
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from cloze.config.arguments import conf_folder, groups
from docs.drawings.draw import DRAWINGS
from docs.generate.site import assemble
from tests import processes
from tests.browser import Visitor, browser
from tests.conftest import REPOSITORY

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "audio": "src", "video": "src"}
NOT_LOADED = ("canonical", "prev", "next", "alternate")


class Links(HTMLParser):
    """What a page loads, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag in LOADED and LOADED[tag] in given:
            self.loads.append(given[LOADED[tag]])
        elif tag == "link" and given.get("rel") not in NOT_LOADED:
            self.loads.append(given["href"])
        elif tag == "a" and "href" in given:
            self.leads.append(given["href"])


def build(folder: Path) -> Path:
    """The site in a folder of its own: two processes may do this at once."""
    settings = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    own = {
        "docs_dir: build/docs": "docs_dir: docs",
        "paths: [src]": f"paths: [{REPOSITORY / 'src'}]",
        "[docs/generate": f"[{REPOSITORY}/docs/generate",
    }
    for given, replaced in own.items():
        assert given in settings
        settings = settings.replace(given, replaced)
    (folder / "mkdocs.yml").write_text(settings, encoding="utf-8")
    assemble(folder / "docs")
    done = processes.run([Path(sys.executable).with_name("zensical"), "build", "--strict"], cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.mark.slow
def test_the_site(tmp_path: Path) -> None:
    """One test, so that the site is built once."""
    site = build(tmp_path)
    pages = {}
    for file in sorted(site.rglob("*.html")):
        pages[file] = Links()
        pages[file].feed(file.read_text(encoding="utf-8"))
    assert len(pages) > 40
    assert foreign(site, pages) == []
    assert lost(pages) == []
    check_navigation(tmp_path)
    check_reference(site)
    with browser() as visitor:
        check_search(visitor, site)
        check_a_phone(visitor, [page for page in pages if page.relative_to(site).parts[0] != "files"])


def foreign(site: Path, pages: dict[Path, Links]) -> list[str]:
    """What would be loaded from another host."""
    loaded = [f"{file.name}: {url}" for file, links in pages.items() for url in links.loads if urlsplit(url).netloc]
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    return loaded + re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']+", styles)


def lost(pages: dict[Path, Links]) -> list[str]:
    """Links within the site that lead to no page, or to no place on it."""
    found = []
    for file, links in pages.items():
        for url in links.leads + links.loads:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc or file.name == "404.html":
                continue
            goal = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            goal = goal / "index.html" if goal.is_dir() else goal  # the logo's
            fragment = unquote(parts.fragment)
            if not goal.is_file() or (fragment and goal in pages and fragment not in pages[goal].ids):
                found.append(f"{file.name}: {url}")
    return found


def check_navigation(folder: Path) -> None:
    """Every page stands in the navigation of mkdocs.yml, and what stands there is a page."""
    settings = (folder / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"- (\S+\.md)$", settings, re.MULTILINE))
    pages = {page.relative_to(folder / "docs").as_posix() for page in (folder / "docs").rglob("*.md")}
    assert len(named) == settings.count(".md\n"), "a page stands there twice"
    assert named - pages == set()
    assert {page for page in pages - named if not page.startswith("files/")} == set()


def check_reference(site: Path) -> None:
    """Every option has its place, and docstrings reach the pages."""
    options = (site / "reference" / "groups.html").read_text(encoding="utf-8")
    for group, names in groups(conf_folder()).items():
        for name in names:
            assert f'id="{group}-{name.replace("/", "-")}"' in options
    assert "share of a sequence's tokens to predict" in unescape(options)
    ready = (site / "reference" / "python" / "ready.html").read_text(encoding="utf-8")
    assert 'id="cloze.api.Ready.pack"' in ready


def check_search(visitor: Visitor, site: Path) -> None:
    """It finds and leads there, from a page in a folder, without a server."""
    visitor.open((site / "reference" / "python" / "ready.html").as_uri())
    visitor.until(lambda: visitor.all(".md-search__button"))[0].click()

    def inside(selector: str) -> list[WebElement]:
        box = visitor.driver.switch_to.active_element.shadow_root  # where the theme puts field and results
        return box.find_elements(By.CSS_SELECTOR, selector)

    visitor.until(lambda: inside("input"))[0].send_keys("warmup_ratio")
    hit = visitor.until(lambda: [hit for hit in inside("a[href]") if "schedule=linear" in hit.text])[0]
    assert Path(unquote(urlsplit(hit.get_attribute("href") or "").path)) == site / "reference" / "groups.html"
    assert visitor.complaints() == []
    hit.click()
    visitor.until(lambda: visitor.driver.current_url.endswith("#schedule-linear"))
    assert {urlsplit(url).scheme for url in visitor.requested()} <= {"file", "data"}


def check_a_phone(visitor: Visitor, pages: list[Path]) -> None:
    """No page is wider than the screen, and no title is cut."""
    found = {}
    visitor.without("*/search.js")  # the index, which each page reads anew for half of its time; nothing shows of it
    for page in pages:
        visitor.open(page.as_uri(), width=390)
        found[page.name] = [text for text in visitor.cut() if not text.startswith("BUTTON.md-search__button")]
    assert {name: cut for name, cut in found.items() if cut} == {}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_what_is_drawn(name: str) -> None:
    file = REPOSITORY / "docs" / "drawings" / f"{name}.svg"
    assert file.read_text(encoding="utf-8") == DRAWINGS[name](), "run python -m docs.drawings.draw"
