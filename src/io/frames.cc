// SPDX-License-Identifier: Apache-2.0
#include "io/frames.h"

#include <cstring>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/json.h"

namespace upconv::io {

namespace {

enum class Kind : unsigned char { layout = 1, version, metadata, config, bytes, optimizer, group, attribute, dataset, tensor, integers, leave, error, end, left };

const std::byte* bytes_of(const Tensor& tensor) { return static_cast<const std::byte*>(tensor.bytes()); }

// ------------------------------------------------------------------------------------------------ writing

/// A payload of numbers and texts, each text with its length before it.
class Payload {
 public:
  Payload& number(std::int64_t value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Payload& text(std::string_view value) {
    number(static_cast<std::int64_t>(value.size()));
    text_ += value;
    return *this;
  }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(text_)); }

 private:
  std::string text_;
};

void send(const FrameSink& sink, Kind kind, std::span<const std::byte> payload) {
  std::byte head[9];
  head[0] = static_cast<std::byte>(kind);
  const auto length = static_cast<std::uint64_t>(payload.size());
  std::memcpy(head + 1, &length, sizeof length);
  sink(head);
  sink(payload);
}

void send(const FrameSink& sink, Kind kind, std::string_view text) { send(sink, kind, Payload().text(text).bytes()); }
void send(const FrameSink& sink, Kind kind, std::int64_t number) { send(sink, kind, Payload().number(number).bytes()); }

void send_node(Hdf5Node&& node, const FrameSink& sink) {
  if (node.is_group) {
    send(sink, Kind::group, node.name);
  } else {
    Payload dataset;
    const DType dtype = node.left ? node.left->dtype : node.data.dtype();
    dataset.text(node.name).number(static_cast<std::int64_t>(dtype)).number(static_cast<std::int64_t>(node.shape.rank()));
    for (std::size_t i = 0; i < node.shape.rank(); ++i) dataset.number(node.shape[i]);
    send(sink, Kind::dataset, dataset.bytes());
    if (node.left) send(sink, Kind::left, node.left->position);
    else if (node.data.shape() == node.shape) send(sink, Kind::tensor, {bytes_of(node.data), node.data.byte_size()});
    else send(sink, Kind::integers, std::as_bytes(std::span(node.integers)));
    node.data = Tensor();
    base::drop_kept();
  }
  for (const auto& [name, value] : node.attributes) send(sink, Kind::attribute, Payload().text(name).text(value.json()).bytes());
  for (Hdf5Node& child : node.children) send_node(std::move(child), sink);
  send(sink, Kind::leave, std::string_view());
}

// ------------------------------------------------------------------------------------------------ reading

class Reader {
 public:
  Reader(const Bytes& file, const LoadLimits& limits, const FrameSource& source) : file_(file), path_(file.path()), limits_(limits), source_(source) {}

  KerasParts parts() {
    KerasParts parts;
    parts.path = path_;
    for (;;) {
      switch (next()) {
        case Kind::layout: parts.layout = whole_text(); break;
        case Kind::version: parts.keras_version = whole_text(); break;
        case Kind::metadata: parts.metadata = json("metadata.json"); break;
        case Kind::config: parts.config = json("config.json"); break;
        case Kind::bytes: parts.bytes = (load(8), number()); break;
        case Kind::optimizer: parts.has_optimizer_state = (load(8), number()) != 0; break;
        case Kind::group:
          if (parts.weights) refuse("two trees of weights");
          parts.weights = group(0);
          break;
        case Kind::error: {
          load(kMostText);
          const bool access = number() != 0;
          std::string path = text(), where = text();
          throw FileError(std::move(path), std::move(where), text(), access ? FileError::Kind::access : FileError::Kind::content);
        }
        case Kind::end: return parts;
        default: refuse("a frame out of place");
      }
    }
  }

 private:
  static constexpr std::int64_t kMostText = 1 << 20;

  [[noreturn]] void refuse(const std::string& what) const {
    throw FileError(path_, "", base::cat("the process that decodes the file broke the protocol: ", what));
  }

  Kind next() {
    std::byte head[9];
    source_(head);
    std::uint64_t length = 0;
    std::memcpy(&length, head + 1, sizeof length);
    if (length > static_cast<std::uint64_t>(INT64_MAX)) refuse("a length beyond 63 bits");
    length_ = static_cast<std::int64_t>(length);
    if (head[0] < std::byte{1} || head[0] > static_cast<std::byte>(Kind::left)) refuse("an unknown kind of frame");
    return static_cast<Kind>(head[0]);
  }

