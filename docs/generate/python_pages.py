"""The pages of the Python reference: which modules stand on which page. mkdocstrings fills them from the docstrings."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "cloze"
PAGES = {
    "ready": ("Using a model", ["cloze", "cloze.api", "cloze.batch", "cloze.errors"]),
    "configuration": ("Configuration", ["cloze.config"]),
    "text": ("Text", ["cloze.text"]),
    "data": ("Pre-training data", ["cloze.data", "cloze.data.pretraining"]),
    "finetuning": ("Data of tasks", ["cloze.data.tables", "cloze.data.finetuning", "cloze.data.extraction"]),
    "model": ("Model", ["cloze.model"]),
    "optim": ("Optimisation", ["cloze.optim"]),
    "tasks": ("Training and tasks", ["cloze.tasks", "cloze.callbacks"]),
    "checkpoint": ("Model folders and checkpoints", ["cloze.checkpoint"]),
    "metrics": ("Metrics", ["cloze.metrics"]),
}


def python_pages() -> dict[str, str]:
    """Their texts, by their path in the site's folder."""
    pages = {}
    for name, (title, packages) in PAGES.items():
        modules = [module for package in packages for module in modules_of(package)]
        body = "\n\n".join(f"::: {module}" for module in modules)
        pages[f"reference/python/{name}.md"] = f"# {title}\n\n{body}\n"
    return pages


def modules_of(package: str) -> list[str]:
    """The module itself, or those directly in a package, without empty ones and private ones."""
    folder = PACKAGE.joinpath(*package.split(".")[1:])
    if package == "cloze" or not folder.is_dir():
        return [package]
    files = sorted(folder.glob("*.py"))
    return [f"{package}.{file.stem}" for file in files if not file.stem.startswith("_") and file.stat().st_size]
