// SPDX-License-Identifier: MIT
/// @file
/// A stored Gibbs kernel, so that most iterations need no exponential and no cost.
///
/// Around potentials (F, G) with exact columns, K_ij = exp((F_i + G_j - C_ij) / epsilon) is a plan
/// whose entries are of moderate size, and for any f near F
///
///     e_ij = u_i K_ij exp((g_j - G_j) / epsilon),   u_i = exp((f_i - F_i) / epsilon).
///
/// One read of K gives the column potentials of f and the row sums that they lead to: eight columns
/// at a time are summed against u, scaled, and added to the rows while they are in the cache. When
/// f drifts from F the kernel is scaled to the new potentials. When it has moved too far for the
/// range of the scalar, the next read is one of the cost in the log domain, which stores the new
/// kernel as it goes. While f still jumps, nothing is stored. Halving epsilon squares the entries,
/// unless one that is large, as those of a light row are (up to 1 / w_i), would leave the range.
///
/// Once a few entries carry the plan, K is compressed to these. The mass that is left out is
/// bounded by a share of the tolerance as long as f stays near F, and certificates never use K.
///
/// A double problem may store its kernel in float, which halves what a read has to fetch. Scalings,
/// potentials and sums over more than a block stay in double. Rounding K_ij is the same as changing
/// C_ij by 6e-8 epsilon, and sums over short stretches are off by about as much; so errors are
/// believed down to some 1e-6. Below, sharpen() lets the kernel be stored in double.
///
/// "Absorption" in the sense of [Sc19] B. Schmitzer, Stabilized sparse scaling algorithms for
/// entropy regularized transport problems, SIAM J. Sci. Comput. 41 (2019), sections 3.1 and 3.3.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <optional>
#include <type_traits>

#include <monge/core/exp.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/simd.hpp>
#include <monge/ot/detail/compressed_columns.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/rough_read.hpp>

namespace monge::ot::detail {

/// s_k = <w, column k> for N columns at once.
template <int N, RealScalar S>
std::array<wide_t<S>, N> column_sums(S const* w, S const* columns, Index stride, Index n) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  std::array<wide_t<S>, N> sums{};
  for (Index first = 0; first < n; first += segment_width) {
    Index const end = std::min(n, first + segment_width);
    V total[N] = {};
    Index i = first;
    for (; i + step <= end; i += step) {
      V const weights = simd::load(w + i);
      for (int k = 0; k < N; ++k) {
        total[k] += weights * simd::load(columns + k * stride + i);
      }
    }
    if (i < end) {
      V const weights = simd::load_part(w + i, end - i, S(0));
      for (int k = 0; k < N; ++k) {
        total[k] += weights * simd::load_part(columns + k * stride + i, end - i, S(0));
      }
    }
    for (int k = 0; k < N; ++k) sums[k] += simd::sum<S>(total[k]);
  }
  return sums;
}

/// Takes no interest in the columns that a read passes.
struct VisitNothing {
  template <class... Anything>
  void operator()(Anything const&...) const {}
};

/// How a read is to be done.
template <RealScalar S>
struct Reading {
  Blur<S> at;
  double negligible = 0;  ///< entries below this share of their row and column may be left out
  S relaxation = 1;       ///< g <- g + relaxation (g(f) - g)
};

/// The kernel, part of a solver's State.
template <RealScalar S>
class ScalingKernel {
 public:
  using Wide = wide_t<S>;

  ScalingKernel() = default;
  /// Stores at most `bytes` of kernel: all of it if it fits, otherwise only its larger entries.
  /// Where a sparse kernel is expected, all of it is stored only once its larger entries turned out
  /// to be too many.
  ScalingKernel(Index n, Index m, double bytes, bool expect_sparse = false)
      : f_(n), g_(m), ratio_(n), scaled_(n), room_(std::max(bytes, 0.0)) {
    fits_ = double(n) * double(m) * double(sizeof(S)) <= room_;
    if (fits_ && !expect_sparse) entries_.resize(n, m);
    if (room_ > 0) few_.reserve(Chunks(m), n, most_compressed());
  }

