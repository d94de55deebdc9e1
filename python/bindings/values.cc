// SPDX-License-Identifier: Apache-2.0
#include "values.h"

#include <functional>

#include "base/text.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"

namespace upconv::python {

Held::~Held() {
  const nb::gil_scoped_acquire gil;
  object.reset();
}

namespace {

struct PythonValue {
  std::shared_ptr<Held> callable;
  std::string name;                          // "" where it cannot be saved
  Config config;
};

/// (callable, registered name, configuration as JSON text).
PythonValue python_value(nb::handle value) {
  const nb::tuple parts = nb::cast<nb::tuple>(value);
  const std::string json = nb::cast<std::string>(parts[2]);
  return {std::make_shared<Held>(parts[0]), nb::cast<std::string>(parts[1]), json.empty() ? Config() : config_of(json)};
}

Config unsaveable(const char* role) {
  throw ArgumentError(role, base::cat("This ", role, " is a Python function without a registered name, so it has no form in a configuration. "
                                      "upconv.saving.register_keras_serializable gives it one."));
}

/// f(x), and f.gradient(x, y, dy) where there is one. Both take and give whole arrays.
class PythonActivation final : public ActivationFunction {
 public:
  explicit PythonActivation(PythonValue v) : v_(std::move(v)) {}
  Held* held() const { return v_.callable.get(); }
  std::string name() const override { return v_.name; }
  Config config() const override { return v_.config.is_null() ? unsaveable("activation") : v_.config; }
  void forward(ConstTensorView x, TensorView y) const override {
    const nb::gil_scoped_acquire gil;
    store(from_python(v_.callable->object(numpy_copy(x))), y, "activation");
  }
  void backward(ConstTensorView x, ConstTensorView y, ConstTensorView dy, TensorView dx) const override {
    const nb::gil_scoped_acquire gil;
    if (!nb::hasattr(v_.callable->object, "gradient"))
      throw StateError("A Python function as activation serves inference only: give the object a method gradient(x, y, dy) to train through it.");
    store(from_python(v_.callable->object.attr("gradient")(numpy_copy(x), numpy_copy(y), numpy_copy(dy))), dx, "activation");
  }
  static void store(const Tensor& value, TensorView to, const char* role) {
    if (value.shape() != to.shape)
      throw ArgumentError(role, base::cat("The Python ", role, " must return an array of shape ", to.shape.str(), ". Received: ", value.shape().str(), "."));
    convert(value, to);
  }

 private:
  PythonValue v_;
};

class PythonInitializer final : public InitializerFunction {
 public:
  explicit PythonInitializer(PythonValue v) : v_(std::move(v)) {}
  Held* held() const { return v_.callable.get(); }
  std::string name() const override { return v_.name; }
  Config config() const override { return v_.config.is_null() ? unsaveable("initializer") : v_.config; }
  void fill(TensorView out) const override {
    const nb::gil_scoped_acquire gil;
    PythonActivation::store(from_python(v_.callable->object(tuple_of(out.shape), std::string(name_of(out.dtype)))), out, "initializer");
  }

 private:
  PythonValue v_;
};

/// f(w), and f.gradient(w) for training.
class PythonRegularizer final : public RegularizerFunction {
 public:
  explicit PythonRegularizer(PythonValue v) : v_(std::move(v)) {}
  Held* held() const { return v_.callable.get(); }
  std::string name() const override { return v_.name; }
  Config config() const override { return v_.config.is_null() ? unsaveable("regularizer") : v_.config; }
  double penalty(ConstTensorView w) const override {
    const nb::gil_scoped_acquire gil;
    return nb::cast<double>(nb::float_(v_.callable->object(numpy_copy(w))));
  }
  void add_gradient(ConstTensorView w, double scale, TensorView dw) const override {
    const nb::gil_scoped_acquire gil;
    if (!nb::hasattr(v_.callable->object, "gradient"))
      throw StateError("A Python function as regularizer counts in losses only: give the object a method gradient(w) to train with it.");
    Tensor g = Tensor::uninitialized(dw.shape, DType::float64), sum = Tensor::copy_of(dw).cast(DType::float64);
    PythonActivation::store(from_python(v_.callable->object.attr("gradient")(numpy_copy(w))), g, "regularizer");
    for (std::int64_t i = 0; i < g.elements(); ++i) sum.data<double>()[i] += scale * g.data<double>()[i];
    convert(sum, dw);
  }

