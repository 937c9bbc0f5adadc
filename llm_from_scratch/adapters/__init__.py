"""What is added to a model that stays as it is: few parameters that learn, beside many that do not.

One technique a file. Each is a replacement of modules (`Module.replace`) or stands before the text (a decoder's
`prefix`), so that the loop, the decoder, snapshots and generation know of none. A model may have several, each with a
name; `activate` says which of them act.
"""

from .adapted import activate, active_names, base_of, names, remove
from .bitfit import train_biases
from .bottleneck import add_bottleneck
from .combining import combine
from .ia3 import add_ia3
from .lora import add_lora
from .merging import merge_adapter, unmerge_adapter
from .peft_reading import load_adapter
from .peft_writing import check_adapter, save_adapter
from .prefix import add_prefix
from .prompt import add_prompt

__all__ = [
    "activate",
    "active_names",
    "add_bottleneck",
    "add_ia3",
    "add_lora",
    "add_prefix",
    "add_prompt",
    "base_of",
    "check_adapter",
    "combine",
    "load_adapter",
    "merge_adapter",
    "names",
    "remove",
    "save_adapter",
    "train_biases",
    "unmerge_adapter",
]
