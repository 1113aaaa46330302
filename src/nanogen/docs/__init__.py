"""The documentation site: pages generated from the code and the configuration, and the build."""
