"""The solvers that samples are drawn with, by their names in ``sampling.solver``.

To add one, write an entry here and the function that it names, which takes the state from one time to
the next (``nanogen.sampling.solvers.Step``).
"""

SOLVERS = {
    "euler": "nanogen.sampling.solvers:euler",
    "heun": "nanogen.sampling.solvers:heun",
}
