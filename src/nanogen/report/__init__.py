"""Tables and figures of the numbers of a study and of the paper."""
