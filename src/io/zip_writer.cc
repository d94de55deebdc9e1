// SPDX-License-Identifier: Apache-2.0
#include "io/zip_writer.h"

#include <zlib.h>

#include <cstdint>
#include <set>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

constexpr std::uint16_t kVersion = 20;                          // 2.0: folders and deflate
constexpr std::uint16_t kMadeBy = 3 << 8 | kVersion;            // on Unix, so that the attributes hold a mode
constexpr std::uint16_t kDate = 1 << 5 | 1, kTime = 0;          // 1980-01-01 00:00
constexpr std::uint32_t kMode = std::uint32_t{0100600} << 16;
constexpr std::uint16_t kUtf8Name = 1 << 11;

class Output {
 public:
  explicit Output(std::size_t reserve) { bytes_.reserve(reserve); }
  Output& u16(std::uint64_t value) { return number(value, 2); }
  Output& u32(std::uint64_t value) { return number(value, 4); }
  Output& append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Output& append(const std::string& text) { return append(std::as_bytes(std::span(text))); }
  std::size_t size() const { return bytes_.size(); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  Output& number(std::uint64_t value, int width) {
    for (int i = 0; i < width; ++i) bytes_.push_back(static_cast<std::byte>(value >> (8 * i) & 255));
    return *this;
  }
  std::vector<std::byte> bytes_;
};

struct Entry {
  const ZipMember& member;
  std::uint64_t crc;
  std::size_t offset = 0;
};

/// The fields that the local and the central header share.
void put_common(Output& out, const Entry& entry) {
  const std::string& name = entry.member.name;
  bool ascii = true;
  for (const char c : name) ascii = ascii && static_cast<unsigned char>(c) < 0x80;
  out.u16(kVersion).u16(ascii ? 0 : kUtf8Name).u16(0).u16(kTime).u16(kDate).u32(entry.crc);
  out.u32(entry.member.bytes.size()).u32(entry.member.bytes.size()).u16(name.size()).u16(0);
}

std::vector<Entry> checked_entries(const std::vector<ZipMember>& members, std::uint64_t* total) {
  if (members.size() >= 0xFFFF) throw ArgumentError("members", base::cat("An archive holds fewer than 65,535 members. Received: ", members.size(), "."));
  std::vector<Entry> entries;
  std::set<std::string> names;
  *total = 22;
  for (const ZipMember& member : members) {
    if (member.name.empty() || member.name.size() > 0xFFFF || !names.insert(member.name).second)
      throw ArgumentError("members", base::cat("The names of members are distinct, not empty and at most 65,535 bytes long. Received: '", member.name, "'."));
    entries.push_back({member, crc32_z(0, reinterpret_cast<const Bytef*>(member.bytes.data()), member.bytes.size())});
    *total += member.bytes.size() + 2 * member.name.size() + 30 + 46;
  }
  if (*total >= 0xFFFFFFFF) throw ArgumentError("members", base::cat("An archive is smaller than 4 GiB. Received: ", *total, " bytes."));
  return entries;
}

}  // namespace

std::vector<std::byte> zip_bytes(const std::vector<ZipMember>& members) {
  std::uint64_t total = 0;
  std::vector<Entry> entries = checked_entries(members, &total);
  Output out(total);
  for (Entry& entry : entries) {
    entry.offset = out.size();
    out.u32(0x04034b50);
    put_common(out, entry);
    out.append(entry.member.name).append(entry.member.bytes);
  }
  const std::size_t directory = out.size();
  for (const Entry& entry : entries) {
    out.u32(0x02014b50).u16(kMadeBy);
    put_common(out, entry);
    out.u16(0).u16(0).u16(0).u32(kMode).u32(entry.offset).append(entry.member.name);
  }
  const std::size_t directory_size = out.size() - directory;
  out.u32(0x06054b50).u16(0).u16(0).u16(entries.size()).u16(entries.size()).u32(directory_size).u32(directory).u16(0);
  return out.take();
}

}  // namespace upconv::io
