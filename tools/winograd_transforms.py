#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the winograd transforms of src/kernels in exact rational arithmetic.

    tools/winograd_transforms.py [FOLDER]     writes winograd_transforms-inl.h and winograd_matrices.inc (default: src/kernels)

y_i = sum_q g_q d_(i+q), i < m, q < r, by Toom and Cook's interpolation on n = m + r - 1 points, one of them infinity: with
M(x) the product of (x - a) over the finite points a and N_a(x) = M(x) / (x - a),
    B^T (input)  has a row of N_a's coefficients a point and M's for infinity,
    G   (kernel) has a row a^q / N_a(a) a point and the last unit vector for infinity,
    A^T (output) has the points' powers as columns and the last unit vector for infinity.
The points were found by a search for the least error; the five- and six-point sets are several times better than the usual
{0, +-1, 2} and {0, +-1, +-2}. Points that come as a pair +-a share their even and odd parts. verify() checks every scheme.
"""
import pathlib
import sys
from fractions import Fraction as F

POINTS = {
    3: [F(0), F(1)],
    4: [F(0), F(1), F(-1)],
    5: [F(0), F(-1), F(1, 2), F(2)],
    6: [F(0), F(2, 3), F(-2, 3), F(3, 2), F(-3, 2)],
}
MOST_TAPS = 5
SCHEMES = [(n, r) for n in POINTS for r in range(2, min(MOST_TAPS, n - 1) + 1) if n - r + 1 >= 2]


def times_root(polynomial, root):
    """polynomial * (x - root); coefficients ascend."""
    shifted = [F(0)] + polynomial
    return [s - root * p for s, p in zip(shifted, polynomial + [F(0)])]


def product(roots):
    polynomial = [F(1)]
    for root in roots:
        polynomial = times_root(polynomial, root)
    return polynomial


def input_matrix(n):
    points = POINTS[n]
    rows = [product(points[:i] + points[i + 1:]) + [F(0)] for i in range(n - 1)]
    return rows + [product(points)]


def kernel_matrix(n, r):
    rows = []
    for row, a in zip(input_matrix(n), POINTS[n]):
        at = sum(c * a**k for k, c in enumerate(row))
        rows.append([a**q / at for q in range(r)])
    return rows + [[F(int(q == r - 1)) for q in range(r)]]


def output_matrix(n, m):
    return [[a**k for a in POINTS[n]] + [F(int(k == m - 1))] for k in range(m)]


def verify():
    for n, r in SCHEMES:
        m = n - r + 1
        b, g, a = input_matrix(n), kernel_matrix(n, r), output_matrix(n, m)
        for i in range(m):
            for q in range(r):
                for j in range(n):
                    got = sum(a[i][p] * g[p][q] * b[p][j] for p in range(n))
                    assert got == (1 if j == i + q else 0), (n, r, i, q, j)


def literal(value, suffix):
    """An expression that the compiler rounds once."""
    if value.denominator == 1:
        return f"{value.numerator}" if not suffix else f"{value.numerator}.0{suffix}"
    return f"{value.numerator}.0{suffix} / {value.denominator}"


def signed_sum(terms):
    """terms: (sign, name), the first positive one leads."""
    terms = sorted(terms, key=lambda t: -t[0])
    text = terms[0][1] if terms[0][0] > 0 else f"hn::Neg({terms[0][1]})"
    for sign, name in terms[1:]:
        text = f"hn::{'Add' if sign > 0 else 'Sub'}({text}, {name})"
    return text


def combination(terms):
    """sum of coefficient * name: names of one magnitude are added first, then one multiply-add a magnitude."""
    groups = {}
    for coefficient, name in terms:
        if coefficient:
            groups.setdefault(abs(coefficient), []).append((1 if coefficient > 0 else -1, name))
    text = signed_sum(groups.pop(F(1))) if F(1) in groups else None
    for magnitude, names in groups.items():
        lead = names[0][0]
        inner, factor = signed_sum([(s * lead, n) for s, n in names]), f"hn::Set(d, {literal(magnitude, 'f')})"
        if text is None:
            text = f"hn::Mul({factor}, {inner})" if lead > 0 else f"hn::Neg(hn::Mul({factor}, {inner}))"
        else:
            text = f"hn::{'MulAdd' if lead > 0 else 'NegMulAdd'}({factor}, {inner}, {text})"
    return text


def pairs(n):
    """Places of points a, -a."""
    points = POINTS[n]
    return [(i, points.index(-a)) for i, a in enumerate(points) if a > 0 and -a in points]


def input_lines(n):
    rows, points, lines, done = input_matrix(n), POINTS[n], [], set()
    for plus, minus in pairs(n):
        a = points[plus]
        even = [(x + y) / 2 for x, y in zip(rows[plus], rows[minus])]
        odd = [(x - y) / 2 / a for x, y in zip(rows[plus], rows[minus])]
        lines.append(f"const V even{plus} = {combination([(c, f'in[{j}]') for j, c in enumerate(even)])};")
        lines.append(f"const V odd{plus} = {combination([(c, f'in[{j}]') for j, c in enumerate(odd)])};")
        lines.append(f"out[{plus}] = {combination([(F(1), f'even{plus}'), (a, f'odd{plus}')])};")
        lines.append(f"out[{minus}] = {combination([(F(1), f'even{plus}'), (-a, f'odd{plus}')])};")
        done |= {plus, minus}
    for i in range(n):
        if i not in done:
            lines.append(f"out[{i}] = {combination([(c, f'in[{j}]') for j, c in enumerate(rows[i])])};")
    return lines


def output_lines(n, m):
    rows, lines, paired = output_matrix(n, m), [], {}
    for plus, minus in pairs(n):
        lines.append(f"const V even{plus} = hn::Add(in[{plus}], in[{minus}]);")
        lines.append(f"const V odd{plus} = hn::Sub(in[{plus}], in[{minus}]);")
        paired[plus], paired[minus] = f"{plus}", None
    for k, row in enumerate(rows):
        terms = []
        for i, c in enumerate(row):
            if i not in paired:
                terms.append((c, f"in[{i}]"))
            elif paired[i]:
                terms.append((c, f"{'odd' if k % 2 else 'even'}{paired[i]}"))
        lines.append(f"out[{k}] = {combination(terms)};")
    return lines


def structure(name, sizes, lines):
    constants = ["const D d;"] if any("Set(d" in line for line in lines) else []
    body = "\n".join(f"    {line}" for line in constants + lines)
    return (f"struct {name} {{\n  static constexpr int {sizes};\n"
            f"  static HWY_INLINE void Run(const V* in, V* out) {{\n{body}\n  }}\n}};\n")


def transforms_header():
    parts = []
    for n in POINTS:
        parts.append(structure(f"Input{n}", f"from = {n}, to = {n}", input_lines(n)))
    for n, r in SCHEMES:
        m = n - r + 1
        parts.append(structure(f"Output{n}To{m}", f"from = {n}, to = {m}", output_lines(n, m)))
    return ("// SPDX-License-Identifier: Apache-2.0\n"
            "// Written by tools/winograd_transforms.py: change that. Inside kernels/winograd.cc, once a target, where V is a vector\n"
            "// of D. InputN: out = B^T in; OutputNToM: out = A^T in.\n" + "\n".join(parts))


def matrices():
    """G and A^T without infinity: any number of taps and outputs takes the first ones."""
    lines = ["// SPDX-License-Identifier: Apache-2.0",
             "// Written by tools/winograd_transforms.py: change that. By number of points, for the finite ones."]

    def table(name, what, rows_of):
        lines.append(f"constexpr double {name}[winograd_most_points + 1][winograd_most_points - 1][winograd_most_taps] = {{   // {what}")
        for n in range(max(POINTS) + 1):
            rows = rows_of(n) if n in POINTS else []
            lines.append("    {" + ", ".join("{" + ", ".join(literal(c, "") for c in row) + "}" for row in rows) + "},")
        lines.append("};")

    table("finite_kernel", "[points][point][tap]", lambda n: kernel_matrix(n, MOST_TAPS)[:-1])
    table("finite_output", "[points][point][output]", lambda n: [[a**k for k in range(MOST_TAPS)] for a in POINTS[n]])
    return "\n".join(lines) + "\n"


def main():
    verify()
    default = pathlib.Path(__file__).resolve().parent.parent / "src" / "kernels"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    (folder / "winograd_transforms-inl.h").write_text(transforms_header())
    (folder / "winograd_matrices.inc").write_text(matrices())


if __name__ == "__main__":
    main()
