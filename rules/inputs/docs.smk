# Input and parameter functions of the rules for the site.


SITE = "build/docs"  # belongs to no study


def get_doc_sources(wildcards):
    """Sources of the pages. A change in one of them builds the site again."""
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
