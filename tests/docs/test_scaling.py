"""The page about many devices shows what the plan computes, and its files for clusters are well-formed."""

import re

import pytest
import yaml

from benchmarks import scaling_plan
from tests import processes
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"


def test_the_tables_are_those_of_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    scaling_plan.main()
    page = (DOCS / "scaling.md").read_text(encoding="utf-8")
    for table in capsys.readouterr().out.strip().split("\n\n"):
        assert table in page


def test_parameters_are_the_published_ones() -> None:
    """Devlin et al. 2019, section 3: 110 M and 340 M, rounded."""
    assert scaling_plan.parameters("base") == pytest.approx(110e6, rel=0.01)
    assert scaling_plan.parameters("large") == pytest.approx(340e6, rel=0.02)


def test_a_network_that_is_no_bottleneck_costs_nothing_and_a_slow_one_much() -> None:
    fast, slow = scaling_plan.NETWORKS
    for size in scaling_plan.SIZES:
        alone = scaling_plan.compute_seconds(size, 65_536)
        for seconds in scaling_plan.STRATEGIES.values():
            assert alone < seconds(size, 65_536, 8, fast) < 1.01 * alone
            assert seconds(size, 2_048, 512, slow) > 10 * scaling_plan.compute_seconds(size, 2_048)


def test_the_cluster_files_are_well_formed() -> None:
    service, job = yaml.safe_load_all((DOCS / "cluster/kubernetes.yaml").read_text(encoding="utf-8"))
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    nodes = job["spec"]["completions"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    words = container["args"][0].split()
    assert f"--nnodes={nodes}" in words
    assert f"--nproc-per-node={container['resources']['limits']['nvidia.com/gpu']}" in words
    script = DOCS / "cluster/slurm.sh"
    processes.run(["bash", "-n", script], check=True)
    tasks, gpus = (re.search(rf"--{key}-per-node=(\d+)", script.read_text())[1] for key in ("ntasks", "gpus"))  # type: ignore[index]
    assert tasks == gpus
