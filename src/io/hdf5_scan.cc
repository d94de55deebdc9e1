// SPDX-License-Identifier: Apache-2.0
// Nodes are found by their signatures wherever they lie, so no structure of the file needs to be trusted to find them. Bytes
// of a tensor may look like a signature: a node is refused only when it points to another node of the wrong level, a heap
// only when its version fits as well, which chance does not bring about.
#include "io/hdf5_scan.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

constexpr std::int64_t kWindow = std::int64_t{1} << 20;
constexpr std::uint64_t kLeastHeap = 4096;                       // libhdf5 makes none smaller, and reads that much of any

class Scan {
 public:
  explicit Scan(const Bytes& file) : file_(file) {}

  void run() {
    check_superblock();
    std::vector<char> window(static_cast<std::size_t>(std::min(kWindow + 3, file_.size())));
    for (std::int64_t start = 0; start + 4 <= file_.size(); start += kWindow) {
      const std::int64_t size = std::min(kWindow + 3, file_.size() - start);
      file_.read(start, std::as_writable_bytes(std::span(window.data(), static_cast<std::size_t>(size))));
      find(window, size, "TREE", [&](std::int64_t at) { check_tree(start + at); });
      find(window, size, "GCOL", [&](std::int64_t at) { check_heap(start + at); });
      find(window, size, "HEAP", [&](std::int64_t at) { check_local_heap(start + at); });
    }
    check_texts();
  }

 private:
  [[noreturn]] void fail(std::int64_t at, const char* why) const { throw FileError(file_.path(), base::cat("byte ", at), why); }

  static void find(const std::vector<char>& window, std::int64_t size, const char* signature, const std::function<void(std::int64_t)>& found) {
    const char* const end = window.data() + size;
    for (const char* at = window.data(); (at = static_cast<const char*>(::memmem(at, static_cast<std::size_t>(end - at), signature, 4))); at += 4)
      found(at - window.data());
  }

  std::uint64_t number(std::int64_t at, int width) const {
    unsigned char bytes[8] = {};
    file_.read(at, std::as_writable_bytes(std::span(bytes, static_cast<std::size_t>(width))));
    std::uint64_t value = 0;
    for (int i = width; i-- > 0;) value = value << 8 | bytes[i];
    return value;
  }

