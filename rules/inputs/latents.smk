# What the rules of the caches read: input and parameter functions.


def all_caches():
    paths = set()
    for (_, task), run in RUNS.items():
        if CACHES.of("latents", task, run.tokenizer):
            paths.add(PATHS.latents(task, run.tokenizer))
        if CACHES.of("text", task, run.conditioner.model):
            paths.add(PATHS.text(task, run.conditioner.model))
        paths |= {PATHS.vision(task, encoder, part) for part, encoder in terms.caches(run).items()}
    return sorted(paths)


scattergather:
    latents=STUDY.latent_shards,
    text=STUDY.text_shards,


# With one shard the cache is the shard; with more, as many jobs encode and one joins their files.


SHARDED = STUDY.latent_shards > 1
CACHE = "{tokenizer}/{scatteritem}" if SHARDED else "{tokenizer}"
TEXT_SHARDED = STUDY.text_shards > 1
TEXT = "{model}/{scatteritem}" if TEXT_SHARDED else "{model}"
