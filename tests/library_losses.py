"""Losses in the shapes of public libraries and of their bug reports, right and wrong, and the verdict of each.

Written for the tests after TRL, verl, OpenRLHF, NeMo-RL, slime, torchtune, Keras and PyTorch examples, VITS, SAC,
CLIP, SimCLR, MINE. Each row: the loss, how check_loss is called, what its gradient and value must be named
(None: not asked), the gradient's scale in words (None: not asked), words that the report must have, and words
that it must not have.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F


def row_kl(q, p):
    return F.kl_div(F.log_softmax(q, -1), F.softmax(p, -1), reduction="none").sum(-1)


# Layouts.


def softmax_over_the_batch(student_logits, teacher_logits):
    student = F.log_softmax(student_logits, 0)
    return F.kl_div(student, F.softmax(teacher_logits, 0), reduction="batchmean")


def batchmean_of_sequences(student_logits, teacher_logits):
    student = F.log_softmax(student_logits, -1)
    return F.kl_div(student, F.softmax(teacher_logits, -1), reduction="batchmean")


def softmax_over_everything(s_logits, t_logits):
    s, t = s_logits.flatten(), t_logits.flatten()
    return (torch.softmax(t, 0) * (torch.log_softmax(t, 0) - torch.log_softmax(s, 0))).sum()


def softmax_over_the_batch_jax(student_logits, teacher_logits):
    log_q, log_p = jax.nn.log_softmax(student_logits, 0), jax.nn.log_softmax(teacher_logits, 0)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q)) / student_logits.shape[0]


def layer_lists(student_layers: list[torch.Tensor], teacher_layers: list[torch.Tensor]):
    return sum(row_kl(s, t).mean() for s, t in zip(student_layers, teacher_layers, strict=True))


def a_batch(batch):
    return row_kl(batch["student_logits"], batch["teacher_logits"]).mean()


def outputs_of_models(student_outputs, teacher_outputs, attention_mask):
    kl = row_kl(student_outputs.logits, teacher_outputs.logits)
    return (kl * attention_mask).sum() / attention_mask.sum()


def with_a_config(student_logits, teacher_logits, config):
    t = config.temperature
    return t**2 * row_kl(student_logits / t, teacher_logits / t).mean()


# Defaults and arguments that say nothing.


def slime_kl(log_probs, log_probs_base, kl_loss_type="k3", importance_ratio=None):
    gap = log_probs_base - log_probs
    kl = {"k1": -gap, "k2": 0.5 * gap**2, "k3": gap.exp() - 1 - gap}[kl_loss_type]
    return kl if importance_ratio is None else importance_ratio * kl


def deepseek_kl(log_probs, log_probs_base, importance_ratio):
    gap = log_probs_base - log_probs
    return (importance_ratio * (gap.exp() - 1 - gap)).mean()


def deepseek_kl_detached(log_probs, log_probs_base, importance_ratio):
    gap = log_probs_base - log_probs
    return (importance_ratio.detach() * (gap.exp() - 1 - gap)).mean()


def sac_actor(log_pi, min_qf_pi, alpha=0.2):
    return (alpha * log_pi - min_qf_pi).mean()


def behaviour_cloning(log_prob_actions):
    return -log_prob_actions.mean()


def flow_nll(log_prob_x):
    return -log_prob_x.mean()


def unlikelihood_turned(log_probs):
    return log_probs.mean()


# Entropies, uniforms, smoothing.


def entropy_bonus(logits, entropy_coef=0.01):
    return -entropy_coef * torch.distributions.Categorical(logits=logits).entropy().mean()


def kl_to_uniform(logits):
    q = F.softmax(logits, -1)
    return (q * (q.log() + math.log(logits.shape[-1]))).sum(-1).mean()


def confidence_penalty(logits, labels, beta=0.1):
    q = F.softmax(logits, -1)
    entropy = -(q * q.log()).sum(-1).mean()
    return F.cross_entropy(logits, labels) - beta * entropy


def focal(logits, targets, gamma=2.0):
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - torch.exp(-ce)) ** gamma * ce).mean()


def top_k_bucket(student_logits, teacher_logits, k=4):
    p, q = F.softmax(teacher_logits, -1), F.softmax(student_logits, -1)
    top, at = p.topk(k, -1)
    own = q.gather(-1, at)
    rest_p, rest_q = 1 - top.sum(-1), 1 - own.sum(-1)
    return ((top * (top / own).log()).sum(-1) + rest_p * (rest_p / rest_q).log()).mean()


def top_k_renormalised(student_logits, teacher_logits, k=4):
    top, at = teacher_logits.topk(k, -1)
    return row_kl(student_logits.gather(-1, at), top).mean()


# Gaussians.


def loc_scale(loc, scale, prior_loc, prior_scale):
    ratio = (scale**2 + (loc - prior_loc) ** 2) / (2 * prior_scale**2)
    return (torch.log(prior_scale / scale) + ratio - 0.5).sum(-1).mean()


def numbered(mu1, log_std1, mu2, log_std2):
    square = torch.exp(2 * log_std1) + (mu1 - mu2) ** 2
    return (log_std2 - log_std1 + square / (2 * torch.exp(2 * log_std2)) - 0.5).sum(-1).mean()


def torch_distributions(q_mean, q_std, p_mean, p_std):
    q, p = torch.distributions.Normal(q_mean, q_std), torch.distributions.Normal(p_mean, p_std)
    return torch.distributions.kl_divergence(q, p).sum(-1).mean()


def vits_one_draw(m_q, logs_q, m_p, logs_p):
    z = m_q + torch.exp(logs_q) * torch.randn_like(m_q)
    return (logs_p - logs_q - 0.5 + 0.5 * (z - m_p) ** 2 * torch.exp(-2 * logs_p)).sum(-1).mean()


def vae_one_draw(mu, logvar):
    z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
    log_q = torch.distributions.Normal(mu, torch.exp(0.5 * logvar)).log_prob(z)
    return (log_q - torch.distributions.Normal(0.0, 1.0).log_prob(z)).sum(-1).mean()


def vae_one_draw_sd_mixed_up(mu, logvar):
    z = mu + torch.exp(logvar) * torch.randn_like(mu)
    return (-0.5 * logvar - 0.5 * (z - mu) ** 2 * torch.exp(-logvar) + 0.5 * z**2).sum(-1).mean()


def vae_one_draw_without_entropy(mu, logvar):
    z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
    return (0.5 * z**2).sum(-1).mean()


def one_draw_jax(key, mean, log_var):
    z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape)
    return jnp.mean(jnp.sum(0.5 * (z**2 - log_var - (z - mean) ** 2 * jnp.exp(-log_var)), -1))


def free_bits(mu, logvar, free_bits=0.5):
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
    return torch.clamp(kl, min=free_bits).sum(-1).mean()


def free_bits_together(z_mean, z_log_var):
    kl = 0.5 * jnp.sum(z_mean**2 + jnp.exp(z_log_var) - 1 - z_log_var, -1)
    return jnp.mean(jnp.maximum(kl, 1.0))


# Regression.


def heteroscedastic(mu, log_var, y):
    return (0.5 * (log_var + (y - mu) ** 2 * torch.exp(-log_var))).sum(-1).mean()


def heteroscedastic_half_lost(mu, log_var, y):
    return (log_var + 0.5 * (y - mu) ** 2 * torch.exp(-log_var)).sum(-1).mean()


def autoencoder(recon_x, x):
    return F.binary_cross_entropy(recon_x, x, reduction="sum") / len(x)


# Preferences.


def _margin(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps):
    return (policy_chosen_logps - policy_rejected_logps) - (ref_chosen_logps - ref_rejected_logps)


def dpo(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta=0.1
):  # fmt: skip
    h = _margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return -F.logsigmoid(beta * h).mean()


def dpo_turned(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps):
    h = _margin(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    return -F.logsigmoid(-0.1 * h).mean()


def dpo_reference_free(
    policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps
):
    return -F.logsigmoid(0.1 * (policy_chosen_logps - policy_rejected_logps)).mean()


def dpo_short_names(pi_logps_w, pi_logps_l, ref_logps_w, ref_logps_l, beta=0.5):
    return -F.logsigmoid(beta * _margin(pi_logps_w, pi_logps_l, ref_logps_w, ref_logps_l)).mean()


def cdpo(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps):
    h = 0.1 * _margin(
        policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps
    )
    return (-0.8 * F.logsigmoid(h) - 0.2 * F.logsigmoid(-h)).mean()


def ipo(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps, tau=0.1):
    h = _margin(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    return ((h - 1 / (2 * tau)) ** 2).mean()


def kto(
    policy_chosen_logps, policy_rejected_logps, policy_KL_logps, reference_chosen_logps, reference_rejected_logps,
    reference_KL_logps, beta=0.1,
):  # fmt: skip
    kl = (policy_KL_logps - reference_KL_logps).mean().detach().clamp(min=0)
    chosen = 1 - F.sigmoid(beta * (policy_chosen_logps - reference_chosen_logps - kl))
    rejected = 1 - F.sigmoid(beta * (kl - (policy_rejected_logps - reference_rejected_logps)))
    return torch.cat([chosen, rejected])


def simpo(policy_chosen_logps, policy_rejected_logps, beta=2.0, gamma=1.4):
    return -F.logsigmoid(beta * (policy_chosen_logps - policy_rejected_logps) - gamma).mean()


def reward_model(chosen_rewards, rejected_rewards):
    return -F.logsigmoid(chosen_rewards - rejected_rewards).mean()


# Contrast and mutual information.


def clip_loss(image_embeds, text_embeds, temperature=0.1):
    image, text = F.normalize(image_embeds, dim=-1), F.normalize(text_embeds, dim=-1)
    scores, n = image @ text.T / temperature, torch.arange(len(image))
    return (F.cross_entropy(scores, n) + F.cross_entropy(scores.T, n)) / 2


def info_nce(query, positive_key, temperature=0.1):
    scores = F.normalize(query, dim=-1) @ F.normalize(positive_key, dim=-1).T / temperature
    return F.cross_entropy(scores, torch.arange(len(query)))


def mine(joint, marginal):
    return -(joint.mean() - marginal.exp().mean().log())


# Policies.


def ppo_clip(log_prob, old_log_prob, advantages, response_mask, cliprange=0.2):
    ratio = torch.exp(log_prob - old_log_prob)
    loss = torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - cliprange, 1 + cliprange))
    return (loss * response_mask).sum() / response_mask.sum()


def ppo_clip_wrong_side(log_prob, old_log_prob, advantages, cliprange=0.2):
    ratio = torch.exp(log_prob - old_log_prob)
    clipped = ratio.clamp(1 - cliprange, 1 + cliprange)
    return torch.min(-advantages * ratio, -advantages * clipped).mean()


def grpo(
    per_token_logps, old_per_token_logps, ref_per_token_logps, advantages, completion_mask, beta=0.04, epsilon=0.2
):  # fmt: skip
    ratio, a = torch.exp(per_token_logps - old_per_token_logps), advantages.unsqueeze(1)
    loss = -torch.min(ratio * a, ratio.clamp(1 - epsilon, 1 + epsilon) * a)
    gap = ref_per_token_logps - per_token_logps
    loss = loss + beta * (torch.exp(gap) - gap - 1)
    return ((loss * completion_mask).sum(1) / completion_mask.sum(1)).mean()


def reinforce(log_probs, advantages):
    return -(log_probs * advantages).mean()


def reinforce_turned(log_probs, advantages):
    return (log_probs * advantages).mean()


# Masks.


def mask_unused(student_logits, teacher_logits, attention_mask):
    return row_kl(student_logits, teacher_logits).mean()


def mask_inverted(student_logits, teacher_logits, mask):
    kl = row_kl(student_logits, teacher_logits)
    return (kl * (1 - mask)).sum() / (1 - mask).sum().clamp(min=1)


def mask_inverted_bool(student_logits, teacher_logits, loss_mask):
    return row_kl(student_logits, teacher_logits).masked_fill(loss_mask, 0.0).sum() / 7


def mask_padding_counted(student_logits, teacher_logits, attention_mask):
    return (row_kl(student_logits, teacher_logits) * attention_mask).mean()


def mask_selected(student_logits, teacher_logits, mask):
    return row_kl(student_logits[mask], teacher_logits[mask]).mean()


def mask_of_tokens(logprobs, ref_logprobs, response_mask):
    square = 0.5 * (logprobs - ref_logprobs) ** 2
    return (square * response_mask).sum() / response_mask.sum()


def mask_of_tokens_late(logprobs, ref_logprobs, response_mask):
    square, mask = 0.5 * (logprobs - ref_logprobs)[:, :-1] ** 2, response_mask[:, 1:]
    return (square * mask).sum() / mask.sum()


def mask_default(logprobs, ref_logprobs, mask=None):
    square = 0.5 * (logprobs - ref_logprobs) ** 2
    return square.mean() if mask is None else (square * mask).sum() / mask.numel()


def labels_not_ignored(student_logits, teacher_logits, labels):
    v = student_logits.size(-1)
    hard = F.cross_entropy(student_logits.reshape(-1, v), labels.reshape(-1))
    return 0.5 * hard + 0.5 * row_kl(student_logits, teacher_logits).mean()


def labels_in_numpy(q_logits, labels):
    shifted = q_logits - q_logits.max(-1, keepdims=True)
    log_q = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.mean(np.take_along_axis(log_q, labels[..., None], -1))


# Shapes and names that mislead.


def grpo_over_tokens(
    per_token_logps, old_per_token_logps, ref_per_token_logps, advantages, completion_mask, beta=0.04, epsilon=0.2
):  # fmt: skip
    """TRL's "bnpo": with advantages of tokens it broadcasts to (B,B,T), without a word."""
    ratio, a = torch.exp(per_token_logps - old_per_token_logps), advantages.unsqueeze(1)
    gap = ref_per_token_logps - per_token_logps
    loss = -torch.min(ratio * a, ratio.clamp(1 - epsilon, 1 + epsilon) * a)
    loss = loss + beta * (torch.exp(gap) - gap - 1)
    return (loss * completion_mask).sum() / completion_mask.sum()


