"""What the kernel of attention cannot do is said before anything is read."""

import pytest

from cloze.config.hardware import Hardware
from cloze.errors import InputError
from cloze.run.hardware import check_attention

GPU = {"accelerator": "gpu", "precision": "bf16-mixed"}
KEY = "model.attention_probs_dropout_prob"


@pytest.mark.parametrize(
    ("asked", "dropout", "sentence"),
    [
        ({"attention": "varlen"}, 0.0, "trains on CUDA alone: take hardware=gpu"),
        ({"attention": "triton"}, 0.0, "trains on CUDA alone: take hardware=gpu"),
        ({**GPU, "attention": "triton", "precision": "32-true"}, 0.0, "has no 32-true"),
        ({**GPU, "attention": "varlen", "precision": "32-true"}, 0.0, "has no 32-true"),
        ({**GPU, "attention": "varlen"}, 0.1, f"has no dropout, and {KEY} is 0.1"),
        ({**GPU, "attention": "reference"}, 0.0, "makes a GPU wait at every layer"),
    ],
)
def test_refused(asked: dict[str, str], dropout: float, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_attention(dropout, Hardware(**asked), key=KEY)  # type: ignore[arg-type]


@pytest.mark.parametrize("installed", [True, False])
def test_auto_says_when_dropout_costs_the_fast_kernel(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], installed: bool
) -> None:
    monkeypatch.setattr("cloze.model.kernels.fused.HAS_TRITON", installed)
    gpu = Hardware(**GPU)  # type: ignore[arg-type]
    check_attention(0.0, gpu, key=KEY)
    check_attention(0.1, Hardware(), key=KEY)
    assert capsys.readouterr().err == ""
    check_attention(0.1, gpu, key=KEY)
    assert (f"note: {KEY} is 0.1" in capsys.readouterr().err) != installed


def test_our_kernel_without_its_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Hardware(**GPU, attention="triton")  # type: ignore[arg-type]
    monkeypatch.setattr("cloze.model.kernels.fused.HAS_TRITON", True)
    check_attention(0.1, asked, key=KEY)
    monkeypatch.setattr("cloze.model.kernels.fused.HAS_TRITON", False)
    with pytest.raises(InputError, match="triton is not installed"):
        check_attention(0.1, asked, key=KEY)


def test_every_kernel_that_dropout_allows_is_allowed() -> None:
    for kernel in ("auto", "sdpa"):
        check_attention(0.1, Hardware(**GPU, attention=kernel), key=KEY)  # type: ignore[arg-type]
    check_attention(0.1, Hardware(attention="sdpa"), key=KEY)
    check_attention(0.0, Hardware(**GPU, attention="varlen"), key=KEY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"cuda_graphs": True}, "cuda_graphs needs a GPU and constant shapes"),
        ({**GPU, "cuda_graphs": True, "compile": True}, "cuda_graphs needs a GPU and constant shapes"),
        ({"precision": "fp8-mixed"}, "runs on GPUs that hold the whole model"),
        ({**GPU, "precision": "fp8-mixed", "strategy": "fsdp"}, "runs on GPUs that hold the whole model"),
    ],
)
def test_options_of_a_gpu_alone(asked: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Hardware(**asked)  # type: ignore[arg-type]


def test_names_of_lightning_and_of_kernels() -> None:
    fp8 = Hardware(accelerator="gpu", precision="fp8-mixed")
    assert (fp8.of_lightning, fp8.in_half, fp8.kernel) == ("bf16-mixed", True, "triton")
    assert (Hardware().of_lightning, Hardware().in_half, Hardware().kernel) == ("32-true", False, "reference")
    assert Hardware(accelerator="gpu").kernel == "sdpa"
    assert Hardware(attention="sdpa").kernel == "sdpa"