  /// One read: g <- g(f), the potentials that make all columns exact; rows.total <- r, where w_i
  /// r_i is the mass of row i; next <- f - epsilon log r. Off rows and columns are -infinity.
  /// Returns the relaxation of g that was used: a read that stores the kernel does not relax.
  ///
  /// visit(chunk, j, w, e, sum) sees every column with mass, q_i = w_i e_i / sum being the shares
  /// of the rows; visit(chunk, j, w, rows, e, count, sum) those of a compressed kernel.
  template <CostOperator C, class Visit = VisitNothing>
  S read(EntropicProblem<C> const& problem, Reading<S> how, VectorX<S> const& f, VectorX<S>& g,
         RowSums<S>& rows, Parallel const& parallel, VectorX<S>& next, Visit const& visit = {}) {
    Blur<S> const at = how.at;
    relaxation_ = how.relaxation;
    ++reads_;
    S const drift = measure_drift(problem, at, f);
    bool const compressed = few_valid_ && drift <= compressed_reach && few_bound_ <= how.negligible;
    if (compressed || (whole_valid_ && drift <= full_reach() && apply_power(parallel))) {
      monge::exp(ratio_.data(), ratio_.data(), ratio_.size());
      scaled_ = problem.w.cwiseProduct(ratio_);
      if (compressed) {
        read_compressed(problem, at, g, rows, parallel, visit);
      } else {
        read_whole(problem, at, g, rows, parallel, visit);
      }
      rows.total.array() *= ratio_.array().template cast<Wide>();
      problem.update_rows(at, f, g, rows, parallel, next);
      move_ = largest_move(problem, at, f, next);
      if (!compressed) renew(problem, how, f, g, drift, parallel);
      last_used_ = true;
      return relaxation_;
    }
    bool const store = room_ > 0 && move_ <= (whole() ? full_reach() / 4 : calm);
    if (store && fits_ && too_full_ && !whole()) {
      rough_.release();
      entries_.resize(f_.size(), g_.size());
    }
    if (store) relaxation_ = 1;
    forget();
    last_used_ = false;
    read_cost(problem, how, f, g, store, rows, parallel, visit);
    ++cost_reads_;
    problem.update_rows(at, f, g, rows, parallel, next);
    move_ = largest_move(problem, at, f, next);
    if (store) keep(problem, how, f, g);
    return relaxation_;
  }

  /// A read of a cost in double that works in float (rough_read.hpp); g, rows and next as above.
  /// Stores nothing for the reads above.
  template <CostOperator C>
  void rough_read(EntropicProblem<C> const& problem, Blur<S> at, VectorX<S> const& f, VectorX<S>& g,
                  RowSums<S>& rows, Parallel const& parallel, VectorX<S>& next)
    requires std::same_as<S, double>
  {
    ++reads_;
    forget();
    last_used_ = false;
    bool const cost_was_read = rough_(problem, at, room_, f, g, rows, parallel, next);
    cost_reads_ += cost_was_read ? 1 : 0;
    move_ = largest_move(problem, at, f, next);
  }

  /// The kernel for a new epsilon around the same potentials, if the old epsilon is 2^k times it.
  void anneal(Blur<S> from, Blur<S> to) {
    if (epsilon_ != from.epsilon || epsilon_ == 0) return;
    double const doublings = std::log2(double(from.epsilon / to.epsilon));
    int const k = int(std::lround(doublings));
    if (k < 0 || k > 4 || std::abs(doublings - k) > 1e-9) return forget();
    power_ += k;
    rounding_ *= double(1 << k);
    lost_ = std::max(lost_ * double(1 << k), lowest_exponent());
    for (int squared = 0; few_valid_ && squared < k; ++squared) {
      few_.transform([&](S x) {
        few_valid_ = few_valid_ && x * x <= highest<S>();
        return flushed(x * x);
      });
      few_bound_ *= few_bound_ / least_weight_;
    }
    epsilon_ = to.epsilon;
    too_full_ = false;
  }

