// SPDX-License-Identifier: MIT
/// @file
/// The memory of L-BFGS and its product with a gradient; see optim/lbfgs.hpp for the method.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <monge/optim/objective.hpp>

namespace monge::optim {

namespace detail {

template <Variable X>
using Entries = Eigen::Matrix<typename X::Scalar, X::SizeAtCompileTime, 1>;

/// x as a column of its entries in storage order, without a copy.
template <Variable X>
Eigen::Map<Entries<X>> entries(X& x) {
  return {x.data(), x.size()};
}
template <Variable X>
Eigen::Map<Entries<X> const> entries(X const& x) {
  return {x.data(), x.size()};
}

/// Fixed-size variables up to this many bytes keep their pairs inside the State, on the stack.
inline constexpr std::size_t small_variable = 1024;
/// The longest history of such a variable.
inline constexpr Index small_history = 16;

/// The last m pairs (s_i, y_i) and the inner products that the recursion needs.
template <Variable X>
class PairHistory {
  using S = typename X::Scalar;
  static constexpr bool small =
      X::SizeAtCompileTime != Eigen::Dynamic && sizeof(X) <= small_variable;
  static constexpr int pairs_max = small ? int(small_history) : int(Eigen::Dynamic);
  static constexpr int columns_max = small ? 2 * int(small_history) : int(Eigen::Dynamic);
  using Pairs =
      Eigen::Matrix<S, X::SizeAtCompileTime, Eigen::Dynamic, 0, X::SizeAtCompileTime, columns_max>;
  using Products = Eigen::Matrix<S, Eigen::Dynamic, 1, 0, columns_max, 1>;
  using Ratios = Eigen::Matrix<S, Eigen::Dynamic, 1, 0, pairs_max, 1>;
  using Gram = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, pairs_max, pairs_max>;

 public:
  static constexpr Index longest = small ? small_history : std::numeric_limits<int>::max();

  PairHistory() = default;
  PairHistory(Index n, Index pairs)
      : pairs_(n, 2 * pairs),
        products_(Products::Zero(2 * pairs)),
        coefficients_(2 * pairs),
        sy_(Gram::Zero(pairs, pairs)),
        yy_(Gram::Zero(pairs, pairs)),
        ratio_(Ratios::Ones(pairs)) {}

  [[nodiscard]] Index size() const { return count_; }
  void clear() { count_ = newest_ = 0; }

  /// Takes the step from (x, g) to (x_new, g_new). `decrease` is f(x) - f(x_new), `slope` is
  /// g_new's, `noise` the rounding error of `decrease`. A pair without curvature is skipped.
  void push(X const& x, X const& x_new, X const& g, X const& g_new, S decrease, S slope, S noise) {
    S const sy = (entries(x_new) - entries(x)).dot(entries(g_new) - entries(g));
    S const ss = (entries(x_new) - entries(x)).squaredNorm();
    S const yy = (entries(g_new) - entries(g)).squaredNorm();
    if (!(sy > unit_roundoff<S> * std::sqrt(ss) * std::sqrt(yy))) return;
    newest_ = count_ == 0 ? 0 : (newest_ + 1) % sy_.rows();
    count_ = std::min(count_ + 1, sy_.rows());
    pairs_.col(2 * newest_) = entries(x_new) - entries(x);
    pairs_.col(2 * newest_ + 1) = entries(g_new) - entries(g);
    sy_(newest_, newest_) = sy;
    yy_(newest_, newest_) = yy;
    ratio_(newest_) = 1;
    if (600 * noise < sy) {  // known to a hundredth
      ratio_(newest_) = std::clamp(6 * (decrease + slope) / sy - 2, S(0.01), S(100));
    }
    pending_ = true;
  }

  /// d = -H g.
  void direction(X const& g, X& d) {
    Index const columns = 2 * count_;
    coefficients_.head(columns).noalias() = pairs_.leftCols(columns).transpose() * entries(g);
    refresh();
    S const gamma = sy_(newest_, newest_) / (ratio_(newest_) * yy_(newest_, newest_));
    recursion(gamma);
    entries(d) = -gamma * entries(g);
    entries(d).noalias() += pairs_.leftCols(columns) * coefficients_.head(columns);
  }

 private:
  /// The i-th pair from the newest.
  [[nodiscard]] Index slot(Index age) const {
    Index const at = newest_ - age;
    return at < 0 ? at + count_ : at;
  }

  /// With `coefficients_` = (s_i'g, y_i'g) at the new gradient and `products_` at the one before,
  /// fills the newest column of S'Y and Y'Y by differences.
  void refresh() {
    Products const& now = coefficients_;
    if (pending_) {
      for (Index i = 0; i < count_; ++i) {
        if (i != newest_) {
          sy_(i, newest_) = now(2 * i) - products_(2 * i);
          yy_(i, newest_) = yy_(newest_, i) = now(2 * i + 1) - products_(2 * i + 1);
        }
      }
      pending_ = false;
    }
    products_.head(2 * count_) = now.head(2 * count_);
  }

  /// Turns `coefficients_` from (s_i'g, y_i'g) into the weights of (s_i, y_i) in -H g: the two
  /// loops of Algorithm 7.4, with q = g - sum alpha_j y_j and
  /// r = gamma q + sum (alpha_j / t_j - beta_j) s_j kept as coefficients.
  void recursion(S gamma) {
    Products& c = coefficients_;
    for (Index age = 0; age < count_; ++age) {
      Index const i = slot(age);
      S sq = products_(2 * i);  // s_i'q
      for (Index younger = 0; younger < age; ++younger) {
        Index const j = slot(younger);
        sq -= c(2 * j + 1) * sy_(i, j);
      }
      c(2 * i + 1) = sq / sy_(i, i);  // alpha_i
    }
    for (Index age = count_ - 1; age >= 0; --age) {
      Index const i = slot(age);
      S yq = products_(2 * i + 1);  // y_i'q
      for (Index j = 0; j < count_; ++j) yq -= c(2 * j + 1) * yy_(i, j);
      S yr = gamma * yq;  // y_i'r
      for (Index older = age + 1; older < count_; ++older) {
        Index const j = slot(older);
        yr += c(2 * j) * sy_(j, i);
      }
      c(2 * i) = c(2 * i + 1) / ratio_(i) - yr / sy_(i, i);  // alpha_i / t_i - beta_i
    }
    for (Index i = 0; i < count_; ++i) {
      c(2 * i) = -c(2 * i);
      c(2 * i + 1) *= gamma;
    }
  }

  Pairs pairs_;            // n x 2m: s_0, y_0, s_1, y_1, ...
  Products products_;      // 2m: s_i'g, y_i'g at the last gradient
  Products coefficients_;  // 2m
  Gram sy_;                // m x m: s_i'y_j for i not younger than j
  Gram yy_;                // m x m: y_i'y_j
  Ratios ratio_;           // m: t_i
  Index count_ = 0, newest_ = 0;
  bool pending_ = false;  // the newest pair has no products yet
};

}  // namespace detail

}  // namespace monge::optim
