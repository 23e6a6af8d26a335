"""Another tool's number, as it is computed there, to be shown beside ours; not a divergence of the data."""

import numpy as np

from kullback._core.tables import Cells

#: What an empty bin is filled with.
_FILL = 1e-4
#: Numbers with fewer different values than this are taken for levels there.
_LEVELS = 20


def kl(reference: Cells, current: Cells) -> float:
    """Returns what Evidently 0.7 calls kl_div: bins of equal width after Sturges, empty ones filled.

    The bins cover the range of both samples; what is empty gets .0001, or a millionth of the smallest
    share where that is smaller; then scipy.stats.entropy, which scales both to 1.

    Args:
        reference, current: a column.
    """
    x, y = (c.values[np.isfinite(c.values)] for c in (reference, current))
    if not (len(x) and len(y)):
        return float("nan")
    both = np.concatenate([x, y])
    levels = np.unique(both)
    if reference.kind == "levels" or len(levels) <= _LEVELS:
        counts = [np.bincount(np.searchsorted(levels, v), minlength=len(levels)) for v in (x, y)]
    else:
        edges = np.histogram_bin_edges(both, bins="sturges")
        counts = [np.histogram(v, edges)[0] for v in (x, y)]
    p, q = (_filled(c / c.sum()) for c in counts)
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def _filled(shares: np.ndarray) -> np.ndarray:
    empty = shares <= 0.0
    if not empty.any():
        return shares
    least = float(shares[~empty].min())
    return np.where(empty, _FILL if least > _FILL else least / 1e6, shares)