  /// Stores whole kernels in float from now on, if the weights leave them in its range.
  template <CostOperator C>
  void store_single(EntropicProblem<C> const& problem) {
    if constexpr (std::same_as<S, double>) {
      auto const ordinary = [](S weight) { return weight == 0 || weight >= 1e-20; };
      single_ = fits_ && whole() && std::all_of(problem.w.begin(), problem.w.end(), ordinary) &&
                std::all_of(problem.v.begin(), problem.v.end(), ordinary);
      if (!single_) return;
      entries_.resize(0, 0);
      narrow_.resize(f_.size(), g_.size());
      narrow_scaled_.resize(f_.size());
    }
  }

  /// Whether the kernel in use is too coarse for an error that was measured with it and a tolerance
  /// that is to be met. Then it is forgotten: the next read is one of the cost, which measures the
  /// error in double, and what it stores is fresh or, if that would not do, in double.
  bool sharpen(double error, double tolerance) {
    auto const settles = [&](double rounding) {
      return tolerance >= 10 * (rounding + sum_rounding);
    };
    if (!single_ || !last_used_ || error > 8 * (rounding_ + sum_rounding)) return false;
    if (settles(rounding_)) return false;
    if (!settles(single_rounding)) {
      single_ = false;
      narrow_.resize(0, 0);
      entries_.resize(f_.size(), g_.size());
    }
    forget();
    return true;
  }

  /// From now on every read is one of the cost; returns whether the last one was not.
  bool distrust() {
    bool const used = last_used_;
    room_ = 0;
    forget();
    return used;
  }

  /// Whether whole kernels are stored in float.
  [[nodiscard]] bool single() const { return single_; }
  /// How many reads there were, and how many of them read the cost.
  [[nodiscard]] Index reads() const { return reads_; }
  [[nodiscard]] Index cost_reads() const { return cost_reads_; }
  /// The share of the entries that the last kernel kept; 0 before the first.
  [[nodiscard]] double fill() const { return fill_; }

 private:
  /// Exponents may drift this far from the anchor: entries that were lost below the normal range
  /// stay negligible, and nothing overflows.
  [[nodiscard]] S full_reach() const { return std::same_as<S, float> || single_ ? S(16) : S(128); }
  /// For compressed kernels: a share grows by at most exp(2 * reach).
  static constexpr S compressed_reach = S(kernel_drift);
  /// A step of Sinkhorn that moves the exponents by this or less will be followed by many alike.
  static constexpr S calm = S(0.5);
  [[nodiscard]] double lowest_exponent() const {
    return std::log(single_ ? double(std::numeric_limits<float>::min())
                            : double(std::numeric_limits<S>::min()));
  }
  template <class E>
  [[nodiscard]] static E flushed(E x) {
    return x < std::numeric_limits<E>::min() ? E(0) : x;
  }
  /// The same in a narrower scalar.
  template <class E>
  [[nodiscard]] static E stored(S x) {
    return x < S(std::numeric_limits<E>::min()) ? E(0) : E(x);
  }
  /// Entries may grow this far when they are squared: sums of them, scaled by what a drift of the
  /// potentials allows, are in range.
  template <class E>
  [[nodiscard]] static E highest() {
    return std::sqrt(std::numeric_limits<E>::max());
  }
  static constexpr double single_rounding = 0x1p-24;  // of an entry in float
  static constexpr double sum_rounding = 0x1p-22;     // of sums in float over short stretches

  [[nodiscard]] bool whole() const { return entries_.size() > 0 || narrow_.size() > 0; }
  /// body(entries) with the whole kernel in the precision that it is stored in.
  template <class Body>
  void with_entries(Body&& body) {
    if constexpr (std::same_as<S, double>) {
      if (single_) return body(narrow_);
    }
    body(entries_);
  }
  void forget() { whole_valid_ = few_valid_ = false, epsilon_ = 0, power_ = 0; }

