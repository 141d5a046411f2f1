// SPDX-License-Identifier: MIT
/// @file
/// Entropic transport between large point clouds of few coordinates, at small epsilon.
///
///     auto cloud = monge::ot::point_cloud(X, Y, monge::ot::squared_euclidean{});
///     auto r = monge::ot::sinkhorn_multiscale(cloud, a, b, {.epsilon = 1e-4});
///
/// The problem, the options, the certificate and the result are those of sinkhorn.hpp. Two things
/// make 100 000 points feasible. Coarse to fine: the larger epsilons of the annealing are solved
/// between clusters of the points, as small as epsilon can tell apart, and each answer is carried
/// to the next finer clusters by its soft transform, which is a function of position. Truncation:
/// for small epsilon a plan joins each point to few others; a read of the cost goes down a k-d tree
/// and computes only the exponentials that can exceed a share theta of their column
/// (detail/truncated_cloud.hpp). Every read searches anew, nothing is stored.
///
/// `marginal_error` is that of the plan rebuilt from the returned potentials over the pairs that
/// were kept, plus twice a bound on the mass of all others, summed cell by cell: so converged means
/// what it means for sinkhorn. theta is tolerance / 200 in the certificate, and the bound at most
/// that. Values (`transport_cost` and so on) leave the same mass out.
///
/// Costs: squared_euclidean, euclidean and p_norm, which grow with every |x_k - y_k|; at most 16
/// coordinates, but a search pays only where epsilon log(1 / theta) is much less than the cost of
/// most pairs: in one to four dimensions. Elsewhere use sinkhorn.
///
/// Cost of an iteration: one exponential per kept pair, about n m (epsilon log(1/theta) / max
/// C)^(d/2) of them, and some per cent for the search. Memory: O((n + m)(d + depth)), of which 40
/// numbers per point are the acceleration's; no kernel. `kernel_bytes` has no meaning here,
/// and `annealing_iterations` counts steps between the points themselves; clusters may take ten
/// times as many.
///
/// [Sc19] B. Schmitzer, Stabilized sparse scaling algorithms for entropy regularized transport
///        problems, SIAM J. Sci. Comput. 41 (2019), sections 3.3 to 3.5.
/// [Fe19] J. Feydy et al., Interpolating between optimal transport and MMD using Sinkhorn
///        divergences, AISTATS 2019: potentials carried by their soft transforms.
/// Deviations: [Sc19] keeps a stored kernel and its pattern for many iterations and refines
/// potentials by copying them to children.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/truncated_cloud.hpp>
#include <monge/ot/sinkhorn.hpp>

namespace monge::ot {

namespace detail {

template <class F>
inline constexpr bool grows_with_distance = false;
template <>
inline constexpr bool grows_with_distance<squared_euclidean> = true;
template <>
inline constexpr bool grows_with_distance<euclidean> = true;
template <>
inline constexpr bool grows_with_distance<p_norm> = true;

/// One side of the problem: the points with mass, in the order of their tree.
template <RealScalar S>
struct CloudSide {
  std::shared_ptr<CloudTree<S> const> tree;
  VectorX<S> weights;          // in the order of the tree
  std::vector<Index> present;  // which points of the caller have mass

  CloudSide(MatrixX<S> const& points, VectorX<S> const& all) {
    S const mass = all.sum();
    for (Index i = 0; i < all.size(); ++i) {
      if (all(i) / mass >= std::numeric_limits<S>::min()) present.push_back(i);
    }
    tree = std::make_shared<CloudTree<S> const>(MatrixX<S>(points(Eigen::all, present)));
    weights = tree->sorted(all(present));
  }

  /// Clusters of `group` neighbours.
  [[nodiscard]] CloudSide coarse(Index group) const {
    if (group <= 1) return *this;
    CloudSide side;
    auto [centres, sums] = tree->clusters(weights, group);
    side.tree = std::make_shared<CloudTree<S> const>(centres, true);
    side.weights = std::move(sums);
    return side;
  }

  /// The mean squared distance from the centre, in clusters of `group`.
  [[nodiscard]] double spread(Index group) const {
    auto const [centres, sums] = tree->clusters(weights, group);
    double total = 0;
    for (Index i = 0; i < tree->size(); ++i) {
      total +=
          double(weights(i)) *
          double((tree->coordinates().row(i).transpose() - centres.col(i / group)).squaredNorm());
    }
    return total / double(weights.sum());
  }

