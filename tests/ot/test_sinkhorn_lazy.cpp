// SPDX-License-Identifier: MIT
// Sinkhorn on point clouds of many coordinates, whose costs are computed in blocks.
#include <cmath>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

template <class S, class F>
void check_entries(Index d, Index n, Index m, F c) {
  CAPTURE(d, n, m);
  MatrixX<S> const X = support::points<S>(d, n, 1), Y = support::points<S>(d, m, 2);
  auto const cloud = ot::point_cloud(X, Y, c);
  CHECK(cloud.prefers_blocks() == (d > 4));
  MatrixX<S> const C = ot::cost_matrix(X, Y, c);
  VectorX<S> scratch(n);
  S worst = 0;
  for (Index j = 0; j < m; ++j) {
    for (Index i = 0; i < n; ++i) {
      worst = std::max(worst, std::abs(C(i, j) - c(X.col(i), Y.col(j))));
    }
    for (Index first : {Index(0), n / 3, n - 1}) {  // any piece has the same bits
      Index const count = std::max<Index>(1, (n - first) / 2);
      S const* const piece = cloud.column_segment(j, first, count, scratch.data());
      CHECK((Eigen::Map<VectorX<S> const>(piece, count).array() ==
             C.col(j).segment(first, count).array())
                .all());
    }
  }
  // The error of d products and sums, relative to the sum of their sizes (at most 4 d).
  CHECK(worst <= S(4 * d) * S(d) * unit_roundoff<S>);
}

struct Clouds {
  MatrixXd X, Y;
  VectorXd a, b;
};

Clouds clouds(Index d, Index n, Index m, std::uint64_t seed = 1) {
  return {support::points(d, n, seed), support::points(d, m, seed + 1),
          support::weights(n, seed + 2), support::weights(m, seed + 3)};
}

template <class R>
void check_same_bits(R const& x, R const& y) {
  CHECK((x.f.array() == y.f.array()).all());
  CHECK((x.g.array() == y.g.array()).all());
  CHECK(x.iterations == y.iterations);
  CHECK(x.marginal_error == y.marginal_error);
  CHECK(x.transport_cost == y.transport_cost);
}

}  // namespace

TEST_CASE("sinkhorn lazy: blocks hold the costs of their points, wherever they are cut",
          "[sinkhorn_lazy]") {
  for (Index const d : {1, 4, 5, 17, 64}) check_entries<double>(d, 77, 23, ot::squared_euclidean{});
  check_entries<double>(6, 1, 1, ot::squared_euclidean{});
  check_entries<double>(9, 33, 5, ot::euclidean{});
  check_entries<double>(9, 16, 4, ot::cosine{});
  check_entries<float>(9, 50, 6, ot::squared_euclidean{});
  check_entries<long double>(5, 18, 5, ot::squared_euclidean{});
}

TEST_CASE("sinkhorn lazy: lazy and dense agree in any dimension and precision", "[sinkhorn_lazy]") {
  for (Index const d : {3, 5, 20}) {
    for (auto const& [n, m] : {std::pair<Index, Index>{531, 70}, {37, 130}, {1, 9}, {9, 1}}) {
      CAPTURE(d, n, m);
      Clouds const p = clouds(d, n, m);
      MatrixXd const C = ot::cost_matrix(p.X, p.Y, ot::squared_euclidean{});
      for (double const room : {0.0, 1e7}) {  // in the log domain and by a stored kernel
        ot::SinkhornOptions const options{
            .epsilon = 0.1 * double(d), .tolerance = 1e-12, .kernel_bytes = room};
        auto const r = ot::sinkhorn(C, p.a, p.b, options);
        auto const s =
            ot::sinkhorn(ot::point_cloud(p.X, p.Y, ot::squared_euclidean{}), p.a, p.b, options);
        REQUIRE(s.status == Status::converged);
        CHECK((s.f - r.f).lpNorm<Eigen::Infinity>() < 1e-10);
        CHECK((s.g - r.g).lpNorm<Eigen::Infinity>() < 1e-10);
        CHECK(std::abs(s.transport_cost - r.transport_cost) < 1e-11);
        MatrixXd const P = ot::plan(C, s);
        double const error = (P.rowwise().sum() - s.a).lpNorm<1>() +
                             (P.colwise().sum().transpose() - s.b).lpNorm<1>();
        CHECK(std::abs(error - s.marginal_error) < 1e-13);
      }
    }
  }
  Clouds const p = clouds(8, 300, 200);
  auto const r = ot::sinkhorn(ot::point_cloud(p.X, p.Y, ot::cosine{}), p.a, p.b,
                              {.epsilon = 0.05, .tolerance = 1e-11});
  auto const s = ot::sinkhorn(ot::cost_matrix(p.X, p.Y, ot::cosine{}), p.a, p.b,
                              {.epsilon = 0.05, .tolerance = 1e-11});
  CHECK(r.status == Status::converged);
  CHECK((s.f - r.f).lpNorm<Eigen::Infinity>() < 1e-10);
  auto const single =
      ot::sinkhorn(ot::point_cloud(p.X.cast<float>(), p.Y.cast<float>(), ot::cosine{}),
                   p.a.cast<float>(), p.b.cast<float>(), {.epsilon = 0.05});
  CHECK(single.status == Status::converged);
  CHECK((single.f.cast<double>() - r.f).lpNorm<Eigen::Infinity>() < 1e-4);
}

