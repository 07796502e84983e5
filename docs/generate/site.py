"""The folder from which the site is built: the pages of `docs/`, the generated reference, and what the pages link to.

    python -m docs.generate.site

writes `build/docs/`; `zensical build --strict` makes `site/` of it. A link that leads out of `docs/`, as to a test or
to a file of `conf/`, works on GitHub as it stands; in the site it leads to a page that shows that file. In the
site, so does the mere name of such a file in code marks.
"""

import re
import shutil
from pathlib import Path, PurePosixPath

from docs.generate.conf_pages import commands_page, groups_page, sections_page
from docs.generate.python_pages import python_pages

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = REPOSITORY / "docs"
FOLDER = REPOSITORY / "build" / "docs"
LINK = re.compile(r"(?P<open>\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?P<close>\))")
NAMED = re.compile(r"(?<!\[)`(?P<path>(?:tests|benchmarks|conf|src)/[\w/.-]*\w)`(?!\])")
FENCE = re.compile(r"^(```.*?^```)", re.DOTALL | re.MULTILINE)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".sh": "bash"}
OWN = ("generate", "drawings")  # folders of docs/ with programs, of which only the pictures are for the site
PROJECT = tuple(map(PurePosixPath, ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md")))
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def assemble(folder: Path = FOLDER) -> None:
    """Write the folder again.

    Raises:
        FileNotFoundError: a page links to a file that does not exist.
    """
    shutil.rmtree(folder, ignore_errors=True)
    linked = set(PROJECT)
    for file in sorted(PAGES.rglob("*")):
        place = PurePosixPath(file.relative_to(PAGES).as_posix())
        if file.is_dir() or (place.parts[0] in OWN and file.suffix != ".svg"):
            continue
        if file.suffix == ".md":
            write(folder / place, _linked_inside(file.read_text(encoding="utf-8"), "docs" / place, place, linked))
        elif file.suffix in (".svg", ".png", ".css", ".js", ".LICENSE"):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / place)
    generated = {
        "reference/commands.md": commands_page(),
        "reference/groups.md": groups_page(),
        "reference/sections.md": sections_page(),
        **python_pages(),
    }
    for name, text in generated.items():
        write(folder / name, text)
    done: set[PurePosixPath] = set()
    while new := linked - done:
        for path in sorted(new):
            write(folder / _source_page(path), _shown(path, linked))
        done |= new


def write(file: Path, text: str) -> None:
    """Write a page, with the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _linked_inside(text: str, path: PurePosixPath, place: PurePosixPath, linked: set[PurePosixPath]) -> str:
    """The text with every link to a file turned into one within the site.

    Args:
        text: Markdown; code in fences stays as it is.
        path: where the text lies in the repository.
        place: where it will lie in the site's folder.
        linked: takes the files outside of `docs/`, by their path in the repository.
    """

    def turned(match: re.Match[str]) -> str:
        found = _normal(path.parent / match["target"])
        if not (REPOSITORY / found).exists():
            raise FileNotFoundError(f"{path} links to {match['target']}, but there is no {found}")
        inside = found.parts[0] == "docs" and found.suffix in (".md", ".svg", ".png")
        if inside:
            goal = found.relative_to("docs")
        else:
            linked.add(found)
            goal = _source_page(found)
        up = "../" * len(place.parent.parts)
        return f"{match['open']}{up}{goal}{match['anchor'] or ''}{match['close']}"

    def named(match: re.Match[str]) -> str:
        found = PurePosixPath(match["path"])
        if not (REPOSITORY / found).exists() or "__pycache__" in found.parts:
            return match[0]
        linked.add(found)
        return f"[`{found}`]({'../' * len(place.parent.parts)}{_source_page(found)})"

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else NAMED.sub(named, LINK.sub(turned, part)) for part in parts)


def _normal(path: PurePosixPath) -> PurePosixPath:
    """The path without `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def _source_page(path: PurePosixPath) -> PurePosixPath:
    if path.suffix == ".md":
        return PurePosixPath("files") / path
    return PurePosixPath("files") / path.parent / f"{path.name or 'repository'}.md"


def _shown(path: PurePosixPath, linked: set[PurePosixPath]) -> str:
    """The page of a file or a folder of the repository."""
    file = REPOSITORY / path
    if file.suffix == ".md":
        return UNSEARCHED + _linked_inside(file.read_text(encoding="utf-8"), path, _source_page(path), linked)
    if file.is_dir():
        names = sorted(str(inner.relative_to(file)) for inner in file.rglob("*") if _is_source(inner))
        return f"{UNSEARCHED}# {path}/\n\nA folder of the repository:\n\n" + "\n".join(f"- `{name}`" for name in names)
    language = LANGUAGES.get(file.suffix, "text")
    return f"{UNSEARCHED}# {path}\n\n````{language}\n{file.read_text(encoding='utf-8')}````\n"


def _is_source(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


if __name__ == "__main__":
    assemble()
