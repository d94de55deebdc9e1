// SPDX-License-Identifier: Apache-2.0
// libzip over the bytes in memory, opened with its consistency checks (ZIP_CHECKCONS).
#include "io/zip.h"

#include <zip.h>

#include <algorithm>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

struct Member {
  zip_uint64_t index;
  std::int64_t size;
};

std::string error_text(zip_error_t* error) { return zip_error_strerror(error); }

/// Why a member's name is refused, or "".
std::string bad_name(const std::string& name) {
  if (name.empty()) return "is empty";
  if (name.front() == '/' || name.find('\\') != std::string::npos || (name.size() > 1 && name[1] == ':')) return "is not a relative path";
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    if (name.substr(start, end - start) == "..") return "climbs out of the archive";
    start = end + 1;
  }
  if (std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) return "has control characters";
  return "";
}

std::uint64_t number(std::span<const std::byte> bytes, std::size_t at, int size) {
  std::uint64_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

/// Whether a header's extra field holds two ZIP64 blocks: readers differ in which of the two they believe.
bool repeats_zip64(std::span<const std::byte> extra) {
  int seen = 0;
  for (std::size_t at = 0; at + 4 <= extra.size(); at += 4 + number(extra, at + 2, 2)) seen += number(extra, at, 2) == 1;
  return seen > 1;
}

/// The headers of one member: the central one at `at`, and the local one it points to.
bool member_repeats_zip64(std::span<const std::byte> file, std::size_t at) {
  const std::size_t name = number(file, at + 28, 2), extra = number(file, at + 30, 2), local = number(file, at + 42, 4);
  if (at + 46 + name + extra > file.size()) return false;
  if (repeats_zip64(file.subspan(at + 46 + name, extra))) return true;
  if (local + 30 > file.size() || number(file, local, 4) != 0x04034b50) return false;
  const std::size_t local_name = number(file, local + 26, 2), local_extra = number(file, local + 28, 2);
  return local + 30 + local_name + local_extra <= file.size() && repeats_zip64(file.subspan(local + 30 + local_name, local_extra));
}

/// Walks the central directory, which libzip has found sound, backwards from the end of the archive's last record.
bool any_repeats_zip64(std::span<const std::byte> file) {
  std::size_t end = file.size() < 22 ? 0 : file.size() - 22;
  while (end > 0 && number(file, end, 4) != 0x06054b50) --end;
  if (end == 0 && (file.size() < 22 || number(file, 0, 4) != 0x06054b50)) return false;
  std::uint64_t at = number(file, end + 16, 4);
  if (at == 0xffffffffu && end >= 20 && number(file, end - 20, 4) == 0x07064b50) {
    const std::uint64_t record = number(file, end - 12, 8);
    if (record + 56 > file.size()) return false;
    at = number(file, record + 48, 8);
  }
  while (at + 46 <= file.size() && number(file, at, 4) == 0x02014b50) {
    if (member_repeats_zip64(file, at)) return true;
    at += 46 + number(file, at + 28, 2) + number(file, at + 30, 2) + number(file, at + 32, 2);
  }
  return false;
}

}  // namespace

struct ZipReader::Archive {
  std::string path;
  std::vector<std::byte> bytes;
  zip_t* zip = nullptr;
  std::map<std::string, Member> members;
  ~Archive() {
    if (zip) zip_discard(zip);
  }
};

ZipReader::ZipReader(const Bytes& file, const LoadLimits& limits) : archive_(std::make_unique<Archive>()) {
  Archive& a = *archive_;
  a.path = file.path();
  a.bytes = file.all(limits.tensor_bytes + (std::int64_t{64} << 20));
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(a.bytes.data(), a.bytes.size(), 0, &error);
  if (source) a.zip = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
  if (!a.zip) {
    const std::string why = error_text(&error);
    const int code = zip_error_code_zip(&error);
    if (source) zip_source_free(source);
    zip_error_fini(&error);
    throw FileError(a.path, "", "is not a sound ZIP archive: " + (code == ZIP_ER_EXISTS ? "a member appears twice" : why));
  }
  zip_error_fini(&error);
  if (any_repeats_zip64(a.bytes)) throw FileError(a.path, "", "is not a sound ZIP archive: a member has two zip64 extra fields");
  const zip_int64_t count = zip_get_num_entries(a.zip, 0);
  if (count > limits.zip_members) throw FileError(a.path, "", base::cat("has ", count, " members; at most ", limits.zip_members, " are read"));
  std::int64_t total = 0;
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(count); ++i) {
    zip_stat_t info;
    zip_stat_init(&info);
    if (zip_stat_index(a.zip, i, 0, &info) != 0 || !(info.valid & ZIP_STAT_NAME) || !(info.valid & ZIP_STAT_SIZE))
      throw FileError(a.path, base::cat("member ", i), "cannot be read");
    const char* raw = zip_get_name(a.zip, i, ZIP_FL_ENC_RAW);     // info.name is translated from code page 437
    const std::string name = raw ? raw : "";
    if (const std::string why = bad_name(name); !why.empty()) throw FileError(a.path, name, "the member's name " + why);
    if (info.encryption_method != ZIP_EM_NONE) throw FileError(a.path, name, "the member is encrypted");
    if (info.comp_method != ZIP_CM_STORE && info.comp_method != ZIP_CM_DEFLATE)
      throw FileError(a.path, name, base::cat("the member is compressed by method ", info.comp_method, "; stored and deflated ones are read"));
    const auto size = static_cast<std::int64_t>(info.size), stored = static_cast<std::int64_t>(info.comp_size);
    const bool bomb = size > (std::int64_t{1} << 20) && size / limits.inflate_ratio > stored;
    if (size < 0 || size > limits.tensor_bytes || bomb || (total += size) > limits.tensor_bytes + limits.json_bytes)
      throw FileError(a.path, name, base::cat("the member claims ", size, " bytes from ", stored, " stored ones, beyond the limits"));
    if (!a.members.emplace(name, Member{i, size}).second) throw FileError(a.path, name, "the member appears twice");
  }
}

ZipReader::~ZipReader() = default;

bool ZipReader::has(const std::string& name) const { return archive_->members.count(name) > 0; }

std::vector<std::string> ZipReader::names() const {
  std::vector<std::string> names;
  for (const auto& [name, member] : archive_->members) names.push_back(name);
  return names;
}

std::vector<std::byte> ZipReader::read(const std::string& name) const {
  const Archive& a = *archive_;
  const auto it = a.members.find(name);
  if (it == a.members.end()) throw FileError(a.path, name, "the archive has no such member");
  std::vector<std::byte> out(static_cast<std::size_t>(it->second.size));
  zip_file_t* file = zip_fopen_index(a.zip, it->second.index, 0);
  if (!file) throw FileError(a.path, name, zip_strerror(a.zip));
  std::size_t done = 0;
  zip_int64_t got = 0;
  while (done < out.size() && (got = zip_fread(file, out.data() + done, out.size() - done)) > 0) done += static_cast<std::size_t>(got);
  std::byte extra;
  const bool longer = done == out.size() && zip_fread(file, &extra, 1) > 0;      // reading to the end also checks the CRC
  const std::string why = error_text(zip_file_get_error(file));
  const bool failed = got < 0 || done != out.size() || longer || zip_error_code_zip(zip_file_get_error(file)) != ZIP_ER_OK;
  zip_fclose(file);
  if (failed) throw FileError(a.path, name, longer ? "the member is longer than it says" : "the member cannot be decoded: " + why);
  return out;
}

}  // namespace upconv::io
