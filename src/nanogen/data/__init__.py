"""Data: drawn scenes, photographs, and the HDF5 files in which both are stored."""
