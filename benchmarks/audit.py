"""Every closed form and every fallback against 25-digit references of our own.

python -m benchmarks.audit --write     recomputes tests/data/references.json (minutes)
python -m benchmarks.audit             runs the table and writes results/audit.md
"""

import argparse
import json
import math
import re
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "tests" / "data" / "references.json"
REPORT = ROOT / "benchmarks" / "results" / "audit.md"
#: Relative error that kind "exact" promises.
EXACT = 1e-10

#: One family a line: expression with {} for each parameter, base values, other values.
FAMILIES = [
    ("normal({}, sd={})", (0.3, 1.7), (-1.1, 0.6)),
    ("laplace({}, scale={})", (0.3, 1.7), (-1.1, 0.6)),
    ("logistic({}, scale={})", (0.3, 1.7), (-1.1, 0.6)),
    ("gumbel({}, scale={})", (0.3, 1.7), (-1.1, 2.6)),
    ("cauchy({}, scale={})", (0.3, 1.7), (-1.1, 0.6)),
    ("student_t({}, {}, scale={})", (3.5, 0.3, 1.7), (2.2, -1.1, 0.6)),
    ("vonmises({}, concentration={})", (0.3, 1.7), (-1.1, 4.5)),
    ("gamma({}, rate={})", (2.3, 3.1), (0.7, 0.4)),
    ("exponential(rate={})", (3.1,), (0.4,)),
    ("chi2({})", (3.3,), (1.4,)),
    ("chi({})", (3.3,), (1.4,)),
    ("weibull({}, scale={})", (1.5, 2.2), (0.8, 0.7)),
    ("frechet({}, scale={})", (1.5, 2.2), (0.8, 0.7)),
    ("inverse_gamma({}, scale={})", (2.3, 3.1), (0.7, 0.4)),
    ("halfnormal(scale={})", (1.7,), (0.6,)),
    ("rayleigh(scale={})", (1.7,), (0.6,)),
    ("maxwell(scale={})", (1.7,), (0.6,)),
    ("generalized_gamma({}, power={}, scale={})", (2.3, 1.3, 0.9), (0.7, 0.6, 2.1)),
    ("lognormal({}, sd={})", (0.3, 0.7), (-1.1, 1.6)),
    ("inverse_gaussian({}, shape={})", (1.3, 2.1), (0.6, 0.9)),
    ("pareto(scale={}, shape={})", (1.7, 2.5), (0.9, 1.4)),
    ("halfcauchy(scale={})", (1.7,), (0.6,)),
    ("lindley({})", (1.3,), (0.4,)),
    ("beta({}, {})", (2.3, 3.1), (0.7, 0.4)),
    ("kumaraswamy({}, {})", (2.3, 3.1), (0.7, 0.4)),
    ("continuous_bernoulli(logit={})", (1.3,), (-2.4,)),
    ("poisson({})", (4.3,), (7.1,)),
    ("bernoulli({})", (0.3,), (0.9,)),
    ("geometric({}, start=0)", (0.3,), (0.05,)),
    ("binomial(20, {})", (0.3,), (0.85,)),
    ("negative_binomial(3.5, success={})", (0.3,), (0.6,)),
]

