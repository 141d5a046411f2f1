// SPDX-License-Identifier: MIT
// A cost operator hands out pieces of its columns as pointers; one that returns entries is refused.
// expect: satisf.*CostOperator
#include <monge/ot/cost.hpp>

struct Constant {
  using Scalar = double;
  monge::Index rows() const { return 3; }
  monge::Index cols() const { return 4; }
#ifndef MONGE_BAD
  double const* column_segment(monge::Index, monge::Index, monge::Index count,
                               double* scratch) const {
    for (monge::Index i = 0; i < count; ++i) scratch[i] = 1;
    return scratch;
  }
#else
  double column_segment(monge::Index, monge::Index, monge::Index, double*) const { return 1; }
#endif
};

static double first(monge::ot::CostOperator auto const& cost) {
  double scratch = 0;
  return *cost.column_segment(0, 0, 1, &scratch);
}

int main() { return first(Constant{}) > 0 ? 0 : 1; }
