// SPDX-License-Identifier: MIT
/// @file
/// Two weighted samples on the line, sorted, with masses as integers: what wasserstein_1d walks
/// along. With an order where the answer is wanted point by point; as pairs of point and weight,
/// which take half the memory, where it is not.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include <monge/core/detail/sort.hpp>
#include <monge/ot/detail/entropic_input.hpp>
#include <monge/ot/detail/integer_masses.hpp>
#include <monge/ot/detail/quantile_coupling.hpp>

namespace monge::ot::detail {

using monge::detail::SortScratch;

/// The points in order, their order and their masses.
template <RealScalar S>
struct SortedSample {
  VectorX<S> points;                // ascending
  std::vector<std::int32_t> order;  // points(k) was number order[k]; empty if nobody asks
  std::vector<Mass> masses;         // of points(k); empty if all are equal to `each`
  Mass each = 0;

  [[nodiscard]] Index size() const { return points.size(); }
  /// body(masses in order).
  template <class Body>
  void with_masses(Body&& body) const {
    if (masses.empty()) {
      body(EqualMasses{each});
    } else {
      body(SortedMasses{masses.data()});
    }
  }
};

/// Two samples and what one unit of mass weighs.
template <RealScalar S>
struct LineProblem {
  SortedSample<S> x, y;
  double unit = 1;
  bool matched = false;  // n = m and all weights equal

  /// visit(i, j, mass) along the staircase, in sorted indices.
  template <class Visit>
  void for_each_cell(Visit&& visit) const {
    x.with_masses([&](auto a) {
      y.with_masses([&](auto b) { detail::for_each_cell(x.size(), a, y.size(), b, visit); });
    });
  }
};

/// Takes the points over if the caller's order is of no use any more.
template <RealScalar S>
SortedSample<S> sorted_sample(VectorX<S>& points, bool with_order, bool keep,
                              SortScratch<S>& scratch) {
  SortedSample<S> sample;
  if (keep) {
    sample.points = points;
  } else {
    sample.points.swap(points);
  }
  Index const n = sample.size();
  if (with_order) {
    sample.order.resize(std::size_t(n));
    sort_with_order(sample.points.data(), sample.order.data(), n, scratch);
  } else {
    sort(sample.points.data(), n, scratch);
  }
  return sample;
}

/// The two sides of a problem in units of mass, and what rounding leaves: it goes to the first of
/// the largest weights, in the order of the points. weight_x(i), weight_y(j): in that order.
template <RealScalar W>
struct LineMasses {
  MassUnit<W> unit;
  W factor_x, factor_y;
  Index largest_x = 0, largest_y = 0;
  Mass more_x = 0, more_y = 0;

  template <class WeightX, class WeightY>
  LineMasses(Masses<W> const& masses, Index n, WeightX const& weight_x, Index m,
             WeightY const& weight_y)
      : unit(masses.mean), factor_x(masses.mean / masses.a), factor_y(masses.mean / masses.b) {
    Mass const rest =
        count(n, weight_x, factor_x, largest_x) - count(m, weight_y, factor_y, largest_y);
    (rest < 0 ? more_x : more_y) = std::abs(rest);
  }

 private:
  template <class Weight>
  Mass count(Index n, Weight const& weight, W factor, Index& largest) const {
    Mass total = 0;
    W most = -1;
    for (Index k = 0; k < n; ++k) {
      W const w = W(weight(k));
      total += unit(w * factor);
      largest = w > most ? k : largest;
      most = w > most ? w : most;
    }
    return total;
  }
};

/// Gives the sorted points their masses; returns what one unit weighs.
template <RealScalar S>
double set_masses(SortedSample<S>& x, SortedSample<S>& y, VectorX<S> const& a, VectorX<S> const& b,
                  Masses<wide_t<S>> const& masses) {
  using W = wide_t<S>;
  auto const weight_x = [&](Index k) { return W(a(x.order[std::size_t(k)])); };
  auto const weight_y = [&](Index k) { return W(b(y.order[std::size_t(k)])); };
  LineMasses<W> const line(masses, x.size(), weight_x, y.size(), weight_y);
  x.masses.resize(std::size_t(x.size()));
  y.masses.resize(std::size_t(y.size()));
  for (Index k = 0; k < x.size(); ++k) {
    x.masses[std::size_t(k)] = line.unit(weight_x(k) * line.factor_x);
  }
  for (Index k = 0; k < y.size(); ++k) {
    y.masses[std::size_t(k)] = line.unit(weight_y(k) * line.factor_y);
  }
  x.masses[std::size_t(line.largest_x)] += line.more_x;
  y.masses[std::size_t(line.largest_y)] += line.more_y;
  return std::ldexp(1.0, line.unit.exponent);
}

/// The same for weights that have been rescaled to the mass given.
template <RealScalar S>
double set_masses(SortedSample<S>& x, SortedSample<S>& y, VectorX<S> const& a, VectorX<S> const& b,
                  wide_t<S> mass) {
  using W = wide_t<S>;
  return set_masses(x, y, a, b,
                    Masses<W>{a.template cast<W>().sum(), b.template cast<W>().sum(), mass});
}

/// Points and weights that were sorted together.
template <RealScalar S>
class SortedPairs {
 public:
  using Pair = monge::detail::SortEntry<S, S>;
  using W = wide_t<S>;

  SortedPairs(Eigen::Ref<VectorX<S> const> const& points,
              Eigen::Ref<VectorX<S> const> const& weights, SortScratch<S>& scratch)
      : pairs_(std::make_unique_for_overwrite<Pair[]>(std::size_t(points.size()))),
        size_(points.size()) {
    monge::detail::sort_pairs(points.data(), weights.data(), pairs_.get(), size_, scratch);
  }

  struct Points {
    Pair const* pairs;
    S operator[](Index k) const { return pairs[k].value; }
  };
  [[nodiscard]] Points points() const { return {pairs_.get()}; }
  [[nodiscard]] S weight(Index k) const { return pairs_[std::size_t(k)].tag; }

  /// The masses one after the other, a block of them at a time: they need no memory of their own.
  class Stream {
   public:
    Stream(SortedPairs const& pairs, MassUnit<W> const& unit, W factor, Index more_at, Mass more)
        : pairs_(pairs.pairs_.get()),
          size_(pairs.size_),
          unit_(unit),
          factor_(factor),
          more_at_(more_at),
          more_(more) {}

    /// Of an index that is the last one or the next, or past the end.
    Mass operator()(Index k) {
      if (k == end_) fill();
      return block_[std::size_t(k) % block];
    }

   private:
    static constexpr std::size_t block = 256;

    void fill() {
      Index const first = end_;
      end_ += Index(block);
      for (Index k = first; k < std::min(end_, size_); ++k) {
        block_[std::size_t(k) % block] = unit_(W(pairs_[k].tag) * factor_);
      }
      if (first <= more_at_ && more_at_ < end_) block_[std::size_t(more_at_) % block] += more_;
    }

    Pair const* pairs_;
    Index size_, end_ = 0;
    MassUnit<W> unit_;
    W factor_;
    Index more_at_;
    Mass more_;
    Mass block_[block] = {};
  };

 private:
  std::unique_ptr<Pair[]> pairs_;
  Index size_;
};

}  // namespace monge::ot::detail
