"""The solvers that samples are drawn with, by the name in ``sampling.solver``.

A new one is an entry here and the function that it names: one step of the state from a time to the next
(``nanogen.sampling.solvers.Step``).
"""

SOLVERS = {
    "euler": "nanogen.sampling.solvers:euler",
    "heun": "nanogen.sampling.solvers:heun",
}
