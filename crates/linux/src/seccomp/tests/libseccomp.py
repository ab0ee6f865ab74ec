"""What libseccomp makes of profiles: the other side of differential.rs.

Reads one JSON profile (OCI format) per line and writes one line of hexadecimal BPF for each, built the way runc builds it.
Exits with 77 when the library is not there.
"""

import ctypes
import json
import os
import sys
import tempfile

try:
    lib = ctypes.CDLL("libseccomp.so.2")
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(77)


class Comparison(ctypes.Structure):
    _fields_ = [
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    ]


lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_release.argtypes = [ctypes.c_void_p]
lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
lib.seccomp_rule_add_array.argtypes = [
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.POINTER(Comparison),
]

ARCHITECTURES = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_X86": 0x40000003, "SCMP_ARCH_X32": 0x4000003E}
OPERATORS = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
EXISTS = -17


def action(name, errno):
    return {
        "SCMP_ACT_KILL": 0,
        "SCMP_ACT_KILL_PROCESS": 0x80000000,
        "SCMP_ACT_TRAP": 0x00030000,
        "SCMP_ACT_ERRNO": 0x00050000 | (1 if errno is None else errno),
        "SCMP_ACT_LOG": 0x7FFC0000,
        "SCMP_ACT_ALLOW": 0x7FFF0000,
    }[name]


def add(context, what, number, comparisons):
    array = (Comparison * max(len(comparisons), 1))(*comparisons)
    result = lib.seccomp_rule_add_array(context, what, number, len(comparisons), array)
    if result not in (0, EXISTS):
        raise OSError(-result, f"rule for {number}")


def compile(profile):
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = lib.seccomp_init(default)
    for architecture in profile.get("architectures", []):
        lib.seccomp_arch_add(context, ARCHITECTURES[architecture])
    for rule in profile["syscalls"]:
        what = action(rule["action"], rule.get("errnoRet"))
        if what == default:
            continue
        comparisons = [
            Comparison(
                condition["index"],
                OPERATORS.index(condition["op"].removeprefix("SCMP_CMP_")),
                condition["value"],
                condition.get("valueTwo", 0),
            )
            for condition in rule.get("args", [])
        ]
        positions = [comparison.argument for comparison in comparisons]
        for name in rule["names"]:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                continue
            if len(set(positions)) < len(positions):
                for comparison in comparisons:
                    add(context, what, number, [comparison])
            else:
                add(context, what, number, comparisons)
    with tempfile.TemporaryFile() as file:
        if lib.seccomp_export_bpf(context, file.fileno()) != 0:
            raise OSError("cannot export")
        file.seek(0)
        print(file.read().hex())
    lib.seccomp_release(context)


for line in sys.stdin:
    compile(json.loads(line))
