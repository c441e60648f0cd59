"""Makes tests/data/io/npy: arrays as numpy writes them, what they hold as safetensors, a .tsv of
region features as bottom-up-attention writes it, and seeds for the fuzz targets.

    python tools/goldens/make_npy.py
"""
import base64
import csv
import os
import shutil

import numpy as np
from numpy.lib import format as npy_format
from safetensors.numpy import save_file

FOLDER = os.path.join("tests", "data", "io", "npy")
CORPUS = os.path.join("fuzz", "corpus")
TYPES = ["?", "i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "i8", "u8", "f8"]


def arrays():
    """name → array as it is written: every type, both byte orders, both orders of elements."""
    rng = np.random.default_rng(5)
    out = {}
    for t in TYPES:
        plain = rng.integers(0, 100, (2, 3, 4)).astype(t)
        for order in "<>":
            typed = plain.astype(np.dtype(t).newbyteorder(order))
            for kind in "CF":
                name = f"{np.dtype(t).name}_{'le' if order == '<' else 'be'}_{kind}"
                out[name] = np.asarray(typed, order=kind)
    out["scalar"] = np.float32(2.5).reshape(())
    out["none"] = np.zeros((0, 3), "f4")
    out["row"] = np.arange(5, dtype="i8")
    return out


def write_version(path, array, version):
    with open(path, "wb") as f:
        npy_format.write_array(f, array, version=version)


def write_tsv(path, terminator):
    rng = np.random.default_rng(7)
    fields = ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
    kept = {}
    with open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, delimiter="\t", fieldnames=fields, lineterminator=terminator)
        for k, image_id in enumerate(["12", "123", "1234"]):
            n = k + 1
            boxes = rng.random((n, 4)).astype("f4") * 100
            features = rng.standard_normal((n, 5)).astype("f4")
            writer.writerow({"image_id": image_id, "image_w": 640 + k, "image_h": 480 + k,
                             "num_boxes": n, "boxes": base64.b64encode(boxes).decode(),
                             "features": base64.b64encode(features).decode()})
            kept[f"{image_id}.boxes"] = boxes
            kept[f"{image_id}.visual_embeds"] = features[None]
    return kept


def main():
    os.makedirs(FOLDER, exist_ok=True)
    made = arrays()
    np.savez(os.path.join(FOLDER, "stored.npz"), **made)
    np.savez_compressed(os.path.join(FOLDER, "deflated.npz"), **made)
    np.savez_compressed(os.path.join(FOLDER, "bomb.npz"), zeros=np.zeros(2 << 20, "u1"))
    save_file({n: np.ascontiguousarray(a.astype(a.dtype.newbyteorder("="))).reshape(a.shape)
               for n, a in made.items()}, os.path.join(FOLDER, "expected.safetensors"))
    plain = made["float32_le_C"]
    for version in (1, 2, 3):
        write_version(os.path.join(FOLDER, f"version-{version}.npy"), plain, (version, 0))
    np.save(os.path.join(FOLDER, "scalar.npy"), made["scalar"])
    np.save(os.path.join(FOLDER, "row.npy"), made["row"])
    np.save(os.path.join(FOLDER, "bool.npy"), made["bool_le_C"])
    kept = write_tsv(os.path.join(FOLDER, "regions.tsv"), "\r\n")
    save_file(kept, os.path.join(FOLDER, "regions.safetensors"))

    for kind in ("npy", "npz", "tsv"):
        os.makedirs(os.path.join(CORPUS, kind), exist_ok=True)
    for name in ("version-1.npy", "version-2.npy", "version-3.npy", "scalar.npy", "row.npy"):
        shutil.copy(os.path.join(FOLDER, name), os.path.join(CORPUS, "npy", name))
    for name in ("float16_be_F", "uint64_be_F", "bool_le_F", "none"):
        np.save(os.path.join(CORPUS, "npy", name + ".npy"), made[name])
    few = {n: made[n] for n in ("float32_be_F", "row")}
    np.savez(os.path.join(CORPUS, "npz", "stored.npz"), **few)
    np.savez_compressed(os.path.join(CORPUS, "npz", "deflated.npz"), **few)
    shutil.copy(os.path.join(FOLDER, "regions.tsv"), os.path.join(CORPUS, "tsv", "crlf.tsv"))
    write_tsv(os.path.join(CORPUS, "tsv", "lf.tsv"), "\n")


if __name__ == "__main__":
    main()
