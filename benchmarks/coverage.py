"""Measure how often 95% intervals hold the true mean.

python -m benchmarks.coverage             # the table in `analysis.statistics`, minutes
python -m benchmarks.coverage samples=500
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from analysis.arguments import parse
from analysis.statistics import Array, bootstrap_interval, mean_interval

SIZES = (4, 12, 46)  # data sets: of a first try, of uci_small, of uci_full
AT_ONCE = 1000  # samples whose resamples are held at once: 16 megabytes
RANKS, SHARES = np.arange(1.0, 7.0), (0.55, 0.2, 0.1, 0.07, 0.05, 0.03)

Draw = Callable[[np.random.Generator, tuple[int, int]], Array]
# Name -> how values are drawn, and their true mean.
LAWS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "exponential": (lambda rng, size: rng.exponential(size=size), 1.0),
    "lognormal": (lambda rng, size: rng.lognormal(size=size), float(np.exp(0.5))),
    "skewed ranks": (
        lambda rng, size: rng.choice(RANKS, size=size, p=SHARES),
        float(RANKS @ SHARES),
    ),
}


def percentile_interval(values: Array) -> tuple[Array, Array]:
    """Return the plain bootstrap's interval, which is too narrow at small n, to compare."""
    rng = np.random.default_rng(0)
    n = len(values)
    means = rng.multinomial(n, np.full(n, 1 / n), size=2000) / n @ values
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


INTERVALS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "Student's t": lambda values: mean_interval(values)[1:],
    "wider of t and bootstrap-t": bootstrap_interval,
    "percentile bootstrap": percentile_interval,
}


def coverage(interval: str, law: str, n: int, samples: int, seed: int = 0) -> float:
    """Return the share of samples of n values whose interval holds the true mean."""
    draw, mean = LAWS[law]
    values = draw(np.random.default_rng(seed), (n, samples))
    held = 0
    for start in range(0, samples, AT_ONCE):
        low, high = INTERVALS[interval](values[:, start : start + AT_ONCE])
        held += int(((low <= mean) & (mean <= high)).sum())
    return held / samples


def main(argv: list[str]) -> int:
    """Print the percentages, laws down, intervals and sizes across."""
    try:
        given = parse(argv, {"samples": "10000"})["samples"]
        if not given.isdecimal() or int(given) < 1:
            raise ValueError(f"samples={given!r} is no number of samples; allowed: 1 and more")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{'':14}" + "".join(f"{name:^30}" for name in INTERVALS))
    print(f"{'values':14}" + "".join(f"{f'n={n}':>10}" for _ in INTERVALS for n in SIZES))
    for law in LAWS:
        shares = [coverage(name, law, n, int(given)) for name in INTERVALS for n in SIZES]
        print(f"{law:14}" + "".join(f"{100 * share:>10.1f}" for share in shares))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
