"""The documentation as a site: pages made from the code and the configuration, and how it is built."""
