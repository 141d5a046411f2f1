// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/covariances.hpp"
#include "support/throws.hpp"
#include <monge/spd/functions.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::covariance;

namespace {

double distance(MatrixXd const& X, MatrixXd const& Y) { return (X - Y).norm(); }

constexpr double u = std::numeric_limits<double>::epsilon();

/// The central difference of order four of f(A + t E) at t = 0.
template <class F>
MatrixXd slope(F const& f, MatrixXd const& A, MatrixXd const& E, double h) {
  MatrixXd const near = f(A + h * E) - f(A - h * E), far = f(A + 2 * h * E) - f(A - 2 * h * E);
  return (8 * near - far) / (12 * h);
}

}  // namespace

TEST_CASE("functions of a 2 x 2 matrix in closed form", "[spd]") {
  MatrixXd A(2, 2), root(2, 2), inverse_root(2, 2), logarithm(2, 2), inverse(2, 2), square(2, 2);
  A << 5, 4, 4, 5;  // eigenvalues 9 and 1
  root << 2, 1, 1, 2;
  inverse_root << 2.0 / 3, -1.0 / 3, -1.0 / 3, 2.0 / 3;
  inverse << 5.0 / 9, -4.0 / 9, -4.0 / 9, 5.0 / 9;
  square << 41, 40, 40, 41;
  logarithm << 1, 1, 1, 1;
  logarithm *= std::log(3.0);
  CHECK(distance(spd::sqrt(A), root) < 8 * u);
  CHECK(distance(spd::inverse_sqrt(A), inverse_root) < 4 * u);
  CHECK(distance(spd::log(A), logarithm) < 8 * u);
  CHECK(distance(spd::exp(logarithm), A) < 64 * u);
  CHECK(distance(spd::power(A, -1), inverse) < 8 * u);
  CHECK(distance(spd::power(A, 2), square) < 256 * u);
  CHECK(distance(spd::power(A, 0), MatrixXd::Identity(2, 2)) < 8 * u);
  CHECK(distance(spd::power(A, 1), A) < 64 * u);
}

TEST_CASE("matrices of fixed size stay so", "[spd]") {
  Eigen::Matrix2d A, root;
  A << 5, 4, 4, 5;
  root << 2, 1, 1, 2;
  Eigen::Matrix2d const computed = spd::sqrt(A);
  CHECK(distance(computed, root) < 8 * u);
  STATIC_REQUIRE(std::same_as<decltype(spd::sqrt(A)), Eigen::Matrix2d>);
  STATIC_REQUIRE(std::same_as<decltype(spd::sqrt(MatrixXd(A).block(0, 0, 1, 1))), MatrixXd>);
}

TEMPLATE_TEST_CASE("functions invert each other within the scales of the matrix", "[spd]", float,
                   double) {
  using S = TestType;
  using M = MatrixX<S>;
  S const eps = std::numeric_limits<S>::epsilon();
  for (Index n : {1, 2, 5, 11, 12, 30}) {
    for (double condition : {1.0, 1e4, 1e12}) {
      M const A = covariance<S>(n, 3, std::min(condition, double(S(0.01) / eps)));
      CAPTURE(n, condition);
      M const root = spd::sqrt(A), inverse_root = spd::inverse_sqrt(A);
      CHECK((root * root - A).norm() < S(10 * n) * eps * A.norm());
      CHECK((root - root.transpose()).norm() == 0);
      // The product errs by u |A^1/2| |A^-1/2|, and A^-1/2 by the change of A that is rounding.
      CHECK((inverse_root * A * inverse_root - M::Identity(n, n)).norm() <
            S(10 * n) * eps * S(condition));
      CHECK((spd::exp(spd::log(A)) - A).norm() < S(100 * n) * eps * A.norm());
    }
  }
}

