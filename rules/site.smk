# Before the first job is submitted, check that the cluster has what the profile names.
from nanogen.config.site import check_slurm


def named_resources(key):
    """Values of this resource in the jobs to submit, "" for jobs that do not set it."""
    submitted = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    return {str(job.resources.get(key) or "") for job in submitted}


def check_cluster():
    """Raise Mistake if the cluster lacks a partition or an account that a job names."""
    if workflow.executor_plugin.name == "slurm":
        try:
            check_slurm(named_resources("slurm_partition"), named_resources("slurm_account"))
        except UserError as error:
            raise Mistake(str(error)) from None
