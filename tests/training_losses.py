"""Losses in the shapes that training code has, right and wrong ones, and what they are.

Written for the tests, in the style of distillation, RLHF, VAE and GAN code. Each row: the function, how
check_loss is called, and what must come out: the names of gradient and value, and the scale of the gradient.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats
import torch
import torch.nn.functional as F
from torch import nn


def k1(logprobs, ref_logprobs):
    return (logprobs - ref_logprobs).mean()


def k2(logprobs, ref_logprobs):
    return (0.5 * (logprobs - ref_logprobs) ** 2).mean()


def k3(logprobs, ref_logprobs):
    ratio = ref_logprobs - logprobs
    return (torch.exp(ratio) - 1 - ratio).mean()


def k3_of_ratio(logratio):
    return (torch.exp(logratio) - 1 - logratio).mean()


def k3_numpy(logp, ref_logp):
    return np.mean(np.exp(ref_logp - logp) - 1 - (ref_logp - logp))


def k3_masked(per_token_logps, ref_per_token_logps, completion_mask, beta=0.04):
    gap = ref_per_token_logps - per_token_logps
    kl = torch.exp(gap) - gap - 1
    return beta * ((kl * completion_mask).sum(1) / completion_mask.sum(1)).mean()


def k3_clamped(logprob, ref_logprob):
    gap = torch.clamp(ref_logprob - logprob, -20, 20)
    return torch.clamp(torch.exp(gap) - gap - 1, -10, 10)


def k2_per_sequence(logps, ref_logps):
    return 0.5 * ((logps - ref_logps).sum(-1) ** 2).mean()


def straight_through(logprob, ref_logprob):
    gap = logprob - ref_logprob
    other, value = 0.5 * gap**2, torch.exp(-gap) - 1 + gap
    return (other - other.detach() + value.detach()).mean()


def k1_in_reward(logprobs, ref_logprobs):
    return ((logprobs - ref_logprobs).detach() * logprobs).mean()


def weighted(logp, old_logp, ref_logp):
    weight = (logp - old_logp).exp().detach()
    return (weight * (logp - ref_logp).detach() * logp).mean()


def ppo(logprobs, old_logprobs, ref_logprobs, advantages, beta=0.04):
    ratio = torch.exp(logprobs - old_logprobs)
    gap = ref_logprobs - logprobs
    clipped = torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    return -(clipped - beta * (torch.exp(gap) - gap - 1)).mean()


def gathered(logits, ref_logits, tokens):
    ours = F.log_softmax(logits, -1).gather(-1, tokens[..., None])
    theirs = F.log_softmax(ref_logits, -1).gather(-1, tokens[..., None])
    return (0.5 * (ours - theirs) ** 2).mean()


def nll(log_probs):
    return -log_probs.mean()


def distillation(student_logits, teacher_logits, T=3.0):
    student = F.log_softmax(student_logits / T, -1)
    return F.kl_div(student, F.softmax(teacher_logits / T, -1), reduction="batchmean") * T**2


def distillation_unscaled(logits_s, logits_t, temperature):
    student = F.log_softmax(logits_s / temperature, 1)
    target = F.softmax(logits_t / temperature, 1)
    return F.kl_div(student, target, reduction="sum") / logits_s.shape[0]


class Distillation(nn.Module):
    def __init__(self):
        super().__init__()
        self.temperature = 4.0

    def forward(self, y_s, y_t):
        student = F.log_softmax(y_s / self.temperature, dim=1)
        target = F.softmax(y_t / self.temperature, dim=1)
        return F.kl_div(student, target, reduction="batchmean")


def with_labels(student_logits, teacher_logits, labels, T=2.0, alpha=0.3):
    soft = distillation(student_logits, teacher_logits, T)
    return alpha * F.cross_entropy(student_logits, labels) + (1 - alpha) * soft


def two_temperatures(student_logits, teacher_logits):
    target = F.softmax(teacher_logits / 0.04, -1).detach()
    return -(target * F.log_softmax(student_logits / 0.1, -1)).sum(-1).mean()


def swapped(student_logits, teacher_logits):
    student = F.softmax(student_logits, -1)
    return F.kl_div(F.log_softmax(teacher_logits, -1), student, reduction="batchmean")


def without_log(student_logits, teacher_logits):
    student = student_logits.softmax(-1)
    return F.kl_div(student, teacher_logits.softmax(-1), reduction="batchmean")


def masked(student_logits, teacher_logits, mask):
    target = F.log_softmax(teacher_logits, -1)
    kl = (target.exp() * (target - F.log_softmax(student_logits, -1))).sum(-1)
    return (kl * mask).sum() / mask.sum()


def mean_over_vocabulary(p, q, mask):
    return (p * (p.log() - q.log()) * mask[..., None]).mean()


def with_epsilon(p, q):
    return (p * torch.log((p + 1e-6) / (q + 1e-6))).sum(-1).mean()


def generalized(student_logits, teacher_logits, beta=0.1):
    student, teacher = F.log_softmax(student_logits, -1), F.log_softmax(teacher_logits, -1)
    middle = torch.log((1 - beta) * student.exp() + beta * teacher.exp())
    to_teacher = F.kl_div(middle, teacher, reduction="none", log_target=True)
    to_student = F.kl_div(middle, student, reduction="none", log_target=True)
    return (beta * to_teacher + (1 - beta) * to_student).sum(-1).mean()


def skewed(logits, teacher_logits, lam=0.1):
    target = F.softmax(teacher_logits, -1, dtype=torch.float32)
    mixed = lam * target + (1 - lam) * F.softmax(logits, -1, dtype=torch.float32)
    return -(target * torch.log(mixed)).sum(-1).mean()


def truncated(student_logits, teacher_logits, k=20):
    top, indices = teacher_logits.log_softmax(-1).topk(k, -1)
    student = student_logits.log_softmax(-1).gather(-1, indices)
    return (top.exp() * (top - student)).sum(-1).mean()


def mixed(p_logits, q_logits):
    return 0.3 * swapped(p_logits, q_logits) + 0.7 * swapped(q_logits, p_logits)


def half_jeffreys(logits_p, logits_q):
    left, right = F.log_softmax(logits_p, -1), F.log_softmax(logits_q, -1)
    return ((left.exp() - right.exp()) * (left - right)).sum(-1).mean() / 2


def reverse_jax(q_logits, p_logits):
    log_q, log_p = jax.nn.log_softmax(q_logits), jax.nn.log_softmax(p_logits)
    return jnp.sum(jnp.exp(log_q) * (log_q - log_p), -1).mean()


def forgotten_entropy(student_logits, teacher_logits):
    student = F.softmax(student_logits, -1)
    return -(student * F.log_softmax(teacher_logits, -1)).sum(-1).mean()


def detached(student_logits, teacher_logits):
    return swapped(student_logits.detach(), teacher_logits)


def in_bits(student_logits, teacher_logits):
    return swapped(teacher_logits, student_logits) / np.log(2)


def negated(student_logits, teacher_logits):
    return -swapped(teacher_logits, student_logits)


def absolute(student_probs, teacher_probs):
    return (student_probs - teacher_probs).abs().sum(-1).mean() / 2


def alpha_divergence(student_logits, teacher_logits, alpha=0.3):
    student, teacher = F.log_softmax(student_logits, -1), F.log_softmax(teacher_logits, -1)
    power = (alpha * teacher + (1 - alpha) * student).exp().sum(-1)
    return (power - 1).mean() / (alpha * (alpha - 1))


def smoothed(logits, labels):
    return F.cross_entropy(logits, labels, label_smoothing=0.1)


def squared_logits(student_logits, teacher_logits):
    return ((student_logits - teacher_logits) ** 2).mean()


def focal(logits, labels):
    log_q = F.log_softmax(logits, -1).gather(-1, labels[..., None])
    return (-((1 - log_q.exp()) ** 2) * log_q).mean()


def vae_mean(mu, logvar):
    return -0.5 * torch.mean(1 + logvar - mu**2 - logvar.exp())


def vae_sum(recon_x, x, mu, logvar):
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return F.binary_cross_entropy(recon_x, x, reduction="sum") + kl


def vae_keras(z_mean, z_log_var):
    inside = 1 + z_log_var - jnp.square(z_mean) - jnp.exp(z_log_var)
    return jnp.mean(jnp.sum(-0.5 * inside, axis=1))


def vae_sd(mu, sigma):
    return 0.5 * (mu**2 + sigma**2 - 1 - torch.log(sigma**2)).sum(-1).mean()


def vae_without_half(mu, logvar):
    return -torch.sum(1 + logvar - mu**2 - logvar.exp(), -1).mean()


def vae_sd_for_variance(mu, logvar):
    return -0.5 * torch.sum(1 + 2 * logvar - mu**2 - (2 * logvar).exp(), -1).mean()


def two_gaussians(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q.exp() + (mu_q - mu_p) ** 2) / logvar_p.exp()
    return 0.5 * (logvar_p - logvar_q + ratio - 1).sum(-1).mean()


def two_gaussians_forward(mu1, logvar1, mu2, logvar2):
    return two_gaussians(mu2, logvar2, mu1, logvar1)


def minus_elbo(log_p, log_q):
    return -(log_p - log_q).mean()


def discriminator(d_real, d_fake):
    real = F.binary_cross_entropy_with_logits(d_real, torch.ones_like(d_real))
    return real + F.binary_cross_entropy_with_logits(d_fake, torch.zeros_like(d_fake))


def discriminator_of_probabilities(d_real, d_fake):
    return -(torch.log(d_real) + torch.log(1 - d_fake)).mean()


def hinge(real_logits, fake_logits):
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def least_squares(real, fake):
    return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2


def wasserstein(real, fake):
    return fake.mean() - real.mean()


def saturating(fake_logits):
    return -F.softplus(fake_logits).mean()


def non_saturating(fake_logits):
    return F.softplus(-fake_logits).mean()


def causal(logits, labels):
    shifted, late = logits[..., :-1, :].contiguous(), labels[..., 1:].contiguous()
    return F.cross_entropy(shifted.view(-1, shifted.size(-1)), late.view(-1), ignore_index=-100)


def rows_of_targets(y_pred, y_true):
    return (y_true * torch.log(y_true / y_pred)).sum(-1)


def approximate_kl(old_logprobs, new_logprobs):
    gap = new_logprobs - old_logprobs
    return ((gap.exp() - 1) - gap).mean()


def importance_weighted(log_p, log_q):
    return -torch.logsumexp(log_p - log_q, 0)


def renyi(student_logits, teacher_logits):
    student, teacher = F.log_softmax(student_logits, -1), F.log_softmax(teacher_logits, -1)
    return -2.0 * torch.logsumexp(0.5 * student + 0.5 * teacher, -1).mean()


def half_precision(student_logits, teacher_logits):
    return swapped(student_logits.half(), teacher_logits.half())


def entropy_alone(logits):
    log_q = F.log_softmax(logits, -1)
    return -(log_q.exp() * log_q).sum(-1).mean()


#: (loss, arguments of check_loss, gradient, value, scale of the gradient in words)
LOSSES = [
    (k1, {}, "zero", "reverse", ""),
    (k2, {}, "reverse", "half_squared_ratio", ""),
    (k3, {}, "forward", "reverse", ""),
    (k3_of_ratio, {}, "forward", "reverse", ""),
    (k3_numpy, {}, "forward", "reverse", ""),
    (k3_masked, {}, "forward", "reverse", "beta"),
    (k3_clamped, {}, "forward", "reverse", ""),
    (k2_per_sequence, {}, "reverse", "none", "T"),
    (straight_through, {}, "reverse", "reverse", ""),
    (k1_in_reward, {}, "reverse", "none", ""),
    (weighted, {}, "reverse", "none", ""),
    (ppo, {}, "forward", "reverse", "beta"),
    (gathered, {}, "reverse", "half_squared_ratio", ""),
    (nll, {}, "forward", "cross_entropy", ""),
    (distillation, {}, "forward", "forward", "T²"),
    (distillation_unscaled, {}, "forward", "forward", ""),
    (Distillation(), {}, "forward", "forward", ""),
    (with_labels, {}, "mixture", "mixture", ""),
    (two_temperatures, {}, "forward", "forward", ""),
    (swapped, {}, "reverse", "reverse", ""),
    (without_log, {}, "none", "none", None),
    (masked, {}, "forward", "forward", ""),
    (mean_over_vocabulary, {}, "forward", "forward", "1/V"),
    (with_epsilon, {}, "forward", "forward", ""),
    (generalized, {}, "generalized_jensen_shannon", "generalized_jensen_shannon", ""),
    (skewed, {}, "skew_forward", "skew_forward", ""),
    (truncated, {}, "none", "none", None),
    (mixed, {}, "mixture", "mixture", ""),
    (half_jeffreys, {}, "jeffreys", "jeffreys", "0.5"),
    (reverse_jax, {}, "reverse", "reverse", ""),
    (forgotten_entropy, {}, "reverse_cross_entropy", "reverse_cross_entropy", ""),
    (detached, {}, "zero", "reverse", ""),
    (in_bits, {}, "forward", "forward", "(1/log 2)"),
    (negated, {}, "forward", "forward", "-1"),
    (absolute, {}, "total_variation", "total_variation", ""),
    (alpha_divergence, {}, "alpha", "alpha", ""),
    (smoothed, {}, "forward", "forward", ""),
    (squared_logits, {}, "none", "squared_logits", None),
    (focal, {}, "focal", "focal", ""),
    (F.kl_div, {}, "forward", "forward", "1/V"),
    (functools.partial(F.kl_div, reduction="sum", log_target=True), {}, "forward", "forward", "B"),
    (nn.KLDivLoss(reduction="batchmean"), {}, "forward", "forward", ""),
    (F.cross_entropy, {}, "forward", "cross_entropy", ""),
    (F.nll_loss, {}, "forward", "cross_entropy", ""),
    (optax.losses.kl_divergence, {}, "forward", "forward", ""),
    (optax.losses.kl_divergence_with_log_targets, {}, "forward", "forward", ""),
    (optax.losses.softmax_cross_entropy_with_integer_labels, {}, "forward", "cross_entropy", ""),
    (scipy.stats.entropy, {}, "forward", "forward", ""),
    (vae_mean, {}, "reverse", "reverse", "1/d"),
    (vae_sum, {}, "reverse", "reverse", "B"),
    (vae_keras, {}, "reverse", "reverse", ""),
    (vae_sd, {}, "reverse", "reverse", ""),
    (vae_without_half, {}, "reverse", "reverse", "2"),
    (vae_sd_for_variance, {}, "none", "sd_for_variance", None),
    (two_gaussians, {}, "reverse", "reverse", ""),
    (two_gaussians_forward, {}, "forward", "forward", ""),
    (minus_elbo, {}, "reverse", "reverse", ""),
    (discriminator, {}, "jensen_shannon", "jensen_shannon", "2"),
    (discriminator_of_probabilities, {}, "jensen_shannon", "jensen_shannon", "2"),
    (hinge, {}, "total_variation", "total_variation", "2"),
    (least_squares, {}, "le_cam", "le_cam", "0.125"),
    (wasserstein, {}, "none", "none", None),
    (saturating, {}, "jensen_shannon", "none", "2"),
    (non_saturating, {}, "mixture", "none", ""),
    (causal, {}, "forward", "cross_entropy", ""),
    (rows_of_targets, {}, "forward", "forward", ""),
    (approximate_kl, {}, "forward", "forward", ""),
    (importance_weighted, {}, "none", "none", None),
    (renyi, {}, "renyi", "renyi", ""),
    (
        functools.partial(generalized, beta=1e-3),
        {},
        "generalized_jensen_shannon",
        "generalized_jensen_shannon",
        "",
    ),
    (half_precision, {}, "reverse", "reverse", ""),
    (entropy_alone, {}, "entropy", "entropy", ""),
]
