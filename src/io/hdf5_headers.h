// SPDX-License-Identifier: Apache-2.0
// The structures of HDF5's older form carry no check sums: version 1 object headers, symbol tables, their names and B-trees. This
// walks them, object by object, before libhdf5 sees them, and keeps account of which bytes of the file belong to what.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/bytes.h"

namespace upconv::io {

class Hdf5Headers {
 public:
  /// The file, whose superblock scan_hdf5 has found sound; it must outlive this.
  explicit Hdf5Headers(const Bytes& file);

  /// Where the root group's header lies.
  std::uint64_t root() const noexcept { return root_; }
  /// Judges the header at `address`, and a group's table of names, before libhdf5 opens the object: messages fill their blocks,
  /// sizes agree, each byte belongs to one structure. Headers of version 2 have check sums, which libhdf5 checks. FileError naming `where`.
  void check(std::uint64_t address, const std::string& where);
  /// Takes bytes for a dataset's data. FileError where they lie outside the file or belong to something else already.
  void claim_data(std::uint64_t address, std::uint64_t size, const std::string& where);
  /// After all objects: an address of data with one bit turned is found by the bytes that nothing claims any more. FileError.
  void check_unclaimed() const;

 private:
  using Block = std::vector<unsigned char>;
  struct Data {
    std::uint64_t address, size;
    std::string where;
  };
  /// What the messages of an object say.
  struct Object {
    std::uint64_t kinds = 0;                         // a bit each
    std::uint64_t rank = 0, element = 0;
    std::uint64_t chunk_rank = 0, chunk_element = 0; // where its data lies in chunks
  };
  struct Message {
    unsigned kind;
    std::uint64_t at;                                // in the file
    const unsigned char* bytes;
    std::size_t size;
  };

  [[noreturn]] void fail(const std::string& where, std::uint64_t at, const std::string& why) const;
  void claim(std::uint64_t address, std::uint64_t size, const std::string& where, const char* what);
  bool unclaimed(std::uint64_t address, std::uint64_t size) const;
  Block read(std::uint64_t address, std::uint64_t size, const std::string& where, const char* what) const;
  void check_messages(std::uint64_t address, const std::string& where);
  void check_message(const Message& message, Object& object, const std::string& where);
  void check_object(const Object& object, std::uint64_t address, const std::string& where) const;
  void check_attribute(const Message& message, const std::string& where);
  void check_texts(const Message& message, std::size_t start, std::uint64_t count, const std::string& where);
  void check_layout(const Message& message, Object& object, const std::string& where);
  void check_chunks(std::uint64_t address, int level, std::size_t rank, Block& last, const std::string& where);
  void check_link(const Message& message, const std::string& where) const;
  Block check_names(std::uint64_t address, const std::string& where);
  void check_tree(std::uint64_t address, int level, const Block& names, const std::string& where);
  void check_symbols(std::uint64_t address, const Block& names, const std::string& where);

  const Bytes& file_;
  std::uint64_t root_ = 0, leaf_symbols_ = 8, tree_children_ = 32, chunk_children_ = 64;
  bool older_ = true;                                // every structure met so far is of the older form, and claimed
  std::map<std::uint64_t, std::uint64_t> claims_;    // first byte, and the one behind the last
  std::vector<Data> data_;
};

}  // namespace upconv::io
