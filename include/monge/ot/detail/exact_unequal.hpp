// SPDX-License-Identifier: MIT
/// @file
/// Exact transport that does not move all mass: a cost with one row and one column more, where mass
/// goes that stays.
///
/// Moving m of it is the balanced problem with weights (a, sum b - m) and (b, sum a - m) and any
/// price c for the new row and column, which may not meet. With its duals (f, phi) and (g, gamma),
///
///     f_i + gamma - c <= 0,   g_j + phi - c <= 0,   mass_price = 2 c - gamma - phi
///
/// are the duals of: minimise <C, P> over P 1 <= a, P' 1 <= b, 1' P 1 = m.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <monge/ot/detail/exact_result.hpp>
#include <monge/ot/detail/exact_start.hpp>

namespace monge::ot::detail {

/// (n + 1) x (m + 1): the entries of an n x m cost, `price` in the last row and in the last column,
/// and a forbidden pair where they meet. Only the last segment of a column is copied. Without a
/// price it is the cost itself, so that one instance of the solver serves both problems.
template <CostOperator C>
class AugmentedCost {
 public:
  using Scalar = scalar_t<C>;

  explicit AugmentedCost(C cost) : cost_(std::move(cost)) {}
  AugmentedCost(C cost, Scalar price) : cost_(std::move(cost)), more_(1), price_(price) {}

  [[nodiscard]] Index rows() const { return cost_.rows() + more_; }
  [[nodiscard]] Index cols() const { return cost_.cols() + more_; }

  Scalar const* column_segment(Index j, Index first, Index count, Scalar* scratch) const {
    Index const own = std::min(count, cost_.rows() - first);
    if (j < cost_.cols()) {
      Scalar const* const c = own > 0 ? cost_.column_segment(j, first, own, scratch) : scratch;
      if (own == count) return c;
      if (c != scratch) std::copy_n(c, own, scratch);
      scratch[own] = price_;
    } else {
      std::fill_n(scratch, own, price_);
      if (own < count) scratch[own] = std::numeric_limits<Scalar>::infinity();
    }
    return scratch;
  }

