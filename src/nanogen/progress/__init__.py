"""Progress of a run of the graph: what snakemake_logger_plugin_nanogen shows."""
