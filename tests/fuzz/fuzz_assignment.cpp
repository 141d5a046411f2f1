// SPDX-License-Identifier: MIT
// Whatever the matrix: refused, or a matching that is one; and converged means optimal.
#include <algorithm>
#include <stdexcept>
#include <vector>

#include "bytes.hpp"
#include <monge/ot/assignment.hpp>

namespace {

using monge::Index;
using monge::fuzz::Bytes;
using monge::fuzz::check;

constexpr long double unreachable = std::numeric_limits<long double>::infinity();

/// The least cost of a full matching by dynamic programming over sets of columns; rows <= columns.
template <class S>
long double least_cost(monge::MatrixX<S> const& C) {
  std::vector<long double> best(std::size_t(1) << C.cols(), unreachable);
  best[0] = 0;
  for (Index i = 0; i < C.rows(); ++i) {
    std::vector<long double> next(best.size(), unreachable);
    for (std::size_t set = 0; set < best.size(); ++set) {
      if (best[set] == unreachable) continue;
      for (Index j = 0; j < C.cols(); ++j) {
        std::size_t const bit = std::size_t(1) << j;
        if ((set & bit) != 0 || C(i, j) == std::numeric_limits<S>::infinity()) continue;
        next[set | bit] = std::min(next[set | bit], best[set] + static_cast<long double>(C(i, j)));
      }
    }
    best.swap(next);
  }
  return *std::min_element(best.begin(), best.end());
}

template <class S>
void check_matching(monge::MatrixX<S> const& C, monge::ot::AssignmentResult<S> const& r) {
  check(r.status != monge::Status::running && r.status != monge::Status::not_run, "it ends");
  check(r.row_to_column.size() == C.rows(), "one entry per row");
  std::vector<bool> taken(std::size_t(C.cols()), false);
  Index pairs = 0;
  long double cost = 0;
  for (Index i = 0; i < C.rows(); ++i) {
    Index const j = r.row_to_column(i);
    check(j >= -1 && j < C.cols(), "columns exist");
    if (j < 0) continue;
    check(!taken[std::size_t(j)], "columns are taken once");
    check(std::isfinite(C(i, j)), "pairs are allowed");
    taken[std::size_t(j)] = true;
    cost += static_cast<long double>(C(i, j));
    ++pairs;
  }
  monge::MatrixX<S> upright = C;
  if (C.rows() > C.cols()) upright.transposeInPlace();
  long double const least = least_cost<S>(upright);
  check((r.status == monge::Status::infeasible) == (least == unreachable),
        "infeasible exactly if no full matching exists");
  if (r.status != monge::Status::converged) return;

  check(pairs == std::min(C.rows(), C.cols()), "a full matching");
  check(std::isfinite(r.cost) && r.f.allFinite() && r.g.allFinite() && std::isfinite(r.duality_gap),
        "converged => finite");
  long double const u = std::numeric_limits<S>::epsilon();
  long double const size = std::abs(cost) + static_cast<long double>(r.f.cwiseAbs().sum()) +
                           static_cast<long double>(r.g.cwiseAbs().sum());
  check(static_cast<long double>(r.duality_gap) <= 64 * u * size, "converged => gap <= tolerance");
  check(cost - least <= 80 * u * size, "converged => optimal");
}

/// The same by the short lists of large problems.
template <class S>
void check_lists(monge::MatrixX<S> const& C) {
  namespace detail = monge::ot::detail;
  detail::Lines<S> const lines(C.data(), C.rows(), C.cols(), Eigen::OuterStride<>(C.rows()));
  detail::AssignmentMethod<S> const method(lines, detail::unreachable<S>, 1);
  auto const run = monge::iterate(method, {.max_iterations = 1000});
  check_matching<S>(C, detail::assignment_result<S>(run.state, run.status, run.statistics, false,
                                                    detail::unreachable<S>));
}

template <class S>
void run(Bytes& bytes) {
  Index const n = bytes.below(8), m = bytes.below(8);
  S const unit = S(std::pow(10.0, bytes.below(25) - 12));
  int const rarity = 2 + bytes.below(64);
  bool const row_major = bytes.below(2) == 1;
  monge::MatrixX<S> C(n, m);
  for (Index j = 0; j < m; ++j) {
    for (Index i = 0; i < n; ++i) C(i, j) = bytes.number<S>(unit, rarity);
  }
  try {
    if (row_major) {
      Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const rows = C;
      check_matching<S>(C, monge::ot::assignment(rows));
    } else {
      check_matching<S>(C, monge::ot::assignment(C));
      check_lists<S>(C);
    }
  } catch (std::invalid_argument const&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  return monge::fuzz::in_double_or_float(data, size, []<class S>(Bytes& bytes) { run<S>(bytes); });
}