 private:
  C cost_;
  Index more_ = 0;
  Scalar price_ = 0;
};

template <CostOperator C>
inline constexpr bool holds_entries<AugmentedCost<C>> = holds_entries<C>;

/// What is to be moved, if the options do not ask for all of equal masses.
template <RealScalar S>
std::optional<wide_t<S>> moved_mass(Shape cost, VectorX<S> const& a, VectorX<S> const& b,
                                    std::optional<double> mass, std::optional<double> penalty) {
  using W = wide_t<S>;
  if (!mass && !penalty) return {};
  require(!mass || !penalty,
          "exact: both mass and extra_mass_penalty are set; with a given mass nothing is extra");
  if (penalty) require_nonnegative("exact", "extra_mass_penalty", *penalty);
  check_sizes("exact", cost, a, b);
  W const mass_a = checked_mass<S>("exact", "a", a), mass_b = checked_mass<S>("exact", "b", b);
  W const least = std::min(mass_a, mass_b);
  W const rounding = 8 * W(cost.rows + cost.cols) * W(unit_roundoff<S>) * least;
  W const moved = mass ? W(*mass) : least;
  require(moved > 0 && moved <= least + rounding, "exact: mass is ", moved,
          "; it must be positive and at most ", least, ", what both sides have");
  if (std::abs(mass_a - mass_b) <= rounding && moved >= least - rounding) return {};
  return std::min(moved, least);
}

/// The start of the larger problem from one of the problem itself. The duals of the new column and
/// row are as large as they may be. least(j, f) = min_i C_ij - f(i).
template <RealScalar S, class Least>
ExactStart<S> augmented_start(VectorX<S> const& a, VectorX<S> const& b, S price,
                              ExactStart<S> const& start, Least const& least) {
  Index const n = a.size(), m = b.size();
  check_start("exact", Shape{n, m}, start);
  check_plan("exact", Shape{n, m}, start.plan);
  ExactStart<S> larger;
  if (start.f.size() > 0) {
    // Potentials count up to a constant: the largest that leaves them feasible.
    S rise = std::numeric_limits<S>::infinity();
    for (Index j = 0; j < m; ++j) {
      if (b(j) > 0) rise = std::min(rise, least(j, start.f) - start.g(j));
    }
    if (!std::isfinite(rise)) rise = 0;
    larger.f.resize(n + 1);
    larger.g.resize(m + 1);
    larger.g.head(m) = start.g.array() + rise;
    larger.f << start.f, price - larger.g.head(m).maxCoeff();
    larger.g(m) = price - start.f.maxCoeff();
  }
  if (start.plan.size() > 0) {
    std::vector<Eigen::Triplet<S>> entries;
    VectorX<S> left_a = a, left_b = b;
    for (Index j = 0; j < start.plan.outerSize(); ++j) {
      for (typename Eigen::SparseMatrix<S>::InnerIterator x(start.plan, j); x; ++x) {
        entries.emplace_back(int(x.row()), int(x.col()), x.value());
        left_a(x.row()) -= x.value();
        left_b(x.col()) -= x.value();
      }
    }
    for (Index i = 0; i < n; ++i) {
      if (left_a(i) > 0) entries.emplace_back(int(i), int(m), left_a(i));
    }
    for (Index j = 0; j < m; ++j) {
      if (left_b(j) > 0) entries.emplace_back(int(n), int(j), left_b(j));
    }
    larger.plan.resize(n + 1, m + 1);
    larger.plan.setFromTriplets(entries.begin(), entries.end());
  }
  return larger;
}

/// The least price for which columns of a smaller least cost take all that moves. No plan has a
/// smaller largest cost, so that a price of this size drowns nothing: any constant would change no
/// plan, but with the mean one forbidding cost would decide the rounding of all the others.
template <RealScalar S, class Least>
S storage_price(VectorX<S> const& b, wide_t<S> moved, Index rows, Least const& least) {
  VectorX<S> const zero = VectorX<S>::Zero(rows);
  std::vector<std::pair<S, S>> columns;  // least cost, weight
  for (Index j = 0; j < b.size(); ++j) {
    S const low = b(j) > 0 ? least(j, zero) : std::numeric_limits<S>::infinity();
    if (std::isfinite(low)) columns.emplace_back(low, b(j));
  }
  std::sort(columns.begin(), columns.end());
  S price = 0;
  wide_t<S> taken = 0;
  for (auto const& [low, weight] : columns) {
    if (taken >= moved) break;
    price = low;
    taken += weight;
  }
  return price;
}

/// Judges a plan of partial transport by the duals that come with it: f and g are lowered to zero
/// where rounding left them above, and the gap is taken anew, without the price.
template <RealScalar S, class Entry>
void certify_partial(ExactResult<S>& r, Entry const& entry) {
  using W = wide_t<S>;
  if (!std::isfinite(r.duality_gap)) return;
  r.f = r.f.cwiseMin(S(0));
  r.g = r.g.cwiseMin(S(0));
  VectorX<W> const f = r.f.template cast<W>(), g = r.g.template cast<W>();
  W gap = -r.left_a.template cast<W>().dot(f) - r.left_b.template cast<W>().dot(g), mass = 0;
  for (Index j = 0; j < r.plan.outerSize(); ++j) {
    for (typename Eigen::SparseMatrix<S>::InnerIterator x(r.plan, j); x; ++x) {
      W const slack = W(entry(x.row(), j)) - f(x.row()) - g(j) - r.mass_price;
      gap += W(x.value()) * std::max(W(0), slack);
      mass += W(x.value());
    }
  }
  r.duality_gap = gap;
  W const size = std::abs(r.transport_cost) + r.a.template cast<W>().dot(f.cwiseAbs()) +
                 r.b.template cast<W>().dot(g.cwiseAbs()) + mass * std::abs(r.mass_price);
  if (r.status == Status::converged && !at_rounding<S>(gap, size)) {
    r.status = Status::precision_limit;
  }
}

/// Moves `moved` of the mass at least cost. least(j, f) = min_i C_ij - f(i), entry(i, j) = C_ij;
/// solve(price, a, b, start) is the balanced solver of the larger problem.
template <RealScalar S, class Least, class Entry, class Solve>
auto solve_partial(VectorX<S> const& a, VectorX<S> const& b, wide_t<S> moved,
                   ExactStart<S> const& start, Least const& least, Entry const& entry,
                   Solve const& solve) {
  using W = wide_t<S>;
  Index const n = a.size(), m = b.size();
  S const price = storage_price<S>(b, moved, n, least);
  VectorX<S> rows(n + 1), columns(m + 1);
  rows << a, S(std::max(W(0), b.template cast<W>().sum() - moved));
  columns << b, S(std::max(W(0), a.template cast<W>().sum() - moved));
  auto r = solve(price, rows, columns, augmented_start(a, b, price, start, least));

  W const to_column = W(r.g(m)) - W(price), to_row = W(r.f(n)) - W(price);
  r.f = VectorX<S>((r.f.head(n).template cast<W>().array() + to_column).template cast<S>());
  r.g = VectorX<S>((r.g.head(m).template cast<W>().array() + to_row).template cast<S>());
  r.mass_price = -to_column - to_row;
  r.transport_cost = 0;
  std::vector<Eigen::Triplet<S>> entries;
  for (Index j = 0; j <= m; ++j) {
    for (typename Eigen::SparseMatrix<S>::InnerIterator x(r.plan, j); x; ++x) {
      if (j == m) {
        r.left_a(x.row()) = x.value();
      } else if (x.row() == n) {
        r.left_b(j) = x.value();
      } else {
        entries.emplace_back(int(x.row()), int(j), x.value());
        r.transport_cost += W(x.value()) * W(entry(x.row(), j));
      }
    }
  }
  r.plan = Eigen::SparseMatrix<S>(n, m);
  r.plan.setFromTriplets(entries.begin(), entries.end());
  r.left_a.conservativeResize(n);
  r.left_b.conservativeResize(m);
  r.a = a;
  r.b = b;
  certify_partial(r, entry);
  return r;
}

}  // namespace monge::ot::detail
