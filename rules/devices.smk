# With the profile `gpu`: allocate the GPUs of this machine to jobs (nanogen.devices).
from math import gcd

from nanogen import devices


def share_out(there):
    """Limit the running jobs to the available devices, and let each command take its own."""
    if not there:
        raise Mistake(
            "the profile gpu found no GPU; leave it out to compute on the processor, or say which devices "
            f"there are with {devices.SWITCH}=0,1"
        )
    limit = workflow.global_resources.get("devices")
    there = there[: limit.value] if limit is not None and limit.value is not None else there
    workflow.register_resource("devices", len(there))
    # The number of processes divides a backbone's chunks per batch and a tokenizer's batch size.
    trained = [model.stage1.batch_size for model in MODELS.values() if model.stage1]
    shared = gcd(
        *(run.training.batch_size // run.training.noise_chunk for run in RUNS.values()), *trained
    )
    of_a_training = max(count for count in range(1, len(there) + 1) if (shared or count) % count == 0)
    os.environ |= {
        devices.SWITCH: ",".join(there),
        "GPUS": str(len(there)),
        "TRAINING_GPUS": str(of_a_training),
    }


ON_DEVICES = "devices" in (workflow.resource_settings.default_resources or ())

if ON_DEVICES:
    share_out(devices.counted())