#: Cross-family pairs with a finite KL, from measuring.md 1.1 and beyond.
CROSS = """
beta(2.3, 3.1) | continuous_bernoulli(logit=1.3)
beta(2.3, 3.1) | exponential(rate=0.4)
beta(2.3, 3.1) | gamma(2.3, rate=3.1)
beta(2.3, 3.1) | normal(0.3, sd=1.7)
beta(2.3, 3.1) | uniform(0, 1)
beta(2.3, 3.1) | uniform(-1, 3)
beta(2.3, 3.1) | kumaraswamy(2.3, 3.1)
beta(0.5, 0.5) | uniform(0, 1)
beta(0.5, 0.5) | kumaraswamy(0.7, 0.4)
beta(0.01, 0.02) | uniform(0, 1)
beta(0.001, 0.001) | beta(2, 2)
kumaraswamy(2, 3) | beta(1.5, 2)
kumaraswamy(0.5, 0.6) | beta(2, 3)
kumaraswamy(0.05, 0.06) | uniform(0, 1)
kumaraswamy(20, 30) | beta(15, 20)
kumaraswamy(2.3, 3.1) | kumaraswamy(1.1, 0.9)
kumaraswamy(2.3, 3.1) | normal(0.5, sd=0.2)
kumaraswamy(2.3, 3.1) | exponential(rate=2)
continuous_bernoulli(logit=1.3) | uniform(0, 1)
continuous_bernoulli(logit=-500) | continuous_bernoulli(logit=20)
continuous_bernoulli(logit=1e-9) | continuous_bernoulli(logit=0)
continuous_bernoulli(logit=0) | continuous_bernoulli(logit=2)
continuous_bernoulli(logit=1.3) | exponential(rate=2)
continuous_bernoulli(logit=1.3) | normal(0.3, sd=0.5)
continuous_bernoulli(logit=1.3) | beta(1.5, 0.8)
continuous_bernoulli(logit=1.3) | gumbel(0.3, scale=0.5)
uniform(0, 1) | beta(2.3, 3.1)
uniform(0.2, 0.7) | beta(2.3, 3.1)
uniform(0, 1) | continuous_bernoulli(logit=1.3)
uniform(0.2, 0.7) | exponential(rate=2)
uniform(0.2, 0.7) | gamma(2.3, rate=3.1)
uniform(0, 1) | gamma(2.3, rate=3.1)
uniform(-1, 3) | gumbel(0.3, scale=1.7)
uniform(-1, 3) | normal(0.3, sd=1.7)
uniform(2, 3) | pareto(scale=1.7, shape=2.5)
uniform(1, 3) | lognormal(0.3, sd=0.7)
uniform(0, 3) | lognormal(0.3, sd=0.7)
uniform(0, 3) | weibull(1.5, scale=2)
uniform(1, 3) | inverse_gamma(2, scale=1)
uniform(1, 3) | inverse_gaussian(2, shape=1)
uniform(-1, 3) | laplace(0.3, scale=1.7)
uniform(-1, 3) | cauchy(0.3, scale=1.7)
uniform(-1, 3) | student_t(3.5)
uniform(-1, 3) | logistic(0.3, scale=1.7)
uniform(-1, 3) | vonmises(0.3, concentration=2)
uniform(0, 1) | uniform(-1, 3)
uniform(0, 1) | uniform(0, 1.000000001)
uniform(0, 1) | kumaraswamy(2.3, 3.1)
uniform(1, 2) | lindley(1.3)
uniform(1, 2) | loguniform(0.5, 4)
loguniform(1, 3) | uniform(0.5, 4)
loguniform(1, 3) | loguniform(0.5, 4)
loguniform(1, 3) | normal(0.3, sd=1.7)
loguniform(1, 3) | gamma(2.3, rate=3.1)
loguniform(1, 3) | lognormal(0.3, sd=0.7)
loguniform(1, 3) | inverse_gamma(2, scale=1)
loguniform(0.0001, 10000) | lognormal(0, sd=3)
exponential(rate=3.1) | gamma(2.3, rate=3.1)
exponential(rate=3.1) | gumbel(0.3, scale=1.7)
exponential(rate=3.1) | normal(0.3, sd=1.7)
exponential(rate=3.1) | weibull(1.5, scale=2.2)
exponential(rate=3.1) | lognormal(0.3, sd=0.7)
exponential(rate=3.1) | lindley(1.3)
exponential(rate=3.1) | halfnormal(scale=1.7)
exponential(rate=3.1) | halfcauchy(scale=1.7)
exponential(rate=3.1) | laplace(0.3, scale=1.7)
exponential(rate=3.1) | logistic(0.3, scale=1.7)
exponential(rate=3.1) | student_t(3.5)
exponential(rate=3.1) | rayleigh(scale=1)
gamma(2.3, rate=3.1) | exponential(rate=0.4)
gamma(2.3, rate=3.1) | gumbel(0.3, scale=1.7)
gamma(2.3, rate=3.1) | normal(0.3, sd=1.7)
gamma(2, rate=3) | weibull(1.5, scale=2)
gamma(2.3, rate=3.1) | lognormal(0.3, sd=0.7)
gamma(2.3, rate=3.1) | inverse_gamma(2.3, scale=3.1)
gamma(2.3, rate=3.1) | inverse_gaussian(1.3, shape=2.1)
gamma(0.8, rate=3.1) | lognormal(0.3, sd=0.7)
gamma(2.3, rate=3.1) | chi2(3.3)
gamma(2.3, rate=3.1) | chi(3.3)
gamma(2.3, rate=3.1) | halfnormal(scale=1.7)
gamma(2.3, rate=3.1) | generalized_gamma(2.3, power=1.3, scale=0.9)
gamma(2.3, rate=3.1) | frechet(0.8, scale=0.7)
gamma(2.3, rate=3.1) | laplace(0.3, scale=1.7)
gamma(2.3, rate=3.1) | logistic(0.3, scale=1.7)
gamma(2.3, rate=3.1) | lindley(1.3)
gamma(2.3, rate=3.1) | cauchy(0, scale=1)
weibull(1.5, scale=2.2) | gamma(2.3, rate=3.1)
weibull(0.8, scale=2.2) | gamma(2.3, rate=3.1)
weibull(1.5, scale=2.2) | lognormal(0.3, sd=0.7)
weibull(1.5, scale=2.2) | exponential(rate=0.4)
weibull(1.5, scale=2.2) | normal(0.3, sd=1.7)
weibull(1.5, scale=2.2) | inverse_gamma(0.7, scale=0.4)
weibull(2.5, scale=2.2) | inverse_gamma(2.3, scale=3.1)
weibull(2.5, scale=2.2) | gumbel(0.3, scale=1.7)
weibull(0.3, scale=2.2) | exponential(rate=3)
weibull(30, scale=2.2) | exponential(rate=3)
frechet(2.5, scale=2.2) | inverse_gamma(2.3, scale=3.1)
frechet(2.5, scale=2.2) | gamma(2.3, rate=3.1)
frechet(2.5, scale=2.2) | normal(0.3, sd=1.7)
frechet(2.5, scale=2.2) | lognormal(0.3, sd=1.7)
frechet(1.5, scale=2.2) | exponential(rate=1)
inverse_gamma(2.3, scale=3.1) | gamma(2.3, rate=3.1)
inverse_gamma(2.3, scale=3.1) | normal(0.3, sd=1.7)
inverse_gamma(2.3, scale=3.1) | lognormal(0.3, sd=0.7)
inverse_gamma(1.05, scale=3.1) | exponential(rate=0.4)
inverse_gamma(0.5, scale=3.1) | lognormal(0.3, sd=0.7)
inverse_gamma(0.05, scale=3.1) | inverse_gamma(0.06, scale=2)
inverse_gamma(0.05, scale=3.1) | halfcauchy(scale=2)
lognormal(0.3, sd=0.7) | normal(0.3, sd=1.7)
lognormal(0.3, sd=0.7) | gamma(2.3, rate=3.1)
lognormal(0, sd=5) | gamma(2, rate=1)
lognormal(0.3, sd=0.7) | weibull(1.5, scale=2.2)
lognormal(0.3, sd=0.7) | inverse_gamma(2.3, scale=3.1)
lognormal(0.3, sd=0.7) | inverse_gaussian(1.3, shape=2.1)
lognormal(0.3, sd=0.7) | exponential(rate=0.4)
lognormal(0.3, sd=0.7) | laplace(0.3, scale=1.7)
lognormal(0.3, sd=0.7) | student_t(3.5)
lognormal(0.3, sd=0.7) | halfcauchy(scale=1)
lognormal(0.3, sd=0.7) | logistic(0.3, scale=1.7)
lognormal(0.3, sd=0.7) | rayleigh(scale=2)
inverse_gaussian(1.3, shape=2.1) | gamma(2.3, rate=3.1)
inverse_gaussian(1.3, shape=2.1) | normal(0.3, sd=1.7)
inverse_gaussian(1.3, shape=2.1) | lognormal(0.3, sd=0.7)
inverse_gaussian(1.3, shape=2.1) | inverse_gamma(2.3, scale=3.1)
inverse_gaussian(1, shape=2) | gamma(2, rate=2)
pareto(scale=1.7, shape=2.5) | exponential(rate=0.4)
pareto(scale=1.7, shape=2.5) | gamma(2.3, rate=3.1)
pareto(scale=1.7, shape=2.5) | normal(0.3, sd=1.7)
pareto(scale=1.7, shape=2.5) | lognormal(0.3, sd=0.7)
pareto(scale=1.7, shape=2.001) | normal(0.3, sd=1.7)
pareto(scale=1.7, shape=0.5) | lognormal(0.3, sd=0.7)
pareto(scale=1.7, shape=0.5) | cauchy(0, scale=1)
pareto(scale=1.7, shape=2.5) | inverse_gamma(2.3, scale=3.1)
pareto(scale=1.7, shape=2.5) | pareto(scale=0.9, shape=0.1)
pareto(scale=1.7, shape=0.001) | pareto(scale=1.7, shape=1000)
pareto(scale=1.7, shape=1000000) | pareto(scale=1.7, shape=1)
pareto(scale=1.7, shape=2.5) | weibull(0.5, scale=2)
pareto(scale=1.7, shape=1.1) | laplace(0, scale=1)
normal(0.3, sd=1.7) | laplace(0.3, scale=1.7)
normal(0.3, sd=1.7) | laplace(50, scale=1.7)
normal(0.3, sd=1.7) | gumbel(0.3, scale=1.7)
normal(0.3, sd=1.7) | gumbel(0.3, scale=0.1)
normal(0.3, sd=1.7) | logistic(0.3, scale=1.7)
normal(0.3, sd=1.7) | cauchy(0.3, scale=1.7)
normal(0.3, sd=1.7) | student_t(3.5)
normal(0.3, sd=1.7) | student_t(1e6)
normal(0, sd=1) | student_t(1e9)
normal(1000, sd=0.001) | cauchy(0, scale=1)
laplace(0.3, scale=1.7) | normal(-1.1, sd=0.6)
laplace(0.3, scale=1.7) | gumbel(0.3, scale=2.7)
laplace(0.3, scale=1.7) | logistic(0.3, scale=1.7)
laplace(0.3, scale=1.7) | student_t(3.5)
laplace(0.3, scale=1.7) | cauchy(0.3, scale=1.7)
gumbel(0.3, scale=1.7) | normal(-1.1, sd=0.6)
gumbel(0.3, scale=1.7) | laplace(-1.1, scale=0.6)
gumbel(0.3, scale=1.7) | logistic(-1.1, scale=0.6)
gumbel(0.3, scale=0.3) | student_t(2)
logistic(0.3, scale=1.7) | normal(-1.1, sd=0.6)
logistic(0.3, scale=1.7) | laplace(-1.1, scale=0.6)
logistic(0.3, scale=0.4) | gumbel(-1.1, scale=0.6)
logistic(0.3, scale=0.59) | gumbel(-1.1, scale=0.6)
logistic(0, scale=1) | student_t(1.5)
halfnormal(scale=1.7) | exponential(rate=0.4)
halfnormal(scale=1.7) | gamma(2.3, rate=3.1)
halfnormal(scale=1.7) | normal(0, sd=1.7)
halfnormal(scale=1.7) | halfcauchy(scale=1)
halfnormal(scale=1.7) | lognormal(0.3, sd=0.7)
rayleigh(scale=1.7) | gamma(2.3, rate=3.1)
rayleigh(scale=1.7) | maxwell(scale=1.7)
maxwell(scale=1.7) | lognormal(0.3, sd=0.7)
maxwell(scale=1.7) | inverse_gamma(2.3, scale=3.1)
chi2(3.3) | lognormal(0.3, sd=0.7)
chi2(3.3) | lindley(1.3)
lindley(1.3) | exponential(rate=0.4)
lindley(1.3) | gamma(2.3, rate=3.1)
lindley(1.3) | lognormal(0.3, sd=0.7)
lindley(1.3) | normal(0.3, sd=1.7)
lindley(1.3) | weibull(1.5, scale=2.2)
halfcauchy(scale=1.7) | lognormal(0.3, sd=0.7)
halfcauchy(scale=1.7) | inverse_gamma(0.7, scale=0.4) | inf
halfcauchy(scale=1.7) | pareto(scale=1, shape=2) | inf
cauchy(0.3, scale=1.7) | student_t(3.5)
student_t(3.5) | cauchy(0.3, scale=1.7)
student_t(2.05) | normal(0, sd=1)
student_t(2.5) | normal(0, sd=1)
student_t(2.005) | normal(0, sd=1)
student_t(3) | normal(0.3, sd=1.7)
student_t(1.05) | laplace(0, scale=1)
student_t(1.5) | logistic(0, scale=1)
student_t(0.3) | student_t(0.5)
student_t(0.05) | student_t(0.07)
student_t(3.5) | student_t(1e6)
student_t(1e6) | student_t(3.5)
student_t(1e6) | normal(0, sd=1)
student_t(30) | normal(0, sd=1)
student_t(30) | logistic(0.3, scale=0.6)
vonmises(0.3, concentration=0) | vonmises(1, concentration=2)
vonmises(0.3, concentration=1000) | vonmises(1, concentration=20)
vonmises(3.1, concentration=100000) | vonmises(-3.1, concentration=1000)
vonmises(0.3, concentration=1.7) | normal(0.3, sd=1.7)
vonmises(3, concentration=2) | vonmises(1, concentration=0.5)
"""

