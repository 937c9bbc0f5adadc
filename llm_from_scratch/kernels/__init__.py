"""Plain functions on ndarrays with a hot loop, each in two versions.

The modules of this package hold the NumPy twins: they read like the formula and are the reference. The
package `compiled` holds numba versions of the same names, which are what runs unless
`LLM_FROM_SCRATCH_KERNELS=numpy`. Nothing here knows tensors, gradient tapes or models, and importing it
compiles nothing.
"""
