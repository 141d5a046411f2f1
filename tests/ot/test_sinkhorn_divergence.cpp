// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn_divergence.hpp>
#include <monge/ot/wasserstein_1d.hpp>

using namespace monge;

namespace {

using support::largest;

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Options = ot::SinkhornDivergenceOptions;
using ot::sinkhorn_divergence;
constexpr ot::squared_euclidean squared;

struct Clouds {
  Matrix X = support::points(2, 14, 1),
         Y = (0.7 * support::points(2, 11, 2).array() + 0.2).matrix();
  Vector a = support::weights(14, 3), b = support::weights(11, 4);
};

/// A normal distribution on a lattice: moments and smooth integrals are exact to rounding.
struct Lattice {
  Matrix X;
  Vector w;
  Lattice(double mean, double deviation) : X(1, 121), w(121) {
    for (Index i = 0; i < 121; ++i) {
      double const z = double(i - 60) * (8.0 / 60);
      X(0, i) = mean + deviation * z;
      w(i) = std::exp(-z * z / 2);
    }
    w /= w.sum();
  }
};

/// OT between N(., s^2) and N(., t^2) whose means differ by `gap`: the plan is normal with a
/// covariance c that minimises gap^2 + s^2 + t^2 - 2 c - epsilon/2 log(1 - c^2 / (s t)^2).
double gaussian_transport(double gap, double s, double t, double epsilon) {
  double const product = s * s * t * t;
  double const c = product / (epsilon / 4 + std::sqrt(epsilon * epsilon / 16 + product));
  return gap * gap + s * s + t * t - 2 * c - epsilon / 2 * std::log1p(-c * c / product);
}

/// A user's cost: |x - y|^2, or something that knows a direction.
auto custom(bool symmetric) {
  return [symmetric](auto const& x, auto const& y) {
    return symmetric ? (x - y).squaredNorm() : std::max(0.0, x(0) - y(0));
  };
}

double kl(double x, double y) { return x > 0 ? x * std::log(x / y) - x + y : y; }

/// The objective of [S19] at P, with the entropy relative to a b'.
double product_objective(Matrix const& C, Matrix const& P, Vector const& a, Vector const& b,
                         double epsilon, double rho) {
  double value = (C.array() * P.array()).sum();
  for (Index j = 0; j < P.cols(); ++j) {
    for (Index i = 0; i < P.rows(); ++i) value += epsilon * kl(P(i, j), a(i) * b(j));
  }
  for (Index i = 0; i < P.rows(); ++i) value += rho * kl(P.row(i).sum(), a(i));
  for (Index j = 0; j < P.cols(); ++j) value += rho * kl(P.col(j).sum(), b(j));
  return value;
}

}  // namespace

TEST_CASE("sinkhorn_divergence: normal distributions have a closed form", "[sinkhorn_divergence]") {
  Lattice const p(0.3, 1.0), q(-0.4, 0.6);
  for (double const epsilon : {0.1, 1.0, 30.0}) {
    auto const r =
        sinkhorn_divergence(p.X, q.X, p.w, q.w, {.epsilon = epsilon, .tolerance = 1e-11});
    double const cross = gaussian_transport(0.7, 1.0, 0.6, epsilon);
    double const self_a = gaussian_transport(0, 1.0, 1.0, epsilon);
    double const self_b = gaussian_transport(0, 0.6, 0.6, epsilon);
    CAPTURE(epsilon);
    REQUIRE(r.converged());
    CHECK(std::abs(r.cross.dual_value - cross) <= 1e-9);
    CHECK(std::abs(r.self_a.dual_value - self_a) <= 1e-9);
    CHECK(std::abs(r.self_b.dual_value - self_b) <= 1e-9);
    CHECK(std::abs(r.value - (cross - self_a / 2 - self_b / 2)) <= 1e-9);
    CHECK(std::abs(r.self_a.regularised_cost - r.self_a.dual_value) <= 1e-9);
  }
}