TEST_CASE("units of any ratio cost no accuracy", "[spd]") {
  // A = D C D with cond(C) = 4: with exact powers of two in D, log det A = log det C + 2 log det D,
  // and the smallest eigenvalue has a bound on both sides that only a relative error can keep.
  for (Index n : {4, 11, 20}) {
    for (double ratio : {1e3, 1e6, 1e12}) {
      CAPTURE(n, ratio);
      MatrixXd const A = support::scaled_covariance(n, 5, ratio);
      auto const exact = spd::positive_spectrum(A.cast<long double>().eval());
      auto const s = spd::positive_spectrum(A);
      double worst = 0;
      for (Index i = 0; i < n; ++i) {
        worst = std::max(worst, std::abs(double(s.values(i) / exact.values(i)) - 1));
      }
      CHECK(worst < 50 * u);
      double determinant = 0;
      for (Index i = 0; i < n; ++i) {
        determinant += std::log(s.values(i)) +
                       2 * std::round(std::log2(ratio) * double(i) / double(n - 1)) * std::log(2.0);
      }
      CHECK(std::abs(determinant + std::log(4.0) * double(n) / 2) < 1e-13 * double(n));
      CHECK(distance(s.vectors.transpose() * s.vectors, MatrixXd::Identity(n, n)) <
            20 * double(n) * u);
    }
  }
}

TEST_CASE("eigenvectors are orthogonal and diagonalise, whatever the condition number", "[spd]") {
  for (Index n : {5, 11, 12, 24}) {  // both sides of where Jacobi's rotations get a start
    for (double condition : {1e2, 1e8, 1e14}) {
      CAPTURE(n, condition);
      MatrixXd const A = covariance(n, 4, condition);
      auto const s = spd::positive_spectrum(A);
      CHECK(distance(s.vectors.transpose() * s.vectors, MatrixXd::Identity(n, n)) <
            20 * double(n) * u);
      MatrixXd const D = s.values.asDiagonal();
      CHECK(distance(s.vectors.transpose() * A * s.vectors, D) < 10 * double(n) * u);
      CHECK(distance(spd::spectrum(A).values, s.values) < 10 * double(n) * u);
    }
  }
}

TEST_CASE("small eigenvalues agree with arithmetic of 50 digits", "[spd]") {
  // Correlations of one third among units of 1, 2^-10, 2^-20 and 2^-30; values by mpmath.
  MatrixXd A(4, 4);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) A(i, j) = std::exp2(-10 * (i + j)) * (i == j ? 3 : 1);
  }
  double const exact[] = {2.0816680917626843e-18, 2.2737367056430082e-12, 2.543131392519157e-6,
                          3.0000003178920114};
  auto const s = spd::positive_spectrum(A);
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(std::abs(s.values(i) / exact[i] - 1) < 8 * u);
  }
}

TEST_CASE("derivatives agree with differences, also where eigenvalues meet", "[spd]") {
  Index const n = 5;
  MatrixXd const E = support::symmetric(n, 7);
  MatrixXd const U = support::rotation(n, 8);
  VectorXd equal(n), close(n);
  equal << 2, 2, 2, 5, 5;
  close << 2, 2 + 1e-9, 2 + 3e-5, 5, 5 + 1e-13;
  for (MatrixXd A : {covariance(n, 1, 50), MatrixXd(U * equal.asDiagonal() * U.transpose()),
                     MatrixXd(U * close.asDiagonal() * U.transpose())}) {
    A = (A + A.transpose()).eval() / 2;
    auto const s = spd::positive_spectrum(A);
    double const h = 1e-3 * s.values(0);
    auto const check = [&](auto const& f, auto const& function) {
      MatrixXd const D = spd::derivative(f, s, E);
      CHECK(distance(D, slope(function, A, E, h)) < 1e-9 * D.norm());
    };
    check(spd::square_root{}, [](MatrixXd const& X) { return MatrixXd(spd::sqrt(X)); });
    check(spd::inverse_square_root{},
          [](MatrixXd const& X) { return MatrixXd(spd::inverse_sqrt(X)); });
    check(spd::logarithm{}, [](MatrixXd const& X) { return MatrixXd(spd::log(X)); });
    check(spd::exponential{}, [](MatrixXd const& X) { return MatrixXd(spd::exp(X)); });
    for (double p : {-1.5, -1.0, 0.3, 0.5, 1.0, 2.0, 3.7}) {
      check(spd::power_of{p}, [p](MatrixXd const& X) { return MatrixXd(spd::power(X, p)); });
    }
  }
}

