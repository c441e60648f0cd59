#!/usr/bin/env python3
"""tests/data/io/formats: tiny files of torch.save, HDF5 and flax, and beside each what is in it
as .safetensors; and the seeds of their fuzz targets. Needs torch, h5py, flax and ml_dtypes (the
reference environment with TensorFlow and Flax)."""
import collections
import io
import os
import random
import shutil

import flax.serialization
import h5py
import jax.numpy as jnp
import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

OUT = "tests/data/io/formats"
CORPUS = "fuzz/corpus"
# When the datasets of these files were made that know it.
PLAIN_TIME, LATEST_TIME = 0x6B033087, 0x6B034B7A


def state_dict():
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    shared = torch.arange(6, dtype=torch.float32)
    d = collections.OrderedDict()
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64,
                  torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool):
        d[str(dtype)[6:]] = (torch.arange(6) % 5).to(dtype).reshape(2, 3)
    d["scalar"] = torch.tensor(2.5)
    d["empty"] = torch.zeros(0, 3)
    d["turned"] = base.permute(2, 0, 1)
    d["every_other"] = base[:, :, ::2]
    d["middle"] = base[1, 1:]
    d["first"] = shared
    d["second"] = shared
    d["part"] = shared[2:5]
    d["parameter"] = torch.nn.Parameter(torch.ones(2, 2) * 3)
    d["ones_stride"] = torch.arange(4.0).as_strided((1, 4), (7, 1))
    return d


def save_legacy(d, path):
    """The format before zip names storages by their addresses, which no two runs share: numbers
    in the order of first use stand for them here."""
    numbers, address = {}, torch._C.StorageBase._cdata.__get__
    torch.UntypedStorage._cdata = property(
        lambda self: 10 ** 13 + numbers.setdefault(address(self), len(numbers)))
    torch.save(d, path, _use_new_zipfile_serialization=False)
    del torch.UntypedStorage._cdata


def save_torch():
    d = state_dict()
    save_file({k: v.detach().clone().contiguous() for k, v in d.items()}, OUT + "/torch.safetensors")
    torch.save(d, OUT + "/zip.bin")
    torch.save(d, OUT + "/protocol-4.bin", pickle_protocol=4)
    save_legacy(d, OUT + "/legacy.bin")
    torch.save({"epoch": 3, "lr": 0.5, "state_dict": d, "args": ["a", None, True, (1, -2), 1 << 40],
                "optimizer": {"state": {}, "groups": [{"lr": 1e-3}]}, "size": torch.Size([2]),
                "type": torch.float32}, OUT + "/wrapped.bin")
    module = torch.nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.fill_(1), module.bias.fill_(2)
    torch.save(module.state_dict(), OUT + "/module.bin")     # has _metadata


def lookup3(data):
    """Bob Jenkins' hash, HDF5's checksum of its newer headers."""
    rot = lambda x, k: (x << k | x >> (32 - k)) & 0xFFFFFFFF
    sub, xor = lambda x, y: (x - y) & 0xFFFFFFFF, lambda x, y, k: x ^ rot(y, k)
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    words = np.frombuffer(data + bytes(-len(data) % 12), "<u4").tolist()
    for i in range(0, len(words), 3):
        a, b, c = ((x + y) & 0xFFFFFFFF for x, y in zip((a, b, c), words[i:i + 3]))
        if i + 3 < len(words):
            for k1, k2, k3 in ((4, 6, 8), (16, 19, 4)):
                a = xor(sub(a, c), c, k1)
                c = c + b & 0xFFFFFFFF
                b = xor(sub(b, a), a, k2)
                a = a + c & 0xFFFFFFFF
                c = xor(sub(c, b), b, k3)
                b = b + a & 0xFFFFFFFF
    for k1, k2, k3 in ((14, 11, 25), (16, 4, 14)):
        c = sub(c ^ b, rot(b, k1))
        a = sub(a ^ c, rot(c, k2))
        b = sub(b ^ a, rot(a, k3))
    return sub(c ^ b, rot(b, 24))


