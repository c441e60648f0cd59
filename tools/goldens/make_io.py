"""Golden files of tests/io: safetensors files written by the reference package.

    python tools/goldens/make_io.py        (from the root of the repository)

Bytes of tensor number k are (7 * i + k) mod 251, so that a test can make them too."""
import ctypes
import os

from safetensors import TensorSpec, serialize

FOLDER = os.path.join("tests", "data", "io")
SIZES = {"bool": 1, "uint8": 1, "int8": 1, "float8_e5m2": 1, "float8_e4m3fn": 1, "int16": 2,
         "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4, "float32": 4,
         "float64": 8, "int64": 8, "uint64": 8}


def tensor(k, dtype, shape):
    size = SIZES[dtype]
    for n in shape:
        size *= n
    data = bytes((7 * i + k) % 251 for i in range(size))
    return dtype, shape, ctypes.create_string_buffer(data, size)


def write(name, tensors, metadata):
    specs = {n: TensorSpec(dtype=d, shape=s, data_ptr=ctypes.addressof(b), data_len=len(b))
             for n, (d, s, b) in tensors.items()}
    with open(os.path.join(FOLDER, name + ".safetensors"), "wb") as f:
        f.write(bytes(serialize(specs, metadata)))


def main():
    os.makedirs(FOLDER, exist_ok=True)
    write("plain", {"weight": tensor(0, "float32", [2, 3]), "bias": tensor(1, "float32", [3])},
          {"format": "pt"})
    write("dtypes", {f"t{k:02d}": tensor(k, d, [3]) for k, d in enumerate(SIZES)},
          {"format": "pt"})
    write("shapes", {"scalar": tensor(0, "float32", []), "none": tensor(1, "float32", [0]),
                     "none_2d": tensor(2, "int64", [4, 0]),
                     "deep": tensor(3, "uint8", [1, 2, 1, 3, 1, 2, 1, 1])}, None)
    names = ['quote"d', "back\\slash", "tab\there", "line\nfeed", "bell\x07", "delete\x7f",
             "gr\u00fc\u00dfe", "\u6570\u636e", "\U0001f41d", "slash/ed", "a", "A", "a.b", "\x08\x0c\r"]
    write("names", {n: tensor(k, "uint8", [2]) for k, n in enumerate(names)}, None)
    write("empty", {}, None)
    write("empty_metadata", {}, {"format": "pt"})


if __name__ == "__main__":
    main()
