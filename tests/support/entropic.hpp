// SPDX-License-Identifier: MIT
// What the tests of entropic transport share: results that must be equal, bit for bit or nearly.
#pragma once

#include <Eigen/Core>

#include <cmath>

#include "support/catch.hpp"

namespace support {

/// The largest entry of a difference.
inline double largest(Eigen::MatrixXd const& difference) {
  return difference.cwiseAbs().maxCoeff();
}

/// Equal in all bits.
inline bool same(Eigen::VectorXd const& x, Eigen::VectorXd const& y) {
  return x.size() == y.size() && (x.array() == y.array()).all();
}

/// Two results of entropic solvers, bit for bit.
template <class R>
void check_identical(R const& x, R const& y) {
  CHECK(same(x.f, y.f));
  CHECK(same(x.g, y.g));
  CHECK(x.iterations == y.iterations);
  CHECK(x.status == y.status);
  CHECK(x.transport_cost == y.transport_cost);
  CHECK(x.marginal_error == y.marginal_error);
}

/// Two converged results of unbalanced transport, to `accuracy`.
template <class R>
void check_equal(R const& r, R const& other, double accuracy) {
  REQUIRE(r.converged());
  REQUIRE(other.converged());
  CHECK(largest(r.f - other.f) <= accuracy);
  CHECK(largest(r.g - other.g) <= accuracy);
  CHECK(largest(r.rows - other.rows) <= accuracy);
  CHECK(largest(r.cols - other.cols) <= accuracy);
  CHECK(std::abs(r.transport_cost - other.transport_cost) <= accuracy);
  CHECK(std::abs(r.transported_mass - other.transported_mass) <= accuracy);
  CHECK(std::abs(r.regularised_cost - other.regularised_cost) <= accuracy);
  CHECK(std::abs(r.dual_value - other.dual_value) <= accuracy);
}

}  // namespace support