EXTREME = """
normal(0, sd=1e-150) | normal(1e-150, sd=3e-150)
normal(0, sd=1e150) | normal(1e150, sd=3e150)
normal(0, sd=1e-100) | normal(0, sd=1e100)
normal(50, sd=0.01) | normal(0, sd=1)
normal(1000, sd=1) | normal(0, sd=1)
normal(1e8, sd=1e-8) | normal(100000000.00000001, sd=1e-8)
normal(1e15, sd=1) | normal(1000000000000001, sd=1)
normal(0, sd=1) | normal(1e-8, sd=1)
laplace(0, scale=1e-150) | laplace(1e-151, scale=1e-150)
laplace(0, scale=1) | laplace(1e6, scale=1)
laplace(0, scale=1e150) | normal(0, sd=1e150)
normal(0, sd=1e-150) | laplace(0, scale=1e-150)
gumbel(0, scale=1e-150) | gumbel(1e-151, scale=1e-150)
gumbel(0, scale=1) | gumbel(-20, scale=1)
gumbel(0, scale=1) | gumbel(300, scale=1)
gumbel(0, scale=1) | gumbel(0, scale=1000)
cauchy(0, scale=1e-150) | cauchy(1e-150, scale=1e-150)
cauchy(0, scale=1) | cauchy(1e10, scale=1e-10)
student_t(3, scale=1e-150) | student_t(4, scale=1e-150)
student_t(3, scale=1e100) | student_t(4, scale=1e100)
logistic(0, scale=1e-150) | logistic(1e-151, scale=1e-150)
logistic(0, scale=1e100) | normal(0, sd=1e100)
logistic(0, scale=1) | logistic(300, scale=1)
logistic(0, scale=1) | logistic(0, scale=1000)
exponential(rate=1) | exponential(rate=1.000001)
exponential(rate=1) | exponential(rate=1e-12)
exponential(rate=1e-150) | exponential(rate=3e-150)
exponential(rate=1e150) | exponential(rate=3e150)
gamma(0.001, rate=1) | gamma(0.002, rate=1)
gamma(0.001, rate=1) | gamma(1000, rate=1)
gamma(1000, rate=1) | gamma(0.001, rate=1)
gamma(1e6, rate=1) | gamma(1000001, rate=1)
gamma(1e6, rate=1) | gamma(1000000, rate=1.0001)
gamma(1e6, rate=1e6) | normal(1, sd=0.001)
gamma(1e6, rate=1) | lognormal(13.8155, sd=0.001)
gamma(100, rate=1) | gamma(100.001, rate=1)
gamma(2, scale=1e-150) | gamma(3, scale=1e-150)
gamma(2, scale=1e150) | gamma(3, scale=1e150)
gamma(2, scale=1e-100) | weibull(2, scale=1e-100)
gamma(0.01, rate=1) | weibull(0.5, scale=1)
gamma(0.01, rate=1) | lognormal(0, sd=5)
inverse_gamma(1e6, scale=1e6) | inverse_gamma(1000001, scale=1e6)
inverse_gamma(0.001, scale=1) | inverse_gamma(0.002, scale=1)
inverse_gamma(3, scale=1e-100) | inverse_gamma(4, scale=1e-100)
beta(1000, 1000) | beta(1000.5, 1000.5)
beta(1e6, 1e6) | beta(1000001, 1000000)
beta(1e6, 0.001) | beta(100000, 0.002)
beta(0.001, 1e6) | beta(0.002, 1e6)
beta(1e6, 1e6) | uniform(0, 1)
beta(0.001, 0.001) | beta(0.0010001, 0.001)
beta(0.001, 0.001) | kumaraswamy(0.5, 0.5)
beta(1e5, 2) | normal(1, sd=0.001)
weibull(0.01, scale=1) | weibull(0.02, scale=1)
weibull(0.1, scale=1) | weibull(0.2, scale=1)
weibull(1000, scale=1) | weibull(1001, scale=1)
weibull(2, scale=1e-150) | weibull(2.2, scale=1e-150)
weibull(2, scale=1e150) | weibull(2.2, scale=1e150)
frechet(1000, scale=1) | frechet(1001, scale=1)
lognormal(300, sd=0.5) | lognormal(300.1, sd=0.5)
lognormal(-300, sd=0.5) | lognormal(-300, sd=50)
lognormal(0, sd=20) | lognormal(0, sd=21)
lognormal(0, sd=1e-6) | gamma(10, rate=10)
lognormal(0, sd=1e-6) | normal(1, sd=1e-6)
inverse_gaussian(1, shape=1e6) | inverse_gaussian(1.00001, shape=1e6)
inverse_gaussian(1, shape=0.001) | inverse_gaussian(2, shape=0.002)
inverse_gaussian(1, shape=1e6) | normal(1, sd=0.001)
pareto(scale=1e100, shape=3) | pareto(scale=1e99, shape=2)
pareto(scale=1e-100, shape=3) | pareto(scale=1e-101, shape=2)
continuous_bernoulli(logit=1e-6) | continuous_bernoulli(logit=2e-6)
continuous_bernoulli(logit=700) | continuous_bernoulli(logit=800)
continuous_bernoulli(logit=1e6) | continuous_bernoulli(logit=-1e6)
uniform(0, 1e-150) | exponential(scale=1e-150)
uniform(1e8, 100000001) | normal(1e8, sd=1)
uniform(0, 1e150) | normal(0, sd=1e150)
loguniform(1e-150, 1e150) | loguniform(1e-160, 1e155)
loguniform(1e-100, 1e100) | lognormal(0, sd=100)
lindley(1e-6) | lindley(2e-6)
lindley(1e6) | lindley(2e6)
lindley(1e6) | exponential(rate=1e6)
lindley(1e-6) | gamma(2, rate=1e-6)
halfnormal(scale=1e-150) | halfnormal(scale=2e-150)
halfcauchy(scale=1e-100) | halfcauchy(scale=2e-100)
kumaraswamy(0.01, 100) | kumaraswamy(0.02, 100)
kumaraswamy(1000, 1000) | kumaraswamy(1001, 1000)
kumaraswamy(1000, 0.01) | kumaraswamy(1001, 0.02)
"""