  /// The largest |f - F| / epsilon, whose terms are left in ratio_; infinite without a kernel.
  template <CostOperator C>
  S measure_drift(EntropicProblem<C> const& problem, Blur<S> at, VectorX<S> const& f) {
    if (epsilon_ != at.epsilon) return std::numeric_limits<S>::infinity();
    S farthest = 0;
    for (Index i = 0; i < f.size(); ++i) {
      bool const on = problem.w(i) > 0;
      S const drift = on ? (f(i) - f_(i)) * at.inverse : S(0);
      ratio_(i) = on ? drift : -std::numeric_limits<S>::infinity();
      farthest = std::abs(drift) <= farthest ? farthest : std::abs(drift);  // NaN is kept
    }
    return farthest;
  }

  template <CostOperator C>
  [[nodiscard]] static S largest_move(EntropicProblem<C> const& problem, Blur<S> at,
                                      VectorX<S> const& f, VectorX<S> const& next) {
    S largest = 0;
    for (Index i = 0; i < f.size(); ++i) {
      if (problem.w(i) > 0) largest = std::max(largest, std::abs(f(i) - next(i)));
    }
    return largest * at.inverse;
  }

  template <CostOperator C, class Visit>
  void read_cost(EntropicProblem<C> const& problem, Reading<S> const& how, VectorX<S> const& f,
                 VectorX<S>& g, bool store, RowSums<S>& rows, Parallel const& parallel,
                 Visit const& visit) {
    bool const all = store && whole(), part = store && !whole();
    S const least = S(how.negligible);
    if (part) few_.clear(rows.columns, most_compressed());
    // Column j whose exponentials e sum to s.
    auto const use = [&](Index j, S before, S const* e, Wide s) {
      Index const chunk = j / rows.columns.width;
      S const inverse = S(1 / s);
      if (all) {
        with_entries([&](auto& entries) {
          using E = scalar_t<decltype(entries)>;
          E* const k = entries.col(j).data();
          for (Index i = 0; i < entries.rows(); ++i) k[i] = stored<E>(e[i] * inverse);
        });
      }
      bool visited = false;  // what is left out of few_ is below all that a visitor wants
      if (part) {
        few_.add_column(chunk, problem.w, problem.v(j), e, S(least * s), problem.v(j),
                        [&](Index i) { return e[i] * inverse; });
        visited = few_.visit_last(chunk, [&](std::int32_t const* row, S const* k, Index count) {
          visit(chunk, j, problem.w, row, k, count, S(1));
        });
      }
      if (!visited) visit(chunk, j, problem.w, e, S(s));
      return S(problem.v(j) / s * relax(how.at, before, g(j)));
    };
    auto const skip = [&](Index j) {
      if (part) few_.skip_column(j / rows.columns.width);
      if (all) with_entries([&](auto& entries) { entries.col(j).setZero(); });
      return S(0);
    };
    if (rows.width > 1) {
      problem.update_columns(how.at, f, g, rows, parallel, use, skip);
      return;
    }
    rows.accumulate(parallel, [&](Index j, int worker, S* e) {
      if (!(problem.v(j) > 0)) return skip(j);
      S const before = g(j);
      Wide const s = problem.update_column(how.at, f, g(j), j, e, rows.scratch.col(worker).data());
      return use(j, before, e, s);
    });
  }

  /// Room for a compressed kernel, in entries: beyond 15 % a whole one is as quick.
  [[nodiscard]] Index most_compressed() const {
    double const entries = 0.15 * double(f_.size()) * double(g_.size());
    return Index(std::min(room_ / double(sizeof(S) + sizeof(std::int32_t)), entries));
  }

