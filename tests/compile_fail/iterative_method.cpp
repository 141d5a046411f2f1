// SPDX-License-Identifier: MIT
// The loop drives a value with init, advance, error and finish; one without `finish` is refused.
// expect: satisf.*IterativeMethod
#include <monge/core/iterate.hpp>

struct Halving {
  double init() const { return 1; }
  monge::Advance advance(double& state, monge::Index k) const {
    for (monge::Index i = 0; i < k; ++i) state /= 2;
    return {monge::Status::running, k};
  }
  double error(double const& state) const { return state; }
#ifndef MONGE_BAD
  monge::Status finish(double&, monge::Status status) const { return status; }
#endif
};

int main() {
  return monge::iterate(Halving{}, {.max_iterations = 3}).status == monge::Status::iteration_limit
             ? 0
             : 1;
}