 private:
  CloudSide() = default;
};

/// Coarse to fine; all vectors in the order of the trees.
template <RealScalar S, class F>
class Multiscale {
 public:
  using Cloud = TruncatedCloud<S, F>;

  Multiscale(F cost, CloudSide<S> const& x, CloudSide<S> const& y, SinkhornOptions const& options,
             double theta)
      : cost_(std::move(cost)), x_(x), y_(y), options_(options), theta_(theta) {}

  [[nodiscard]] Cloud cloud(CloudSide<S> const& x, CloudSide<S> const& y, double theta) const {
    return Cloud(cost_, x.tree, y.tree, theta);
  }

  /// Potentials to start the last level from.
  Potentials<S> start() {
    Deadline const deadline(options_.max_seconds);
    Annealing<S> const ladder(*options_.epsilon, options_.annealing,
                              cloud(x_, y_, theta_).largest());
    Potentials<S> p;
    CloudSide<S> x = x_, y = y_;
    Index group = 0;
    for (Index level = ladder.levels; level > 0; --level) {
      double const epsilon = double(ladder.blur(level).epsilon);
      Index const next = cluster_size(epsilon);
      if (next != group) {
        CloudSide<S> const finer_x = x_.coarse(next), finer_y = y_.coarse(next);
        if (group > 0) p = carried(p, x, y, finer_x, finer_y, Blur<S>(before_));
        x = finer_x;
        y = finer_y;
        group = next;
      }
      before_ = epsilon;
      p = solve(x, y, epsilon, group > 1, std::move(p));
      if (deadline.passed() || iterations >= options_.max_iterations) break;
    }
    if (group > 1) p = carried(p, x, y, x_, y_, Blur<S>(before_));
    return p;
  }

  Index iterations = 0;

 private:
  /// The largest clusters that a plan blurred by epsilon cannot tell from their centres: costs
  /// within them are below a quarter of epsilon.
  [[nodiscard]] Index cluster_size(double epsilon) {
    Index const fewest = 64;  // clusters
    if (spread_.empty()) {
      for (Index group = 2; group * fewest <= std::min(x_.tree->size(), y_.tree->size());
           group *= 2) {
        spread_.push_back(std::max(x_.spread(group), y_.spread(group)));
      }
    }
    Index group = 1;
    S const zero = 0;
    for (double const spread : spread_) {
      S const length = S(std::sqrt(spread));
      S cost;
      cost_.segment(&length, 1, &zero, 1, 1, &cost);
      if (double(cost) > 0.25 * epsilon) break;
      group *= 2;
    }
    return group;
  }

  /// Steps at one epsilon, without a certificate.
  Potentials<S> solve(CloudSide<S> const& x, CloudSide<S> const& y, double epsilon, bool coarse,
                      Potentials<S> from) {
    SinkhornOptions options = options_;
    options.epsilon = epsilon;
    options.tolerance = std::max(options_.tolerance.value_or(0.0), coarse ? 1e-4 : 1e-2);
    options.annealing = 1;
    Sinkhorn<Cloud> const method(cloud(x, y, 1e-2 * *options.tolerance), x.weights, y.weights,
                                 options, std::move(from));
    auto state = method.init();
    Index const most = std::min((coarse ? 10 : 1) * options_.annealing_iterations,
                                options_.max_iterations - iterations);
    Status status = Status::running;
    Index const before = iterations;
    while (status == Status::running && iterations - before < most) {
      status = method.advance(state, 1).status;
      ++iterations;
    }
    bool const converged = status == Status::converged;
    return {converged ? state.f : state.kept_f, converged ? state.g : state.kept_g};
  }

  /// The soft transforms of the potentials between clusters, at finer ones.
  [[nodiscard]] Potentials<S> carried(Potentials<S> const& p, CloudSide<S> const& x,
                                      CloudSide<S> const& y, CloudSide<S> const& finer_x,
                                      CloudSide<S> const& finer_y, Blur<S> at) const {
    Cloud const from = cloud(x, y, 1e-4);
    Potentials<S> finer{VectorX<S>(finer_x.tree->size()), VectorX<S>(finer_y.tree->size())};
    VectorX<S> const w = x.weights / x.weights.sum(), v = y.weights / y.weights.sum();
    soft_at(from, *y.tree, *finer_x.tree, at, p.g, v, options_.parallel, finer.f);
    soft_at(from, *x.tree, *finer_y.tree, at, p.f, w, options_.parallel, finer.g);
    return finer;
  }

