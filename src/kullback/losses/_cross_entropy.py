"""Supervised cross-entropy, which is forward KL."""

from jaxtyping import Float, Int

from kullback._core.errors import InputError
from kullback.losses._arrays import Reduction, log_normalizer, reduced, taken, widened
from kullback.losses._gaussian import Array, as_array, namespace


def label_cross_entropy(
    logits: Float[Array, "*batch v"], labels: Int[Array, " *batch"], *, reduction: Reduction
) -> Float[Array, "..."]:
    """Returns -log softmax(logits)[label] in nats per row: forward KL, up to the entropy of the data.

    E_p[-log q(y|x)] = KL(p||q) + H(p),  p the distribution of the labels

    Minimising it is maximum likelihood. A label is a distribution with all mass in one place, so that each
    row is KL(label||q) itself. Its gradient, softmax(logits) - label, is finite always.

    Args:
        logits: (..., V).
        labels: (...,), from 0 to V - 1; not checked, as they may be traced.
        reduction: "mean" over rows, "sum" or "none".

    Raises:
        InputError: the shapes do not fit, or the reduction is unknown.

    Example:
        >>> import numpy as np
        >>> logits = np.log([[0.7, 0.2, 0.1]])
        >>> round(float(label_cross_entropy(logits, np.array([1]), reduction="mean")), 4)
        1.6094

    Source:
        Goodfellow, Bengio and Courville, "Deep Learning" (2016), equation 5.59.
    """
    xp = namespace(logits, labels)
    logits = widened(as_array(logits, xp), xp)
    labels = as_array(labels, xp)
    if tuple(labels.shape) != tuple(logits.shape[:-1]):
        raise InputError(
            f"labels {tuple(labels.shape)} must have the shape of logits {tuple(logits.shape)} without the last axis"
        )
    chosen = taken(logits, labels[..., None], xp)
    return reduced((log_normalizer(logits, xp) - chosen)[..., 0], reduction, xp)
