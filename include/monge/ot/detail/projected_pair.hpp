// SPDX-License-Identifier: MIT
/// @file
/// Two weighted clouds in R^d and the transport problem on the line that one direction makes of
/// them: what plans and distances that follow single directions share.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include <monge/core/detail/sort.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/wasserstein_1d.hpp>

namespace monge::ot::detail {

/// Clouds X (d x n) and Y (d x m) with masses; both weights empty: all equal, of mass 1.
template <RealScalar S>
class ProjectedPair {
 public:
  /// The workspace of one thread: the problem along the direction of the last `project`.
  struct Line {
    LineProblem<S> problem;
    VectorX<S> x, y;  // of the points in the caller's order: projections, or derivatives in them
    SortScratch<S> scratch;
  };

  ProjectedPair(std::string_view function, MatrixX<S> X, MatrixX<S> Y, VectorX<S> a, VectorX<S> b)
      : X_(std::move(X)), Y_(std::move(Y)), a_(std::move(a)), b_(std::move(b)) {
    require(X_.rows() == Y_.rows(), function, ": X is ", shape(X_), " and Y is ", shape(Y_),
            "; points are columns, so both need the same number of rows");
    require(X_.rows() > 0, function, ": points have no coordinates; they need at least one row");
    require(X_.cols() > 0 && Y_.cols() > 0, function, ": X has ", X_.cols(), " and Y has ",
            Y_.cols(), " points; both need at least one");
    require(X_.allFinite() && Y_.allFinite(), function, ": ", X_.allFinite() ? "Y" : "X",
            " has NaN or infinite entries; points must be finite");
    require(n() + m() < Index(std::numeric_limits<std::int32_t>::max()), function, ": X has ", n(),
            " points and Y has ", m(), "; together they must be fewer than 2^31");
    if (a_.size() == 0 && b_.size() == 0) {
      model_.matched = n() == m();
      model_.unit = 1 / (double(n()) * double(m()));
      masses_x_.assign(std::size_t(n()), m());
      masses_y_.assign(std::size_t(m()), n());
      a_.setConstant(n(), S(1) / S(n()));
      b_.setConstant(m(), S(1) / S(m()));
    } else {
      require(a_.size() == n(), function, ": X has ", n(), " points but a has ", a_.size(),
              " entries; a needs one entry per point");
      require(b_.size() == m(), function, ": Y has ", m(), " points but b has ", b_.size(),
              " entries; b needs one entry per point");
      mass_ = balance<S>(function, Shape{n(), m()}, a_, b_);
      masses_x_.resize(std::size_t(n()));
      masses_y_.resize(std::size_t(m()));
      model_.unit =
          std::ldexp(1.0, integer_masses<S>(a_, b_, mass_, masses_x_.data(), masses_y_.data()));
    }
    model_.x.masses = masses_x_;
    model_.y.masses = masses_y_;
    model_.x.points.resize(n());
    model_.y.points.resize(m());
    model_.x.order.resize(std::size_t(n()));
    model_.y.order.resize(std::size_t(m()));
    X_rows_ = X_.transpose();
    Y_rows_ = Y_.transpose();
  }

  [[nodiscard]] Index d() const { return X_.rows(); }
  [[nodiscard]] Index n() const { return X_.cols(); }
  [[nodiscard]] Index m() const { return Y_.cols(); }
  [[nodiscard]] wide_t<S> mass() const { return mass_; }
  [[nodiscard]] MatrixX<S> const& X() const { return X_; }
  [[nodiscard]] MatrixX<S> const& Y() const { return Y_; }
  [[nodiscard]] VectorX<S> const& a() const { return a_; }
  [[nodiscard]] VectorX<S> const& b() const { return b_; }

  [[nodiscard]] Line line() const { return {model_, VectorX<S>(n()), VectorX<S>(m()), {}}; }