def set_time(name, time):
    """Puts `time` where a dataset's header says when it was made: in a message of type 18, or
    four times behind the head of a header of version 2, which ends with a checksum."""
    data, time = bytearray(open(f"{OUT}/{name}", "rb").read()), time.to_bytes(4, "little")
    message = bytes((18, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0))
    at = data.find(message) + len(message)
    if at >= len(message):
        data[at:at + 4] = time
    else:
        at = next(i for i in range(len(data)) if data[i:i + 5] == b"OHDR\x02" and data[i + 5] & 0x20)
        data[at + 6:at + 22] = time * 4
        width = 1 << (data[at + 5] & 3)
        end = at + 22 + width + int.from_bytes(data[at + 22:at + 22 + width], "little")
        data[end:end + 4] = lookup3(bytes(data[at:end])).to_bytes(4, "little")
    open(f"{OUT}/{name}", "wb").write(data)


def count_up(f, name, shape, dtype, **options):
    """An array whose elements are 0, 1, 2, …, which the test expects by itself."""
    data = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    f.create_dataset(name, data=data, **options)


def save_chunks():
    zipped = dict(compression="gzip", shuffle=True)
    with h5py.File(OUT + "/keras-chunks.h5", "w") as f:
        count_up(f, "edges", (5, 7), "<f4", chunks=(2, 3))
        count_up(f, "line", (70,), "<i2", chunks=(1,))          # a tree of two levels
        count_up(f, "deep", (3, 4, 5), "<f2", chunks=(2, 3, 4), **zipped)
        count_up(f, "gzip", (9, 9), "<f4", chunks=(4, 9), compression="gzip")
        count_up(f, "a/m/whole", (12, 12), "<f4", **zipped)
        count_up(f, "none", (0, 3), "<f4", chunks=(1, 3), maxshape=(None, 3))
        f.create_dataset("noise", data=np.frombuffer(random.Random(1).randbytes(256), "u1"),
                         chunks=(64,), compression="gzip")      # stored larger than it is
    with h5py.File(OUT + "/keras-latest.h5", "w", libver="latest") as f:
        count_up(f, "a/m/piece", (2, 3), "<f4")
        count_up(f, "a/m/single", (3, 3), "<f4", chunks=(3, 3))
        count_up(f, "a/m/zipped", (20,), "<f8", chunks=(20,), **zipped)
        count_up(f, "array", (5, 4), "<f4", chunks=(2, 2))
        count_up(f, "packed", (50,), "<i4", chunks=(16,), **zipped)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_chunk((2,))
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        d = h5py.h5d.create(f.id, b"order", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((5,)), early)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(5, dtype="f4"))
    set_time("keras-latest.h5", LATEST_TIME)


def save_h5():
    rng = np.random.RandomState(1)
    arrays = {}
    for dtype in ("f4", "f8", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"):
        arrays["a/m/" + dtype] = rng.randint(0, 100, (2, 3)).astype("<" + dtype)
    arrays["a/m/scalar"] = np.float32(1.5)
    arrays["a/m/none"] = np.zeros((0, 2), "f4")
    for i in range(10):         # two nodes of links
        arrays[f"b/m/layer_._{i}/x:0"] = np.full((2,), i, "f4")
    with h5py.File(OUT + "/keras.h5", "w") as f:
        f.attrs["layer_names"] = ["a", "b"]
        for name, a in arrays.items():
            f.create_dataset(name, data=a)
    with h5py.File(OUT + "/keras-plain.h5", "w") as f:
        f.attrs["backend"] = "tensorflow"
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3,))
        d = h5py.h5d.create(f.id, b"compact", h5py.h5t.IEEE_F32LE, space, compact)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2, 3], "f4"))
        f.create_dataset("x", data=np.array([[1, 2]], "f4"))
        f["y"] = f["x"]         # a hard link: the same tensor twice
    set_time("keras-plain.h5", PLAIN_TIME)
    arrays["compact"], arrays["plain/x"] = np.array([1, 2, 3], "f4"), np.array([[1, 2]], "f4")
    save_arrays({k: np.ascontiguousarray(v).reshape(np.shape(v)) for k, v in arrays.items()},
                OUT + "/keras.safetensors")
    save_chunks()
    broken = {
        "lzf": lambda f: f.create_dataset("x", data=np.zeros(64), compression="lzf"),
        "checksum": lambda f: f.create_dataset("x", data=np.zeros(4), fletcher32=True),
        "some-chunks": lambda f: f.create_dataset("x", (4,), chunks=(2,)).__setitem__(0, 1),
        "soft": lambda f: f.__setitem__("x", h5py.SoftLink("/y")),
        "external": lambda f: f.__setitem__("x", h5py.ExternalLink("other.h5", "/y")),
        "external-data": lambda f: f.create_dataset("x", (4,), external=[("other", 0, 32)]),
        "big-endian": lambda f: f.create_dataset("x", data=np.zeros(2, ">f4")),
        "text": lambda f: f.create_dataset("x", data=np.array([b"ab"])),
        "complex": lambda f: f.create_dataset("x", data=np.zeros(2, "c8")),
        "null": lambda f: f.create_dataset("x", data=h5py.Empty("f4")),
        "unwritten": lambda f: f.create_dataset("x", (1 << 40,), "f4"),
        "rank-9": lambda f: f.create_dataset("x", data=np.zeros((1,) * 9)),
    }
    for name, make in broken.items():
        with h5py.File(f"{OUT}/bad-{name}.h5", "w") as f:
            make(f)
    latest = {
        "latest": lambda f: [f.__setitem__(f"x{i}", np.zeros(2)) for i in range(9)],
        "growing": lambda f: f.create_dataset("x", data=np.zeros(4), chunks=(2,), maxshape=(None,)),
    }
    for name, make in latest.items():
        with h5py.File(f"{OUT}/bad-{name}.h5", "w", libver="latest") as f:
            make(f)
    with h5py.File(f"{OUT}/bad-circle.h5", "w") as f:
        f["a/b"] = f.create_group("a")


