// SPDX-License-Identifier: Apache-2.0
// Held against the format's specification, version 3, sections III.A (B-trees, symbol tables, local heaps) and IV (object headers).
#include "io/hdf5_headers.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <iterator>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

constexpr std::uint64_t kNowhere = ~std::uint64_t{0};
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;

/// Kinds of messages.
enum : unsigned { kNil = 0, kDataspace = 1, kLinkInfo = 2, kDatatype = 3, kOldFill = 4, kFill = 5, kLink = 6, kLayout = 8, kGroupInfo = 10, kFilters = 11,
                  kAttribute = 12, kComment = 13, kContinuation = 16, kSymbolTable = 17, kModified = 18 };
constexpr unsigned kMany[] = {kNil, kAttribute, kContinuation, kLink};      // an object may have several of these

std::uint64_t number(const unsigned char* bytes, int width) {
  std::uint64_t value = 0;
  for (int i = width; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

constexpr std::uint64_t bit(unsigned kind) { return std::uint64_t{1} << kind; }
constexpr std::size_t padded(std::size_t size) { return (size + 7) / 8 * 8; }

/// a * b, no larger than kMostBytes.
std::uint64_t product(std::uint64_t a, std::uint64_t b) { return b != 0 && a > kMostBytes / b ? kMostBytes : a * b; }

/// A dataspace message: its own bytes and how many elements it speaks of; 0 bytes where it is none.
struct Space {
  std::size_t bytes = 0;
  std::uint64_t elements = 1;
};

Space space_of(const unsigned char* at, std::size_t size) {
  if (size < 4) return {};
  const unsigned version = at[0], rank = at[1], flags = at[2];
  if (version < 1 || version > 2 || rank > 32 || flags > 1) return {};
  Space space{(version == 1 ? 8u : 4u) + rank * 8u * (flags == 1 ? 2u : 1u), 1};
  if (space.bytes > size || (version == 2 && at[3] > 2)) return {};
  for (unsigned i = 0; i < rank; ++i) space.elements = product(space.elements, number(at + (version == 1 ? 8 : 4) + 8 * i, 8));
  if (version == 2 && at[3] == 2) space.elements = 0;
  return space;
}

/// The bytes of a datatype message, of the classes that are kept; `size` for another one, 0 where it has none.
std::size_t type_bytes(const unsigned char* at, std::size_t size) {
  if (size < 8) return 0;
  switch (at[0] & 15) {
    case 0: return 12;                                           // an integer
    case 1: return 20;                                           // a float
    case 3: return 8;                                            // a text of fixed length
    case 5: return 8 + number(at + 1, 1);                        // opaque, with its tag
    default: return size;
  }
}

/// The bytes of a message that says what fills a dataset where nothing is stored: version, two times, defined (or flags), size, value.
std::size_t fill_bytes(const unsigned char* at, std::size_t size) {
  if (size < 4 || at[0] < 1 || at[0] > 3) return 0;
  const std::size_t head = at[0] == 3 ? 2 : 4;
  const bool value = at[0] == 1 || (at[0] == 2 ? at[3] != 0 : (at[1] & 32) != 0);
  return !value ? head : size < head + 4 ? 0 : head + 4 + number(at + head, 4);
}

/// The bytes of a version 1 filter message: version, filters, six more; each: kind, name's length, flags, values, name, values to pairs.
std::size_t filter_bytes(const unsigned char* at, std::size_t size) {
  if (size < 8 || at[0] != 1) return 0;
  std::size_t end = 8;
  for (unsigned i = 0; i < at[1]; ++i) {
    if (end + 8 > size) return 0;
    const std::size_t values = number(at + end + 6, 2);
    end += 8 + padded(number(at + end + 2, 2)) + 4 * (values + values % 2);
  }
  return end;
}

}  // namespace

Hdf5Headers::Hdf5Headers(const Bytes& file) : file_(file) {
  const Block head = read(0, 96, "/", "the superblock");
  const unsigned version = head[8];
  older_ = version < 2;                                          // the newer ones have a check sum
  const std::size_t entry = version == 0 ? 56 : 60;
  root_ = number(&head[older_ ? entry + 8 : 36], 8);
  if (version == 1) chunk_children_ = 2 * number(&head[24], 2);
  if (older_) leaf_symbols_ = 2 * number(&head[16], 2), tree_children_ = 2 * number(&head[18], 2);
  claim(0, older_ ? entry + 40 : 48, "/", "the superblock");
}

void Hdf5Headers::fail(const std::string& where, std::uint64_t at, const std::string& why) const {
  throw FileError(file_.path(), where, base::cat(why, " (byte ", at, ")"));
}

void Hdf5Headers::claim(std::uint64_t address, std::uint64_t size, const std::string& where, const char* what) {
  const auto end = static_cast<std::uint64_t>(file_.size());
  if (address > end || size > end - address) fail(where, address, base::cat("has ", what, " at an address outside the file"));
  if (size == 0) return;
  if (!unclaimed(address, size)) fail(where, address, base::cat("has ", what, " that overlaps another part of the file"));
  claims_.emplace(address, address + size);
}

bool Hdf5Headers::unclaimed(std::uint64_t address, std::uint64_t size) const {
  const auto next = claims_.lower_bound(address);
  return !((next != claims_.end() && next->first < address + size) || (next != claims_.begin() && std::prev(next)->second > address));
}

Hdf5Headers::Block Hdf5Headers::read(std::uint64_t address, std::uint64_t size, const std::string& where, const char* what) const {
  const auto end = static_cast<std::uint64_t>(file_.size());
  if (address > end || size > end - address) fail(where, address, base::cat("has ", what, " at an address outside the file"));
  Block block(static_cast<std::size_t>(size));
  file_.read(static_cast<std::int64_t>(address), std::as_writable_bytes(std::span(block)));
  return block;
}

void Hdf5Headers::check(std::uint64_t address, const std::string& where) {
  const Block start = read(address, 4, where, "an object header");
  if (std::memcmp(start.data(), "OHDR", 4) == 0) older_ = false;
  else check_messages(address, where.empty() ? "/" : where);
}

void Hdf5Headers::claim_data(std::uint64_t address, std::uint64_t size, const std::string& where) {
  claim(address, size, where, "data");
  data_.push_back({address, size, where});
}

void Hdf5Headers::check_unclaimed() const {
  if (!older_) return;
  const auto end = static_cast<std::uint64_t>(file_.size());
  for (const Data& data : data_)
    for (std::uint64_t turned = 1; turned < end; turned <<= 1) {
      const std::uint64_t there = data.address ^ turned;
      if (there > end || data.size > end - there) continue;
      // What of it lies outside the data's own bytes.
      const bool before = there < data.address;
      const std::uint64_t size = std::min(data.size, turned), other = before ? there : there + data.size - size;
      if (!unclaimed(other, size)) continue;
      const Block bytes = read(other, size, data.where, "data");
      if (std::any_of(bytes.begin(), bytes.end(), [](unsigned char b) { return b != 0; }))
        fail(data.where, data.address, base::cat("has data at an address one bit from data that belongs to nothing, at byte ", other));
    }
}

// ---------------------------------------------------------------------------------------------------------- messages

/// Version, reserved, messages, references, size, four bytes unused; then messages of kind, size, flags and three bytes, and their body.
void Hdf5Headers::check_messages(std::uint64_t address, const std::string& where) {
  const Block head = read(address, 16, where, "an object header");
  if (head[0] != 1) fail(where, address, "the object header cannot be read: its version is neither 1 nor 2");
  Object object;
  std::uint64_t count = 0;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> blocks{{address + 16, number(&head[8], 4)}};
  claim(address, 16, where, "an object header");
  for (; !blocks.empty(); blocks.pop_front()) {
    const auto [start, size] = blocks.front();
    claim(start, size, where, "an object header");
    const Block block = read(start, size, where, "an object header");
    std::size_t at = 0;
    for (; at + 8 <= block.size(); ++count) {
      const Message message{static_cast<unsigned>(number(&block[at], 2)), start + at, block.data() + at + 8, number(&block[at + 2], 2)};
      if (message.size % 8 != 0 || message.size > block.size() - at - 8) fail(where, message.at, "has a message whose size leaves its object header");
      if (message.kind > kModified) fail(where, message.at, base::cat("has a message of the unknown kind ", message.kind, " in its object header"));
      if (block[at + 4] & 2) fail(where, message.at, "has a shared message in its object header, which is not read");
      if ((object.kinds & bit(message.kind)) && std::find(std::begin(kMany), std::end(kMany), message.kind) == std::end(kMany))
        fail(where, message.at, base::cat("has two messages of the kind ", message.kind, " in its object header"));
      object.kinds |= bit(message.kind);
      if (message.kind == kContinuation) {
        if (message.size < 16) fail(where, message.at, "has a continuation of its object header that leaves it");
        blocks.emplace_back(number(message.bytes, 8), number(message.bytes + 8, 8));
      } else {
        check_message(message, object, where);
      }
      at += 8 + message.size;
    }
    if (at != block.size()) fail(where, start, "has an object header that its messages do not fill");
  }
  if (count != number(&head[2], 2)) fail(where, address, base::cat("has ", count, " messages in an object header that claims ", number(&head[2], 2)));
  check_object(object, address, where);
}

void Hdf5Headers::check_object(const Object& object, std::uint64_t address, const std::string& where) const {
  constexpr std::uint64_t any = bit(kNil) | bit(kAttribute) | bit(kComment) | bit(kContinuation) | bit(kModified);
  constexpr std::uint64_t dataset = bit(kDataspace) | bit(kDatatype) | bit(kLayout), links = bit(kLinkInfo) | bit(kLink) | bit(kGroupInfo);
  const std::uint64_t kinds = object.kinds & ~any;
  const bool is_dataset = (kinds & dataset) == dataset && !(kinds & ~(dataset | bit(kFill) | bit(kOldFill) | bit(kFilters)));
  const bool is_group = kinds == bit(kSymbolTable) || ((kinds & bit(kLinkInfo)) && !(kinds & ~links));
  if (!is_dataset && !is_group) fail(where, address, "is neither a group nor a dataset: the messages of its object header belong to no single kind");
  if (object.chunk_rank > 0 && (object.chunk_rank != object.rank || object.chunk_element != object.element))
    fail(where, address, "has chunks of another rank or element size than its own");
}

void Hdf5Headers::check_message(const Message& message, Object& object, const std::string& where) {
  const auto fills = [&](std::size_t size, const char* what) {
    if (size == 0 || padded(size) != message.size) fail(where, message.at, base::cat("has a ", what, " that does not fill its message"));
  };
  switch (message.kind) {
    case kDataspace:
      fills(space_of(message.bytes, message.size).bytes, "dataspace");
      object.rank = message.bytes[1];
      return;
    case kDatatype:
      fills(type_bytes(message.bytes, message.size), "datatype");
      object.element = number(message.bytes + 4, 4);
      return;
    case kOldFill: return fills(message.size < 4 ? 0 : 4 + number(message.bytes, 4), "fill value");
    case kFill: return fills(fill_bytes(message.bytes, message.size), "fill value");
    case kFilters: return fills(filter_bytes(message.bytes, message.size), "list of filters");
    case kAttribute: return check_attribute(message, where);
    case kLayout: return check_layout(message, object, where);
    case kLink: return check_link(message, where);
    case kSymbolTable: {
      if (message.size < 16) fail(where, message.at, "has a symbol table that leaves its object header");
      const Block names = check_names(number(message.bytes + 8, 8), where);
      return check_tree(number(message.bytes, 8), -1, names, where);
    }
    default: return;
  }
}

/// Version, reserved, three sizes, then name, datatype, dataspace (each to a multiple of 8 in version 1) and values.
void Hdf5Headers::check_attribute(const Message& message, const std::string& where) {
  const auto wrong = [&](const char* why) { fail(where, message.at, base::cat("has an attribute whose ", why)); };
  if (message.size < 8) wrong("sizes leave its message");
  const unsigned char* const bytes = message.bytes;
  const unsigned version = bytes[0];
  if (version < 1 || version > 3 || (version > 1 && bytes[1] != 0)) wrong("version is unknown");
  const std::size_t name = number(bytes + 2, 2), type = number(bytes + 4, 2), space = number(bytes + 6, 2);
  const auto step = [&](std::size_t size) { return version == 1 ? padded(size) : size; };
  const std::size_t start = version == 3 ? 9 : 8, type_at = start + step(name), space_at = type_at + step(type), values_at = space_at + step(space);
  if (values_at > message.size || name < 2 || type < 8) wrong("sizes leave its message");
  if (strnlen(reinterpret_cast<const char*>(bytes + start), name) != name - 1) wrong("name is not as long as it claims");
  const Space extent = space_of(bytes + space_at, space);
  if (extent.bytes != space) wrong("dataspace is not as long as it claims");
  const std::uint64_t wanted = product(extent.elements, number(bytes + type_at + 4, 4)), held = message.size - values_at;
  if (wanted > held || padded(values_at + wanted) != message.size) wrong("values do not fill its message");
  const bool text = (bytes[type_at] & 15) == 9 && (bytes[type_at + 1] & 15) == 1;
  if (text && (type < 16 || number(bytes + type_at + 12, 4) != 1)) wrong("texts are of letters larger than a byte");
  if ((bytes[type_at] & 15) == 9) check_texts(message, values_at, extent.elements, where);
}

/// Variable-length texts: their heaps, which scan_hdf5 has found sound, belong to all objects together.
void Hdf5Headers::check_texts(const Message& message, std::size_t start, std::uint64_t count, const std::string& where) {
  for (std::uint64_t i = 0; i < count && start + 16 <= message.size; ++i, start += 16) {
    const std::uint64_t heap = number(message.bytes + start + 4, 8);
    if (number(message.bytes + start, 4) == 0 || claims_.count(heap)) continue;
    const Block head = read(heap, 16, where, "a text");
    if (std::memcmp(head.data(), "GCOL", 4) != 0) fail(where, message.at + 8 + start, "has a text at an address that holds no heap");
    claim(heap, number(&head[8], 8), where, "a heap of texts");
  }
}

/// Version 3, class, then: size and bytes; or address and size; or rank, B-tree and chunk.
void Hdf5Headers::check_layout(const Message& message, Object& object, const std::string& where) {
  const unsigned char* const bytes = message.bytes;
  if (message.size < 8 || bytes[0] != 3 || bytes[1] > 2) fail(where, message.at, "has a data layout that is not read");
  const std::size_t wanted = bytes[1] == 0 ? 4 + number(bytes + 2, 2) : bytes[1] == 1 ? 18 : 11 + 4 * std::size_t{bytes[2]};
  if (padded(wanted) != message.size) fail(where, message.at, "has a data layout that does not fill its message");
  if (bytes[1] != 2) return;
  for (std::size_t i = 0; i < bytes[2]; ++i)
    if (number(bytes + 11 + 4 * i, 4) == 0) fail(where, message.at, "has chunks of no size");
  if (bytes[2] < 2) fail(where, message.at, "has chunks without axes");
  object.chunk_rank = bytes[2] - 1u, object.chunk_element = number(bytes + 11 + 4 * object.chunk_rank, 4);
  Block last;
  if (number(bytes + 3, 8) != kNowhere) check_chunks(number(bytes + 3, 8), -1, bytes[2], last, where);
}

/// A B-tree of kind 1: keys are stored bytes, filters left out, and a place along each axis, which rise from node to node. `last`: the
/// key before, and then the node's last one.
void Hdf5Headers::check_chunks(std::uint64_t address, int level, std::size_t rank, Block& last, const std::string& where) {
  const std::size_t key = 8 + 8 * rank;
  const std::uint64_t size = 24 + chunk_children_ * (key + 8) + key;
  claim(address, size, where, "an index of chunks");
  const Block node = read(address, size, where, "an index of chunks");
  const std::uint64_t entries = number(&node[6], 2);
  if (std::memcmp(node.data(), "TREE\1", 5) != 0 || entries > chunk_children_ || (level >= 0 && node[5] != level))
    fail(where, address, "has an index of chunks that is not sound");
  for (std::uint64_t i = 0; i <= entries; ++i) {
    Block here;                                                  // the most significant byte first, so that blocks compare as keys do
    const unsigned char* const place = &node[24 + i * (key + 8) + 8];
    for (std::size_t axis = 0; axis < rank; ++axis) here.insert(here.end(), std::reverse_iterator(place + 8 * axis + 8), std::reverse_iterator(place + 8 * axis));
    if (i > 0 ? here <= last : here < last) fail(where, address, "has an index of chunks whose keys do not rise");
    if (i > 0 && node[5] > 0) {
      Block inner = last;
      check_chunks(number(place - 16, 8), node[5] - 1, rank, inner, where);
      if (here < inner) fail(where, address, "has an index of chunks whose keys do not rise");
    }
    last = here;
  }
}

/// Version, flags, what the flags announce, then the name with its length before it, then an address. libhdf5 1.10 that cannot decode a
/// link frees what it has not yet made.
void Hdf5Headers::check_link(const Message& message, const std::string& where) const {
  const auto wrong = [&] { fail(where, message.at, "has a link that does not fill its message"); };
  if (message.size < 8 || message.bytes[0] != 1) wrong();
  const unsigned flags = message.bytes[1];
  const int width = 1 << (flags & 3);
  const std::size_t name_at = 2 + (flags >> 3 & 1) + (flags >> 2 & 1) * 8 + (flags >> 4 & 1) + static_cast<std::size_t>(width);
  if (flags > 31 || name_at > message.size) wrong();
  if ((flags & 16) && message.bytes[name_at - 1 - static_cast<std::size_t>(width)] > 1) wrong();      // neither ASCII nor UTF-8
  const std::uint64_t name = number(message.bytes + name_at - width, width);
  if ((flags & 8) && message.bytes[2] != 0) fail(where, message.at, "has a soft, external or user-defined link; only hard links are read");
  if (name == 0 || name > message.size - name_at || padded(name_at + name + 8) != message.size) wrong();
}

// ---------------------------------------------------------------------------------------------------------- groups

/// A local heap: its names, whose free blocks form a list of (next or 1, size).
Hdf5Headers::Block Hdf5Headers::check_names(std::uint64_t address, const std::string& where) {
  const Block head = read(address, 32, where, "its names");
  if (std::memcmp(head.data(), "HEAP\0", 5) != 0) fail(where, address, "has no names at the address given for them");
  const std::uint64_t size = number(&head[8], 8), start = number(&head[24], 8);
  claim(address, 32, where, "its names");
  claim(start, size, where, "its names");
  Block names = read(start, size, where, "its names");
  std::uint64_t free = number(&head[16], 8), steps = 0;
  for (; free != 1 && free != kNowhere; free = number(&names[free], 8))
    if (++steps > size / 16 || free > size - 16 || number(&names[free + 8], 8) > size - free)
      fail(where, address, "has names whose list of free blocks leaves them, or goes in a circle");
  return names;
}

/// Signature, kind 0, level, entries, two siblings, then keys and children in turn. `level` -1: any.
void Hdf5Headers::check_tree(std::uint64_t address, int level, const Block& names, const std::string& where) {
  const std::uint64_t size = 24 + tree_children_ * 16 + 8;
  claim(address, size, where, "a B-tree");
  const Block node = read(address, size, where, "a B-tree");
  const std::uint64_t entries = number(&node[6], 2);
  if (std::memcmp(node.data(), "TREE\0", 5) != 0 || entries > tree_children_ || (level >= 0 && node[5] != level))
    fail(where, address, "has a B-tree that is not sound");
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::uint64_t child = number(&node[24 + 16 * i + 8], 8);
    if (node[5] > 0) check_tree(child, node[5] - 1, names, where);
    else check_symbols(child, names, where);
  }
}

/// Signature, version 1, reserved, symbols; each: name, object header, what is cached, reserved, 16 bytes of cache.
void Hdf5Headers::check_symbols(std::uint64_t address, const Block& names, const std::string& where) {
  const std::uint64_t size = 8 + leaf_symbols_ * 40;
  claim(address, size, where, "a table of names");
  const Block node = read(address, size, where, "a table of names");
  const std::uint64_t symbols = number(&node[6], 2);
  if (std::memcmp(node.data(), "SNOD\1", 5) != 0 || symbols > leaf_symbols_) fail(where, address, "has a table of names that is not sound");
  for (std::uint64_t i = 0; i < symbols; ++i) {
    const std::uint64_t name = number(&node[8 + 40 * i], 8);
    const bool ends = name < names.size() && std::memchr(&names[name], 0, names.size() - name);
    if (!ends) fail(where, address + 8 + 40 * i, "has a name that leaves its names");
  }
}

}  // namespace upconv::io