  /// Makes what the last read stored the kernel around (f, g), unless f is about to leave again.
  template <CostOperator C>
  void keep(EntropicProblem<C> const& problem, Reading<S> const& how, VectorX<S> const& f,
            VectorX<S> const& g) {
    whole_valid_ = whole() && move_ <= full_reach() / 4;
    few_valid_ = !whole() && few_.complete();
    too_full_ = !whole() && !few_valid_;
    if (!whole_valid_ && !few_valid_) return;
    lost_ = lowest_exponent();
    rounding_ = single_rounding;
    anchor(problem, how, f, g);
    if (whole_valid_ && move_ <= calm) compress(problem, how);
  }

  template <CostOperator C>
  void anchor(EntropicProblem<C> const& problem, Reading<S> const& how, VectorX<S> const& f,
              VectorX<S> const& g) {
    f_ = f;
    g_ = g;
    epsilon_ = how.at.epsilon;
    few_bound_ = how.negligible;
    least_weight_ = problem.least_weight();
    fill_ = few_valid_ ? few_fill() : 1.0;
  }
  [[nodiscard]] double few_fill() const {
    return double(few_.nonzeros()) / (double(f_.size()) * double(g_.size()));
  }

  /// After a read of the whole kernel: scales it to (f, g) if f has drifted far, or if it is worth
  /// while to compress it.
  template <CostOperator C>
  void renew(EntropicProblem<C> const& problem, Reading<S> const& how, VectorX<S> const& f,
             VectorX<S> const& g, S drift, Parallel const& parallel) {
    bool const squeeze = move_ <= calm && !too_full_ && how.relaxation == 1;
    if (!squeeze && drift <= full_reach() / 2) return;
    if (how.relaxation != 1 || !(lost_ + 2 * double(drift) < std::log(how.negligible) - 10)) {
      return forget();
    }
    lost_ += 2 * double(drift);  // twice or three times in float: its roundings are not counted
    Chunks const columns(g.size());
    with_entries([&](auto& entries) {
      using E = scalar_t<decltype(entries)>;
      parallel_for(parallel, columns.count, [&](Index chunk, int) {
        for (Index j = columns.begin(chunk); j < columns.end(chunk); ++j) {
          if (!(problem.v(j) > 0)) continue;
          S const y = monge::exp(S((g(j) - g_(j)) * how.at.inverse));
          E* const k = entries.col(j).data();
          for (Index i = 0; i < entries.rows(); ++i) k[i] = stored<E>(S(k[i]) * (ratio_(i) * y));
        }
      });
    });
    few_valid_ = false;
    anchor(problem, how, f, g);
    if (squeeze) compress(problem, how);
  }

  /// Squares the whole kernel as often as epsilon was halved since it was used last; returns
  /// whether its entries stay in range.
  bool apply_power(Parallel const& parallel) {
    if (power_ == 0) return true;
    Chunks const columns(g_.size());
    std::atomic<bool> in_range = true;
    with_entries([&](auto& entries) {
      using E = scalar_t<decltype(entries)>;
      parallel_for(parallel, columns.count, [&](Index chunk, int) {
        Index const first = columns.begin(chunk) * entries.rows();
        Index const end = columns.end(chunk) * entries.rows();
        E* const k = entries.data();
        Index high = 0;
        for (Index i = first; i < end; ++i) {
          E x = k[i];
          for (int squared = 0; squared < power_; ++squared) x = flushed(x * x);
          k[i] = x;
          high += x > highest<E>();
        }
        if (high > 0) in_range = false;
      });
    });
    power_ = 0;
    return in_range;
  }

