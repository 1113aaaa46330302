# Input and parameter functions of the rules for importing data.


def downloads(wildcards):
    """Data sets that an import reads, downloaded or drawn; none if the user gave a folder."""
    data = stages.task_data(STUDY, wildcards.task)
    if data.root == PATHS.inputs(wildcards.task):
        return [f"{data.root}/nanogen.json"]
    return (
        []
        if data.root
        else [f"{ROOT}/downloads/{wildcards.task}/{repo}/nanogen.json" for repo in data.hub]
    )


def fetched_part(wildcards):
    """Options that select the part of a data set to download."""
    data = stages.task_data(STUDY, wildcards.task)
    if data.file:
        return f"--file {quote(data.file)}"
    return f"--max-images {data.fetch_images}" if data.fetch_images else ""


def is_imported(task):
    """Whether a task's images are existing files, which several processes and jobs can import."""
    return stages.task_data(STUDY, task).source in ("folder", "captioned", "webdataset")


def import_shares(wildcards):
    """Outputs of the jobs that import a share each; one more job joins these to the image file."""
    count = STUDY.data_shards if is_imported(wildcards.task) and wildcards.split == "train" else 1
    folder = f"{ROOT}/data/{wildcards.task}/{wildcards.split}"
    return [f"{folder}/{k + 1}-of-{count}.json" for k in range(count)] if count > 1 else []


def import_threads(wildcards):
    """Threads of a job: all cores for an import, one for drawing."""
    return os.cpu_count() if is_imported(wildcards.task) else 1


def downloaded_root(wildcards, input):
    """Option that passes the download folder to an import; empty if the data has a root of its own."""
    fetched = downloads(wildcards) and not stages.task_data(STUDY, wildcards.task).root
    return f"--root {ROOT}/downloads/{wildcards.task}" if fetched else ""