NUMERIC = """
0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3) | normal(0, sd=1)
0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3) | 0.273*normal(-2.027, sd=0.274) + 0.727*normal(0.763, sd=1.144)
0.426*normal(-2.001, sd=0.299) + 0.574*normal(0.01, sd=0.418) | 0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)
0.999999*normal(0, sd=1) + 0.000001*normal(1e4, sd=1e-3) | normal(0, sd=1)
normal(0, sd=1) | 0.999999*normal(0, sd=1) + 0.000001*normal(1e4, sd=1e-3)
0.999999*normal(0, sd=1) + 0.000001*normal(0.5, sd=1e-6) | normal(0, sd=1)
normal(0, sd=1) | 0.999999*normal(0, sd=1) + 0.000001*normal(0.5, sd=1e-6)
0.5*normal(0, sd=1e-8) + 0.5*normal(0, sd=1) | normal(0, sd=1)
normal(0, sd=1) | 0.5*normal(0, sd=1e-8) + 0.5*normal(0, sd=1)
0.5*normal(-1e6, sd=1) + 0.5*normal(1e6, sd=1) | normal(0, sd=1e6)
normal(0, sd=1) | 0.5*normal(-30, sd=1) + 0.5*normal(30, sd=1)
normal(0, sd=1) | 0.5*normal(-0.001, sd=1) + 0.5*normal(0.001, sd=1)
0.5*normal(0, sd=1) + 0.5*normal(1, sd=1) | 0.5000001*normal(0, sd=1) + 0.4999999*normal(1, sd=1)
0.5*normal(0, sd=1) + 0.5*normal(3, sd=1) | 0.5*normal(0, sd=1) + 0.5*normal(3.000001, sd=1)
normal(0, sd=0.01) | 0.5*normal(-5, sd=0.01) + 0.5*normal(5, sd=3)
0.5*normal(0, sd=1) + 0.5*cauchy(0, scale=1) | cauchy(0, scale=2)
0.5*laplace(0, scale=1) + 0.5*laplace(3, scale=0.1) | laplace(0, scale=2)
normal(0, sd=1) | 0.5*laplace(0, scale=1) + 0.5*laplace(3, scale=0.1)
0.5*gamma(2, rate=1) + 0.5*gamma(20, rate=2) | gamma(3, rate=0.5)
0.5*gamma(0.01, rate=1) + 0.5*gamma(20, rate=2) | gamma(0.1, rate=0.5)
gamma(3, rate=0.5) | 0.5*gamma(2, rate=1) + 0.5*lognormal(0, sd=1)
0.5*exponential(rate=1) + 0.5*exponential(rate=1000) | exponential(rate=2)
0.5*beta(0.5, 0.5) + 0.5*uniform(0, 1) | uniform(0, 1)
uniform(0, 1) | 0.5*beta(0.5, 0.5) + 0.5*uniform(0, 1)
0.5*beta(0.01, 0.02) + 0.5*uniform(0, 1) | beta(2, 2)
0.5*uniform(0, 1) + 0.5*uniform(2, 3) | normal(0, sd=1)
0.5*uniform(0, 1) + 0.5*uniform(2, 3) | uniform(0, 3)
0.9*uniform(0, 1) + 0.1*uniform(0.5, 0.500001) | uniform(0, 1)
0.5*logistic(0.3, scale=0.59) + 0.5*logistic(0, scale=0.5) | gumbel(-1.1, scale=0.6)
0.5*gumbel(0, scale=1) + 0.5*gumbel(1, scale=1) | gumbel(0, scale=0.9)
0.5*student_t(0.05) + 0.5*normal(0, sd=1) | student_t(0.07)
0.5*inverse_gamma(0.02, scale=1) + 0.5*gamma(2, rate=1) | inverse_gamma(0.03, scale=2)
0.5*gamma(0.001, rate=1) + 0.5*gamma(2, rate=1) | gamma(0.002, rate=1)
0.5*weibull(0.05, scale=1) + 0.5*exponential(rate=1) | weibull(0.1, scale=1)
truncated(gamma(0.01, rate=1), 0, 5) | gamma(0.02, rate=1)
truncated(beta(0.5, 0.5), 0.2, 1) | uniform(0, 1)
truncated(lognormal(0, sd=1), 0, 3) | gamma(2, rate=1)
0.5*student_t(2.05) + 0.5*normal(4, sd=0.1) | normal(0, sd=3)
0.5*student_t(3) + 0.5*student_t(1.2, 4, scale=0.3) | student_t(1)
0.5*inverse_gamma(1.1, scale=1) + 0.5*gamma(2, rate=1) | exponential(rate=1)
truncated(normal(0, sd=1), -1, 2) | normal(0, sd=1)
truncated(normal(0, sd=1), -1, 2) | uniform(-1, 2)
truncated(normal(0, sd=1), -1, 2) | truncated(normal(0.5, sd=2), -1, 3)
truncated(normal(0, sd=1), -1, 2) | truncated(normal(0.0000001, sd=1), -1, 2)
truncated(normal(0, sd=1), 8, inf) | exponential(rate=1)
truncated(normal(0, sd=1), 35, inf) | pareto(scale=35, shape=100)
truncated(normal(0, sd=1), 8, 9) | uniform(8, 9)
truncated(gamma(2, rate=1), 1, 5) | gamma(2, rate=1)
truncated(cauchy(0, scale=1), 0, inf) | halfcauchy(scale=1) | 0
truncated(student_t(3), 0, inf) | exponential(rate=1)
uniform(0, 1) | truncated(normal(0, sd=1), -1, 2)
normal(0, sd=1) | 0.5*student_t(3) + 0.5*normal(2, sd=1)
logistic(0, scale=1) | 0.5*logistic(0.3, scale=1) + 0.5*normal(0, sd=3)
lognormal(0, sd=3) | 0.5*gamma(2, rate=1) + 0.5*lognormal(1, sd=2)
lognormal(0, sd=5) | 0.5*gamma(2, rate=1) + 0.5*exponential(rate=0.001)
0.5*pareto(scale=1, shape=2.1) + 0.5*normal(3, sd=1) | normal(0, sd=2)
0.5*inverse_gaussian(1, shape=2) + 0.5*inverse_gaussian(5, shape=3) | gamma(1, rate=0.3)
0.99*vonmises(0, concentration=3) + 0.01*vonmises(3, concentration=300) | vonmises(0, concentration=1)
0.5*normal(0, sd=1e-150) + 0.5*normal(1e-149, sd=1e-150) | normal(0, sd=1e-149)
0.5*normal(1e9, sd=1) + 0.5*normal(1000000003, sd=0.5) | normal(1e9, sd=2)
"""

