// SPDX-License-Identifier: Apache-2.0
// libhdf5 says of itself that it is not made for hostile files. So plugins are off, its error stack is silent, one lock is
// around it, and every object is looked at before anything is read from it.
#include "io/hdf5.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/checked.h"
#include "base/text.h"
#include "io/byte_order.h"
#include "io/hdf5_driver.h"
#include "io/hdf5_headers.h"
#include "io/hdf5_scan.h"
#include "upconv/error.h"

namespace upconv::io {

const Hdf5Node* Hdf5Node::find(std::string_view path) const {
  const Hdf5Node* node = this;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view step = path.substr(0, slash);
    const auto next = std::lower_bound(node->children.begin(), node->children.end(), step, [](const Hdf5Node& child, std::string_view name) { return child.name < name; });
    if (next == node->children.end() || next->name != step) return nullptr;
    node = &*next;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return node;
}

const Config* Hdf5Node::attribute(std::string_view name) const {
  for (const auto& [key, value] : attributes)
    if (key == name) return &value;
  return nullptr;
}

namespace {

using Id = Hdf5Id;

constexpr std::int64_t kMostAttributeBytes = std::int64_t{16} << 20;

class Reader {
 public:
  Reader(const Bytes& file, const LoadLimits& limits, Tensors tensors) : file_(file), limits_(limits), tensors_(tensors), headers_(file) {}

  Hdf5Node read() {
    headers_.check(headers_.root(), "/");
    const Id h5(open_hdf5(file_), H5Fclose);
    if (!h5.ok()) fail("", "is not a sound HDF5 file");
    const Id root(H5Gopen2(h5, "/", H5P_DEFAULT), H5Gclose);
    if (!root.ok()) fail("/", "the root group cannot be read");
    Hdf5Node node;
    read_group(root, "", node, 0);
    headers_.check_unclaimed();
    if (own_order_ && !doubtful_.empty()) fail(doubtful_, "is of another byte order than the rest, in which its numbers would be of a usual size too");
    return node;
  }

 private:
  [[noreturn]] void fail(const std::string& where, const std::string& why) const { throw FileError(file_.path(), where, why); }

  /// How many attributes it has.
  hsize_t count_object(hid_t object, const std::string& where) {
    H5O_info_t info;
    if (H5Oget_info2(object, &info, H5O_INFO_BASIC | H5O_INFO_NUM_ATTRS) < 0) fail(where, "cannot be read");
    if (!seen_.insert(info.addr).second) fail(where, "the object is linked twice");
    if (static_cast<std::int64_t>(seen_.size()) > limits_.hdf5_objects)
      fail(where, base::cat("the file has more than ", limits_.hdf5_objects, " objects"));
    return info.num_attrs;
  }

  struct Link {
    std::string name;
    H5L_type_t type;
    haddr_t address;                                   // of a hard one
  };
  static herr_t collect_link(hid_t, const char* name, const H5L_info_t* info, void* out) {
    static_cast<std::vector<Link>*>(out)->push_back({name, info->type, info->u.address});
    return 0;
  }

  void read_group(hid_t group, const std::string& path, Hdf5Node& node, int depth) {
    const std::string where = path.empty() ? "/" : path;
    if (depth > limits_.nesting) fail(where, base::cat("groups are nested deeper than ", limits_.nesting));
    if (count_object(group, where) > 0) read_attributes(group, where, node);
    H5G_info_t info;
    if (H5Gget_info(group, &info) < 0) fail(where, "the group cannot be read");
    if (info.nlinks > static_cast<hsize_t>(limits_.hdf5_objects)) fail(where, base::cat("the group has more than ", limits_.hdf5_objects, " objects"));
    std::vector<Link> links;
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_link, &links) < 0) fail(where, "the group cannot be read");
    std::sort(links.begin(), links.end(), [](const Link& a, const Link& b) { return a.name < b.name; });
    for (std::size_t i = 1; i < links.size(); ++i)
      if (links[i].name == links[i - 1].name) fail(path + "/" + links[i].name, "the name appears twice in its group");
    for (const Link& link : links) read_link(group, path + "/" + link.name, link, node, depth);
  }