TEST_CASE("sinkhorn_divergence: positive, zero on itself, symmetric, translation invariant",
          "[sinkhorn_divergence]") {
  Clouds const p;
  auto const check = [&](ot::p_norm c, double power, Options options) {
    options.tolerance = 1e-11;
    CAPTURE(c.p, *options.epsilon, options.rho);
    auto const divergence = [&](Matrix const& U, Matrix const& V, Vector const& u,
                                Vector const& v) {
      auto const cost = [&](Matrix const& P, Matrix const& Q) {
        return Matrix(ot::cost_matrix(P, Q, c).array().pow(power));
      };
      return ot::sinkhorn_divergence_of_costs(cost(U, V), cost(U, U), cost(V, V), u, v, options);
    };
    auto const r = divergence(p.X, p.Y, p.a, p.b);
    REQUIRE(r.converged());
    CHECK(r.value > 1e-3 * std::min(1.0, options.rho));
    auto const itself = divergence(p.X, p.X, p.a, p.a);
    CHECK(std::abs(itself.value) <= 1e-13);
    CHECK(itself.cross.iterations <= 2);  // known from the self term
    CHECK(std::abs(divergence(p.Y, p.X, p.b, p.a).value - r.value) <= 1e-12);
    auto const moved = divergence((p.X.array() + 3).matrix(), (p.Y.array() + 3).matrix(), p.a, p.b);
    CHECK(std::abs(moved.value - r.value) <= 1e-11);
    // The order of the points and the splitting of one of them do not matter.
    Matrix split(2, 15);
    split << p.X.rowwise().reverse(), p.X.col(2);
    Vector parts(15);
    parts << p.a.reverse(), 0.25 * p.a(2);
    parts(11) *= 0.75;
    CHECK(std::abs(divergence(split, p.Y, parts, p.b).value - r.value) <= 1e-12);
  };
  for (double const epsilon : {0.01, 0.3, 50.0}) {
    check({2}, 2, {.epsilon = epsilon});
    check({2}, 1, {.epsilon = epsilon});
    check({1}, 1, {.epsilon = epsilon, .rho = 0.5});
    check({2}, 2, {.epsilon = epsilon, .rho = 2, .product_reference = true});
  }
}

TEST_CASE("sinkhorn_divergence: a small epsilon gives exact transport, a large one an MMD",
          "[sinkhorn_divergence]") {
  Matrix const X = support::points(1, 40, 5),
               Y = (support::points(1, 30, 6).array() * 0.5).matrix();
  Vector const a = support::weights(40, 7), b = support::weights(30, 8);
  double const exact = double(ot::wasserstein_1d(X.row(0), Y.row(0), a, b, {.p = 2}).power);
  // The entropies of plans over that of Q are at most log 40.
  double before = infinity;
  for (double const epsilon : {1e-1, 1e-2, 1e-3}) {
    double const gap =
        std::abs(sinkhorn_divergence(X, Y, a, b, {.epsilon = epsilon}).value - exact);
    CHECK(gap <= epsilon * std::log(40.0));
    CHECK(gap < 0.3 * before);
    before = gap;
  }

  Clouds const p;
  for (double const order : {1.0, 3.0}) {
    ot::p_norm const c{order};
    Matrix const xy = ot::cost_matrix(p.X, p.Y, c), xx = ot::cost_matrix(p.X, p.X, c),
                 yy = ot::cost_matrix(p.Y, p.Y, c);
    double const mmd = p.a.dot(xy * p.b) - p.a.dot(xx * p.a) / 2 - p.b.dot(yy * p.b) / 2;
    auto const value = [&](double epsilon) {
      return double(
          ot::sinkhorn_divergence_of_costs(xy, xx, yy, p.a, p.b, {.epsilon = epsilon}).value);
    };
    double const near = value(1e3), nearer = value(1e4);
    CHECK(std::abs(nearer - mmd) <= 1e-4 * mmd);
    CHECK(std::abs((near - mmd) - 10 * (nearer - mmd)) <=
          0.02 * std::abs(near - mmd));  // 1/epsilon
  }
}

