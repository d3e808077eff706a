"""Train one network with several processes, one for each GPU:

`torchrun --nproc-per-node 4 -m core.distributed spec.json FOLDER [--data-root FOLDER] [--resume NAME]
[--teacher FOLDER] [--initial FOLDER]`

`spec.json` is a training job's spec, and `batch_size` that of all processes together: the losses are those of
one process with the same spec (but dropout is drawn anew in each process). FOLDER gets `reports.jsonl`,
`checkpoints/` and, at the end, the network (`weights.safetensors`, `recipe.json`) and its class statistics.
"""

import argparse
import os
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import fx

from core.approaches import create_approach
from core.artifacts import STATISTICS, load, save_network, save_tensors, training_recipe
from core.datasets import ImageData, batches, load_dataset
from core.devices import resolve_device
from core.distillation import teacher_of
from core.errors import CoreError
from core.initial_weights import InitialWeights, initial_of, lineage_of
from core.replicas import Replicas
from core.reports import AnyReport
from core.specs import TrainSpec
from core.training import train

_TIMEOUT = timedelta(minutes=10)


def main(arguments: list[str]) -> None:
    """Command line entry; torchrun sets the environment that names the processes."""
    parser = argparse.ArgumentParser(prog="python -m core.distributed")
    parser.add_argument("spec", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--resume", help="a file in FOLDER/checkpoints")
    parser.add_argument("--teacher", type=Path, help="the model that `teacher_model_id` names, downloaded")
    parser.add_argument("--initial", type=Path, help="the model that `initial_model_id` names, downloaded")
    given = parser.parse_args(arguments)
    spec = TrainSpec.model_validate_json(given.spec.read_text(encoding="utf-8"))
    try:
        device = _join(spec.device)
        data = load_dataset(spec.dataset, given.data_root)
        teacher = None if given.teacher is None else teacher_of(load(given.teacher), data)
        initial = None if given.initial is None else initial_of(load(given.initial), spec, data)
        checkpoints = given.folder / "checkpoints"
        reports = train(
            spec,
            data,
            device=device,
            checkpoint_dir=checkpoints,
            resume=None if given.resume is None else checkpoints / given.resume,
            should_stop=lambda: False,
            teacher=teacher,
            initial=initial,
        )
        network = _recorded(reports, given.folder)
        if Replicas.current().rank == 0:
            _save(spec, data, network, given.folder, initial)
        dist.barrier()  # torchrun ends the others as soon as one has left
    except CoreError as error:
        sys.exit(f"error [{error.code}]: {error}")
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _save(
    spec: TrainSpec, data: ImageData, network: fx.GraphModule, folder: Path, initial: InitialWeights | None
) -> None:
    """Class statistics and the network, as a training job of the service leaves them."""
    approach, cpu = create_approach(spec.approach), torch.device("cpu")
    seed = spec.seed if spec.augment else None
    train = data.train.first(spec.max_train_samples or len(data.train))
    drawn = batches(train, data.info, spec.batch_size, device=cpu, augment_seed=seed)
    statistics = approach.statistics(network, drawn, len(data.info.class_names))
    recipe = training_recipe(spec, data, {"torch": torch.__version__}, lineage_of(spec, initial))
    save_network(approach.finish(network), recipe, folder)
    save_tensors(statistics.to_tensors(), folder / STATISTICS)


def _join(asked: str) -> torch.device:
    """Enter torchrun's process group; the device of this process."""
    on_gpu = resolve_device(asked).type == "cuda"
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_TIMEOUT)
    return device


def _recorded(reports: Generator[AnyReport, None, fx.GraphModule], folder: Path) -> fx.GraphModule:
    """Write the reports of a training; its network."""
    folder.mkdir(parents=True, exist_ok=True)
    # Every process makes the same reports; the first one's are the training's.
    path = folder / "reports.jsonl" if Replicas.current().rank == 0 else Path(os.devnull)
    with path.open("a", encoding="utf-8", buffering=1) as file:
        while True:
            try:
                file.write(next(reports).model_dump_json() + "\n")
            except StopIteration as end:
                network: fx.GraphModule = end.value
                return network


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread of gloo's that frees a tensor while Python shuts down ("terminate called without an active
    # exception") would turn a finished training into a failed one.
    os._exit(0)