  void read_link(hid_t group, const std::string& path, const Link& link, Hdf5Node& parent, int depth) {
    if (link.type != H5L_TYPE_HARD) fail(path, "is a soft, external or user-defined link; only hard links are read");
    headers_.check(link.address, path);
    // By its address: a search for the name in a group of 90,000 costs as much as reading what it names.
    const Id object(H5Oopen_by_addr(group, link.address), H5Oclose);
    if (!object.ok()) fail(path, "the link's object header cannot be read");
    Hdf5Node& node = parent.children.emplace_back();
    node.name = link.name;
    const H5I_type_t kind = H5Iget_type(object);
    if (kind == H5I_GROUP) return read_group(object, path, node, depth + 1);
    if (kind != H5I_DATASET) fail(path, "is neither a group nor a dataset");
    node.is_group = false;
    if (count_object(object, path) > 0) read_attributes(object, path, node);
    read_dataset(object, path, node);
  }

  // ------------------------------------------------------------------------------------------------ attributes

  static herr_t collect_attribute(hid_t, const char* name, const H5A_info_t*, void* out) {
    static_cast<std::vector<std::string>*>(out)->push_back(name);
    return 0;
  }

  void read_attributes(hid_t object, const std::string& where, Hdf5Node& node) {
    std::vector<std::string> names;
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_attribute, &names) < 0) fail(where, "an attribute cannot be read");
    for (const std::string& name : names) {
      const Id attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
      if (!attribute.ok()) fail(where, base::cat("the attribute '", name, "' cannot be read"));
      Config value;
      if (read_attribute(attribute, where + "@" + name, value)) node.attributes.emplace_back(name, std::move(value));
    }
  }

  /// True when the attribute is of a kind that is kept.
  bool read_attribute(hid_t attribute, const std::string& where, Config& value) {
    const Id type(H5Aget_type(attribute), H5Tclose);
    const Id space(H5Aget_space(attribute), H5Sclose);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    const bool scalar = H5Sget_simple_extent_ndims(space) == 0;
    if (count < 0 || count > limits_.hdf5_objects) fail(where, "has too many elements");
    const H5T_class_t kind = H5Tget_class(type);
    if (count == 0) {
      value = Config(Config::List{});
      return true;
    }
    if (kind == H5T_STRING) {
      if (H5Sget_simple_extent_ndims(space) > 1) fail(where, "is a table of strings; lists have one axis");
      Config::List list = H5Tis_variable_str(type) > 0 ? variable_strings(attribute, type, space, count, where)
                                                       : fixed_strings(attribute, type, count, where);
      value = scalar ? list.front() : Config(std::move(list));
      return true;
    }
    if (!scalar) return false;
    if (kind == H5T_INTEGER && H5Tget_size(type) <= 8) {
      std::int64_t number = 0;
      if (H5Aread(attribute, H5T_NATIVE_INT64, &number) < 0) fail(where, "cannot be read");
      value = number;
      return true;
    }
    if (kind == H5T_FLOAT && H5Tget_size(type) <= 8) {
      double number = 0;
      if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &number) < 0) fail(where, "cannot be read");
      value = number;
      return true;
    }
    return false;
  }

  Config::List fixed_strings(hid_t attribute, hid_t type, hssize_t count, const std::string& where) {
    const size_t size = H5Tget_size(type);
    if (size == 0) return Config::List(static_cast<std::size_t>(count), Config(""));
    const std::int64_t bytes = base::checked_mul(static_cast<std::int64_t>(size), count, "attribute size");
    if (bytes > kMostAttributeBytes || bytes > file_.size()) fail(where, base::cat("claims ", bytes, " bytes"));
    std::string buffer(static_cast<std::size_t>(bytes), '\0');
    if (H5Aread(attribute, type, buffer.data()) < 0) fail(where, "cannot be read");
    const bool padded = H5Tget_strpad(type) == H5T_STR_NULLPAD;
    Config::List list;
    for (hssize_t i = 0; i < count; ++i) {
      const char* start = buffer.data() + static_cast<std::size_t>(i) * size;
      std::size_t length = strnlen(start, size);
      if (padded && std::any_of(start + length, start + size, [](char c) { return c != '\0'; })) length = size;     // a NUL inside
      list.push_back(std::string(start, length));
    }
    return list;
  }

  Config::List variable_strings(hid_t attribute, hid_t type, hid_t space, hssize_t count, const std::string& where) {
    // Length, heap and index of each, 16 bytes; libhdf5 takes the type's word for how many there are, and reads 16.
    if (H5Aget_storage_size(attribute) != 16 * static_cast<hsize_t>(count)) fail(where, "stores its texts in another size than theirs");
    std::vector<char*> pointers(static_cast<std::size_t>(count), nullptr);
    if (H5Aread(attribute, type, pointers.data()) < 0) fail(where, "cannot be read");
    Config::List list;
    std::int64_t total = 0;
    for (const char* text : pointers) {
      list.push_back(std::string(text ? text : ""));
      total += static_cast<std::int64_t>(list.back().as_string().size());
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
    if (total > limits_.json_bytes + kMostAttributeBytes) fail(where, base::cat("has ", total, " bytes of text"));
    return list;
  }

  // ------------------------------------------------------------------------------------------------ datasets

  void read_dataset(hid_t dataset, const std::string& where, Hdf5Node& node) {
    const Id type(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose);
    node.shape = dataset_shape(space, where);
    const std::int64_t elements = node.shape.elements();
    const std::int64_t bytes = base::checked_mul(elements, static_cast<std::int64_t>(H5Tget_size(type)), "dataset size");
    check_storage(dataset, bytes, where);
    const H5T_class_t kind = H5Tget_class(type);
    if (kind == H5T_INTEGER) {
      if (elements > limits_.hdf5_objects) fail(where, "holds integers; only counters are read");
      node.integers.resize(static_cast<std::size_t>(elements));
      if (elements && H5Dread(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, node.integers.data()) < 0) fail(where, "cannot be read");
      if (is_own_order(type)) own_order_ = true;
      else check_order(usual_sizes(node.integers), where);
      return;
    }
    const DType dtype = float_dtype(type, kind, where, node);
    if ((total_bytes_ += bytes) > limits_.tensor_bytes)
      fail(where, base::cat("the tensors of the file take more than ", limits_.tensor_bytes, " bytes"));
    const haddr_t place = H5Dget_offset(dataset);
    own_order_ = own_order_ || (bytes > 0 && kind == H5T_FLOAT && is_own_order(type));
    if (place != HADDR_UNDEF && bytes > 0 && as_in_memory(type, kind)) return take_as_it_lies(static_cast<std::int64_t>(place), dtype, node);
    node.data = Tensor(node.shape, dtype);
    if (elements == 0) return;
    const bool half = dtype == DType::float16 || dtype == DType::bfloat16;
    const Id own(half ? half_type(type, dtype) : -1, H5Tclose);
    const hid_t memory = half ? hid_t{own} : dtype == DType::float32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
    if (memory < 0 || H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, node.data.bytes()) < 0) fail(where, "cannot be read");
    if (!as_in_memory(type, kind)) check_order(usual_sizes(node.data), where);
    if (place != HADDR_UNDEF) file_.forget(static_cast<std::int64_t>(place), bytes);
  }

  static bool is_own_order(hid_t type) { return H5Tget_order(type) == H5Tget_order(H5T_NATIVE_FLOAT); }
  static bool as_in_memory(hid_t type, H5T_class_t kind) { return kind == H5T_OPAQUE || is_own_order(type); }

  /// Of data in the other byte order. No one machine writes both.
  void check_order(const Orders& usual, const std::string& where) {
    if (usual.absurd()) fail(where, "holds numbers of absurd size, and of a usual one in the other byte order");
    if (usual.exchanged) doubtful_ = where;
  }

  /// Data at a checked place, which libhdf5 would hand over as it is.
  void take_as_it_lies(std::int64_t place, DType dtype, Hdf5Node& node) const {
    if (const std::int64_t position = file_.position(place); tensors_ == Tensors::left_in_file && position >= 0) {
      node.left = {position, dtype};
      return;
    }
    node.data = Tensor::uninitialized(node.shape, dtype);
    file_.read(place, {static_cast<std::byte*>(node.data.bytes()), node.data.byte_size()});
    // No other dataset's (claim_data), and read once: an inflated archive and its tensors need not be there together.
    file_.forget(place, static_cast<std::int64_t>(node.data.byte_size()));
  }

  Shape dataset_shape(hid_t space, const std::string& where) const {
    if (H5Sget_simple_extent_type(space) == H5S_NULL) return {0};
    const int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > static_cast<int>(Shape::max_rank)) fail(where, base::cat("has ", rank, " dimensions; at most 8 are read"));
    hsize_t dims[Shape::max_rank] = {};
    if (rank && H5Sget_simple_extent_dims(space, dims, nullptr) < 0) fail(where, "has no sound shape");
    Shape shape;
    for (int i = 0; i < rank; ++i) {
      if (dims[i] > static_cast<hsize_t>(limits_.tensor_bytes)) fail(where, base::cat("its shape claims a dimension of ", dims[i], ", which is too large"));
      shape.push_back(static_cast<std::int64_t>(dims[i]));
    }
    try {
      shape.elements();
    } catch (const ArgumentError& e) {
      fail(where, e.what());
    }
    return shape;
  }

  /// Declared bytes against what the file stores.
  void check_storage(hid_t dataset, std::int64_t bytes, const std::string& where) {
    if (bytes > limits_.tensor_bytes) fail(where, base::cat("its shape claims ", bytes, " bytes; at most ", limits_.tensor_bytes, " are read"));
    const auto stored = static_cast<std::int64_t>(H5Dget_storage_size(dataset));
    if (stored < 0 || stored > file_.size()) fail(where, base::cat("claims to store ", stored, " bytes in a file of ", file_.size()));
    // An address is that of contiguous data in this file: what every Keras writes. The property list would cost more than all the rest.
    const haddr_t place = H5Dget_offset(dataset);
    const H5D_layout_t layout = place != HADDR_UNDEF ? H5D_CONTIGUOUS : checked_layout(dataset, stored, where);
    if (layout == H5D_CONTIGUOUS && stored > 0) headers_.claim_data(place, static_cast<std::uint64_t>(stored), where);
    if (layout != H5D_CHUNKED && stored != bytes) fail(where, base::cat("claims ", bytes, " bytes but stores ", stored));
    const bool bomb = bytes > (std::int64_t{1} << 20) && bytes / limits_.inflate_ratio > stored;
    if (layout == H5D_CHUNKED && (bomb || (stored == 0 && bytes > 0))) fail(where, base::cat("claims ", bytes, " bytes but stores ", stored));
  }

  H5D_layout_t checked_layout(hid_t dataset, std::int64_t stored, const std::string& where) {
    const Id properties(H5Dget_create_plist(dataset), H5Pclose), type(H5Dget_type(dataset), H5Tclose);
    if (!properties.ok()) fail(where, "cannot be read");
    if (H5Pget_external_count(properties) != 0) fail(where, "keeps its data in another file");
    const H5D_layout_t layout = H5Pget_layout(properties);
    if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) fail(where, "is a virtual dataset");
    for (int i = 0; i < H5Pget_nfilters(properties); ++i) {
      unsigned flags = 0, config = 0, first = 0;
      size_t values = 1;
      const H5Z_filter_t filter = H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &values, &first, 0, nullptr, &config);
      if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE) fail(where, base::cat("uses the filter ", filter, "; deflate and shuffle are read"));
      if (filter == H5Z_FILTER_SHUFFLE && (values < 1 || first != H5Tget_size(type))) fail(where, "shuffles bytes of elements of another size than its own");
    }
    if (layout == H5D_CHUNKED) check_chunk(properties, dataset, stored, where);
    return layout;
  }

  /// A whole chunk is decoded at once, however small the dataset is.
  void check_chunk(hid_t properties, hid_t dataset, std::int64_t stored, const std::string& where) {
    hsize_t dims[H5S_MAX_RANK] = {};
    const int rank = H5Pget_chunk(properties, H5S_MAX_RANK, dims);
    const Id type(H5Dget_type(dataset), H5Tclose);
    hsize_t bytes = H5Tget_size(type);
    const auto most = static_cast<hsize_t>(limits_.tensor_bytes);
    for (int i = 0; i < rank && bytes <= most; ++i) bytes = dims[i] != 0 && dims[i] <= most ? bytes * dims[i] : most + 1;
    const auto decoded = static_cast<std::int64_t>(std::min(bytes, most + 1));
    if (rank < 1 || decoded > limits_.tensor_bytes || (decoded > (std::int64_t{1} << 20) && decoded / limits_.inflate_ratio > stored))
      fail(where, base::cat("has a chunk size of ", decoded, " bytes or more but stores ", stored));
    if (stored > 0) check_chunks(properties, dataset, dims, decoded, where);
  }

  /// The chunks cover the dataset. Each stored one must decode to exactly one: libhdf5 takes a shorter one for a whole, and leaves old
  /// memory in the rest.
  void check_chunks(hid_t properties, hid_t dataset, const hsize_t* chunk, std::int64_t chunk_bytes, const std::string& where) {
    const Id space(H5Dget_space(dataset), H5Sclose);
    hsize_t dims[H5S_MAX_RANK] = {}, chunks = 0, wanted = 1;
    const int rank = H5Sget_simple_extent_dims(space, dims, nullptr);
    for (int i = 0; i < rank; ++i) wanted *= (dims[i] + chunk[i] - 1) / chunk[i];
    if (H5Dget_num_chunks(dataset, space, &chunks) < 0 || chunks > static_cast<hsize_t>(limits_.hdf5_objects)) fail(where, "has chunks that cannot be read");
    if (chunks != wanted) fail(where, base::cat("stores ", chunks, " chunks where its size needs ", wanted));
    std::vector<unsigned char> stored;
    std::set<std::vector<hsize_t>> places;
    for (hsize_t i = 0; i < chunks; ++i) {
      hsize_t offset[H5S_MAX_RANK] = {}, size = 0;
      unsigned mask = 0;
      haddr_t address = HADDR_UNDEF;
      if (H5Dget_chunk_info(dataset, space, i, offset, &mask, &address, &size) < 0 || size > static_cast<hsize_t>(file_.size()))
        fail(where, "has a chunk that cannot be read");
      const bool inside = std::equal(offset, offset + rank, dims, std::less<>()) && places.insert({offset, offset + rank}).second;
      if (!inside) fail(where, "has a chunk at a place outside it, or two at one");
      headers_.claim_data(address, size, where);
      stored.resize(static_cast<std::size_t>(size));
      std::uint32_t filters = 0;
      if (H5Dread_chunk(dataset, H5P_DEFAULT, offset, &filters, stored.data()) < 0) fail(where, "has a chunk that cannot be read");
      const bool plain = is_plain(properties, filters, where);
      const std::int64_t decoded = plain ? static_cast<std::int64_t>(size) : inflated_size(stored, chunk_bytes);
      if (decoded != chunk_bytes) fail(where, base::cat("has a chunk of the size ", decoded, " bytes where ", chunk_bytes, " are declared"));
    }
  }

  /// Whether a chunk is not deflated: deflate may be left out of a chunk that it would make no smaller, shuffle never.
  bool is_plain(hid_t properties, std::uint32_t mask, const std::string& where) const {
    for (int i = 0; i < H5Pget_nfilters(properties); ++i) {
      unsigned flags = 0, config = 0;
      size_t values = 0;
      const H5Z_filter_t filter = H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, &config);
      if (filter == H5Z_FILTER_DEFLATE) return (mask >> i & 1) != 0;
      if (mask >> i & 1) fail(where, "has a chunk that leaves out a filter");
    }
    return true;
  }

  /// What a zlib stream decodes to, counted no further than one byte over `wanted`; -1 for a broken one.
  static std::int64_t inflated_size(std::vector<unsigned char>& stored, std::int64_t wanted) {
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) return -1;
    stream.next_in = stored.data(), stream.avail_in = static_cast<uInt>(stored.size());
    unsigned char sink[1 << 14];
    std::int64_t total = 0;
    int status = Z_OK;
    while (status == Z_OK && total <= wanted) {
      stream.next_out = sink, stream.avail_out = sizeof sink;
      status = inflate(&stream, Z_NO_FLUSH);
      total += static_cast<std::int64_t>(sizeof sink - stream.avail_out);
      if (status == Z_BUF_ERROR) break;
    }
    inflateEnd(&stream);
    return status == Z_STREAM_END ? total : -1;
  }

  DType float_dtype(hid_t type, H5T_class_t kind, const std::string& where, const Hdf5Node& node) const {
    const size_t size = H5Tget_size(type);
    if (kind == H5T_OPAQUE && size == 2) {
      const Config* mark = node.attribute("dtype");
      if (mark && mark->is_string() && mark->as_string() == "bfloat16") return DType::bfloat16;
    }
    if (kind == H5T_FLOAT) {
      size_t sign, exponent, exponent_size, mantissa, mantissa_size;
      const bool whole = H5Tget_offset(type) == 0 && H5Tget_precision(type) == 8 * size && H5Tget_norm(type) == H5T_NORM_IMPLIED;
      if (whole && H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) >= 0) {
        const size_t bias = H5Tget_ebias(type);
        const auto is = [&](size_t bytes, size_t e, size_t m, size_t b) {
          return size == bytes && sign == bytes * 8 - 1 && exponent == m && exponent_size == e && mantissa == 0 && mantissa_size == m && bias == b;
        };
        if (is(4, 8, 23, 127)) return DType::float32;
        if (is(8, 11, 52, 1023)) return DType::float64;
        if (is(2, 5, 10, 15)) return DType::float16;
      }
    }
    fail(where, "holds elements that are neither IEEE floats, bfloat16 nor integers");
  }

  /// The native form of a checked two-byte type: HDF5 exchanges the bytes where the file has them the other way.
  static hid_t half_type(hid_t type, DType dtype) {
    const hid_t copy = H5Tcopy(type);
    if (dtype == DType::float16) H5Tset_order(copy, H5T_ORDER_LE);
    return copy;
  }

  const Bytes& file_;
  const LoadLimits& limits_;
  const Tensors tensors_;
  std::set<haddr_t> seen_;
  Hdf5Headers headers_;
  std::int64_t total_bytes_ = 0;
  bool own_order_ = false;                             // some numbers are in this machine's byte order
  std::string doubtful_;                               // a dataset in the other, usual in both
};

}  // namespace

Hdf5Node read_hdf5(const Bytes& file, const LoadLimits& limits, Tensors tensors) {
  scan_hdf5(file);
  const auto lock = lock_hdf5();
  return Reader(file, limits, tensors).read();
}

}  // namespace upconv::io
