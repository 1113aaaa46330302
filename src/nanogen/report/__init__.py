"""Tables, figures and pictures of the numbers of a study and of the paper."""
