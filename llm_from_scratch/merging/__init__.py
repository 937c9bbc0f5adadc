"""One model out of several: soups, means, arcs, task vectors, elections. Of weights alone, without training."""

from .averages import linear, wise_ft
from .dropping import dare
from .election import ties
from .fisher_weights import fisher, fisher_information
from .fusing import fuse
from .methods import METHODS
from .running import Merged, run_recipe
from .soups import greedy_choice, greedy_soup, uniform_soup
from .spherical import slerp
from .stacking import depth_up_scale, passthrough, stack
from .stock import model_stock
from .task_vectors import task_arithmetic

__all__ = [
    "METHODS",
    "Merged",
    "dare",
    "depth_up_scale",
    "fisher",
    "fisher_information",
    "fuse",
    "greedy_choice",
    "greedy_soup",
    "linear",
    "model_stock",
    "passthrough",
    "run_recipe",
    "slerp",
    "stack",
    "task_arithmetic",
    "ties",
    "uniform_soup",
    "wise_ft",
]
