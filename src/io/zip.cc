// SPDX-License-Identifier: Apache-2.0
// libzip over the bytes where they lie, opened with its consistency checks (ZIP_CHECKCONS).
#include "io/zip.h"

#include <zip.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

struct Member {
  zip_uint64_t index;
  std::int64_t size;
  std::uint32_t sum;
  std::optional<std::int64_t> data;                    // of a stored member, where its place is known
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

std::vector<std::byte> block(const Bytes& file, std::uint64_t at, std::uint64_t size) {
  const auto end = static_cast<std::uint64_t>(file.size());
  if (at > end || size > end - at) return {};
  std::vector<std::byte> bytes(size);
  file.read(static_cast<std::int64_t>(at), bytes);
  return bytes;
}

/// What libzip does not tell: where each member's data lies, in the order of the central directory, which libzip has found sound.
class Headers {
 public:
  explicit Headers(const Bytes& file) : file_(file) {
    const std::vector<std::byte> bytes = directory();
    const std::span<const std::byte> all(bytes);
    for (std::size_t at = 0; at + 46 <= all.size() && number(all, at, 4) == 0x02014b50;) {
      const std::size_t name = number(all, at + 28, 2), extra = number(all, at + 30, 2), comment = number(all, at + 32, 2);
      if (at + 46 + name + extra > all.size()) return;
      data.push_back(data_of(all.subspan(at, 46), all.subspan(at + 46 + name, extra)));
      at += 46 + name + extra + comment;
    }
  }

  std::vector<std::optional<std::int64_t>> data;
  bool repeats_zip64 = false;                          // two ZIP64 blocks in a header: readers differ in which one they believe

 private:
  std::vector<std::byte> directory() const {
    const std::uint64_t size = static_cast<std::uint64_t>(file_.size()), tail_size = std::min<std::uint64_t>(size, kEndBytes + 0xffff + kLocatorBytes);
    const std::vector<std::byte> tail = block(file_, size - tail_size, tail_size);
    if (tail.size() < kEndBytes) return {};
    std::size_t end = tail.size() - kEndBytes;
    while (end > 0 && number(tail, end, 4) != 0x06054b50) --end;
    if (number(tail, end, 4) != 0x06054b50) return {};
    std::uint64_t bytes = number(tail, end + 12, 4), at = number(tail, end + 16, 4);
    if (at == 0xffffffffu && end >= kLocatorBytes && number(tail, end - kLocatorBytes, 4) == 0x07064b50) {
      const std::vector<std::byte> record = block(file_, number(tail, end - 12, 8), 56);
      if (record.empty()) return {};
      bytes = number(record, 40, 8), at = number(record, 48, 8);
    }
    return block(file_, at, bytes);
  }

  std::optional<std::int64_t> data_of(std::span<const std::byte> central, std::span<const std::byte> extra) {
    std::uint64_t local = number(central, 42, 4);
    // The block holds those of size, stored size and place that are all ones in the header, in this order.
    const std::size_t before = 8 * ((number(central, 24, 4) == 0xffffffffu) + (number(central, 20, 4) == 0xffffffffu));
    const std::span<const std::byte> wide = zip64(extra);
    if (local == 0xffffffffu && wide.size() >= before + 8) local = number(wide, before, 8);
    const std::vector<std::byte> header = block(file_, local, 30);
    if (header.empty() || number(header, 0, 4) != 0x04034b50) return std::nullopt;
    const std::uint64_t name = number(header, 26, 2), length = number(header, 28, 2);
    zip64(block(file_, local + 30 + name, length));
    return static_cast<std::int64_t>(local + 30 + name + length);
  }

  /// The last ZIP64 block of an extra field.
  std::span<const std::byte> zip64(std::span<const std::byte> extra) {
    std::span<const std::byte> found;
    int seen = 0;
    for (std::size_t at = 0; at + 4 <= extra.size();) {
      const std::size_t size = number(extra, at + 2, 2);
      if (number(extra, at, 2) == 1 && ++seen && at + 4 + size <= extra.size()) found = extra.subspan(at + 4, size);
      at += 4 + size;
    }
    repeats_zip64 = repeats_zip64 || seen > 1;
    return found;
  }

