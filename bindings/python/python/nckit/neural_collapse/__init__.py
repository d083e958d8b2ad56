"""The names, signatures and conventions of the package ``neural_collapse``, on exact states.

Programs that use that package change one import: ``import nckit.neural_collapse as nc``. Arrays of NumPy and tensors of torch are
taken, and returned as the same kind, in float64. ``device`` and ``tile_size`` are accepted and have no effect.

Where the package would return a wrong number, there is the right one here, or an error that says which row or class is the
reason: labels outside ``0 … n_classes − 1``, values that are not finite, classes without rows, a covariance that is to leave out
classes after it was pooled.
"""

from nckit.neural_collapse import accumulate, kernels, measure, util

__all__ = ["accumulate", "kernels", "measure", "util"]
