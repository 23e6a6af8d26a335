"""Losses of the two players of an f-divergence's game; the table is `CONJUGATES`."""

from jaxtyping import Float

from kullback.losses._conjugates import conjugate_pair, variational_bound
from kullback.losses._gaussian import Array, namespace


def critic_loss(
    kind: str, *, at_p: Float[Array, " n"], at_q: Float[Array, " m"]
) -> Float[Array, ""]:
    """Returns what the critic minimises: minus the lower bound on D_f(p||q).

    -( mean_i g(v(x_i)) - mean_j f*(g(v(y_j))) ),  x_i from p (real), y_j from q (generated)

    With kind="gan" it is the usual discriminator's, binary cross-entropy with v the logit of "real". At its
    minimum v is log p/q (for "gan" and both KLs up to a constant), and the loss minus the divergence.

    Args:
        kind: a name in `CONJUGATES`.
        at_p, at_q: the critic's outputs v, before the activation.

    Raises:
        InputError: there is no such divergence.

    Example:
        >>> import numpy as np
        >>> round(float(critic_loss("gan", at_p=np.zeros(2), at_q=np.zeros(2))), 4)
        1.3863

    Source:
        Nowozin, Cseke and Tomioka, "f-GAN" (2016), equation 6.
    """
    return -variational_bound(kind, at_p, at_q)


def generator_loss(kind: str, *, at_q: Float[Array, " m"]) -> Float[Array, ""]:
    """Returns what the generator minimises: the part of the bound that depends on q.

    -mean_j f*(g(v(y_j)))

    With the best critic its gradient is that of D_f(p||q). With kind="gan" it is Goodfellow's saturating
    loss log(1 - D), which descends 2 JS.

    Args:
        kind: a name in `CONJUGATES`.
        at_q: the critic's outputs v at draws of the generator.

    Raises:
        InputError: there is no such divergence.

    Example:
        >>> import numpy as np
        >>> round(float(generator_loss("gan", at_q=np.zeros(2))), 4)
        -0.6931

    Source:
        Nowozin, Cseke and Tomioka, "f-GAN" (2016), equation 6.
    """
    charge = conjugate_pair(kind).charge(at_q)
    return -namespace(charge).mean(charge)


def non_saturating_generator_loss(*, at_q: Float[Array, " m"]) -> Float[Array, ""]:
    """Returns the generator's loss -log D that is used in place of log(1 - D).

    mean_j log(1 + exp(-v(y_j)))

    With the best critic v = log p/q its gradient is that of KL(q||p) - 2 JS(p,q): no f-divergence's, though
    the critic still measures 2 JS.

    Args:
        at_q: the critic's outputs v at draws of the generator, logits of "real".

    Example:
        >>> import numpy as np
        >>> round(float(non_saturating_generator_loss(at_q=np.zeros(2))), 4)
        0.6931

    Source:
        Arjovsky and Bottou, "Towards principled methods for training GANs" (2017), theorem 2.5.
    """
    found = conjugate_pair("gan").activation(at_q)
    return -namespace(found).mean(found)
