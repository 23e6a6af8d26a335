"""Layer 10: results as pages that explain themselves. Figures are data first, then drawn as SVG."""

from kullback.reports._demo import demo_report
from kullback.reports._diff import diff_report
from kullback.reports._fit import fit_report
from kullback.reports._kl import kl_report
from kullback.reports._verification import verification_report

__all__ = ["demo_report", "diff_report", "fit_report", "kl_report", "verification_report"]