DISCRETE = """
binomial(5, 0.3) | binomial(7, 0.4)
binomial(100, 0.3) | binomial(150, 0.2)
binomial(1000, 0.3) | binomial(1000, 0.300000001)
binomial(1000, 0.3) | binomial(1001, 0.3)
binomial(5, 0.3) | poisson(1.5)
binomial(5, 0) | binomial(5, 0.3)
binomial(5, 1) | binomial(5, 0.3)
binomial(5, 1) | poisson(2)
bernoulli(0.3) | poisson(0.5)
bernoulli(1e-12) | bernoulli(2e-12)
bernoulli(1e-300) | bernoulli(0.5)
bernoulli(0.5) | bernoulli(1e-300)
bernoulli(0.3) | binomial(4, 0.2)
bernoulli(0.3) | geometric(0.6, start=0)
poisson(0.001) | poisson(0.002)
poisson(1000) | poisson(1001)
poisson(1e6) | poisson(1000001)
poisson(1e6) | poisson(1000000.001)
poisson(4) | geometric(0.2, start=0)
poisson(4) | negative_binomial(2.5, success=0.4)
poisson(1000) | negative_binomial(1000, success=0.5)
poisson(4) | negative_binomial(1e9, success=0.999999996)
geometric(0.3, start=0) | poisson(4)
geometric(0.001, start=0) | poisson(1000)
geometric(0.3, start=1) | geometric(0.4, start=0)
geometric(0.3, start=0) | negative_binomial(2.5, success=0.4)
geometric(0.001, start=0) | geometric(0.0010000001, start=0)
negative_binomial(2.5, success=0.4) | negative_binomial(3.5, success=0.3)
negative_binomial(2.5, success=0.4) | negative_binomial(2.5000001, success=0.4)
negative_binomial(0.01, success=0.1) | negative_binomial(0.02, success=0.1)
negative_binomial(1000, success=0.5) | negative_binomial(900, success=0.5)
negative_binomial(2.5, failure=0.6) | poisson(4)
negative_binomial(2.5, success=0.4) | geometric(0.3, start=0)
categorical([0.2, 0.3, 0.5]) | categorical([0.5, 0.3, 0.2])
categorical([0.2, 0.3, 0.5]) | categorical([0.200000001, 0.3, 0.499999999])
categorical([0.2, 0, 0.8]) | categorical([0.5, 0.3, 0.2])
categorical([1e-300, 0.5, 0.5]) | categorical([0.5, 0.25, 0.25])
categorical([0.2, 0.3, 0.5]) | poisson(1)
categorical([0.2, 0.3, 0.5]) | binomial(2, 0.4)
0.5*poisson(3) + 0.5*poisson(30) | negative_binomial(1.5, success=0.1)
0.5*poisson(3) + 0.5*poisson(30) | poisson(16)
poisson(16) | 0.5*poisson(3) + 0.5*poisson(30)
0.999999*poisson(3) + 0.000001*poisson(3000) | poisson(3)
0.5*geometric(0.01, start=0) + 0.5*poisson(1e5) | geometric(0.0001, start=0)
0.5*binomial(10, 0.5) + 0.5*poisson(1e4) | poisson(5000)
dirichlet([1, 2, 3]) | dirichlet([2, 2, 2])
dirichlet([0.001, 0.002, 3]) | dirichlet([0.5, 0.5, 0.5])
dirichlet([100, 100, 100, 100]) | dirichlet([100.01, 100.01, 100.01, 100.01])
dirichlet([1e6, 1e6]) | dirichlet([1000001, 1e6])
dirichlet([1, 2, 3]) | dirichlet([1.000000001, 2, 3])
mvnormal([0, 1], cov=[[2, 0.3], [0.3, 1]]) | mvnormal([1, 0], cov=[[1, -0.4], [-0.4, 3]])
mvnormal([0, 1], cov=[[2, 0.3], [0.3, 1]]) | mvnormal([1e-8, 1], cov=[[2, 0.3], [0.3, 1.00000001]])
mvnormal([0, 0], cov=[[1, 0.999999], [0.999999, 1]]) | mvnormal([0, 0], cov=[[1, 0], [0, 1]])
mvnormal([0, 0], cov=[[1, 0], [0, 1]]) | mvnormal([0, 0], cov=[[1, 0.999999], [0.999999, 1]])
mvnormal([0, 0], cov=[[1, 0.999999], [0.999999, 1]]) | mvnormal([0, 0], cov=[[1, 0.9999990001], [0.9999990001, 1]])
mvnormal([0, 0, 0], sd=[1e-100, 1, 1e100]) | mvnormal([1e-100, 0, 0], sd=[2e-100, 1, 1e100])
mvnormal([1, 2, 3], cov=[[4, 1, 0.5], [1, 3, 0.2], [0.5, 0.2, 2]]) | mvnormal([0, 0, 0], sd=[1, 2, 3])
product(normal(0, sd=1), gamma(2, rate=3)) | product(normal(1, sd=2), weibull(1.5, scale=2))
product(normal(0, sd=1), beta(2, 3)) | product(normal(1e-9, sd=1), beta(2.000000001, 3))
product(student_t(3), poisson(4)) | product(normal(0, sd=1), negative_binomial(2.5, success=0.4))
"""

