// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include "upconv/error.h"

namespace upconv::python {

namespace {

using Named = std::vector<std::pair<Array, bool>>;

std::vector<Tensor> tensors_of(const Named& arrays) {
  std::vector<Tensor> tensors;
  for (const auto& [array, bfloat16] : arrays) tensors.push_back(Tensor::copy_of(view_of(array, bfloat16)));
  return tensors;
}

nb::dict dict_of(const Logs& logs) {
  nb::dict d;
  for (const auto& [name, value] : logs) d[name.c_str()] = value;
  return d;
}

/// Python's callbacks, called with the GIL; a Ctrl-C is seen after every batch.
class PythonCallback final : public Callback {
 public:
  explicit PythonCallback(nb::object on_event) : on_event_(std::move(on_event)) {}
  void on_train_begin(TrainingContext& c) override { tell("train_begin", c, {}); }
  void on_epoch_begin(TrainingContext& c) override { tell("epoch_begin", c, {}); }
  void on_batch_end(TrainingContext& c, const Logs& logs) override { tell("batch_end", c, logs); }
  void on_epoch_end(TrainingContext& c, Logs& logs) override { tell("epoch_end", c, logs); }
  void on_train_end(TrainingContext& c) override { tell("train_end", c, {}); }

 private:
  void tell(const char* event, TrainingContext& c, const Logs& logs) {
    const nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) nb::raise_python_error();
    const nb::object answer = on_event_(event, c.epoch, c.step, c.epochs, c.steps, dict_of(logs), c.trainer.optimizer().learning_rate());
    if (answer.is_none()) return;
    if (nb::isinstance<nb::float_>(answer)) c.trainer.optimizer().set_learning_rate(nb::cast<double>(answer));
    else c.stop_training = nb::cast<bool>(answer);
  }
  nb::object on_event_;
};

/// Arrays; a Ctrl-C is seen before every batch, in evaluation and validation too.
class InterruptibleDataset final : public Dataset {
 public:
  explicit InterruptibleDataset(ArrayDataset arrays) : arrays_(std::move(arrays)) {}
  std::int64_t size() const override { return arrays_.size(); }
  bool has_targets() const override { return arrays_.has_targets(); }
  Batch batch(std::span<const std::int64_t> indices, std::int64_t epoch) const override {
    {
      const nb::gil_scoped_acquire gil;
      if (PyErr_CheckSignals() != 0) nb::raise_python_error();
    }
    return arrays_.batch(indices, epoch);
  }

 private:
  ArrayDataset arrays_;
};

std::unique_ptr<Dataset> dataset_of(const Named& x, const Named& y, const Named& weight) {
  std::optional<Tensor> sample_weight;
  if (!weight.empty()) sample_weight = std::move(tensors_of(weight).front());
  return std::make_unique<InterruptibleDataset>(ArrayDataset(tensors_of(x), tensors_of(y), std::move(sample_weight)));
}

nb::list fit(Trainer& trainer, const Named& x, const Named& y, const Named& weight, const Named& vx, const Named& vy, const Named& vw, std::int64_t epochs,
             std::int64_t initial_epoch, std::int64_t batch_size, std::optional<std::int64_t> steps, bool shuffle, std::uint64_t seed, const nb::object& on_event) {
  const auto data = dataset_of(x, y, weight);
  std::unique_ptr<Dataset> validation;
  if (!vx.empty()) validation = dataset_of(vx, vy, vw);
  FitOptions o{.epochs = epochs, .initial_epoch = initial_epoch, .batch_size = batch_size, .steps_per_epoch = steps, .shuffle = shuffle, .seed = seed,
               .validation_data = validation.get()};
  if (!on_event.is_none()) o.callbacks.push_back(std::make_shared<PythonCallback>(on_event));
  History history;
  {
    const nb::gil_scoped_release released;
    history = trainer.fit(*data, o);
  }
  nb::list list;
  for (std::size_t i = 0; i < history.logs.size(); ++i) list.append(nb::make_tuple(history.epoch[i], dict_of(history.logs[i])));
  return list;
}

template <class Role>
std::vector<Role> roles_of(const std::vector<std::string>& jsons) {
  std::vector<Role> roles;
  for (const std::string& json : jsons) roles.push_back(Role::from_config(config_of(json)));
  return roles;
}

/// A number, or the array of Reduction::none.
nb::object loss_values(const std::string& json, const std::pair<Array, bool>& y_true, const std::pair<Array, bool>& y_pred,
                       const std::optional<std::pair<Array, bool>>& sample_weight) {
  const Loss loss = Loss::from_config(config_of(json));
  const ConstTensorView t = view_of(y_true.first, y_true.second), p = view_of(y_pred.first, y_pred.second);
  std::optional<Tensor> weight;
  if (sample_weight) weight = Tensor::copy_of(view_of(sample_weight->first, sample_weight->second));
  if (loss.reduction() == Reduction::none) return to_numpy(loss.values(t, p, weight ? &*weight : nullptr));
  return nb::float_(loss(t, p, weight ? &*weight : nullptr));
}

}  // namespace

