"""Patterns and replacements of a tokenizer.json are tried before they are believed."""

from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.normalizers import Normalizer, Replace
from tokenizers.pre_tokenizers import PreTokenizer, Split

from cloze.errors import InputError
from cloze.text.patterns import pattern_fault
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, load_tokenizer, save_tokenizer

# Of GPT-2 and of Llama 3, as their published tokenizer.json have them.
GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)


def with_rule(rule: Normalizer | PreTokenizer) -> Tokenizer:
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, "a", "b"])
    if isinstance(rule, Normalizer):
        tokenizer.normalizer = rule
    else:
        tokenizer.pre_tokenizer = rule
    return tokenizer


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Replace(Regex("(a+)+b"), "x"), "goes back too often"),
        (Split(Regex(r"(\d+\s*)+$"), "isolated"), "goes back too often"),
        (normalizers.Sequence([Replace(Regex("(a|a)*#"), "")]), "goes back too often"),
        (Split(Regex(r"(\w+\s?)*!"), "removed"), "goes back too often"),
        (Replace("a", "a" * 1000), "more than 100 times as long"),
        (Replace(Regex(""), "a" * 1000), "more than 100 times as long"),
        (normalizers.Prepend("x" * 1_000_000), "more than 100 times as long"),
        (normalizers.Sequence([Replace("a", "aa")] * 8), "more than 100 times as long"),
    ],
)
def test_what_grows_or_never_ends_is_refused(rule: Normalizer | PreTokenizer, reason: str, tmp_path: Path) -> None:
    save_tokenizer(with_rule(rule), tmp_path)
    with pytest.raises(InputError, match=rf"tokenizer\.json: its normalizer or pre_tokenizer, with .*{reason}"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "rule",
    [
        Split(Regex(GPT_2), "isolated"),
        Split(Regex(LLAMA_3), "isolated"),
        Replace(Regex(r"\s+$"), ""),
        normalizers.Sequence([normalizers.NFKC(), Replace(Regex(" {2,}"), " "), normalizers.Prepend("▁")]),
        pre_tokenizers.BertPreTokenizer(),
    ],
)
def test_rules_in_use_are_read(rule: Normalizer | PreTokenizer) -> None:
    assert pattern_fault(with_rule(rule)) is None