  /// Gathers the larger entries of the kernel if they are few.
  template <CostOperator C>
  void compress(EntropicProblem<C> const& problem, Reading<S> const& how) {
    Chunks const columns(g_.size());
    few_.clear(columns, most_compressed());
    VectorX<S> widened(single_ ? f_.size() : 0);
    for (Index j = 0; j < g_.size() && few_.complete(); ++j) {
      Index const chunk = j / columns.width;
      if (!(problem.v(j) > 0)) {
        few_.skip_column(chunk);
        continue;
      }
      if (single_) widened = narrow_.col(j).template cast<S>();
      S const* const k = single_ ? widened.data() : entries_.col(j).data();
      few_.add_column(chunk, problem.w, problem.v(j), k, S(how.negligible), problem.v(j),
                      [&](Index i) { return k[i]; });
    }
    few_valid_ = few_.complete();
    too_full_ = !few_valid_;
    if (few_valid_) fill_ = few_fill();
  }

  template <CostOperator C, class Visit>
  void read_whole(EntropicProblem<C> const& problem, Blur<S> at, VectorX<S>& g, RowSums<S>& rows,
                  Parallel const& parallel, Visit const& visit) {
    if (single_) return read_single(problem, at, g, rows, parallel);
    auto const used = [&](Index chunk, Index j, S const* k, Wide sum) {
      visit(chunk, j, scaled_, k, S(sum));
    };
    rows.accumulate_blocks(parallel, [&](Index chunk, int, S* few, auto const& flush) {
      columns_of(rows.columns, chunk, [&](auto together, Index j) {
        columns<together, S>(problem, at, g, chunk, j, entries_, scaled_, few, used);
        flush(j + together);
      });
    });
  }

  /// The same of a kernel in float. Rows are summed in float over 32 columns, then in double.
  template <CostOperator C>
  void read_single(EntropicProblem<C> const& problem, Blur<S> at, VectorX<S>& g, RowSums<S>& rows,
                   Parallel const& parallel) {
    narrow_scaled_ = scaled_.template cast<float>();
    if (narrow_rows_.cols() != rows.narrow.cols()) {
      narrow_rows_.resize(f_.size(), rows.narrow.cols());
    }
    rows.add_chunks(parallel, [&](Index chunk, int worker, auto&& sums) {
      auto few = narrow_rows_.col(worker);
      few.setZero();
      Index const begin = rows.columns.begin(chunk), end = rows.columns.end(chunk);
      bool first = true;
      columns_of(rows.columns, chunk, [&](auto together, Index j) {
        columns<together, float>(problem, at, g, chunk, j, narrow_, narrow_scaled_, few.data(),
                                 VisitNothing{});
        j += together;
        if ((j - begin) % 32 != 0 && j != end) return;
        if (first) {
          sums = few.template cast<Wide>();
        } else {
          sums += few.template cast<Wide>();
        }
        first = false;
        few.setZero();
      });
    });
  }

  /// body(number, j) for the columns of a chunk, eight together while there are as many: the rows
  /// and the scalings, which do not stay in the first level either, are then read seldom.
  template <class Body>
  static void columns_of(Chunks const& all, Index chunk, Body&& body) {
    Index j = all.begin(chunk);
    Index const end = all.end(chunk);
    for (; j + 8 <= end; j += 8) body(std::integral_constant<int, 8>{}, j);
    for (; j < end; ++j) body(std::integral_constant<int, 1>{}, j);
  }

  template <int N, class E, CostOperator C, class Used>
  void columns(EntropicProblem<C> const& problem, Blur<S> at, VectorX<S>& g, Index chunk, Index j,
               MatrixX<E> const& entries, VectorX<E> const& scaled, E* few, Used const& used) {
    Index const n = entries.rows();
    E const* const k = entries.col(j).data();
    auto const sums = column_sums<N, E>(scaled.data(), k, n, n);
    std::array<E, N> factor;
    for (int c = 0; c < N; ++c) {
      factor[c] = E(solve_column(problem, at, g, j + c, Wide(sums[c])));
      if (factor[c] > 0) used(chunk, j + c, k + c * n, Wide(sums[c]));
    }
    add_columns<N, E>(factor, k, n, n, few);
  }

