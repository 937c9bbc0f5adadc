"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""

from .apa import apa_loss, awr_loss
from .crlft import crlft_loss
from .dpo import dpo_loss
from .hinge import hinge_loss
from .ipo import ipo_loss
from .kto import kto_loss
