"""The table of a run, and what it was measured on."""

import datetime as dt
import platform
from importlib.metadata import version
from typing import Any

import torch

HEAD = (
    "size", "length", "batches", "variant", "real tokens/s", "sequences/s", "MFU", "of GEMM", "GiB", "ms a step",
    "data", "forward", "backward", "optimizer", "tokens a micro-batch",
)  # fmt: skip
FIGURES = {
    "tokens_per_second": "{:,.0f}", "sequences_per_second": "{:,.0f}", "mfu": "{:.1%}", "share_of_gemm": "{:.1%}",
    "peak_memory_gib": "{:.1f}", "ms_step": "{:.2f}", "ms_data": "{:.2f}", "ms_forward": "{:.2f}",
    "ms_backward": "{:.2f}", "ms_optimizer": "{:.2f}", "micro_batch_tokens": "{:,}",
}  # fmt: skip


def describe(device: torch.device) -> dict[str, Any]:
    """Machine, versions, date."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    peer = version("transformers")
    return {
        "device": name,
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, transformers {peer}",
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }


def markdown(result: dict[str, Any]) -> str:
    """The page: where, when, the table, and next to each of ours how much faster it is than the peer."""
    rate = f"A large product of random numbers ran at {result['gemm_flops'] / 1e12:,.2f} TFLOP/s in the same run."
    lines = [
        f"{result['device']}, {result['versions']}, {result['date']}. {rate}",
        "",
        "| " + " | ".join((*HEAD, "times Hugging Face")) + " |",
        "|" + " --- |" * (len(HEAD) + 1),
    ]
    for row in result["rows"]:
        cells = [row["size"], str(row["length"]), row["batches"], row["variant"]]
        if "not_run" in row:
            cells += [f"not measured: {row['not_run']}", *[""] * (len(FIGURES))]
        else:
            cells += ["" if row[key] is None else form.format(row[key]) for key, form in FIGURES.items()]
            cells.append(_ratio(row, result["rows"]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _ratio(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    for other in rows:
        same = all(other[key] == row[key] for key in ("size", "length", "batches"))
        if same and other["variant"] == "Hugging Face" and "not_run" not in other:
            return f"{row['tokens_per_second'] / other['tokens_per_second']:.2f}"
    return ""
