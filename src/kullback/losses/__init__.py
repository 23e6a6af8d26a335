"""Layer 2: the formulas, once. Pure array functions, for NumPy, traced JAX arrays and torch alike."""

from kullback.losses.adversarial import (
    CONJUGATES,
    ConjugatePair,
    conjugate_pair,
    critic_loss,
    generator_loss,
    non_saturating_generator_loss,
    variational_bound,
)
from kullback.losses.autoencoder import (
    AutoencoderElbo,
    PosteriorCollapse,
    RecognizedKl,
    autoencoder_elbo,
    posterior_collapse,
    recognize_kl,
)
from kullback.losses.categorical import (
    categorical_kl,
    generalized_jensen_shannon,
    label_cross_entropy,
    top_k_kl_lower_bound,
)
from kullback.losses.gaussian import (
    full_gaussian_kl,
    gaussian_kl,
    gaussian_kl_per_dimension,
    gaussian_mixture_kl,
    gaussian_mixture_log_prob,
)
from kullback.losses.sampled import (
    elbo,
    forward_kl_surrogate,
    iwae,
    k1,
    k2,
    k3,
    reverse_kl_surrogate,
    score_function_loss,
    stick_the_landing_loss,
)

__all__ = [
    "CONJUGATES",
    "AutoencoderElbo",
    "ConjugatePair",
    "PosteriorCollapse",
    "RecognizedKl",
    "autoencoder_elbo",
    "categorical_kl",
    "conjugate_pair",
    "critic_loss",
    "elbo",
    "forward_kl_surrogate",
    "full_gaussian_kl",
    "gaussian_kl",
    "gaussian_kl_per_dimension",
    "gaussian_mixture_kl",
    "gaussian_mixture_log_prob",
    "generalized_jensen_shannon",
    "generator_loss",
    "iwae",
    "k1",
    "k2",
    "k3",
    "label_cross_entropy",
    "non_saturating_generator_loss",
    "posterior_collapse",
    "recognize_kl",
    "reverse_kl_surrogate",
    "score_function_loss",
    "stick_the_landing_loss",
    "top_k_kl_lower_bound",
    "variational_bound",
]
