"""The frozen networks that the nano study trains for itself, and random ones for a rehearsal."""
