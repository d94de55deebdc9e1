// SPDX-License-Identifier: Apache-2.0
// The file grows in libhdf5's core driver, without a file behind it. Lists of names longer than an object header holds are
// split into equal pieces, as few as fit: Keras's save_attributes_to_hdf5_group.
#include "io/hdf5_writer.h"

#include <algorithm>

#include "base/text.h"
#include "io/hdf5_driver.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

using Id = Hdf5Id;

constexpr std::size_t kMostAttributeBytes = 64512;               // HDF5_OBJECT_HEADER_LIMIT of Keras
constexpr std::size_t kGrowth = std::size_t{1} << 20;

void check(bool fine, const std::string& where) {
  if (!fine) throw StateError(base::cat("libhdf5 could not write '", where, "'."));
}

Id text_type() {
  return {[] {
            const hid_t type = H5Tcopy(H5T_C_S1);
            H5Tset_size(type, H5T_VARIABLE);
            H5Tset_cset(type, H5T_CSET_UTF8);
            return type;
          }(),
          H5Tclose};
}

/// The type in the file; the elements in memory are of the same type.
Id element_type(DType dtype) {
  switch (dtype) {
    case DType::float32: return {H5Tcopy(H5T_IEEE_F32LE), H5Tclose};
    case DType::float64: return {H5Tcopy(H5T_IEEE_F64LE), H5Tclose};
    case DType::bfloat16: return {H5Tcreate(H5T_OPAQUE, 2), H5Tclose};
    default: break;
  }
  const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
  H5Tset_fields(half, 15, 10, 5, 0, 10);
  H5Tset_size(half, 2);
  H5Tset_ebias(half, 15);
  return {half, H5Tclose};
}

Id space_of(const Shape& shape) {
  hsize_t dims[Shape::max_rank] = {};
  for (std::size_t i = 0; i < shape.rank(); ++i) dims[i] = static_cast<hsize_t>(shape[i]);
  return {shape.rank() == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(static_cast<int>(shape.rank()), dims, nullptr), H5Sclose};
}

void write_attribute(hid_t object, const std::string& name, hid_t type, const Shape& shape, const void* values) {
  const Id space = space_of(shape);
  const Id attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  check(attribute.ok() && (shape.elements() == 0 || H5Awrite(attribute, type, values) >= 0), name);
}

/// One text of variable length, as h5py writes a Python str.
void write_text(hid_t object, const std::string& name, const std::string& value) {
  const char* pointer = value.c_str();
  const Id type = text_type();
  write_attribute(object, name, type, {}, &pointer);
}

std::size_t longest(const Config* first, std::size_t count) {
  std::size_t length = 1;
  for (std::size_t i = 0; i < count; ++i) length = std::max(length, first[i].as_string().size());
  return length;
}

/// Texts of one length, padded with zeros, as h5py writes a NumPy array of bytes.
void write_names(hid_t object, const std::string& name, const Config* first, std::size_t count) {
  const std::size_t length = longest(first, count);
  std::string values(length * count, '\0');
  for (std::size_t i = 0; i < count; ++i) values.replace(i * length, first[i].as_string().size(), first[i].as_string());
  const Id type(H5Tcopy(H5T_C_S1), H5Tclose);
  check(H5Tset_size(type, length) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0, name);
  write_attribute(object, name, type, {static_cast<std::int64_t>(count)}, values.data());
}

void write_list(hid_t object, const std::string& name, const Config::List& list) {
  if (list.empty()) return write_attribute(object, name, H5T_IEEE_F64LE, {0}, nullptr);
  const auto piece = [&](std::size_t i, std::size_t pieces) {    // numpy.array_split
    const std::size_t size = list.size() / pieces, longer = list.size() % pieces;
    return std::pair{i * size + std::min(i, longer), size + (i < longer ? 1 : 0)};
  };
  std::size_t pieces = 1;
  for (std::size_t i = 0; i < pieces;) {
    const auto [start, count] = piece(i, pieces);
    if (longest(&list[start], count) * count <= kMostAttributeBytes) {
      ++i;
      continue;
    }
    if (count == 1) throw ArgumentError(name, base::cat("A name in a list holds at most ", kMostAttributeBytes, " bytes. Received: ", list[start].as_string().size(), "."));
    ++pieces, i = 0;
  }
  for (std::size_t i = 0; i < pieces; ++i) {
    const auto [start, count] = piece(i, pieces);
    write_names(object, pieces == 1 ? name : name + std::to_string(i), &list[start], count);
  }
}

}  // namespace