TEST_CASE("divided differences do not cancel", "[spd]") {
  auto const check = [](auto const& f) {
    for (double x : {1e-12, 0.3, 1.0, 40.0}) {
      for (double gap : {0.0, 1e-15, 1e-11, 1e-6, 1e-2, 0.5, 100.0}) {
        double const y = x * (1 + gap);
        long double const fx = f.value(static_cast<long double>(x));
        long double const fy = f.value(static_cast<long double>(y));
        double const d = f.divided_difference(x, y);
        CAPTURE(x, gap, d);
        CHECK(std::abs(f.divided_difference(y, x) / d - 1) < 8 * u);  // f[x, y] = f[y, x]
        if (gap > 1e-3) {
          CHECK(std::abs(double((fy - fx) / (static_cast<long double>(y) - x)) / d - 1) < 1e-14);
        }
        // The limit of equal arguments, to first order in the gap.
        CHECK(std::abs(d / f.divided_difference(x, x) - 1) <= std::max(50 * gap, 8 * u));
      }
    }
  };
  check(spd::square_root{});
  check(spd::inverse_square_root{});
  check(spd::logarithm{});
  check(spd::power_of{0.7});
  check(spd::power_of{-0.5});
  CHECK(spd::exponential{}.divided_difference(0.0, 0.0) == 1);
  CHECK(std::abs(spd::exponential{}.divided_difference(1.0, 1 + 1e-12) / std::exp(1.0) - 1) <
        1e-12);
  CHECK(std::abs(spd::exponential{}.divided_difference(-2.0, 3.0) -
                 (std::exp(3.0) - std::exp(-2.0)) / 5) < 1e-14);
  CHECK(spd::exponential{}.divided_difference(800.0, -800.0) ==
        std::numeric_limits<double>::infinity());
  CHECK(spd::square_root{}.divided_difference(4.0, 0.0) == 0.5);
  CHECK(spd::power_of{0.5}.divided_difference(4.0, 0.0) == 0.5);
  CHECK(spd::power_of{2.0}.divided_difference(0.0, 0.0) == 0);
}

TEST_CASE("the derivative is its own adjoint", "[spd]") {
  MatrixXd const A = covariance(6, 2, 1e6), E = support::symmetric(6, 3),
                 G = support::symmetric(6, 4);
  auto const s = spd::positive_spectrum(A);
  for (double p : {0.5, -0.5, 1.3}) {
    double const forward = spd::derivative(spd::power_of{p}, s, E).cwiseProduct(G).sum();
    double const backward = spd::derivative(spd::power_of{p}, s, G).cwiseProduct(E).sum();
    CHECK(std::abs(forward - backward) < 1e-13 * spd::derivative(spd::power_of{p}, s, E).norm());
  }
}

TEST_CASE("functions commute with rotations", "[spd]") {
  MatrixXd const A = covariance(7, 2, 1e3), U = support::rotation(7, 9);
  MatrixXd const B = U * A * U.transpose();
  CHECK(distance(spd::log(B), U * spd::log(A) * U.transpose()) < 1e-12);
  CHECK(distance(spd::sqrt(B), U * spd::sqrt(A) * U.transpose()) < 1e-14);
}

TEST_CASE("linear matrix equations are solved", "[spd]") {
  MatrixXd const A = covariance(6, 1, 1e8), B = covariance(4, 2, 1e2);
  MatrixXd const C = support::points(6, 4, 3), E = support::symmetric(6, 4);
  MatrixXd const X = spd::sylvester(spd::positive_spectrum(A), spd::positive_spectrum(B), C);
  CHECK(distance(A * X + X * B, C) < 1e-14 * X.norm());
  MatrixXd const Y = spd::lyapunov(A, E);
  CHECK(distance(A * Y + Y * A, E) < 1e-14 * Y.norm());
  CHECK(distance(Y, Y.transpose()) == 0);
  CHECK_REFUSED(spd::lyapunov(MatrixXd(MatrixXd::Zero(2, 2)), MatrixXd(MatrixXd::Identity(2, 2))),
                "lyapunov: the matrix is singular");
  auto const zero = spd::positive_spectrum(MatrixXd(MatrixXd::Zero(2, 2)));
  CHECK_REFUSED(spd::sylvester(zero, zero, MatrixXd::Identity(2, 2)),
                "sylvester: the smallest eigenvalues of A and B add up to 0");
  CHECK_REFUSED(spd::sylvester(zero, zero, MatrixXd::Identity(2, 3)), "B is 2x2 but C is 2x3");
}