INFINITE = """
normal(0, sd=1) | gamma(2, rate=1)
normal(0, sd=1) | uniform(-100, 100)
gamma(2, rate=1) | uniform(0, 1000)
gamma(2, rate=1) | pareto(scale=0.001, shape=1)
uniform(0, 2) | uniform(0, 1)
uniform(0, 2) | beta(2, 2)
uniform(-1, 1) | lognormal(0, sd=1)
cauchy(0, scale=1) | normal(0, sd=1)
cauchy(0, scale=1) | laplace(0, scale=1)
cauchy(0, scale=1) | logistic(0, scale=1)
cauchy(0, scale=1) | gumbel(0, scale=1)
student_t(2) | normal(0, sd=1)
student_t(1.99) | normal(0, sd=1)
student_t(1) | laplace(0, scale=1)
student_t(0.9) | logistic(0, scale=1)
student_t(5) | gumbel(0, scale=1)
normal(0, sd=1) | truncated(normal(0, sd=1), -30, 30)
laplace(0, scale=1) | gumbel(0, scale=1)
laplace(0, scale=2) | gumbel(0, scale=1)
logistic(0, scale=1) | gumbel(0, scale=1)
pareto(scale=1, shape=1) | exponential(rate=1)
pareto(scale=1, shape=2) | normal(0, sd=1)
pareto(scale=1, shape=0.9) | gamma(2, rate=1)
pareto(scale=1, shape=0.5) | pareto(scale=2, shape=0.5)
inverse_gamma(1, scale=1) | exponential(rate=1)
inverse_gamma(2, scale=1) | normal(0, sd=1)
inverse_gamma(2, scale=1) | halfnormal(scale=1)
inverse_gamma(0.5, scale=1) | weibull(0.5, scale=1)
frechet(1, scale=1) | gamma(2, rate=1)
frechet(2, scale=1) | rayleigh(scale=1)
halfcauchy(scale=1) | exponential(rate=1)
halfcauchy(scale=1) | weibull(1, scale=1)
lognormal(0, sd=1) | gumbel(0, scale=-1) | skip
exponential(rate=1) | inverse_gamma(2, scale=1)
gamma(1, rate=1) | frechet(1, scale=1)
gamma(0.9, rate=1) | inverse_gamma(2, scale=1)
gamma(1.1, rate=1) | inverse_gaussian(1, shape=1) | finite
weibull(1, scale=1) | inverse_gamma(1, scale=1)
weibull(0.5, scale=1) | frechet(0.5, scale=1)
halfnormal(scale=1) | inverse_gaussian(1, shape=1)
uniform(0, 1) | inverse_gamma(2, scale=1)
uniform(0, 1) | frechet(1, scale=1)
uniform(0, 1) | inverse_gaussian(1, shape=1)
beta(1, 2) | inverse_gamma(1, scale=1)
beta(0.5, 2) | inverse_gaussian(1, shape=1)
lognormal(0, sd=1) | weibull(1, scale=1) | finite
0.999999*normal(0, sd=1) + 0.000001*cauchy(0, scale=1) | normal(0, sd=1)
0.5*normal(0, sd=1) + 0.5*student_t(2) | normal(0, sd=10)
0.5*normal(0, sd=1) + 0.5*student_t(2) | 0.5*normal(0, sd=1) + 0.5*normal(3, sd=10)
cauchy(0, scale=1) | 0.5*normal(0, sd=1) + 0.5*laplace(3, scale=10)
truncated(cauchy(0, scale=1), 0, inf) | exponential(rate=1)
truncated(student_t(2), 0, inf) | normal(0, sd=1)
0.5*uniform(0, 1) + 0.5*uniform(2, 3) | uniform(0, 2.5)
0.999999999*uniform(0, 1) + 0.000000001*uniform(2, 3) | uniform(0, 2)
normal(0, sd=1) | 0.5*uniform(-10, 10) + 0.5*uniform(-20, 20)
uniform(0, 3) | 0.5*uniform(0, 1) + 0.5*uniform(2, 3)
product(normal(0, sd=1), gamma(2, rate=1)) | product(normal(0, sd=1), pareto(scale=0.001, shape=1))
product(normal(0, sd=1), exponential(rate=1)) | product(normal(0, sd=1), uniform(0, 5))
product(poisson(3), poisson(3)) | product(poisson(3), binomial(9, 0.5))
poisson(3) | binomial(1000, 0.1)
poisson(3) | geometric(0.2, start=1)
geometric(0.3, start=0) | geometric(0.3, start=1)
binomial(7, 0.3) | binomial(5, 0.3)
binomial(5, 0.3) | binomial(5, 0)
binomial(5, 0.3) | binomial(5, 1)
bernoulli(0.3) | bernoulli(1)
bernoulli(0.3) | geometric(1, start=0)
negative_binomial(2, success=0.5) | bernoulli(0.4)
poisson(3) | normal(3, sd=1)
normal(3, sd=1) | poisson(3)
categorical([0.5, 0.5]) | categorical([1, 0])
product(normal(0, sd=1), uniform(0, 2)) | product(normal(0, sd=1), uniform(0, 1))
product(student_t(2), normal(0, sd=1)) | product(normal(0, sd=1), normal(0, sd=1))
vonmises(0, concentration=1) | uniform(-3, 3)
"""

