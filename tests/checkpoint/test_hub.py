"""Names of the hub, with a cache made by hand and without a network."""

import shutil
import sys
from pathlib import Path

import pytest

from cloze.checkpoint import hub
from cloze.checkpoint.hub import local_folder
from cloze.checkpoint.pretrained import read_pretrained
from cloze.errors import InputError
from tests.checkpoint.folders import their_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the model `anna/small`, as the hub's own package lays it out; and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "cache" / "models--anna--small"
    snapshot = repository / "snapshots" / COMMIT
    their_folder("BertForMaskedLM", snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot


@pytest.mark.parametrize("name", ["anna/small", "hub:anna/small", f"anna/small@{COMMIT}", "hub:anna/small@main"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_name_of_the_hub_is_a_model(cache: Path, name: str, kind: type) -> None:
    pretrained = read_pretrained(kind(name))
    assert pretrained.head == "masked_lm"
    assert pretrained.folder == cache


def test_a_folder_goes_before_the_hub(cache: Path) -> None:
    shutil.copytree(cache, "anna/small")
    assert read_pretrained("anna/small").folder == Path("anna/small")
    assert read_pretrained("hub:anna/small").folder == cache
    with pytest.raises(InputError, match=r"^anna/smal: there is no such folder"):  # a slip in a path asks no network
        read_pretrained("anna/smal")


@pytest.mark.parametrize("name", ["anna/other", "hub:anna/other", "hub:other", "anna/small@v2"])
def test_without_a_network_it_is_one_sentence(cache: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is not in this machine's cache and cannot be downloaded now: go online"):
        read_pretrained(name)


@pytest.mark.parametrize("name", ["hub:a/b/c", "hub:", "hub:an na/x"])
def test_what_can_be_no_name_is_told(cache: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is neither a folder nor a model of the hub: fix the name"):
        read_pretrained(name)


def test_the_missing_package_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[hub\]'"):
        read_pretrained("anna/small")


def test_pickled_weights_are_fetched_only_where_there_are_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def snapshot_download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    local_folder("hub:anna/small")
    assert set(hub.SAFETENSORS) <= set(asked[0])
    assert "pytorch_model.bin" not in asked[0]
    assert "pytorch_model.bin" in asked[1]
    (tmp_path / "model.safetensors").touch()
    local_folder("hub:anna/small")
    assert len(asked) == 3
