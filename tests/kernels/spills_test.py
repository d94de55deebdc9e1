# SPDX-License-Identifier: Apache-2.0
"""The register tiles keep their accumulators in registers: no vector of their inner loops touches the stack.

    spills_test.py BUILD_DIRECTORY | --self-test

Disassembles the tiles of every FMA target. A tile is a function template named below; its inner loops are the shortest
backward jumps around fused multiply-adds. Skipped (77) without objdump or off x86.
"""
import pathlib
import platform
import re
import shutil
import subprocess
import sys

TILES = re.compile(r"N_(AVX2|AVX3\w*)::(Run(?:Tile|Rows|Strips|Outer)<[^>]*>)")
FUSED = re.compile(r"vfn?m(add|sub)")
STACK = re.compile(r"\(%r[sb]p[,)]")
VECTOR = re.compile(r"%[xyz]mm")


def inner_loops(code):
    """Bodies of the backward jumps of [(address, text)] that hold a multiply-add and no smaller such body."""
    place = {address: i for i, (address, _) in enumerate(code)}
    bodies = []
    for i, (address, text) in enumerate(code):
        jump = re.match(r"j\w+\s+(?:0x)?([0-9a-f]+)\b", text)
        start = place.get(int(jump[1], 16)) if jump else None
        if start is not None and start <= i and any(FUSED.match(t) for _, t in code[start:i + 1]):
            bodies.append((start, i + 1))
    return [[t for _, t in code[a:b]] for a, b in bodies
            if not any((c, d) != (a, b) and a <= c and d <= b for c, d in bodies)]


def functions(disassembly):
    name, code = None, []
    for line in disassembly.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            if name:
                yield name, code
            name, code = head[1], []
        elif instruction := re.match(r"\s+([0-9a-f]+):\s+(\S.*)$", line):
            code.append((int(instruction[1], 16), instruction[2]))
    if name:
        yield name, code


def examine(disassembly):
    """(tiles seen, complaints)"""
    seen, wrong = 0, []
    for name, code in functions(disassembly):
        tile = TILES.search(name)
        if not tile or "[clone" in name:
            continue
        seen += 1
        loops = inner_loops(code)
        if not loops:
            wrong.append(f"{tile[1]} {tile[2]}: no loop of multiply-adds found")
        for body in loops:
            spilled = [t for t in body if VECTOR.search(t) and STACK.search(t)]
            if spilled:
                wrong.append(f"{tile[1]} {tile[2]}: {len(spilled)} vectors on the stack in its loop, the first: {spilled[0]}")
    return seen, wrong


def self_test():
    def tile(loop):
        return "0000 <void upconv::kernels::N_AVX3::RunTile<float, 6, 2>(x)>:\n" + "".join(
            f"  {i:x}:\t{t}\n" for i, t in enumerate(loop))
    fused = "vfmadd231ps %zmm3,%zmm4,%zmm15"
    assert examine(tile([fused, "jne 0 <x>"])) == (1, [])
    assert examine(tile(["vmovaps %zmm0,0x40(%rsp)", fused, "jne 1 <x>"]))[1] == []           # outside the loop
    assert len(examine(tile([fused, "vfmadd231ps -0x38(%rsp),%zmm2,%zmm13", "jne 0 <x>"]))[1]) == 1
    assert len(examine(tile(["mov 0x8(%rsp),%rax", fused]))[1]) == 1                          # no loop at all
    print("the self-test holds")


def main():
    if sys.argv[1] == "--self-test":
        return self_test()
    objdump = shutil.which("objdump")
    if not objdump or platform.machine() not in ("x86_64", "AMD64"):
        print("skipped: needs objdump and x86")
        return 77
    objects = sorted((pathlib.Path(sys.argv[1]) / "src/kernels/CMakeFiles/upconv_room_kernels.dir").glob("*.o"))
    total, complaints = 0, []
    for path in objects:
        text = subprocess.run([objdump, "-d", "-C", "--no-show-raw-insn", str(path)], check=True, capture_output=True, text=True).stdout
        seen, wrong = examine(text)
        total += seen
        complaints += [f"{path.name}: {line}" for line in wrong]
    print("\n".join(complaints))
    print(f"{total} tiles in {len(objects)} objects, {len(complaints)} complaints")
    return 1 if complaints or total < 100 else 0


sys.exit(main())