ENTROPIES = """
normal(0.3, sd=1.7)
laplace(0.3, scale=1.7)
logistic(0.3, scale=1.7)
gumbel(0.3, scale=1.7)
cauchy(0.3, scale=1.7)
student_t(3.5, 0.3, scale=1.7)
student_t(0.1)
vonmises(0.3, concentration=1.7)
gamma(2.3, rate=3.1)
gamma(0.001, rate=3.1)
gamma(1e6, rate=3.1)
exponential(rate=3.1)
chi2(3.3)
chi(3.3)
weibull(1.5, scale=2.2)
frechet(1.5, scale=2.2)
inverse_gamma(2.3, scale=3.1)
inverse_gamma(0.05, scale=3.1)
halfnormal(scale=1.7)
rayleigh(scale=1.7)
maxwell(scale=1.7)
generalized_gamma(2.3, power=1.3, scale=0.9)
lognormal(0.3, sd=0.7)
inverse_gaussian(1.3, shape=2.1)
inverse_gaussian(1.3, shape=2000)
pareto(scale=1.7, shape=2.5)
pareto(scale=1.7, shape=0.1)
halfcauchy(scale=1.7)
lindley(1.3)
lindley(1e-6)
beta(2.3, 3.1)
beta(0.001, 0.002)
kumaraswamy(2.3, 3.1)
continuous_bernoulli(logit=1.3)
continuous_bernoulli(logit=1e-9)
uniform(-1, 3)
loguniform(1, 3)
poisson(4.3)
poisson(1000)
bernoulli(0.3)
binomial(20, 0.3)
geometric(0.3, start=1)
negative_binomial(3.5, success=0.3)
categorical([0.2, 0.3, 0.5])
0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)
truncated(normal(0, sd=1), -1, 2)
0.5*student_t(2.05) + 0.5*normal(4, sd=0.1)
0.5*poisson(3) + 0.5*poisson(30)
"""

CROSS_ENTROPIES = """
normal(0.3, sd=1.7) | laplace(0, scale=1)
gamma(2.3, rate=3.1) | lognormal(0, sd=1)
gamma(2.3, rate=3.1) | normal(0, sd=1)
weibull(1.5, scale=2.2) | gamma(2, rate=1)
beta(2.3, 3.1) | uniform(-1, 2)
lognormal(0.3, sd=0.7) | inverse_gamma(2, scale=1)
student_t(3.5) | normal(0, sd=1)
student_t(2.05) | normal(0, sd=1)
poisson(4.3) | geometric(0.3, start=0)
poisson(4.3) | poisson(7.1)
binomial(5, 0.3) | binomial(7, 0.4)
uniform(0, 1) | beta(2, 3)
cauchy(0, scale=1) | student_t(3)
normal(0, sd=1) | 0.5*normal(-3, sd=1) + 0.5*normal(3, sd=1)
logistic(0, scale=1) | gumbel(0, scale=2)
inverse_gaussian(1.3, shape=2.1) | gamma(2, rate=1)
vonmises(0.3, concentration=1.7) | vonmises(1, concentration=3)
kumaraswamy(2, 3) | beta(1.5, 2)
product(normal(0, sd=1), uniform(0, 2)) | product(normal(0, sd=1), uniform(0, 1)) | inf
cauchy(0, scale=1) | normal(0, sd=1) | inf
uniform(0, 2) | uniform(0, 1) | inf
"""


def _number(value):
    text = repr(float(value))
    return text.removesuffix(".0")


def _lines(text):
    for line in text.strip().splitlines():
        yield [part.strip() for part in line.split("|")]


def cases():
    """Yields (group, quantity, p, q, near, known value), every pair that is asked of the library."""
    for form, base, other in FAMILIES:
        a = form.format(*map(_number, base))
        b = form.format(*map(_number, other))
        for first, second in ((a, b), (b, a)):
            if first.startswith("pareto") and first == b:
                continue  # outside the support
            yield "family", "kl", first, second, False, False
        for relative in (1e-3, 1e-6, 1e-9):
            moved = [v * (1 + relative * (-1) ** i) for i, v in enumerate(base)]
            if a.startswith("pareto"):
                moved[0] = base[0] * (1 - relative)
            near = not a.startswith("pareto")
            yield "near", "kl", a, form.format(*map(_number, moved)), near, False
    for group, text in (
        ("cross", CROSS),
        ("extreme", EXTREME),
        ("numeric", NUMERIC),
        ("discrete", DISCRETE),
        ("infinite", INFINITE),
    ):
        for p, q, *mark in _lines(text):
            if mark == ["skip"]:
                continue
            infinite = (group == "infinite" and mark != ["finite"]) or mark == ["inf"]
            known = mark[0] if mark and mark[0] not in ("finite", "inf") else infinite and "inf"
            yield group, "kl", p, q, False, known
    for (p,) in _lines(ENTROPIES):
        yield "entropy", "entropy", p, p, False, False
    for p, q, *mark in _lines(CROSS_ENTROPIES):
        yield "entropy", "cross_entropy", p, q, False, mark[0] if mark else False


