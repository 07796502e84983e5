import time

import torch

from cloze.runtime.peak import measured_gemm_flops, peak_flops


def test_the_measured_rate_bounds_any_other_product() -> None:
    peak = measured_gemm_flops()
    a, b = torch.randn(256, 512), torch.randn(512, 256)
    begin = time.perf_counter()
    for _ in range(10):
        torch.mm(a, b)
    rate = 10 * 2 * 256 * 512 * 256 / (time.perf_counter() - begin)
    assert 1e8 < rate < 3 * peak


def test_a_device_that_the_table_lacks_has_no_peak() -> None:
    assert peak_flops(torch.device("meta"), "32-true") is None


def test_a_processor_is_measured_once() -> None:
    first, again = (peak_flops(torch.device("cpu"), "32-true") for _ in range(2))
    assert first == again
    assert first is not None
    assert first > 1e8