TEST_CASE("sinkhorn_divergence: two points, and points on top of each other",
          "[sinkhorn_divergence]") {
  Matrix const x = Matrix::Constant(1, 1, 0.0), y = Matrix::Constant(1, 1, 2.0);
  CHECK(std::abs(sinkhorn_divergence(x, y, {.epsilon = 0.1}).value - 4) <= 1e-12);
  Matrix const many = Matrix::Zero(1, 7);
  auto const r = sinkhorn_divergence(many, x, {.epsilon = 0.1});
  CHECK(r.converged());
  CHECK(std::abs(r.value) <= 1e-13);
  // Masses s and t at a distance whose cost is c: three 1 x 1 problems, each with a closed form.
  double const s = 3, t = 0.5, c = 4, epsilon = 0.2, rho = 1.5;
  auto const one = [&](double u, double v, double price) {
    double const q = std::sqrt(u * v);
    double const m =
        std::exp((epsilon * std::log(q) + rho * std::log(u * v) - price) / (epsilon + 2 * rho));
    return price * m + epsilon * kl(m, q) + rho * (kl(m, u) + kl(m, v));
  };
  auto const u = sinkhorn_divergence(x, y, Vector::Constant(1, s), Vector::Constant(1, t),
                                     {.epsilon = epsilon, .rho = rho, .tolerance = 1e-13});
  double const root = std::sqrt(s) - std::sqrt(t);
  CHECK(std::abs(u.value - (one(s, t, c) - one(s, s, 0) / 2 - one(t, t, 0) / 2 +
                            epsilon / 2 * root * root)) <= 1e-11);
}

TEST_CASE("sinkhorn_divergence: the unbalanced values are those of the definition",
          "[sinkhorn_divergence]") {
  Clouds const p;
  double const epsilon = 0.1, rho = 0.7;
  Vector const a = 2.5 * p.a, b = 0.4 * p.b;
  Options options{.epsilon = epsilon, .rho = rho, .tolerance = 1e-12};
  auto const homogeneous = sinkhorn_divergence(p.X, p.Y, a, b, options);
  auto const value = [&](Matrix const& U, Vector const& u, Matrix const& V, Vector const& v) {
    return ot::sinkhorn_unbalanced(ot::cost_matrix(U, V, squared), u, v,
                                   {.epsilon = epsilon, .rho_a = rho, .rho_b = rho})
        .dual_value;
  };
  double const root = std::sqrt(2.5) - std::sqrt(0.4);
  CHECK(std::abs(homogeneous.value - (value(p.X, a, p.Y, b) - value(p.X, a, p.X, a) / 2 -
                                      value(p.Y, b, p.Y, b) / 2 + epsilon / 2 * root * root)) <=
        1e-10);
  auto const scaled = sinkhorn_divergence(p.X, p.Y, 7 * a, 7 * b, options);
  CHECK(std::abs(scaled.value - 7 * homogeneous.value) <= 1e-10);

  // [S19]: every part minimises its objective, whose value it is.
  options.product_reference = true;
  auto const r = sinkhorn_divergence(p.X, p.Y, a, b, options);
  REQUIRE(r.converged());
  double combined = 0;
  auto const part = [&](double factor, ot::DivergencePart<double> const& one, Matrix const& U,
                        Matrix const& V) {
    Matrix const C = ot::cost_matrix(U, V, squared), P = ot::plan(C, one);
    double const objective = product_objective(C, P, one.a, one.b, epsilon, rho);
    CHECK(std::abs(objective - one.dual_value) <= 1e-10);
    CHECK(std::abs(objective - one.regularised_cost) <= 1e-10);
    CHECK(std::abs((C.array() * P.array()).sum() - one.transport_cost) <= 1e-12);
    Vector const rows = P.rowwise().sum(), cols = P.colwise().sum();
    for (Index j = 0; j < P.cols(); ++j) {
      for (Index i = 0; i < P.rows(); ++i) {
        double const slope = C(i, j) + epsilon * std::log(P(i, j) / (one.a(i) * one.b(j))) +
                             rho * std::log(rows(i) / one.a(i) * cols(j) / one.b(j));
        if (std::abs(slope) > 1e-9) FAIL_CHECK("not stationary: " << slope);
      }
    }
    combined += factor * objective;
  };
  part(1, r.cross, p.X, p.Y);
  part(-0.5, r.self_a, p.X, p.X);
  part(-0.5, r.self_b, p.Y, p.Y);
  CHECK(std::abs(r.value - (combined + epsilon / 2 * 2.1 * 2.1)) <= 1e-10);
  CHECK(r.value > 0);
  // For masses of 1 both conventions agree.
  auto const product = sinkhorn_divergence(p.X, p.Y, p.a, p.b, options);
  options.product_reference = false;
  CHECK(std::abs(sinkhorn_divergence(p.X, p.Y, p.a, p.b, options).value - product.value) <= 1e-12);
}

