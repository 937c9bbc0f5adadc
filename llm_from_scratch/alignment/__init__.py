"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""