  /// g_j from its sum; returns what the entries are multiplied by.
  template <CostOperator C>
  S solve_column(EntropicProblem<C> const& problem, Blur<S> at, VectorX<S>& g, Index j, Wide sum) {
    if (!(problem.v(j) > 0)) return 0;
    S const before = g(j);
    g(j) = g_(j) - S(at.epsilon * std::log(sum));
    return S(problem.v(j) / sum * relax(at, before, g(j)));
  }

  /// Takes g_j beyond its exact value; returns what this does to the entries of the column.
  Wide relax(Blur<S> at, S before, S& g) const {
    if (relaxation_ == 1) return 1;
    S const beyond = (relaxation_ - 1) * (g - before);
    g += beyond;
    return std::exp(Wide(beyond) / at.epsilon);
  }

  template <CostOperator C, class Visit>
  void read_compressed(EntropicProblem<C> const& problem, Blur<S> at, VectorX<S>& g,
                       RowSums<S>& rows, Parallel const& parallel, Visit const& visit) {
    rows.accumulate_blocks(parallel, [&](Index chunk, int, S* few, auto const& flush) {
      Index j = rows.columns.begin(chunk);
      few_.for_each_column_of(chunk, [&](S, std::int32_t const* row, S const* k, Index count) {
        S part[4] = {};
        Index c = 0;
        for (; c + 4 <= count; c += 4) {
          for (int lane = 0; lane < 4; ++lane) part[lane] += scaled_[row[c + lane]] * k[c + lane];
        }
        for (; c < count; ++c) part[0] += scaled_[row[c]] * k[c];
        Wide const sum = (Wide(part[0]) + Wide(part[1])) + (Wide(part[2]) + Wide(part[3]));
        S const factor = solve_column(problem, at, g, j, sum);
        if (factor > 0) visit(chunk, j, scaled_, row, k, count, S(sum));
        for (c = 0; c < count; ++c) few[row[c]] += factor * k[c];
        flush(++j);
      });
    });
  }

  VectorX<S> f_, g_;     // the anchor (F, G)
  Wide epsilon_ = 0;     // of the kernels around it; 0 while there are none
  MatrixX<S> entries_;   // the whole kernel, n x m, or empty
  bool single_ = false;  // it is in narrow_ instead
  MatrixX<float> narrow_;
  VectorX<float> narrow_scaled_;
  MatrixX<float> narrow_rows_;         // n x workers
  double rounding_ = single_rounding;  // a bound on the relative error of its entries
  bool whole_valid_ = false;
  int power_ = 0;             // squarings that it waits for
  double lost_ = 0;           // entries that were lost are below exp(lost)
  CompressedColumns<S> few_;  // its larger entries
  bool few_valid_ = false;
  bool too_full_ = false;                        // there were too many of them at this epsilon
  double few_bound_ = 0;                         // max(w_i, v_j) times those left out is below this
  double least_weight_ = 1;                      // max(w_i, v_j) is at least this
  VectorX<S> ratio_, scaled_;                    // u and w u of the current f
  S relaxation_ = 1;                             // of the read in progress
  S move_ = std::numeric_limits<S>::infinity();  // the last step of Sinkhorn, in exponents
  double room_ = 0, fill_ = 0;
  bool fits_ = false;       // all of a kernel fits
  bool last_used_ = false;  // the last read was one of a kernel
  Index reads_ = 0, cost_reads_ = 0;
  RoughRead rough_;
};

/// What reads a cost of this kind for Sinkhorn: a class with the interface of ScalingKernel.
template <CostOperator C>
struct KernelFor {
  using type = ScalingKernel<scalar_t<C>>;
};
template <CostOperator C>
using KernelOf = typename KernelFor<C>::type;

template <CostOperator C>
KernelOf<C> make_kernel(EntropicProblem<C> const& problem, std::optional<double> bytes) {
  return KernelOf<C>(problem.n(), problem.m(), problem.kernel_bytes(bytes));
}

}  // namespace monge::ot::detail
