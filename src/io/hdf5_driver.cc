// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_driver.h"

#include <cstring>
#include <exception>

namespace upconv::io {

namespace {

struct Settings {
  const Bytes* bytes;
};

struct File {
  H5FD_t base;                     // must come first: libhdf5 sees the file through it
  const Bytes* bytes;
  haddr_t end_of_addresses;
};

H5FD_t* open_file(const char*, unsigned, hid_t properties, haddr_t) {
  const auto* settings = static_cast<const Settings*>(H5Pget_driver_info(properties));
  if (!settings) return nullptr;
  return &(new File{{}, settings->bytes, 0})->base;
}

File* file_of(H5FD_t* base) { return reinterpret_cast<File*>(base); }
const File* file_of(const H5FD_t* base) { return reinterpret_cast<const File*>(base); }

herr_t close_file(H5FD_t* base) {
  delete file_of(base);
  return 0;
}
herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = 0;
  return 0;
}
haddr_t get_eoa(const H5FD_t* base, H5FD_mem_t) { return file_of(base)->end_of_addresses; }
herr_t set_eoa(H5FD_t* base, H5FD_mem_t, haddr_t address) {
  file_of(base)->end_of_addresses = address;
  return 0;
}
haddr_t get_eof(const H5FD_t* base, H5FD_mem_t) { return static_cast<haddr_t>(file_of(base)->bytes->size()); }

herr_t read(H5FD_t* base, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* buffer) {
  const Bytes& bytes = *file_of(base)->bytes;
  const auto end = static_cast<haddr_t>(bytes.size());
  if (address > end || size > end - address) return -1;
  try {
    bytes.read(static_cast<std::int64_t>(address), {static_cast<std::byte*>(buffer), size});
  } catch (const std::exception&) {
    return -1;                     // no exception may pass through libhdf5
  }
  return 0;
}
herr_t write(H5FD_t*, H5FD_mem_t, hid_t, haddr_t, size_t, const void*) { return -1; }

hid_t driver() {
  static const H5FD_class_t description = [] {
    H5FD_class_t d;
    std::memset(&d, 0, sizeof d);
    d.name = "upconv";
    d.maxaddr = static_cast<haddr_t>(INT64_MAX);
    d.fc_degree = H5F_CLOSE_STRONG;
    d.fapl_size = sizeof(Settings);
    d.open = open_file, d.close = close_file, d.query = query;
    d.get_eoa = get_eoa, d.set_eoa = set_eoa, d.get_eof = get_eof;
    d.read = read, d.write = write;
    for (auto& kind : d.fl_map) kind = H5FD_MEM_SUPER;
    return d;
  }();
  static const hid_t id = H5FDregister(&description);
  return id;
}

std::mutex library_lock;

}  // namespace

std::unique_lock<std::mutex> lock_hdf5() {
  std::unique_lock lock(library_lock);
  static const bool prepared = H5open() >= 0 && H5PLset_loading_state(0) >= 0;
  static_cast<void>(prepared);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);         // the error stack is a thread's own where libhdf5 is thread-safe
  return lock;
}

hid_t open_hdf5(const Bytes& bytes) {
  const hid_t properties = H5Pcreate(H5P_FILE_ACCESS);
  const Settings settings{&bytes};
  hid_t file = -1;
  if (H5Pset_driver(properties, driver(), &settings) >= 0) file = H5Fopen(bytes.path().empty() ? "memory" : bytes.path().c_str(), H5F_ACC_RDONLY, properties);
  H5Pclose(properties);
  return file;
}

}  // namespace upconv::io
