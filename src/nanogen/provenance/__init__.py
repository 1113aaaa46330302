"""Where every number comes from: what each step notes beside its outputs, and the chain of them."""
