// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/checked.h"
#include "base/text.h"
#include "upconv/error.h"
#include "upconv/tensor.h"

namespace upconv {
namespace {

TEST(Text, NumbersAsPythonWritesThem) {
  const std::pair<double, const char*> cases[] = {
      {0.0, "0.0"}, {-0.0, "-0.0"}, {1.0, "1.0"}, {0.1, "0.1"}, {1e-7, "1e-07"}, {1e16, "1e+16"}, {1e15, "1000000000000000.0"},
      {0.0001, "0.0001"}, {0.00001, "1e-05"}, {123456.789, "123456.789"}, {0.0010000000474974513, "0.0010000000474974513"},
      {1.5e300, "1.5e+300"}, {-2.5, "-2.5"}, {5e-324, "5e-324"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(base::python_repr(value), text);
}

TEST(Text, EscapesControlCharacters) { EXPECT_EQ(base::escaped("a\x1b[31m\n"), "a\\x1b[31m\\n"); }

TEST(Text, NearMatches) {
  EXPECT_EQ(base::did_you_mean("rellu", {"relu", "elu"}), " Did you mean 'relu'?");
  EXPECT_EQ(base::did_you_mean("zzzz", {"relu"}), "");
}

TEST(Checked, ProductsThrowInsteadOfWrapping) {
  EXPECT_THROW(base::checked_mul(std::int64_t{1} << 40, std::int64_t{1} << 40), ArgumentError);
  EXPECT_THROW(Shape({1LL << 40, 1LL << 40}).elements(), ArgumentError);
  EXPECT_EQ(Shape({1LL << 40, 0, 1LL << 40}).elements(), 0);
}

TEST(Shape, PrintsAsPythonPrintsTuples) {
  EXPECT_EQ(Shape({4, Shape::unknown, 8}).str(), "(4, None, 8)");
  EXPECT_EQ(Shape({3}).str(), "(3,)");
  EXPECT_EQ(Shape().str(), "()");
}

}  // namespace
}  // namespace upconv