def write(only=None):
    """Recomputes the table."""
    from mpmath import mp

    from tests import reference

    old = {}
    if TABLE.exists():
        old = {(r["quantity"], r["p"], r["q"]): r for r in read_table()}
    rows = []
    for group, quantity, p, q, near, given in cases():
        known = old.get((quantity, p, q))
        if known and (only is None or not re.search(only, p + "|" + q)):
            rows.append({**known, "group": group})
            continue
        start = time.process_time()
        if given:
            value = given
        else:
            try:
                value = _value(reference, mp, quantity, p, q, near)
            except Exception as error:
                print("FAILED", quantity, p, "|", q, repr(error)[:200], flush=True)
                continue
        rows.append({"group": group, "quantity": quantity, "p": p, "q": q, "value": value})
        spent = time.process_time() - start
        if spent > 4:
            print(f"{spent:.1f}s {p} | {q} = {value}", flush=True)
        if len(rows) % 25 == 0:
            _save(rows)
    _save(rows)


def _value(reference, mp, quantity, p, q, near):
    a = reference.read(p)
    b = reference.read(q)
    if quantity == "kl":
        value = reference.kl(a, b, near=near)
    else:
        value = reference.cross_entropy(a, b)
    return mp.nstr(value, 25, min_fixed=0, max_fixed=0)


def _save(rows):
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    about = (
        "python -m benchmarks.audit --write; tests/reference.py, 60 working digits, agreed to 1e-28"
    )
    TABLE.write_text(f'{{"source": {json.dumps(about)}, "digits": 25, "rows": [\n{lines}\n]}}\n')


# --- running ---------------------------------------------------------------------------------


def verdict(row, estimate):
    """Returns (problem or None, kind, relative error, |error| / stated bound)."""
    from mpmath import mp

    kind, value = estimate.kind, estimate.value
    if row["value"] == "inf":
        if kind == "infinite" and value == math.inf and estimate.reason:
            return None, kind, 0.0, 0.0
        return f"should be infinite, is {estimate}", kind, math.inf, math.inf
    truth = mp.mpf(row["value"])
    if kind == "infinite":
        return f"should be {row['value']}, is infinite: {estimate.reason}", kind, math.inf, math.inf
    error = abs(mp.mpf(value) - truth)
    relative = float(error / abs(truth)) if truth != 0 else float(error)
    if kind == "exact":
        if row["quantity"] == "kl" and value < 0:
            return f"negative exact {value!r}", kind, relative, 0.0
        bad = not relative < EXACT
        return (
            (f"{value!r}, truth {row['value']}, relative {relative:.1e}" if bad else None),
            kind,
            relative,
            0.0,
        )
    if kind == "unresolved":
        return None, kind, relative, 0.0
    bound = estimate.standard_error
    share = float(error / bound) if bound > 0 else (0.0 if error == 0 else math.inf)
    factor = 4.0 if kind == "estimate" else 1.0
    bad = not share <= factor
    text = f"{value!r} ± {bound:.2e}, truth {row['value']}, error {float(error):.2e} = {share:.3g} bounds"
    return (text if bad else None), kind, relative, share


def read_table():
    """Returns the rows of the table."""
    return json.loads(TABLE.read_text())["rows"]


def ask(row, **options):
    from kullback.api.measure import cross_entropy, entropy, kl_divergence

    if row["quantity"] == "entropy":
        return entropy(row["p"], **options)
    return {"kl": kl_divergence, "cross_entropy": cross_entropy}[row["quantity"]](
        row["p"], row["q"], **options
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.only)
        return
    run(arguments.only)


def run(only):
    """Measures every row, by the plan and with each forced method, and writes the report."""
    from kullback.core.errors import KullbackError

    rows = read_table()
    found = defaultdict(list)
    problems = []
    for row in rows:
        if only and not re.search(only, row["p"] + "|" + row["q"]):
            continue
        for method in (None, "quadrature", "sum"):
            options = {} if method is None else {"method": method}
            start = time.process_time()
            try:
                estimate = ask(row, **options)
            except KullbackError as error:
                if method is None:
                    problems.append((row, method, f"{type(error).__name__}: {error}"))
                continue
            except Exception as error:
                problems.append((row, method, f"crash {error!r}"))
                continue
            spent = time.process_time() - start
            problem, kind, relative, share = verdict(row, estimate)
            found[method or "plan", row["group"], kind].append((relative, share, spent))
            if problem:
                problems.append((row, method, problem))
            elif spent > 2:
                print(f"slow {spent:.1f}s {method} {row['p']} | {row['q']}", flush=True)
            if kind == "unresolved" and only:
                print("unresolved", method, row["p"], "|", row["q"], estimate.reason)
    for row, method, problem in problems:
        print(
            f"[{row['group']}/{row['quantity']}/{method or 'plan'}] {row['p']} | {row['q']}: {problem}"
        )
    if not only:
        _report(rows, found, problems)


def _report(rows, found, problems):
    lines = [
        "# Audit against 25-digit references", "",
        f"{len(rows)} rows of tests/data/references.json, measured by the plan and with quadrature and sum forced.",
        "", "| method | group | kind | cases | worst relative error | worst error / stated bound | CPU ms, median |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for (method, group, kind), values in sorted(found.items()):
        times = sorted(v[2] for v in values)
        relative = max(v[0] for v in values) if kind in ("exact", "numeric") else 0.0
        share = f"{max(v[1] for v in values):.2g}" if kind in ("numeric", "estimate") else ""
        lines.append(
            f"| {method} | {group} | {kind} | {len(values)} | {relative:.1e} | {share} | {1e3 * times[len(times) // 2]:.1f} |"
        )
    lines += ["", f"Failures: {len(problems)}", ""]
    lines += [
        f"- {r['group']}, {m or 'plan'}: `{r['quantity']}({r['p']}, {r['q']})`: {t}"
        for r, m, t in problems
    ]
    REPORT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
