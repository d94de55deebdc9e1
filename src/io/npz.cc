// SPDX-License-Identifier: Apache-2.0
#include "io/npz.h"

#include "base/text.h"
#include "io/npy.h"
#include "io/zip.h"
#include "io/zip_writer.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

constexpr std::string_view kSuffix = ".npy";

}  // namespace

std::vector<std::pair<std::string, Tensor>> read_npz(const Bytes& file, const LoadLimits& limits) {
  if (!file.starts_with("PK")) throw FileError(file.path(), "", file.size() == 0 ? "is empty" : "is not an .npz file, a ZIP archive");
  const ZipReader archive(file, limits);
  std::vector<std::pair<std::string, Tensor>> arrays;
  for (const std::string& member : archive.names()) {
    if (!member.ends_with(kSuffix) || member.size() == kSuffix.size()) throw FileError(file.path(), member, "the member is not named NAME.npy");
    arrays.emplace_back(member.substr(0, member.size() - kSuffix.size()), read_npy(archive.open(member), limits));
  }
  return arrays;
}

std::vector<std::byte> npz_bytes(const std::vector<std::pair<std::string, ConstTensorView>>& arrays) {
  std::vector<std::vector<std::byte>> files;
  for (const auto& [name, array] : arrays) files.push_back(npy_bytes(array));
  std::vector<ZipMember> members;
  for (std::size_t i = 0; i < arrays.size(); ++i) members.push_back({base::cat(arrays[i].first, kSuffix), files[i]});
  return zip_bytes(members);
}

}  // namespace upconv::io
