// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include <map>

#include "upconv/error.h"

namespace upconv::python {

namespace {

using Named = std::vector<std::pair<Array, bool>>;

std::vector<ConstTensorView> views_of(const Named& arrays) {
  std::vector<ConstTensorView> views;
  for (const auto& [array, bfloat16] : arrays) views.push_back(view_of(array, bfloat16));
  return views;
}

void set_limit(LoadLimits& limits, const std::string& name, std::int64_t value) {
  const std::pair<const char*, std::int64_t*> wide[] = {{"tensor_bytes", &limits.tensor_bytes}, {"json_bytes", &limits.json_bytes}, {"layers", &limits.layers},
                                                        {"hdf5_objects", &limits.hdf5_objects}, {"zip_members", &limits.zip_members},
                                                        {"inflate_ratio", &limits.inflate_ratio}, {"seconds", &limits.seconds}};
  if (value < 0 || (name == "nesting" && value > 10'000)) throw ArgumentError("limits", "limits['" + name + "'] is out of range. Received: " + std::to_string(value));
  if (name == "nesting") return void(limits.nesting = static_cast<int>(value));
  for (const auto& [known, field] : wide)
    if (name == known) return void(*field = value);
  throw ArgumentError("limits", "limits may hold tensor_bytes, json_bytes, nesting, layers, hdf5_objects, zip_members, inflate_ratio and seconds. Received: '" + name + "'");
}

LoadOptions load_options(const std::string& weights, const nb::object& on_note, const std::map<std::string, std::int64_t>& limits,
                         const std::string& isolation) {
  LoadOptions o;
  o.weights = weights;
  o.isolation = parse_isolation(isolation);
  for (const auto& [name, value] : limits) set_limit(o.limits, name, value);
  if (!on_note.is_none())
    o.on_note = [on_note](const std::string& note) {
      const nb::gil_scoped_acquire gil;
      on_note(note);
    };
  return o;
}

SaveOptions save_options(bool overwrite, std::int64_t max_shard_bytes) {
  SaveOptions o;
  o.overwrite = overwrite, o.max_shard_bytes = max_shard_bytes;
  return o;
}

nb::list call(const Model& model, const Named& inputs, bool training) {
  const std::vector<ConstTensorView> views = views_of(inputs);
  std::vector<Tensor> outputs;
  {
    const nb::gil_scoped_release released;
    if (!model.built()) const_cast<Model&>(model).build(views.front().shape);
    outputs = model(std::span(views), {.training = training});
  }
  nb::list list;
  for (Tensor& t : outputs) list.append(to_numpy(std::move(t)));
  return list;
}

/// Layers, their output shapes for the model's inputs, and how they are connected: what summary() prints.
nb::list layer_table(const Model& model) {
  std::vector<Shape> shapes(model.nodes().size());
  for (std::size_t i = 0; i < model.input_nodes().size(); ++i) shapes[model.input_nodes()[i]] = model.inputs()[i].shape;
  std::map<const Layer*, std::pair<Shape, std::vector<std::string>>> of_layer;
  for (std::size_t i = 0; i < model.nodes().size(); ++i) {
    const GraphNode& node = model.nodes()[i];
    const Layer& layer = *model.layers()[node.layer];
    std::vector<Shape> inputs;
    std::vector<std::string> from;
    bool known = true;
    for (const std::size_t input : node.inputs) {
      inputs.push_back(shapes[input]);
      known = known && shapes[input].rank() > 0;
      from.push_back(model.layers()[model.nodes()[input].layer]->name());
    }
    if (!node.inputs.empty() && known) shapes[i] = layer.compute_output_shape(inputs);
    of_layer[&layer] = {shapes[i], from};
  }
  nb::list rows;
  for (const auto& layer : model.layers()) {
    const auto& [shape, from] = of_layer[layer.get()];
    rows.append(nb::make_tuple(layer, tuple_of(shape), from));
  }
  return rows;
}

/// A model refers to the layers that Python made: the collector has to see it, for their functions may refer to the model.
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  for (const std::shared_ptr<Layer>& layer : nb::inst_ptr<Model>(self)->layers())
    if (const auto* python = std::get_deleter<nb::detail::py_deleter>(layer)) Py_VISIT(python->o);
  return 0;
}

int clear(PyObject*) { return 0; }                     // the layers' own clear breaks the circle

PyType_Slot model_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse)}, {Py_tp_clear, reinterpret_cast<void*>(clear)}, {0, nullptr}};

}  // namespace

