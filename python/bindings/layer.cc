// SPDX-License-Identifier: Apache-2.0
#include "module.h"
#include "upconv/error.h"
#include "values.h"

namespace upconv::python {

namespace {

using LayerPtr = std::shared_ptr<Layer>;

Conv2DTranspose& conv_of(const LayerPtr& layer) {
  auto* conv = dynamic_cast<Conv2DTranspose*>(layer.get());
  if (!conv) throw ArgumentError("layer", "This layer is no Conv2DTranspose.");
  return *conv;
}

ExecutionOptions execution_of(const std::string& math, const std::string& algorithm, int threads) {
  ExecutionOptions e;
  if (math != "fast" && math != "exact") throw ArgumentError("math", "`math` must be 'fast' or 'exact'. Received: '" + math + "'");
  e.math = math == "exact" ? Math::exact : Math::fast;
  e.algorithm = algorithm;
  e.threads = threads;
  return e;
}

/// The configuration checks everything; values that are Python functions take the place of their keys.
LayerPtr make_conv(const std::string& json, const nb::dict& values) {
  Conv2DTranspose plain = Conv2DTranspose::from_config(config_of(json));
  if (nb::len(values) == 0) return std::make_shared<Conv2DTranspose>(std::move(plain));
  Conv2DTransposeOptions o = plain.options();
  o.name = plain.name(), o.trainable = plain.trainable(), o.dtype = plain.dtype_policy().name;
  for (const auto& [key, value] : values) {
    const std::string name = nb::cast<std::string>(key);
    if (name == "activation") o.activation = activation_of(value);
    else if (name == "kernel_initializer") o.kernel_initializer = initializer_of(value);
    else if (name == "bias_initializer") o.bias_initializer = initializer_of(value);
    else if (name == "kernel_regularizer") o.kernel_regularizer = regularizer_of(value);
    else if (name == "bias_regularizer") o.bias_regularizer = regularizer_of(value);
    else if (name == "activity_regularizer") o.activity_regularizer = regularizer_of(value);
    else if (name == "kernel_constraint") o.kernel_constraint = constraint_of(value);
    else if (name == "bias_constraint") o.bias_constraint = constraint_of(value);
  }
  return std::make_shared<Conv2DTranspose>(plain.filters(), plain.kernel_size(), std::move(o));
}

nb::object call(const LayerPtr& layer, const Array& x, bool bfloat16, const std::string& math, const std::string& algorithm, int threads) {
  const ConstTensorView view = view_of(x, bfloat16);
  Tensor y;
  {
    const nb::gil_scoped_release released;
    layer->build_once(view.shape);
    y = layer->call({&view, 1}, {.execution = execution_of(math, algorithm, threads)});
  }
  return to_numpy(std::move(y));
}

void call_into(const LayerPtr& layer, const Array& x, bool x_bfloat16, const WritableArray& out, bool out_bfloat16, const std::string& math,
               const std::string& algorithm, int threads) {
  const ConstTensorView view = view_of(x, x_bfloat16);
  const TensorView target = writable_view_of(out, out_bfloat16);
  const nb::gil_scoped_release released;
  layer->build_once(view.shape);
  conv_of(layer).call_into(view, target, {.execution = execution_of(math, algorithm, threads)});
}

std::pair<nb::object, Tape> forward(const LayerPtr& layer, const Array& x, bool bfloat16) {
  const ConstTensorView view = view_of(x, bfloat16);
  std::pair<Tensor, Tape> result;
  {
    const nb::gil_scoped_release released;
    layer->build_once(view.shape);
    std::vector<Tensor> inputs;
    inputs.push_back(Tensor::copy_of(view));
    result = layer->forward(std::move(inputs), {.training = true});
  }
  return {to_numpy(std::move(result.first)), std::move(result.second)};
}

nb::tuple backward(const LayerPtr& layer, const Array& dy, bool bfloat16, const Tape& tape) {
  Gradients g;
  {
    const nb::gil_scoped_release released;
    g = layer->backward(view_of(dy, bfloat16), tape);
  }
  nb::list weights;
  for (Tensor& w : g.weights) {
    if (w.elements() > 0) weights.append(to_numpy(std::move(w)));
    else weights.append(nb::none());
  }
  return nb::make_tuple(to_numpy(std::move(g.inputs.front())), nb::tuple(weights));
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  for (Held* held : functions_of(*nb::inst_ptr<Layer>(self))) Py_VISIT(held->object.ptr());
  return 0;
}

int clear(PyObject* self) {
  for (Held* held : functions_of(*nb::inst_ptr<Layer>(self))) held->object.reset();
  return 0;
}

PyType_Slot layer_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse)}, {Py_tp_clear, reinterpret_cast<void*>(clear)}, {0, nullptr}};

}  // namespace

