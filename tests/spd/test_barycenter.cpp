// SPDX-License-Identifier: MIT
#include <Eigen/Eigenvalues>

#include <array>
#include <cmath>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/covariances.hpp"
#include "support/throws.hpp"
#include <monge/spd/barycenter.hpp>
#include <monge/spd/generalised_bures_wasserstein.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

std::vector<MatrixXd> batch(Index count, Index n, double condition) {
  std::vector<MatrixXd> X;
  for (Index i = 0; i < count; ++i) {
    X.push_back((1 + 0.3 * double(i)) * support::covariance(n, 10 + std::uint64_t(i), condition));
  }
  return X;
}

MatrixXd three(double a, double b, double c, double d, double e, double f) {
  MatrixXd X(3, 3);
  X << a, b, c, b, d, e, c, e, f;
  return X;
}

double apart(MatrixXd const& X, MatrixXd const& Y) { return (X - Y).norm(); }

VectorXd const equal;

}  // namespace

TEST_CASE("barycentres agree with arithmetic of 40 digits", "[spd]") {
  std::vector<MatrixXd> const X = {three(4, 1, 0, 3, 1, 2), three(2, -1, 0, 5, 1, 1),
                                   three(1, 0, 0, 6, -2, 3)};
  VectorXd const w = Eigen::Vector3d(0.25, 0.25, 0.5);
  auto const r = spd::barycenter(X, w, {.tolerance = 1e-14});
  CHECK(r.status == Status::converged);
  MatrixXd const wasserstein =
      three(1.78328603081913393, 0.0134501523012793371, 0.00819300256310728679, 4.80193226837693977,
            -0.313166682417146509, 1.93723934166537356);
  CHECK(apart(r.matrix, wasserstein) < 1e-13);
  auto const k = spd::barycenter(X, w, spd::affine_invariant{}, {.tolerance = 1e-13});
  CHECK(k.status == Status::converged);
  MatrixXd const karcher = three(1.64585553484661551, -0.0322273393793203561, 0.0163683139003165647,
                                 4.16492948853920302, -0.0560730183432674187, 1.82994875471349119);
  CHECK(apart(k.matrix, karcher) < 1e-12);
  // Weights need not have sum 1; fixed sizes stay.
  std::array<Eigen::Matrix3d, 3> const fixed = {Eigen::Matrix3d(X[0]), Eigen::Matrix3d(X[1]),
                                                Eigen::Matrix3d(X[2])};
  auto const f = spd::barycenter(fixed, Eigen::Vector3d(1, 1, 2), {.tolerance = 1e-14});
  STATIC_REQUIRE(std::same_as<decltype(f.matrix), Eigen::Matrix3d>);
  CHECK(apart(f.matrix, wasserstein) < 1e-13);
}

TEST_CASE("barycentres of matrices that commute are in closed form", "[spd]") {
  MatrixXd const U = support::rotation(5, 3);
  MatrixXd const l = support::matrix(5, 4, 4, 1e-6, 1);
  VectorXd const w = support::weights(4, 5);
  std::vector<MatrixXd> X;
  for (int i = 0; i < 4; ++i) {
    MatrixXd const Y = U * l.col(i).asDiagonal() * U.transpose();
    X.push_back((Y + Y.transpose()) / 2);
  }
  VectorXd const roots = l.cwiseSqrt() * w;
  VectorXd const logs = l.array().log().matrix() * w;
  auto const r = spd::barycenter(X, w);
  CHECK(r.iterations == 0);  // the start is exact
  CHECK(apart(r.matrix, U * roots.cwiseAbs2().asDiagonal() * U.transpose()) < 1e-14);
  // From elsewhere too: that the start is right must not hide a wrong iteration.
  auto const s = spd::barycenter(X, w, {.tolerance = 1e-13}, MatrixXd(MatrixXd::Identity(5, 5)));
  CHECK(s.converged());
  CHECK(apart(s.matrix, r.matrix) < 1e-13);
  MatrixXd const geometric = U * logs.array().exp().matrix().asDiagonal() * U.transpose();
  CHECK(apart(spd::barycenter(X, w, spd::affine_invariant{}).matrix, geometric) < 1e-13);
  auto const a = spd::barycenter(X, w, spd::affine_invariant{}, {.tolerance = 1e-13},
                                 MatrixXd(MatrixXd::Identity(5, 5)));
  CHECK(apart(a.matrix, geometric) < 1e-12);
}