void bind_model(nb::module_& m) {
  nb::class_<Model>(m, "Model", nb::type_slots(model_slots))
      .def_prop_ro("name", [](const Model& model) { return model.name(); })
      .def_prop_ro("kind", [](const Model& model) { return model.kind() == Model::Kind::sequential ? "Sequential" : "Functional"; })
      .def_prop_ro("built", &Model::built)
      .def("layers", [](const Model& model) { return std::vector<std::shared_ptr<Layer>>(model.layers().begin(), model.layers().end()); })
      .def("layer_table", &layer_table)
      .def("input_shapes", [](const Model& model) {
        nb::list shapes;
        for (const ModelInput& input : model.inputs()) shapes.append(nb::make_tuple(input.name, tuple_of(input.shape)));
        return shapes;
      })
      .def("outputs", [](const Model& model) { return model.output_nodes().size(); })
      .def("build", [](Model& model, const std::vector<std::optional<std::int64_t>>& shape) { model.build(shape_of(shape)); },
           nb::call_guard<nb::gil_scoped_release>())
      .def("count_params", &Model::count_params)
      .def("losses", &Model::losses)
      .def("config_json", [](const Model& model) { return model.get_config().json(); })
      .def("call", &call)
      .def("clone", &Model::clone)
      .def("save_bytes", [](const Model& model) {
        const std::vector<std::byte> bytes = save_model(model);
        return nb::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      })
      .def("save", [](const Model& model, const std::string& path, bool overwrite) { save_model(model, path, save_options(overwrite, 0)); },
           nb::call_guard<nb::gil_scoped_release>())
      .def("save_weights", [](const Model& model, const std::string& path, bool overwrite, std::int64_t max_shard) { save_weights(model, path, save_options(overwrite, max_shard)); },
           nb::call_guard<nb::gil_scoped_release>())
      .def("load_weights", [](Model& model, const std::string& path, const LoadOptions& options) { load_weights(model, path, options); }, nb::call_guard<nb::gil_scoped_release>());
  m.def("make_sequential", [](const std::vector<std::shared_ptr<Layer>>& layers, const std::string& name, const std::optional<std::vector<std::optional<std::int64_t>>>& input_shape) {
    std::optional<Shape> shape;
    if (input_shape) shape = shape_of(*input_shape);
    const nb::gil_scoped_release released;
    return Model(layers, name, shape);
  }, nb::arg("layers"), nb::arg("name"), nb::arg("input_shape").none());
  nb::class_<LoadOptions>(m, "LoadOptions");
  m.def("load_options", &load_options, nb::arg("weights"), nb::arg("on_note").none(), nb::arg("limits"), nb::arg("isolation"));
  m.def("load_model", [](const std::string& path, const LoadOptions& options) { return load_model(path, options); }, nb::call_guard<nb::gil_scoped_release>());
  m.def("load_model_bytes", [](const nb::bytes& bytes, const LoadOptions& options) {
    const std::span<const std::byte> span{reinterpret_cast<const std::byte*>(bytes.c_str()), bytes.size()};
    const nb::gil_scoped_release released;
    return load_model(span, options);
  });
  m.def("load_layer", [](const std::string& path, const std::string& name, const LoadOptions& options) -> std::shared_ptr<Layer> {
    return load_layer(path, name, options);
  }, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace upconv::python
