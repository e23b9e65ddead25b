"""What an inspection found, as text for the screen."""

from __future__ import annotations

import os

from daaf_tf.data.inspection import Inspection


def format_inspection(inspection: Inspection, data_dir: str | os.PathLike) -> str:
    """Return a table of the counts beside the manifest's, and the list of what is corrupt."""
    manifest = inspection.manifest
    shards = [shard for split in inspection.found for shard in manifest["splits"][split]["shards"]]
    size = sum(int(shard["bytes"]) for shard in shards)
    images = sum(counts["images"] for counts in inspection.found.values())
    read = f"{images:,} records in {len(shards)} shards, {size / 1e6:,.1f} MB"
    verdict = f"{read}: every checksum is right."
    if inspection.faults:
        verdict = f"{read} are whole. Corrupt:"
    lines = [
        f"{manifest.get('dataset')} records in {data_dir}, by {manifest.get('created_by')}",
        "",
        *_table(inspection),
        "",
        verdict,
        *(f"  {fault}" for fault in inspection.faults),
    ]
    return "\n".join(lines)


def _table(inspection: Inspection) -> list[str]:
    found = inspection.found
    written = {split: inspection.manifest["splits"][split] for split in found}
    counts = next(iter(found.values()), {})
    lines = [
        " " * 16 + "".join(f"{split:>20}" for split in found),
        " " * 16 + f"{'found':>10}{'manifest':>10}" * len(found),
    ]
    for name in counts:
        if name not in ("person_ids", "images_per_label"):  # as long as there are people
            cells = (
                f"{_shown(entry.get(name)):>10}"
                for split in found
                for entry in (found[split], written[split])
            )
            lines.append(f"{name.replace('_', ' '):<16}" + "".join(cells))
    return lines


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value):,}"
    return f"{value:,}" if isinstance(value, int) else "?"
