// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include "io/explain_svg.h"
#include "ops/geometry.h"
#include "upconv/error.h"
#include "values.h"

namespace upconv::python {
namespace {

/// The exceptions as Python knows them; the classes live in upconv/_errors.py.
void translate(const std::exception_ptr& error, void*) {
  const auto raise = [](const char* name, auto... arguments) {
    nb::object type = nb::module_::import_("upconv._errors").attr(name);
    nb::object value = type(arguments...);
    PyErr_SetObject(type.ptr(), value.ptr());
  };
  try {
    std::rethrow_exception(error);
  } catch (const ArgumentError& e) {
    raise("ArgumentError", std::string(e.what()), e.argument());
  } catch (const FileError& e) {
    raise(e.kind() == FileError::Kind::access ? "FileAccessError" : "FileError", std::string(e.what()), e.path(), e.where());
  } catch (const StateError& e) {
    if (e.kind() == StateError::Kind::interrupted) PyErr_SetString(PyExc_KeyboardInterrupt, e.what());
    else raise("StateError", std::string(e.what()));
  }
}

std::string explain(const std::string& layer_json, const std::vector<std::int64_t>& input) {
  const Conv2DTranspose layer = Conv2DTranspose::from_config(config_of(layer_json));
  const Conv2DTransposeOptions& o = layer.options();
  const bool last = o.data_format != "channels_first";
  if (input.size() != 4) throw ArgumentError("input_shape", "explain needs the whole input shape, (batch, height, width, channels) or channels first.");
  ConvTransposeGeometry geometry;
  geometry.strides = o.strides, geometry.padding = o.padding == "same" ? Padding::same : Padding::valid;
  geometry.output_padding = o.output_padding, geometry.dilation_rate = o.dilation_rate;
  geometry.data_format = last ? DataFormat::channels_last : DataFormat::channels_first;
  const auto [kernel_height, kernel_width] = layer.kernel_size();
  const Shape x{input[0], input[1], input[2], input[3]}, kernel{kernel_height, kernel_width, layer.filters(), last ? input[3] : input[1]};
  const ops::Geometry g = ops::make_geometry(x, kernel, geometry);
  return io::explain_svg(g.y, g.x, geometry.padding);
}

}  // namespace
}  // namespace upconv::python

NB_MODULE(_core, m) {
  using namespace upconv;
  using namespace upconv::python;
  nb::register_exception_translator(&translate, nullptr);
  bind_values(m);
  bind_activations(m);
  bind_layer(m);
  bind_model(m);
  bind_training(m);
  bind_eager(m);
#ifdef UPCONV_WITH_FFI
  bind_ffi(m);
#endif
  m.def("version", [] { return std::string(version()); });
  m.def("set_threads", [](int n) { set_default_threads(n); });
  m.def("get_threads", [] { return default_threads(); });
  m.def("available_isas", &available_isas);
  m.def("default_isa", &default_isa);
  m.def("set_isa", [](const std::string& name) { set_default_isa(name); });
  m.def("clear_session", &clear_session);
  m.def("image_data_format", &default_data_format);
  m.def("set_image_data_format", [](const std::string& v) { set_default_data_format(v); });
  m.def("floatx", &default_dtype_policy);
  m.def("set_dtype_policy", [](const std::string& v) { set_default_dtype_policy(v); });
  m.def("epsilon", &default_epsilon);
  m.def("set_epsilon", &set_default_epsilon);
  m.def("explain_svg", &explain);
}
