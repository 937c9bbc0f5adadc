"""Files: atomic writes, JSON lines, downloads with checksums and a cache.

Nothing here knows what the bytes mean.
"""
