"""One HTML page to explore a comparison: methods on both axes, the paper's numbers and a study's.

``entries`` joins tables into methods, ``provenance`` and ``thumbnails`` add where a study's numbers come
from and what its samples look like, ``page`` puts all of it, the program in ``template/`` and the chart
library into one file that asks the network for nothing.
"""
