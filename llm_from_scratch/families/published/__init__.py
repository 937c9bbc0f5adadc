"""What is published with a model, and how to read it: `config.py` its config.json, `weights.py` its tensors' names,
`layouts.py` how they lie."""