  /// Sorts both clouds along a direction (d). Allocates nothing after the first time.
  void project(VectorX<S> const& direction, Line& line) const {
    line.x.noalias() = X_rows_ * direction;
    line.y.noalias() = Y_rows_ * direction;
    auto& [u, v, unit, matched] = line.problem;
    u.points = line.x;
    v.points = line.y;
    monge::detail::sort_with_order(u.points.data(), u.order.data(), n(), line.scratch);
    monge::detail::sort_with_order(v.points.data(), v.order.data(), m(), line.scratch);
    if (matched) return;
    put_in_order(masses_x_, u);
    put_in_order(masses_y_, v);
  }

  /// visit(i, j, weight) for the pairs that are coupled, in the caller's indices; rows ascend along
  /// the line.
  template <class Visit>
  void for_each_pair(Line const& line, Visit&& visit) const {
    auto const& [u, v, unit, matched] = line.problem;
    using W = wide_t<S>;
    if (matched) {
      W const each = W(1) / W(n());
      for (std::size_t k = 0; k < u.order.size(); ++k) {
        visit(Index(u.order[k]), Index(v.order[k]), each);
      }
      return;
    }
    for_each_cell(line, [&](Index i, Index j, Mass mass) {
      if (mass == 0) return;
      visit(Index(line.problem.x.order[std::size_t(i)]),
            Index(line.problem.y.order[std::size_t(j)]), W(mass) * W(line.problem.unit));
    });
  }

  /// W_p^p between the projections.
  template <class Power>
  [[nodiscard]] wide_t<S> power(Line const& line, Power c) const {
    auto const& [u, v, unit, matched] = line.problem;
    if (matched) return matched_power(u.points.data(), v.points.data(), n(), c);
    return coupled_power(u.points.data(), n(), masses(u), v.points.data(), m(), masses(v), c, unit);
  }

  /// The derivative of W_p^p between the projections with respect to the direction (d).
  template <class Power>
  [[nodiscard]] VectorX<wide_t<S>> slope(Line& line, Power c) const {
    gradients(line, c);
    return (X_ * line.x + Y_ * line.y).template cast<wide_t<S>>();
  }

  /// line.x (n) and line.y (m) become the derivatives with respect to the projections.
  template <class Power>
  void gradients(Line& line, Power c) const {
    using W = wide_t<S>;
    auto const& [u, v, unit, matched] = line.problem;
    if (matched) {
      W const each = W(1) / W(n());
      for (Index k = 0; k < n(); ++k) {
        S const slope = S(each * c.slope(W(u.points(k)) - W(v.points(k))));
        line.x(u.order[std::size_t(k)]) = slope;
        line.y(v.order[std::size_t(k)]) = -slope;
      }
      return;
    }
    line.x.setZero();
    line.y.setZero();
    for_each_cell(line, [&](Index i, Index j, Mass mass) {
      auto const& [p, q, one, equal] = line.problem;
      W const slope = W(mass) * W(one) * c.slope(W(p.points(i)) - W(q.points(j)));
      line.x(p.order[std::size_t(i)]) += S(slope);
      line.y(q.order[std::size_t(j)]) -= S(slope);
    });
  }

 private:
  static SortedMasses masses(SortedSample<S> const& sample) { return {sample.masses.data()}; }

  /// The staircase in sorted indices.
  template <class Visit>
  void for_each_cell(Line const& line, Visit&& visit) const {
    detail::for_each_cell(n(), masses(line.problem.x), m(), masses(line.problem.y), visit);
  }

  static void put_in_order(std::vector<Mass> const& masses, SortedSample<S>& sample) {
    for (std::size_t k = 0; k < masses.size(); ++k) {
      sample.masses[k] = masses[std::size_t(sample.order[k])];
    }
  }

  MatrixX<S> X_, Y_;
  MatrixX<S> X_rows_, Y_rows_;  // transposed: a projection is a sum of columns
  VectorX<S> a_, b_;
  std::vector<Mass> masses_x_, masses_y_;  // in the caller's order
  wide_t<S> mass_ = 1;
  LineProblem<S> model_;
};

}  // namespace monge::ot::detail
