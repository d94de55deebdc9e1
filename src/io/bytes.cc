// SPDX-License-Identifier: Apache-2.0
#include "io/bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/text.h"
#include "io/descriptor.h"
#include "upconv/error.h"

namespace upconv::io {

Bytes Bytes::open(const std::string& path) {
  if (path.find('\0') != std::string::npos) throw FileError(path, "", "a path cannot hold a zero byte", FileError::Kind::access);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);       // a pipe without a writer must not block
  if (fd < 0) throw FileError(path, "", std::strerror(errno), FileError::Kind::access);
  return adopt(fd, path);
}

Bytes Bytes::adopt(int fd, std::string path) {
  Bytes bytes;
  bytes.file_ = std::make_shared<Descriptor>(fd);
  const auto refuse = [&](const std::string& why) { throw FileError(path, "", why, FileError::Kind::access); };
  struct stat info {};
  if (::fstat(fd, &info) != 0) refuse(std::strerror(errno));
  if (S_ISDIR(info.st_mode)) refuse("is a folder");
  if (!S_ISREG(info.st_mode)) refuse("is not a regular file");
  bytes.path_ = std::move(path);
  bytes.size_ = info.st_size;
  return bytes;
}

Bytes Bytes::view(std::span<const std::byte> memory, std::string path) {
  Bytes bytes;
  bytes.path_ = std::move(path);
  bytes.memory_ = memory.data();
  bytes.size_ = static_cast<std::int64_t>(memory.size());
  return bytes;
}

Bytes Bytes::own(std::vector<std::byte> memory, std::string path) {
  const auto owned = std::make_shared<const std::vector<std::byte>>(std::move(memory));
  Bytes bytes = view(*owned, std::move(path));
  bytes.owned_ = owned;
  return bytes;
}

void Bytes::read(std::int64_t offset, std::span<std::byte> to) const {
  const auto wanted = static_cast<std::int64_t>(to.size());
  if (offset < 0 || wanted > size_ || offset > size_ - wanted)
    throw FileError(path_, base::cat("byte ", offset), base::cat("the file ends before ", wanted, " more bytes; it has ", size_));
  if (!file_) {
    if (wanted) std::memcpy(to.data(), memory_ + offset, to.size());
    return;
  }
  for (std::size_t done = 0; done < to.size();) {
    const ssize_t got = ::pread(file_->get(), to.data() + done, to.size() - done, start_ + offset + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw FileError(path_, base::cat("byte ", offset), std::strerror(errno), FileError::Kind::access);
    if (got == 0) throw FileError(path_, base::cat("byte ", offset), "the file became shorter while it was read");
    done += static_cast<std::size_t>(got);
  }
}

std::vector<std::byte> Bytes::all(std::int64_t limit) const {
  if (size_ > limit) throw FileError(path_, "", base::cat("has ", size_, " bytes; at most ", limit, " are read"));
  std::vector<std::byte> out(static_cast<std::size_t>(size_));
  read(0, out);
  return out;
}

int Bytes::descriptor() const noexcept { return file_ && !part_ ? file_->get() : -1; }

Bytes Bytes::slice(std::int64_t offset, std::int64_t size, std::string path) const {
  if (offset < 0 || size < 0 || size > size_ || offset > size_ - size)
    throw FileError(path_, base::cat("byte ", offset), base::cat("the file ends before ", size, " more bytes; it has ", size_));
  Bytes part = *this;
  part.path_ = std::move(path);
  part.size_ = size, part.part_ = true;
  if (file_) part.start_ += offset;
  else part.memory_ += offset;
  return part;
}

void Bytes::forget(std::int64_t offset, std::int64_t size) const noexcept {
  if (!owned_ || offset < 0 || size <= 0 || size > size_ || offset > size_ - size) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(memory_ + offset), end = start + static_cast<std::uintptr_t>(size);
  const std::uintptr_t first = (start + page - 1) / page * page, last = end / page * page;      // whole pages of it alone
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

bool Bytes::starts_with(std::string_view magic) const {
  if (size_ < static_cast<std::int64_t>(magic.size())) return false;
  std::string head(magic.size(), '\0');
  read(0, std::as_writable_bytes(std::span(head)));
  return head == magic;
}

}  // namespace upconv::io
