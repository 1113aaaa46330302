"""Data: captioned scenes, folders of photographs, and the HDF5 files both end in."""
