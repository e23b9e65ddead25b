"""Verify every checksum of a folder of records, print its counts, and draw a contact sheet.

python tools/inspect_records.py --data_dir=R [--split=train] [--contact_sheet=S.png] [--extract=D]

R is the --output_dir of tools/make_tfrecords.py. The program ends with code 1 and the list of what
is corrupt if anything is. --extract writes the original image files to D/train, D/query and
D/gallery.
"""

from __future__ import annotations

import io

from daaf_tf import flags, schema
from daaf_tf.data.extraction import extract_images
from daaf_tf.data.inspection import inspect_records
from daaf_tf.data.inspection_report import format_inspection
from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically

flags.DEFINE_string("data_dir", None, "Folder of the records.")
flags.DEFINE_enum("split", "all", ("all", *schema.SPLITS), "Which split to look at.")
flags.DEFINE_string(
    "contact_sheet", "contact_sheet.png", "PNG to draw, replaced if it exists; empty: none."
)
flags.DEFINE_integer("samples", 8, "Images of each split on the contact sheet.")
flags.DEFINE_string("extract", "", "New or empty folder for the original image files.")
flags.DEFINE_integer("workers", 0, "Processes; 0: one for each CPU.")


def main() -> None:
    """Inspect, report, draw and extract."""
    values = flags.FLAGS
    for name in ("samples", "workers"):
        if not 0 <= values[name].value <= 1024:
            raise UserError(f"--{name}={values[name].value}: expected 0 to 1024")
    splits = () if values.split == "all" else (values.split,)
    inspection = inspect_records(
        values.data_dir, splits, num_samples=values.samples, num_workers=values.workers
    )
    print(format_inspection(inspection, values.data_dir))
    if values.contact_sheet and any(inspection.samples.values()):
        _draw(inspection, values.contact_sheet)
    if inspection.faults:
        raise UserError(
            f"{values.data_dir}: {len(inspection.faults)} faults, listed above; "
            "convert the data set again"
        )
    if values.extract:
        count = extract_images(values.data_dir, values.extract, splits)
        print(f"{count:,} image files extracted to {values.extract}.")


def _draw(inspection, path: str) -> None:
    # Here and not above: the checks need no font.
    from daaf_tf.data.contact_sheet import draw_contact_sheet

    buffer = io.BytesIO()
    draw_contact_sheet(inspection.samples, str(inspection.manifest.get("dataset"))).save(
        buffer, "PNG"
    )
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"--contact_sheet={path}: cannot write ({error.strerror})") from error
    print(f"Contact sheet: {path}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["data_dir"])
    flags.run(main)
