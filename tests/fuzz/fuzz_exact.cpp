// SPDX-License-Identifier: MIT
// Whatever costs and weights: refused, or a plan that is one; and converged means optimal. The
// oracle counts masses in units and moves them one by one.
#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "bytes.hpp"
#include <monge/ot/exact.hpp>
#include <monge/ot/exact_sparse.hpp>

namespace {

using monge::Index;
using monge::fuzz::Bytes;
using monge::fuzz::check;

constexpr long double unreachable = std::numeric_limits<long double>::infinity();

/// A cost whose entries are not at hand: the simplex keeps a pool and starts from a plan on it.
template <class S>
struct Hidden {
  using Scalar = S;
  monge::MatrixX<S> C;
  [[nodiscard]] Index rows() const { return C.rows(); }
  [[nodiscard]] Index cols() const { return C.cols(); }
  S const* column_segment(Index j, Index first, Index count, S* scratch) const {
    std::copy_n(&C(first, j), count, scratch);
    return scratch;
  }
};

/// Units of mass in every row and column, and how many of them must move.
struct Units {
  std::vector<int> rows, columns;
  int moved = 0;
};

/// The least cost of moving so many units, by dynamic programming over what columns still take.
template <class S>
long double least_cost(monge::MatrixX<S> const& C, Units const& units) {
  std::size_t states = 1;
  std::vector<std::size_t> step;
  for (int c : units.columns) {
    step.push_back(states);
    states *= std::size_t(c) + 1;
  }
  auto const taken = [&](std::size_t state, std::size_t j) {
    return int(state / step[j] % (std::size_t(units.columns[j]) + 1));
  };
  std::vector<long double> best(states, unreachable);
  best[0] = 0;
  for (std::size_t i = 0; i < units.rows.size(); ++i) {
    for (int unit = 0; unit < units.rows[i]; ++unit) {
      std::vector<long double> next = best;  // the unit stays where it is
      for (std::size_t state = 0; state < states; ++state) {
        if (best[state] == unreachable) continue;
        for (std::size_t j = 0; j < step.size(); ++j) {
          S const c = C(Index(i), Index(j));
          if (taken(state, j) == units.columns[j] || c == std::numeric_limits<S>::infinity())
            continue;
          long double& to = next[state + step[j]];
          to = std::min(to, best[state] + static_cast<long double>(c));
        }
      }
      best.swap(next);
    }
  }
  long double least = unreachable;
  for (std::size_t state = 0; state < states; ++state) {
    int moved = 0;
    for (std::size_t j = 0; j < step.size(); ++j) moved += taken(state, j);
    if (moved == units.moved) least = std::min(least, best[state]);
  }
  return least;
}

template <class S>
void check_plan(monge::MatrixX<S> const& C, Units const& units, double unit,
                monge::ot::ExactResult<S> const& r) {
  check(r.status != monge::Status::running && r.status != monge::Status::not_run, "it ends");
  check(r.plan.rows() == C.rows() && r.plan.cols() == C.cols(), "a plan of the size of the cost");
  long double const least = least_cost(C, units) * static_cast<long double>(unit);
  check((r.status == monge::Status::infeasible) == (least == unreachable),
        "infeasible exactly if no plan exists");
  if (r.status != monge::Status::converged) return;

  check(r.plan.nonZeros() <= C.rows() + C.cols() - 1, "a plan of a basis");
  check(r.f.allFinite() && r.g.allFinite() && std::isfinite(r.transport_cost) &&
            std::isfinite(r.duality_gap),
        "converged => finite");
  long double const u = std::numeric_limits<S>::epsilon();
  std::vector<long double> rows(units.rows.size()), columns(units.columns.size());
  long double cost = 0, size = 0;
  for (Index j = 0; j < C.cols(); ++j) {
    for (typename Eigen::SparseMatrix<S>::InnerIterator entry(r.plan, j); entry; ++entry) {
      S const c = C(entry.row(), j);
      check(entry.value() > 0 && c < std::numeric_limits<S>::infinity(), "mass moves where it may");
      long double const mass = entry.value();
      rows[std::size_t(entry.row())] += mass;
      columns[std::size_t(j)] += mass;
      cost += mass * static_cast<long double>(c);
      size += mass * std::abs(static_cast<long double>(c));
    }
  }
  long double const total = static_cast<long double>(unit) * units.moved;
  long double moved = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    check(rows[i] <= static_cast<long double>(unit) * units.rows[i] + 32 * u * total,
          "rows send what they have");
    moved += rows[i];
    size += rows[i] * std::abs(static_cast<long double>(r.f(Index(i))));
  }
  for (std::size_t j = 0; j < columns.size(); ++j) {
    check(columns[j] <= static_cast<long double>(unit) * units.columns[j] + 32 * u * total,
          "columns take what they can");
    size += columns[j] * std::abs(static_cast<long double>(r.g(Index(j))));
  }
  size += total * std::abs(static_cast<long double>(r.mass_price));
  check(std::abs(moved - total) <= 32 * u * total, "all mass moves");
  long double const rounding =
      256 * u * size + total * static_cast<long double>(std::numeric_limits<S>::min());
  check(cost - least <= rounding, "converged => optimal");
  check(least - cost <= rounding, "converged => no better than possible");
}