 private:
  PythonValue v_;
};

class PythonConstraint final : public ConstraintFunction {
 public:
  explicit PythonConstraint(PythonValue v) : v_(std::move(v)) {}
  Held* held() const { return v_.callable.get(); }
  std::string name() const override { return v_.name; }
  Config config() const override { return v_.config.is_null() ? unsaveable("constraint") : v_.config; }
  void project(TensorView w) const override {
    const nb::gil_scoped_acquire gil;
    PythonActivation::store(from_python(v_.callable->object(numpy_copy(w))), w, "constraint");
  }

 private:
  PythonValue v_;
};

/// JSON text -> Handle::from_config, a tuple -> the Python function behind it.
template <class Handle, class Function>
Handle value_of(nb::handle value) {
  if (nb::isinstance<nb::str>(value)) return Handle::from_config(config_of(nb::cast<std::string>(value)));
  return Handle(std::make_shared<const Function>(python_value(value)));
}

}  // namespace

std::vector<Held*> functions_of(const Layer& layer) {
  std::vector<Held*> found;
  const auto* conv = dynamic_cast<const Conv2DTranspose*>(&layer);
  if (!conv) return found;
  const Conv2DTransposeOptions& o = conv->options();
  if (const auto* f = dynamic_cast<const PythonActivation*>(&o.activation.function())) found.push_back(f->held());
  for (const Initializer* i : {&o.kernel_initializer, &o.bias_initializer})
    if (const auto* f = dynamic_cast<const PythonInitializer*>(i->function())) found.push_back(f->held());
  for (const Regularizer* r : {&o.kernel_regularizer, &o.bias_regularizer, &o.activity_regularizer})
    if (const auto* f = *r ? dynamic_cast<const PythonRegularizer*>(&r->function()) : nullptr) found.push_back(f->held());
  for (const Constraint* c : {&o.kernel_constraint, &o.bias_constraint})
    if (const auto* f = *c ? dynamic_cast<const PythonConstraint*>(&c->function()) : nullptr) found.push_back(f->held());
  return found;
}

Activation activation_of(nb::handle value) { return value_of<Activation, PythonActivation>(value); }
Initializer initializer_of(nb::handle value) { return value_of<Initializer, PythonInitializer>(value); }
Regularizer regularizer_of(nb::handle value) { return value_of<Regularizer, PythonRegularizer>(value); }
Constraint constraint_of(nb::handle value) { return value_of<Constraint, PythonConstraint>(value); }

void bind_values(nb::module_& m) {
  m.def("activate", [](const std::string& json, const Array& x, bool bfloat16) {
    const Activation activation = Activation::from_config(config_of(json));
    Tensor y;
    {
      const nb::gil_scoped_release released;
      y = activation(view_of(x, bfloat16));
    }
    return to_numpy(std::move(y));
  });
  m.def("initialize", [](const std::string& json, const std::vector<std::int64_t>& shape, const std::string& dtype) {
    return to_numpy(Initializer::from_config(config_of(json))(Shape(std::span(shape)), parse_dtype(dtype)));
  });
  m.def("penalty", [](const std::string& json, const Array& w, bool bfloat16) {
    const Regularizer regularizer = Regularizer::from_config(config_of(json));
    return regularizer ? regularizer->penalty(view_of(w, bfloat16)) : 0.0;
  });
  m.def("project", [](const std::string& json, const Array& w, bool bfloat16) {
    Tensor out = Tensor::copy_of(view_of(w, bfloat16));
    Constraint::from_config(config_of(json)).project(out);
    return to_numpy(std::move(out));
  });
  m.def("activation_names", [] { return activation_names(); });
  // The dictionaries that Keras writes for an identifier; a check of the identifier on the way.
  m.def("activation_config", [](const std::string& json) { return Activation::from_config(config_of(json)).config().json(); });
  m.def("initializer_config", [](const std::string& json) { return Initializer::from_config(config_of(json)).config().json(); });
  m.def("regularizer_config", [](const std::string& json) { return Regularizer::from_config(config_of(json)).config().json(); });
  m.def("constraint_config", [](const std::string& json) { return Constraint::from_config(config_of(json)).config().json(); });
}

}  // namespace upconv::python
