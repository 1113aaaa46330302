"""How strongly two series of numbers go together, and how sure one can be of it."""