def save_msgpack():
    tree = {"vit": {"kernel": np.arange(6, dtype="f4").reshape(2, 3), "scalar": np.float32(2.5),
                    "zero": np.array(3.0, "f4"), "none": np.zeros((0, 2), "f4")},
            "types": {t: (np.arange(3) % 2).astype(t) for t in
                      ("float64", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32",
                       "uint16", "uint8", "bool")},
            "step": 3}
    tree["types"]["bfloat16"] = jnp.arange(3, dtype=jnp.bfloat16)
    tree["chunked"] = np.arange(50, dtype="f4").reshape(5, 10)
    flax.serialization.MAX_CHUNK_SIZE = 128
    with open(OUT + "/flax.msgpack", "wb") as f:
        f.write(flax.serialization.msgpack_serialize(tree))
    with open(OUT + "/flax-shard.msgpack", "wb") as f:
        f.write(flax.serialization.to_bytes({"a/kernel": np.ones((2, 2), "f4"),
                                             "b/bias": np.zeros(2, "f4")}))
    flat = {"vit." + k: v for k, v in tree["vit"].items()}
    flat |= {"types." + k: v for k, v in tree["types"].items() if k != "bfloat16"}
    flat["chunked"] = tree["chunked"]
    tensors = {k: torch.from_numpy(np.array(v).astype("i8" if v.dtype == "u8" else v.dtype))
               for k, v in flat.items() if v.dtype.kind != "u" or v.dtype == "u1"}
    tensors["types.bfloat16"] = torch.arange(3).to(torch.bfloat16)
    save_file(tensors, OUT + "/flax.safetensors")


def seeds():
    for target, files in {"torch": ["zip.bin", "legacy.bin", "wrapped.bin"],
                          "h5": ["keras-plain.h5", "bad-circle.h5", "keras-chunks.h5",
                                 "keras-latest.h5"],
                          "msgpack": ["flax.msgpack", "flax-shard.msgpack"]}.items():
        os.makedirs(f"{CORPUS}/{target}", exist_ok=True)
        for file in files:
            shutil.copy(f"{OUT}/{file}", f"{CORPUS}/{target}/{file.split('.')[0]}")
    os.makedirs(f"{CORPUS}/pickle", exist_ok=True)
    for name in ("zip", "protocol-4", "wrapped", "module"):
        import zipfile
        with zipfile.ZipFile(f"{OUT}/{name}.bin") as z:
            entry = [n for n in z.namelist() if n.endswith("data.pkl")][0]
            with open(f"{CORPUS}/pickle/{name}", "wb") as f:
                f.write(z.read(entry))
    os.makedirs(f"{CORPUS}/weights_index", exist_ok=True)
    with open(f"{CORPUS}/weights_index/good", "w") as f:
        f.write('{"metadata": {"total_size": 8}, "weight_map": {"a": "model-00001-of-00002.'
                'safetensors", "b": "model-00002-of-00002.safetensors"}}\n')
    with open(f"{CORPUS}/weights_index/outside", "w") as f:
        f.write('{"weight_map": {"a": "../model-00001-of-00002.safetensors"}}')


os.makedirs(OUT, exist_ok=True)
save_torch()
save_h5()
save_msgpack()
seeds()