def grpo_of_equal_numbers(pi_logprobs, pi_old_logprobs, ref_logprobs, advantages, padding_masks):
    return grpo_over_tokens(
        pi_logprobs, pi_old_logprobs, ref_logprobs, advantages, padding_masks, 0.1, 0.1
    )


def equal_numbers(logprobs, ref_logprobs, epsilon=0.1, kl_coeff=0.1):
    gap = ref_logprobs - logprobs
    return kl_coeff * (torch.exp(gap) - gap - 1).mean()


def ppo_of_minibatches(new_logprobs, mb_logprobs, mb_advantage, padding_mask):
    ratio, keep = torch.exp(new_logprobs - mb_logprobs), ~padding_mask
    loss = torch.max(-mb_advantage * ratio, -mb_advantage * ratio.clamp(0.8, 1.2))
    return (loss * keep).sum() / keep.sum()


def ppo_of_two(new_logprobs, their_logprobs, advantages):
    return -(torch.exp(new_logprobs - their_logprobs) * advantages).mean()


def slime_policy(ppo_kl, advantages, eps_clip=0.2):
    ratio = (-ppo_kl).exp()
    return torch.maximum(-ratio * advantages, -ratio.clamp(1 - eps_clip, 1 + eps_clip) * advantages)


def actor_critic(log_prob, advantage, entropy, entropy_coef=0.01):
    return -(log_prob * advantage.detach()).mean() - entropy_coef * entropy.mean()


