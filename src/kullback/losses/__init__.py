"""Layer 2: the formulas, once. Pure array functions, for NumPy and for traced JAX arrays alike."""

from kullback.losses._mixture import gaussian_mixture_kl, gaussian_mixture_log_prob

__all__ = ["gaussian_mixture_kl", "gaussian_mixture_log_prob"]
