"""What the engine can train, and on what: names and facts that need no torch.

The registries in `core.architectures` and `core.datasets` hold exactly these names; a contract test compares.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ArchitectureName = Literal[
    "small_cnn", "lenet5", "simcnn", "rescnn", "vgg16", "resnet18", "resnet34", "resnet50", "mobilenet",
    "vit_small", "deit_small",
]  # fmt: skip
# Networks of other packages, by their own names there; the worker knows which exist.
PACKAGES = ("torchvision", "timm")
PACKAGED_NAME = rf"^({'|'.join(PACKAGES)}):[a-z0-9_]{{1,80}}$"
DatasetName = Literal["digits", "mnist", "fashion_mnist", "cifar10", "svhn"]
UPLOADED_ID = r"^ds_[0-9a-z]{1,61}$"


class ArchitectureInfo(BaseModel):
    """One registered network family."""

    model_config = ConfigDict(frozen=True)

    name: ArchitectureName
    description: str
    min_size: int = Field(description="Smallest image height and width in pixels.")
    max_size: int = Field(description="Largest image height and width in pixels.")


class DatasetInfo(BaseModel):
    """One image classification dataset and its fixed split protocol."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int] = Field(description="Channels, height, width.")
    train: int = Field(description="Images used for training.")
    validation: int = Field(description="Images held out of the training data; every selection uses these.")
    test: int = Field(description="Images touched once, for reporting.")
    needs_data_root: bool = Field(description="False for data bundled with an installed package.")
    files: tuple[str, ...] = Field((), description="What must lie under the data root, decompressed.")
    mean: tuple[float, ...] = Field(description="Per-channel mean, for images scaled to [0, 1].")
    std: tuple[float, ...]
    crop_padding: int = Field(description="Zero padding of the random training crop in pixels; 0 = no crop.")
    flip: bool = Field(description="Random horizontal flip in training.")


_DIGITS = tuple(str(digit) for digit in range(10))
_IDX = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_CIFAR = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")

_BOTH_FORMS = "32x32 form below 64 pixels, 224 form from there on."

ARCHITECTURES: dict[str, ArchitectureInfo] = {
    info.name: info
    for info in (
        ArchitectureInfo(
            name="small_cnn",
            description="Stem and five 3x3 convolutions with batch normalisation, global pooling.",
            min_size=8,
            max_size=32,
        ),
        ArchitectureInfo(
            name="lenet5",
            description="LeNet5: two 5x5 convolutions, 120-84 hidden neurons, ReLU.",
            min_size=16,
            max_size=64,
        ),
        ArchitectureInfo(
            name="simcnn", description="SimCNN: 13 plain convolutions.", min_size=32, max_size=32
        ),
        ArchitectureInfo(
            name="rescnn",
            description="ResCNN: 12 convolutions with three skips.",
            min_size=32,
            max_size=32,
        ),
        ArchitectureInfo(
            name="vgg16",
            description="VGG16 with batch normalisation, 32x32 form.",
            min_size=32,
            max_size=32,
        ),
        ArchitectureInfo(name="resnet18", description=f"ResNet18, {_BOTH_FORMS}", min_size=32, max_size=256),
        ArchitectureInfo(name="resnet34", description=f"ResNet34, {_BOTH_FORMS}", min_size=32, max_size=256),
        ArchitectureInfo(name="resnet50", description=f"ResNet50, {_BOTH_FORMS}", min_size=32, max_size=256),
        ArchitectureInfo(
            name="mobilenet",
            description="MobileNet v1: 13 depthwise-separable blocks; stem of stride 1 below 64 pixels.",
            min_size=32,
            max_size=256,
        ),
        ArchitectureInfo(
            name="vit_small",
            description="ViT-S: 12 blocks of width 384, 12 heads; patches of 4 pixels, of 16 from 64 on.",
            min_size=8,
            max_size=256,
        ),
        ArchitectureInfo(
            name="deit_small",
            description="DeiT-S: like vit_small with 6 heads and a distillation token; mean of both heads.",
            min_size=8,
            max_size=256,
        ),
    )
}

DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            name="digits",
            description="1,797 scans of handwritten digits bundled with scikit-learn (UCI).",
            class_names=_DIGITS,
            input_shape=(1, 8, 8),
            train=1257,
            validation=180,
            test=360,
            needs_data_root=False,
            mean=(0.3060,),
            std=(0.3764,),
            crop_padding=0,
            flip=False,
        ),
        DatasetInfo(
            name="mnist",
            description="MNIST: 70,000 handwritten digits.",
            class_names=_DIGITS,
            input_shape=(1, 32, 32),
            train=55_000,
            validation=5_000,
            test=10_000,
            needs_data_root=True,
            files=tuple(f"MNIST/raw/{name}" for name in _IDX),
            mean=(0.1000,),
            std=(0.2752,),
            crop_padding=4,
            flip=False,
        ),
        DatasetInfo(
            name="fashion_mnist",
            description="Fashion-MNIST: 70,000 pictures of clothing.",
            class_names=(
                "t-shirt/top",
                "trouser",
                "pullover",
                "dress",
                "coat",
                "sandal",
                "shirt",
                "sneaker",
                "bag",
                "ankle boot",
            ),
            input_shape=(1, 32, 32),
            train=55_000,
            validation=5_000,
            test=10_000,
            needs_data_root=True,
            files=tuple(f"FashionMNIST/raw/{name}" for name in _IDX),
            mean=(0.2188,),
            std=(0.3316,),
            crop_padding=4,
            flip=True,
        ),
        DatasetInfo(
            name="cifar10",
            description="CIFAR-10: 60,000 colour pictures.",
            class_names=(
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ),
            input_shape=(3, 32, 32),
            train=45_000,
            validation=5_000,
            test=10_000,
            needs_data_root=True,
            files=tuple(f"cifar-10-batches-py/{name}" for name in _CIFAR),
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2471, 0.2435, 0.2616),
            crop_padding=4,
            flip=True,
        ),
        DatasetInfo(
            name="svhn",
            description="SVHN: street view house numbers (train and test, without extra).",
            class_names=_DIGITS,
            input_shape=(3, 32, 32),
            train=68_257,
            validation=5_000,
            test=26_032,
            needs_data_root=True,
            files=("train_32x32.mat", "test_32x32.mat"),
            # The published code normalises SVHN by ImageNet's figures and flips digits: kept as published.
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            crop_padding=4,
            flip=True,
        ),
    )
}