struct Hdf5Writer::File {
  hid_t id = -1;

  bool exists(const std::string& path) const { return path.empty() || H5Lexists(id, path.c_str(), H5P_DEFAULT) > 0; }

  void group(const std::string& path) const {
    for (std::size_t end = 0; end < path.size();) {
      end = std::min(path.find('/', end + 1), path.size());
      const std::string step = path.substr(0, end);
      if (exists(step)) continue;
      const Id made(H5Gcreate2(id, step.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
      check(made.ok(), step);
    }
  }

  void dataset(const std::string& path, hid_t type, const Shape& shape, const void* values, bool bfloat16 = false) const {
    const std::size_t slash = path.rfind('/');
    if (slash != std::string::npos) group(path.substr(0, slash));
    if (exists(path)) throw ArgumentError("path", base::cat("'", path, "' was written already."));
    const Id space = space_of(shape), properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_obj_track_times(properties, 0);
    const Id made(H5Dcreate2(id, path.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose);
    check(made.ok() && (shape.elements() == 0 || H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0), path);
    if (!bfloat16) return;
    write_text(made, "dtype", "bfloat16");
  }
};

Hdf5Writer::Hdf5Writer() : file_(std::make_unique<File>()) {
  const auto lock = lock_hdf5();
  const Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  check(access.ok() && H5Pset_fapl_core(access, kGrowth, 0) >= 0, "/");
  static unsigned count = 0;                                     // libhdf5 refuses two open files of one name
  file_->id = H5Fcreate(base::cat("upconv-", count++).c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  check(file_->id >= 0, "/");
}

Hdf5Writer::~Hdf5Writer() {
  if (file_->id < 0) return;
  const auto lock = lock_hdf5();
  H5Fclose(file_->id);
}

void Hdf5Writer::group(const std::string& path) {
  const auto lock = lock_hdf5();
  file_->group(path);
}

void Hdf5Writer::dataset(const std::string& path, ConstTensorView values) {
  const auto lock = lock_hdf5();
  const Id type = element_type(values.dtype);
  file_->dataset(path, type, values.shape, values.bytes, values.dtype == DType::bfloat16);
}

void Hdf5Writer::counter(const std::string& path, std::int64_t value) {
  const auto lock = lock_hdf5();
  file_->dataset(path, H5T_STD_I64LE, {}, &value);
}

void Hdf5Writer::attribute(const std::string& path, const std::string& name, const Config& value) {
  const auto lock = lock_hdf5();
  const Id object(H5Oopen(file_->id, path.empty() ? "/" : path.c_str(), H5P_DEFAULT), H5Oclose);
  check(object.ok(), path);
  if (value.is_list()) return write_list(object, name, value.as_list());
  if (value.is_int()) {
    const std::int64_t number = value.as_int();
    return write_attribute(object, name, H5T_STD_I64LE, {}, &number);
  }
  if (value.is_double()) {
    const double number = value.as_double();
    return write_attribute(object, name, H5T_IEEE_F64LE, {}, &number);
  }
  if (!value.is_string()) throw ArgumentError(name, base::cat("An attribute is a string, a number or a list of strings. Received: ", value.json(), "."));
  write_text(object, name, value.as_string());
}

std::vector<std::byte> Hdf5Writer::finish() {
  const auto lock = lock_hdf5();
  check(H5Fflush(file_->id, H5F_SCOPE_GLOBAL) >= 0, "/");
  const ssize_t size = H5Fget_file_image(file_->id, nullptr, 0);
  std::vector<std::byte> bytes(size > 0 ? static_cast<std::size_t>(size) : 0);
  check(size > 0 && H5Fget_file_image(file_->id, bytes.data(), bytes.size()) == size, "/");
  H5Fclose(file_->id);
  file_->id = -1;
  return bytes;
}

}  // namespace upconv::io
