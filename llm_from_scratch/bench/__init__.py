"""Speed, measured beside the peers that are installed: `python -m llm_from_scratch bench`.

Every contender runs in a child process of its own (so that nobody's threads get in another's way) and they take turns,
round by round; what is reported is the median over rounds and its ratio to the peer's.
"""
