// SPDX-License-Identifier: MIT
#include <limits>

#include "support/catch.hpp"
#include <monge/core/certify.hpp>

using namespace monge;

namespace {

template <class S>
struct Result {
  VectorX<S> x = VectorX<S>::Zero(5);
  MatrixX<S> P = MatrixX<S>::Zero(2, 3);
  S value = 0;
  double error = 0;
  Index iterations = 0;
  Status status = Status::converged;
  S unlisted = 0;

  auto numbers() const { return std::tie(x, P, value, error, iterations); }
};

}  // namespace

TEMPLATE_TEST_CASE("a converged result has no number that is not finite", "", float, double,
                   long double) {
  using S = TestType;
  S const huge = std::numeric_limits<S>::max();
  CHECK(detail::certified(Result<S>{}).status == Status::converged);
  Result<S> extreme;
  extreme.x.setConstant(huge);  // the sum of the entries overflows: that is no infinity in them
  extreme.P.setConstant(-huge);
  CHECK(detail::certified(extreme).status == Status::converged);

  for (S bad : {std::numeric_limits<S>::quiet_NaN(), std::numeric_limits<S>::infinity(),
                -std::numeric_limits<S>::infinity()}) {
    for (Index i = 0; i < 5; ++i) {
      Result<S> r;
      r.x[i] = bad;
      CHECK(detail::certified(r).status == Status::non_finite);
    }
    for (Index i = 0; i < 6; ++i) {
      Result<S> r;
      r.P(i % 2, i / 2) = bad;
      CHECK(detail::certified(r).status == Status::non_finite);
    }
    Result<S> value, error, unlisted;
    value.value = bad;
    error.error = static_cast<double>(bad);
    unlisted.unlisted = bad;
    CHECK(detail::certified(value).status == Status::non_finite);
    CHECK(detail::certified(error).status == Status::non_finite);
    CHECK(detail::certified(unlisted).status == Status::converged);
  }
}

TEST_CASE("only converged is looked at, and the numbers come back as they were") {
  Result<double> r;
  r.value = not_a_number;
  r.x.setLinSpaced(1, 5);
  for (Status status : {Status::iteration_limit, Status::infeasible, Status::not_run}) {
    r.status = status;
    CHECK(detail::certified(r).status == status);
  }
  r.status = Status::converged;
  Result<double> const out = detail::certified(r);
  CHECK(out.x == r.x);
  CHECK(out.value != out.value);
  Result<double> empty;
  empty.x.resize(0);
  empty.P.resize(0, 4);
  CHECK(detail::certified(empty).status == Status::converged);
}
