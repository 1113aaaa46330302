"""Tables, figures and pictures: what a study and the paper say, for readers."""
