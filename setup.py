"""What pyproject.toml cannot say: conf/ stays at the top and travels inside the package sweep."""

from setuptools import find_packages, setup

PACKAGES = ("robust", "sweep", "analysis", "robust_sweep")

setup(
    packages=[
        *find_packages(include=[*PACKAGES, *(f"{name}.*" for name in PACKAGES)]),
        "sweep.conf",
    ],
    package_dir={"sweep.conf": "conf"},
)