TEST_CASE("sinkhorn_divergence: gradients with respect to points and weights",
          "[sinkhorn_divergence]") {
  Clouds p;
  p.a(4) = 0;
  p.a /= p.a.sum();
  for (Options options : {Options{.epsilon = 0.1}, Options{.epsilon = 0.1, .rho = 0.6},
                          Options{.epsilon = 0.1, .rho = 0.6, .product_reference = true}}) {
    options.tolerance = 1e-12;
    bool const balanced = options.rho == infinity;
    CAPTURE(options.rho, options.product_reference);
    Vector const a = (balanced ? 1.0 : 1.7) * p.a;
    auto const r = sinkhorn_divergence(p.X, p.Y, a, p.b, options);
    auto const position = ot::divergence_gradient(p.X, p.Y, r);
    auto const weight = ot::weight_gradient(r);
    Matrix const dX = support::points(2, 14, 9), dY = support::points(2, 11, 10);
    Vector da = support::points(14, 1, 11), db = support::points(11, 1, 12);
    da(4) = 0;
    if (balanced) {
      da(0) -= da.sum();
      db(0) -= db.sum();
    }
    auto const value = [&](double x, double y, double s, double t) {
      return double(
          sinkhorn_divergence(p.X + x * dX, p.Y + y * dY, a + s * da, p.b + t * db, options).value);
    };
    double const h = 1e-5;
    CHECK(std::abs((position.X.array() * dX.array()).sum() -
                   (value(h, 0, 0, 0) - value(-h, 0, 0, 0)) / (2 * h)) <= 1e-8);
    CHECK(std::abs((position.Y.array() * dY.array()).sum() -
                   (value(0, h, 0, 0) - value(0, -h, 0, 0)) / (2 * h)) <= 1e-8);
    CHECK(std::abs(weight.a.dot(da) - (value(0, 0, h, 0) - value(0, 0, -h, 0)) / (2 * h)) <= 1e-8);
    CHECK(std::abs(weight.b.dot(db) - (value(0, 0, 0, h) - value(0, 0, 0, -h)) / (2 * h)) <= 1e-8);
    // Euler: values with our reference are homogeneous.
    if (!options.product_reference) {
      CHECK(std::abs(weight.a.dot(a) + weight.b.dot(p.b) - r.value) <= 1e-9);
    }
    CHECK(largest(position.X.col(4)) == 0);
  }
}