def counts_of_tokens(curr_logprobs, reference_policy_logprobs, mask, global_valid_toks=None):
    gap = reference_policy_logprobs - curr_logprobs
    return ((gap.exp() - 1 - gap) * mask).sum() / mask.sum()


def hinge(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps):
    h = _margin(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    return torch.relu(1 - 0.1 * h).mean()


def decoupled(logits_student, logits_teacher, target, beta=8.0):
    """DKD: with -1000 at the target the teacher's gradient is not finite, the student's is."""
    hot = F.one_hot(target, logits_student.shape[-1]).bool()
    p, q = F.softmax(logits_teacher, -1), F.softmax(logits_student, -1)
    binary_p, binary_q = (torch.stack([(x * hot).sum(-1), (x * ~hot).sum(-1)], -1) for x in (p, q))
    rest_p = F.softmax(logits_teacher - 1000.0 * hot, -1)
    rest_q = F.log_softmax(logits_student - 1000.0 * hot, -1)
    rest = F.kl_div(rest_q, rest_p, reduction="none").sum(-1)
    return ((binary_p * (binary_p / binary_q).log()).sum(-1) + beta * rest).mean()


def vector_quantised(quantized, inputs, commitment_cost=0.25):
    commitment = F.mse_loss(quantized.detach(), inputs)
    return F.mse_loss(quantized, inputs.detach()) + commitment_cost * commitment


def flow_with_jacobian(log_prob_z, log_det_jacobian):
    return -(log_prob_z + log_det_jacobian).mean()


def beta_vae(recons, inputs, mu, log_var, beta=4.0):
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1).mean()
    return F.mse_loss(recons, inputs) + beta * kl