TEST_CASE("the barycentre of two matrices is on their geodesic", "[spd]") {
  auto const X = batch(2, 6, 100);
  VectorXd const w = Eigen::Vector2d(0.3, 0.7);
  auto const check = [&](auto const& metric) {
    auto const r = spd::barycenter(X, w, metric, {.tolerance = 1e-12});
    CHECK(r.converged());
    CHECK(apart(r.matrix, metric.geodesic(X[0], X[1], 0.7)) < 1e-11);
    double const d = metric.distance(X[0], X[1]);
    CHECK(std::abs(r.variance - 0.21 * d * d) < 1e-11);  // w (1 - w) d^2
  };
  check(spd::bures_wasserstein{});
  check(spd::affine_invariant{});
  check(spd::log_euclidean{});
}

TEST_CASE("the residual is that of the matrix that is returned", "[spd]") {
  auto const X = batch(6, 5, 1e4);
  VectorXd const w = support::weights(6, 1);
  auto const residual = [&](auto const& metric, MatrixXd const& B, double scale) {
    MatrixXd V = MatrixXd::Zero(5, 5);
    for (std::size_t i = 0; i < X.size(); ++i) V += w(Index(i)) * metric.log(B, X[i]);
    return metric.norm(B, V) / scale;
  };
  for (Index limit : {0, 1, 2, 1000}) {
    auto const r = spd::barycenter(X, w, {.max_iterations = limit});
    double const exact = residual(spd::bures_wasserstein{}, r.matrix, std::sqrt(r.matrix.trace()));
    CHECK(std::abs(r.residual - exact) < 1e-12);
    CHECK(r.status == (limit < 1000 ? Status::iteration_limit : Status::converged));
    CHECK((r.residual <= r.tolerance) == r.converged());
    auto const a = spd::barycenter(X, w, spd::affine_invariant{}, {.max_iterations = limit});
    CHECK(std::abs(a.residual - residual(spd::affine_invariant{}, a.matrix, 1)) < 1e-9);
  }
  // The value is that of the definition, and a perturbed matrix has a larger one.
  auto const r = spd::barycenter(X, w);
  auto const value = [&](MatrixXd const& B) {
    double sum = 0;
    for (std::size_t i = 0; i < X.size(); ++i) {
      sum += w(Index(i)) * std::pow(spd::bures_wasserstein_distance(B, X[i]), 2);
    }
    return sum;
  };
  CHECK(std::abs(r.variance - value(r.matrix)) < 1e-14);
  for (std::uint64_t seed : {1, 2, 3}) {
    CHECK(value(r.matrix + 1e-4 * r.matrix(0, 0) * support::covariance(5, seed)) > r.variance);
  }
}

TEST_CASE("barycentres are found for condition numbers up to 1e12", "[spd]") {
  for (double condition : {1e3, 1e6, 1e9, 1e12}) {
    CAPTURE(condition);
    auto const X = batch(8, 6, condition);
    auto const r = spd::barycenter(X, equal);
    CHECK(r.converged());
    CHECK(r.residual <= (condition < 1e9 ? 1e-9 : 1e-6));
    CHECK(r.iterations < 200);
    // Scales change nothing.
    std::vector<MatrixXd> small;
    for (auto const& Y : X) small.push_back(0x1p-80 * Y);
    auto const s = spd::barycenter(small, equal);
    CHECK(s.iterations == r.iterations);
    CHECK(apart(0x1p80 * s.matrix, r.matrix) < 1e-12);
    if (condition <= 1e6) {
      auto const a = spd::barycenter(X, equal, spd::affine_invariant{}, {.tolerance = 1e-7});
      CHECK(a.converged());
    }
  }
}

TEST_CASE("singular matrices have a Wasserstein barycentre beside one that is not", "[spd]") {
  MatrixXd const x = support::points(4, 1, 2), I = MatrixXd::Identity(4, 4);
  std::vector<MatrixXd> const X = {x * x.transpose(), I};
  auto const r = spd::barycenter(X, equal, {.tolerance = 1e-12});
  CHECK(r.converged());
  CHECK(apart(r.matrix, spd::bures_wasserstein{}.geodesic(I, X[0], 0.5)) < 1e-11);
  CHECK_REFUSED(spd::barycenter(std::vector<MatrixXd>{X[0], X[0]}, equal),
                "all matrices are singular");
  CHECK_REFUSED(spd::barycenter(X, equal, spd::affine_invariant{}),
                "barycenter: the matrix is singular");
}

