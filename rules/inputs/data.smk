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


def fetched_part(wildcards):
    """Options that say which part of a data set is read."""
    data = stages.task_data(STUDY, wildcards.task)
    if data.file:
        return f"--file {quote(data.file)}"
    return f"--max-images {data.fetch_images}" if data.fetch_images else ""


def is_imported(task):
    """Whether a task's pictures are files of others, which several processes and jobs can import."""
    return stages.task_data(STUDY, task).source in ("folder", "captioned", "webdataset")


def import_shares(wildcards):
    """Notes of the jobs that import a share each, of which one more job makes the image file."""
    count = STUDY.data_shards if is_imported(wildcards.task) and wildcards.split == "train" else 1
    folder = f"{ROOT}/data/{wildcards.task}/{wildcards.split}"
    return [f"{folder}/{k + 1}-of-{count}.json" for k in range(count)] if count > 1 else []


def import_threads(wildcards):
    """All cores for an import, as far as there are so many; drawing takes one."""
    return os.cpu_count() if is_imported(wildcards.task) else 1


def downloaded_root(wildcards, input):
    """Option that points an import at what was fetched; nothing where the data has its own root."""
    fetched = downloads(wildcards) and not stages.task_data(STUDY, wildcards.task).root
    return f"--root {ROOT}/downloads/{wildcards.task}" if fetched else ""
