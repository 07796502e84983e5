"""Replace passwords and tokens in configurations, commands and messages by ``***``."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MASK = "***"
SECRET = re.compile(
    r"(?:.*[_.-])?(?:token|password|passwd|passphrase|secret|credentials?|authorization"
    r"|api_?key|(?:access|secret|private|account|shared|storage)_?key(?:_id)?)",
    re.IGNORECASE,
)
"""Keys whose values are secret; ``max_tokens`` and ``tokenizer`` are none of them."""

PIECES = re.compile(r"(?:.*[_.-])?(?:pad|unk|cls|sep|mask|bos|eos|special)_token", re.IGNORECASE)
SHORTEST = 6
"""Characters of an environment variable's value from which it is looked for in texts."""

IN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
IN_QUERY = re.compile(r"(?<=[?&])(?P<key>[\w-]*(?:token|sig|signature|key|credential|password)[\w-]*)=[^&\s'\"]+", re.I)
ASSIGNED = re.compile(
    r"(?P<key>[\w.-]+)(?P<sign>['\"]?(?:\s*[=:]\s*|\s+is\s+))(?P<value>'[^']*'|\"[^\"]*\"|[^\s,;(){}\[\]'\"]+)"
)


def is_secret(key: str) -> bool:
    """Whether the value of a key, dotted or not, is none of a reader's business.

    >>> [is_secret(key) for key in ("logger.wandb.api_key", "HF_TOKEN", "data.batch_tokens", "tokenizer", "pad_token")]
    [True, True, False, False, False]
    """
    return SECRET.fullmatch(key) is not None and PIECES.fullmatch(key) is None


def masked(value: Any) -> Any:
    """Plain containers with ``***`` for every secret: the values of such keys, and what stands in texts."""
    return _masked(value, _known())


def _masked(value: Any, known: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: MASK if is_secret(str(key)) and item not in (None, "", False, True) else _masked(item, known)
            for key, item in value.items()
        }
    if isinstance(value, str):
        return _without(known, value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_masked(item, known) for item in value]
    return value


def masked_text(text: str) -> str:
    """A command or a message with ``***`` for every secret.

    >>> masked_text("python train.py run=a logger.wandb.api_key=abc corpus.files=https://me:abc@host/a.txt")
    'python train.py run=a logger.wandb.api_key=*** corpus.files=https://***@host/a.txt'
    """
    return ASSIGNED.sub(_assigned, _without(_known(), text))


def _assigned(found: re.Match[str]) -> str:
    if not is_secret(found["key"]) or found["value"] in ("null", "None"):
        # The value may be an assignment itself, as in command: 'token=x'.
        return found["key"] + found["sign"] + ASSIGNED.sub(_assigned, found["value"])
    return found["key"] + found["sign"] + MASK


def _known() -> list[str]:
    """The values of secret variables of the environment."""
    return [value for name, value in os.environ.items() if len(value) >= SHORTEST and is_secret(name)]


def _without(known: Sequence[str], text: str) -> str:
    """Without passwords in addresses, and without what is known to be secret."""
    text = IN_QUERY.sub(lambda found: f"{found['key']}={MASK}", IN_ADDRESS.sub(MASK, text))
    for value in known:
        text = text.replace(value, MASK)
    return text


def has_wandb_key() -> bool:
    """Whether Weights & Biases would find its key: in the environment, or where `wandb login` leaves it."""
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return "WANDB_API_KEY" in os.environ or (netrc.is_file() and "api.wandb.ai" in netrc.read_text(encoding="utf-8"))
