// SPDX-License-Identifier: Apache-2.0
// Written by tools/winograd_transforms.py: change that. Inside kernels/winograd.cc, once a target, where V is a vector
// of D. InputN: out = B^T in; OutputNToM: out = A^T in.
struct Input3 {
  static constexpr int from = 3, to = 3;
  static HWY_INLINE void Run(const V* in, V* out) {
    out[0] = hn::Sub(in[1], in[0]);
    out[1] = in[1];
    out[2] = hn::Sub(in[2], in[1]);
  }
};

struct Input4 {
  static constexpr int from = 4, to = 4;
  static HWY_INLINE void Run(const V* in, V* out) {
    const V even1 = in[2];
    const V odd1 = in[1];
    out[1] = hn::Add(even1, odd1);
    out[2] = hn::Sub(even1, odd1);
    out[0] = hn::Sub(in[2], in[0]);
    out[3] = hn::Sub(in[3], in[1]);
  }
};

struct Input5 {
  static constexpr int from = 5, to = 5;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    out[0] = hn::NegMulAdd(hn::Set(d, 3.0f / 2), hn::Add(in[1], in[2]), hn::Add(in[0], in[3]));
    out[1] = hn::NegMulAdd(hn::Set(d, 5.0f / 2), in[2], hn::Add(in[1], in[3]));
    out[2] = hn::NegMulAdd(hn::Set(d, 2.0f), in[1], hn::Sub(in[3], in[2]));
    out[3] = hn::NegMulAdd(hn::Set(d, 1.0f / 2), hn::Sub(in[1], in[2]), in[3]);
    out[4] = hn::NegMulAdd(hn::Set(d, 3.0f / 2), hn::Add(in[2], in[3]), hn::Add(in[1], in[4]));
  }
};

struct Input6 {
  static constexpr int from = 6, to = 6;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    const V even1 = hn::NegMulAdd(hn::Set(d, 9.0f / 4), in[2], in[4]);
    const V odd1 = hn::NegMulAdd(hn::Set(d, 9.0f / 4), in[1], in[3]);
    out[1] = hn::MulAdd(hn::Set(d, 2.0f / 3), odd1, even1);
    out[2] = hn::NegMulAdd(hn::Set(d, 2.0f / 3), odd1, even1);
    const V even3 = hn::NegMulAdd(hn::Set(d, 4.0f / 9), in[2], in[4]);
    const V odd3 = hn::NegMulAdd(hn::Set(d, 4.0f / 9), in[1], in[3]);
    out[3] = hn::MulAdd(hn::Set(d, 3.0f / 2), odd3, even3);
    out[4] = hn::NegMulAdd(hn::Set(d, 3.0f / 2), odd3, even3);
    out[0] = hn::NegMulAdd(hn::Set(d, 97.0f / 36), in[2], hn::Add(in[0], in[4]));
    out[5] = hn::NegMulAdd(hn::Set(d, 97.0f / 36), in[3], hn::Add(in[1], in[5]));
  }
};

struct Output3To2 {
  static constexpr int from = 3, to = 2;
  static HWY_INLINE void Run(const V* in, V* out) {
    out[0] = hn::Add(in[0], in[1]);
    out[1] = hn::Add(in[1], in[2]);
  }
};

struct Output4To3 {
  static constexpr int from = 4, to = 3;
  static HWY_INLINE void Run(const V* in, V* out) {
    const V even1 = hn::Add(in[1], in[2]);
    const V odd1 = hn::Sub(in[1], in[2]);
    out[0] = hn::Add(in[0], even1);
    out[1] = odd1;
    out[2] = hn::Add(even1, in[3]);
  }
};

struct Output4To2 {
  static constexpr int from = 4, to = 2;
  static HWY_INLINE void Run(const V* in, V* out) {
    const V even1 = hn::Add(in[1], in[2]);
    const V odd1 = hn::Sub(in[1], in[2]);
    out[0] = hn::Add(in[0], even1);
    out[1] = hn::Add(odd1, in[3]);
  }
};

struct Output5To4 {
  static constexpr int from = 5, to = 4;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    out[0] = hn::Add(hn::Add(hn::Add(in[0], in[1]), in[2]), in[3]);
    out[1] = hn::MulAdd(hn::Set(d, 2.0f), in[3], hn::MulAdd(hn::Set(d, 1.0f / 2), in[2], hn::Neg(in[1])));
    out[2] = hn::MulAdd(hn::Set(d, 4.0f), in[3], hn::MulAdd(hn::Set(d, 1.0f / 4), in[2], in[1]));
    out[3] = hn::MulAdd(hn::Set(d, 8.0f), in[3], hn::MulAdd(hn::Set(d, 1.0f / 8), in[2], hn::Sub(in[4], in[1])));
  }
};

