"""One HTML page to explore a comparison: methods on both axes, the paper's numbers and a study's.

``entries`` joins tables by method, ``provenance`` and ``thumbnails`` add the sources of a study's
numbers and some of its samples, and ``page`` writes all of it, with the scripts in ``template/`` and the
chart library, to one file that needs no network.
"""
