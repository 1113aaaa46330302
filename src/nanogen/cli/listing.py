"""The list of all commands: the module in `nanogen.cli` that runs each, and what it does.

A module has ``arguments(parser)`` and ``run(args)``. ``run`` may return pairs (JSON of a stage, path of
its output); without them, the only pair is that of --config and --output.
"""

from __future__ import annotations

Listing = dict[str, tuple[str, str]]

# Commands for users, grouped by purpose. Rules call some of them, too.
FOR_PEOPLE: dict[str, Listing] = {
    "Plan a study": {
        "plan": ("plan", "print what a study would compute, download and store"),
        "config": ("config", "print a resolved configuration and its hash, or how the tasks differ"),
        "params": ("params", "count the parameters of one run or of all, without allocating them"),
        "schema": ("schema", "write the JSON schemas of the configuration files"),
        "licences": ("licences", "print the licence of every installed package"),
    },
    "Use models": {
        "sample": ("sample", "draw images from a trained model by class or prompt, or a study's set"),
        "import": ("import_checkpoint", "convert a checkpoint in the authors' format to a model folder"),
        "export": ("export_checkpoint", "convert a model folder to a checkpoint in the authors' format"),
        "import-rae": ("import_rae", "make a tokenizer from a released decoder and its statistics"),
        "export-rae": ("export_rae", "write an RAE as a decoder and statistics in the released form"),
        "push": ("push", "upload a trained model with its scores to the Hugging Face hub"),
        "launch": (
            "launch",
            "run a command under torchrun on one machine or on the nodes of a SLURM job",
        ),
    },
    "Score images": {
        "score": ("score", "compute FID, IS, MIND and other scores of any images, without a study"),
        "score-t2i": ("score_t2i", "compute text-to-image scores of any images"),
    },
    "Read results": {
        "summary": ("summary", "print a finished study's main tables and where to look next"),
        "table": ("table", "write one of the paper's tables, published or measured"),
        "figure": ("figure", "draw one of the paper's figures, published or measured"),
        "explorer": ("explorer", "write one HTML page to explore the methods on both axes"),
        "correlate": ("correlate", "correlate ImageNet scores with text-to-image scores"),
        "claims": ("claims", "check the paper's claims against its numbers or a study's"),
        "trace": ("trace", "print where a number in a table comes from: files, commit, device, command"),
        "profile": ("profile", "print the wall time, processor time and memory of every command"),
        "docs": ("docs", "build the documentation as a site that opens from disk"),
    },
}
# Commands for the rules of the graph; options name everything that they read and write.
FOR_RULES: Listing = {
    "draw-inputs": ("draw_inputs", "draw images in a data set's format, for a rehearsal"),
    "make-data": ("make_data", "draw scenes or import photographs into HDF5"),
    "make-prompts": ("make_prompts", "write the prompts of the text-to-image evaluation"),
    "make-questions": ("make_questions", "write DPG-Bench's questions about the prompts"),
    "build-model": ("build_model", "train a small frozen network from scratch"),
    "random-model": ("random_model", "write a frozen network with random weights, for a rehearsal"),
    "fetch-model": ("fetch_model", "download a frozen network"),
    "fetch-checkpoint": ("fetch_checkpoint", "download and import a published trained model"),
    "fetch-data": ("fetch_data", "download a data set from the Hugging Face hub"),
    "encode-latents": ("encode_latents", "cache a data set's latents"),
    "join-latents": ("join_latents", "join the shards of a latent cache"),
    "encode-features": ("encode_features", "cache a vision encoder's features of a data set"),
    "encode-text": ("encode_text", "cache the text features of captions, classes or prompts"),
    "join-text": ("join_text", "join the shards of text features"),
    "train-tokenizer": ("train_tokenizer", "train one tokenizer (start it with torchrun)"),
    "tune-tokenizer": (
        "tune_tokenizer",
        "tune a VAE end to end with a backbone (start it with torchrun)",
    ),
    "reconstruct": ("reconstruct", "measure how well and how fast a tokenizer reconstructs images"),
    "train": ("train", "train one method on one task (start it with torchrun)"),
    "choose-guidance": ("choose_guidance", "choose the guidance scale with the lowest FID of a sweep"),
    "reference": ("reference", "compute features and moments of the real images"),
    "caption-reference": ("caption_reference", "compute moments of the images of a set of captions"),
    "score-samples": ("score_samples", "compute every metric of a study's sample set, or one of them"),
    "grid": ("grid", "draw a grid of sample images"),
    "submit": ("submit", "write leaderboard entries from metric files, or check entries against them"),
    "leaderboard": ("leaderboard", "merge leaderboard entries into a table of both axes"),
    "numbers": ("numbers", "write the numbers that a text quotes as LaTeX commands"),
    "report": ("report", "put a study's tables and figures on one HTML page, the main ones first"),
    "bundle": ("bundle", "pack a study's tables, figures and numbers into an archive with checksums"),
    "stand-in": ("stand_in", "run a command against a local stand-in for the hub with tiny models"),
}
GROUPS = {**FOR_PEOPLE, "Steps that Snakemake's rules call": FOR_RULES}
COMMANDS: Listing = {name: of for part in GROUPS.values() for name, of in part.items()}


def listed() -> str:
    """Return all commands by group, as ``nanogen --help`` prints them."""
    width = max(map(len, COMMANDS)) + 2
    lines = []
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:<{width}}{text}" for name, (_, text) in commands.items()]
    return "\n".join(lines[1:])
