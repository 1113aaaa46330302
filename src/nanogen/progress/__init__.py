"""Progress of a run of the graph, as Snakemake's logger plugin ``nanogen`` shows it."""