TEST_CASE("sinkhorn_divergence: a gradient flow arrives, faster from the last result",
          "[sinkhorn_divergence]") {
  Matrix X = (0.3 * support::points(2, 40, 13).array() - 1).matrix();
  Matrix const Y = support::points(2, 40, 14);
  Options const options{.epsilon = 0.02};
  auto r = sinkhorn_divergence(X, Y, options);
  double const first = r.value;
  Index warm = 0, cold = 0;
  for (int step = 0; step < 25; ++step) {
    // Half a Newton step for the squared distance: X - gradient / (4 a_i).
    X -= ot::divergence_gradient(X, Y, r).X * (40.0 / 4);
    double const before = r.value;
    cold += sinkhorn_divergence(X, Y, options).iterations;
    r = sinkhorn_divergence(X, Y, options, r);
    warm += r.iterations;
    REQUIRE(r.converged());
    CHECK(r.value < before);
  }
  CHECK(r.value <= 2e-3 * first);
  CHECK(warm < cold);
}

TEST_CASE("sinkhorn_divergence: never negative near zero, and primal equals dual at small blur",
          "[sinkhorn_divergence]") {
  Matrix const X = support::points(2, 30, 15);
  for (double const blur : {0.01, 0.05, 0.3}) {
    for (double const shift : {0.0, 1e-6, 1e-3}) {
      auto const r =
          sinkhorn_divergence(X, (X.array() + shift).matrix(),
                              {.epsilon = ot::epsilon_of_blur(blur), .tolerance = 1e-11});
      CAPTURE(blur, shift);
      REQUIRE(r.converged());
      // A translation costs the square of its length and nothing else.
      CHECK(std::abs(r.value - 2 * shift * shift) <= 1e-12);
      for (auto const& part : {r.cross, r.self_a, r.self_b}) {
        CHECK(std::abs(part.regularised_cost - part.dual_value) <= 1e-8);
      }
    }
  }
  CHECK(std::abs(ot::epsilon_of_blur(0.1) - 0.02) <= 1e-16);
  CHECK(ot::epsilon_of_blur(0.1, 1) == 0.1);
  CHECK(ot::rho_of_reach(2) == 8);
  CHECK(ot::rho_of_reach(infinity) == infinity);
}

TEST_CASE("sinkhorn_divergence: other doors, zero weights, scalars and threads",
          "[sinkhorn_divergence]") {
  Clouds p;
  Options options{.epsilon = 0.05, .tolerance = 1e-11};
  auto const r = sinkhorn_divergence(p.X, p.Y, p.a, p.b, options);
  auto const dense = ot::sinkhorn_divergence_of_costs(
      ot::cost_matrix(p.X, p.Y, squared), ot::cost_matrix(p.X, p.X, squared),
      ot::cost_matrix(p.Y, p.Y, squared), p.a, p.b, options);
  CHECK(std::abs(dense.value - r.value) <= 1e-13);
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> const rowwise = p.X;
  CHECK(sinkhorn_divergence(rowwise, 1.0 * p.Y, p.a.transpose(), p.b, options).value == r.value);
  CHECK(std::abs(sinkhorn_divergence(p.X, p.Y, custom(true), p.a, p.b, options).value - r.value) <=
        1e-12);
  auto const narrow = sinkhorn_divergence(p.X.cast<float>(), p.Y.cast<float>(), p.a.cast<float>(),
                                          p.b.cast<float>(), {.epsilon = 0.05});
  CHECK(narrow.converged());
  CHECK(std::abs(narrow.value - r.value) <= 1e-5);

  // Points without weight change nothing, and no stored kernel gives the same to rounding.
  Matrix far(2, 16);
  far << p.X, Matrix::Constant(2, 2, 40.0);
  Vector weights(16);
  weights << p.a, 0, 0;
  options.kernel_bytes = 0;
  CHECK(std::abs(sinkhorn_divergence(far, p.Y, weights, p.b, options).value - r.value) <= 1e-12);
  weights(15) = 1e-300;
  CHECK(std::abs(sinkhorn_divergence(far, p.Y, weights, p.b, options).value - r.value) <= 1e-12);

  Matrix const U = support::points(3, 150, 20), V = support::points(3, 170, 21);
  for (double const rho : {infinity, 1.0}) {
    Options threaded{.epsilon = 0.1, .rho = rho};
    auto const serial = sinkhorn_divergence(U, V, threaded);
    threaded.parallel = parallel::threads(3);
    auto const parallel = sinkhorn_divergence(U, V, threaded);
    CHECK(serial.value == parallel.value);
    CHECK(serial.self_a.f == parallel.self_a.f);
  }
}