  /// The payload of at most `most` bytes.
  void load(std::int64_t most) {
    if (length_ > most) refuse(base::cat("a frame of ", length_, " bytes where at most ", most, " belong"));
    payload_.resize(static_cast<std::size_t>(length_));
    source_(std::as_writable_bytes(std::span(payload_)));
    at_ = 0;
  }
  std::int64_t number() {
    std::int64_t value = 0;
    if (payload_.size() - at_ < sizeof value) refuse("a frame that ends too early");
    std::memcpy(&value, payload_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string text() {
    const std::int64_t size = number();
    if (size < 0 || size > static_cast<std::int64_t>(payload_.size() - at_)) refuse("a text that ends too early");
    at_ += static_cast<std::size_t>(size);
    return payload_.substr(at_ - static_cast<std::size_t>(size), static_cast<std::size_t>(size));
  }
  std::string whole_text() { return load(kMostText), text(); }
  Config json(const char* where) {
    load(limits_.json_bytes + 8);
    return parse_json(text(), path_, where, limits_);
  }

  void count_node(int depth) {
    if (++nodes_ > limits_.hdf5_objects) refuse("more objects than the limit");
    if (depth > limits_.nesting) refuse("groups nested deeper than the limit");
  }

  /// A group whose frame has just come, with everything in it.
  Hdf5Node group(int depth) {
    count_node(depth);
    Hdf5Node node;
    node.name = whole_text();
    for (;;) {
      switch (next()) {
        case Kind::attribute: attribute(node); break;
        case Kind::group: node.children.push_back(group(depth + 1)); break;
        case Kind::dataset: node.children.push_back(dataset(depth + 1)); break;
        case Kind::leave: load(8); return node;
        default: refuse("a frame out of place in a group");
      }
    }
  }

  void attribute(Hdf5Node& node) {
    load(limits_.json_bytes + kMostText);
    json_bytes_ = base::checked_add(json_bytes_, length_);
    if (json_bytes_ > 2 * limits_.json_bytes + kMostText) refuse("attributes beyond the limit of JSON");
    std::string name = text();
    const std::string place = "@" + name;
    node.attributes.emplace_back(std::move(name), parse_json(text(), path_, place, limits_));
  }

  Hdf5Node dataset(int depth) {
    count_node(depth);
    load(kMostText);
    Hdf5Node node;
    node.is_group = false;
    node.name = text();
    const std::int64_t dtype = number(), rank = number();
    if (dtype < 0 || dtype > static_cast<std::int64_t>(DType::bfloat16) || rank < 0 || rank > 32) refuse("a dataset of no dtype or rank");
    for (std::int64_t i = 0; i < rank; ++i) {
      const std::int64_t size = number();
      if (size < 0) refuse("a negative size");
      node.shape.push_back(size);
    }
    elements(node, next(), static_cast<DType>(dtype));
    for (Kind next_kind = next(); next_kind != Kind::leave; next_kind = next()) {
      if (next_kind != Kind::attribute) refuse("a frame out of place in a dataset");
      attribute(node);
    }
    load(8);
    return node;
  }

  /// What a dataset holds, from the frame that has just come.
  void elements(Hdf5Node& node, Kind kind, DType dtype) {
    if (kind != Kind::tensor && kind != Kind::integers && kind != Kind::left) refuse("a dataset without its elements");
    const std::int64_t each = kind == Kind::integers ? 8 : static_cast<std::int64_t>(size_of(dtype));
    const std::int64_t bytes = base::checked_mul(node.shape.elements(), each);
    if (kind != Kind::left && length_ != bytes) refuse("a tensor of another size than its shape's");
    tensor_bytes_ = base::checked_add(tensor_bytes_, bytes);
    if (tensor_bytes_ > limits_.tensor_bytes) refuse("more bytes of tensors than the limit");
    if (kind == Kind::integers) {
      node.integers.resize(static_cast<std::size_t>(bytes / 8));
      return source_(std::as_writable_bytes(std::span(node.integers)));
    }
    const std::int64_t place = kind == Kind::left ? (load(8), number()) : 0;
    if (kind == Kind::left && (place < 0 || bytes > file_.size() || place > file_.size() - bytes)) refuse("a tensor outside the file");
    node.data = Tensor::uninitialized(node.shape, dtype);
    const std::span<std::byte> to(static_cast<std::byte*>(node.data.bytes()), node.data.byte_size());
    if (kind == Kind::left) file_.read(place, to);
    else source_(to);
  }

  const Bytes& file_;
  const std::string& path_;
  const LoadLimits& limits_;
  const FrameSource& source_;
  std::string payload_;
  std::size_t at_ = 0;
  std::int64_t length_ = 0, nodes_ = 0, json_bytes_ = 0, tensor_bytes_ = 0;
};

}  // namespace

void write_frames(KerasParts&& parts, const FrameSink& sink) {
  send(sink, Kind::layout, parts.layout);
  send(sink, Kind::version, parts.keras_version);
  if (!parts.metadata.is_null()) send(sink, Kind::metadata, parts.metadata.json());
  if (!parts.config.is_null()) send(sink, Kind::config, parts.config.json());
  send(sink, Kind::bytes, parts.bytes);
  send(sink, Kind::optimizer, std::int64_t{parts.has_optimizer_state});
  if (parts.weights) send_node(std::move(*parts.weights), sink);
  send(sink, Kind::end, std::span<const std::byte>());
}

void write_frames(const FileError& error, const FrameSink& sink) {
  send(sink, Kind::error, Payload().number(error.kind() == FileError::Kind::access).text(error.path()).text(error.where()).text(error.reason()).bytes());
}

KerasParts read_frames(const Bytes& file, const LoadLimits& limits, const FrameSource& source) {
  try {
    return Reader(file, limits, source).parts();
  } catch (const ArgumentError& e) {                   // sizes that no shape can have
    throw FileError(file.path(), "", base::cat("the process that decodes the file broke the protocol: ", e.what()));
  }
}

}  // namespace upconv::io
