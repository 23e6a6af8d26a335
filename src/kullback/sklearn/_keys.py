"""What scikit-learn calls random_state, as a key."""

from numbers import Integral
from typing import Any

from sklearn.utils import check_random_state

_MOST = 2**31 - 1


def key_of(random_state: Any) -> int:
    """Returns the key that a random_state means: an int is the key itself.

    None draws from NumPy's global state, and a RandomState is drawn from, as scikit-learn's own
    estimators do: each call gives another key.

    Raises:
        ValueError: it is none of these.

    Example:
        >>> key_of(3)
        3
    """
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(_MOST))
