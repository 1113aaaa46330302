"""Train the frozen networks of the nano study, and write random ones for rehearsals."""
