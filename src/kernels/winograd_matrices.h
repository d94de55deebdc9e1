// SPDX-License-Identifier: Apache-2.0
// The matrices of winograd.h for code that unrolls them: input B^T, output A^T, kernel G. Derived in exact rationals from the
// points named in winograd.h.
#pragma once

namespace upconv::kernels {

struct F11 {
  static constexpr int a = 1, m = 1;
  static constexpr float input[1][1] = {{1}}, output[1][1] = {{1}};
  static constexpr float kernel[1][1] = {{1}};
};
struct F32 {
  static constexpr int a = 4, m = 3;
  static constexpr float input[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, 1, -1, 0}, {0, -1, 0, 1}};
  static constexpr float output[3][4] = {{1, 1, 1, 0}, {0, 1, -1, 0}, {0, 1, 1, 1}};
  static constexpr float kernel[4][2] = {{1, 0}, {0.5f, 0.5f}, {-0.5f, 0.5f}, {0, 1}};
};
struct F23 {
  static constexpr int a = 4, m = 2;
  static constexpr float input[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, 1, -1, 0}, {0, -1, 0, 1}};
  static constexpr float output[2][4] = {{1, 1, 1, 0}, {0, 1, -1, 1}};
  static constexpr float kernel[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {-0.5f, 0.5f, -0.5f}, {0, 0, 1}};
};
#define UPCONV_SIX_POINT_INPUT                                                                                          \
  {{0.5f, 0, -97.0f / 72, 0, 0.5f, 0},                 {0, 0.75f, 1.125f, -1.0f / 3, -0.5f, 0},                          \
   {0, 0.75f, -1.125f, -1.0f / 3, 0.5f, 0},            {0, 2.0f / 3, 4.0f / 9, -1.5f, -1, 0},                            \
   {0, 2.0f / 3, -4.0f / 9, -1.5f, 1, 0},              {0, 1, 0, -97.0f / 36, 0, 1}}
struct F52 {
  static constexpr int a = 6, m = 5;
  static constexpr float input[6][6] = UPCONV_SIX_POINT_INPUT;
  static constexpr float output[5][6] = {{1, 1, 1, 1, 1, 0},
                                         {0, 2.0f / 3, -2.0f / 3, 1.5f, -1.5f, 0},
                                         {0, 4.0f / 9, 4.0f / 9, 2.25f, 2.25f, 0},
                                         {0, 8.0f / 27, -8.0f / 27, 3.375f, -3.375f, 0},
                                         {0, 16.0f / 81, 16.0f / 81, 5.0625f, 5.0625f, 1}};
  static constexpr float kernel[6][2] = {{2, 0}, {81.0f / 65, 54.0f / 65}, {-81.0f / 65, 54.0f / 65},
                                        {-8.0f / 65, -12.0f / 65}, {8.0f / 65, -12.0f / 65}, {0, 1}};
};
struct F43 {
  static constexpr int a = 6, m = 4;
  static constexpr float input[6][6] = UPCONV_SIX_POINT_INPUT;
  static constexpr float output[4][6] = {{1, 1, 1, 1, 1, 0},
                                         {0, 2.0f / 3, -2.0f / 3, 1.5f, -1.5f, 0},
                                         {0, 4.0f / 9, 4.0f / 9, 2.25f, 2.25f, 0},
                                         {0, 8.0f / 27, -8.0f / 27, 3.375f, -3.375f, 1}};
  static constexpr float kernel[6][3] = {{2, 0, 0}, {81.0f / 65, 54.0f / 65, 36.0f / 65}, {-81.0f / 65, 54.0f / 65, -36.0f / 65},
                                        {-8.0f / 65, -12.0f / 65, -18.0f / 65}, {8.0f / 65, -12.0f / 65, 18.0f / 65}, {0, 0, 1}};
};

}  // namespace upconv::kernels
