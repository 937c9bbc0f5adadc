"""Data: corpora, token files, packing and batches.

Text comes in, batches of ids go out; nothing here knows a model.
"""
