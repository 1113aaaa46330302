"""Data: drawn scenes, photographs, and the HDF5 files that both are imported to."""
