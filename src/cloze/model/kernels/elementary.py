"""Elementary functions in fp32 without a branch or a call, which compilers turn into wide vector instructions.

The C library's are called once for every element: 10 to 20 times as slow. Errors are the largest ones seen against
fp64, next to 6e-8, half the distance from 1 to its lower neighbour.
"""

from typing import Any

import numba
import numpy as np

F, I = np.float32, np.int32  # noqa: E741


@numba.njit(inline="always")
def exp(x: Any) -> Any:
    """The exponential of x, within 9e-8 of itself; below -87 as at -87, above 88 as at 88.

    The polynomial is that of Cephes (S. Moshier, ``expf.c``), on half of ln 2 to either side of 0.
    """
    x = min(max(x, F(-87)), F(88))
    n = np.floor(x * F(1.44269504) + F(0.5))
    x = x - n * F(0.693359375) - n * F(-2.12194440e-4)  # ln 2 in two parts, of which the first times n is exact
    p = F(1.9875691500e-4)
    p = p * x + F(1.3981999507e-3)
    p = p * x + F(8.3334519073e-3)
    p = p * x + F(4.1665795894e-2)
    p = p * x + F(1.6666665459e-1)
    p = p * x + F(5.0000001201e-1)
    p = p * x * x + x + F(1)
    return p * I((I(n) + I(127)) << I(23)).view(np.float32)  # times 2 ** n, by its bits


@numba.njit(inline="always")
def erf(x: Any) -> Any:
    """The error function, within 9e-8 of itself.

    A polynomial near 0, 1 minus the exponential of another one far from it (N. Juffa, "Accurate computation of erff").
    """
    far_x, square = abs(x), x * x
    p = F(-1.72853470e-5) * far_x + F(3.83197126e-4)
    p = p * square + (F(-3.88396438e-3) * far_x + F(2.42546219e-2))
    p = p * far_x + F(-1.06777877e-1)
    p = p * far_x + F(-6.34846687e-1)
    p = p * far_x + F(-1.28717512e-1)
    far = F(1) - exp(p * far_x - far_x)
    p = F(-5.96761703e-4)
    p = p * square + F(4.99119423e-3)
    p = p * square + F(-2.67681349e-2)
    p = p * square + F(1.12819925e-1)
    p = p * square + F(-3.76125336e-1)
    p = p * square + F(1.28379166e-1)
    return (far if x > F(0) else -far) if far_x > F(0.927734375) else p * x + x