TEST_CASE("sinkhorn lazy: clouds far from the origin lose no digit", "[sinkhorn_lazy]") {
  // Coordinates are multiples of 2^-20, so that moving them by 2^20 is exact: all differences, and
  // with them the whole run, have the same bits. Inner products would lose everything here.
  Clouds p = clouds(7, 90, 80);
  p.X = (p.X * 0x1p20).array().round().matrix() * 0x1p-20;
  p.Y = (p.Y * 0x1p20).array().round().matrix() * 0x1p-20;
  ot::SinkhornOptions const options{.epsilon = 0.5, .tolerance = 1e-12};
  auto const r =
      ot::sinkhorn(ot::point_cloud(p.X, p.Y, ot::squared_euclidean{}), p.a, p.b, options);
  auto const s =
      ot::sinkhorn(ot::point_cloud((p.X.array() + 0x1p20).matrix(), (p.Y.array() + 0x1p20).matrix(),
                                   ot::squared_euclidean{}),
                   p.a, p.b, options);
  REQUIRE(r.status == Status::converged);
  check_same_bits(r, s);
}

TEST_CASE("sinkhorn lazy: the result does not depend on the number of threads", "[sinkhorn_lazy]") {
  Clouds const p = clouds(6, 200, 1500);
  auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
  ot::SinkhornOptions options{.epsilon = 0.3, .kernel_bytes = 0.0};
  auto const serial = ot::sinkhorn(cloud, p.a, p.b, options);
  REQUIRE(serial.status == Status::converged);
  for (int const workers : {1, 2, 5}) {
    options.parallel = parallel::threads(workers);
    check_same_bits(serial, ot::sinkhorn(cloud, p.a, p.b, options));
  }
}

TEST_CASE("sinkhorn lazy: zero weights, equal points and small epsilon", "[sinkhorn_lazy]") {
  Clouds p = clouds(5, 60, 75);
  p.a(7) = p.b(0) = p.b(40) = 0;
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  MatrixXd const C = ot::cost_matrix(p.X, p.Y, ot::squared_euclidean{});
  auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
  for (double const epsilon : {0.5, 0.05}) {
    auto const r = ot::sinkhorn(C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-11});
    auto const s = ot::sinkhorn(cloud, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-11});
    REQUIRE(s.status == Status::converged);
    CHECK((s.f - r.f).lpNorm<Eigen::Infinity>() < 1e-8);  // also where the weight is zero
    CHECK((s.g - r.g).lpNorm<Eigen::Infinity>() < 1e-8);
  }
  // Columns whose guess is hopeless are redone from their true maxima.
  auto const cold = ot::sinkhorn(
      cloud, p.a, p.b, {.epsilon = 1e-4, .max_iterations = 3, .annealing = 1, .kernel_bytes = 0.0});
  CHECK(std::isfinite(cold.marginal_error));
  CHECK(cold.status == Status::iteration_limit);
  auto const dense = ot::sinkhorn(
      C, p.a, p.b, {.epsilon = 1e-4, .max_iterations = 3, .annealing = 1, .kernel_bytes = 0.0});
  CHECK((cold.f - dense.f).lpNorm<Eigen::Infinity>() < 1e-9);

  MatrixXd const same = MatrixXd::Ones(6, 20);
  VectorXd const w = support::weights(20, 9);
  auto const r =
      ot::sinkhorn(ot::point_cloud(same, same, ot::squared_euclidean{}), w, w, {.epsilon = 0.1});
  REQUIRE(r.status == Status::converged);
  CHECK(r.transport_cost == 0);
}

TEST_CASE("sinkhorn lazy: iterations allocate nothing", "[sinkhorn_lazy]") {
  Clouds const p = clouds(12, 300, 90);
  ot::Sinkhorn const method(ot::point_cloud(p.X, p.Y, ot::squared_euclidean{}), p.a, p.b,
                            {.epsilon = 1e-3, .kernel_bytes = 0.0});
  auto state = method.init();
  CHECK(test::allocations([&] { static_cast<void>(method.advance(state, 20)); }) == 0);
}
