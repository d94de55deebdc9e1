// SPDX-License-Identifier: Apache-2.0
#include "values.h"

#include <functional>

#include "base/text.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/custom.h"
#include "upconv/error.h"

namespace upconv::python {

Held::~Held() {
  const nb::gil_scoped_acquire gil;
  object.reset();
}

const nb::object& Held::get() const {
  if (!object.is_valid()) throw StateError("This layer's Python function is gone: the layer was garbage already.");
  return object;
}

namespace {

struct PythonValue {
  std::shared_ptr<Held> callable;
  std::string name;
  Config config;
};

/// (callable, name, configuration as JSON text).
PythonValue python_value(nb::handle value) {
  const nb::tuple parts = nb::cast<nb::tuple>(value);
  const std::string json = nb::cast<std::string>(parts[2]);
  return {std::make_shared<Held>(parts[0]), nb::cast<std::string>(parts[1]), config_of(json)};
}

/// f(x), and f.gradient(x, y, dy) where there is one. Both take and give whole arrays.
class PythonActivation final : public ActivationFunction {
 public:
  explicit PythonActivation(PythonValue v) : v_(std::move(v)) {}
  Held* held() const { return v_.callable.get(); }
  std::string name() const override { return v_.name; }
  Config config() const override { return v_.config; }
  void forward(ConstTensorView x, TensorView y) const override {
    const nb::gil_scoped_acquire gil;
    store(from_python(v_.callable->get()(numpy_copy(x))), y, "activation");
  }
  void backward(ConstTensorView x, ConstTensorView y, ConstTensorView dy, TensorView dx) const override {
    const nb::gil_scoped_acquire gil;
    if (!nb::hasattr(v_.callable->get(), "gradient"))
      throw StateError("A Python function as activation serves inference only: give the object a method gradient(x, y, dy) to train through it.");
    store(from_python(v_.callable->get().attr("gradient")(numpy_copy(x), numpy_copy(y), numpy_copy(dy))), dx, "activation");
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
  Config config() const override { return v_.config; }
  void fill(TensorView out) const override {
    const nb::gil_scoped_acquire gil;
    PythonActivation::store(from_python(v_.callable->get()(tuple_of(out.shape), std::string(name_of(out.dtype)))), out, "initializer");
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
  Config config() const override { return v_.config; }
  double penalty(ConstTensorView w) const override {
    const nb::gil_scoped_acquire gil;
    return nb::cast<double>(nb::float_(v_.callable->get()(numpy_copy(w))));
  }
  void add_gradient(ConstTensorView w, double scale, TensorView dw) const override {
    const nb::gil_scoped_acquire gil;
    if (!nb::hasattr(v_.callable->get(), "gradient"))
      throw StateError("A Python function as regularizer counts in losses only: give the object a method gradient(w) to train with it.");
    Tensor g = Tensor::uninitialized(dw.shape, DType::float64), sum = Tensor::copy_of(dw).cast(DType::float64);
    PythonActivation::store(from_python(v_.callable->get().attr("gradient")(numpy_copy(w))), g, "regularizer");
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
  Config config() const override { return v_.config; }
  void project(TensorView w) const override {
    const nb::gil_scoped_acquire gil;
    PythonActivation::store(from_python(v_.callable->get()(numpy_copy(w))), w, "constraint");
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

/// `name` stands for what Python registered under it, in this role.
template <class Handle>
void register_python(const std::string& name, const char* role, Handle (*of)(nb::handle)) {
  register_custom<Handle>(name, [role, of](const Config& identifier) {
    const nb::gil_scoped_acquire gil;
    return of(nb::object(nb::module_::import_("upconv._serialize").attr("registered_value")(identifier.json(), role)));
  });
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
  m.def("register", [](const std::string& name) {
    register_python<Activation>(name, "activation", &activation_of);
    register_python<Initializer>(name, "initializer", &initializer_of);
    register_python<Regularizer>(name, "regularizer", &regularizer_of);
    register_python<Constraint>(name, "constraint", &constraint_of);
  });
  m.def("forget", [](const std::string& name) {
    register_custom<Activation>(name, {});
    register_custom<Initializer>(name, {});
    register_custom<Regularizer>(name, {});
    register_custom<Constraint>(name, {});
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
  // The dictionaries that Keras writes for an identifier; a check of the identifier on the way.
  m.def("initializer_config", [](const std::string& json) { return Initializer::from_config(config_of(json)).config().json(); });
  m.def("regularizer_config", [](const std::string& json) { return Regularizer::from_config(config_of(json)).config().json(); });
  m.def("constraint_config", [](const std::string& json) { return Constraint::from_config(config_of(json)).config().json(); });
}

}  // namespace upconv::python