def bayes_by_backprop(mu, rho):
    sigma = F.softplus(rho)
    return (0.5 * (mu**2 + sigma**2 - 1) - torch.log(sigma)).sum(-1).mean()


def vae_turned(mu, log_var):
    return 0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1).mean()


def sum_of_log_densities(log_q, log_prior):
    return (log_q - log_prior).sum()


def expectile(pred, target, tau=0.7):
    gap = target - pred
    return (torch.abs(tau - (gap < 0).double()) * gap**2).sum(-1).mean()


def dpo_of_letters(pi_w, pi_l, ref_w, ref_l):
    return -F.logsigmoid(0.1 * _margin(pi_w, pi_l, ref_w, ref_l)).mean()


def argmax_alone(logits, labels):
    return F.cross_entropy(F.one_hot(logits.argmax(-1), logits.shape[-1]).double(), labels)


def teacher_twice(student_logits, teacher_logits):
    return row_kl(teacher_logits, teacher_logits).mean()


def log_target_forgotten(student_logits, teacher_logits):
    return F.kl_div(F.log_softmax(student_logits, -1), F.log_softmax(teacher_logits, -1))


def mask_of_positions(logits, labels, loss_mask):
    """A language model's loss with the mask of the position that predicts."""
    late = labels[:, 1:].reshape(-1)
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), late, reduction="none")
    mask = loss_mask[:, :-1].reshape(-1)
    return (loss * mask).sum() / mask.sum()