  F cost_;
  CloudSide<S> const& x_;
  CloudSide<S> const& y_;
  SinkhornOptions options_;
  double theta_;
  double before_ = 0;  // the last epsilon
  std::vector<double> spread_;
};

/// all(present_i) <- the i-th value in the order of a tree; the others <- soft transforms of the
/// other side's potentials.
template <RealScalar S, class F>
VectorX<S> restored(TruncatedCloud<S, F> const& cloud, CloudSide<S> const& side,
                    VectorX<S> const& values, MatrixX<S> const& points,
                    CloudSide<S> const& other_side, VectorX<S> const& other, Blur<S> at) {
  VectorX<S> const known = side.tree->restored(values);
  VectorX<S> all(points.cols());
  if (known.size() < all.size()) {
    VectorX<S> const v = other_side.weights / other_side.weights.sum();
    CloudTree<S> const tree(points, true);
    soft_at(cloud, *other_side.tree, tree, at, other, v, {}, all);
  }
  all(side.present) = known;
  return all;
}

}  // namespace detail

/// Entropic optimal transport between the points of a cloud, coarse to fine with a truncated
/// kernel; see the file comment, and sinkhorn.hpp for the arguments and what is refused. A start
/// skips the coarse levels. The observer sees the last level.
template <RealScalar S, class F, VectorExpr A, VectorExpr B, Observer Watch = Unobserved>
  requires(detail::grows_with_distance<F> && std::same_as<scalar_t<A>, S> &&
           std::same_as<scalar_t<B>, S>)
[[nodiscard]] SinkhornResult<S> sinkhorn_multiscale(PointCloud<S, F> const& cost, A const& a,
                                                    B const& b, SinkhornOptions options,
                                                    Potentials<S> const& start = {},
                                                    Watch&& observer = {}) {
  using Cloud = detail::TruncatedCloud<S, F>;
  Deadline const deadline(options.max_seconds);
  std::string_view const function = "sinkhorn_multiscale";
  VectorX<S> rows = monge::detail::as_column(a), cols = monge::detail::as_column(b);
  detail::balance<S>(function, detail::shape(cost), rows, cols);
  detail::check_start(function, detail::shape(cost), start);
  detail::require_annealing(function, options.annealing);
  MatrixX<S> const X = cost.X();
  detail::require(X.rows() <= Cloud::most_coordinates, function, ": the points have ", X.rows(),
                  " coordinates; at most ", Cloud::most_coordinates,
                  " are searched, use sinkhorn for more");
  detail::CloudSide<S> const x(X, rows), y(cost.Y(), cols);
  detail::Strength const strength = detail::checked_strength(
      function, Cloud(cost.functor(), x.tree, y.tree, 1e-3), options.epsilon, options.tolerance);
  options.tolerance = strength.tolerance;
  double const theta = std::clamp(strength.tolerance / 200, 1e-30, 1e-3);

  detail::Multiscale<S, F> scales(cost.functor(), x, y, options, theta);
  Potentials<S> from;
  if (start.f.size() > 0) {
    from = {x.tree->sorted(start.f(x.present)), y.tree->sorted(start.g(y.present))};
  } else {
    from = scales.start();
  }
  Index const coarse = scales.iterations;
  Cloud const cloud = scales.cloud(x, y, theta);
  options.max_iterations = std::max<Index>(1, options.max_iterations - coarse);
  options.annealing = 1;
  Sinkhorn<Cloud> const method(cloud, x.weights, y.weights, options, std::move(from));
  SinkhornResult<S> r = method.result(
      iterate(method, {options.max_iterations, deadline.remaining(), options.observe_every},
              std::forward<Watch>(observer)));
  VectorX<S> const f = r.f;
  detail::Blur<S> const at(r.epsilon);
  r.f = detail::restored(cloud, x, f, X, y, r.g, at);
  r.g = detail::restored(cloud, y, r.g, cost.Y(), x, f, at);
  r.a = rows;
  r.b = cols;
  r.iterations += coarse;
  r.seconds = deadline.elapsed();
  return monge::detail::certified(std::move(r));
}

}  // namespace monge::ot