struct Output5To3 {
  static constexpr int from = 5, to = 3;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    out[0] = hn::Add(hn::Add(hn::Add(in[0], in[1]), in[2]), in[3]);
    out[1] = hn::MulAdd(hn::Set(d, 2.0f), in[3], hn::MulAdd(hn::Set(d, 1.0f / 2), in[2], hn::Neg(in[1])));
    out[2] = hn::MulAdd(hn::Set(d, 4.0f), in[3], hn::MulAdd(hn::Set(d, 1.0f / 4), in[2], hn::Add(in[1], in[4])));
  }
};

struct Output5To2 {
  static constexpr int from = 5, to = 2;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    out[0] = hn::Add(hn::Add(hn::Add(in[0], in[1]), in[2]), in[3]);
    out[1] = hn::MulAdd(hn::Set(d, 2.0f), in[3], hn::MulAdd(hn::Set(d, 1.0f / 2), in[2], hn::Sub(in[4], in[1])));
  }
};

struct Output6To5 {
  static constexpr int from = 6, to = 5;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    const V even1 = hn::Add(in[1], in[2]);
    const V odd1 = hn::Sub(in[1], in[2]);
    const V even3 = hn::Add(in[3], in[4]);
    const V odd3 = hn::Sub(in[3], in[4]);
    out[0] = hn::Add(hn::Add(in[0], even1), even3);
    out[1] = hn::MulAdd(hn::Set(d, 3.0f / 2), odd3, hn::Mul(hn::Set(d, 2.0f / 3), odd1));
    out[2] = hn::MulAdd(hn::Set(d, 9.0f / 4), even3, hn::Mul(hn::Set(d, 4.0f / 9), even1));
    out[3] = hn::MulAdd(hn::Set(d, 27.0f / 8), odd3, hn::Mul(hn::Set(d, 8.0f / 27), odd1));
    out[4] = hn::MulAdd(hn::Set(d, 81.0f / 16), even3, hn::MulAdd(hn::Set(d, 16.0f / 81), even1, in[5]));
  }
};

struct Output6To4 {
  static constexpr int from = 6, to = 4;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    const V even1 = hn::Add(in[1], in[2]);
    const V odd1 = hn::Sub(in[1], in[2]);
    const V even3 = hn::Add(in[3], in[4]);
    const V odd3 = hn::Sub(in[3], in[4]);
    out[0] = hn::Add(hn::Add(in[0], even1), even3);
    out[1] = hn::MulAdd(hn::Set(d, 3.0f / 2), odd3, hn::Mul(hn::Set(d, 2.0f / 3), odd1));
    out[2] = hn::MulAdd(hn::Set(d, 9.0f / 4), even3, hn::Mul(hn::Set(d, 4.0f / 9), even1));
    out[3] = hn::MulAdd(hn::Set(d, 27.0f / 8), odd3, hn::MulAdd(hn::Set(d, 8.0f / 27), odd1, in[5]));
  }
};

struct Output6To3 {
  static constexpr int from = 6, to = 3;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    const V even1 = hn::Add(in[1], in[2]);
    const V odd1 = hn::Sub(in[1], in[2]);
    const V even3 = hn::Add(in[3], in[4]);
    const V odd3 = hn::Sub(in[3], in[4]);
    out[0] = hn::Add(hn::Add(in[0], even1), even3);
    out[1] = hn::MulAdd(hn::Set(d, 3.0f / 2), odd3, hn::Mul(hn::Set(d, 2.0f / 3), odd1));
    out[2] = hn::MulAdd(hn::Set(d, 9.0f / 4), even3, hn::MulAdd(hn::Set(d, 4.0f / 9), even1, in[5]));
  }
};

struct Output6To2 {
  static constexpr int from = 6, to = 2;
  static HWY_INLINE void Run(const V* in, V* out) {
    const D d;
    const V even1 = hn::Add(in[1], in[2]);
    const V odd1 = hn::Sub(in[1], in[2]);
    const V even3 = hn::Add(in[3], in[4]);
    const V odd3 = hn::Sub(in[3], in[4]);
    out[0] = hn::Add(hn::Add(in[0], even1), even3);
    out[1] = hn::MulAdd(hn::Set(d, 3.0f / 2), odd3, hn::MulAdd(hn::Set(d, 2.0f / 3), odd1, in[5]));
  }
};