  static constexpr std::size_t kEndBytes = 22, kLocatorBytes = 20;
  const Bytes& file_;
};

/// libzip's way to read through Bytes.
struct Source {
  Bytes file;
  std::int64_t at = 0;
  zip_error_t error;
  explicit Source(Bytes file) : file(std::move(file)) { zip_error_init(&error); }
  ~Source() { zip_error_fini(&error); }
};

zip_int64_t answer(void* state, void* data, zip_uint64_t length, zip_source_cmd_t command) {
  auto& source = *static_cast<Source*>(state);
  const std::int64_t size = source.file.size();
  switch (command) {
    case ZIP_SOURCE_SUPPORTS:
      return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK,
                                            ZIP_SOURCE_TELL, -1);
    case ZIP_SOURCE_OPEN: return source.at = 0;
    case ZIP_SOURCE_READ:
      try {
        const std::int64_t count = static_cast<std::int64_t>(std::min<zip_uint64_t>(length, static_cast<zip_uint64_t>(size - source.at)));
        source.file.read(source.at, {static_cast<std::byte*>(data), static_cast<std::size_t>(count)});
        source.at += count;
        return count;
      } catch (const std::exception&) {                // none may pass through libzip
        zip_error_set(&source.error, ZIP_ER_READ, EIO);
        return -1;
      }
    case ZIP_SOURCE_SEEK: {
      const zip_int64_t to = zip_source_seek_compute_offset(static_cast<zip_uint64_t>(source.at), static_cast<zip_uint64_t>(size), data, length, &source.error);
      if (to >= 0) source.at = to;
      return to < 0 ? -1 : 0;
    }
    case ZIP_SOURCE_TELL: return source.at;
    case ZIP_SOURCE_STAT: {
      auto* info = static_cast<zip_stat_t*>(data);
      zip_stat_init(info);
      info->valid = ZIP_STAT_SIZE, info->size = static_cast<zip_uint64_t>(size);
      return sizeof *info;
    }
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&source.error, data, length);
    case ZIP_SOURCE_CLOSE: return 0;
    case ZIP_SOURCE_FREE: delete &source; return 0;
    default: zip_error_set(&source.error, ZIP_ER_OPNOTSUPP, 0); return -1;
  }
}

std::uint32_t checksum(const Bytes& bytes) {
  std::vector<std::byte> window(static_cast<std::size_t>(std::min<std::int64_t>(bytes.size(), 1 << 16)));
  uLong sum = crc32(0, nullptr, 0);
  for (std::int64_t at = 0; at < bytes.size();) {
    const std::span<std::byte> part = std::span(window).first(static_cast<std::size_t>(std::min<std::int64_t>(bytes.size() - at, 1 << 16)));
    bytes.read(at, part);
    sum = crc32(sum, reinterpret_cast<const Bytef*>(part.data()), static_cast<uInt>(part.size()));
    at += static_cast<std::int64_t>(part.size());
  }
  return static_cast<std::uint32_t>(sum);
}

}  // namespace

struct ZipReader::Archive {
  Bytes file;
  std::string path;
  zip_t* zip = nullptr;
  std::map<std::string, Member> members;
  ~Archive() {
    if (zip) zip_discard(zip);
  }
};

ZipReader::ZipReader(const Bytes& file, const LoadLimits& limits) : archive_(std::make_unique<Archive>()) {
  Archive& a = *archive_;
  a.file = file, a.path = file.path();
  if (const std::int64_t most = limits.tensor_bytes + (std::int64_t{64} << 20); file.size() > most)
    throw FileError(a.path, "", base::cat("has ", file.size(), " bytes; at most ", most, " are read"));
  zip_error_t error;
  zip_error_init(&error);
  auto reader = std::make_unique<Source>(file);
  zip_source_t* source = zip_source_function_create(answer, reader.get(), &error);
  if (source) reader.release();                        // freed by ZIP_SOURCE_FREE
  if (source) a.zip = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
  if (!a.zip) {
    const std::string why = error_text(&error);
    const int code = zip_error_code_zip(&error);
    if (source) zip_source_free(source);
    zip_error_fini(&error);
    throw FileError(a.path, "", "is not a sound ZIP archive: " + (code == ZIP_ER_EXISTS ? "a member appears twice" : why));
  }
  zip_error_fini(&error);
  const zip_int64_t count = zip_get_num_entries(a.zip, 0);
  if (count > limits.zip_members) throw FileError(a.path, "", base::cat("has ", count, " members; at most ", limits.zip_members, " are read"));
  const Headers headers(file);
  if (headers.repeats_zip64) throw FileError(a.path, "", "is not a sound ZIP archive: a member has two zip64 extra fields");
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
    const bool known = info.comp_method == ZIP_CM_STORE && headers.data.size() == static_cast<std::size_t>(count);
    if (!a.members.emplace(name, Member{i, size, info.crc, known ? headers.data[i] : std::nullopt}).second) throw FileError(a.path, name, "the member appears twice");
  }
}

ZipReader::~ZipReader() = default;

bool ZipReader::has(const std::string& name) const { return archive_->members.count(name) > 0; }

std::vector<std::string> ZipReader::names() const {
  std::vector<std::string> names;
  for (const auto& [name, member] : archive_->members) names.push_back(name);
  return names;
}

Bytes ZipReader::open(const std::string& name) const {
  const Archive& a = *archive_;
  const std::string path = base::cat(a.path, ": ", name);
  const auto it = a.members.find(name);
  if (it != a.members.end() && it->second.data && *it->second.data <= a.file.size() - it->second.size)
    if (Bytes part = a.file.slice(*it->second.data, it->second.size, path); checksum(part) == it->second.sum) return part;
  return Bytes::own(read(name), path);                 // which also says what is wrong
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
