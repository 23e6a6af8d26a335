"""Layer 2: the formulas, once. Pure array functions, for NumPy and for traced JAX arrays alike."""

from kullback.losses._autoencoder import AutoencoderElbo, autoencoder_elbo
from kullback.losses._categorical import categorical_kl
from kullback.losses._collapse import PosteriorCollapse, posterior_collapse
from kullback.losses._conjugates import (
    CONJUGATES,
    ConjugatePair,
    conjugate_pair,
    variational_bound,
)
from kullback.losses._gaussian import gaussian_kl, gaussian_kl_per_dimension
from kullback.losses._mixture import gaussian_mixture_kl, gaussian_mixture_log_prob
from kullback.losses._recognition import RecognizedKl, recognize_kl

__all__ = [
    "CONJUGATES",
    "AutoencoderElbo",
    "ConjugatePair",
    "PosteriorCollapse",
    "RecognizedKl",
    "autoencoder_elbo",
    "categorical_kl",
    "conjugate_pair",
    "gaussian_kl",
    "gaussian_kl_per_dimension",
    "gaussian_mixture_kl",
    "gaussian_mixture_log_prob",
    "posterior_collapse",
    "recognize_kl",
    "variational_bound",
]
