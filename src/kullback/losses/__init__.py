"""Layer 2: the formulas, once. Pure array functions, for NumPy, traced JAX arrays and torch alike."""

from kullback.losses._adversarial import critic_loss, generator_loss, non_saturating_generator_loss
from kullback.losses._autoencoder import AutoencoderElbo, autoencoder_elbo
from kullback.losses._categorical import categorical_kl
from kullback.losses._collapse import PosteriorCollapse, posterior_collapse
from kullback.losses._conjugates import (
    CONJUGATES,
    ConjugatePair,
    conjugate_pair,
    variational_bound,
)
from kullback.losses._cross_entropy import label_cross_entropy
from kullback.losses._elbo import elbo, iwae, score_function_loss, stick_the_landing_loss
from kullback.losses._gaussian import gaussian_kl, gaussian_kl_per_dimension
from kullback.losses._gaussian_full import full_gaussian_kl
from kullback.losses._jensen_shannon import generalized_jensen_shannon
from kullback.losses._mixture import gaussian_mixture_kl, gaussian_mixture_log_prob
from kullback.losses._recognition import RecognizedKl, recognize_kl
from kullback.losses._sampled import k1, k2, k3
from kullback.losses._surrogates import forward_kl_surrogate, reverse_kl_surrogate
from kullback.losses._truncated import top_k_kl_lower_bound

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
