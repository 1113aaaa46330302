# Input and parameter functions of the rules for the caches.


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


# With one shard, the cache is that shard. With more, one job encodes each shard and one more joins them.


SHARDED = STUDY.latent_shards > 1
CACHE = "{tokenizer}/{scatteritem}" if SHARDED else "{tokenizer}"
TEXT_SHARDED = STUDY.text_shards > 1
TEXT = "{model}/{scatteritem}" if TEXT_SHARDED else "{model}"