void bind_training(nb::module_& m) {
  nb::class_<Trainer>(m, "Trainer")
      .def("__init__", [](Trainer* self, const Model& model, const std::string& optimizer, const std::vector<std::string>& losses, const std::vector<double>& loss_weights,
                          const std::vector<std::string>& metrics, const std::vector<std::string>& weighted, bool auto_scale_loss) {
        TrainerOptions o;
        o.loss_weights = loss_weights, o.metrics = roles_of<Metric>(metrics), o.weighted_metrics = roles_of<Metric>(weighted), o.auto_scale_loss = auto_scale_loss;
        new (self) Trainer(model, Optimizer::from_config(config_of(optimizer)), roles_of<Loss>(losses), std::move(o));
      })
      .def("model", [](Trainer& t) -> Model& { return t.model(); }, nb::rv_policy::reference_internal)
      .def("fit", &fit, nb::arg("x"), nb::arg("y"), nb::arg("weight"), nb::arg("vx"), nb::arg("vy"), nb::arg("vw"), nb::arg("epochs"), nb::arg("initial_epoch"),
           nb::arg("batch_size"), nb::arg("steps").none(), nb::arg("shuffle"), nb::arg("seed"), nb::arg("on_event"))
      .def("evaluate", [](Trainer& t, const Named& x, const Named& y, const Named& w, std::int64_t batch_size) {
        const auto data = dataset_of(x, y, w);
        Logs logs;
        {
          const nb::gil_scoped_release released;
          logs = t.evaluate(*data, batch_size);
        }
        return dict_of(logs);
      })
      .def("train_on_batch", [](Trainer& t, const Named& x, const Named& y, const Named& w) {
        Batch batch{tensors_of(x), tensors_of(y), {}};
        if (!w.empty()) batch.sample_weight = std::move(tensors_of(w).front());
        Logs logs;
        {
          const nb::gil_scoped_release released;
          logs = t.train_on_batch(batch);
        }
        return dict_of(logs);
      })
      .def("save", [](Trainer& t, const std::string& path, bool overwrite) { save_trainer(t, path, {.overwrite = overwrite}); }, nb::call_guard<nb::gil_scoped_release>())
      .def("compile_config_json", [](const Trainer& t) { return t.get_compile_config().json(); })
      .def("iterations", [](Trainer& t) { return t.optimizer().iterations(); })
      .def("learning_rate", [](Trainer& t) { return t.optimizer().learning_rate(); })
      .def("set_learning_rate", [](Trainer& t, double v) { t.optimizer().set_learning_rate(v); });
  m.def("load_compiled", [](const std::string& path, const LoadOptions& options) {
    std::variant<Model, Trainer> loaded = [&] {
      const nb::gil_scoped_release released;
      return load_compiled(path, options);
    }();
    return std::visit([](auto& one) { return nb::cast(std::move(one)); }, loaded);
  });
  m.def("loss_values", &loss_values, nb::arg("loss"), nb::arg("y_true"), nb::arg("y_pred"), nb::arg("sample_weight").none());
  m.def("loss_config", [](const std::string& json) { return Loss::from_config(config_of(json)).serialize().json(); });
  m.def("optimizer_config", [](const std::string& json) { return Optimizer::from_config(config_of(json)).serialize().json(); });
  m.def("metric_config", [](const std::string& json) { return Metric::from_config(config_of(json)).serialize().json(); });
}

}  // namespace upconv::python
