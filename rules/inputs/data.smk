# What the rules of the imports of data read: input and parameter functions.


def downloads(wildcards):
    """Data sets that an import reads: of the hub, or drawn, unless the user gave a folder."""
    data = stages.task_data(STUDY, wildcards.task)
    if data.root == PATHS.inputs(wildcards.task):
        return [f"{data.root}/nanogen.json"]
    return (
        []
        if data.root
        else [f"{ROOT}/downloads/{wildcards.task}/{repo}/nanogen.json" for repo in data.hub]
    )


def single_file(wildcards):
    """Option that names the one file of a data set that is read."""
    file = stages.task_data(STUDY, wildcards.task).file
    return f"--file {quote(file)}" if file else ""


def downloaded_root(wildcards, input):
    """Option that points an import at what was fetched; nothing where the data has its own root."""
    fetched = input and not stages.task_data(STUDY, wildcards.task).root
    return f"--root {ROOT}/downloads/{wildcards.task}" if fetched else ""