  /// Nodes and heaps of a sound file do not overlap, so looking at them costs no more than the file is long.
  void spend(std::int64_t at) {
    if (++looks_ > file_.size() / 8 + 100'000) fail(at, "has B-trees or heaps that overlap");
  }

  bool fits(std::int64_t at, std::int64_t bytes) const { return at >= 0 && bytes <= file_.size() && at <= file_.size() - bytes; }

  void check_superblock() const {
    if (!file_.starts_with("\x89HDF\r\n\x1a\n") || !fits(0, 48)) fail(0, "is not an HDF5 file: no signature, or a truncated superblock (a user block is not read)");
    const std::uint64_t version = number(8, 1);
    if (version > 3) fail(8, "has a superblock of an unknown version");
    const std::int64_t sizes = version < 2 ? 13 : 9, base = version == 0 ? 24 : version == 1 ? 28 : 12;
    if (number(sizes, 1) != 8 || number(sizes + 1, 1) != 8) fail(sizes, "has a superblock with offsets of a size other than 8 bytes");
    if (number(base, 8) != 0) fail(base, "has a superblock with a base address (a user block is not read)");
  }

  /// A version 1 B-tree node: signature, type, level, entries used, two siblings, then keys and children in turn.
  void check_tree(std::int64_t at) {
    if (!fits(at, 24)) return;
    const std::uint64_t type = number(at + 4, 1), level = number(at + 5, 1), entries = number(at + 6, 2);
    if (type > 1 || level == 0) return;
    // Children of a chunk tree lie 16 + 8 * (rank + 1) apart, and the rank is not in the node: every word may be one.
    const std::int64_t entry = type == 0 ? 16 : 8 + 8 + 8 * 33;
    const std::int64_t bytes = std::min(static_cast<std::int64_t>(entries) * entry + 8, file_.size() - at - 24);
    for (std::int64_t i = 0; i + 8 <= bytes; i += 8) {
      spend(at);
      const auto child = static_cast<std::int64_t>(number(at + 24 + i, 8));
      if (fits(child, 24) && number(child, 4) == 0x45455254 && number(child + 4, 1) == type && number(child + 5, 1) >= level)
        fail(at, "has a B-tree whose node points to one of its own level or above (a cycle)");
    }
  }

  /// A global heap collection: signature, version, size, then objects of (id, references, size, bytes to a multiple of 8).
  void check_heap(std::int64_t at) {
    if (!fits(at, 16) || number(at + 4, 4) != 1) return;
    const std::uint64_t size = number(at + 8, 8);
    const auto left = static_cast<std::uint64_t>(file_.size() - at);
    if (size < kLeastHeap || size > left) fail(at, "has a global heap whose size leaves the file, or is less than any heap's");
    heaps_[static_cast<std::uint64_t>(at)];
    for (std::uint64_t offset = 16; offset + 16 <= size;) {
      spend(at);
      const auto object = at + static_cast<std::int64_t>(offset);
      const std::uint64_t id = number(object, 2), bytes = number(object + 8, 8), room = size - offset;
      if (id == 0) {                                             // free space, header included, up to the end
        if (bytes != room) fail(object, "has a global heap whose free space leaves it, or ends before it");
        return;
      }
      if (bytes > room - 16 || (bytes + 7) / 8 * 8 > room - 16) fail(object, "has a global heap object whose size leaves the heap");
      heaps_[static_cast<std::uint64_t>(at)][id] = bytes;
      offset += 16 + (bytes + 7) / 8 * 8;
    }
  }

  /// A local heap, the names of a group: signature, version 0 and three zeros, size of the names, free list, their address. libhdf5
  /// takes as much memory as the size says.
  void check_local_heap(std::int64_t at) const {
    if (!fits(at, 32) || number(at + 4, 4) != 0) return;
    const std::uint64_t size = number(at + 8, 8), names = number(at + 24, 8);
    const auto end = static_cast<std::uint64_t>(file_.size());
    if (size > end || names > end - size) fail(at, "has a local heap whose names leave the file");
  }

  /// Variable-length texts: (length, heap, object) in an attribute, whose message begins at a multiple of 8, so the heap's address
  /// lies at 4 beyond one. libhdf5 makes a buffer of `length` and copies the whole object into it: the two sizes must agree.
  void check_texts() {
    if (heaps_.empty()) return;
    std::vector<unsigned char> window(static_cast<std::size_t>(std::min(kWindow + 12, file_.size())));
    const auto word = [&](std::int64_t at, int width) {
      std::uint64_t value = 0;
      for (int i = width; i-- > 0;) value = value << 8 | window[static_cast<std::size_t>(at + i)];
      return value;
    };
    for (std::int64_t start = 0; start + 16 <= file_.size(); start += kWindow) {
      const std::int64_t size = std::min(kWindow + 12, file_.size() - start);
      file_.read(start, std::as_writable_bytes(std::span(window.data(), static_cast<std::size_t>(size))));
      for (std::int64_t at = 0; at + 16 <= size; at += 8) {
        const auto heap = heaps_.find(word(at + 4, 8));
        if (heap == heaps_.end()) continue;
        const std::uint64_t length = word(at, 4), id = word(at + 12, 4);
        const auto object = heap->second.find(id);
        const bool sound = (length == 0 && id == 0) || (object != heap->second.end() && object->second == length);
        if (!sound && in_attribute(start + at))
          fail(start + at, "has a text whose length is not that of its object in the global heap");
      }
    }
  }

  /// Whether a word lies inside what may be an attribute's message: by chance, names of a big group lie at the number that is a heap's
  /// address. Its head (kind 12, size, flags), then a version, begin at a multiple of 8 no more than a message before it.
  bool in_attribute(std::int64_t at) {
    constexpr std::int64_t most = 0xffff + 8;
    const std::int64_t first = (at > most ? at - most : 0) / 8 * 8;
    if ((searched_ += at - first) > file_.size() * 4 + (std::int64_t{256} << 20)) fail(at, "has too many numbers that look like texts in a heap");
    std::vector<unsigned char> before(static_cast<std::size_t>(at - first));
    file_.read(first, std::as_writable_bytes(std::span(before)));
    for (std::size_t i = 0; i + 9 <= before.size(); i += 8) {
      const int kind = before[i] | before[i + 1] << 8, size = before[i + 2] | before[i + 3] << 8, version = before[i + 8];
      if (kind == 12 && version >= 1 && version <= 3 && i + 8 + static_cast<std::size_t>(size) >= before.size() + 16) return true;
    }
    return false;
  }

  const Bytes& file_;
  std::map<std::uint64_t, std::map<std::uint64_t, std::uint64_t>> heaps_;     // address -> object -> size
  std::int64_t looks_ = 0, searched_ = 0;
};

}  // namespace

void scan_hdf5(const Bytes& file) { Scan(file).run(); }

}  // namespace upconv::io
