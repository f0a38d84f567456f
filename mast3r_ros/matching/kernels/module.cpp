// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The index as a Python class. The GIL is released while it packs and searches.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "index.hpp"

namespace py = pybind11;
using namespace mast3r_ros;

namespace {

using Rows = py::array_t<float, py::array::c_style>;

const Kernels* kernels_named(const std::string& name) {
  for (const Kernels* kernels : available_kernels())
    if (name.empty() || name == kernels->name) return kernels;
  throw std::invalid_argument("instruction set '" + name +
                              "': not built, or not on this processor");
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
  return names;
}

std::unique_ptr<Index> make_index(const Rows& rows, int height, int width, int threads,
                                  const std::string& instruction_set) {
  if (rows.ndim() != 2 || rows.shape(1) == 0) throw std::invalid_argument("rows: give (N, D)");
  if (rows.shape(0) > std::numeric_limits<std::int32_t>::max())
    throw std::invalid_argument("rows: more than 2^31 - 1");
  if (height > 0 && std::int64_t(height) * width != rows.shape(0))
    throw std::invalid_argument("rows: not height * width of them");
  const Kernels* kernels = kernels_named(instruction_set);
  const py::gil_scoped_release release;
  return std::make_unique<Index>(rows.data(), rows.shape(0), int(rows.shape(1)), height, width,
                                 threads, kernels);
}

py::tuple nearest(const Index& index, const Rows& queries, int threads, bool second, bool prune,
                  float least) {
  if (queries.ndim() != 2 || queries.shape(1) != index.channels())
    throw std::invalid_argument("queries: not (Q, " + std::to_string(index.channels()) + ")");
  if (second && !(least < std::numeric_limits<float>::lowest()))
    throw std::invalid_argument("least: must be -inf where the second best is asked for");
  if (index.size() == 0) throw std::invalid_argument("index: empty");
  const std::int64_t count = queries.shape(0);
  py::array_t<std::int64_t> indices(count);
  py::array_t<float> scores(count), seconds(count);
  std::int64_t* index_out = indices.mutable_data();
  float *score_out = scores.mutable_data(), *second_out = seconds.mutable_data();
  {
    const py::gil_scoped_release release;
    std::vector<Best> best(count);
    index.nearest(queries.data(), count, threads, second, prune, least, best.data());
    for (std::int64_t q = 0; q < count; ++q) {
      const bool found = best[q].index != Index::kNothing;
      index_out[q] = found ? best[q].index : -1;
      score_out[q] = found ? best[q].score : -std::numeric_limits<float>::infinity();
      second_out[q] = best[q].second;
    }
  }
  return py::make_tuple(indices, scores, seconds);
}

}  // namespace

PYBIND11_MODULE(_nearest, module) {
  module.doc() = "Nearest descriptors by SIMD: see mast3r_ros/matching/nearest.py.";
  module.def("instruction_sets", &instruction_sets,
             "Those that this build holds and this processor runs, the fastest first.");
  py::class_<Index>(module, "Index")
      .def(py::init(&make_index), py::arg("rows").noconvert(), py::kw_only(), py::arg("height"),
           py::arg("width"), py::arg("threads"), py::arg("instruction_set") = "")
      .def("nearest", &nearest, py::arg("queries").noconvert(), py::kw_only(), py::arg("threads"),
           py::arg("second"), py::arg("prune") = true,
           py::arg("least") = -std::numeric_limits<float>::infinity(),
           "Indices, -1 where no score is `least` or more, scores, and second best scores.");
}
