"""The numba versions of the kernels, one module a topic, imported at a kernel's first call and never before.

A public function here has the name and arguments of its NumPy twin: it prepares arrays in Python and calls a
serial loop marked `@compiled`. Modules import `..dispatch` and `.elementary` only, because the cache on disk
is keyed by those sources and the module's own.

What makes a loop vectorise: contiguous one-dimensional slices, `for i in range(x.size)`, no branches but
selects, constants of the array's own dtype (a bare literal is a float64), and the functions of `.elementary`
in place of `math`.
"""
