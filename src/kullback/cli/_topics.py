"""`kullback explain TOPIC`: what there is to say in words."""

from kullback._core.errors import InputError
from kullback.cli import _output
from kullback.cli._options import Output

TOPICS = {
    "direction": """\
KL(p||q) and KL(q||p) are two numbers. Here p is the target and q the approximation.

forward, KL(p||q): the mean under p of log p - log q. It is large where p has mass and q has
  little, so a q that is fitted this way covers all of p, at the price of mass where p has none.
  Maximum likelihood minimises it. Other names: inclusive, mass-covering, zero-avoiding.

reverse, KL(q||p): the mean under q of log q - log p. It is large where q has mass and p has
  little, so a q that is fitted this way stays within p and may leave whole modes out; leaving
  out a part of p with mass m costs about -log(1 - m). Maximising the ELBO minimises it. Other
  names: exclusive, mode-seeking, zero-forcing.

The two are not on one scale: .27 forward is not "better" than .35 reverse. Compare fits within
a direction. "Backward" is used for both: write KL(p||q) or KL(q||p).""",
    "negative": """\
A KL divergence is never negative. A negative number that is called one is something else:

1. a constant is missing: the cross-entropy alone, or a loss without the entropy of p;
2. a density is not normalised: what was computed is KL - log Z;
3. the vectors do not sum to 1: normalise them, knowingly (kullback kl --normalize);
4. it is the log-ratio of single draws, or its mean over a few: that may be negative, its
   expectation may not; ask for the standard error;
5. the draws came from the wrong distribution: KL(p||q) takes draws of p;
6. log-probabilities and probabilities were exchanged, as in torch's kl_div(input, target),
   which takes log q first and computes KL(target||input).

A density's entropy and cross-entropy may be negative, and so may what one region of x adds to
a KL: kullback explain P Q shows which does.""",
    "gradients": """\
The reverse KL is minimised by climbing the ELBO, E_q[log p - log q], and its gradient with respect
to the parameters of q must be estimated from draws of q. Ways, all with the same mean:

reparameterisation: x = m + L z, and the gradient goes through x; the entropy of q in closed form.
  One gradient of log p a draw. Its noise does not vanish where q is p.
stick the landing: the same, less the score term, whose mean is 0, E_q[grad log q] = 0. Its noise
  vanishes where q is p: the best near a good fit. kullback fit uses it, on draws that have the
  mean and the covariance of q exactly.
score function (REINFORCE): (log p - log q) grad log q. Values of log p are enough, so it works for
  discrete latents and for code without gradients; but each draw is noisy, and without a baseline
  a constant added to log p is noise too. With the mean of the other draws as the baseline it has
  the same mean and much less of it.

A common mistake is to write log p grad log q alone. The gradient of KL(q||p) is the mean of
(log q - log p) grad log q: without log q, the entropy is forgotten, and q shrinks to a point.
Doubly reparameterised gradients (DReG) are for bounds of several draws; of one, they are
stick the landing.

kullback explain gradients model.py:name (or an expression) measures bias, variance and cost.""",
}


def run(name: str, output: Output) -> int:
    """Prints the text on a topic and returns the exit code."""
    if name not in TOPICS:
        raise InputError(f"{name}: explain needs P and Q, or one topic: {', '.join(TOPICS)}")
    if output.json:
        _output.show_json("explain", {"topic": name, "text": TOPICS[name]})
    else:
        _output.show([TOPICS[name]])
    return 0