TEST_CASE("what counts as positive is as stated", "[spd]") {
  MatrixXd const X = support::points(6, 3, 1);
  MatrixXd const low_rank = X * X.transpose();
  auto const s = spd::positive_spectrum(low_rank);
  CHECK(s.values.head(3).cwiseAbs().maxCoeff() == 0);  // zero, not 1e-17
  CHECK(s.values(3) > 0.01);
  CHECK(distance(s.vectors.transpose() * s.vectors, MatrixXd::Identity(6, 6)) < 1e-14);
  MatrixXd const root = spd::sqrt(low_rank);
  CHECK(distance(root * root, low_rank) < 1e-14);
  CHECK(distance(spd::power(low_rank, 2), low_rank * low_rank) < 1e-13);
  CHECK_REFUSED(spd::log(low_rank), "log: the matrix is singular");
  CHECK_REFUSED(spd::inverse_sqrt(low_rank), "pass a floor such as 1e-12");
  CHECK_REFUSED(spd::power(low_rank, -1), "power: the matrix is singular");
  auto const raised = spd::positive_spectrum(low_rank, 1e-6);
  CHECK(raised.values(0) == 1e-6 * raised.values(5));
  CHECK(spd::log(low_rank, 1e-6).allFinite());

  MatrixXd indefinite(2, 2), off(2, 2);
  indefinite << 1, 2, 2, 1;
  off << 0, 1, 1, 0;
  CHECK_REFUSED(spd::sqrt(indefinite), "sqrt: the matrix is not positive semidefinite");
  CHECK_REFUSED(spd::sqrt(off), "not positive semidefinite");
  CHECK_REFUSED(spd::sqrt(MatrixXd(-MatrixXd::Identity(2, 2))), "not positive semidefinite");
  MatrixXd rounding(2, 2);  // a negative eigenvalue of the size of rounding is zero
  rounding << 1, 1, 1, 1 - 2 * u;
  CHECK(spd::positive_spectrum(rounding).values(0) == 0);
  CHECK(spd::sqrt(MatrixXd(MatrixXd::Zero(2, 2))) == MatrixXd::Zero(2, 2));
  CHECK(spd::exp(MatrixXd(MatrixXd::Zero(2, 2))) == MatrixXd::Identity(2, 2));
}

TEST_CASE("functions refuse misuse", "[spd]") {
  double const nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_REFUSED(spd::sqrt(MatrixXd(MatrixXd::Zero(2, 3))), "sqrt: the matrix is 2x3");
  CHECK_REFUSED(spd::log(MatrixXd(0, 0)), "log: the matrix is 0x0");
  CHECK_REFUSED(spd::exp(MatrixXd(MatrixXd::Constant(2, 2, nan))), "NaN or infinite");
  MatrixXd skew(2, 2);
  skew << 1, 0.5, -0.5, 1;
  CHECK_REFUSED(spd::power(skew, 2), "power: the matrix is not symmetric, entries differ by 1");
  CHECK_REFUSED(spd::power(MatrixXd(MatrixXd::Identity(2, 2)), nan), "the exponent is nan");
  CHECK_REFUSED(spd::positive_spectrum(MatrixXd(MatrixXd::Identity(2, 2)), -0.1), "floor is -0.1");
  CHECK_REFUSED(spd::derivative(spd::logarithm{}, spd::spectrum(MatrixXd(MatrixXd::Identity(2, 2))),
                                MatrixXd::Zero(3, 3)),
                "the matrix is 2x2 but the direction is 3x3");
}
