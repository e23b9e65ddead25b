"""The peer that the input pipeline is measured beside: a PyTorch DataLoader over loose files.

python tools/benchmark_torch_loader.py --data_root=D [--annotations=false]

Does the work of tools/benchmark_batches.py the way it is usually written, with Pillow: open the
image, resize to 256x128, flip, pad by 10, crop, normalise; the same for the mask and the 17
keypoint maps at 128x64; collate P=16 times K=4. Needs torch, numpy and Pillow, nothing of this
project; D is in the layout of Market-1501. Prints JSON.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import random
import time

import numpy as np
import torch
from PIL import Image, ImageOps

HEIGHT, WIDTH, PADDING = 256, 128, 10
P, K = 16, 4
MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)
FLIPPED_JOINTS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)


class Crops(torch.utils.data.Dataset):
    """The training images, augmented, with their annotations."""

    def __init__(self, root: pathlib.Path, annotations: bool):
        """List the images; `annotations`: return mask and keypoint maps too."""
        (folder,) = root.glob("Market-1501*/bounding_box_train")
        self._images = sorted(folder.glob("*.jpg"))
        self._masks = root / "mask-anno/bounding_box_train"
        self._maps = root / "Market_cpn_keypoints/bounding_box_train_256_2"
        self._annotations = annotations
        self.person_ids = [int(path.name.split("_")[0]) for path in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict:
        path = self._images[index]
        flipped = random.random() < 0.5
        # Even, so that the targets, of half the size, are cropped at whole pixels.
        top, left = (2 * random.randint(0, PADDING) for _ in range(2))

        def place(image: Image.Image, scale: int) -> np.ndarray:
            height, width, padding = HEIGHT // scale, WIDTH // scale, PADDING // scale
            y, x = top // scale, left // scale
            image = image.resize((width, height), Image.Resampling.BILINEAR)
            image = ImageOps.mirror(image) if flipped else image
            image = ImageOps.expand(image, padding)
            return np.asarray(image.crop((x, y, x + width, y + height)), np.float32) / 255

        image = (place(Image.open(path).convert("RGB"), 1) - MEAN) / STD
        result = {
            "image": torch.from_numpy(image.transpose(2, 0, 1)),
            "person_id": self.person_ids[index],
        }
        if self._annotations:
            mask = place(Image.open(self._masks / path.name).convert("L"), 2)
            joints = FLIPPED_JOINTS if flipped else range(17)
            maps = [place(Image.open(self._maps / f"{path.stem}_{j:02d}.png"), 2) for j in joints]
            result["mask"] = torch.from_numpy(mask[None])
            result["keypoints"] = torch.from_numpy(np.stack(maps))
        return result


def draw_batches(person_ids: list[int], count: int):
    """Yield the image numbers of random batches, K of each of P persons."""
    by_person = collections.defaultdict(list)
    for index, person_id in enumerate(person_ids):
        by_person[person_id].append(index)
    for _ in range(count):
        persons = random.sample(sorted(by_person), P)
        yield [index for person in persons for index in random.choices(by_person[person], k=K)]


def measure(dataset: Crops, workers: int, batches: int, blocks: int) -> list[float]:
    """Return images/s of each block; one more is run first and not counted."""
    drawn = list(draw_batches(dataset.person_ids, batches * (blocks + 1)))
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=drawn, num_workers=workers)
    iterator, rates = iter(loader), []
    for _ in range(blocks + 1):
        start = time.perf_counter()
        for _ in range(batches):
            next(iterator)
        rates.append(P * K * batches / (time.perf_counter() - start))
    return rates[1:]


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_root", type=pathlib.Path, required=True)
    parser.add_argument("--annotations", choices=("true", "false"), default="true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--blocks", type=int, default=3)
    args = parser.parse_args()
    dataset = Crops(args.data_root, args.annotations == "true")
    rates = measure(dataset, args.workers, args.batches, args.blocks)
    print(json.dumps({"images_per_second": rates, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
