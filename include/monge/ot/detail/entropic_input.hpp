// SPDX-License-Identifier: MIT
/// @file
/// The input of the entropic solvers: what is refused, and in which words.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>

namespace monge::ot::detail {

/// Weights must be nonnegative, finite and not all zero, and their sum, which is returned, a normal
/// number with room for rounding.
template <RealScalar S>
wide_t<S> checked_mass(std::string_view function, std::string_view name,
                       Eigen::Ref<VectorX<S> const> const& a) {
  wide_t<S> const mass = a.template cast<wide_t<S>>().sum();
  if (!(a.array() >= S(0)).all() || !std::isfinite(mass)) {
    for (Index i = 0; i < a.size(); ++i) {
      require(a(i) >= 0 && std::isfinite(a(i)), function, ": ", name, "(", i, ") is ", a(i),
              "; weights must be nonnegative and finite");
    }
  }
  require(mass > 0 && std::isfinite(mass), function, ": the weights ", name, " sum to ", mass,
          "; the total must be positive and finite");
  require(mass >= std::numeric_limits<S>::min() && mass <= std::numeric_limits<S>::max() / 2,
          function, ": the weights ", name, " sum to ", mass,
          ", at the end of the scalar's range; rescale them");
  return mass;
}

/// Weights need one entry per row and one per column of a cost that is not empty.
template <RealScalar S>
void check_sizes(std::string_view function, Shape cost, VectorX<S> const& a, VectorX<S> const& b) {
  require(cost.rows > 0 && cost.cols > 0, function, ": cost is ", cost,
          "; it needs at least one row and one column");
  require(a.size() == cost.rows, function, ": cost is ", cost, " but a has ", a.size(),
          " entries; a needs one entry per row");
  require(b.size() == cost.cols, function, ": cost is ", cost, " but b has ", b.size(),
          " entries; b needs one entry per column");
}

/// The masses of both sides of a problem, and their mean.
template <RealScalar W>
struct Masses {
  W a, b, mean;
};

/// Masses may differ by rounding only, 8 (n + m) u relative to their mean.
template <RealScalar S>
Masses<wide_t<S>> balanced_masses(std::string_view function, Shape cost,
                                  Eigen::Ref<VectorX<S> const> const& a,
                                  Eigen::Ref<VectorX<S> const> const& b) {
  wide_t<S> const mass_a = checked_mass<S>(function, "a", a);
  wide_t<S> const mass_b = checked_mass<S>(function, "b", b);
  wide_t<S> const mean = mass_a / 2 + mass_b / 2;
  wide_t<S> const allowed =
      8 * wide_t<S>(cost.rows + cost.cols) * wide_t<S>(unit_roundoff<S>) * mean;
  require(std::abs(mass_a - mass_b) <= allowed, function, ": a sums to ", mass_a, " and b to ",
          mass_b, ", which differ by ", std::abs(mass_a - mass_b),
          "; rescale one of them, for only equal masses can be transported");
  return {mass_a, mass_b, mean};
}

/// Checks weights against a cost of the given shape and rescales both to the mean of their masses,
/// which is returned.
template <RealScalar S>
wide_t<S> balance(std::string_view function, Shape cost, VectorX<S>& a, VectorX<S>& b) {
  check_sizes(function, cost, a, b);
  Masses<wide_t<S>> const masses = balanced_masses<S>(function, cost, a, b);
  a *= S(masses.mean / masses.a);
  b *= S(masses.mean / masses.b);
  return masses.mean;
}

/// What a scan over a cost finds.
struct CostScale {
  double largest = 0;      ///< max |C_ij| over the allowed pairs
  double mean = 0;         ///< mean of C_ij over the allowed pairs
  bool forbidden = false;  ///< some C_ij is +infinity
};

/// One read of the cost; refuses NaN and -infinity, naming the entry.
template <CostOperator C>
CostScale checked_scale(std::string_view function, C const& cost) {
  using S = scalar_t<C>;
  CostScale scale;
  VectorX<S> scratch(block_rows * block_width);
  double sum = 0;
  Index allowed = 0;
  for_each_piece(cost, scratch.data(), [&](Index j, Index first, Index count, S const* c) {
    ConstArrayMap<S> const entries(c, count);
    double const part = double(entries.sum());
    if (std::isfinite(part)) {  // then every entry is finite
      sum += part;
      allowed += count;
      scale.largest = std::max(scale.largest, double(entries.abs().maxCoeff()));
      return;
    }
    for (Index i = 0; i < count; ++i) {
      if (c[i] == std::numeric_limits<S>::infinity()) {
        scale.forbidden = true;
        continue;
      }
      require(std::isfinite(c[i]), function, ": cost(", first + i, ", ", j, ") is ", c[i],
              "; costs must be finite, or +infinity to forbid a pair");
      sum += double(c[i]);
      ++allowed;
      scale.largest = std::max(scale.largest, double(std::abs(c[i])));
    }
  });
  scale.mean = allowed > 0 ? sum / double(allowed) : 0;
  return scale;
}

/// epsilon and the tolerance of a problem, and the scale of its cost.
struct Strength {
  double epsilon = 0, tolerance = 0;
  CostScale scale;
};

/// The tolerance if the user has no opinion: 1e-9 (float: 1e-5) or the rounding error of the
/// exponent, but never more than a hundredth. No marginal error is above 2, so that a tolerance
/// that grew with cost / epsilon without end would be met by every plan; costs of 1e14 epsilon end
/// in precision_limit instead.
template <RealScalar S>
double default_tolerance(double rounding) {
  double const usual = std::same_as<S, float> ? 1e-5 : 1e-9;
  return std::clamp(rounding, usual, 1e-2);
}

/// Checks epsilon and the tolerance for a cost of the given scale.
template <RealScalar S>
Strength strength_at(std::string_view function, CostScale const& scale,
                     std::optional<double> epsilon, std::optional<double> tolerance) {
  if (epsilon) require_positive(function, "epsilon", *epsilon);
  if (tolerance) require_nonnegative(function, "tolerance", *tolerance);
  require(epsilon.has_value(), function,
          ": epsilon is not set; it is in units of the cost, and 0.05 * mean cost = ",
          0.05 * scale.mean, " is a good start");
  S const inverse = Blur<S>(*epsilon).inverse;
  require(inverse > 0 && std::isfinite(inverse), function, ": epsilon is ", *epsilon,
          "; its inverse leaves the range of the scalar: rescale the cost");
  double const rounding = double(unit_roundoff<S>) * scale.largest / *epsilon;
  return {*epsilon, tolerance.value_or(default_tolerance<S>(rounding)), scale};
}

/// Checks all three.
template <CostOperator C>
Strength checked_strength(std::string_view function, C const& cost, std::optional<double> epsilon,
                          std::optional<double> tolerance) {
  return strength_at<scalar_t<C>>(function, checked_scale(function, cost), epsilon, tolerance);
}

/// Weights over their mass; those below the normal range become zero.
template <RealScalar S>
VectorX<S> normalised(VectorX<S> const& weights, wide_t<S> mass) {
  VectorX<S> result = weights / S(mass);
  for (S& weight : result) {
    if (weight < std::numeric_limits<S>::min()) weight = 0;
  }
  return result;
}

/// Refuses start potentials of a wrong size or with NaN or infinity; both empty is no start.
template <class Start>
void check_start(std::string_view function, Shape cost, Start const& start) {
  if (start.f.size() == 0 && start.g.size() == 0) return;
  require(start.f.size() == cost.rows && start.g.size() == cost.cols, function, ": start has ",
          start.f.size(), " and ", start.g.size(), " potentials but the cost is ", cost,
          "; give both or none");
  require(start.f.allFinite() && start.g.allFinite(), function,
          ": NaN or infinity in the start potentials");
}

/// A row-major cost is solved as its transpose. What is wrong with it or with the start is said
/// here before, in the caller's shapes and indices. transposed: m x n, its columns are the rows of
/// the cost.
template <RealScalar S, class Start>
void check_before_transposing(std::string_view function,
                              Eigen::Ref<MatrixX<S> const> const& transposed, Start const& start) {
  Shape const cost{transposed.cols(), transposed.rows()};
  check_start(function, cost, start);
  for (Index i = 0; i < cost.rows; ++i) {
    if (std::isfinite(transposed.col(i).sum())) continue;
    for (Index j = 0; j < cost.cols; ++j) {
      S const entry = transposed(j, i);
      require(entry > -std::numeric_limits<S>::infinity(), function, ": cost(", i, ", ", j, ") is ",
              entry, "; costs must be finite, or +infinity to forbid a pair");
    }
  }
}

}  // namespace monge::ot::detail
