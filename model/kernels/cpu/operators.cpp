// The operators by which Python calls the kernels of this folder. All are compiled as one file, which takes the
// least time: most of it goes to torch's headers.
#include "experts.cpp"
#include "multiply.cpp"
#include "norm.cpp"
#include "rotation.cpp"
#include "route.cpp"
#include "swish.cpp"
#include "weighted_sum.cpp"

TORCH_LIBRARY(mixtray_layer, library) {
  const auto on_cpus = [&](const char* schema, auto* kernel) {
    library.def(schema, torch::dispatch(c10::DispatchKey::CPU, kernel));
  };
  on_cpus("add_norm(Tensor x, Tensor? update, Tensor weight, float eps) -> (Tensor, Tensor)", mixtray::add_norm);
  on_cpus(
      "rotate(Tensor qkv, Tensor cos, Tensor sin, int heads, int kv_heads, Tensor(a!)? keys=None,"
      " Tensor(b!)? values=None, Tensor? places=None, Tensor? opened=None) -> (Tensor, Tensor)",
      mixtray::rotate);
  on_cpus("route(Tensor router_logits, int num_chosen) -> (Tensor, Tensor, Tensor, Tensor, Tensor)", mixtray::route);
  on_cpus("swish_product(Tensor gate_up) -> Tensor", mixtray::swish_product);
  on_cpus("weighted_sum(Tensor outputs, Tensor places, Tensor weights) -> Tensor", mixtray::weighted_sum);
  on_cpus(
      "multiply(Tensor x, int[] ends, Tensor panels, Tensor? scales, int outputs, bool tiles=True) -> Tensor",
      mixtray::multiply);
  on_cpus(
      "experts(Tensor x, Tensor tokens, Tensor ends, Tensor w13, Tensor? scales13, Tensor w2, Tensor? scales2,"
      " bool tiles=True) -> Tensor",
      mixtray::experts);
  library.def("panel_width() -> int", mixtray::panel_width);
  library.def("multiplies_pairs() -> bool", mixtray::multiplies_pairs);
  library.def("has_tiles() -> bool", mixtray::has_tiles);
}