void bind_layer(nb::module_& m) {
  nb::class_<Tape>(m, "Tape").def_prop_ro("activity_loss", [](const Tape& t) { return t.activity_loss; });
  nb::class_<Layer>(m, "Layer", nb::type_slots(layer_slots))
      .def_prop_ro("class_name", [](const Layer& l) { return std::string(l.class_name()); })
      .def_prop_ro("name", [](const Layer& l) { return l.name(); })
      .def_prop_rw("trainable", [](const Layer& l) { return l.trainable(); }, [](Layer& l, bool value) { l.set_trainable(value); })
      .def_prop_ro("built", [](const Layer& l) { return l.built(); })
      .def_prop_ro("dtype_policy", [](const Layer& l) { return l.dtype_policy().name; })
      .def_prop_ro("compute_dtype", [](const Layer& l) { return std::string(name_of(l.dtype_policy().compute_dtype)); })
      .def_prop_ro("variable_dtype", [](const Layer& l) { return std::string(name_of(l.dtype_policy().variable_dtype)); })
      .def_prop_ro("built_input_shape", [](const Layer& l) { return tuple_of(l.built_input_shape()); })
      .def("build", [](Layer& l, const std::vector<std::optional<std::int64_t>>& shape) { l.build(shape_of(shape)); },
           nb::call_guard<nb::gil_scoped_release>())        // an initialiser may be a Python function, and another thread may be building
      .def("compute_output_shape", [](const Layer& l, const std::vector<std::optional<std::int64_t>>& shape) { return tuple_of(l.compute_output_shape(shape_of(shape))); })
      .def("count_params", &Layer::count_params)
      .def("losses", &Layer::losses)
      .def("config_json", [](const Layer& l) { return l.get_config().json(); })
      .def("serialize_json", [](const Layer& l) { return l.serialize().json(); })
      .def("variables", [](const Layer& l) {
        nb::list list;
        for (const Variable& v : l.variables()) list.append(nb::make_tuple(v.name, v.path, v.trainable, to_numpy(v.value)));
        return list;
      })
      .def("set_weights", [](Layer& l, const std::vector<std::pair<Array, bool>>& arrays) {
        std::vector<Tensor> weights;
        for (const auto& [array, bfloat16] : arrays) weights.push_back(Tensor::copy_of(view_of(array, bfloat16)));
        l.set_weights(weights);
      })
      .def("evaluate_losses", [](const LayerPtr& l, const Array& x, bool bfloat16) { return conv_of(l).evaluate_losses(view_of(x, bfloat16)); })
      .def("plan", [](const LayerPtr& l, const std::vector<std::int64_t>& shape, const std::string& math) {
        const auto plan = conv_of(l).plan(Shape(std::span(shape)), execution_of(math, "", 0));
        return std::make_pair(plan.algorithm(), plan.reason());
      })
      .def("copy", [](const LayerPtr& l) -> LayerPtr { return std::make_shared<Conv2DTranspose>(conv_of(l)); });
  m.def("make_conv", &make_conv);
  m.def("make_layer", [](const std::string& json) { return layer_from_config(config_of(json)); });
  m.def("call", &call);
  m.def("call_into", &call_into);
  m.def("forward", &forward);
  m.def("backward", &backward);
}

}  // namespace upconv::python