template <class S>
void run(Bytes& bytes) {
  Index const n = 1 + bytes.below(5), m = 1 + bytes.below(5);
  S const scale = S(std::pow(10.0, bytes.below(25) - 12));
  int const rarity = 2 + bytes.below(64);
  monge::MatrixX<S> C(n, m);
  for (Index j = 0; j < m; ++j) {
    for (Index i = 0; i < n; ++i) C(i, j) = bytes.number<S>(scale, rarity);
  }
  Units units;
  for (Index i = 0; i < n; ++i) units.rows.push_back(bytes.below(4));
  for (Index j = 0; j < m; ++j) units.columns.push_back(bytes.below(4));
  int const kind = bytes.below(3);  // equal masses, a penalty for extra mass, partial
  auto const sum = [](std::vector<int> const& x) { return std::accumulate(x.begin(), x.end(), 0); };
  if (kind == 0) {  // the side with less gets the rest in one place
    int const extra = sum(units.rows) - sum(units.columns);
    if (extra > 6 || extra < -6) return;
    (extra > 0 ? units.columns[0] : units.rows[0]) += std::abs(extra);
  }
  units.moved = std::min(sum(units.rows), sum(units.columns));
  double const unit = std::ldexp(1.0, -bytes.below(40));
  monge::ot::ExactOptions options;
  if (kind == 1) options.extra_mass_penalty = double(bytes.below(64)) * double(scale);
  if (kind == 2) {
    units.moved = bytes.below(units.moved + 1);
    options.mass = units.moved * unit;
  }
  monge::VectorX<S> a(n), b(m);
  for (Index i = 0; i < n; ++i) a(i) = S(units.rows[std::size_t(i)] * unit);
  for (Index j = 0; j < m; ++j) b(j) = S(units.columns[std::size_t(j)] * unit);
  try {
    switch (bytes.below(4)) {
      case 3:
        return check_plan<S>(C, units, unit, monge::ot::exact(Hidden<S>{C}, a, b, options));
      case 0:
        return check_plan<S>(C, units, unit, monge::ot::exact(C, a, b, options));
      case 1: {
        Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const rows = C;
        return check_plan<S>(C, units, unit, monge::ot::exact(rows, a, b, options));
      }
      default: {
        Eigen::SparseMatrix<S> arcs(n, m);
        for (Index j = 0; j < m; ++j) {
          for (Index i = 0; i < n; ++i) {
            if (C(i, j) != std::numeric_limits<S>::infinity()) arcs.insert(i, j) = C(i, j);
          }
        }
        arcs.makeCompressed();
        return check_plan<S>(C, units, unit, monge::ot::exact(arcs, a, b, options));
      }
    }
  } catch (std::invalid_argument const&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  return monge::fuzz::in_double_or_float(data, size, []<class S>(Bytes& bytes) { run<S>(bytes); });
}
