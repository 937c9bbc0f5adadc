"""Right answers that look nothing like the worked ones must pass, too: a grader may not insist on one way."""

from __future__ import annotations

import pytest

from llm_from_scratch.grading.runner import Limits, grade_chapter
from llm_from_scratch.grading.tasks import find_chapters, find_exercises

RIGHT = {
    "ch02_tokenizer": """
from collections import Counter, defaultdict

def pair_counts(words):
    counts = Counter()
    for word, n in words.items():
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] += n
    return counts

def merge(ids, pair, new_id):
    out, ids = [], list(ids)[::-1]
    while ids:
        out.append(ids.pop())
        if ids and (out[-1], ids[-1]) == tuple(pair):
            ids.pop()
            out[-1] = new_id
    return out

def train(words, vocab_size):
    text = [list(word) for word in words]
    names, merges = {i: bytes([i]) for i in range(256)}, []
    for new_id in range(256, vocab_size):
        counts = defaultdict(int)
        for word in text:
            for pair in zip(word, word[1:]):
                counts[pair] += 1
        if not counts:
            return merges
        top = max(counts.values())
        best = max((p for p in counts if counts[p] == top), key=lambda p: (names[p[0]], names[p[1]]))
        names[new_id] = names[best[0]] + names[best[1]]
        merges.append(best)
        text = [merge(word, best, new_id) for word in text]
    return merges

def encode(word, merges):
    ids = [int(b) for b in word]
    for i, pair in enumerate(merges):
        ids = merge(ids, pair, 256 + i)
    return ids

def decode(ids, merges):
    def spell(i):
        if i < 0 or i >= 256 + len(merges):
            raise ValueError(i)
        return bytes([i]) if i < 256 else spell(merges[i - 256][0]) + spell(merges[i - 256][1])
    out = bytearray()
    for i in ids:
        out.extend(spell(i))
    return bytes(out)

def decode_stream(pieces):
    texts, shown = [], 0
    for n in range(1, len(pieces) + 1):
        data = b"".join(pieces[:n])
        for cut in range(4):  # hold back what may still become a character
            tail = data[len(data) - cut:]
            try:
                tail.decode()
            except UnicodeDecodeError as e:
                if e.reason != "unexpected end of data" or e.start != 0:
                    continue
                data = data[: len(data) - cut]
                break
        text = data.decode("utf-8", "replace")
        texts.append(text[shown:])
        shown = len(text)
    return texts + [b"".join(pieces).decode("utf-8", "replace")[shown:]]
""",
    "ch04_backprop": """
import numpy as np

def unbroadcast(gradient, shape):
    while gradient.ndim > len(shape):
        gradient = gradient.sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1 and gradient.shape[axis] != 1:
            gradient = gradient.sum(axis=axis, keepdims=True)
    return gradient

def matmul_vjp(gradient, a, b):
    da = np.einsum("...ij,...kj->...ik", gradient, b)
    db = np.einsum("...ij,...ik->...kj", gradient, a)
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)

def softmax_vjp(gradient, probabilities):
    y = probabilities
    jacobian = y[..., :, None] * (np.eye(y.shape[-1], dtype=y.dtype) - y[..., None, :])
    return (gradient[..., None, :] @ jacobian)[..., 0, :]

def topological_order(root, inputs):
    reached, frontier = set(), [root]
    while frontier:
        node = frontier.pop()
        if node not in reached:
            reached.add(node)
            frontier += inputs[node]
    uses = {node: 0 for node in reached}
    for node in reached:
        for parent in inputs[node]:
            uses[parent] += 1
    ready, order = [root], []
    while ready:
        node = ready.pop(0)
        order.append(node)
        for parent in inputs[node]:
            uses[parent] -= 1
            if uses[parent] == 0:
                ready.append(parent)
    return order[::-1]

def central_difference(f, x, step=1e-5):
    flat = np.asarray(x, float).ravel()
    steps = step * np.eye(flat.size)
    values = [f((flat + s).reshape(np.shape(x))) - f((flat - s).reshape(np.shape(x))) for s in steps]
    return np.array(values).reshape(np.shape(x)) / (2 * step)
""",
    "ch05_adam": """
import numpy as np, math

def adam_step(parameter, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m = m + (1 - beta1) * (gradient - m)
    v = v * beta2 + np.square(gradient) * (1 - beta2)
    c1, c2 = 1 - beta1 ** step, math.sqrt(1 - beta2 ** step)      # as PyTorch writes it
    new = parameter.copy()
    new -= (lr / c1) * m / (np.sqrt(v) / c2 + eps)
    return new, m, v

def adamw_step(parameter, gradient, m, v, step, lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
    p, m, v = adam_step(parameter * (1 - lr * weight_decay), gradient, m, v, step, lr, beta1, beta2, eps)
    return p, m, v

def clip_by_global_norm(gradients, limit):
    flat = np.concatenate([g.ravel().astype(np.float64) for g in gradients])
    norm = float(np.linalg.norm(flat))
    if norm != norm or norm == float("inf"):
        raise ValueError("non-finite")
    scale = min(1.0, limit / max(norm, 1e-300))
    return [(scale * g).astype(g.dtype) for g in gradients], norm

def cosine_schedule(step, peak, warmup_steps, total_steps, floor=0.0):
    if step < warmup_steps:
        return (step + 1) * (peak / warmup_steps)
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if step >= total_steps:
        done = 1.0
    return floor + 0.5 * (peak - floor) * (1.0 + np.cos(np.pi * done))
""",
    "ch06_layers": """
import math
import numpy as np

def embedding_backward(dy, ids, rows):
    one_hot = (ids.reshape(-1, 1) == np.arange(rows)).astype(dy.dtype)
    return one_hot.T @ dy.reshape(-1, dy.shape[-1])

def jacobian_rows(dy, x, weight, jacobian):
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape[:-1]):
        dx[i] = jacobian(x[i]).T @ (dy[i] * weight)
    return dx

def rms_norm_backward(dy, x, weight, eps=1e-6):
    def jacobian(row):
        root = math.sqrt(float(row @ row) / len(row) + eps)
        return np.eye(len(row)) / root - np.outer(row, row) / (len(row) * root**3)
    y = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + x.dtype.type(eps))
    return jacobian_rows(dy, x, weight, jacobian), (dy * y).sum(axis=tuple(range(x.ndim - 1)))

def layer_norm_backward(dy, x, weight, eps=1e-5):
    def jacobian(row):
        centre = np.eye(len(row)) - 1 / len(row)
        row = row - row.mean()
        root = math.sqrt(float(row @ row) / len(row) + eps)
        return (np.eye(len(row)) / root - np.outer(row, row) / (len(row) * root**3)) @ centre
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + x.dtype.type(eps))
    dbias = dy.sum(axis=tuple(range(x.ndim - 1)))
    return jacobian_rows(dy, x, weight, jacobian), (dy * y).sum(axis=tuple(range(x.ndim - 1))), dbias

def gelu_backward(dy, x):
    out = np.empty_like(x)
    for i, v in np.ndenumerate(x):
        out[i] = dy[i] * (0.5 * math.erfc(-v / math.sqrt(2)) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi))
    return out

def swiglu(x, gate, up, down):
    g = x @ gate
    return (g * (0.5 * (1 + np.tanh(0.5 * g))) * (x @ up)) @ down

def swiglu_backward(dy, gate, up):
    t = 0.5 * np.tanh(0.5 * gate)
    return dy * up * (0.5 + t + gate * (0.25 - t * t)), dy * gate * (0.5 + t)
""",
    "ch07_attention": """
import numpy as np

def weights_of(q, k, offset=0):
    i, j = np.arange(q.shape[-2])[:, None] + offset, np.arange(k.shape[-2])
    e = np.einsum("...td,...sd->...ts", q, k) / q.shape[-1] ** 0.5
    e = np.exp(e - e.max(axis=-1, keepdims=True, where=j <= i, initial=-1e30), where=j <= i, out=np.zeros_like(e))
    return e / e.sum(axis=-1, keepdims=True)

def attention(q, k, v):
    return np.einsum("...ts,...se->...te", weights_of(q, k), v)

def cached_attention(q, k, v, past):
    if past is None:
        past = k[..., :0, :], v[..., :0, :]
    offset = past[0].shape[-2]
    k, v = np.append(past[0], k, axis=-2), np.append(past[1], v, axis=-2)
    return np.einsum("...ts,...se->...te", weights_of(q, k, offset), v), (k, v)

def attention_backward(dy, q, k, v):
    scale = q.shape[-1] ** -0.5
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for b in np.ndindex(q.shape[:-2]):
        P = weights_of(q[b], k[b])
        for t in range(len(P)):
            p = P[t, : t + 1]
            jacobian = np.diag(p) - np.outer(p, p)
            ds = jacobian @ (v[b][: t + 1] @ dy[b][t]) * scale
            dq[b][t] = ds @ k[b][: t + 1]
            dk[b][: t + 1] += np.outer(ds, q[b][t])
            dv[b][: t + 1] += np.outer(p, dy[b][t])
    return dq, dk, dv

def online_attention(q, blocks):
    y, total = None, None
    for k, v in blocks:
        s = q @ k.T / q.shape[1] ** 0.5
        here = np.logaddexp.reduce(s, axis=1)
        mean = np.exp(s - here[:, None]) @ v
        if y is None:
            y, total = mean, here
        else:
            both = np.logaddexp(total, here)
            y = np.exp(total - both)[:, None] * y + np.exp(here - both)[:, None] * mean
            total = both
    return y, total

def merge(y1, a, y2, b):
    both = np.logaddexp(a, b)
    with np.errstate(invalid="ignore"):
        share = np.where(np.isneginf(both), 0.0, np.exp(a - both))
    return share[..., None] * y1 + (1 - share)[..., None] * y2, np.asarray(both)
""",
    "ch08_attention_variants": """
import numpy as np

def grouped_attention(q, k, v):
    share = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, share, axis=1), np.repeat(v, share, axis=1)
    scores = np.einsum("bhtd,bhsd->bhts", q, k) * q.shape[-1] ** -0.5
    scores[..., np.triu_indices(q.shape[2], 1)[0], np.triu_indices(q.shape[2], 1)[1]] = -1e30
    scores -= scores.max(-1)[..., None]
    e = np.exp(scores)
    return np.einsum("bhts,bhsd->bhtd", e / e.sum(-1)[..., None], v)

def window_mask(queries, keys, window=None, offset=0):
    mask = np.tri(queries, keys, offset, dtype=bool)
    return mask if window is None else mask & ~np.tri(queries, keys, offset - window, dtype=bool)

def rolling_write(slots, position, new):
    slots = np.array(slots)
    for token in new:
        slots[position % len(slots)] = token
        position += 1
    if position < len(slots):
        return slots, slots[:position].copy()
    return slots, np.roll(slots, -(position % len(slots)), axis=0)

def cache_bytes(key_value_heads, head_dim, tokens, windows=None, bytes_each=2):
    total = 0
    for i, heads in enumerate(key_value_heads):
        limit = windows[i] if windows else None
        total += 2 * heads * head_dim * (tokens if limit is None or limit > tokens else limit)
    return total * bytes_each
""",
    "ch09_positions": """
import math
import numpy as np

def rotate(x, positions, base=10000.0, interleaved=False):
    half = x.shape[-1] // 2
    turns = np.exp(1j * np.multiply.outer(positions, base ** -(np.arange(half) / half)))
    a, b = (x[..., ::2], x[..., 1::2]) if interleaved else np.split(x, 2, axis=-1)
    z = (a + 1j * b) * turns
    joined = np.stack([z.real, z.imag], axis=-1) if interleaved else np.stack([z.real, z.imag], axis=-2)
    return joined.reshape(x.shape).astype(x.dtype)

def neighbours_to_halves(weight, heads):
    parts = [half for head in np.split(weight, heads) for half in (head[::2], head[1::2])]
    return np.concatenate(parts)

def alibi_slopes(heads, bias_max=8.0):
    power = 2 ** math.ceil(math.log2(heads))
    steps = np.array([2.0 ** (-bias_max * (a + 1) / power) for a in range(power)])
    return steps if power == heads else np.concatenate([steps[1::2], steps[::2]])[:heads]

def dynamic_base(base, width, length, trained, factor=1.0):
    if length <= trained:
        return base
    return base * math.exp(math.log(1 + factor * (length / trained - 1)) / (1 - 2 / width))

def relative_shift(scores):
    i, j = np.indices(scores.shape[-2:])
    last = scores.shape[-1] - 1
    return np.where(j <= i, scores[..., i, np.clip(last - i + j, 0, last)], 0).astype(scores.dtype)
""",
    "ch17_long_convolutions": """
import numpy as np

def fft_convolution(x, h):
    T, n = len(x), 1
    while n < 2 * len(x) - 1:
        n *= 2
    return np.fft.ifft(np.fft.fft(x, n, axis=0) * np.fft.fft(h, n, axis=0), axis=0).real[:T].astype(x.dtype)

def fft_convolution_backward(dy, x, h):
    back = dy[::-1]
    return fft_convolution(back, h)[::-1].copy(), fft_convolution(back, x)[::-1].copy()

def modal_filter(poles, residues, length):
    weights, rows = residues.copy(), []
    for _ in range(length):
        rows.append(weights.real.sum(axis=1))
        weights = weights * poles
    return np.stack(rows)

def modal_step(x, state, poles, residues, D):
    re = poles.real * state.real - poles.imag * state.imag + x[:, None]
    im = poles.real * state.imag + poles.imag * state.real
    y = (residues.real * re - residues.imag * im).sum(axis=1) + D * x
    return y, (re + 1j * im).astype(state.dtype)

def state_after(x, state, poles):
    for row in x:
        state = poles * state + row[:, None]
    return state
""",
    "ch10_normalization": """
import numpy as np

def deepnorm_constants(encoder_layers, decoder_layers):
    N, M = float(encoder_layers), float(decoder_layers)
    if N == 0:
        return None, (float(np.sqrt(np.sqrt(2 * M))), float(1 / np.sqrt(np.sqrt(8 * M))))
    if M == 0:
        return deepnorm_constants(0, N)[::-1]
    product = N**0.25 * M**0.0625
    return (0.81 * product, 0.87 / product), ((3 * M) ** 0.25, 1 / (12 * M) ** 0.25)

def block_backward(dy, attention_vjp, feed_forward_vjp, parallel, alpha=1.0):
    dx = np.multiply(dy, alpha, dtype=dy.dtype)
    dx += feed_forward_vjp(dy.copy())
    if parallel:
        dx += attention_vjp(dy)
        return dx
    return np.multiply(dx, alpha, dtype=dy.dtype) + attention_vjp(dx)

def initial_std(rule, width, layers, writes):
    rules = {
        ("gpt2", True): lambda: 0.02 * (2 * layers) ** -0.5,
        ("neox", True): lambda: 2 / layers / width**0.5,
        ("neox", False): lambda: (0.4 / width) ** 0.5,
    }
    if rule not in ("gpt2", "neox", "plain"):
        raise ValueError(rule)
    return rules.get((rule, bool(writes)), lambda: 0.02)()
""",
    "ch11_decoder": """
import re
import numpy as np

def read_config(config):
    given = {key: value for key, value in config.items() if value is not None}
    def pick(words, default=None):
        for word in words.split():
            if word in given:
                return given[word]
        return default
    needed = [pick("num_hidden_layers n_layer num_layers"), pick("hidden_size n_embd d_model"),
              pick("num_attention_heads n_head num_heads")]
    if None in needed:
        raise ValueError("layers, width or heads are missing")
    layers, width, heads = needed
    base = pick("rope_theta rotary_emb_base")
    if base is None and "rope_parameters" in given:
        base = given["rope_parameters"].get("rope_theta")
    return {
        "tied": pick("tie_word_embeddings", True), "base": base,
        "inner": pick("intermediate_size n_inner ffn_dim", width * 4),
        "head_dim": pick("head_dim", width // heads), "key_value_heads": pick("num_key_value_heads", heads),
        "heads": heads, "width": width, "layers": layers,
    }

def residual_step(x, functions, norms, norm_after=None, alpha=1.0, residual_is_normed=False):
    normed = [n(x) for n in norms] or [x]
    total = (normed[0] if residual_is_normed else x) * alpha
    for i in range(len(functions)):
        total = total + functions[i](normed[i if len(normed) > 1 else 0])
    return norm_after(total) if norm_after else total

def split_qkv(fused, heads, key_value_heads, order):
    D = fused.shape[0] // (heads + key_value_heads + key_value_heads)
    blocks = np.split(fused, heads + 2 * key_value_heads)
    share = heads // key_value_heads
    if order == "thirds":
        kind = [0] * heads + [1] * key_value_heads + [2] * key_value_heads
    elif order == "grouped":
        kind = ([0] * share + [1, 2]) * key_value_heads
    else:
        raise ValueError(order)
    return tuple(np.concatenate([b for b, k in zip(blocks, kind) if k == want]) for want in range(3))

def load_weights(table, stored, layers):
    ours, used, missing = {}, set(), []
    for mine, theirs, turned in table:
        for i in range(layers) if "{i}" in theirs else [None]:
            name = theirs.replace("{i}", str(i))
            used.add(name)
            if name in stored:
                ours[mine.replace("{i}", str(i))] = np.transpose(stored[name]).copy() if turned else stored[name]
            else:
                missing.append(name)
    left = [name for name in stored if name not in used]
    if left or missing:
        raise ValueError(" ".join(["no row for", *left, "no tensor for", *missing]))
    return ours

def save_weights(table, ours, layers):
    theirs, arrays = {}, dict(ours)
    missing = []
    for mine, name, turned in table:
        for i in range(layers) if "{i}" in name else [None]:
            key = mine.replace("{i}", str(i))
            if key not in arrays:
                missing.append(key)
                continue
            array = arrays.pop(key)
            theirs[name.replace("{i}", str(i))] = array.T if turned else array
    if missing or arrays:
        raise ValueError(f"{missing} {list(arrays)}")
    return theirs
""",
    "ch15_mixture_of_experts": """
import numpy as np

def top_k_routing(logits, k):
    experts = np.empty((len(logits), k), int)
    rest = logits.copy()
    for j in range(k):
        experts[:, j] = rest.argmax(axis=1)                # the first of equal ones
        rest[np.arange(len(rest)), experts[:, j]] = -np.inf
    chosen = logits[np.arange(len(logits))[:, None], experts]
    shares = np.exp(chosen - chosen[:, :1])
    return experts, shares / shares.sum(1)[:, None]

def dispatch(x, experts, count):
    parts = []
    for e in range(count):
        tokens = np.unique(np.where(experts == e)[0])
        parts.append((tokens, x.take(tokens, axis=0)))
    return parts

def combine(weights, experts, answers):
    y = np.zeros((weights.shape[0], answers[0][1].shape[1]), answers[0][1].dtype)
    for n in range(len(weights)):
        for j, e in enumerate(experts[n]):
            tokens, said = answers[e]
            y[n] += weights[n, j] * said[np.searchsorted(tokens, n)]
    return y

def balancing_loss(logits, experts, mask=None):
    mask = np.ones(len(logits), bool) if mask is None else mask
    N, E = mask.sum(), logits.shape[1]
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    P = np.where(mask[:, None], np.exp(log_p), 0).sum(0) / N
    f = (np.eye(E)[experts].sum(1) * mask[:, None]).sum(0) / N
    return float(E * f @ P)
""",
    "ch18_real_model": """
import numpy as np

def dequantize_q4_1(blocks):
    half = np.ascontiguousarray(blocks[:, :4]).view(np.dtype("<f2")).astype(np.float32)
    out = np.empty((len(blocks), 32), np.float32)
    out[:, :16] = blocks[:, 4:] % 16
    out[:, 16:] = blocks[:, 4:] // 16
    out *= half[:, :1]
    out += half[:, 1:]
    return out

def halves_from_interleaved(weight, heads):
    width = len(weight) // heads
    rows = np.arange(len(weight)).reshape(heads, width)
    return weight[np.concatenate([rows[:, 0::2], rows[:, 1::2]], axis=1).ravel()]

def logit_lens(states, norm_weight, head, eps=1e-5):
    root = np.sqrt(np.einsum("ltd,ltd->lt", states, states) / states.shape[-1] + states.dtype.type(eps))
    logits = np.einsum("ltd,vd->ltv", states / root[..., None] * norm_weight, head)
    return np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))

def chatml(messages, default_system, add_generation_prompt):
    talk = [(m["role"], m["content"]) for m in messages]
    if talk and talk[0][0] != "system":
        talk = [("system", default_system)] + talk
    parts = [f"<|im_start|>{role}\\n{content}<|im_end|>\\n" for role, content in talk]
    return "".join(parts + ["<|im_start|>assistant\\n"] * add_generation_prompt)
""",
    "ch16_state_space_models": """
import math
import numpy as np

def discretise(A, B, delta):
    decay = np.array([math.exp(delta * a) for a in A.tolist()], A.dtype)
    gain = [b * (delta if a == 0 else math.expm1(delta * a) / a) for a, b in zip(A.tolist(), B.tolist())]
    return decay, np.array(gain, A.dtype)

def scan(x, delta, A, B, C, D, state):
    decays = np.exp(np.einsum("td,dn->tdn", delta, A))
    entering = np.einsum("td,td,tn->tdn", delta, x, B)
    states = []
    for a, u in zip(decays, entering):
        state = a * state + u
        states.append(state)
    return np.einsum("tdn,tn->td", np.stack(states), C) + x * D, state

def scan_backward(dy, x, delta, A, B, C, D, state):
    T = len(x)
    decays = np.exp(delta[:, :, None] * A)
    u = delta * x
    h = [state]
    for t in range(T):
        h.append(decays[t] * h[-1] + u[t][:, None] * B[t])
    h = np.stack(h)
    g = dy[:, :, None] * C[:, None, :]
    for t in range(T - 2, -1, -1):
        g[t] += decays[t + 1] * g[t + 1]
    du = np.einsum("tdn,tn->td", g, B)
    dz = g * decays * h[:-1]
    return (delta * du + dy * D, x * du + np.einsum("tdn,dn->td", dz, A), np.einsum("tdn,td->dn", dz, delta),
            np.einsum("tdn,td->tn", g, u), np.einsum("tdn,td->tn", h[1:], dy), np.einsum("td,td->d", dy, x),
            decays[0] * g[0])

def convolution_step(x, weight, bias, tail):
    y = bias + weight[:, -1] * x
    for k in range(len(tail)):
        y = y + weight[:, k] * tail[k]
    return y, np.vstack([tail, x])[1:]

def fixed_kernel(delta, A, B, C, D, length):
    h, taps = delta * B, []
    for k in range(length):
        taps.append((np.exp(k * delta * A) * h * C).sum() + (D if k == 0 else 0))
    return np.array(taps, A.dtype)
""",
}
CHAPTERS = {chapter.name: chapter for chapter in find_chapters(find_exercises())}


def test_every_chapter_has_another_right_solution():
    assert set(RIGHT) == set(CHAPTERS)


@pytest.mark.parametrize("name", RIGHT)
def test_another_way_passes(name, tmp_path):
    chapter = CHAPTERS[name]
    file = tmp_path / chapter.file_name
    file.write_text(RIGHT[name], encoding="utf-8")
    report = grade_chapter(chapter, file, chapter.tasks(), seed=404, limits=Limits())
    failures = {t.task.name: [c for c in t.checks if not c.passed] for t in report.tasks}
    assert not report.unloadable
    assert not any(failures.values()), failures
    assert report.passed
