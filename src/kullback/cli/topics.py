"""`kullback explain TOPIC`: what there is to say in words."""

from kullback.cli.options import Output
from kullback.core.errors import InputError
from kullback.render.document import Document, Notes, Section
from kullback.render.json import write_json
from kullback.render.terminal import show, show_text

TOPICS = {
    "direction": """\
KL(p||q) and KL(q||p) are two numbers. Here p is the target and q the approximation.

forward, KL(p||q): the mean under p of log p - log q. It is large where p has mass and q has \
little, so a q that is fitted this way covers all of p, at the price of mass where p has none. \
Maximum likelihood minimises it. Other names: inclusive, mass-covering, zero-avoiding.

reverse, KL(q||p): the mean under q of log q - log p. It is large where q has mass and p has \
little, so a q that is fitted this way stays within p and may leave whole modes out; leaving \
out a part of p with mass m costs about -log(1 - m). Maximising the ELBO minimises it. Other \
names: exclusive, mode-seeking, zero-forcing.

The two are not on one scale: .27 forward is not "better" than .35 reverse. Compare fits within \
a direction. "Backward" is used for both: write KL(p||q) or KL(q||p).""",
    "negative KL": """\
A KL divergence is never negative. Which of these is yours?

Is the number a mean over samples, or of single ones?
  yes: log q - log p of single draws is negative half of the time (k1); its mean over draws of q is not. \
Print the standard error. p/q - 1 - log(p/q), k3, has the same mean and is never negative. \
Were the draws made by q? Drawn from p, the same mean is -KL(p||q): negative, always.
Is it a sum over the top k tokens?
  yes: a truncated sum is not a divergence and may be negative; put all other tokens into one bucket: \
losses.top_k_kl_lower_bound. Clamping it at 0 hides its gradient, too.
Do both sides sum to 1?
  no:  normalise them, or take logits; with unnormalised densities the number is KL - log Z.
Is a constant missing?
  yes: a cross-entropy of densities, -E_p[log q], is KL(p||q) + H(p), and H(p) may be negative; a method \
called forward_kld that returns -mean(log q) is that. So is minus an ELBO, KL(q||p) - log Z.
Is it torch's kl_div?
  yes: kl_div(input, target) is KL(target||input): input must be log-probabilities, target probabilities \
(log_target=True: log-probabilities). Given probabilities as input it is negative at once.
None of these, and it is about -1e-8: rounding in float32. losses.categorical_kl sums terms that cannot \
be negative.

kullback check-loss module:function says which quantity your code computes.""",
    "k1": """\
k1 = log q - log p, on tokens drawn from q (the policy; p is the reference).

as a value:    its mean is KL(q||p): unbiased. A single one may be negative; noisy where p is close to q.
as a gradient: the mean of grad(log q) under q is 0. With the tokens fixed, k1 in a loss descends nothing.
in a reward:   right. The policy gradient multiplies it, without a gradient, with grad log q, and the mean of that \
is the gradient of KL(q||p).
off-policy:    neither, without the weight exp(log q - log sampler).

Do:  losses.reverse_kl_surrogate(log_p=..., log_q=..., log_sampler=...)    See also: k2, k3.""",
    "k2": """\
k2 = (log q - log p)^2 / 2, on tokens drawn from q (the policy; p is the reference).

as a value:    not a KL: its mean is E_q[(log q - log p)^2] / 2, near KL(q||p) only where p is close to q.
as a gradient: (log q - log p) grad log q, whose mean is the gradient of KL(q||p): k2 in a loss is right.
off-policy:    neither, without the weight exp(log q - log sampler).

To log, use k1 or k3; to descend, k2 or losses.reverse_kl_surrogate, whose value is right too.""",
    "k3": """\
k3 = p/q - 1 - log(p/q), on tokens drawn from q (the policy; p is the reference).

as a value:    its mean is KL(q||p): unbiased, never negative. Little noise where p is close to q; where q lacks \
mass of p the variance of p/q is large or infinite.
as a gradient: (1 - p/q) grad log q, whose mean is -E_p[grad log q]: the gradient of KL(p||q), the other direction. \
k3 in a loss is not what its value says.
off-policy:    neither, without weights.

         value        gradient (tokens fixed)
    k1   KL(q||p)     0
    k2   no KL        KL(q||p)
    k3   KL(q||p)     KL(p||q)

Do:  losses.reverse_kl_surrogate(log_p=..., log_q=...), or k2 in the loss, or k1 in the reward.""",
    "beta": """\
One letter, four meanings. Which do you have?

a weight of the KL (RLHF, beta-VAE): loss + beta KL. Not 1 means: not an ELBO any more. Divided by d or V by \
a mean over the wrong axis it is a beta nobody chose: 1/d, 1/V. check-loss shows it as a scale.
the generalised Jensen-Shannon (distillation): m = beta p + (1 - beta) q. Near 0 it goes to KL(p||q), near 1 to \
KL(q||p), if divided by beta (1 - beta); codes that do not divide go to 0 at both ends and jump \
there: losses.generalized_jensen_shannon does not.
a switch of direction: 0 = forward KL(teacher||student), 1 = reverse. Others use it the other way round; name the \
sides: losses.categorical_kl(teacher=, student=, direction=).
an inverse temperature: p^beta.""",
    "top-k": """\
The sum of p log(p/q) over the k likeliest tokens is no divergence: both sides do not sum to 1, and it may be \
negative. Renormalised to those tokens it is the KL of two other distributions, blind to all mass outside. \
With one bucket for the rest it is the KL of a coarser pair: never negative, never more than the KL, and \
more with every token: losses.top_k_kl_lower_bound(p=, q=, k=, reduction=). All tokens take no more memory with \
losses.categorical_kl than their gradient.""",
    "sum or mean": """\
A KL is a sum over outcomes (the vocabulary) or dimensions (latents), and a mean over examples. A mean \
over V makes it KL / V, torch's kl_div(reduction="mean") does that: use "batchmean" on (N, V). A mean over d latent \
dimensions is beta = 1/d. A sum over the batch multiplies the step by the number of examples.
kullback check-loss says which you have: "1/V", "1/d", "B".""",
    "gradients": """\
The reverse KL is minimised by maximising the ELBO, E_q[log p - log q], and its gradient with respect \
to the parameters of q must be estimated from draws of q. Ways, all with the same mean:

reparameterisation: x = m + L z, and the gradient goes through x; the entropy of q in closed form. \
One gradient of log p a draw. Its noise does not vanish where q is p.
stick the landing: the same, less the score term, whose mean is 0, E_q[grad log q] = 0. Its noise \
vanishes where q is p: the best near a good fit. kullback fit uses it, on draws that have the \
mean and the covariance of q exactly.
score function (REINFORCE): (log p - log q) grad log q. Values of log p are enough, so it works for \
discrete latents and for code without gradients; but each draw is noisy, and without a baseline \
a constant added to log p is noise too. With the mean of the other draws as the baseline it has \
the same mean and much less of it.

A common mistake is to write log p grad log q alone. The gradient of KL(q||p) is the mean of \
(log q - log p) grad log q: without log q, the entropy is forgotten, and q shrinks to a point. \
Doubly reparameterised gradients (DReG) are for bounds of several draws; of one, they are \
stick the landing.

kullback explain gradients model.py:name (or an expression) measures bias, variance and cost.""",
}


#: Other words for the same.
_ALSO = {
    "negative": "negative KL",
    "truncated": "top-k",
    "topk": "top-k",
    "batchmean": "sum or mean",
    "reduction": "sum or mean",
    "forward": "direction",
    "reverse": "direction",
}


def run(name: str, output: Output) -> int:
    """Prints the text on a topic and returns the exit code."""
    known = {topic.lower(): topic for topic in TOPICS} | _ALSO
    if name.lower() not in known:
        raise InputError(f"{name}: explain needs P and Q, or one topic: {', '.join(TOPICS)}")
    name = known[name.lower()]
    text = TOPICS[name]
    body = Section("", "", (Notes(tuple(text.split("\n"))),))
    document = Document(name, lambda: {"topic": name, "text": text}, sections=(body,))
    if output.json:
        show_text(write_json("explain", document.values()))
    else:
        show(document)
    return 0