def mask_after_the_mean(logprobs, ref_logprobs, completion_mask):
    gap = ref_logprobs - logprobs
    kl = (gap.exp() - gap - 1).mean(1, keepdim=True)
    return (kl * completion_mask).sum() / completion_mask.sum()


# Losses that fail.


def one_size_only(student_logits, teacher_logits):
    if student_logits.shape[0] > 3:
        raise ZeroDivisionError("a batch of four")
    return row_kl(student_logits, teacher_logits).mean()


def similarity_of_logits(student_logits, teacher_logits):
    scores = student_logits @ teacher_logits.T
    return F.cross_entropy(scores, torch.arange(len(student_logits)))


#: (loss, arguments of check_loss, gradient, value, scale in words, words it has, words it has not)
LOSSES = [
    (softmax_over_the_batch, {}, "none", "none", None, "another axis", "1/V"),
    (softmax_over_everything, {}, "none", "none", None, "another axis", ""),
    (softmax_over_the_batch_jax, {}, "none", "none", None, "another axis", ""),
    (batchmean_of_sequences, {}, "forward", "forward", "", "with sequences, (B,T,V), it is T times", ""),
    (layer_lists, {}, "forward", "forward", "L", "", "steps with the batch"),
    (a_batch, {}, "forward", "forward", "", "batch['student_logits']: logits of q", ""),
    (outputs_of_models, {}, "forward", "forward", "", "", "padding"),
    (with_a_config, {}, "forward", "forward", "config.temperature²", "at temperature 2", ""),
    (slime_kl, {}, "forward", "reverse", "", "", "importance_ratio"),
    (slime_kl, {"fixed": {"kl_loss_type": "k2"}}, "reverse", "half_squared_ratio", "", "", ""),
    (slime_kl, {"fixed": {"kl_loss_type": "k1"}, "signature": "slime.kl"}, "zero", "reverse", "", "", ""),
    (deepseek_kl, {}, "reverse", "reverse", "", "q over the policy that drew the tokens", ""),
    (deepseek_kl, {"signature": "slime.kl"}, "reverse", "reverse", "", "", ""),
    (deepseek_kl_detached, {}, "forward", "reverse", "", "", ""),
    (sac_actor, {}, "zero", "entropy", None, "", "uniform|minus in front|sign is turned"),
    (behaviour_cloning, {}, "forward", "cross_entropy", "", "", "uniform|minus in front"),
    (flow_nll, {}, "forward", "cross_entropy", "", "", "uniform|minus in front"),
    (unlikelihood_turned, {}, "zero", "entropy", "", "", "uniform|minus in front|sign is turned"),
    (entropy_bonus, {}, "reverse_uniform", "entropy", "entropy_coef", "raises the entropy", "minus in front|sign is"),
    (kl_to_uniform, {}, "reverse_uniform", "reverse_uniform", "", "uniform", "minus in front|nothing pulls"),
    (confidence_penalty, {}, "mixture", None, None, "KL(p||q) - 0.1 the entropy of q", "minus in front"),
    (focal, {}, "focal", "focal", "", "gamma = 2", ""),
    (top_k_bucket, {}, "top_k_bucket", "top_k_bucket", "", "a lower bound", "may be negative"),
    (top_k_renormalised, {}, "top_k_renormalised", "top_k_renormalised", "", "renormalised", "may be negative"),
    (loc_scale, {}, "reverse", "reverse", "", "", ""),
    (loc_scale, {"student": "prior_loc"}, "forward", "forward", "", "", ""),
    (numbered, {}, "reverse", "reverse", "", "", ""),
    (numbered, {"student": "log_std2"}, "forward", "forward", "", "", ""),
    (torch_distributions, {}, "reverse", "reverse", "", "", ""),
    (vits_one_draw, {}, "reverse", "reverse", "", "random numbers of its own", "sign is turned"),
    (vae_one_draw, {}, "reverse", "reverse", "", "random numbers of its own", ""),
    (vae_one_draw_sd_mixed_up, {}, "none", "none", None, "random numbers of its own", ""),
    (vae_one_draw_without_entropy, {}, "reverse_cross_entropy", None, "", "entropy of q is missing", ""),
    (one_draw_jax, {}, "reverse", "reverse", "", "random numbers of its own", ""),
    (free_bits, {}, "free_bits", "free_bits", "", "of each coordinate not below, free nats = 0.5", ""),
    (free_bits_together, {}, "free_bits", "free_bits", "", "of each row not below, free nats = 1", ""),
    (F.mse_loss, {}, "forward", "forward", "2/d", "half the squared error", "squared difference"),
    (F.l1_loss, {}, "forward", "forward", "1/d", "Laplace", ""),
    (F.gaussian_nll_loss, {}, "forward", "forward", "1/d", "-log N(data; prediction, variance)", ""),
    (F.binary_cross_entropy_with_logits, {}, "forward", "forward", "1/d", "Bernoulli", ""),
    (heteroscedastic, {}, "forward", "forward", "", "likelihood", ""),
    (heteroscedastic_half_lost, {}, "none", "without_half", None, "without its 1/2", ""),
    (autoencoder, {}, "forward", "forward", "", "Bernoulli", ""),
    (dpo, {}, "dpo", "dpo", "", "beta = 0.1", ""),
    (dpo, {"signature": "trl.dpo"}, "dpo", "dpo", "", "beta = 0.1", ""),
    (dpo_turned, {}, "none", "preference_turned", None, "raises what was rejected", ""),
    (dpo_reference_free, {}, "none", "reference_unused", None, "the reference is not used", ""),
    (dpo_short_names, {}, "dpo", "dpo", "", "beta = 0.5", ""),
    (cdpo, {}, "dpo", "dpo", "", "smoothing = 0.2", ""),
    (ipo, {}, "ipo", "ipo", "", "beta = 0.1", ""),
    (kto, {}, "kto", "kto", "", "beta = 0.1", ""),
    (simpo, {}, "simpo", "simpo", "", "gamma = 1.4", ""),
    (reward_model, {}, "bradley_terry", "bradley_terry", "", "beta = 1", ""),
    (clip_loss, {}, "infonce", "infonce", "", "of both sides", ""),
    (info_nce, {}, "infonce", "infonce", "", "temperature 0.1", ""),
    (mine, {}, "donsker_varadhan", "donsker_varadhan", "", "lower bound", ""),
    (ppo_clip, {}, "expected_advantage", None, "-1", "above about 1.2 where A > 0", "wrong side|sign is turned"),
    (ppo_clip, {"signature": "verl.policy"}, "expected_advantage", None, "-1", "policy gradient", "sign is turned"),
    (ppo_clip_wrong_side, {}, "expected_advantage", None, "-1", "wrong side", ""),
    (grpo, {}, "forward", "reverse", "beta", "a policy gradient", "sign is turned|influence"),
    (grpo, {"signature": "trl.grpo"}, "forward", "reverse", "beta", "clipped: tokens", "wrong side"),
    (reinforce, {}, "expected_advantage", None, "-1", "a policy gradient", "sign is turned"),
    (reinforce_turned, {}, "expected_advantage", None, "", "sign is turned", ""),
    (mask_unused, {}, "forward", "forward", "", "`attention_mask` is not used", ""),
    (mask_inverted, {}, "forward", "forward", "", "the mask is inverted", ""),
    (mask_inverted_bool, {}, "forward", "forward", None, "the mask is inverted", ""),
    (mask_padding_counted, {}, "forward", "forward", "", "the denominator counts padding", "influence"),
    (mask_selected, {}, "forward", "forward", "", "", "padding|influence|inverted|not used|NaN"),
    (mask_of_tokens, {}, "reverse", "half_squared_ratio", "", "", "padding|influence|inverted|not used"),
    (mask_of_tokens_late, {}, "none", None, None, "off by one", ""),
    (mask_default, {}, "reverse", "half_squared_ratio", "", "the denominator counts padding", ""),
    (labels_not_ignored, {}, "mixture", "mixture", None, "masked tokens influence the loss", "minus in front"),
    (labels_in_numpy, {}, "forward", "cross_entropy", "", "", "influence|padding"),
    (grpo_over_tokens, {}, "forward", "reverse", "beta", "a policy gradient", "sums over the batch|sign is turned"),
    (grpo_of_equal_numbers, {}, "forward", "reverse", "0.1", "a policy gradient", "sums over the batch"),
    (equal_numbers, {}, "forward", "reverse", "0.1", "", "epsilon ×"),
    (ppo_of_minibatches, {}, "expected_advantage", None, "-1", "above about 1.2 where A > 0", "sign is turned"),
    (ppo_of_two, {}, "expected_advantage", None, "-1", "of the policy that drew them", "sign is turned"),
    (slime_policy, {"signature": "slime.policy"}, "expected_advantage", None, "-1", "policy gradient", "sign is turned"),
    (actor_critic, {}, "expected_advantage", None, "-1", "policy gradient", "uniform"),
    (counts_of_tokens, {}, "forward", "reverse", "", "", "is not used"),
    (hinge, {}, "hinge", "hinge", "", "beta = 0.1", ""),
    (decoupled, {}, "none", None, None, "", "sign is turned"),
    (vector_quantised, {}, "none", "squared_logits", None, "", "KL(q||p) (cosine 1"),
    (flow_with_jacobian, {}, "forward", "cross_entropy", "", "", "uniform"),
    (beta_vae, {}, "reverse", "reverse", "beta", "", ""),
    (bayes_by_backprop, {}, "reverse", "reverse", "", "softplus", ""),
    (vae_turned, {}, "reverse", "reverse", "-1", "sign is turned", ""),
    (sum_of_log_densities, {}, "reverse", "reverse", "B", "", ""),
    (expectile, {}, "expectile", "expectile", "", "tau = 0.7", ""),
    (dpo_of_letters, {}, "dpo", "dpo", "", "beta = 0.1", ""),
    (argmax_alone, {}, "zero", None, None, "such as argmax", ""),
    (teacher_twice, {}, "zero", "zero", None, "`student_logits` is not used", ""),
    (log_target_forgotten, {}, "error", None, None, "NaN.*log_target=True", ""),
    (mask_of_positions, {}, "forward", "cross_entropy", "", "off by one", "logits predict the next"),
    (mask_after_the_mean, {}, "forward", "reverse", "", "masked tokens influence the loss", ""),
    (one_size_only, {}, "error", None, None, "ZeroDivisionError: a batch of four", ""),
    (similarity_of_logits, {}, "none", "none", None, "", ""),
]  # fmt: skip
