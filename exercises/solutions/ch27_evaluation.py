"""Chapter 27 exercises: measuring a model, and knowing how sure the measurement is.

Plain NumPy, pure functions: nothing that was handed in is changed. Log-probabilities are natural logarithms.
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=1,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand: nats, not bits": "Log-probabilities are natural logarithms: divide by log 2.",
        "by_hand: per token, not per byte": "Divide by the bytes that the scored tokens stand for, not by their count.",
        "unscored: the bytes of a token that was not scored were counted": (
            "A token without a probability must be left out of both sums, or the number comes out too small."
        ),
        "unscored: a token that was not scored was added": "Add the log-probabilities where `scored` is True only.",
    },
    why="""A token is whatever the tokenizer says, so a loss per token compares models of one tokenizer only: with
    longer tokens there are fewer of them, and each is harder to guess. A byte is a byte. Bits per byte is also what
    an arithmetic coder that used the model would need for the text: no vocabulary can cheat it.""",
)
def bits_per_byte(log_probabilities: np.ndarray, token_bytes: np.ndarray, scored: np.ndarray) -> float:
    """How many bits a model needs for each byte of a text.

    log_probabilities: (T,), of each token of the text; what stands where nothing was scored has no meaning
    token_bytes: (T,) integers, how many bytes each token stands for; 0 for special tokens
    scored: (T,) of bool, which tokens were scored (the first one mostly was not: nothing stands before it)
    returns: a Python float, the bits of all scored tokens together by their bytes together

    >>> bits_per_byte(np.log([0.9, 0.5, 0.25]), np.array([5, 1, 2]), np.array([False, True, True]))     # 1 + 2 bits
    1.0
    """
    return float(-log_probabilities[scored].sum() / np.log(2) / token_bytes[scored].sum())


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    hints={
        "a_token_across: a token that begins in the context was not scored": (
            "It is scored if it reaches past the border, wherever it begins."
        ),
        "up_to_the_border: a token that ends at the border was scored": (
            "A token that ends exactly where the context ends belongs to the context."
        ),
        "several_bytes: characters were counted, not bytes": (
            "Pieces are bytes: the border stands after len(context.encode()) of them."
        ),
    },
    why="""The usual shortcut encodes the context alone, counts its tokens, and scores what comes after so many tokens
    of the whole. It is right as long as the context's encoding is a beginning of the whole's, and silently wrong
    where a token joins the two: then the token that decides is not scored, or one of the context's is.""",
)
def scored_tokens(pieces: list[bytes], context: str) -> np.ndarray:
    """Which tokens of context + choice, encoded as one text, belong to the choice.

    pieces: the bytes of each token; put together they are the whole text in UTF-8
    context: what the text begins with
    returns: (T,) of bool, True for each token that reaches past the end of the context

    >>> scored_tokens([b"The", b" cats", b"!"], "The cat")                # " cats" begins before the border
    array([False,  True,  True])
    """
    ends = np.cumsum([len(piece) for piece in pieces])
    return ends > len(context.encode("utf-8"))


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "sums: the mean over tokens, not the sum": 'With "none" nothing is divided: the score is log p(choice).',
        "lengths: the tokens were counted in place of what was asked for": (
            '"characters" and "bytes" are of the choice\'s text as it is given, its space included.'
        ),
        "lengths: multiplied by the length": "Divide: a log-probability per token, per character, per byte.",
        "first_of_equals: the last of equal scores was taken": "np.argmax takes the first of equals.",
    },
    why="""A longer choice is a product of more probabilities and loses for its length alone. Dividing by the length is
    no law, only a remedy, and the three lengths differ where languages, digits and rare words come in. A score
    should therefore say what it was divided by; one well-known harness calls the score by characters "acc_norm".""",
)
def choose(log_probabilities: list[np.ndarray], choices: list[str], normalize: str) -> tuple[np.ndarray, int]:
    """The score of each choice, and the place of the best one.

    log_probabilities: for each choice an array, of its scored tokens
    choices: the text of each
    normalize: "none", or what the sum is divided by: "tokens" (that were scored), "characters" or "bytes" (in UTF-8)
    returns: the scores, an array of floats; and the place of the largest, an int (of equal ones the first)

    >>> choose([np.array([-1.0, -2.0]), np.array([-2.0])], [" a cat", " dog"], "characters")
    (array([-0.5, -0.5]), 0)
    """
    lengths = {
        "none": [1 for _ in choices],
        "tokens": [len(values) for values in log_probabilities],
        "characters": [len(choice) for choice in choices],
        "bytes": [len(choice.encode("utf-8")) for choice in choices],
    }[normalize]
    scores = np.array([values.sum() / length for values, length in zip(log_probabilities, lengths)])
    return scores, int(scores.argmax())


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "by_hand_of_pairs: the difference is b - a": "The first minus the second.",
        "interval: half of the share on each side was taken for the whole": (
            "95 % lie between the quantiles 0.025 and 0.975 of the resampled means."
        ),
        "pairs: the two were drawn apart from each other": (
            "An item is drawn with both of its scores: take the differences first, then draw."
        ),
        "chance: the measured difference itself was not counted": (
            "It is one of the outcomes that chance could have made: add 1 above and below, and the share is never 0."
        ),
        "chance: the resampled means were not moved to 0": (
            "They lie around the measured difference. Under 'no difference' they would lie around 0: subtract it."
        ),
        "chance: one side only": "As far from 0 in either direction: compare absolute values.",
    },
    why="""Two models are asked the same items, and items differ more than models do: some are easy for both. The
    difference item by item takes that away, which is worth as much as many more items. What is left is the
    question whether a handful of items decided; the bootstrap asks what other handfuls would have said.""",
)
def paired_bootstrap(a: np.ndarray, b: np.ndarray, draws: np.ndarray) -> tuple[float, tuple[float, float], float]:
    """How much better the first of two models is on the same items, and how sure that is.

    a, b: (N,), the score of each item under the two models
    draws: (R, N) integers, R times N items drawn with replacement, by their places
    returns: three things, all of Python floats:
        the mean of a - b;
        the interval in which 95 % of the R resampled means of a - b lie: their quantiles 0.025 and 0.975 (np.quantile);
        the p-value: of the R resampled means, moved so that "no difference" is their middle (minus the measured mean),
        and of the measured mean itself, the share that lies at least as far from 0 as the measured mean

    >>> paired_bootstrap(np.array([1.0, 1.0]), np.array([0.0, 1.0]), np.array([[0, 1], [1, 1], [0, 0]]))
    (0.5, (0.025, 0.975), 0.75)
    """
    differences = a - b
    value = differences.mean()
    means = differences[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    p = (1 + (abs(means - value) >= abs(value)).sum()) / (1 + len(means))
    return float(value), (float(low), float(high)), float(p)


@task(
    points=2,
    difficulty="medium",
    minutes=15,
    hints={
        "every_draw: drawn with replacement: 1 - (1 - c/n)^k": (
            "k of the n samples are drawn without replacement: once a wrong one is gone, fewer wrong ones are left."
        ),
        "edges: fewer than k wrong ones": "If fewer than k samples are wrong, every k of them hold a right one: 1.",
        "large: OverflowError": "Multiply ratios below 1, C(n-c, k)/C(n, k) = prod of 1 - k/i for i from n-c+1 to n.",
    },
    why="""With n samples a problem the plug-in estimate 1 - (1 - c/n)^k is too small on average, most of all for few
    samples, and so flatters whoever draws more of them. Counting the draws of k out of n is exact on average for any
    n of at least k, which is why a pass@k can be compared between labs that drew differently.""",
)
def pass_at_k(n: int, c: int, k: int) -> float:
    """The probability that at least one of k samples is right, estimated from n samples of which c are.

    n, c, k: whole numbers, 0 <= c <= n and 1 <= k <= n; n may be a million
    returns: a Python float, 1 - C(n - c, k) / C(n, k), where C(m, k) counts the ways to choose k of m

    >>> round(pass_at_k(5, 1, 2), 6)                       # of 10 pairs of samples, 4 hold the right one
    0.4
    """
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))