TEST_CASE("sinkhorn_divergence: a cost that is not fit for the symmetric iteration still converges",
          "[sinkhorn_divergence]") {
  // Two points that repel themselves: the plan of the self term is off the diagonal.
  Matrix within(2, 2);
  within << 0, -1, -1, 0;
  Vector const half = Vector::Constant(2, 0.5);
  auto const r = ot::sinkhorn_divergence_of_costs(within, within, within, half, half,
                                                  {.epsilon = 0.1, .tolerance = 1e-11});
  REQUIRE(r.converged());
  CHECK(std::abs(r.value) <= 1e-12);
  CHECK(r.self_a.transport_cost < -0.99);
}

TEST_CASE("sinkhorn_divergence: the status is that of the worst part", "[sinkhorn_divergence]") {
  Clouds const p;
  auto const few = sinkhorn_divergence(p.X, p.Y, p.a, p.b, {.epsilon = 0.01, .max_iterations = 3});
  CHECK(few.status == Status::iteration_limit);
  CHECK(few.marginal_error > 1e-9);
  auto const none = sinkhorn_divergence(p.X, p.Y, p.a, p.b, {.epsilon = 0.01, .max_seconds = 0});
  CHECK(none.status == Status::time_limit);
  Matrix within = Matrix::Zero(2, 2), between = Matrix::Zero(2, 2);
  between.col(1).setConstant(infinity);
  Vector const half = Vector::Constant(2, 0.5);
  CHECK(ot::sinkhorn_divergence_of_costs(between, within, within, half, half, {.epsilon = 1})
            .status == Status::infeasible);
}

TEST_CASE("sinkhorn_divergence: misuse is refused", "[sinkhorn_divergence]") {
  Clouds const p;
  CHECK_REFUSED(sinkhorn_divergence(p.X, p.Y, Options{}),
                "sinkhorn_divergence: epsilon is not set");
  CHECK_REFUSED(sinkhorn_divergence(p.X, p.Y, p.b, p.b, {.epsilon = 1}),
                "X has 14 points but a has 11 entries; a needs one weight per point");
  CHECK_REFUSED(sinkhorn_divergence(p.X, p.Y, p.a, 2 * p.b, {.epsilon = 1}),
                "a sums to 1 and b to 2");
  CHECK_REFUSED(sinkhorn_divergence(p.X, p.Y, {.epsilon = 1, .rho = 0}),
                "rho is 0; it must be positive, or infinite");
  CHECK_REFUSED(sinkhorn_divergence(p.X, p.Y.topRows(1), {.epsilon = 1}), "X has 2 coordinates");
  CHECK_REFUSED(sinkhorn_divergence(Matrix(2, 0), p.Y, {.epsilon = 1}), "at least one point");
  Matrix wrong = p.X;
  wrong(1, 5) = not_a_number;
  CHECK_REFUSED(sinkhorn_divergence(wrong, p.Y, {.epsilon = 1}), "NaN or infinity in X");
  CHECK_REFUSED(sinkhorn_divergence(p.X, p.Y, custom(false), {.epsilon = 1}),
                "it must be symmetric");
  auto const r = sinkhorn_divergence(p.X, p.Y, {.epsilon = 1});
  CHECK_REFUSED(sinkhorn_divergence(p.Y, p.X, {.epsilon = 1}, r),
                "the start has 14 and 11 potentials");
  CHECK_REFUSED(ot::epsilon_of_blur(-1), "blur is -1");
}