TEST_CASE("metrics behind a map have the mapped barycentre", "[spd]") {
  auto const X = batch(5, 4, 50);
  MatrixXd const M = support::covariance(4, 3, 10);
  spd::generalised_bures_wasserstein const generalised(M);
  spd::power_deformed const deformed(generalised, 0.5);
  auto const check = [&](auto const& metric) {
    auto const r = spd::barycenter(X, equal, metric, {.tolerance = 1e-12});
    CHECK(r.converged());
    MatrixXd V = MatrixXd::Zero(4, 4);
    double value = 0;
    for (auto const& Y : X) {
      V += metric.log(r.matrix, Y);
      value += std::pow(metric.distance(r.matrix, Y), 2) / 5;
    }
    CHECK(V.norm() < 1e-10);
    CHECK(std::abs(r.variance - value) < 1e-11);
  };
  check(generalised);
  check(deformed);
}

TEST_CASE("an iteration allocates nothing", "[spd]") {
  auto const X = batch(5, 14, 1e3);
  VectorXd const w = VectorXd::Constant(5, 0.2);
  auto const check = [&](auto const& metric) {
    spd::detail::BarycenterMethod const method(X, w, metric, X[0], {.tolerance = 0});
    auto state = method.init();
    static_cast<void>(method.advance(state, 1));
    Advance done;
    CHECK(test::allocations([&] { done = method.advance(state, 3); }) == 0);
    CHECK(done.steps == 3);
  };
  check(spd::bures_wasserstein{});
  check(spd::affine_invariant{});
}

TEST_CASE("barycentres end as they are told", "[spd]") {
  auto const X = batch(5, 4, 1e3);
  Index calls = 0;
  auto const r = spd::barycenter(X, equal, {.tolerance = 0}, {},
                                 [&](Progress const& p) { return ++calls < 3 || p.error > 1; });
  CHECK(r.status == Status::stopped_by_observer);
  CHECK(r.iterations == 3);
  auto const exact = spd::barycenter(X, equal, {.tolerance = 0});
  CHECK(exact.status == Status::precision_limit);
  CHECK(exact.residual < 1e-13);
  CHECK(exact.iterations < 100);
  CHECK(spd::barycenter(X, equal, {}, exact.matrix).iterations == 0);  // a warm start
  CHECK(spd::barycenter(X, equal, {.tolerance = 0, .max_seconds = 0}).status == Status::time_limit);
  std::vector<Eigen::MatrixXf> F;
  for (auto const& Y : X) F.push_back(Y.cast<float>());
  auto const f = spd::barycenter(F, Eigen::VectorXf());
  CHECK(f.converged());
  CHECK(apart(f.matrix.cast<double>(), exact.matrix) < 1e-4);
}

TEST_CASE("barycentres refuse misuse", "[spd]") {
  auto const X = batch(2, 3, 10);
  CHECK_REFUSED(spd::barycenter(std::vector<MatrixXd>{}, equal), "there are no matrices");
  CHECK_REFUSED(spd::barycenter(X, VectorXd(Eigen::Vector3d(1, 1, 1))),
                "there are 2 matrices but 3 weights");
  CHECK_REFUSED(spd::barycenter(X, VectorXd(Eigen::Vector2d(1, -1))), "weights must be finite");
  CHECK_REFUSED(spd::barycenter(X, VectorXd(Eigen::Vector2d(0, 0))), "not all zero");
  CHECK_REFUSED(spd::barycenter(std::vector<MatrixXd>{X[0], MatrixXd::Identity(2, 2)}, equal),
                "the first matrix is 3x3 but another one is 2x2");
  CHECK_REFUSED(spd::barycenter(X, equal, {.tolerance = -1}), "tolerance is -1");
  CHECK_REFUSED(spd::barycenter(X, equal, {.max_iterations = -1}), "max_iterations is -1");
  CHECK_REFUSED(spd::barycenter(X, equal, {.observe_every = 0}), "observe_every is 0");
  CHECK_REFUSED(spd::barycenter(X, equal, {}, MatrixXd(MatrixXd::Identity(2, 2))), "2x2");
}
