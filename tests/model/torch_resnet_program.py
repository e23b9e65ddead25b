"""A torch ResNet-50 with torchvision's names and layout, its weights saved and its features.

Run by a Python that has torch: `python torch_resnet_program.py FOLDER WIDTH`. Reads from the folder
images.npy ([B, 3, H, W] float32); writes zip.pth and legacy.pth (the same random weights,
classifier included) and features_1.npy and features_2.npy, [B, C, h, w], for last stride 1 and 2.
"""

import pathlib
import sys

import numpy as np
import torch
from torch import nn

DEPTHS = (3, 4, 6, 3)


class Bottleneck(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample = None
        if stride != 1 or channels_in != 4 * channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, 4 * channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(4 * channels),
            )

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    def __init__(self, width, last_stride):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels_in = width
        for stage, (depth, stride) in enumerate(zip(DEPTHS, (1, 2, 2, last_stride))):
            channels = width * 2**stage
            blocks = []
            for index in range(depth):
                blocks.append(Bottleneck(channels_in, channels, stride if index == 0 else 1))
                channels_in = 4 * channels
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels_in, 10)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def randomize(model):
    """Give every batch norm parameters and statistics that matter."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def main(folder, width):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images = torch.from_numpy(np.load(folder / "images.npy"))
    weights = None
    for last_stride in (1, 2):
        model = ResNet50(width, last_stride).eval()
        if weights is None:
            randomize(model)
            weights = model.state_dict()
        model.load_state_dict(weights)
        with torch.no_grad():
            np.save(folder / f"features_{last_stride}.npy", model(images).numpy())
    torch.save(weights, folder / "zip.pth")
    torch.save(weights, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    # As a training script saves it, with a model on several devices and an optimizer.
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    torch.save(
        {
            "epoch": 3,
            "state_dict": {f"module.{name}": value for name, value in weights.items()},
            "optimizer": optimizer.state_dict(),
        },
        folder / "wrapped.pth",
    )
    torch.save(model, folder / "pickled_model.pth")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
