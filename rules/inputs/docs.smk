# What the rules of the site read: input and parameter functions.


SITE = "build/docs"  # of no study: it tells of the program


def get_doc_sources(wildcards):
    """What the pages are written in or made from: another file of these makes the site anew."""
    root = Path(workflow.basedir)
    patterns = (
        "docs/**/*.*",
        "config/**/*.yaml",
        "src/nanogen/docs/*.py",
        "src/nanogen/cli/*.py",
        "src/nanogen/config/*.py",
    )
    files = [root / name for name in ("Snakefile", "profiles/README.md", "CONTRIBUTING.md")]
    files += [file for pattern in patterns for file in sorted(root.glob(pattern))]
    return [os.path.relpath(file) for file in files if file.is_file()]
